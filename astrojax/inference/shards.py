# SPDX-License-Identifier: Apache-2.0
"""Finished parts of a table that is being made: what a command that was killed goes on from.

They lie in a hidden folder beside the table, `.<name>.parts`: one Parquet file for some thousand
objects, and a manifest that says of which model and which data they are. Each file is renamed
into its place when it is complete, so what is there is whole.
"""

import errno
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astrojax.data.fingerprint import difference
from astrojax.data.native import to_native
from astrojax.errors import UserError
from astrojax.files import atomic_write, cannot_write, read_json, write_json
from astrojax.inference import writers
from astrojax.inference.fields import Field
from astrojax.inference.table import to_arrow

DATA = "data fingerprint"  # the entry of a manifest that says what the data were


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
            before = read_json(manifest)
            changed = self._changed(before if isinstance(before, dict) else {}, identity)
            if changed and not restart:
                raise UserError(f"{self.folder} has an unfinished table {changed}")
            if changed:
                shutil.rmtree(self.folder)
        if not manifest.is_file():
            shutil.rmtree(self.folder, ignore_errors=True)  # of a removal that was killed
            write_json(manifest, identity)
        self.manifest = manifest
        self.rows = self._whole_rows()

    def _whole_rows(self) -> int:
        """Returns the rows of the parts that follow each other; removes what is after a gap."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = 0
        for file in self.files():
            try:
                whole = file == self._part(rows)
                rows += pq.read_metadata(file).num_rows if whole else 0
            except (OSError, pa.ArrowInvalid):
                whole = False
            if not whole:
                logging.warning("%s is damaged, or follows on a gap: it is made again", file)
                file.unlink()
        return rows

    def _part(self, start: int) -> Path:
        return self.folder / f"part-{start:012d}.parquet"

    def _changed(self, before: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
        """Returns how parts are not those of this command, and what to do; empty if they are."""
        changed = [k for k in {**before, **identity} if before.get(k) != identity.get(k)]
        data = difference(before[DATA], identity[DATA]) if changed == [DATA] else None
        if data:
            return (
                f"of data that have changed since: {data}; give --overwrite to begin again with "
                "the data as they are"
            )
        return (
            f"with another {' and '.join(changed)}: give the same command to finish it, or "
            "--overwrite to begin again"
            if changed
            else ""
        )

    def files(self) -> list[Path]:
        """Returns the finished parts in order."""
        return sorted(self.folder.glob("part-*.parquet"))

    def add(self, fields: Sequence[Field]) -> None:
        """Writes the next part.

        Raises:
            UserError: It cannot be written, or the parts before it have gone.
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
        if not self.manifest.is_file():
            raise cannot_write(self.folder, FileNotFoundError(errno.ENODEV, "gone"))
        with atomic_write(self._part(self.rows)) as temporary:
            pq.write_table(pa.Table.from_arrays(arrays, schema=schema), temporary)
        self.rows += len(arrays[0])

    def check(self, ids: np.ndarray) -> None:
        """Compares the parts, once they are all there, with the objects of the data.

        Raises:
            UserError: Objects are missing, doubled or in another order.
        """
        import pyarrow.parquet as pq

        start = 0
        for file in self.files():
            there = to_native(pq.read_table(file, columns=["id"]).column("id"), "id")
            wanted = ids[start : start + len(there)]
            if not np.array_equal(there.astype(str), wanted.astype(str)):
                break
            start += len(there)
        else:
            if start == len(ids):
                return
        shutil.rmtree(self.folder)
        raise UserError(
            f"the finished parts in {self.folder} were not the {len(ids)} objects of the data from "
            f"object {start} on, so they are removed: give the same command to make them again"
        )


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
    writers.write(parts.files(), out, meta, count=parts.rows, remove=parts.folder)
