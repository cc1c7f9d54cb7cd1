# SPDX-License-Identifier: Apache-2.0
"""What self-supervision on unlabelled galaxies is worth for morphology, on real images.

    python experiments/studies/morphology.py --pool galaxy_pool.npz --zoo galaxy_zoo.npz \
        --efigi efigi.npz --out runs/morphology

I-JEPA without and with SIGReg and LeJEPA are pretrained on the pool once per seed, without labels.
Their frozen features are probed for Galaxy Zoo's classes (both senses of spirals as one) and for
the Hubble types of EFIGI (`ef4`, `ef15`), with 1, 5, 10 and all per cent of the training labels,
beside the commonest class, raw pixels (64 principal components), an untrained encoder, and the
same network trained on the labels alone. Every seed is another start and another split by id; the
numbers are those of the test set. On Galaxy Zoo the anomaly scores are asked for mergers and for
images of nothing.

All archives are NPZ files with `blob`, `offsets` and `ids` (`astrojax/data/npz.py`), Galaxy Zoo
with `labels` and `class_names`, EFIGI with `T_type`. What is finished is not repeated, so the study
can be stopped and started again. `table.csv` has one row per number, `summary.csv` mean and
standard deviation over seeds, `labels.png` the label efficiency.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np
from common import experiment, run, summarise, transfer, write_rows

from astrojax import files
from astrojax.data.open import open_sources
from astrojax.data.split import split_hash
from astrojax.evaluate import anomaly, classification, collapse, linear_probe, plots
from astrojax.inference import evaluation
from astrojax.inference.embedder import embed
from astrojax.inference.table import Table
from astrojax.training import loop
from astrojax.training.run import Run

PRETRAINED = {  # name: (experiment, weight of SIGReg where it is not the experiment's)
    "I-JEPA": ("ijepa", 0.0),
    "I-JEPA + SIGReg": ("ijepa", None),
    "LeJEPA": ("lejepa", None),
}
FRACTIONS = (0.01, 0.05, 0.1, 1.0)
STRANGE = ("merger", "dont_know")
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
SIDE = 92  # pixels of every image; the networks see the 64 in the middle


def pretraining(method: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The config of a pretraining run."""
    name, weight = PRETRAINED[method]
    config = experiment(name, "pool")
    config["data"] |= {"path": str(options.pool), "resize": SIDE, "cache_in_memory": True}
    if weight is not None:
        config["method"]["sigreg_weight"] = weight
    config["monitor"] |= {"collapse": "warn"}
    epochs = options.speed * config["epochs"]
    return config | {"seed": seed, "epochs": epochs, "threads": 0, "evaluate": {}}


def labelled(task: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The data section of a task."""
    if task == "zoo":
        data = experiment("self_classifier", "galaxy_zoo")["data"] | {"path": str(options.zoo)}
    else:
        data = transfer(task=task)["data"] | {"path": str(options.efigi)}
    split = {**data["split"], "seed": seed}
    return data | {"split": split, "resize": SIDE, "cache_in_memory": True, "labels": None}


def supervised(task: str, seed: int, data: dict, options: argparse.Namespace) -> dict[str, Any]:
    """The config of the same network as LeJEPA's, trained on a task's labels alone."""
    config = transfer(task="ef4")
    like = experiment("lejepa", "pool")["method"]
    config["method"] |= {key: like[key] for key in ("backbone", "stretch")}
    config["method"]["outputs"] = len(data["classes"])
    epochs = options.speed * config["epochs"] / 2
    return config | {"data": data, "seed": seed, "epochs": epochs, "evaluate": {}}


def representations(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The encoders of a seed, {name: (job, method)}, trained where they have to be."""
    found, pool = {}, None
    for name in PRETRAINED:
        config = pretraining(name, seed, options)
        pool = open_sources(config["data"]) if pool is None else pool
        folder = options.out / f"{name.lower().replace(' ', '')}_{seed}"
        loop.train(config, folder, pool)
        job = Run(config, pool)
        found[name] = (job, job.method_at(evaluation.restore(job, folder)))
    found["untrained encoder"] = (job, job.method_at(job.initial_state()))
    return found


def pixels(source: Any) -> np.ndarray:
    """The middle of each image, averaged to 32 x 32 pixels: [n features]."""
    images = np.stack([source[i]["image"] for i in range(len(source))])
    edge = (SIDE - 64) // 2
    middle = images[:, edge : edge + 64, edge : edge + 64].astype(np.float32) / 255
    return middle.reshape(len(middle), 32, 2, 32, 2, -1).mean((2, 4)).reshape(len(middle), -1)


def tables_of(sources: dict[str, Any], encoder: tuple | None) -> dict[str, Table]:
    """Features of every split; principal components of the pixels where there is no encoder."""
    from sklearn.decomposition import PCA

    found, components = {}, PCA(64, random_state=0)
    for split in ("train", "validation", "test"):
        source = sources[split]
        if encoder is None:
            if split == "train":
                components.fit(pixels(source))
            features = components.transform(pixels(source))
            columns = {"label": np.asarray(source.column("label"))}
            found[split] = Table(np.arange(len(source)), features, {}, columns)
        else:
            job, method = encoder
            found[split] = embed(method, source, batch_size=256, threads=0, mesh=job.mesh)
    return found


def probed(tables: dict[str, Table], seed: int) -> list[dict[str, Any]]:
    """Test accuracy of linear probes on fractions of the labels."""
    data = [(t.embedding, np.asarray(t.columns["label"], np.int64)) for t in tables.values()]
    curve = linear_probe.label_curve(
        data, fractions=FRACTIONS, repeats=3, penalties=PENALTIES, max_iterations=100, seed=seed
    )
    keys = ("fraction", "labels", "accuracy", "balanced_accuracy")
    columns = [curve[key] for key in keys]
    return [dict(zip(keys, row, strict=True)) for row in zip(*columns, strict=True)]


def strange(tables: dict[str, Table], classes: tuple[str, ...]) -> dict[str, float]:
    """Average precision of each anomaly score for each kind of strange object, and for both."""
    train_x, test = tables["train"].embedding, tables["test"]
    scores = {
        "knn_distance": anomaly.knn_distance(train_x, test.embedding, k=10),
        "mahalanobis": anomaly.mahalanobis(train_x, test.embedding),
    }
    if "anomaly_score" in test.predictions:
        scores["prediction_error"] = np.float64(test.predictions["anomaly_score"])
    label = np.asarray(test.columns["label"])
    kinds = {name: [classes.index(name)] for name in STRANGE}
    kinds["both"] = [classes.index(name) for name in STRANGE]
    return {
        f"{kind}_{name}": anomaly.detection(score, np.isin(label, members))["average_precision"]
        for kind, members in kinds.items()
        for name, score in scores.items()
    } | {f"{kind}_chance": float(np.isin(label, m).mean()) for kind, m in kinds.items()}


def one_task(task: str, seed: int, encoders: dict, options: argparse.Namespace) -> dict[str, Any]:
    """All numbers of a task and a seed; remembers them."""
    memory = options.out / f"{task}_{seed}.json"
    if memory.exists():
        return json.loads(memory.read_text(encoding="utf-8"))
    data = labelled(task, seed, options)
    sources = open_sources(data)
    label = {s: np.asarray(sources[s].column("label"), np.int64) for s in ("train", "test")}
    share = classification.majority_class_accuracy(label["train"], label["test"])
    classes = sources["test"].info.classes
    level = {"accuracy": share, "balanced_accuracy": 1 / len(classes)}
    everything = {"fraction": 1.0, "labels": len(label["train"])}
    found = {"probe": {"commonest class": [everything | level]}, "anomaly": {}, "health": {}}
    for name, encoder in {"pixels + PCA": None, **encoders}.items():
        tables = tables_of(sources, encoder)
        found["probe"][name] = probed(tables, seed)
        test = jax.numpy.asarray(tables["test"].embedding)
        found["health"][name] = {k: float(v) for k, v in collapse.health(test).items()}
        if task == "zoo":
            found["anomaly"][name] = strange(tables, classes)
    config = supervised(task, seed, data, options)
    folder = options.out / f"supervised_{task}_{seed}"
    loop.train(config, folder, sources)
    job = Run(config, sources)
    method = job.method_at(evaluation.restore(job, folder))
    table = embed(method, sources["test"], batch_size=256, threads=0, mesh=job.mesh)
    scored = classification.metrics(table.predictions["label"], label["test"])
    found["probe"]["supervised"] = [everything | scored]
    found["split"] = split_hash(sources)
    files.write_json(memory, found)
    return found


def rows_of(task: str, seed: int, found: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per number."""
    base = {"task": task, "seed": seed, "split": found["split"]}
    rows = []
    for method, curve in found["probe"].items():
        for point in curve:
            for score in ("accuracy", "balanced_accuracy"):
                row = {"method": method, "score": score, "fraction": point["fraction"]}
                rows.append(base | row | {"labels": point["labels"], "value": point[score]})
    for kind in ("anomaly", "health"):
        for method, numbers in found[kind].items():
            for score, value in numbers.items():
                row = {"method": method, "score": score, "fraction": 1.0, "labels": 0}
                rows.append(base | row | {"value": value})
    return rows


def labels_figure(summary: list[dict[str, Any]], tasks: list[str], path: Path) -> None:
    """Balanced accuracy against the number of labels, one panel per task."""
    canvas = plots.figure(4.2 * len(tasks), 3.8)
    cells = canvas.subplots(1, len(tasks), squeeze=False)[0]
    for cell, task in zip(cells, tasks, strict=True):
        here = [s for s in summary if s["task"] == task and s["score"] == "balanced_accuracy"]
        for name in dict.fromkeys(s["method"] for s in here):
            line = sorted((s for s in here if s["method"] == name), key=lambda s: s["labels"])
            x, y = [s["labels"] for s in line], [s["value"] for s in line]
            error = np.nan_to_num([s["value_std"] for s in line])
            cell.errorbar(x, y, error, marker="o", ms=4, lw=1.2, capsize=2, label=name)
        cell.set(xscale="log", xlabel="training labels", ylabel="balanced accuracy", title=task)
    cells[0].legend(frameon=False, fontsize=7)
    plots.save(canvas, path)


def main() -> None:
    """Runs what is missing, then writes the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pool", type=Path, required=True, help="unlabelled images")
    parser.add_argument("--zoo", type=Path, required=True, help="Galaxy Zoo images")
    parser.add_argument("--efigi", type=Path, required=True, help="EFIGI images")
    parser.add_argument("--out", type=Path, default=Path("runs/morphology"))
    parser.add_argument("--tasks", nargs="+", default=["zoo", "ef4", "ef15"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--speed", type=float, default=1.0, help="multiple of the epochs")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        encoders = representations(seed, options)
        for task in options.tasks:
            found = one_task(task, seed, encoders, options)
            rows += rows_of(task, seed, found)
            best = {k: round(v[-1]["accuracy"], 3) for k, v in found["probe"].items()}
            logging.info("seed %d, %s: %s", seed, task, best)
            write_rows(options.out / "table.csv", rows)
        jax.clear_caches()  # compiled steps of this seed's networks are not needed again
    summary = summarise(rows, "task", "score", "method", "fraction")
    write_rows(options.out / "summary.csv", summary)
    labels_figure(summary, options.tasks, options.out / "labels.png")


if __name__ == "__main__":
    run(main)
