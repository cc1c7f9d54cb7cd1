# SPDX-License-Identifier: Apache-2.0
r"""Classes of the objects of a table that nobody has labelled: clusters of their embeddings.

    astrojax cluster --table galaxies.parquet --out clusters.parquet --num-clusters 12
    astrojax cluster --table galaxies.parquet --out clusters.fits --method hdbscan --label CLASS

writes a table (id, cluster, distance to the cluster's centre, and HDBSCAN's probability), and a
folder beside it, `clusters_sheets`, with a contact sheet of each cluster and `sizes.csv`. Clusters
are numbered by size, 0 is the largest; -1 is HDBSCAN's noise, or an object without an embedding.
Where the table has classes (--label, or a column `label`), agreement with them is printed and
written to `scores.json`.

The table comes from `astrojax embed`, or `astrojax predict --with-embedding`. Clusters are found on
a random sample of at most --limit objects; all others are then given theirs in blocks.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from astrojax.cli import options


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = options.parser("cluster", __doc__)
    add = made.add_argument
    add("--table", required=True, metavar="FILE", help="Parquet or FITS table of embeddings")
    add("--out", required=True, metavar="FILE", help="table to write: .parquet, .fits or .ecsv")
    add("--overwrite", action="store_true", help="replace the table and its sheets if they exist")
    add("--method", choices=("kmeans", "hdbscan"), default="kmeans", help="default kmeans")
    add(
        "--num-clusters",
        type=options.positive,
        default=10,
        metavar="K",
        help="clusters of k-means (default 10)",
    )
    add(
        "--min-cluster-size",
        type=options.positive,
        default=25,
        metavar="N",
        help="objects that make a cluster of HDBSCAN (default 25)",
    )
    add(
        "--components",
        type=options.positive,
        metavar="N",
        help="principal components kept first (default: all for kmeans, 20 for hdbscan)",
    )
    add(
        "--limit",
        type=options.positive,
        default=20_000,
        metavar="N",
        help="most objects of the sample that clusters are found on (default 20000)",
    )
    add("--label", metavar="COLUMN", help="classes to score against (default: 'label' if there)")
    add("-n", type=options.positive, default=25, help="objects on each sheet (default 25)")
    add("--random", action="store_true", help="sheets show random members, not the most typical")
    add("--no-sheet", action="store_true", help="write no contact sheets: no images are needed")
    options.add_images(made)
    add("--seed", type=int, default=0, help="seed of sample and clusters (default 0)")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options.run(_cluster, parser(), "cluster", arguments)


def _cluster(given: argparse.Namespace, command: str) -> None:
    from astrojax.inference import clusters, writers

    out = writers.check_output(given.out)
    folder = clusters.folder_of(out)
    with writers.new_files(out, folder, overwrite=given.overwrite):
        _write(given, out, folder, command)


def _write(given: argparse.Namespace, out: Path, folder: Path, command: str) -> None:
    from astrojax import files
    from astrojax.evaluate import report
    from astrojax.inference import clusters, contact_sheet, search

    rows = search.Rows(given.table)
    name = given.label or ("label" if "label" in rows.names else None)
    label = None if name is None else clusters.read_labels(rows, name)
    opened = (
        None if given.no_sheet else contact_sheet.images_of(rows.path, given.data, given.catalogue)
    )
    found = clusters.find(
        rows,
        method=given.method,
        num_clusters=given.num_clusters,
        min_cluster_size=given.min_cluster_size,
        components=given.components,
        limit=given.limit,
        seed=given.seed,
    )
    ids = rows.column("id")
    sizes = clusters.sizes(found)
    counts = zip(sizes["cluster"], sizes["objects"], strict=True)
    sections = [report.Section("objects", {f"cluster {c}": float(n) for c, n in counts})]
    with files.atomic_write_all([out, folder]) as (table, sheets):
        sheets.mkdir()
        clusters.write(found, ids, table, source=rows.path, command=command)
        files.write_csv(sheets / "sizes.csv", sizes)
        if label is not None:
            numbers = clusters.scores(found, label, n_bootstrap=200, seed=given.seed)
            files.write_json(sheets / "scores.json", numbers)
            sections.append(report.Section(f"against {name}", numbers))
        if opened is not None:
            clusters.write_sheets(
                found, ids, opened, sheets, count=given.n, typical=not given.random, seed=given.seed
            )
    print(report.table(sections), end="")
    print(f"{out}: {len(ids)} objects; {folder}: sizes" + ("" if given.no_sheet else " and sheets"))
