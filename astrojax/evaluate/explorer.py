# SPDX-License-Identifier: Apache-2.0
"""A page to look at an embedding: its plane, thumbnails under the pointer, a lasso.

One HTML file that fetches nothing when it is opened: the points and their columns are inside as
numbers, the thumbnails as JPEG sheets that the browser decodes when they are first shown. With
10,000 objects and thumbnails of 48 pixels it is 9 MB, and is drawn in 30 ms by a browser without
graphics hardware, on one of two busy cores.
"""

import base64
import io
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from astrojax.data.source import Source
from astrojax.evaluate import pages, plots, quantities
from astrojax.evaluate.projection import Method, choose, project
from astrojax.evaluate.report import Link, Section
from astrojax.files import write_text

CLASSES = 40  # more names than this are no classes
PER_ROW = 32  # thumbnails along a side of a sheet
_REFERENCE = 256  # stamps that set the display scaling of all


def page(
    ids: Iterable[Any],
    points: Float[np.ndarray, "n 2"],
    values: Mapping[str, Shaped[np.ndarray, " n"]],
    *,
    pictures: UInt8[np.ndarray, "n h h 3"] | None = None,
    axes_name: str = "",
    title: str = "astrojax explorer",
) -> str:
    """Returns the page as text.

    Args:
        ids: Object ids, any type; shown as text.
        points: The plane.
        values: What to color by and to show: numbers, NaN where unknown, or names of classes, ""
            where unknown. Columns without a value are left out, and names where they are more than
            `CLASSES`.
        pictures: A thumbnail of each object, first row on top.
        axes_name: What the plane is, e.g. "UMAP".
        title: Heading of the page.
    """
    from matplotlib import color_sequences, colormaps
    from matplotlib.colors import to_hex

    points = points - points.mean(axis=0)  # so that single precision is enough
    side, per_row, sheets = 0, 1, []
    if pictures is not None:
        side, per_row, sheets = pictures.shape[1], *_sheets(pictures)
    made = (_column(name, values[name]) for name in sorted(values, key=_rank))
    data = {
        "ids": [str(i) for i in ids],
        "x": _base64(points[:, 0]),
        "y": _base64(points[:, 1]),
        "columns": [column for column in made if column],
        "side": side,
        "per_row": per_row,
        "sheets": sheets,
        "map": [to_hex(c) for c in colormaps["viridis"](np.arange(256))],
        "palette": [to_hex(c) for c in color_sequences["tab10"]],
    }
    return pages.render("explorer", data=data, title=title, axes_name=axes_name)


def thumbnails(
    table: Any, source: Source, rows: Int[np.ndarray, " n"], *, side: int
) -> UInt8[np.ndarray, "n s s 3"]:
    """Small pictures of rows of a table, with one display scaling, a sheet's worth at a time.

    Args:
        table: An `embed.Table`, or anything with its `id`.
        source: Where the images are.
        rows: Rows of the table.
        side: Pixels along a side; smaller stamps keep their size.

    Raises:
        UserError: The source lacks an object.
    """
    side = min(side, source.info.image_size)
    step = max(1, len(rows) // _REFERENCE)
    reference = quantities.stamps(table, source, rows[::step])
    parts = []
    for start in range(0, len(rows), PER_ROW**2):
        block = quantities.stamps(table, source, rows[start : start + PER_ROW**2])
        shown = plots.rgb(block, source.info.bands, source.info.unit, reference=reference)
        parts.append(np.stack([_small(picture, side) for picture in shown]))
    return np.concatenate(parts)


def check(tables: dict[str, Any]) -> None:
    """Raises `UserError` if a split is not there."""
    quantities.require(tables, "explorer", "test")


def evaluate(
    tables: dict[str, Any],
    sources: dict[str, Any],
    out: Path,
    *,
    method: Method = "auto",
    perplexity: float = 30.0,
    neighbors: int = 15,
    limit: int = 5000,
    thumbnail: int = 48,
    seed: int = 0,
) -> Section:
    """Writes `explorer.html`: the test embedding in two dimensions, to look at in a browser.

    Args:
        tables: Split -> `embed.Table`; "test" is used.
        sources: Split -> data source.
        out: Folder for the page.
        method: "pca", "tsne", "umap", or "auto": UMAP where it is installed, else t-SNE.
        perplexity: Of t-SNE.
        neighbors: Of UMAP.
        limit: Most objects shown, a random choice of them.
        thumbnail: Pixels along a side of a thumbnail.
        seed: Seed of the choice and the projection.
    """
    (table,), source = quantities.require(tables, "explorer", "test"), sources["test"]
    rows = choose(len(table.embedding), limit=limit, seed=seed)
    points, axes_name = project(
        table.embedding[rows], method=method, perplexity=perplexity, neighbors=neighbors, seed=seed
    )
    values = {k: v[rows] for k, v in quantities.scalars(table, source.info).items() if k != "label"}
    label = quantities.labels(table)
    if label is not None:
        names = np.array([*quantities.class_names(source.info, label), ""])
        values["class"] = names[label[rows]]  # -1, none, is the last
    path = out / "explorer.html"
    pictures = thumbnails(table, source, rows, side=thumbnail)
    ids = np.asarray(table.id)[rows]
    made = page(ids, points, values, pictures=pictures, axes_name=axes_name)
    write_text(path, made)
    text = (
        f"{len(rows)} test objects in the plane of {axes_name}: thumbnails under the pointer, "
        "colors by any column, and a lasso that gives ids."
    )
    return Section("explorer", {}, text=text, links=[Link(path, "Open the explorer page")])


def _rank(name: str) -> int:
    """What one wants to see first: classes, predictions, what they are of, the rest, errors."""
    first = ("class", "predicted_", "redshift", "magnitude_", "color_")
    found = next((i for i, k in enumerate(first) if name.startswith(k)), len(first))
    return found + (len(first) + 1) * ("error" in name)


def _column(name: str, values: np.ndarray) -> dict[str, Any] | None:
    """Returns a column of the page; the colors of numbers run over the central 96% of them."""
    # A page knows no mathematical typesetting.
    label = re.sub(r"(?<!\\)\$", "", quantities.describe(name)).replace(r"\$", "$")
    if values.dtype.kind not in "biuf":
        names, index = np.unique(values.astype(str), return_inverse=True)
        if len(names) > CLASSES or not any(names):
            return None
        numbers = np.where(names[index] == "", np.nan, index)
        return {"name": name, "label": label, "values": _base64(numbers), "names": names.tolist()}
    known = values[np.isfinite(values)].astype(float)
    if not len(known):
        return None
    low, high = np.percentile(known, (2, 98)).tolist()
    return {"name": name, "label": label, "values": _base64(values), "low": low, "high": high}


def _sheets(pictures: np.ndarray) -> tuple[int, list[str]]:
    """(thumbnails along a side of a sheet, the sheets as data URIs)."""
    from PIL import Image

    per_row, side = min(PER_ROW, math.ceil(math.sqrt(len(pictures)))), pictures.shape[1]
    found = []
    for start in range(0, len(pictures), per_row**2):
        canvas = np.zeros((per_row, per_row, side, side, 3), np.uint8)
        block = pictures[start : start + per_row**2]
        canvas.reshape(-1, side, side, 3)[: len(block)] = block
        sheet = canvas.transpose(0, 2, 1, 3, 4).reshape(per_row * side, per_row * side, 3)
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, "JPEG", quality=85)
        found.append(f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}")
    return per_row, found


def _small(picture: Float[np.ndarray, "h w 3"], side: int) -> UInt8[np.ndarray, "s s 3"]:
    from PIL import Image

    image = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX))


def _base64(values: Shaped[np.ndarray, " n"]) -> str:
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()
