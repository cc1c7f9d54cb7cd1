# SPDX-License-Identifier: Apache-2.0
r"""Objects that look like given ones: nearest neighbours by the cosine of the embeddings.

    astrojax similar --table galaxies.parquet --id 1237648720 -n 24
    astrojax similar --table galaxies.parquet --id A17 B3 --out like_a17.csv

writes a table (query, rank, id, cosine and the scalar columns of the table) and beside it a contact
sheet, PNG, in which each query stands before its neighbours. The table comes from `astrojax embed`,
or `astrojax predict --with-embedding`; it is read in blocks, so it may be larger than memory.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from astrojax.cli import options


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = options.parser("similar", __doc__)
    add = made.add_argument
    add("--table", required=True, metavar="FILE", help="Parquet or FITS table of embeddings")
    add("--id", required=True, nargs="+", metavar="ID", help="objects to search for")
    add("-n", type=options.positive, default=24, help="neighbours of each (default 24)")
    options.add_listing(made, "similar.csv")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options.run(_similar, parser(), "similar", arguments)


def _similar(given: argparse.Namespace, command: str) -> None:
    from astrojax.inference import contact_sheet, writers

    paths = contact_sheet.places(given)
    with writers.new_files(*paths, overwrite=given.overwrite):
        _write(given, paths)


def _write(given: argparse.Namespace, paths: list[Path]) -> None:
    from astrojax import files
    from astrojax.inference import contact_sheet, search

    rows = search.Rows(given.table)
    queries = search.find(rows, given.id)
    opened = None
    if not given.no_sheet:
        opened = contact_sheet.images_of(rows.path, given.data, given.catalogue)
    index, cosine = search.similar(rows, queries, given.n)
    count = index.shape[1]
    # Each query stands before its neighbours, with rank 0 and cosine 1.
    index = np.concatenate([queries[:, None], index], axis=1)
    cosine = np.concatenate([np.ones((len(queries), 1)), cosine], axis=1)
    found = rows.take(index.ravel())
    listed = {
        "query": np.repeat(found["id"].reshape(index.shape)[:, 0], count + 1),
        "rank": np.tile(np.arange(count + 1), len(queries)),
        "id": found.pop("id"),
        "cosine": cosine.ravel(),
    }
    with files.atomic_write_all(paths) as temporaries:
        contact_sheet.write_listing(temporaries[0], listed | found)
        if opened is not None:
            captions = [
                f"query {name}" if rank == 0 else f"{name}\n{likeness:.3f}"
                for name, rank, likeness in zip(
                    listed["id"], listed["rank"], listed["cosine"], strict=True
                )
            ]
            contact_sheet.sheet(
                opened,
                listed["id"],
                captions,
                temporaries[1],
                per_row=count + 1 if len(queries) > 1 else 5,
                title="Nearest neighbours and their cosine",
            )
    print(f"{paths[0]}: {count} neighbours of {', '.join(given.id)}")
    for png in paths[1:]:
        print(f"{png}: contact sheet")
