# SPDX-License-Identifier: Apache-2.0
"""Do features learnt on simulated lenses find real ones? Candidates against galaxies.

    python experiments/studies/lens_candidates.py --candidates lens_candidates.npz \
        --galaxies galaxy_pool.npz --out runs/lens_candidates \
        --runs LenSiam=runs/lensiam SimSiam=runs/simsiam_lenses

Embeds real candidates with encoders trained on simulated lenses. A linear probe with 100 labels
tells candidates from galaxies, and candidates of high from those of low grade: area under the ROC
curve in 5 folds, for each of 3 draws of labels, beside raw pixels (32 principal components) and
the untrained encoder. `table.csv` has mean and standard deviation over folds and draws, and
`neighbours.png` the nearest among simulated lenses and galaxies of the best candidates.

Archives are NPZ files with `blob` and `offsets`; candidates have `labels` in rising order of grade,
and are cut to the field of the simulated lenses by --pixel-scale. Of galaxies, which come at scales
of their own, the middle half is taken. Both are averaged over bands, freed of their sky, scaled to
a peak of 1 and resampled to the simulator's pixels, as its own images are.

What this does not show: galaxies of another telescope differ from candidates in more than the lens
(seeing, noise, scale), which any features can tell; only the grades compare like with like.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
from common import run, write_rows

from astrojax.data.readers.npz import EncodedImages
from astrojax.data.source import ArraySource
from astrojax.errors import UserError
from astrojax.evaluate import linear_probe, plots
from astrojax.inference import evaluation
from astrojax.inference.embedder import embed
from astrojax.training import checkpoint
from astrojax.training.run import Run

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)


def stamps(path: Path, side: int, size: int, limit: int) -> np.ndarray:
    """The middle `side` pixels of images, one band, peak 1, on `size` pixels: [n size size 1]."""
    from PIL import Image

    with np.load(path) as archive:
        blob, offsets = archive["blob"], archive["offsets"]
    files, made = EncodedImages(blob, offsets, 3, path.name), []
    for i in range(min(len(files), limit)):
        grey = np.asarray(files[i], np.float32).mean(-1)
        low = (len(grey) - side) // 2
        edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        cut = grey[low : low + side, low : low + side] - np.median(edge)
        cut = np.asarray(Image.fromarray(cut).resize((size, size), Image.Resampling.BICUBIC))
        made.append(cut / max(cut.max(), 1e-6))
    return np.stack(made)[..., None].astype(np.float32)


def features(job: Run, method: Any, images: np.ndarray) -> np.ndarray:
    """Embeddings of images that have no catalogue."""
    source = ArraySource({"image": images}, job.sources["test"].info)
    return embed(method, source, batch_size=256, threads=0, mesh=job.mesh).embedding


def areas(x: np.ndarray, y: np.ndarray, *, labels: int, draws: int) -> list[float]:
    """Area under the ROC curve of probes with `labels` labels: 5 folds times `draws`."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, train_test_split

    found = []
    for seed in range(draws):
        for rest, test in StratifiedKFold(5, shuffle=True, random_state=seed).split(x, y):
            few, _ = train_test_split(rest, train_size=labels, stratify=y[rest], random_state=seed)
            fit, choose = train_test_split(few, test_size=0.3, stratify=y[few], random_state=seed)
            probe = linear_probe.classify(
                x[fit],
                y[fit],
                x[choose],
                y[choose],
                x[test],
                penalties=PENALTIES,
                max_iterations=200,
            )
            found.append(float(roc_auc_score(y[test], probe.probability[:, 1])))
    return found


def neighbour_sheet(images: dict[str, np.ndarray], x: dict[str, np.ndarray], path: Path) -> None:
    """Each row: a candidate, its four nearest simulated lenses, its four nearest galaxies."""
    pictures, captions = [], []
    for row in range(len(images["candidate"])):
        pictures.append(images["candidate"][row])
        captions.append("candidate")
        for kind in ("simulated", "galaxy"):
            similarity = x[kind] @ x["candidate"][row]
            for i in np.argsort(-similarity)[:4]:
                pictures.append(images[kind][i])
                captions.append(f"{kind} {similarity[i]:.2f}")
    grey = np.clip(np.arcsinh(np.stack(pictures) / 0.05) / np.arcsinh(1 / 0.05), 0, 1)
    plots.contact_sheet(np.repeat(grey, 3, axis=-1), captions, path, per_row=9)


def main() -> None:
    """Embeds, probes, writes the table and the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--candidates", type=Path, required=True)
    parser.add_argument("--galaxies", type=Path, required=True)
    parser.add_argument("--runs", nargs="+", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--pixel-scale", type=float, default=0.186, help="arcsec, of candidates")
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("runs/lens_candidates"))
    options = parser.parse_args()
    from sklearn.decomposition import PCA

    options.out.mkdir(parents=True, exist_ok=True)
    runs = dict(r.split("=", 1) for r in options.runs if "=" in r)
    if len(runs) < len(options.runs):
        raise UserError("--runs takes name=folder")

    encoders, job = {}, None
    for name, folder in runs.items():
        job = Run(checkpoint.read_config(folder))
        encoders[name] = job.method_at(evaluation.restore(job, Path(folder)))
    encoders["untrained"] = job.method_at(job.initial_state())
    seen = job.sources["test"].info
    side = round(seen.image_size * seen.pixel_scale / options.pixel_scale)
    with np.load(options.candidates) as archive:
        grade = archive["labels"].astype(int)
    lenses = stamps(options.candidates, side, seen.image_size, len(grade))
    galaxies = stamps(options.galaxies, 64, seen.image_size, 1000)
    both = np.concatenate([lenses, galaxies])
    is_lens = np.concatenate([np.ones(len(lenses), int), np.zeros(len(galaxies), int)])
    ends = np.flatnonzero((grade == 0) | (grade == grade.max()))
    rows = []
    for name in ("pixels", *encoders):
        if name == "pixels":
            x = PCA(32, random_state=0).fit_transform(both.reshape(len(both), -1))
        else:
            x = features(job, encoders[name], both)
        for task, (asked, truth) in {
            "candidates against galaxies": (x, is_lens),
            "high against low grade": (x[ends], (grade[ends] > 0).astype(int)),
        }.items():
            found = areas(asked, truth, labels=options.labels, draws=3)
            line = {"features": name, "task": task, "roc_auc": float(np.mean(found))}
            rows.append(line | {"std": float(np.std(found, ddof=1)), "fits": len(found)})
            logging.info("%(features)s, %(task)s: AUC %(roc_auc).3f +- %(std).3f", rows[-1])
    write_rows(options.out / "table.csv", rows)

    first = next(iter(runs))
    best = lenses[grade == grade.max()][:6]
    test = job.sources["test"]
    simulated = np.stack([test[i]["image"] for i in range(len(test))])
    images = {"candidate": best, "simulated": simulated, "galaxy": galaxies}
    x = {kind: features(job, encoders[first], stack) for kind, stack in images.items()}
    middle = np.concatenate(list(x.values())).mean(0)
    unit = {
        k: (v - middle) / np.linalg.norm(v - middle, axis=1, keepdims=True) for k, v in x.items()
    }
    neighbour_sheet(images, unit, options.out / "neighbours.png")


if __name__ == "__main__":
    run(main)
