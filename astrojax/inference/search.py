# SPDX-License-Identifier: Apache-2.0
"""Tables of embeddings read block by block: neighbours of objects, ids that are not there."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from astrojax.data.native import to_native
from astrojax.data.untrusted import check_parquet
from astrojax.errors import UserError
from astrojax.evaluate import knn, projection
from astrojax.files import reading
from astrojax.inference import fits_table

_BLOCK = 16384


class Rows:
    """A Parquet or FITS table with the columns `id` and `embedding`, never whole in memory.

    Args:
        path: The table.

    Raises:
        UserError: There is no such table, or it has no embeddings.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise UserError(f"there is no table {str(path)!r}")
        if self.path.suffix not in (".parquet", ".fits"):
            raise UserError(f"{path}: embeddings are searched in .parquet or .fits tables")
        with reading(self.path):
            self.names = self._names()
        for name in ("id", "embedding"):
            if name not in self.names:
                raise UserError(
                    f"{path} has no column {name!r}: make it with astrojax embed, or "
                    "with `astrojax predict --with-embedding`"
                )
        if self.path.suffix == ".parquet":
            check_parquet(self.path, by_group=True)

    def blocks(self, *names: str) -> Iterator[tuple[np.ndarray, ...]]:
        """Yields the named columns of some thousand rows at a time, in order.

        Raises:
            UserError: The table is damaged or empty, ids are no single values, or embeddings no
                vectors of numbers of one length.
        """
        width, rows = None, 0
        with reading(self.path):
            for block in self._blocks(names):
                for name, values in zip(names, block, strict=True):
                    kind = "f" if name == "embedding" else "biufUSO"
                    axes = 2 if name == "embedding" else 1
                    named = name in ("id", "embedding")
                    if named and (values.ndim != axes or values.dtype.kind not in kind):
                        raise UserError(f"{self.path}: the column {name!r} has another type")
                    if name == "embedding":
                        width = width or values.shape[1]
                        if not width or width != values.shape[1]:
                            raise UserError(f"{self.path}: embeddings are of several lengths")
                rows += len(block[0])
                yield block
            if not rows:
                raise UserError(f"{self.path} has no rows")

    def _blocks(self, names: tuple[str, ...]) -> Iterator[tuple[np.ndarray, ...]]:
        if self.path.suffix == ".fits":
            from astropy.io import fits

            with fits.open(self.path, memmap=True) as opened:
                data, header = opened[1].data, opened[1].header
                escaped = {
                    n for i, n in enumerate(opened[1].columns.names, 1) if f"TESC{i}" in header
                }
                for start in range(0, len(data), _BLOCK):
                    part = data[start : start + _BLOCK]
                    yield tuple(_of_fits(part, name, name in escaped) for name in names)
            return
        import pyarrow.parquet as pq

        # Row groups one by one: what iterates over batches reads ahead through the file.
        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(names))
                yield tuple(to_native(table[name], name, self.path.name) for name in names)

    def column(self, name: str) -> np.ndarray:
        """Returns a whole column [n]."""
        blocks = [block for (block,) in self.blocks(name)]
        masked = any(map(np.ma.isMaskedArray, blocks))
        return np.ma.concatenate(blocks) if masked else np.concatenate(blocks)

    def take(self, rows: Int[np.ndarray, " k"]) -> dict[str, np.ndarray]:
        """Returns all columns but the embedding, at some rows and in their order."""
        names = [name for name in self.names if name != "embedding"]
        found: dict[str, list] = {name: [None] * len(rows) for name in names}
        start = 0
        for block in self.blocks(*names):
            size = len(block[0])
            for place in np.flatnonzero((rows >= start) & (rows < start + size)):
                for name, values in zip(names, block, strict=True):
                    found[name][place] = values[rows[place] - start]
            start += size
        return {name: _joined(name, values) for name, values in found.items()}

    def _names(self) -> list[str]:
        if self.path.suffix == ".fits":
            from astropy.io import fits

            with fits.open(self.path) as opened:
                return list(opened[1].columns.names)
        import pyarrow.parquet as pq

        return pq.read_schema(self.path).names


def find(rows: Rows, ids: Sequence[str]) -> Int[np.ndarray, " k"]:
    """Returns row numbers of objects.

    Raises:
        UserError: An id is not in the table; near ones are named.
    """
    place, start = {}, 0
    for (block,) in rows.blocks("id"):
        names = block.astype(str)
        for i in np.flatnonzero(np.isin(names, ids)):
            place[str(names[i])] = start + int(i)
        start += len(block)
    for name in ids:
        if name not in place:
            there = rows.column("id").astype(str)
            near = difflib.get_close_matches(name, there, n=3)
            hint = f"near: {', '.join(near)}" if near else f"the first is {there[0]}"
            raise UserError(f"{rows.path} has no object with id {name!r} ({hint})")
    return np.array([place[name] for name in ids])


def vectors(rows: Rows, queries: Int[np.ndarray, " q"]) -> Float[np.ndarray, "q d"]:
    """Returns the embeddings of some rows.

    Args:
        rows: The table.
        queries: Row numbers, in any order.

    Raises:
        UserError: A row has no embedding.
    """
    asked, start = {}, 0
    for (block,) in rows.blocks("embedding"):
        for row in queries[(queries >= start) & (queries < start + len(block))]:
            asked[int(row)] = block[row - start]
        start += len(block)
    found = np.stack([asked[int(row)] for row in queries]).astype(np.float32)
    if not np.isfinite(found).all():
        empty = queries[~np.isfinite(found).all(axis=1)][0]
        raise UserError(f"the object in row {empty} has no embedding: its image was flagged")
    return found


def similar(
    rows: Rows, queries: Int[np.ndarray, " q"], count: int
) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
    """Returns the most similar other objects of each query, most similar first.

    Args:
        rows: The table; objects with an empty embedding are passed over.
        queries: Row numbers.
        count: Neighbours wanted; fewer are found in a small table.

    Returns:
        Row numbers, and cosine similarities.

    Raises:
        UserError: A query has no embedding.
    """
    queried = vectors(rows, queries)
    index = np.zeros((len(queries), 0), int)
    cosine = np.zeros((len(queries), 0))
    start = 0
    for (block,) in rows.blocks("embedding"):
        known = np.isfinite(block).all(axis=1)
        # A row of zeros keeps the block's shape, which the search is compiled for.
        near, likeness = knn.neighbours(
            np.where(known[:, None], block, 0).astype(np.float32),
            queried,
            k=min(count + 1, len(block)),
        )
        likeness = np.where(known[near] & (near + start != queries[:, None]), likeness, -np.inf)
        index = np.concatenate([index, near + start], axis=1)
        cosine = np.concatenate([cosine, likeness], axis=1)
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :count]
        index = np.take_along_axis(index, order, axis=1)
        cosine = np.take_along_axis(cosine, order, axis=1)
        start += len(block)
    enough = int(np.isfinite(cosine).all(axis=0).sum())
    return index[:, :enough], cosine[:, :enough]


def _of_fits(part: Any, name: str, escaped: bool) -> np.ndarray:
    """Returns a column of a FITS table; null integers are masked."""
    values = np.asarray(part[name])
    null = part.columns[name].null
    missing = values == null if null is not None else np.False_
    found = to_native(np.ma.MaskedArray(values, missing), name)
    return fits_table.unescape(found) if escaped else found


def _joined(name: str, values: list[Any]) -> np.ndarray:
    """Returns values of rows that were found one by one, some of them perhaps masked."""
    if not any(value is np.ma.masked for value in values):
        return np.array(values)
    return to_native([None if value is np.ma.masked else value for value in values], name)


def choose(
    table: Rows, *, limit: int, seed: int
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n d"]]:
    """Returns at most `limit` rows, a random choice in their order, and their embeddings.

    Rows without an embedding are left out.

    Args:
        table: The table.
        limit: Most rows.
        seed: Of the choice.
    """
    known = np.concatenate([np.isfinite(e).all(axis=1) for (e,) in table.blocks("embedding")])
    there = np.flatnonzero(known)
    rows = there[projection.choose(len(there), limit=limit, seed=seed)]
    parts, start = [], 0
    for (block,) in table.blocks("embedding"):
        parts.append(block[rows[(rows >= start) & (rows < start + len(block))] - start])
        start += len(block)
    return rows, np.concatenate(parts).astype(np.float64)
