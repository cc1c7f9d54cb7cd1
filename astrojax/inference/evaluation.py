# SPDX-License-Identifier: Apache-2.0
"""The evaluation of a run: checkpoint -> tables of embeddings -> tasks -> report."""

import inspect
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astrojax import distributed, files
from astrojax.config import plain
from astrojax.data.source import Source
from astrojax.errors import UserError
from astrojax.evaluate import RUNTIME, bind_tasks, plots, report
from astrojax.inference.embedder import Embedder
from astrojax.training import checkpoint, metric_log, targets
from astrojax.training.run import Run
from astrojax.training.settings import resolve

FOLDER = "evaluation"


def run(
    workdir: Path,
    sources: dict[str, Source] | None = None,
    *,
    other: Mapping[str, Any] | None = None,
    folder: str = FOLDER,
    wait: bool = False,
) -> None:
    """Embeds every split with a run's weights, runs the config's tasks and writes the report.

    Results are in `workdir/evaluation`: `metrics.json`, `report.html`, figures, and one Parquet
    table per split. Where several processes run, all embed and process 0 alone does the rest.

    Args:
        workdir: Folder of the run.
        sources: Opened data, where many runs share it; None opens what the config names.
        other: A config whose sections `data` and `evaluate` stand in for the run's own: what the
            run was trained on need not have labels.
        folder: Name of the folder of results in `workdir`.
        wait: Whether to wait for another process that writes these results.

    Raises:
        UserError: There is no trained run in the folder, or a task's keys do not fit, or the other
            data have other bands or another unit, or another process is writing the results.
    """
    checkpoint.read_config(workdir)
    with distributed.only_main(files.lock(workdir / folder, wait=wait)):
        _evaluate(workdir, sources, other, workdir / folder)


def _evaluate(
    workdir: Path,
    sources: dict[str, Source] | None,
    other: Mapping[str, Any] | None,
    out: Path,
) -> None:
    """Writes the results of a run into a folder that is locked."""
    config = checkpoint.read_config(workdir)
    if other is not None:
        config = _with_data(config, plain(other))
    job = Run(config, sources)
    targets.check_tasks(job)
    tasks = bind_tasks(job.keys.evaluate)
    state = restore(job, workdir)
    method = job.method_at(state)
    out.mkdir(parents=True, exist_ok=True)
    if distributed.is_main():  # it is the mark of a complete evaluation, which this is not yet
        (out / "metrics.json").unlink(missing_ok=True)
    tables = {}
    # One size for all splits, so that there is one program to compile.
    size = min(256, max(len(source) for source in job.sources.values()))
    embedder = Embedder(method, mesh=job.mesh, batch_size=size)
    for split, source in job.sources.items():
        if len(source):
            logging.info("embedding %d %s images", len(source), split)
            tables[split] = embedder.table(source, threads=job.keys.threads)
            if distributed.is_main():
                tables[split].save(out / f"{split}.parquet")
    method = job.method_at(distributed.fully_replicated(job.mesh, state))
    if not distributed.is_main():
        return
    curves = plots.loss_curves(metric_log.read(workdir), out / "training.png")
    sections = [report.Section("training", {}, [report.Figure(curves, "The run's log.")])]
    for name, task in tasks.items():
        logging.info("evaluating: %s", name)
        known = dict(zip(RUNTIME, (tables, job.sources, out, method), strict=True))
        taken = {k: v for k, v in known.items() if k in inspect.signature(task.fn).parameters}
        sections.append(task(**taken))
    print(report.write(out, sections, config=config, cost=cost(workdir)))
    print(f"results: {out / 'report.html'}")


def restore(job: Run, workdir: Path) -> Any:
    """Returns the state of a run's best checkpoint, or of the newest if validation chose none.

    Raises:
        UserError: There is none.
    """
    folder = checkpoint.newest(workdir).parent
    found = checkpoint.Checkpoints(folder, keep=job.keys.keep, read_only=True).restore(
        job.abstract_state()
    )
    if found is None:
        raise UserError(f"{workdir} has no checkpoint yet: train it first")
    return found[0]


def done(workdir: Path) -> bool:
    """Returns whether a run was evaluated."""
    return (workdir / FOLDER / "metrics.json").is_file()


def adopt(config: Any, workdir: Path) -> bool:
    """Gives a finished run the evaluation of a config; returns whether that is another one.

    Args:
        config: The config that the run is started with again.
        workdir: Folder of the run.
    """
    tasks = resolve(config).to_json()["evaluate"]
    kept = checkpoint.read_config(workdir)
    if json.dumps(tasks, sort_keys=True) == json.dumps(kept["evaluate"], sort_keys=True):
        return False
    if distributed.is_main():
        (workdir / FOLDER / "metrics.json").unlink(missing_ok=True)
        checkpoint.write_config(workdir, {**kept, "evaluate": tasks})
    return True


def summary(workdir: Path) -> str:
    """Returns the numbers of an evaluated run, and where its results are."""
    numbers = files.read_json(workdir / FOLDER / "metrics.json")
    return f"{json.dumps(numbers, indent=2)}\nresults: {workdir / FOLDER / 'report.html'}"


def _with_data(config: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The config of a run with the data and tasks of another, whose bands and unit have to agree.

    Only readers that are told both, in `data.info`, can be compared.
    """
    here, there = (c["data"].get("info") or {} for c in (config, other))
    for key in ("bands", "unit"):
        if key in here and key in there and here[key] != there[key]:
            raise UserError(
                f"the run was trained with data.info.{key} {here[key]!r}, and the data to evaluate "
                f"it on have {there[key]!r}"
            )
    return {**config, "data": other["data"], "evaluate": other["evaluate"]}


def cost(workdir: Path) -> dict[str, Any]:
    """Returns what the training took, as `finished.json` has it; empty for an unfinished run."""
    path = workdir / "finished.json"
    return files.read_json(path) if path.is_file() else {}
