# SPDX-License-Identifier: Apache-2.0
"""The table of embeddings, predictions and columns, and its Parquet form."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from astrojax.data.native import to_native
from astrojax.data.untrusted import check_parquet
from astrojax.errors import UserError
from astrojax.files import atomic_write, reading


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
        with atomic_write(path) as temporary:
            pq.write_table(pa.table({k: to_arrow(v) for k, v in fields.items()}), temporary)

    @classmethod
    def load(cls, path: Path) -> "Table":
        """Reads what `save` wrote, or a table of `astrojax embed` or `predict`.

        Raises:
            UserError: There is no such file, or it has no embeddings.
        """
        import pyarrow.parquet as pq

        if not Path(path).is_file():
            raise UserError(f"there is no table of embeddings at {path}")
        check_parquet(path)
        with reading(path):
            fields = {name: to_native(col, name) for name, col in _columns(pq.read_table(path))}
        if not {"id", "embedding"} <= set(fields) or fields["embedding"].ndim != 2:
            raise UserError(f"{path} has no column 'embedding': make it with `astrojax embed`")
        ids, embedding = fields.pop("id"), fields.pop("embedding")
        predictions = {k: v for k, v in fields.items() if k.startswith("predicted_")}
        columns = {k.removeprefix("column_"): fields[k] for k in fields if k not in predictions}
        predictions = {k.removeprefix("predicted_"): v for k, v in predictions.items()}
        return cls(ids, embedding, predictions, columns)


def to_arrow(values: np.ndarray) -> Any:
    """Returns an Arrow array of [n], or of fixed-size lists of [n ...]; what is masked is null."""
    import pyarrow as pa

    mask = np.ma.getmaskarray(values).reshape(-1) if np.ma.isMaskedArray(values) else None
    flat = pa.array(np.ma.getdata(values).reshape(-1), mask=mask)
    if values.ndim == 1:
        return flat
    return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:])))


def _columns(table: Any):
    return zip(table.column_names, table.columns, strict=True)
