# SPDX-License-Identifier: Apache-2.0
"""Whether stated redshift errors are true: PIT, CRPS, coverage, and conformal intervals.

Of predicted densities, the probability integral transform (PIT, the density's CDF at the true
redshift) is uniform if they are calibrated (Schmidt et al. 2020), a central interval of nominal
level L contains a share L of the truths, and the CRPS scores calibration and sharpness in one.

Split conformal prediction (Vovk et al. 2005) takes the validation split's scores
s = |z_pred - z_ref| / scale and gives the interval z_pred +- scale times their quantile of rank
ceil((n + 1) L): it holds L of new objects drawn from the same distribution, whatever the model.
The scale is the density's standard deviation, or 1 + z_pred for a point estimate.
"""

import functools
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from astrojax.errors import UserError
from astrojax.evaluate import plots, quantities, resampling
from astrojax.evaluate.report import Figure, Section
from astrojax.files import atomic_write
from astrojax.nn import mixture

PDF_FILE = "photoz_pdf.hdf5"
NOMINAL = np.linspace(0.01, 0.99, 99)


def conformal_factor(scores: Float[np.ndarray, " n"], level: float) -> float:
    """Returns the score that a new object stays below with probability `level` or a little more.

    Raises:
        UserError: The level is no probability, or the calibration set is too small for it.
    """
    if not 0 < level < 1:
        raise UserError(
            f"config key 'evaluate.uncertainty.levels' has {level:g}; choose between 0 and 1"
        )
    rank = math.ceil((len(scores) + 1) * level)
    if rank > len(scores):
        raise UserError(
            f"conformal intervals of level {level:g} need {math.ceil(level / (1 - level))} "
            f"validation objects with a redshift, and there are {len(scores)}: enlarge the "
            "validation split or lower config key 'evaluate.uncertainty.levels'"
        )
    return float(np.sort(scores)[rank - 1])


def density_metrics(
    pit: Float[np.ndarray, " n"], crps: Float[np.ndarray, " n"], *, levels: Sequence[float]
) -> dict[str, float]:
    """Returns calibration of densities.

    Args:
        pit: CDF of each density at its true redshift.
        crps: Continuous ranked probability score of each.
        levels: Nominal coverages of central intervals.

    Returns:
        crps: mean. pit_ks: largest distance of the PIT's distribution from the uniform one
        (Kolmogorov-Smirnov). pit_outlier_fraction: PIT below 0.0001 or above 0.9999, truths that
        the density all but excludes. coverage_<percent>: share of truths within the central
        interval of each level.
    """
    ordered, size = np.sort(pit), len(pit)
    steps = np.arange(size + 1) / size
    farthest = max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1]))
    found = {
        "crps": float(np.mean(crps)),
        "pit_ks": float(farthest),
        "pit_outlier_fraction": float(np.mean((pit < 1e-4) | (pit > 1 - 1e-4))),
    }
    inside = coverage(pit, levels)
    return found | {f"coverage_{_percent(n)}": v for n, v in zip(levels, inside, strict=True)}


def coverage(pit: Float[np.ndarray, " n"], levels: Sequence[float] | np.ndarray) -> list[float]:
    """Returns share of truths within the central interval of each nominal level."""
    return [float(np.mean(np.abs(pit - 0.5) <= level / 2)) for level in levels]


def pit_figure(pit: Float[np.ndarray, " n"], path: Path) -> Path:
    """Draws histogram of the PIT with the central 95% of what uniform draws would give."""
    from scipy.stats import binom

    bins = 20 if len(pit) >= 400 else 10
    canvas = plots.figure(4.8, 3.6)
    axes = canvas.subplots()
    axes.hist(pit, bins=np.linspace(0, 1, bins + 1).tolist(), color="C0", alpha=0.7)
    low, high = binom.interval(0.95, len(pit), 1 / bins)
    axes.axhspan(low, high, color="0.75", alpha=0.6, lw=0, label="uniform, 95%")
    axes.axhline(len(pit) / bins, color="black", lw=1)
    axes.set(xlim=(0, 1), xlabel="PIT: CDF at the reference redshift", ylabel="objects per bin")
    axes.legend(fontsize=8, frameon=False)
    return plots.save(canvas, path)


def coverage_figure(curves: dict[str, Float[np.ndarray, "q 2"]], size: int, path: Path) -> Path:
    """Actual against nominal coverage, one curve of (nominal, actual) for each kind of interval."""
    canvas = plots.figure(4.6, 4.2)
    axes = canvas.subplots()
    nominal = np.linspace(0, 1, 101)
    error = np.sqrt(nominal * (1 - nominal) / size)
    axes.fill_between(
        nominal,
        nominal - 2 * error,
        nominal + 2 * error,
        color="0.85",
        lw=0,
        label=r"exact, $\pm 2\sigma$ binomial",
    )
    for name, points in curves.items():
        axes.plot(*points.T, lw=1.6, label=plots.plain_text(name))
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set(xlabel="nominal coverage", ylabel="share of test objects inside")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    return plots.save(canvas, path)


def check(tables: dict[str, Any]) -> None:
    """Raises `UserError` if redshifts are not predicted or not known; needs no embedding."""
    names = ("validation", "test")
    splits = dict(zip(names, quantities.require(tables, "uncertainty", *names), strict=True))
    if "redshift" not in splits["test"].predictions:
        raise UserError(
            "evaluation 'uncertainty' needs predicted redshifts: choose a method with a redshift "
            "head"
        )
    quantities.require_values(splits, ("redshift",), "uncertainty")


def evaluate(
    tables: dict[str, Any],
    out: Path,
    *,
    levels: tuple[float, ...] = (0.68, 0.95),
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Section:
    """Scores the densities of the test set, and conformal intervals calibrated on validation.

    Errors are those of the test set's bootstrap; the conformal factors are held fixed.

    Args:
        tables: Split -> `embed.Table`; "validation" and "test" are used.
        out: Folder for figures and the densities.
        levels: Nominal coverages, e.g. (0.68, 0.95).
        n_bootstrap: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Raises:
        UserError: No redshift prediction or reference, or too few objects for a level.
    """
    check(tables)
    both = quantities.require(tables, "uncertainty", "validation", "test")
    calibration, test = map(_scored, both)
    curves, figures, numbers = {}, [], {}
    text = "Point estimates: intervals are conformal, in proportion to 1 + z."
    if test.density is not None:
        pit = np.asarray(mixture.cdf(test.density, test.z_ref[:, None]), np.float64)[:, 0]
        crps = np.asarray(mixture.crps(test.density, test.z_ref), np.float64)
        statistic = functools.partial(density_metrics, levels=levels)
        numbers = resampling.with_bootstrap_errors(
            statistic, pit, crps, seed=seed, n_bootstrap=n_bootstrap
        )
        path = pit_figure(pit, out / "photoz_pit.png")
        figures.append(Figure(path, "PIT of the test set: flat where densities are calibrated."))
        curves["predicted density"] = np.stack([NOMINAL, coverage(pit, NOMINAL)], axis=1)
        text = export(test.density, test.id, test.z_ref, out / PDF_FILE)
    for level in levels:
        factor = conformal_factor(calibration.score, level)
        interval = functools.partial(_interval, name=_percent(level))
        inside, half = test.score <= factor, factor * test.scale
        numbers |= resampling.with_bootstrap_errors(
            interval, inside, half, seed=seed, n_bootstrap=n_bootstrap
        )
    curves["conformal"] = _conformal_curve(calibration.score, test.score)
    path = coverage_figure(curves, len(test.id), out / "photoz_coverage.png")
    caption = (
        "Share of test objects whose redshift lies in the interval. Conformal intervals also have "
        f"the noise of their {len(calibration.id)} calibration objects."
    )
    figures.append(Figure(path, caption))
    numbers["objects"], numbers["calibration_objects"] = map(
        float, (len(test.id), len(calibration.id))
    )
    return Section("uncertainty", numbers, figures, text=text)


def export(
    density: mixture.Mixture, ids: np.ndarray, z_ref: Float[np.ndarray, " n"], path: Path
) -> str:
    """Writes densities for `qp` (LSST DESC) where that is installed; says what was done."""
    if importlib.util.find_spec("qp") is None:
        return "Densities are written for qp where it is installed: pip install qp-prob."
    import qp

    weights, means, sigmas = (np.asarray(part, np.float64) for part in density)
    data = {"weights": weights, "means": means, "stds": sigmas}
    ensemble = qp.Ensemble(qp.mixmod, data=data, ancil={"id": ids, "redshift": z_ref})
    with atomic_write(path) as temporary:
        ensemble.write_to(str(temporary))
    return f"Densities of the test set: {path.name}, read with qp.read."


class _Scored(NamedTuple):
    """The objects of a table that have a redshift: id, truth, score, its scale, and density."""

    id: np.ndarray
    z_ref: np.ndarray
    score: np.ndarray
    scale: np.ndarray
    density: mixture.Mixture | None


def _scored(table: Any) -> _Scored:
    z_ref = np.asarray(table.columns["redshift"], np.float64)
    known = np.isfinite(z_ref)
    found = {name: np.asarray(value)[known] for name, value in table.predictions.items()}
    z_pred, z_ref = found["redshift"].astype(np.float64), z_ref[known]
    density = mixture.read(found, "redshift")
    scale = 1 + np.maximum(z_pred, 0)
    if density is not None:
        scale = found["redshift_sigma"].astype(np.float64)
    return _Scored(
        np.asarray(table.id)[known], z_ref, np.abs(z_pred - z_ref) / scale, scale, density
    )


def _conformal_curve(
    calibration: Float[np.ndarray, " n"], scores: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "q 2"]:
    """Nominal and actual coverage, up to the level that the calibration set can reach."""
    size = len(calibration)
    reachable = NOMINAL[NOMINAL <= size / (size + 1)]
    held = [np.mean(scores <= conformal_factor(calibration, level)) for level in reachable]
    return np.stack([reachable, held], axis=1)


def _interval(inside: np.ndarray, half: np.ndarray, *, name: str) -> dict[str, float]:
    """Coverage and mean half-width, in redshift, of conformal intervals."""
    return {
        f"conformal_coverage_{name}": float(np.mean(inside)),
        f"conformal_half_width_{name}": float(np.mean(half)),
    }


def _percent(level: float) -> str:
    return f"{100 * level:g}"
