# SPDX-License-Identifier: Apache-2.0
"""Accuracy against the number of labels: Figure 5 and Table III of Martinazzo et al. (2020).

    python experiments/studies/low_data.py --out runs/low_data --pretext magnitudes=runs/magnitudes
    python experiments/studies/low_data.py --out runs/low_data_stars --task stars \
        --archive star_galaxy.npz --sizes 100 200 400 800 1600 --pretext magnitudes=runs/magnitudes
    python experiments/studies/low_data.py --out runs/low_data_sgq --task sgq --network vgg16 \
        --archive splus_classes.csv --cutouts cutouts --imagenet vgg16-397923af.pth \
        --pretext magnitudes=runs/magnitudes_paper

The 18 training sizes of the paper are nested, every one has all classes, and validation and test
sets stay the same. Each of three runs draws another order of the labels and another start. At each
size: the network from scratch; a linear probe, a new top and fine-tuning of each --pretext; and
probe and top of frozen random features. All sizes take the same number of steps at most, fewer by
early stopping with patience 10. A run that is finished is not repeated, so the study can be stopped
and started again at any moment. `table.csv` has one row per run, `summary.csv` mean and standard
deviation, and `low_data.png` the figure: dashed for features, dash-dotted for probes, solid for
fine-tuning, dotted from scratch.
"""

import argparse
import logging
import time
from pathlib import Path
from typing import Any

from common import run, summarise, write_rows
from schemes import one_run, prepare, rows_of, sources_of, stages_of

from astrojax.data.transforms.labels import thin_labels

SIZES = (*range(100, 1001, 100), 1500, 2000, 2500, 3000, 10000, 20000, 30000, 40000)

STYLES = {"features": "--", "probe": "-.", "fine-tuning": "-"}


def with_labels(
    config: dict[str, Any], count: int, seed: int, steps: int, look: int
) -> dict[str, Any]:
    """The config with `count` labels, for as many steps and looks as with any other count."""
    size = min(config["batch_size"], count)
    labels = {"column": "label", "count": count, "drop_unlabelled": True, "seed": seed}
    config |= {"batch_size": size, "epochs": steps * size / count}
    config["data"] = {**config["data"], "labels": labels}
    if config["monitor"] is not None:
        config["monitor"] = {**config["monitor"], "every_epochs": look * size / count}
    return config


def figure(summary: list[dict[str, Any]], path: Path) -> None:
    """Accuracy and balanced accuracy against the number of labels."""
    from astrojax.evaluate import plots

    canvas = plots.figure(10, 4)
    axes = canvas.subplots(1, 2)
    names = list(dict.fromkeys(line["row"] for line in summary))
    colors = {name: f"C{i}" for i, name in enumerate(dict.fromkeys(map(_source, names)))}
    for axis, score in zip(axes, ("accuracy", "balanced_accuracy"), strict=True):
        for name in names:
            lines = [line for line in summary if line["row"] == name]
            style = STYLES.get(name.split()[0], ":")
            axis.errorbar(
                [line["labels"] for line in lines],
                [line[score] for line in lines],
                [line[f"{score}_std"] for line in lines],
                ls=style,
                color=colors[_source(name)],
                marker="o",
                ms=3,
                capsize=2,
                label=name,
            )
        axis.set(xscale="log", xlabel="training labels", ylabel=f"test {score.replace('_', ' ')}")
    axes[0].legend(fontsize=8, frameon=False)
    plots.save(canvas, path)


def _source(name: str) -> str:
    return name.partition("(")[2].rstrip(")") or name


def main() -> None:
    """Runs what is missing, then writes the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/low_data"))
    parser.add_argument("--task", default="survey")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--steps", type=int, default=1500, help="most steps of a run")
    parser.add_argument("--look", type=int, default=25, help="steps between validations")
    arguments = prepare(parser)
    keys = {"task": arguments.task, "low_data": True, **arguments.keys}
    plan = rows_of(arguments.network, arguments.pretext, arguments.imagenet, arguments.schemes)
    first = stages_of("scratch", keys, "random", "", None, 0, 1.0)[0]
    if first["data"]["name"] == "survey":
        first["data"]["count"] = max(arguments.sizes)
    sources = sources_of(first, arguments, 0)
    jobs = [(size, seed, r) for seed in arguments.seeds for size in arguments.sizes for r in plan]
    rows, began = [], time.monotonic()
    for size, seed, (row, scheme, source, folder, network) in jobs:
        stages = stages_of(scheme, keys, source, folder, network, seed, 1.0)
        for stage in stages:
            stage["data"] = first["data"]
            steps = arguments.steps if stage is stages[-1] else min(300, arguments.steps)
            with_labels(stage, size, seed, steps, arguments.look)
        labels = stages[0]["data"]["labels"]
        few = {**sources, "train": thin_labels(sources["train"], **labels)}
        where = row.replace(" ", "_").replace("(", "").replace(")", "").replace(",", "")
        scores = one_run(scheme, stages, arguments.out / where / f"{size}_{seed}", few)
        rows.append({"row": row, "labels": size, "seed": seed, **scores})
        logging.info(
            "%d of %d: %s, %d labels, seed %d: accuracy %.4f (%.1f min)",
            len(rows),
            len(jobs),
            row,
            size,
            seed,
            scores["accuracy"],
            (time.monotonic() - began) / 60,
        )
        write_rows(arguments.out / "table.csv", rows)
    summary = summarise(rows, "row", "labels")
    write_rows(arguments.out / "summary.csv", summary)
    figure(summary, arguments.out / "low_data.png")


if __name__ == "__main__":
    run(main)
