# SPDX-License-Identifier: Apache-2.0
r"""PITA's claim, tested: photo-z quality against the number of redshift labels, four methods.

    python experiments/studies/pita_labels.py --out runs/pita_labels
    python experiments/studies/pita_labels.py --candels candels.h5 --thinning 1 2 4 8 16 32 \
        --out runs/candels

Every method sees the same simulated survey; the labels of a smaller size are among those of a
larger one. PITA keeps all galaxies without a label in its pool, MoCo pretrains on all of them once
per seed and is fine-tuned on the labels, the supervised ConvNeXt and the photometry MLP see the
labelled ones alone. All take as many steps, whatever the number of labels. A run that is finished
is not repeated, so the study can be stopped and started again at any moment. `table.csv` has one
row per run, `summary.csv` mean and standard deviation over seeds, `labels.png` the figure.

With --candels the galaxies are those of the authors' file, and every method is its `:paper`:
without --thinning Table 1 of the paper, with it Figure 7, labels being thinned by these factors.
Supervised methods then take the published epochs over the labels there are. For several
accelerators; not run at this size.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from common import experiment, run, summarise, write_rows

from astrojax import files
from astrojax.data.open import open_sources
from astrojax.data.transforms.labels import thin_labels
from astrojax.evaluate import photoz
from astrojax.inference import evaluation
from astrojax.inference.embedder import embed
from astrojax.training import loop
from astrojax.training.run import Run

METHODS = {  # name: (experiment, variant)
    "PITA": ("pita", ""),
    "supervised": ("photoz_supervised", ""),
    "MoCo + fine-tuning": ("moco", "finetune"),
    "photometry MLP": ("photoz_mlp", ""),
}
PAPER = {
    "PITA": ("pita", "paper"),
    "supervised": ("photoz_supervised", "paper"),
    "MoCo + fine-tuning": ("moco", "paper_finetune"),
    "photometry MLP": ("photoz_mlp", "paper"),
}
SHOWN = {"nmad": "NMAD", "outlier_fraction": "outlier fraction", "bias": "bias"}


def config_of(
    name: str, variant: str, seed: int, speed: float, candels: str | None
) -> dict[str, Any]:
    """An experiment's config with another seed and file, and `speed` times its epochs."""
    config = experiment(name, variant)
    if candels:
        config["data"]["path"] = candels
        schedule = config["optim"]["schedule"]
        for key in ("warmup_epochs", "half_period_epochs"):
            schedule |= {key: speed * schedule[key]} if key in schedule else {}
    return config | {"seed": seed, "epochs": speed * config["epochs"], "log_every": 100}


def with_labels(
    config: dict[str, Any], count: int, every: int, steps: int | None
) -> dict[str, Any]:
    """The config with `count` of `every` label.

    Where only labelled objects train, they do so for `steps` steps, or for the config's own epochs
    if that is None; where they stand more often in an epoch, they keep their share of it, and with
    that the epoch its length.
    """
    data = dict(config["data"])
    if "oversample" in data:
        times = round(data["oversample"]["times"] * every / count)
        data["oversample"] = {**data["oversample"], "times": times}
    only = data.get("labels", {}).get("drop_unlabelled", False)
    data["labels"] = {"column": "redshift", "count": count, "drop_unlabelled": only, "seed": 0}
    config = {**config, "data": data}
    if only:
        size = min(config["batch_size"], count)
        config |= {"batch_size": size}
        if steps is None:
            return config
        config["epochs"] = steps * size / count
        schedule = dict(config["optim"]["schedule"])
        schedule["warmup_epochs"] = 0.05 * config["epochs"]
        config["optim"] = {**config["optim"], "schedule": schedule}
    return config


def one_run(config: dict[str, Any], folder: Path, sources: dict[str, Any]) -> dict[str, float]:
    """Trains if it has to, and scores the test set; remembers the scores."""
    scores = folder / "scores.json"
    if not scores.exists():
        labels = config["data"].get("labels")
        if labels:
            sources = {**sources, "train": thin_labels(sources["train"], **labels)}
        loop.train(config, folder, sources)
        job = Run(config, sources)
        method = job.method_at(evaluation.restore(job, folder))
        table = embed(method, sources["test"], batch_size=256, threads=0, mesh=job.mesh)
        found = photoz.metrics(table.predictions["redshift"], table.columns["redshift"])
        files.write_json(scores, found)
    return json.loads(scores.read_text(encoding="utf-8"))


def summary_figure(summary: list[dict[str, Any]], path: Path) -> None:
    """NMAD, outlier fraction and bias against the number of labels."""
    from astrojax.evaluate import plots

    canvas = plots.figure(12, 4)
    axes = canvas.subplots(1, len(SHOWN))
    for axis, (key, label) in zip(axes, SHOWN.items(), strict=True):
        for name in METHODS:
            rows = [r for r in summary if r["method"] == name]
            x = [r["labels"] for r in rows]
            y, error = ([r[f"{key}{suffix}"] for r in rows] for suffix in ("", "_std"))
            axis.errorbar(x, y, error, marker="o", capsize=3, label=name)
        axis.set(xscale="log", xlabel="training galaxies with a redshift", ylabel=label)
    axes[0].legend(frameon=False)
    plots.save(canvas, path)


def main() -> None:
    """Runs what is missing, then writes the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/pita_labels"))
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 150, 400, 800, 1500])
    parser.add_argument("--candels", help="the authors' HDF5 file, and their training")
    parser.add_argument("--thinning", type=int, nargs="+", default=[1], help="with --candels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--speed", type=float, help="multiple of the epochs; 0.5, 1 with --candels")
    arguments = parser.parse_args()
    candels = arguments.candels
    speed = arguments.speed or (1.0 if candels else 0.5)
    methods = PAPER if candels else METHODS

    first = config_of(*methods["PITA"], 0, speed, candels)
    sources = open_sources(first["data"])
    steps = None if candels else Run(first, sources).total_steps
    every = int(np.isfinite(sources["train"].column("redshift")).sum())
    counts = [every // f for f in arguments.thinning] if candels else arguments.labels
    runs = [
        (name, count, seed)
        for seed in arguments.seeds
        for count in sorted(counts, reverse=True)
        for name in arguments.methods
    ]
    rows = []
    for number, (name, count, seed) in enumerate(runs, 1):
        base_name, variant = methods[name]
        config = config_of(base_name, variant, seed, speed, candels) | {"evaluate": {}}
        if variant.endswith("finetune"):
            folder = arguments.out / f"moco_{seed}"
            if not (folder / "finished.json").exists():
                before = config_of("moco", "paper" if candels else "", seed, speed, candels)
                loop.train(before | {"evaluate": {}}, folder, sources)
            config["init"] = {**config["init"], "workdir": str(folder)}
        config = with_labels(config, count, every, steps)
        folder = arguments.out / f"{base_name}{variant and '_' + variant}_{count}_{seed}"
        scores = one_run(config, folder, sources)
        rows.append({"method": name, "labels": count, "seed": seed, **scores})
        logging.info(
            "%d of %d: %s, %d labels, seed %d: NMAD %.4f, outliers %.3f",
            number,
            len(runs),
            name,
            count,
            seed,
            scores["nmad"],
            scores["outlier_fraction"],
        )
        write_rows(arguments.out / "table.csv", rows)
    summary = summarise(rows, "method", "labels")
    write_rows(arguments.out / "summary.csv", summary)
    summary_figure(summary, arguments.out / "labels.png")


if __name__ == "__main__":
    run(main)
