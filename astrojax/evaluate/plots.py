# SPDX-License-Identifier: Apache-2.0
"""Figure helpers: display of multi-band stamps, contact sheets, matrices, loss curves.

Figures are `matplotlib.figure.Figure` objects, not pyplot state, so that nothing depends on a
display or leaks between tasks.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from astrojax.data.noise import robust_sigma
from astrojax.errors import printable
from astrojax.files import atomic_write

LETTERS = 100  # of a text from data that are shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def figure(width: float, height: float) -> "Canvas":
    """Returns an empty figure, size in inches, whose layout keeps labels apart."""
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height), layout="constrained")


def save(canvas: "Canvas", path: Path) -> Path:
    """Writes a PNG and returns its path."""
    with atomic_write(path) as temporary:
        canvas.savefig(temporary, dpi=130)
    return path


def plain_text(text: Any) -> str:
    """Returns text from data, such as an id or a class, for a figure: no typesetting, no end.

    matplotlib takes what stands between dollar signs for mathematics, and fails where it is none.
    """
    shown = printable(str(text)).replace("$", r"\$")
    return shown if len(shown) <= LETTERS else f"{shown[: LETTERS - 1].rstrip(chr(92))}…"


def rgb(
    images: Float[np.ndarray, "n h w c"],
    bands: Sequence[str],
    unit: str,
    *,
    reference: Float[np.ndarray, "k h w c"] | None = None,
) -> Float[np.ndarray, "n h w 3"]:
    """Stamps for the eye: asinh stretch (Lupton et al. 2004) with one scaling for the whole set.

    Images in "display" units are taken as they are (values in [0, 1], first row on top). Otherwise
    the first row is at the bottom, as in FITS, and is put there; bands run from blue to red: one
    band is grey, more are averaged in three groups by wavelength, each band divided by its sky
    noise, so that color means signal-to-noise and not the unit of the band.

    Args:
        images: Pixels; anything finite (what is not is shown black).
        bands: Band names, as many as `c`.
        unit: `DataInfo.unit`.
        reference: Stamps that set the scaling, where the set is shown in parts; None: `images`.

    Returns:
        Red, green and blue in [0, 1], the first row on top.
    """
    count = len(bands)
    if unit == "display":
        shown = np.clip(images, 0, 1)
        return np.repeat(shown, 3, axis=-1) if count == 1 else shown[..., :3]
    groups = [[0], [0], [0]] if count == 1 else [[0], [0, 1], [1]]
    if count > 2:
        groups = [list(g) for g in np.array_split(np.arange(count), 3)]
    reference = _finite(images if reference is None else reference)
    sky, noise = _sky(reference)

    def colors(stamps: np.ndarray) -> np.ndarray:
        signal = (stamps - sky) / noise
        return np.stack([signal[..., g].mean(axis=-1) for g in groups])

    peak = colors(reference).mean(axis=0).max(axis=(1, 2))
    return _lupton(*colors(_finite(images)), white=float(np.percentile(peak, 90)))[:, ::-1]


def _finite(images: np.ndarray) -> np.ndarray:
    return np.nan_to_num(images, nan=0.0, posinf=0.0, neginf=0.0)


def _sky(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and scatter of each band along the stamps' borders; noiseless ones get 0.3%."""
    border = np.ones(images.shape[1:3], bool)
    width = max(1, min(border.shape) // 8)
    border[width:-width, width:-width] = False
    pixels = images[:, border].reshape(-1, images.shape[-1])
    sky = np.median(pixels, axis=0)
    noise = robust_sigma(pixels, axis=0)
    # Of the typical peak, not the highest: one saturated star must not darken all others.
    peak = np.median(np.abs(images).max(axis=(1, 2)), axis=0)
    return sky, np.maximum(noise, np.where(peak > 0, 0.003 * peak, 1.0))


def _lupton(blue: np.ndarray, green: np.ndarray, red: np.ndarray, *, white: float) -> np.ndarray:
    from astropy.visualization import make_lupton_rgb

    # Linear up to 2 sigma, so that faint outskirts show; white at what the bright stamps reach.
    q = float(np.arcsinh(max(white, 10.0) / 2))
    frames = [
        make_lupton_rgb(r, g, b, minimum=-1.0, stretch=2 * q, Q=q)
        for r, g, b in zip(red, green, blue, strict=True)
    ]
    return np.stack(frames).astype(np.float32) / 255


def contact_sheet(
    pictures: Float[np.ndarray, "n h w 3"],
    captions: Sequence[str],
    path: Path,
    *,
    per_row: int,
    title: str = "",
) -> Path:
    """Pictures in rows, each with a short caption above it."""
    rows = math.ceil(len(pictures) / per_row)
    canvas = figure(1.6 * per_row, 1.85 * rows + (0.4 if title else 0))
    cells = canvas.subplots(rows, per_row, squeeze=False).ravel()
    for cell in cells:
        cell.axis("off")
    for cell, picture, caption in zip(cells, pictures, captions, strict=False):
        cell.imshow(picture, interpolation="nearest")
        cell.set_title(plain_text(caption), fontsize=8, pad=3)
    if title:
        canvas.suptitle(plain_text(title), fontsize=11)
    return save(canvas, path)


def matrix(
    counts: Int[np.ndarray, "n k"],
    path: Path,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    ylabel: str,
    xlabel: str,
) -> Path:
    """A table of counts, colored by the fraction of each row; cells are written while they fit."""
    height, width = counts.shape
    fraction = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    canvas = figure(2.8 + 0.42 * min(width, 40), 1.9 + 0.32 * min(height, 60))
    axes = canvas.subplots()
    image = axes.imshow(fraction, cmap="Blues", vmin=0, aspect="auto")
    named = [plain_text(name) for name in columns]
    axes.set_xticks(range(width), named, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(height), [plain_text(name) for name in rows], fontsize=8)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if height * width <= 400:
        for i, j in np.ndindex(height, width):
            color = "white" if fraction[i, j] > 0.6 * fraction.max() else "black"
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=7, color=color)
    canvas.colorbar(image, ax=axes, label=f"fraction of the {ylabel}", aspect=30)
    return save(canvas, path)


def plane_panels(
    plane: Float[np.ndarray, "n 2"],
    panels: Mapping[str, Float[np.ndarray, " n"]],
    path: Path,
    *,
    axes_name: str,
    label: Int[np.ndarray, " n"] | None = None,
    names: Sequence[str] = (),
) -> Path:
    """Points of a plane, one panel per axis label -> values, and one for classes.

    Colors run over the central 96% of the values; objects without a value are left out.

    Args:
        plane: Points.
        panels: What to color by.
        path: Where to write the PNG.
        axes_name: What the axes are.
        label: Classes, -1 for none, or None for no such panel.
        names: Names of the classes.
    """
    count = len(panels) + (label is not None)
    per_row = min(3, count)
    rows = math.ceil(count / per_row)
    canvas = figure(4.4 * per_row, 3.7 * rows)
    cells = canvas.subplots(rows, per_row, squeeze=False).ravel()
    size = float(np.clip(9000 / len(plane), 1.5, 18))
    for cell, (name, values) in zip(cells, panels.items(), strict=False):
        known = np.isfinite(values)
        low, high = np.percentile(values[known], (2, 98)) if known.any() else (0, 1)
        dots = cell.scatter(
            *plane[known].T, c=values[known], s=size, lw=0, cmap="viridis", vmin=low, vmax=high
        )
        canvas.colorbar(dots, ax=cell, label=name, extend="both")
    if label is not None:
        _classes(cells[len(panels)], plane, label, names, size)
    for cell in cells[:count]:
        cell.set(xlabel=f"{axes_name} 1", ylabel=f"{axes_name} 2", xticks=[], yticks=[])
    for cell in cells[count:]:
        cell.axis("off")
    return save(canvas, path)


def _classes(
    cell: Any, plane: np.ndarray, label: np.ndarray, names: Sequence[str], size: float
) -> None:
    from matplotlib import color_sequences

    palette = color_sequences["tab20"]
    for i, name in enumerate(names):
        chosen = plane[label == i]
        color = palette[(2 * i + i // 10) % 20]
        cell.scatter(*chosen.T, s=size, lw=0, color=color, label=plain_text(name))
    dots = cell.legend(fontsize=7, loc="best", framealpha=0.7).legend_handles
    for dot in dots:
        dot.set_sizes([18])  # the points themselves can be too small to tell colors by


def loss_curves(records: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Plots logged numbers against the training step.

    Args:
        records: Lines of `metrics.jsonl`: dicts with "step" and numbers; `validation_<name>`
            shares the panel of `<name>`, and the epoch, which rises with the step, has none.
        path: Where to write the PNG.
    """
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for record in records:
        for name, value in record.items():
            if name in ("step", "epoch") or isinstance(value, bool | str) or value is None:
                continue
            panel = name.removeprefix("validation_")
            split = "training" if name == panel else "validation"
            points = curves.setdefault(panel, {}).setdefault(split, [])
            points.append((record["step"], float(value)))
    per_row = min(3, len(curves))
    rows = math.ceil(len(curves) / per_row)
    canvas = figure(3.9 * per_row, 2.7 * rows)
    cells = canvas.subplots(rows, per_row, squeeze=False).ravel()
    for cell, (panel, lines) in zip(cells, curves.items(), strict=False):
        values = np.concatenate([np.asarray(line)[:, 1] for line in lines.values()])
        for split, line in lines.items():
            # A line through one point would not be seen.
            mark = "o" if len(line) < 10 else ""
            cell.plot(*np.asarray(line).T, lw=1.2, ms=3, marker=mark, label=split)
        # A loss that falls a hundredfold is a flat line on a linear axis.
        if values.min() > 0 and values.max() > 30 * values.min():
            cell.set_yscale("log")
        cell.set(xlabel="training step", ylabel=plain_text(panel.replace("_", " ")))
        if len(lines) > 1:
            cell.legend(fontsize=8, frameon=False)
    for cell in cells[len(curves) :]:
        cell.axis("off")
    return save(canvas, path)
