# SPDX-License-Identifier: Apache-2.0
"""Photometric redshifts: bias, scatter and outliers in the three common conventions.

Everything is a statistic of Delta = (z_pred - z_ref) / (1 + z_ref) over the whole test set (a mean
of per-batch medians is not a median). Conventions: PITA (Khederlarian et al. 2026, mean bias,
|Delta| > 0.15), the stricter 0.05 cut of cluster and lensing work, and LSST (Science Requirements
Document: median bias, sigma from the interquartile range, |Delta| > max(0.06, 3 sigma)).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from astrojax.errors import UserError
from astrojax.evaluate import plots, quantities, resampling
from astrojax.evaluate.report import Figure, Section, Sheet
from astrojax.files import write_csv


def metrics(
    z_pred: Float[Array | np.ndarray, " n"], z_ref: Float[Array | np.ndarray, " n"]
) -> dict[str, float]:
    """Photo-z statistics of predicted against reference redshifts.

    Returns:
        bias: mean Delta. nmad: 1.4826 median|Delta - median Delta|.
        outlier_fraction: |Delta| > 0.15. outlier_fraction_005: |Delta| > 0.05.
        median_bias: median Delta. sigma_iqr: interquartile range of Delta / 1.349.
        outlier_fraction_lsst: |Delta| > max(0.06, 3 sigma_iqr).

    Raises:
        UserError: There are no objects, or redshifts that are not finite.
    """
    z_pred, z_ref = np.asarray(z_pred, np.float64), np.asarray(z_ref, np.float64)
    bad = int(np.sum(~np.isfinite(z_pred)) + np.sum(~np.isfinite(z_ref)))
    if len(z_ref) == 0 or bad:
        raise UserError(
            f"photo-z metrics need finite redshifts; {bad} of {len(z_ref)} objects have none: "
            "leave out objects without a reference redshift"
        )
    delta = (z_pred - z_ref) / (1 + z_ref)
    lower, median, upper = np.percentile(delta, (25, 50, 75))
    sigma_iqr = (upper - lower) / 1.349
    size = np.abs(delta)
    return {
        "bias": float(delta.mean()),
        "nmad": float(1.4826 * np.median(np.abs(delta - median))),  # the convention's digits
        "outlier_fraction": float(np.mean(size > 0.15)),
        "outlier_fraction_005": float(np.mean(size > 0.05)),
        "median_bias": float(median),
        "sigma_iqr": float(sigma_iqr),
        "outlier_fraction_lsst": float(np.mean(size > max(0.06, 3 * sigma_iqr))),
    }


def binned(
    z_pred: Float[np.ndarray, " n"],
    z_ref: Float[np.ndarray, " n"],
    values: Float[np.ndarray, " n"],
    *,
    edges: Sequence[float],
    seed: int,
    n_bootstrap: int,
) -> dict[str, list[float]]:
    """`metrics` with errors in bins of another quantity; a bin holds lower <= value < upper.

    Returns:
        Parallel columns: lower, upper, objects, then each number and its `_error`. Bins with fewer
        than two objects are left out: they have no spread.
    """
    rows: dict[str, list[float]] = {}
    for lower, upper in zip(edges[:-1], edges[1:], strict=True):
        inside = (values >= lower) & (values < upper)
        if inside.sum() < 2:
            continue
        row = {"lower": lower, "upper": upper, "objects": int(inside.sum())}
        row |= resampling.with_bootstrap_errors(
            metrics, z_pred[inside], z_ref[inside], seed=seed, n_bootstrap=n_bootstrap
        )
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    return rows


def density_figure(
    z_pred: Float[np.ndarray, " n"], z_ref: Float[np.ndarray, " n"], path: Path, title: str
) -> Path:
    """Draws two-dimensional histogram of predicted against reference redshift (log counts)."""
    top = 1.05 * float(max(np.percentile(z_ref, 99.9), np.percentile(z_pred, 99.9)))
    figure = plots.figure(5.6, 5.0)
    axes = figure.subplots()
    bins = np.linspace(0, top, 90 if len(z_ref) > 3000 else 50)
    _, _, _, mesh = axes.hist2d(z_ref, z_pred, bins=(bins, bins), norm="log", cmap="viridis")
    line = np.array([0, top])
    axes.plot(line, line, color="black", lw=1, label=r"$z_\mathrm{pred}=z_\mathrm{ref}$")
    for sign in (-1, 1):
        label = r"$\pm 0.15\,(1+z)$" if sign == 1 else None
        edge = line + sign * 0.15 * (1 + line)
        axes.plot(line, edge, color="crimson", lw=1, ls="--", label=label)
    axes.set(xlim=(0, top), ylim=(0, top), aspect="equal", title=plots.plain_text(title))
    axes.set(
        xlabel=r"reference redshift $z_\mathrm{ref}$",
        ylabel=r"predicted redshift $z_\mathrm{pred}$",
    )
    axes.legend(loc="upper left", fontsize=8, frameon=False)
    figure.colorbar(mesh, ax=axes, label="objects per cell", shrink=0.85)
    return plots.save(figure, path)


def binned_figure(bins: dict[str, list[float]], path: Path, xlabel: str) -> Path:
    """Bias, NMAD and outlier fraction against a binned quantity, with bootstrap errors."""
    figure = plots.figure(10.5, 3.2)
    lower, upper = np.asarray(bins["lower"]), np.asarray(bins["upper"])
    labels = {"bias": "bias", "nmad": "NMAD", "outlier_fraction": r"fraction with $|\Delta|>0.15$"}
    for axes, (name, label) in zip(figure.subplots(1, 3), labels.items(), strict=True):
        axes.errorbar(
            (lower + upper) / 2,
            bins[name],
            xerr=(upper - lower) / 2,
            yerr=bins[f"{name}_error"],
            fmt="o",
            ms=4,
            lw=1,
            color="C0",
        )
        axes.set(xlabel=xlabel, ylabel=label)
        if name == "bias":
            axes.axhline(0, color="0.6", lw=0.8)
        else:
            axes.set_ylim(bottom=0)
    return plots.save(figure, path)


def check(tables: dict[str, Any], sources: dict[str, Any], *, magnitude: str) -> None:
    """Raises `UserError` if redshifts are not predicted or not known; needs no embedding."""
    names = ("test",)
    splits = dict(zip(names, quantities.require(tables, "photoz", *names), strict=True))
    if "redshift" not in splits["test"].predictions:
        raise UserError(
            "evaluation 'photoz' needs predicted redshifts: choose a method with a redshift head"
        )
    quantities.require_values(splits, ("redshift",), "photoz")
    if magnitude:
        quantities.pick(splits["test"], sources["test"].info, (magnitude,), "photoz.magnitude")


def evaluate(
    tables: dict[str, Any],
    sources: dict[str, Any],
    out: Path,
    *,
    magnitude: str = "",
    magnitude_edges: tuple[float, ...] = (18.0, 21.0, 22.0, 23.0, 24.0, 26.0),
    redshift_edges: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0),
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Section:
    """Scores `predictions["redshift"]` against the redshifts of the test set.

    Args:
        tables: Split -> `embed.Table`; "test" is used.
        sources: Split -> data source.
        out: Folder for figures and tables.
        magnitude: Scalar to bin by, e.g. "magnitude_F160W"; "" for none.
        magnitude_edges: Bin edges in magnitudes.
        redshift_edges: Bin edges in reference redshift.
        n_bootstrap: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Raises:
        UserError: There is no redshift prediction or no reference redshift.
    """
    check(tables, sources, magnitude=magnitude)
    (table,), info = quantities.require(tables, "photoz", "test"), sources["test"].info
    z_ref = np.asarray(table.columns["redshift"], np.float64)
    known = np.isfinite(z_ref)
    z_ref = z_ref[known]
    z_pred = np.asarray(table.predictions["redshift"], np.float64).reshape(-1)[known]
    numbers = resampling.with_bootstrap_errors(
        metrics, z_pred, z_ref, seed=seed, n_bootstrap=n_bootstrap
    )
    numbers["objects"] = float(len(z_ref))
    path = density_figure(z_pred, z_ref, out / "photoz.png", f"{len(z_ref)} test objects")
    figures = [Figure(path, "Predicted against reference redshift; dashed: 0.15 (1 + z).")]
    sheets = []
    by = {"redshift": (z_ref, redshift_edges)}
    if magnitude:
        (values,) = quantities.pick(table, info, (magnitude,), "photoz.magnitude").values()
        by[magnitude] = (values[known], magnitude_edges)
    for name, (values, edges) in by.items():
        bins = binned(z_pred, z_ref, values, edges=edges, seed=seed, n_bootstrap=n_bootstrap)
        if not bins:
            continue
        label = quantities.describe(name)
        caption = f"Photo-z quality in bins of {name.replace('_', ' ')}, with bootstrap errors."
        sheets.append(Sheet(write_csv(out / f"photoz_by_{name}.csv", bins), caption))
        figures.append(Figure(binned_figure(bins, out / f"photoz_by_{name}.png", label), caption))
    return Section("photoz", numbers, figures, sheets=sheets)
