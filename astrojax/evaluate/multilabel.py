# SPDX-License-Identifier: Apache-2.0
"""Scores of several yes-or-no labels of an object, each predicted with its probability."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from astrojax.errors import UserError
from astrojax.evaluate import calibration, quantities, resampling
from astrojax.evaluate.report import Figure, Section


def metrics(probability: Float[np.ndarray, " n"], label: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Average precision, area under the ROC curve, and F1 at probability 0.5, of one label.

    The first two are NaN where all objects agree.
    """
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    both = 0 < label.mean() < 1
    return {
        "average_precision": float(average_precision_score(label, probability) if both else np.nan),
        "roc_auc": float(roc_auc_score(label, probability) if both else np.nan),
        "f1": float(f1_score(label, probability > 0.5, zero_division=0)),
    }


def check(tables: dict[str, Any], *, targets: tuple[str, ...]) -> None:
    """Raises `UserError` if a label is not predicted or not known; needs no embedding."""
    (table,) = quantities.require(tables, "multilabel", "test")
    for name in targets:
        if name not in table.columns or f"{name}_probability" not in table.predictions:
            raise UserError(
                f"evaluation 'multilabel' names {name!r}, which the data or the method lack"
            )
    quantities.require_values({"test": table}, targets, "multilabel")


def evaluate(
    tables: dict[str, Any],
    out: Path,
    *,
    targets: tuple[str, ...],
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Section:
    """Scores `predictions["<name>_probability"]` against the columns of 0 and 1 of the test set.

    Args:
        tables: Split -> `embed.Table`; "test" is used.
        out: Folder for figures.
        targets: Names of the labels.
        n_bootstrap: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Raises:
        UserError: A label has no column, no prediction or no value.
    """
    check(tables, targets=targets)
    (table,) = quantities.require(tables, "multilabel", "test")
    numbers: dict[str, float] = {}
    curves = {}
    for name in targets:
        label = quantities.numbers(table.columns[name])
        probability = np.asarray(table.predictions[f"{name}_probability"], float)
        known = np.isfinite(label) & np.isfinite(probability)
        if not known.any():
            raise UserError(f"no object of the test set has a value of {name!r}")
        pair = probability[known], label[known].astype(int)
        scores = resampling.with_bootstrap_errors(
            metrics, *pair, seed=seed, n_bootstrap=n_bootstrap
        )
        numbers |= {f"{name}_{key}": value for key, value in scores.items()}
        curves[name] = pair[0], pair[1] == 1
    path = calibration.reliability_figure(curves, out / "reliability.png")
    caption = "Share of objects with each label against its predicted probability."
    return Section("multilabel", numbers, [Figure(path, caption)])
