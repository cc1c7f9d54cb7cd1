# SPDX-License-Identifier: Apache-2.0
r"""Objects of a table that are unlike the rest of it, ranked, the strangest first.

    astrojax anomalies --table galaxies.parquet
    astrojax anomalies --table galaxies.parquet --by mahalanobis --clean -n 50

writes a ranked list and a contact sheet, PNG, of its top. Three scores, all rising with
strangeness: knn_distance, the mean distance to the nearest neighbours in the embedding;
mahalanobis, the distance from the embedding's Gaussian; and method, the model's own score where it
has one (a JEPA's prediction error; the table is then one of `astrojax predict --with-embedding`).
Neighbours and Gaussian are those of the table's own objects, of a random sample where they are
many. Objects without an embedding are left out.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from astrojax.cli import options


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = options.parser("anomalies", __doc__)
    add = made.add_argument
    add("--table", required=True, metavar="FILE", help="Parquet or FITS table of embeddings")
    add(
        "--by",
        choices=("knn_distance", "mahalanobis", "method"),
        default="knn_distance",
        help="score that ranks (default knn_distance)",
    )
    add("-n", type=options.positive, default=25, help="objects on the sheet (default 25)")
    add("--top", type=options.positive, default=1000, help="objects in the list (default 1000)")
    add("-k", type=options.positive, default=10, help="neighbours of knn_distance (default 10)")
    add("--clean", action="store_true", help="leave out objects with flag_edge")
    add("--seed", type=int, default=0, help="seed of the sample of a large table (default 0)")
    options.add_listing(made, "anomalies.csv")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options.run(_anomalies, parser(), "anomalies", arguments)


def _anomalies(given: argparse.Namespace, command: str) -> None:
    from astrojax.inference import contact_sheet, writers

    paths = contact_sheet.places(given)
    with writers.new_files(*paths, overwrite=given.overwrite):
        _write(given, paths)


def _write(given: argparse.Namespace, paths: list[Path]) -> None:
    from astrojax import files
    from astrojax.errors import UserError
    from astrojax.inference import contact_sheet, outliers, search

    rows = search.Rows(given.table)
    if given.by == "method" and outliers.METHOD not in rows.names:
        raise UserError(
            f"{rows.path} has no {outliers.METHOD}: this model gives no score of its own"
        )
    opened = None
    if not given.no_sheet:
        opened = contact_sheet.images_of(rows.path, given.data, given.catalogue)
    score = outliers.scores(rows, k=given.k, clean=given.clean, seed=given.seed)
    order = np.argsort(-score[given.by], kind="stable")
    order = order[np.isfinite(score[given.by][order])][: given.top]
    found = rows.take(order)
    listed = {"rank": np.arange(1, len(order) + 1), "id": found.pop("id")}
    listed |= {name: values[order] for name, values in score.items()}
    top = slice(0, given.n)
    captions = [
        f"{i}\n{s:.3g}" for i, s in zip(listed["id"][top], listed[given.by][top], strict=True)
    ]
    with files.atomic_write_all(paths) as temporaries:
        contact_sheet.write_listing(temporaries[0], listed | found)
        if opened is not None:
            contact_sheet.sheet(
                opened,
                listed["id"][top],
                captions,
                temporaries[1],
                per_row=5,
                title=f"The strangest objects by {given.by.replace('_', ' ')}",
            )
    print(f"{paths[0]}: the {len(order)} strangest objects by {given.by}")
    for png in paths[1:]:
        print(f"{png}: contact sheet of the first {len(captions)}")
