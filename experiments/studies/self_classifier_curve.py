# SPDX-License-Identifier: Apache-2.0
"""Agreement of Self-Classifier's clusters with true classes, epoch by epoch (paper: Figure 2).

    python -m astrojax.main --config experiments/self_classifier.py:cifar10_small \
        --config.data.path=train.npz --workdir runs/cifar10_small
    python experiments/studies/self_classifier_curve.py --workdir runs/cifar10_small

Scores the test split at every checkpoint that a run has kept (`--config.keep=100`), finished or
not, beside k-means on the raw pixels and on the features of the untrained network. Checkpoints
that were scored before are not scored again. `curve.csv` has one row per checkpoint, and
`curve.png` the figure; both lie in the run's folder.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from common import run, write_rows

from astrojax import files
from astrojax.errors import UserError
from astrojax.evaluate import clustering, plots
from astrojax.inference.embedder import embed
from astrojax.training import checkpoint
from astrojax.training.run import Run, TrainState

MEASURES = {"nmi": "NMI", "ami": "AMI", "ari": "ARI"}


def state_at(job: Run, folder: Path, step: int) -> TrainState:
    """The state of one checkpoint."""
    import orbax.checkpoint as ocp

    args = ocp.args.Composite(state=ocp.args.StandardRestore(job.abstract_state()))
    with ocp.CheckpointManager(folder.absolute()) as manager:
        return manager.restore(step, args=args)["state"]


def baselines(job: Run, seed: int) -> dict[str, dict[str, float]]:
    """Scores of k-means, with as many clusters as the method has classes."""
    method = job.method_at(job.initial_state())
    count, test, train = job.keys.method["classes"][0], job.sources["test"], "train"
    label = np.asarray(test.column("label"))
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(job.sources[train]))[:10000])  # enough for the centres
    pixels = [
        np.stack([np.float32(source[int(i)]["image"]).ravel() for i in rows])
        for source, rows in ((job.sources[train], chosen), (test, range(len(test))))
    ]
    features = [
        embed(method, source, batch_size=256, threads=0, mesh=job.mesh).embedding
        for source in (job.sources[train], test)
    ]
    found = {}
    for name, (fit, asked) in {"pixels": pixels, "random network": features}.items():
        cluster = clustering.kmeans(fit, asked, clusters=count, seed=seed)
        found[name] = clustering.scores(cluster[label >= 0], label[label >= 0])
    return found


def score(job: Run, state: TrainState) -> dict[str, float]:
    """Scores of the clusters of the test split."""
    table = embed(
        job.method_at(state), job.sources["test"], batch_size=256, threads=0, mesh=job.mesh
    )
    label, cluster = table.columns["label"], table.predictions["cluster"]
    found = clustering.scores(cluster[label >= 0], label[label >= 0])
    return found | {"clusters": float(len(np.unique(cluster)))}


def curve_figure(
    rows: list[dict[str, float]], levels: dict[str, dict[str, float]], path: Path
) -> None:
    """One panel per measure; the baselines are dotted."""
    canvas = plots.figure(11, 3.4)
    axes = canvas.subplots(1, len(MEASURES))
    for axis, (key, label) in zip(axes, MEASURES.items(), strict=True):
        axis.plot([r["epoch"] for r in rows], [r[key] for r in rows], marker="o", ms=3)
        for (name, level), color in zip(levels.items(), ("0.3", "0.6"), strict=True):
            axis.axhline(level[key], ls=":", color=color, label=f"k-means, {name}")
        axis.set(xlabel="epoch", ylabel=label)
    axes[0].legend(frameon=False, fontsize=8)
    plots.save(canvas, path)


def remembered(path: Path) -> Any:
    """What was measured before, or None."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def main() -> None:
    """Scores what is new, then writes table and figure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--seed", type=int, default=0, help="of k-means")
    options = parser.parse_args()

    job = Run(checkpoint.read_config(options.workdir))
    folder = options.workdir / "checkpoints"
    steps = sorted(int(p.name) for p in folder.glob("*") if p.name.isdigit())
    if not steps:
        raise UserError(f"{options.workdir} has no checkpoint yet: train it first")
    memory = options.workdir / "curve.json"
    known = remembered(memory) or {"baselines": baselines(job, options.seed), "0": None}
    known["0"] = known["0"] or score(job, job.initial_state())
    for step in steps:
        if str(step) not in known:
            known[str(step)] = score(job, state_at(job, folder, step))
            found = {label: round(known[str(step)][key], 3) for key, label in MEASURES.items()}
            logging.info("step %d of %d: %s", step, job.total_steps, found)
            files.write_json(memory, known)
    files.write_json(memory, known)
    rows = [
        {"epoch": int(step) / job.steps_per_epoch, **known[step]}
        for step in sorted((k for k in known if k.isdigit()), key=int)
    ]
    write_rows(options.workdir / "curve.csv", rows)
    curve_figure(rows, known["baselines"], options.workdir / "curve.png")


if __name__ == "__main__":
    run(main)
