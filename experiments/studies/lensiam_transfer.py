# SPDX-License-Identifier: Apache-2.0
"""LenSiam's claim, tested: the Einstein radius from 1,000 labels, with four kinds of pretraining.

    python experiments/studies/lensiam_transfer.py --out runs/lensiam_transfer
    python experiments/studies/lensiam_transfer.py --imagenet resnet18-f37072fd.pth

LenSiam and SimSiam are pretrained per seed as their experiments have it. Then another survey is
simulated, with the pixels, PSFs and noise of Euclid: a network from either, one from scratch and,
if torchvision's ResNet-18 weights are given, one from ImageNet are fine-tuned on its 1,000 labelled
lenses (of which 200 choose the epoch) and tested on 1,000 others. Besides, ridge regressions on the
frozen features are asked for all eight lens parameters, and the neighbourhoods of the pretraining
survey's test set for the same (kNN R2).

What is finished is not repeated, so the study can be stopped and started again. `table.csv` has
one row per method and seed, `summary.csv` mean and standard deviation over seeds, `transfer.png`
the R2 of both, and `embeddings.png` the planes of LenSiam and SimSiam side by side.
"""

import argparse
import dataclasses
import importlib.util
import json
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
from common import experiment, run, summarise, write_rows

from astrojax import files
from astrojax.data.open import open_sources
from astrojax.evaluate import linear_probe, plots, projection, regression
from astrojax.inference import evaluation
from astrojax.inference.embedder import embed
from astrojax.simulate.lens.deflection import Lens
from astrojax.simulate.lens.lens_scene import EUCLID
from astrojax.training import checkpoint, loop
from astrojax.training.run import Run

PRETRAINED = {"LenSiam": "lensiam", "SimSiam": "simsiam_lenses"}
METHODS = (*PRETRAINED, "from scratch", "ImageNet")
ANGLES = ("theta_E", "center_x", "center_y")  # arcsec; the other parameters have no unit
PENALTIES = tuple(10.0**p for p in range(-5, 3))


def pretraining(method: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The config of a pretraining run; every seed has its own lenses."""
    config = experiment(PRETRAINED[method], "smoke" if options.smoke else "")
    config["data"] |= {"seed": seed}
    return config | {"seed": seed, "epochs": options.speed * config["epochs"], "log_every": 100}


def finetuning(
    method: str, seed: int, folder: Path | None, options: argparse.Namespace
) -> dict[str, Any]:
    """The config of a regression of theta_E; `folder` has the pretraining run, if there is one."""
    like = pretraining("LenSiam", seed, options)
    init = None
    backbone = like["method"]["backbone"]
    if folder is not None:
        init = {"name": "run", "workdir": str(folder), "parts": {"backbone": "backbone"}}
        init["stem"] = None
    if method == "ImageNet":
        init = {"name": "torch", "path": options.imagenet, "arch": "torchvision/resnet18"}
        init |= {"part": "backbone", "stem": "mean"}
        backbone = backbone | {"depths": (2, 2, 2, 2), "width": 64}
    data = {k: v for k, v in like["data"].items() if k in ("name", "population", "psfs", "stamps")}
    count = 2000 if not options.smoke else 96
    held = {"count": count, "validation": count // 10, "test": count // 2, "seed": 1000 + seed}
    observation = dataclasses.asdict(EUCLID) | ({"supersampling": 1} if options.smoke else {})
    return like | {
        "epochs": 1.0 if options.smoke else 80.0,
        "batch_size": 16 if options.smoke else 64,
        "data": data | held | {"observation": observation},
        "init": init,
        "monitor": {
            "every_epochs": 1.0 if options.smoke else 2.0,
            "examples": 1000,
            "knn_label": None,
            "collapse": "warn",
            "patience": 15,
        },
        "method": {
            "name": "supervised",
            "backbone": backbone,
            "backbone_outputs": None,
            "neck": (),
            "head": (),
            "mlp_init": "lecun_normal",
            "target": "theta_E",
            "outputs": 1,
            "error": "squared",
            "huber_delta": 1.0,
            "target_offset": (1.3,),
            "target_scale": (0.23,),  # of a uniform distribution from 0.9 to 1.7
            "class_weights": None,
            "dropout": 0.0,
            "max_norm": None,
            "train_backbone": True,
            "test_time_augmentation": 1,
            # What leaves the Einstein radius alone.
            "view": {
                "name": "galaxy",
                "crop": 56,
                "rotate": True,
                "flip": True,
                "zoom": (1.0, 1.0),
                "shift": 1.0,
                "noise": 0.0,
                "blur": None,
            },
            "stretch": like["method"]["stretch"],
        },
        "optim": {
            "optimizer": {"name": "adamw", "weight_decay": 1e-4, "b1": 0.9, "b2": 0.999},
            "schedule": {
                "name": "cosine",
                "peak_value": 1e-3,
                "warmup_epochs": 0.0 if options.smoke else 2.0,
                "init_value": 0.0,
                "end_value": 1e-6,
            },
            "decay_bias_and_norm": False,
            "fixed_lr": (),
            "frozen": (),
            "clip_norm": 1.0,
            "accumulate": 1,
            "skip_nonfinite": 0,
        },
        "evaluate": {},
    }


def one_run(
    method: str, seed: int, sources: dict[str, Any], options: argparse.Namespace
) -> dict[str, float]:
    """Trains what has to be, scores it, and remembers the scores."""
    name = f"{method.lower().replace(' ', '_')}_{seed}"
    scores, found = options.out / f"finetune_{name}" / "scores.json", {}
    if scores.exists():
        return json.loads(scores.read_text(encoding="utf-8"))
    folder = None
    if method in PRETRAINED:
        folder = options.out / name
        loop.train(pretraining(method, seed, options), folder)
        found |= neighbourhoods(folder, options.out / f"{name}.npz")
    config = finetuning(method, seed, folder, options)
    found |= probes(config, sources)
    loop.train(config, scores.parent, sources)
    job = Run(config, sources)
    trained = job.method_at(evaluation.restore(job, scores.parent))
    table = embed(trained, sources["test"], batch_size=256, threads=0, mesh=job.mesh)
    tested = regression.metrics(table.predictions["theta_E"], table.columns["theta_E"])
    found = tested | found
    files.write_json(scores, found)
    return found


def probes(config: dict[str, Any], sources: dict[str, Any]) -> dict[str, float]:
    """R2 of a ridge regression from the features before fine-tuning to each lens parameter."""
    job = Run(config, sources)
    method = job.method_at(job.initial_state())
    tables = [
        embed(method, sources[split], batch_size=256, threads=0, mesh=job.mesh)
        for split in ("train", "validation", "test")
    ]
    found = {}
    for name in Lens._fields:
        pairs = [(t.embedding.astype(np.float64), np.float64(t.columns[name])) for t in tables]
        (x, y), (val_x, val_y), (test_x, test_y) = pairs
        probe = linear_probe.regress(x, y, val_x, val_y, test_x, penalties=PENALTIES)
        found[f"probe_{name}_r2"] = regression.metrics(probe.predicted, test_y)["r2"]
    return found


def neighbourhoods(folder: Path, points: Path) -> dict[str, float]:
    """The kNN R2 of each parameter in a pretraining run's own test set; writes its plane."""
    job = Run(checkpoint.read_config(folder))
    method = job.method_at(evaluation.restore(job, folder))
    table = embed(method, job.sources["test"], batch_size=256, threads=0, mesh=job.mesh)
    embedding = table.embedding.astype(np.float64)
    kind = "umap" if importlib.util.find_spec("umap") else "tsne"
    plane = projection.plane(embedding, method=kind, perplexity=15.0, neighbors=15, seed=0)
    truth = {name: np.float64(table.columns[name]) for name in Lens._fields}
    structure = {k: projection.structure(embedding, v, k=10) for k, v in truth.items()}
    np.savez(points, plane=plane, kind=kind, structure=np.array([*structure.values()]), **truth)
    return {f"knn_{k}_r2": r2 for k, r2 in structure.items()}


def transfer_figure(summary: list[dict[str, Any]], path: Path) -> None:
    """R2 of the fine-tuned networks, and of the probes on frozen features."""
    canvas = plots.figure(11, 4)
    left, right = canvas.subplots(1, 2, gridspec_kw={"width_ratios": (1, 2.5)})
    names = [line["method"] for line in summary]
    spread = np.nan_to_num([line["r2_std"] for line in summary])
    left.bar(names, [line["r2"] for line in summary], yerr=spread, capsize=4, color="0.6")
    left.set_ylabel("$R^2$ of the Einstein radius, fine-tuned")
    left.tick_params(axis="x", rotation=30)
    x = np.arange(len(Lens._fields))
    for i, line in enumerate(summary):
        height = [line[f"probe_{name}_r2"] for name in Lens._fields]
        error = np.nan_to_num([line[f"probe_{name}_r2_std"] for name in Lens._fields])
        width = 0.8 / len(summary)
        right.bar(x + i * width, height, width, yerr=error, capsize=2, label=line["method"])
    right.set_xticks(x + 0.4 - 0.4 / len(summary), Lens._fields)
    right.set_ylabel("$R^2$ of a probe on frozen features")
    right.legend(frameon=False, fontsize=8)
    plots.save(canvas, path)


def plane_figure(points: dict[str, Path], path: Path) -> None:
    """The planes of the methods as rows, colored by each parameter, with its kNN R2."""
    count = len(Lens._fields)
    canvas = plots.figure(2.1 * count, 2.3 * len(points) + 0.5)
    cells = canvas.subplots(len(points), count, squeeze=False)
    for row, (method, file) in zip(cells, points.items(), strict=True):
        with np.load(file) as stored:
            kind = {"umap": "UMAP", "tsne": "t-SNE"}[str(stored["kind"])]
            colors = [
                cell.scatter(*stored["plane"].T, c=stored[name], s=2, lw=0, rasterized=True)
                for cell, name in zip(row, Lens._fields, strict=True)
            ]
            for cell, name, r2 in zip(row, Lens._fields, stored["structure"], strict=True):
                cell.set(xticks=(), yticks=(), title=f"{name}: $R^2$ {r2:.2f}")
        row[0].set(xlabel=f"{kind} 1", ylabel=f"{method}\n{kind} 2")
    for column, dots, name in zip(cells.T, colors, Lens._fields, strict=True):
        unit = " (arcsec)" if name in ANGLES else ""
        canvas.colorbar(dots, ax=column, label=name + unit, orientation="horizontal", aspect=15)
    plots.save(canvas, path)


def main() -> None:
    """Runs what is missing, then writes the tables and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/lensiam_transfer"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--speed", type=float, default=1.0, help="multiple of the default epochs")
    parser.add_argument("--imagenet", default=None, help="torchvision's ResNet-18 weights")
    parser.add_argument("--smoke", action="store_true", help="everything in a minute, tiny")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    methods = METHODS if options.imagenet else METHODS[:-1]
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        sources = open_sources(finetuning("from scratch", seed, None, options)["data"])
        for method in methods:
            scores = one_run(method, seed, sources, options)
            rows.append({"method": method, "seed": seed, **scores})
            logging.info(
                "%d of %d: %s, seed %d: R2 of theta_E %.3f fine-tuned, %.3f frozen",
                len(rows),
                len(options.seeds) * len(methods),
                method,
                seed,
                scores["r2"],
                scores["probe_theta_E_r2"],
            )
            write_rows(options.out / "table.csv", rows)
            jax.clear_caches()  # compiled steps of other networks are not needed again
    summary = summarise(rows, "method")
    write_rows(options.out / "summary.csv", summary)
    transfer_figure(summary, options.out / "transfer.png")
    first = options.seeds[0]
    planes = {m: options.out / f"{m.lower()}_{first}.npz" for m in PRETRAINED}
    plane_figure(planes, options.out / "embeddings.png")


if __name__ == "__main__":
    run(main)
