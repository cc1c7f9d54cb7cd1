# SPDX-License-Identifier: Apache-2.0
r"""Self-Classifier's ablations (paper: Tables 4 and 5) on a subset of CIFAR-10.

    python experiments/studies/self_classifier_ablation.py --data train.npz

Each run changes one thing in `experiments/self_classifier.py:cifar10_small`: the number of heads
and of classes, the MLP, the learning rate, the weight decay, or whether class directions are
learned. The paper did this on ImageNet and quotes the linear probe; here the agreement of the
clusters with the classes stands beside it. Values are the paper's in proportion: its rates over the
rate it settled on, its 4,096 hidden units as 256, its 300 to 3,000 classes as 10 to 100.

What is finished is not repeated, so the study can be stopped and started again. `table.csv` has
one row per run, `summary.csv` mean and standard deviation over seeds, `ablation.png` the figure.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
from common import experiment, run, summarise, write_rows

from astrojax import files
from astrojax.data.open import open_sources
from astrojax.evaluate import classification, clustering, linear_probe, plots
from astrojax.inference import evaluation
from astrojax.inference.embedder import embed
from astrojax.training import loop
from astrojax.training.run import Run

SHOWN = {"nmi": "NMI", "ami": "AMI", "ari": "ARI", "probe_accuracy": "linear probe"}
PENALTIES = tuple(10.0**p for p in range(-5, 1))
RATES = ("peak_value", "init_value", "end_value")

# name: {path in the config: value}; () is a network without MLP.
RUNS: dict[str, dict[str, Any]] = {
    "base: T 30, C 30, MLP 256 256 64": {},
    **{
        f"T {heads}, C {classes}": {"method.classes": (classes,) * heads}
        for heads, classes in ((1, 10), (1, 30), (1, 100), (30, 10), (30, 100))
    },
    "no MLP": {"method.mlp": ()},
    "MLP 256 64": {"method.mlp": (256, 64)},
    "MLP 256 128": {"method.mlp": (256, 128)},
    "MLP 256 256 128": {"method.mlp": (256, 256, 128)},
    **{f"rate x {factor:.2g}": {"rate": factor} for factor in (1 / 6, 1 / 3, 2 / 3, 4 / 3, 5 / 3)},
    **{
        f"weight decay {decay:g}": {"optim.optimizer.weight_decay": decay}
        for decay in (1e-7, 1e-5, 1e-4, 1e-3)
    },
    "learned classes": {"method.classifier": "learned"},
}


def base(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The config that all runs change."""
    config = experiment("self_classifier", "cifar10_small")
    config["data"] |= {"path": options.data}
    config["data"]["labels"] |= {"count": options.images}
    changed = {"seed": seed, "epochs": options.epochs, "keep": 1, "checkpoint_every": 400}
    return config | changed | {"evaluate": {}}


def changed(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The config with other values at the given paths; "rate" multiplies the learning rates."""
    for path, value in changes.items():
        if path == "rate":
            schedule = config["optim"]["schedule"]
            schedule |= {k: value * schedule[k] for k in RATES}
            continue
        *parents, key = path.split(".")
        section = config
        for name in parents:
            section = section[name]
        section[key] = value
    return config


def one_run(config: dict[str, Any], folder: Path, sources: dict[str, Any]) -> dict[str, float]:
    """Trains if it has to, and scores the test set; remembers the scores."""
    scores = folder / "scores.json"
    if not scores.exists():
        loop.train(config, folder, sources)
        job = Run(config, sources)
        method = job.method_at(evaluation.restore(job, folder))
        tables = {
            split: embed(method, sources[split], batch_size=256, threads=2, mesh=job.mesh)
            for split in ("train", "validation", "test")
        }
        parts = [(t.embedding, np.asarray(t.columns["label"])) for t in tables.values()]
        (x, y), (val_x, val_y), (test_x, test_y) = parts
        found = clustering.scores(tables["test"].predictions["cluster"], test_y)
        probe = linear_probe.classify(
            x, y, val_x, val_y, test_x, penalties=PENALTIES, max_iterations=300
        )
        scored = classification.metrics(probe.predicted, test_y)
        found["probe_accuracy"] = scored["accuracy"]
        files.write_json(scores, found)
    return json.loads(scores.read_text(encoding="utf-8"))


def figure(summary: list[dict[str, Any]], path: Path) -> None:
    """One panel per score, one line per run; the first run is the base, dotted."""
    canvas = plots.figure(12, 1 + 0.25 * len(summary))
    axes = canvas.subplots(1, len(SHOWN), sharey=True)
    place = np.arange(len(summary))
    for axis, (key, label) in zip(axes, SHOWN.items(), strict=True):
        spread = np.nan_to_num([line[f"{key}_std"] for line in summary])
        axis.errorbar([line[key] for line in summary], place, xerr=spread, fmt="o", ms=4)
        axis.axvline(summary[0][key], color="0.6", ls=":")
        axis.set_xlabel(label)
    axes[0].set_yticks(place, [line["run"] for line in summary])
    axes[0].invert_yaxis()
    plots.save(canvas, path)


def main() -> None:
    """Runs what is missing, then writes the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="NPZ file of CIFAR-10's training images")
    parser.add_argument("--out", type=Path, default=Path("runs/self_classifier_ablation"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=float, default=20.0)
    parser.add_argument("--images", type=int, default=5000, help="of the training set")
    parser.add_argument("--runs", nargs="+", default=list(RUNS), choices=list(RUNS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    sources = open_sources(base(options, 0)["data"])
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        for name in options.runs:
            config = changed(base(options, seed), RUNS[name])
            folder = options.out / f"{name.replace(':', '').replace(' ', '_')}_{seed}"
            scores = one_run(config, folder, sources)
            rows.append({"run": name, "seed": seed, **scores})
            logging.info(
                "%d of %d: %s, seed %d: AMI %.3f, ARI %.3f, linear probe %.3f",
                len(rows),
                len(options.seeds) * len(options.runs),
                name,
                seed,
                scores["ami"],
                scores["ari"],
                scores["probe_accuracy"],
            )
            write_rows(options.out / "table.csv", rows)
            jax.clear_caches()  # compiled steps of other networks are not needed again
    summary = summarise(rows, "run")
    write_rows(options.out / "summary.csv", summary)
    figure(summary, options.out / "ablation.png")


if __name__ == "__main__":
    run(main)
