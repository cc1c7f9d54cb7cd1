# SPDX-License-Identifier: Apache-2.0
"""Whether predicted probabilities are met: expected calibration error and reliability diagram."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from astrojax.evaluate import plots

_BINS = 10


def expected_calibration_error(
    probability: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]
) -> float:
    """Mean |share of right predictions - mean probability| over ten bins of equal width.

    Source: Naeini et al. 2015, Obtaining well calibrated probabilities using Bayesian binning.
    """
    bins = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    total = 0.0
    for index in np.unique(bins):
        inside = bins == index
        total += inside.sum() * abs(right[inside].mean() - probability[inside].mean())
    return float(total / len(probability))


def reliability_figure(
    curves: dict[str, tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]], path: Path
) -> Path:
    """Draws the share of events against their probability, one line per name -> (p, happened)."""
    from sklearn.calibration import calibration_curve

    canvas = plots.figure(4.2, 4.0)
    cell = canvas.subplots()
    cell.plot((0, 1), (0, 1), color="black", lw=1)
    for name, (probability, happened) in curves.items():
        share, mean = calibration_curve(happened, probability, n_bins=_BINS, strategy="quantile")
        cell.plot(mean, share, marker="o", ms=4, lw=1, label=name)
    cell.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    cell.set(xlabel="predicted probability", ylabel="share of objects")
    if len(curves) > 1:
        cell.legend(fontsize=8)
    return plots.save(canvas, path)
