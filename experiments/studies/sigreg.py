# SPDX-License-Identifier: Apache-2.0
"""Does SIGReg keep I-JEPA from collapse? Its weight, its form and the size of the network.

    python experiments/studies/sigreg.py --out runs/sigreg

AstroJEPA's table, on simulated galaxies: two sizes, weights 0, 0.01 and 0.6 of its own form of the
statistic (without the factor N) and of LeJEPA's (with it), each for several seeds; beside them
the untrained encoder. Per run: accuracy of a linear probe and of kNN on the test set; collapse as
the spread and the effective rank of the test embeddings and as the cosine of predicted patches with
their targets and with another galaxy's; and the rank correlation, along training, of the loss with
the kNN accuracy on validation (whether the loss can choose the model without labels: -1 if so).

A run that is finished is not repeated, so the study can be stopped and started again at any
moment. `table.csv` has one row per run, `summary.csv` mean and standard deviation over seeds,
`training.csv` what was seen along training.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
from common import experiment, run, summarise, write_rows
from flax import nnx

from astrojax import files
from astrojax.data.open import open_sources
from astrojax.evaluate import classification, collapse, heatmaps, knn, linear_probe
from astrojax.inference import evaluation
from astrojax.inference.embedder import embed
from astrojax.training import loop, metric_log
from astrojax.training.run import Run

SIZES = {
    "small": {"backbone": {"width": 96, "depth": 4}, "predictor": {"width": 48, "depth": 2}},
    "large": {"backbone": {"width": 192, "depth": 6}, "predictor": {"width": 96, "depth": 3}},
}
FORMS = {
    "astrojepa": {"sigreg_n_scaled": False, "sigreg_t_max": 5.0, "sigreg_points": 9},
    "lejepa": {"sigreg_n_scaled": True, "sigreg_t_max": 3.0, "sigreg_points": 17},
}
SETTING = ("size", "form", "weight")


def config_of(size: str, form: str, weight: float, seed: int, epochs: float | None) -> dict:
    """The config of `experiments/ijepa.py` with the settings of one run."""
    config = experiment("ijepa")
    method = config["method"]
    for part, changes in SIZES[size].items():
        method[part] |= changes
    method |= FORMS.get(form, {}) | {"sigreg_weight": weight}
    config["monitor"] |= {"every_epochs": 1.0, "collapse": "warn"}
    return config | {"seed": seed, "epochs": epochs or config["epochs"], "evaluate": {}}


def plan(sizes: list[str], forms: list[str], weights: list[float]) -> list[tuple]:
    """Settings (size, form, weight); without SIGReg its form does not matter."""
    found = []
    for size in sizes:
        found += [(size, "untrained", 0.0)]
        found += [(size, "none", 0.0)] if 0.0 in weights else []
        found += [(size, form, w) for form in forms for w in weights if w > 0]
    return found


def one_run(setting: tuple, seed: int, epochs: float | None, out: Path, sources: dict) -> dict:
    """Trains and scores one setting unless that is done; the scores."""
    size, form, weight = setting
    folder = out / f"{size}_{form}_{weight:g}_{seed}"
    path = folder / "scores.json"
    if not path.exists():
        config = config_of(size, form, weight, seed, epochs)
        if form == "untrained":
            job = Run(config, sources)
            state = job.initial_state()
        else:
            loop.train(config, folder, sources)
            job = Run(config, sources)
            state = evaluation.restore(job, folder)
        found = scores(job, job.method_at(state), sources) | along_training(folder)
        files.write_json(path, found)
    return json.loads(path.read_text(encoding="utf-8"))


def scores(job: Run, method: Any, sources: dict) -> dict[str, float]:
    """What a linear probe, kNN, and the signs of collapse say of a method."""
    tables = {
        split: embed(method, source, batch_size=256, threads=0, mesh=job.mesh)
        for split, source in sources.items()
    }
    x = {split: table.embedding for split, table in tables.items()}
    y = {split: np.asarray(table.columns["label"], np.int64) for split, table in tables.items()}
    probe = linear_probe.classify(
        x["train"],
        y["train"],
        x["validation"],
        y["validation"],
        x["test"],
        penalties=(1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        max_iterations=300,
    )
    probed = classification.metrics(probe.predicted, y["test"])
    voted = knn.predict(x["train"], y["train"], x["test"], k=20, temperature=0.1)
    health = collapse.health(jax.numpy.asarray(x["test"]))
    images = np.stack([sources["test"][i]["image"] for i in range(min(128, len(x["test"])))])
    maps = heatmaps.patch_maps(method, images, num_masks=16, seed=0)
    params = jax.tree.leaves(nnx.state(method, nnx.Param))
    return {
        "parameters": sum(p.size for p in params),
        "probe_accuracy": probed["accuracy"],
        "probe_balanced": probed["balanced_accuracy"],
        "knn_accuracy": float(np.mean(np.asarray(voted) == y["test"])),
        "feature_std": float(health["feature_std"]),
        "effective_rank": float(health["effective_rank"]),
        "cosine": float(np.nanmean(maps["cosine"])),
        "cosine_other": float(np.nanmean(maps["cosine_other"])),
    }


def along_training(folder: Path) -> dict[str, float]:
    """The last losses, and Spearman's correlation of loss and kNN accuracy along training."""
    from scipy.stats import spearmanr

    seen = looks(folder)
    if len(seen) < 3:
        return {}
    loss, accuracy = ([line[name] for line in seen] for name in ("loss", "knn_label"))
    found = {"spearman_loss_knn": float(spearmanr(loss, accuracy).statistic)}
    return found | {k: seen[-1][k] for k in ("prediction", "sigreg") if k in seen[-1]}


def looks(folder: Path) -> list[dict[str, float]]:
    """Each look of the monitor, with the losses that were logged last before it."""
    found, last = [], {}
    for record in metric_log.read(folder):
        if "loss" in record:
            last = record
        if "knn_label" in record and last:
            found.append(last | record)
    return found


def main() -> None:
    """Runs what is missing, then writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/sigreg"))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.01, 0.6])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, help="the experiment's own if not given")
    a = parser.parse_args()

    sources = open_sources(config_of("small", "none", 0.0, 0, None)["data"])
    settings = plan(a.sizes, a.forms, a.weights)
    runs = [(setting, seed) for seed in a.seeds for setting in settings]
    rows, seen = [], []
    for number, (setting, seed) in enumerate(runs, 1):
        found = one_run(setting, seed, a.epochs, a.out, sources)
        where = dict(zip(SETTING, setting, strict=True)) | {"seed": seed}
        rows.append(where | found)
        folder = a.out / f"{setting[0]}_{setting[1]}_{setting[2]:g}_{seed}"
        seen += [where | line for line in looks(folder)]
        logging.info(
            "%d of %d: %s, %s, weight %g, seed %d: probe %.3f, feature_std %.3f, rank %.1f",
            number,
            len(runs),
            *setting,
            seed,
            found["probe_accuracy"],
            found["feature_std"],
            found["effective_rank"],
        )
        write_rows(a.out / "table.csv", rows)
        write_rows(a.out / "summary.csv", summarise(rows, *SETTING))
        if seen:
            write_rows(a.out / "training.csv", seen)


if __name__ == "__main__":
    run(main)
