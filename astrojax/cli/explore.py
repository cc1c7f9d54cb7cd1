# SPDX-License-Identifier: Apache-2.0
r"""A page to look at a table of embeddings: its plane, thumbnails under the pointer, a lasso.

    astrojax explore --table galaxies.parquet
    astrojax explore --table galaxies.parquet --limit 20000 --method pca --out page.html

writes one HTML file that opens in a browser without a network: every object of the table, or a
random choice of them, in two dimensions, colored by any of its columns. A lasso drawn around
objects gives their ids, to copy or as CSV. The table comes from `astrojax embed`, or from
`astrojax predict --with-embedding`; it is read in blocks, and objects without an embedding are left
out.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from astrojax.cli import options


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = options.parser("explore", __doc__)
    add = made.add_argument
    add("--table", required=True, metavar="FILE", help="Parquet or FITS table of embeddings")
    add(
        "--out",
        default="explorer.html",
        metavar="FILE.html",
        help="page to write (default explorer.html)",
    )
    add("--overwrite", action="store_true", help="replace the page if it exists")
    add(
        "--limit",
        type=options.positive,
        default=10_000,
        metavar="N",
        help="most objects shown, a random choice of them (default 10000)",
    )
    add(
        "--method",
        choices=("auto", "pca", "tsne", "umap"),
        default="auto",
        help="how the plane is made (default auto: UMAP where it is installed, else t-SNE)",
    )
    add("--perplexity", type=float, default=30.0, help="of t-SNE (default 30)")
    add("--neighbors", type=options.positive, default=15, help="of UMAP (default 15)")
    add(
        "--thumbnail",
        type=options.positive,
        default=48,
        metavar="PIXELS",
        help="side of a thumbnail (default 48)",
    )
    add("--no-sheet", action="store_true", help="no thumbnails: the images are not needed")
    options.add_images(made)
    add("--seed", type=int, default=0, help="of the choice and the plane (default 0)")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options.run(_explore, parser(), "explore", arguments)


def _explore(given: argparse.Namespace, command: str) -> None:
    from astrojax.inference import writers

    out = Path(given.out).expanduser()
    with writers.new_files(out, overwrite=given.overwrite):
        _write(given, out)


def _write(given: argparse.Namespace, out: Path) -> None:
    from astrojax import files
    from astrojax.errors import UserError
    from astrojax.evaluate import explorer
    from astrojax.evaluate.projection import project
    from astrojax.inference import contact_sheet, search

    table = search.Rows(given.table)
    opened = None
    if not given.no_sheet:
        opened = contact_sheet.images_of(table.path, given.data, given.catalogue)
    rows, embedding = search.choose(table, limit=given.limit, seed=given.seed)
    if len(rows) < 3:
        raise UserError(f"{table.path} has {len(rows)} objects with an embedding: too few to show")
    points, axes_name = project(
        embedding,
        method=given.method,
        perplexity=given.perplexity,
        neighbors=given.neighbors,
        seed=given.seed,
    )
    found = table.take(rows)
    ids, pictures = found.pop("id"), None
    if opened is not None:
        source = opened.source
        asked = SimpleNamespace(id=ids.astype(np.asarray(source.column("id")).dtype))
        pictures = explorer.thumbnails(asked, source, np.arange(len(rows)), side=given.thumbnail)
    # The tables of an evaluation mark the data's own columns.
    values = {name.removeprefix("column_"): v for name, v in found.items() if v.ndim == 1}
    page = explorer.page(
        ids,
        points,
        values,
        pictures=pictures,
        axes_name=axes_name,
        title=table.path.stem,
    )
    files.write_text(out, page)
    print(f"{out}: {len(rows)} objects in the plane of {axes_name}")
