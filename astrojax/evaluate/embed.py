# SPDX-License-Identifier: Apache-2.0
"""From a trained method and a data set to one table: ids, embeddings, predictions, columns."""

import dataclasses
import functools
from collections.abc import Iterator
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
        pq.write_table(pa.table({k: to_arrow(v) for k, v in fields.items()}), temporary)
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Table":
        """Reads what `save` wrote, or a table of `python -m astrojax.embed` or `predict`.

        Raises:
            UserError: There is no such file, or it has no embeddings.
        """
        import pyarrow.parquet as pq

        if not Path(path).is_file():
            raise UserError(f"there is no table of embeddings at {path}")
        fields = {name: from_arrow(col) for name, col in _columns(pq.read_table(path))}
        if "embedding" not in fields:
            raise UserError(f"{path} has no column 'embedding': make it with astrojax.embed")
        ids, embedding = fields.pop("id"), fields.pop("embedding")
        predictions = {k: v for k, v in fields.items() if k.startswith("predicted_")}
        columns = {k.removeprefix("column_"): fields[k] for k in fields if k not in predictions}
        predictions = {k.removeprefix("predicted_"): v for k, v in predictions.items()}
        return cls(ids, embedding, predictions, columns)


def embed(method: Method, source: Source, *, batch_size: int, threads: int, mesh: Any) -> Table:
    """Embeds every example of a source, in order, on all devices of a mesh.

    Args:
        method: The trained method; its `embed` and `predict` are applied in evaluation mode.
        source: The images, with their columns.
        batch_size: Images at a time, rounded up to a multiple of the devices.
        threads: Threads that read images.
        mesh: Mesh from `sharding.make_mesh`.
    """
    size = min(batch_size, len(source))
    return Embedder(method, mesh=mesh, batch_size=size).table(source, threads=threads)


class Embedder:
    """A method compiled for batches of one size on all devices of a mesh.

    Args:
        method: The trained method, applied in evaluation mode.
        mesh: Mesh from `sharding.make_mesh`.
        batch_size: Images at a time, rounded up to a multiple of the devices.
        predictions: Whether the heads are applied as well.
    """

    def __init__(self, method: Method, *, mesh: Any, batch_size: int, predictions: bool = True):
        graph, state = nnx.split(method)
        self.inputs, self.mesh = method.inputs, mesh
        self.batch_size = -(-batch_size // mesh.size) * mesh.size
        self._state = sharding.put_state(mesh, state)

        @functools.partial(jax.jit, out_shardings=sharding.replicated(mesh))
        def apply(state: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
            bound = nnx.merge(graph, state)
            inputs = [batch[name] for name in self.inputs]
            heads = bound.predict(*inputs) if predictions else {}
            return {"": bound.embed(*inputs), **heads}

        self._apply = apply

    def __call__(
        self, source: Source, *, threads: int, beside: tuple[str, ...] = ()
    ) -> Iterator[dict[str, np.ndarray]]:
        """Every example in order, batch by batch: the embedding under "", and the predictions.

        The next batch is on its way while one is handed out, so memory does not depend on the
        length of the source.

        Args:
            source: The images, with their columns.
            threads: Threads that read images.
            beside: Entries of the examples to hand out with the results.
        """
        waiting = None
        columns = (*self.inputs, *beside)
        batches = ordered_batches(
            source,
            columns=columns,
            batch_size=self.batch_size,
            threads=threads,
            rows=sharding.local_rows(self.mesh, self.batch_size),
        )
        for batch, count in batches:
            seen = {name: batch.pop(name)[:count] for name in beside}
            result = self._apply(self._state, sharding.put_batch(self.mesh, batch))
            sharding.settle(result)
            if waiting:
                yield _fetch(*waiting)
            waiting = (result, count, seen)
        yield _fetch(*waiting)

    def table(self, source: Source, *, threads: int) -> Table:
        """Every example, with its columns; `threads` read images."""
        parts = list(self(source, threads=threads))
        joined = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        columns = {n: np.asarray(source.column(n)) for n in source[0] if n != "image"}
        ids = columns.pop("id", np.arange(len(source)))
        return Table(ids, joined.pop(""), joined, columns)


def _fetch(
    result: dict[str, jax.Array], count: int, seen: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    return {name: np.asarray(value)[:count] for name, value in result.items()} | seen


def to_arrow(values: np.ndarray) -> Any:
    """An Arrow array of [n], or of fixed-size lists of [n ...]."""
    import pyarrow as pa

    if values.ndim == 1:
        return pa.array(values)
    width = int(np.prod(values.shape[1:]))
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), width)


def _columns(table: Any):
    return zip(table.column_names, table.columns, strict=True)


def from_arrow(column: Any) -> np.ndarray:
    """A column of a `pyarrow.Table` as [n], or [n k] of fixed-size lists."""
    import pyarrow as pa

    array = pa.concat_arrays(column.chunks)
    if pa.types.is_fixed_size_list(array.type):
        return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), -1)
    return array.to_numpy(zero_copy_only=False)
