# SPDX-License-Identifier: Apache-2.0
"""Redshifts of several runs as one: the mean of their densities (a deep ensemble).

    astrojax evaluate --workdir runs/a runs/b runs/c --out runs/abc

The runs differ in their seeds, or in their methods, and were evaluated on the same data; their
tables are read, so nothing is embedded again. `runs/abc` gets the members' mean density for every
object and the report of the tasks `photoz` and `uncertainty` as the first run sets them.

A member that gives a point estimate stands as a Gaussian around it, as wide as the members'
scatter for that object (Lakshminarayanan et al. 2017): what the members disagree on, and no more.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from astrojax import files
from astrojax.config import call
from astrojax.data.open import open_sources
from astrojax.errors import UserError
from astrojax.evaluate import photoz, report, uncertainty
from astrojax.inference import evaluation
from astrojax.inference.table import Table
from astrojax.nn import mixture
from astrojax.training import checkpoint


def combine(members: Sequence[Table]) -> Table:
    """Returns the table of an ensemble: pooled redshift densities, embeddings side by side.

    Args:
        members: Tables of the same objects in the same order, each with a redshift prediction.

    Raises:
        UserError: Fewer than two members, other objects, or a member without redshifts.
    """
    if len(members) < 2:
        raise UserError("an ensemble needs at least two runs")
    first = members[0]
    for member in members:
        if not np.array_equal(member.id, first.id):
            raise UserError(
                "the runs were evaluated on other objects than each other: an ensemble needs one "
                "data set and one split (the same section `data`, its seed included)"
            )
        if "redshift" not in member.predictions:
            raise UserError("a run of the ensemble predicts no redshift")
    points = np.stack([member.predictions["redshift"] for member in members], axis=1)
    scatter = np.maximum(points.std(axis=1, ddof=1), mixture.SIGMA_FLOOR)[:, None]
    densities = [
        mixture.read(member.predictions, "redshift")
        or mixture.Mixture(np.ones_like(point), point, scatter)
        for member, point in zip(members, np.split(points, len(members), axis=1), strict=True)
    ]
    found = mixture.summary(mixture.pool(densities), "redshift")
    embedding = np.concatenate([member.embedding for member in members], axis=1)
    predictions = {name: np.asarray(value, np.float32) for name, value in found.items()}
    return Table(first.id, embedding, predictions, first.columns)


def evaluate_runs(workdirs: Sequence[Path], out: Path) -> None:
    """Combines the tables of evaluated runs and reports on the ensemble.

    Args:
        workdirs: Folders of the runs.
        out: Folder for the tables, `metrics.json` and `report.html`.

    Raises:
        UserError: A run was not evaluated, has no such task, or does not fit the others; or the
            folder has results already, or another process is writing them.
    """
    with files.lock(out):
        if (out / "metrics.json").exists():
            raise UserError(f"{out} exists already: choose another --out")
        _evaluate_runs(workdirs, out)


def _evaluate_runs(workdirs: Sequence[Path], out: Path) -> None:
    """Reports on an ensemble in a folder that is locked."""
    config = checkpoint.read_config(workdirs[0])
    sections = config["evaluate"]
    for task in ("photoz", "uncertainty"):
        if task not in sections:
            raise UserError(f"{workdirs[0]} has no evaluation '{task}': set it in the experiment")
    tables = {}
    for split in ("validation", "test"):
        members = [
            Table.load(workdir / evaluation.FOLDER / f"{split}.parquet") for workdir in workdirs
        ]
        tables[split] = combine(members)
        tables[split].save(out / f"{split}.parquet")
    sources = open_sources(config["data"])
    given = {"tables": tables, "out": out}
    found = [
        call(photoz.evaluate, sections["photoz"], path="evaluate.photoz", sources=sources, **given),
        call(uncertainty.evaluate, sections["uncertainty"], path="evaluate.uncertainty", **given),
    ]
    config = config | {"members": [str(workdir) for workdir in workdirs]}
    print(report.write(out, found, config=config, cost={}))
    print(f"results: {out / 'report.html'}")
