# SPDX-License-Identifier: Apache-2.0
"""Finished parts of a table that is being made: what a command that was killed goes on from.

They lie in a hidden folder beside the table, `.<name>.parts`: one Parquet file for some thousand
objects, and a manifest that says of which model and which data they are. Each file is renamed
into its place when it is complete, so what is there is whole.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from astrojax.errors import UserError
from astrojax.files import atomic_write, write_json
from astrojax.inference import writers
from astrojax.inference.fields import Field
from astrojax.inference.table import to_arrow


class Parts:
    """The parts of one table; those of an earlier start of the same command are kept.

    Args:
        out: The table.
        identity: What the rows are a function of, as JSON values.
        restart: Whether parts with another identity are removed; else they are an error.

    Raises:
        UserError: There are parts of another model, other data or other settings.
    """

    def __init__(self, out: Path, identity: Mapping[str, Any], *, restart: bool):
        self.folder = out.with_name(f".{out.name}.parts")
        manifest = self.folder / "manifest.json"
        identity = json.loads(json.dumps(identity))
        if manifest.is_file():
            before = json.loads(manifest.read_text(encoding="utf-8"))
            changed = [k for k in {**before, **identity} if before.get(k) != identity.get(k)]
            if changed and not restart:
                raise UserError(
                    f"{self.folder} has an unfinished table with another {' and '.join(changed)}: "
                    "give the same command to finish it, or --overwrite to begin again"
                )
            if changed:
                shutil.rmtree(self.folder)
        if not manifest.is_file():
            write_json(manifest, identity)
        self.rows = sum(map(_rows, self.files()))

    def files(self) -> list[Path]:
        """Returns the finished parts in order."""
        return sorted(self.folder.glob("part-*.parquet"))

    def add(self, fields: Sequence[Field]) -> None:
        """Writes the next part.

        Raises:
            UserError: It cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        arrays = [to_arrow(f.values) for f in fields]
        schema = pa.schema(
            [
                pa.field(f.name, a.type, metadata={"unit": f.unit, "description": f.meaning})
                for f, a in zip(fields, arrays, strict=True)
            ]
        )
        with atomic_write(self.folder / f"part-{self.rows:012d}.parquet") as temporary:
            pq.write_table(pa.Table.from_arrays(arrays, schema=schema), temporary)
        self.rows += len(arrays[0])

    def remove(self) -> None:
        """Removes all parts, when the table is made."""
        shutil.rmtree(self.folder)


def write_table(fields: Sequence[Field], out: Path, meta: Mapping[str, str | int]) -> None:
    """Writes a table that is in memory; an earlier one of this name is replaced.

    Args:
        fields: Its columns.
        out: The table; see `writers.check_output`.
        meta: Provenance; see `writers.write`.

    Raises:
        UserError: It cannot be written.
    """
    parts = Parts(out, {"whole": True}, restart=True)
    for file in parts.files():  # of a process that was killed
        file.unlink()
    parts.rows = 0
    parts.add(fields)
    writers.write(parts.files(), out, meta)
    parts.remove()


def _rows(file: Path) -> int:
    import pyarrow.parquet as pq

    return pq.read_metadata(file).num_rows
