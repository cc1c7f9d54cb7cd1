# SPDX-License-Identifier: Apache-2.0
"""A look at a data set before a network is trained on it: counts, pixels, labels and pictures.

Pixels are those of a sample of stamps, spread evenly over each split; columns are read whole.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Shaped

from astrojax import files
from astrojax.augment import views
from astrojax.data import validate
from astrojax.data.info import DataInfo, measure_noise
from astrojax.data.open import Dataset
from astrojax.data.source import Source, has_column
from astrojax.errors import UserError
from astrojax.evaluate import pages, plots, report
from astrojax.inference.flags import ends_inside
from astrojax.nn import layers
from astrojax.training import preflight
from astrojax.training.recipes import whole
from astrojax.training.recipes.fit import Size

_SAMPLE = 256  # stamps of each split whose pixels are read
_SHOWN, _PER_ROW = 36, 9  # stamps of the sheet
_VIEWED, _VIEWS = 4, 8  # stamps whose views are drawn, and views of each
_PLATEAU = 4  # pixels of one value at the top of a band: what saturates is flat
_CLASSES = 12  # that are counted one by one
_VIEW_KEYS = ("view", "global_view", "local_view")

Rows = list[tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class Part:
    """A table of the page.

    Attributes:
        heading: What it is about.
        header: Titles of the columns.
        rows: Texts.
    """

    heading: str
    header: tuple[str, ...]
    rows: Rows


def write(data: Dataset, out: Path, *, recipe: str, size: Size) -> list[Part]:
    """Writes `out` as an HTML page, and its pictures beside it as a PNG.

    Args:
        data: The data.
        out: The page, which ends in `.html`.
        recipe: The pretraining recipe whose stretch and views are drawn.
        size: Its size.

    Returns:
        The tables of the page.

    Raises:
        UserError: An image cannot be read, or the files cannot be written.
    """
    images = {split: _sample(source) for split, source in data.items() if len(source)}
    stamps = np.concatenate(list(images.values()))
    parts = [
        Part("Splits and columns", ("what", "value"), list(preflight.data(data).items())),
        Part(
            "Pixels",
            ("band", "sky noise", "NaN or Inf pixels", "saturated stamps"),
            _bands(stamps, data.info),
        ),
        Part("Stamps", ("what", "value"), _stamps(data, stamps)),
        Part("Labels and numbers", ("column", "known", "values"), _columns(data)),
    ]
    shown = _drawn(stamps, data.info)
    try:
        config = whole.build(recipe, data, size=size, epochs=1.0)
        rows, note = _views(config.method.to_dict(), stamps, data.info), ""
    except UserError as error:
        rows, note = {}, f"No views of {recipe}: {error}"
    picture = out.with_suffix(".png")
    _draw(shown, rows, picture, note or f"views of {recipe}")
    page = pages.render(
        "preview",
        style="report",
        title=f"{sum(map(len, data.values()))} images",
        note=note,
        parts=parts,
        picture=report.encoded(picture),
        caption="Stamps for the eye; below, what the network sees of some, and views of them.",
    )
    files.write_text(out, page)
    return parts


def _sample(source: Source) -> Shaped[np.ndarray, "n h w c"]:
    rows = np.unique(np.linspace(0, len(source) - 1, _SAMPLE).astype(int))
    return np.stack([np.asarray(source[int(row)]["image"]) for row in rows])


def _bands(stamps: Shaped[np.ndarray, "n h w c"], info: DataInfo) -> Rows:
    """Returns noise, bad pixels and stamps with a flat top, band by band."""
    noise = info.noise or measure_noise(list(stamps))
    top = np.nan_to_num(stamps).max(axis=(1, 2), keepdims=True)
    height = 255 if stamps.dtype == np.uint8 else 10 * np.asarray(noise, float)
    flat = ((stamps == top).sum(axis=(1, 2)) >= _PLATEAU) & (top[:, 0, 0] >= height)
    rows: Rows = []
    for i, band in enumerate(info.bands):
        bad = validate.count_bad(stamps[..., i])
        counts = f"{bad} of {stamps[..., i].size} pixels", f"{flat[:, i].sum()} of {len(stamps)}"
        rows.append((band, f"{noise[i]:.4g} {_unit(info)}", *counts))
    return rows


def _unit(info: DataInfo) -> str:
    return "of the range" if info.unit == "display" else info.unit


def _stamps(data: Dataset, stamps: Shaped[np.ndarray, "n h w c"]) -> Rows:
    """Returns what is odd about whole stamps."""
    info = data.info
    picture = info.unit == "display"
    hashes = [hashlib.blake2b(np.ascontiguousarray(s).tobytes()).digest() for s in stamps]
    ends = sum(ends_inside(stamp, picture=picture) for stamp in stamps)
    of = f"of {len(stamps)} looked at"
    rows: Rows = [
        ("zero point", _text(info.zero_point, "mag")),
        ("pixel scale", _text(info.pixel_scale, "arcsec")),
        ("same pixels as another stamp", f"{len(hashes) - len(set(hashes))} {of}"),
        ("a constant border", f"{ends} {of}"),
    ]
    if all(has_column(source, "id") for source in data.values()):
        ids = np.concatenate([np.asarray(s.column("id")).astype(str) for s in data.values()])
        rows.append(("same id as another", f"{len(ids) - len(np.unique(ids))} of {len(ids)}"))
    return rows


def _text(value: float | None, unit: str) -> str:
    return "not said" if value is None else f"{value:g} {unit}"


def _columns(data: Dataset) -> Rows:
    """Returns how many objects have a value of each column, and what the values are."""
    rows: Rows = []
    for name in next(iter(data.values()))[0]:
        if name in ("image", "id"):
            continue
        values = np.ma.concatenate([np.ma.asarray(s.column(name)) for s in data.values()])
        known, told = _values(name, values, data.info)
        rows.append((name, f"{known} of {len(values)}", told))
    return rows


def _values(name: str, values: np.ma.MaskedArray, info: DataInfo) -> tuple[int, str]:
    """Returns how many values are known, and their counts or their range."""
    if values.ndim > 1:
        good = np.isfinite(np.ma.filled(values.astype(float), np.nan)).all(axis=1)
        return int(good.sum()), f"{values.shape[1]} numbers each"
    if name == "label":
        values = np.ma.masked_less(values, 0)
    kind = values.dtype.kind
    if kind == "f":
        values = np.ma.masked_invalid(values)
    found = values.compressed()
    found = found[found.astype(str) != ""] if kind in "UO" else found
    if not len(found):
        return 0, "none"
    distinct, counts = np.unique(found, return_counts=True)
    if kind == "f" or (kind in "iu" and len(distinct) > _CLASSES):
        low, middle, high = np.percentile(found, (0, 50, 100))
        return len(found), f"{low:.5g} to {high:.5g}, median {middle:.5g}"
    names = [info.classes[v] if name == "label" and info.classes else str(v) for v in distinct]
    order = np.argsort(-counts)[:_CLASSES]
    more = f", ... {len(distinct)} in all" if len(distinct) > _CLASSES else ""
    return len(found), ", ".join(f"{names[i]}: {counts[i]}" for i in order) + more


def _scaled(images: np.ndarray) -> Float[np.ndarray, "n h w c"]:
    """Returns what networks see of pictures of 8 bits, and others as they are."""
    return np.nan_to_num(images.astype(np.float32) / (255.0 if images.dtype == np.uint8 else 1.0))


def _drawn(stamps: np.ndarray, info: DataInfo) -> Float[np.ndarray, "n h w 3"]:
    rows = np.unique(np.linspace(0, len(stamps) - 1, _SHOWN).astype(int))
    return plots.rgb(_scaled(stamps[rows]), info.bands, info.unit, reference=_scaled(stamps))


def _views(
    method: Mapping[str, Any], stamps: np.ndarray, info: DataInfo
) -> dict[str, list[Float[np.ndarray, "_ _ 3"]]]:
    """Returns {title of a column: pictures of some stamps}, as the network sees them."""
    rows = np.unique(np.linspace(0, len(stamps) - 1, _VIEWED).astype(int))
    images = jax.numpy.asarray(_scaled(stamps[rows]))
    stretch = layers.make_stretch(method["stretch"], bands=len(info.bands))
    sections = [key for key in _VIEW_KEYS if method.get(key)]
    crop = method[sections[0]]["crop"]
    seen = np.asarray(stretch(layers.centre_crop(images, crop)))
    low, high = np.percentile(seen, (0.5, 99.7), axis=(0, 1, 2))
    draw = functools.partial(_to_display, low=low, high=high, picture=info.unit == "display")
    found = {"network": draw(seen)}
    for key in sections:
        view = views.make(method[key], info=info, path=f"method.{key}")
        seen_through = jax.jit(functools.partial(_seen_through, view, stretch))
        for number in range(_VIEWS // len(sections)):
            made = seen_through(jax.random.key(number), images)
            found[f"{key} {number + 1}"] = draw(np.asarray(made))
    return found


def _seen_through(view: Any, stretch: Any, key: Any, images: Any) -> Any:
    """Returns a view of images, stretched; compiled once for all keys."""
    return stretch(view(key, images))


def _to_display(
    images: Float[np.ndarray, "n h w c"], *, low: np.ndarray, high: np.ndarray, picture: bool
) -> list[Float[np.ndarray, "_ _ 3"]]:
    """Returns stretched pixels in [0, 1], as `plots.rgb` puts bands and rows."""
    shown = np.clip((images - low) / np.maximum(high - low, 1e-12), 0, 1)
    count = shown.shape[-1]
    groups: Sequence[Any] = [[0], [0], [0]] if count == 1 else [[1], [0, 1], [0]]
    if count > 2:  # pictures are red, green and blue; bands run from blue to red
        groups = [[0], [1], [2]] if picture else np.array_split(np.arange(count), 3)[::-1]
    colors = np.stack([shown[..., g].mean(axis=-1) for g in groups], axis=-1)
    return list(colors if picture else colors[:, ::-1])


def _draw(
    shown: Float[np.ndarray, "n h w 3"],
    rows: Mapping[str, Sequence[Float[np.ndarray, "_ _ 3"]]],
    path: Path,
    title: str,
) -> None:
    """Writes the sheet of stamps, with the views of some below it."""
    top = -(-len(shown) // _PER_ROW)
    below = max((len(pictures) for pictures in rows.values()), default=0)
    width = max(_PER_ROW, len(rows))
    canvas = plots.figure(1.5 * width, 1.5 * top + 1.65 * below + 0.4)
    cells = canvas.subplots(top + below, width, squeeze=False)
    for cell in cells.ravel():
        cell.axis("off")
    for i, picture in enumerate(shown):
        cells[divmod(i, _PER_ROW)].imshow(picture, interpolation="nearest")
    for column, (name, pictures) in enumerate(rows.items()):
        for row, picture in enumerate(pictures):
            cell = cells[top + row, column]
            cell.imshow(picture, interpolation="nearest")
            if row == 0:
                cell.set_title(plots.plain_text(name), fontsize=8, pad=3)
    canvas.suptitle(plots.plain_text(title), fontsize=10)
    plots.save(canvas, path)
