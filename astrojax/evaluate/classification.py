# SPDX-License-Identifier: Apache-2.0
"""Scores of predicted classes: accuracy, balanced accuracy, and who is taken for whom."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from astrojax.errors import UserError
from astrojax.evaluate import calibration, plots, quantities, resampling
from astrojax.evaluate.report import Figure, Section


def metrics(predicted: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Accuracy, and balanced accuracy: the mean recall of the classes that occur in `label`."""
    right = predicted == label
    recall = [right[label == c].mean() for c in np.unique(label)]
    return {"accuracy": float(right.mean()), "balanced_accuracy": float(np.mean(recall))}


def majority_class_accuracy(
    train_label: Int[np.ndarray, " n"], label: Int[np.ndarray, " b"]
) -> float:
    """Accuracy of always naming the commonest class of the training set: what knows nothing."""
    return float(np.mean(label == np.bincount(train_label).argmax()))


def confusion(
    predicted: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"], *, size: int
) -> Int[np.ndarray, "k k"]:
    """Counts [true class, predicted class]."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(label, predicted, labels=np.arange(size))


def check(tables: dict[str, Any]) -> None:
    """Raises `UserError` if there are no class predictions or no labels; needs no embedding."""
    train, test = quantities.require(tables, "classification", "train", "test")
    if "class_probability" not in test.predictions:
        raise UserError(
            "evaluation 'classification' needs predicted classes: choose a method with a classifier"
        )
    quantities.require_labels({"train": train, "test": test}, "classification")


def evaluate(
    tables: dict[str, Any],
    sources: dict[str, Any],
    out: Path,
    *,
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Section:
    """Scores `predictions["class_probability"]` [n k] against the labels of the test set.

    Args:
        tables: Split -> `embed.Table`; "test" is used, and "train" for the majority class.
        sources: Split -> data source.
        out: Folder for figures.
        n_bootstrap: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Raises:
        UserError: There are no class predictions or no labels.
    """
    check(tables)
    train, test = quantities.require(tables, "classification", "train", "test")
    label, known = quantities.labels(test), quantities.labels(train)
    assert label is not None and known is not None  # `check` has seen to it
    names = quantities.class_names(sources["test"].info, label)
    probability = np.asarray(test.predictions["class_probability"], float)[label >= 0]
    predicted, confidence = probability.argmax(axis=1), probability.max(axis=1)
    label = label[label >= 0]
    numbers = resampling.with_bootstrap_errors(
        metrics, predicted, label, seed=seed, n_bootstrap=n_bootstrap
    )
    numbers["majority_class_accuracy"] = majority_class_accuracy(known[known >= 0], label)
    size = max(len(names), int(predicted.max()) + 1)
    names = names + tuple(str(i) for i in range(len(names), size))
    path = plots.matrix(
        confusion(predicted, label, size=size),
        out / "confusion.png",
        rows=names,
        columns=names,
        ylabel="true class",
        xlabel="predicted class",
    )
    right = predicted == label
    numbers["calibration_error"] = calibration.expected_calibration_error(confidence, right)
    diagram = calibration.reliability_figure({"": (confidence, right)}, out / "reliability.png")
    caption = "Share of right classes against the probability of the predicted class."
    return Section(
        "classification",
        numbers,
        [Figure(path, "True against predicted classes."), Figure(diagram, caption)],
    )
