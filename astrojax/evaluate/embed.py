# SPDX-License-Identifier: Apache-2.0
"""From a trained method and a data set to one table: ids, embeddings, predictions, columns."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from astrojax import sharding
from astrojax.data.pipeline import Source, ordered_batches
from astrojax.errors import UserError
from astrojax.method import Method


@dataclasses.dataclass
class Table:
    """n objects and what is known of them.

    Attributes:
        id: Object ids, [n].
        embedding: Representations, [n d] float32.
        predictions: What the method's heads say, {name: [n] or [n k]}.
        columns: The data's own entries other than the image, {name: [n] or [n k]}.
    """

    id: np.ndarray
    embedding: np.ndarray
    predictions: dict[str, np.ndarray]
    columns: dict[str, np.ndarray]

    def save(self, path: Path) -> None:
        """Writes Parquet: `id`, `embedding`, `predicted_*` and the columns; lists where [n k]."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        fields = {"id": self.id, "embedding": self.embedding}
        fields |= {f"predicted_{k}": v for k, v in self.predictions.items()}
        fields |= {f"column_{k}": v for k, v in self.columns.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        pq.write_table(pa.table({k: _to_arrow(v) for k, v in fields.items()}), temporary)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Table":
        """Reads what `save` wrote.

        Raises:
            UserError: There is no such file.
        """
        import pyarrow.parquet as pq

        if not Path(path).is_file():
            raise UserError(f"there is no table of embeddings at {path}")
        fields = {name: _from_arrow(col) for name, col in _columns(pq.read_table(path))}
        pick = functools.partial(_with_prefix, fields)
        return cls(fields["id"], fields["embedding"], pick("predicted_"), pick("column_"))


def embed(method: Method, source: Source, *, batch_size: int, threads: int, mesh: Any) -> Table:
    """Embeds every example of a source, in order, on all devices of a mesh.

    Args:
        method: The trained method; its `embed` and `predict` are applied in evaluation mode.
        source: The images, with their columns.
        batch_size: Images at a time, rounded up to a multiple of the devices.
        threads: Threads that read images.
        mesh: Mesh from `sharding.make_mesh`.
    """
    apply, state = _compiled(method, mesh)
    size = -(-min(batch_size, len(source)) // mesh.size) * mesh.size
    parts: list[dict[str, np.ndarray]] = []
    waiting = None
    batches = ordered_batches(source, columns=method.inputs, batch_size=size, threads=threads)
    for batch, count in batches:
        result = (apply(state, sharding.put_batch(mesh, batch)), count)
        if waiting:
            parts.append(_fetch(*waiting))
        waiting = result
    parts.append(_fetch(*waiting))
    joined = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    names = [n for n in source[0] if n != "image"]
    columns = {n: np.asarray(source.column(n)) for n in names}
    ids = columns.pop("id", np.arange(len(source)))
    return Table(ids, joined.pop(""), joined, columns)


def _compiled(method: Method, mesh: Any) -> tuple[Any, Any]:
    graph, state = nnx.split(method)

    @jax.jit
    def apply(state: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
        bound = nnx.merge(graph, state)
        inputs = [batch[name] for name in method.inputs]
        return {"": bound.embed(*inputs), **bound.predict(*inputs)}

    return apply, sharding.put_state(mesh, state)


def _fetch(result: dict[str, jax.Array], count: int) -> dict[str, np.ndarray]:
    return {name: np.asarray(value)[:count] for name, value in result.items()}


def _with_prefix(fields: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in fields.items() if k.startswith(prefix)}


def _to_arrow(values: np.ndarray) -> Any:
    import pyarrow as pa

    if values.ndim == 1:
        return pa.array(values)
    width = int(np.prod(values.shape[1:]))
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width)


def _columns(table: Any):
    return zip(table.column_names, table.columns, strict=True)


def _from_arrow(column: Any) -> np.ndarray:
    import pyarrow as pa

    array = pa.concat_arrays(column.chunks)
    if pa.types.is_fixed_size_list(array.type):
        return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), -1)
    return array.to_numpy(zero_copy_only=False)
