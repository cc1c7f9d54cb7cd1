# SPDX-License-Identifier: Apache-2.0
"""Scores of predicted numbers: R2, RMSE, MAE, bias, and a scatter figure per target."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from astrojax.errors import UserError
from astrojax.evaluate import plots, quantities, resampling
from astrojax.evaluate.report import Figure, Section


def metrics(
    predicted: Float[np.ndarray, " n"], target: Float[np.ndarray, " n"]
) -> dict[str, float]:
    """Errors of predictions, in the unit of the target (r2 has none; bias is predicted - true).

    r2 = 1 - sum (predicted - target)^2 / sum (target - mean target)^2; NaN where targets are equal.
    """
    from sklearn.metrics import r2_score

    residual = predicted - target
    defined = len(target) > 1 and np.ptp(target) > 0
    return {
        "r2": float(r2_score(target, predicted)) if defined else float("nan"),
        "rmse": float(np.sqrt(np.mean(residual**2))),
        "mae": float(np.mean(np.abs(residual))),
        "bias": float(residual.mean()),
    }


def scatter_figure(
    pairs: dict[str, tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]], path: Path
) -> Path:
    """Draws predicted against true values, one panel per name -> (predicted, target)."""
    per_row = min(4, len(pairs))
    rows = math.ceil(len(pairs) / per_row)
    canvas = plots.figure(3.4 * per_row, 3.3 * rows)
    cells = canvas.subplots(rows, per_row, squeeze=False).ravel()
    for cell, (name, (predicted, target)) in zip(cells, pairs.items(), strict=False):
        low, high = np.percentile(np.concatenate([predicted, target]), (0.2, 99.8))
        margin = 0.04 * (high - low) or 1.0
        span = (low - margin, high + margin)
        size = float(np.clip(6000 / len(target), 1, 14))
        cell.scatter(target, predicted, s=size, lw=0, alpha=0.5, rasterized=True)
        cell.plot(span, span, color="black", lw=1)
        label = quantities.describe(name)
        cell.set(xlim=span, ylim=span, aspect="equal", xlabel=f"true {label}")
        cell.set_ylabel(f"predicted {label}")
        cell.set_title(f"$R^2$ = {metrics(predicted, target)['r2']:.3f}", fontsize=10)
    for cell in cells[len(pairs) :]:
        cell.axis("off")
    return plots.save(canvas, path)


def check(tables: dict[str, Any], sources: dict[str, Any], *, targets: tuple[str, ...]) -> None:
    """Raises `UserError` if a target is not predicted or not known; needs no embedding."""
    (table,), info = quantities.require(tables, "regression", "test"), sources["test"].info
    predicted = quantities.scalars(table, info)
    for name, target in quantities.pick(table, info, targets, "regression.targets").items():
        if f"predicted_{name}" not in predicted:
            raise UserError(
                f"config key 'regression.targets' names {name!r}, which the method does not "
                f"predict; it predicts: {', '.join(table.predictions) or 'nothing'}"
            )
        if np.isfinite(target).sum() < 2:
            raise UserError(f"regression target {name!r} has no finite values in the test set")


def evaluate(
    tables: dict[str, Any],
    sources: dict[str, Any],
    out: Path,
    *,
    targets: tuple[str, ...],
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Section:
    """Scores `predictions[name]` against the column of the same name in the test set.

    Where the catalogue has an uncertainty `<name>_error`, its mean stands beside the errors.

    Args:
        tables: Split -> `embed.Table`; "test" is used.
        sources: Split -> data source.
        out: Folder for figures.
        targets: Names of scalars, or of vector columns for all their components.
        n_bootstrap: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Raises:
        UserError: A target has no column, no prediction, or no finite value.
    """
    check(tables, sources, targets=targets)
    (table,), info = quantities.require(tables, "regression", "test"), sources["test"].info
    everything = quantities.scalars(table, info)
    numbers: dict[str, float] = {}
    pairs = {}
    for name, target in quantities.pick(table, info, targets, "regression.targets").items():
        predicted = everything[f"predicted_{name}"]
        known = np.isfinite(target) & np.isfinite(predicted)
        if known.sum() < 2:
            raise UserError(f"no finite prediction of {name!r} in the test set")
        pairs[name] = predicted[known], target[known]
        scores = resampling.with_bootstrap_errors(
            metrics, *pairs[name], seed=seed, n_bootstrap=n_bootstrap
        )
        numbers |= {f"{name}_{key}": value for key, value in scores.items()}
        uncertainty = everything.get(_uncertainty(name, everything))
        if uncertainty is not None:
            numbers[f"{name}_catalogue_uncertainty"] = float(np.nanmean(uncertainty[known]))
    caption = "Predicted against true values of the test set; the line is equality."
    path = scatter_figure(pairs, out / "regression.png")
    return Section("regression", numbers, [Figure(path, caption)])


def _uncertainty(name: str, known: dict[str, np.ndarray]) -> str:
    """`size` -> `size_error`; `magnitude_u`, a component, -> `magnitude_error_u`."""
    column, _, component = name.rpartition("_")
    direct = f"{name}_error"
    return direct if direct in known else f"{column}_error_{component}"
