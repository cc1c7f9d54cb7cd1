# SPDX-License-Identifier: Apache-2.0
"""Scores embeddings that another program made, beside those of this package.

    python experiments/studies/score_embeddings.py dinov2.npz --config experiments/ijepa.py:paper \
        --config.data.path=Galaxy10_DECals.h5

The file is an NPZ with `embedding` [n d] and `id` [n], the ids of the experiment's data as
`astrojax embed` writes them. Split, labels, and the settings of the tasks `linear_probe` and `knn`
are those of the experiment, so that a network that cannot be loaded here, such as DINOv2, is scored
as the experiment's own. Prints the accuracies on the test set with bootstrap errors.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from common import run

from astrojax.config import plain
from astrojax.data.open import open_sources
from astrojax.errors import UserError
from astrojax.evaluate import classification, knn, linear_probe, resampling
from astrojax.training import experiment_file

SPLITS = ("train", "validation", "test")
SETTINGS = {
    "linear_probe": {"penalties": (1e-4, 1e-3, 1e-2, 1e-1, 1.0), "max_iterations": 300},
    "knn": {"k": (5, 10, 20, 50), "temperature": 0.1},
}


def read(path: Path) -> dict[str, np.ndarray]:
    """The embedding of each id, which is text or a number.

    Raises:
        UserError: The file cannot be read, or lacks one of its two arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, embedding = file["id"], file["embedding"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no NPZ file with 'id' [n] and 'embedding' [n d]") from error
    if embedding.ndim != 2 or ids.shape != embedding.shape[:1]:
        raise UserError(f"{path} has shapes {ids.shape} and {embedding.shape}, not [n] and [n d]")
    return dict(zip(map(str, ids), embedding, strict=True))


def joined(embeddings: dict[str, np.ndarray], source: Any, name: str) -> tuple:
    """Embeddings and labels of a split's labelled objects.

    Raises:
        UserError: An object has no embedding.
    """
    label = np.asarray(source.column("label"))
    known = [str(i) for i in np.asarray(source.column("id"))[label >= 0]]
    missing = [i for i in known if i not in embeddings]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(known)} objects of the split '{name}' have no embedding, the "
            f"first is {missing[0]!r}: give each its id as `astrojax embed` writes it"
        )
    return np.stack([embeddings[i] for i in known]), label[label >= 0]


def score(data: list[tuple], tasks: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Accuracies of the linear probe and of the neighbours on the test set."""
    settings = {
        task: {k: tasks.get(task, {}).get(k, v) for k, v in known.items()}
        for task, known in SETTINGS.items()
    }
    (x, y), validation, (asked, true) = data
    probe = linear_probe.classify(x, y, *validation, asked, **settings["linear_probe"])
    own = settings["knn"]
    chosen = knn.choose_k(data[0], validation, candidates=own["k"], temperature=own["temperature"])
    near = knn.predict(x, y, asked, k=chosen, temperature=own["temperature"])
    common = np.full_like(true, np.bincount(y).argmax())
    return {
        name: resampling.with_bootstrap_errors(
            classification.metrics, np.asarray(predicted), true, seed=0, n_bootstrap=200
        )
        for name, predicted in (
            ("linear_probe", probe.predicted),
            ("knn", near),
            ("commonest_class", common),
        )
    }


def main() -> None:
    """Prints the scores as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--config", required=True, help="an experiment with labelled data")
    args, keys = parser.parse_known_args()
    config = plain(experiment_file.load(args.config, keys))
    sources = open_sources(config["data"])
    embeddings = read(args.file)
    data = [joined(embeddings, sources[name], name) for name in SPLITS]
    print(json.dumps(score(data, config["evaluate"]), indent=2))


if __name__ == "__main__":
    run(main)
