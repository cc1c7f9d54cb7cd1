# SPDX-License-Identifier: Apache-2.0
"""Table II of Martinazzo et al. (2020): five schemes of transfer, on the tasks at hand.

    python experiments/studies/schemes.py --out runs/schemes --tasks survey \
        --pretext magnitudes=runs/magnitudes
    python experiments/studies/schemes.py --out runs/schemes --tasks ef2 ef4 ef15 \
        --archive efigi.npz --network small --pretext magnitudes=runs/magnitudes_small_pool \
        lejepa=runs/lejepa_pool
    python experiments/studies/schemes.py --out runs/schemes --tasks sg sgq --network vgg16 \
        --archive splus_classes.csv --cutouts cutouts --imagenet vgg16-397923af.pth \
        --pretext magnitudes=runs/magnitudes_paper

For each pretrained run (--pretext name=folder): a linear probe of its frozen features, a new top
trained on them as the paper has it, and their fine-tuning; and the same network from scratch and
with frozen random weights. --imagenet adds torchvision's VGG16 file (--network vgg16). Without a
pretext, scratch and random features of --network alone. Every seed is another split of an archive
and another start of the network; numbers are those of the test set, mean and standard deviation
(ddof 1) over seeds. A run that is finished is not repeated, so the study can be stopped and started
again at any moment. `table.csv` has one row per run,
`summary.csv` the table. `within_one` is the share of predictions at most one class off, for
classes in order (`ef15`).
"""

import argparse
import json
import logging
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import run, summarise, transfer, write_rows

from astrojax import files
from astrojax.config import plain
from astrojax.data.open import open_sources
from astrojax.data.split import split_hash
from astrojax.errors import UserError
from astrojax.evaluate import classification, linear_probe, report
from astrojax.inference import evaluation
from astrojax.inference.embedder import embed
from astrojax.training import checkpoint, loop
from astrojax.training.run import Run

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
SCHEMES = ("scratch", "probe", "features", "finetune")
SCORES = ("accuracy", "balanced_accuracy", "within_one")
PUBLISHED = {  # validation accuracy of the paper's VGG16
    ("ef15", "scratch"): 0.4227,
    ("ef15", "features (magnitudes)"): 0.3271,
    ("ef15", "fine-tuning (magnitudes)"): 0.4048,
    ("ef15", "features (imagenet)"): 0.2642,
    ("ef15", "fine-tuning (imagenet)"): 0.3683,
    ("ef2", "scratch"): 0.9683,
    ("ef2", "features (magnitudes)"): 0.9580,
    ("ef2", "fine-tuning (magnitudes)"): 0.9687,
    ("ef2", "features (imagenet)"): 0.9697,
    ("ef2", "fine-tuning (imagenet)"): 0.9893,
    ("ef4", "scratch"): 0.8729,
    ("ef4", "features (magnitudes)"): 0.7801,
    ("ef4", "fine-tuning (magnitudes)"): 0.8322,
    ("ef4", "features (imagenet)"): 0.8000,
    ("ef4", "fine-tuning (imagenet)"): 0.8774,
    ("mg", "scratch"): 0.6336,
    ("mg", "features (magnitudes)"): 0.8041,
    ("mg", "fine-tuning (magnitudes)"): 0.9360,
    ("mg", "features (imagenet)"): 0.7825,
    ("mg", "fine-tuning (imagenet)"): 0.9580,
    ("sgq", "scratch"): 0.8722,
    ("sgq", "features (magnitudes)"): 0.7255,
    ("sgq", "fine-tuning (magnitudes)"): 0.8828,
    ("sgq", "features (imagenet)"): 0.6624,
    ("sgq", "fine-tuning (imagenet)"): 0.8760,
    ("sg", "scratch"): 0.9897,
    ("sg", "features (magnitudes)"): 0.9799,
    ("sg", "fine-tuning (magnitudes)"): 0.9928,
    ("sg", "features (imagenet)"): 0.9366,
    ("sg", "fine-tuning (imagenet)"): 0.9901,
}


def network_of(folder: str) -> dict[str, Any]:
    """Backbone and scaling of a pretrained run: what the other rows need to be its equal."""
    method = checkpoint.read_config(folder)["method"]
    if "backbone" not in method or "stretch" not in method:
        raise UserError(f"the run in {folder} has no method.backbone and method.stretch to take")
    return plain({key: method[key] for key in ("backbone", "stretch")})


def weights(source: str, folder: str) -> dict[str, Any] | None:
    """The `init` section for weights from ImageNet (a file), from a run, or for random ones."""
    if source == "random":
        return None
    if source == "imagenet":
        arch = "torchvision/vgg16"
        return {"name": "torch", "path": folder, "arch": arch, "part": "backbone", "stem": None}
    return {"name": "run", "workdir": folder, "parts": {"backbone": "backbone"}, "stem": None}


def config_of(
    keys: dict[str, Any],
    network: dict[str, Any] | None,
    init: dict | None,
    seed: int,
    speed: float,
) -> dict[str, Any]:
    """One stage: a variant of the experiment with another network, start, seed and length."""
    config = transfer(**keys)
    method = {**config["method"], **(network or {})}
    if len(config["data"].get("info", {}).get("bands", "rgb")) == 1:
        method["stretch"] = {**method["stretch"], "scale": method["stretch"]["scale"][:1]}
        init = init and {**init, "stem": "mean"}
    config |= {"method": method, "init": init, "seed": seed, "evaluate": {}}
    config["epochs"] *= speed
    return config


def sources_of(config: dict[str, Any], given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The task's data, with the section of the config changed to match; another split per seed."""
    data = dict(config["data"])
    if data["name"] != "survey":
        where = "table" if data["name"] == "catalogue" else "path"
        data |= {where: given.archive or data[where], "split": {**data["split"], "seed": seed}}
    if given.cutouts and "cutouts" in data:
        data["cutouts"] = {**data["cutouts"], "path": given.cutouts}
    sources = open_sources(data)
    config["data"] = data
    label = np.concatenate([np.asarray(s.column("label")) for s in sources.values()])
    counts = np.bincount(label[label >= 0], minlength=config["method"]["outputs"])
    if counts.min() < len(sources):
        raise UserError(
            f"class {int(counts.argmin())} has {counts.min()} objects, fewer than the "
            f"{len(sources)} splits: leave it out or merge it"
        )
    return sources


def one_run(
    scheme: str, stages: list[dict[str, Any]], folder: Path, sources: dict[str, Any]
) -> dict[str, float]:
    """Scores a scheme on the test set; remembers the scores."""
    scores = folder / "scores.json"
    if not scores.exists():
        predicted, label = (probed if scheme == "probe" else trained)(stages, folder, sources)
        found = classification.metrics(predicted, label)
        found["within_one"] = float(np.mean(np.abs(predicted - label) <= 1))
        found["majority_class_accuracy"] = classification.majority_class_accuracy(
            np.asarray(sources["train"].column("label")), label
        )
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(scores, {**found, "split": split_hash(sources)})
    return json.loads(scores.read_text(encoding="utf-8"))


def trained(
    stages: list[dict[str, Any]], folder: Path, sources: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Trains the stages, each from the one before: predicted and true classes of the test set.

    Checkpoints are removed at the end: there are hundreds of runs in a study.
    """
    for number, config in enumerate(stages):
        workdir = folder / str(number)
        if number:
            parts = {"backbone": "backbone", "head": "head"}
            before = str(folder / str(number - 1))
            config["init"] = {"name": "run", "workdir": before, "parts": parts, "stem": None}
        loop.train(config, workdir, sources)
    job = Run(config, sources)
    method = job.method_at(evaluation.restore(job, workdir))
    table = embed(method, sources["test"], batch_size=256, threads=0, mesh=job.mesh)
    for kept in [p for kind in ("checkpoints", "best") for p in folder.glob(f"*/{kind}")]:
        shutil.rmtree(kept)
    return table.predictions["label"], table.columns["label"]


def probed(
    stages: list[dict[str, Any]], folder: Path, sources: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Fits a linear probe to the frozen features: predicted and true classes of the test set."""
    job = Run(stages[-1], sources)
    method = job.method_at(job.initial_state())
    (x, y), (choose_x, choose_y), (test_x, label) = (
        (table.embedding, np.asarray(table.columns["label"], np.int64))
        for table in (
            embed(method, sources[split], batch_size=256, threads=0, mesh=job.mesh)
            for split in ("train", "validation", "test")
        )
    )
    probe = linear_probe.classify(
        x, y, choose_x, choose_y, test_x, penalties=PENALTIES, max_iterations=200
    )
    return probe.predicted, label


def rows_of(
    network: str, pretexts: dict[str, str], imagenet: str | None, schemes: list[str]
) -> list[tuple]:
    """(row of the table, scheme, source of weights, their folder, network) of every row."""
    plans = {name: network_of(folder) for name, folder in pretexts.items()} or {"": None}
    rows = []
    for name, plan in plans.items():
        alike = [other for other, its in plans.items() if its == plan]
        if name == alike[0]:  # pretexts of one network share the rows they are compared with
            of = f", as {name}" if len(alike) < len(plans) else ""
            rows.append((f"scratch{of}", "scratch", "random", "", plan))
            rows.append((f"probe (random{of})", "probe", "random", "", plan))
            rows.append((f"features (random{of})", "features", "random", "", plan))
        if name:
            rows.append((f"probe ({name})", "probe", name, pretexts[name], plan))
            rows.append((f"features ({name})", "features", name, pretexts[name], plan))
            rows.append((f"fine-tuning ({name})", "finetune", name, pretexts[name], plan))
    if imagenet is not None:
        if network != "vgg16":
            raise UserError("--imagenet is torchvision's VGG16: set --network vgg16")
        rows.append(("probe (imagenet)", "probe", "imagenet", imagenet, None))
        rows.append(("features (imagenet)", "features", "imagenet", imagenet, None))
        rows.append(("fine-tuning (imagenet)", "finetune", "imagenet", imagenet, None))
    return [row for row in rows if row[1] in schemes]


def stages_of(
    scheme: str,
    keys: dict[str, Any],
    source: str,
    folder: str,
    network: dict | None,
    seed: int,
    speed: float,
) -> list[dict[str, Any]]:
    """The configs of a scheme: two for fine-tuning, one for the others."""
    keys = {**keys, "imagenet": source == "imagenet"}
    names = {"finetune": ("top", "finetune"), "probe": ("features",)}.get(scheme, (scheme,))
    init = weights(source, folder)
    return [config_of({**keys, "scheme": n}, network, init, seed, speed) for n in names]


def prepare(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parses what both studies take."""
    parser.add_argument(
        "--archive", help="NPZ archive, catalogue or folder of the task, where it is not simulated"
    )
    parser.add_argument("--cutouts", help="folder of the cutouts of a catalogue")
    parser.add_argument("--network", default="slim", choices=("slim", "small", "resnet", "vgg16"))
    parser.add_argument("--pretext", nargs="*", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--imagenet", help="torchvision's VGG16 as .pth or .safetensors")
    parser.add_argument("--schemes", nargs="+", default=list(SCHEMES), choices=SCHEMES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--smoke", action="store_true", help="the same in seconds")
    arguments = parser.parse_args()
    wrong = [p for p in arguments.pretext if "=" not in p]
    if wrong:
        raise UserError(f"--pretext takes name=folder, not {wrong[0]!r}")
    arguments.pretext = dict(p.split("=", 1) for p in arguments.pretext)
    arguments.keys = {"network": arguments.network, "smoke": arguments.smoke}
    return arguments


def main() -> None:
    """Runs what is missing, then writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/schemes"))
    parser.add_argument("--tasks", nargs="+", default=["survey"])
    parser.add_argument("--speed", type=float, default=1.0, help="multiple of the epochs")
    arguments = prepare(parser)
    plan = rows_of(arguments.network, arguments.pretext, arguments.imagenet, arguments.schemes)
    total = len(arguments.tasks) * len(arguments.seeds) * len(plan)
    rows, began = [], time.monotonic()
    for task in arguments.tasks:
        for seed in arguments.seeds:
            keys, sources = {"task": task, **arguments.keys}, None
            for row, scheme, source, folder, network in plan:
                stages = stages_of(scheme, keys, source, folder, network, seed, arguments.speed)
                if sources is None:
                    sources = sources_of(stages[0], arguments, seed)
                    data = stages[0]["data"]
                for stage in stages:
                    stage["data"] = data
                where = row.replace(" ", "_").replace("(", "").replace(")", "").replace(",", "")
                scores = one_run(scheme, stages, arguments.out / task / where / str(seed), sources)
                rows.append({"task": task, "row": row, "seed": seed, **scores})
                logging.info(
                    "%d of %d: %s, %s, seed %d: accuracy %.4f, balanced %.4f (%.1f min)",
                    len(rows),
                    total,
                    task,
                    row,
                    seed,
                    scores["accuracy"],
                    scores["balanced_accuracy"],
                    (time.monotonic() - began) / 60,
                )
                write_rows(arguments.out / "table.csv", rows)
    summary = summarise(rows, "task", "row")
    for line in summary:
        line["published"] = PUBLISHED.get((line["task"], line["row"]), float("nan"))
    write_rows(arguments.out / "summary.csv", summary)
    show(summary)


def show(summary: list[dict[str, Any]]) -> None:
    """Prints the table."""
    sections: dict[str, dict[str, float]] = {}
    for line in summary:
        numbers = sections.setdefault(line["task"], {})
        for score in SCORES[: 3 if line["task"] == "ef15" else 2]:
            numbers[f"{line['row']}: {score}"] = line[score]
            numbers[f"{line['row']}: {score}_error"] = line[f"{score}_std"]
    print(report.table([report.Section(task, numbers) for task, numbers in sections.items()]))


if __name__ == "__main__":
    run(main)
