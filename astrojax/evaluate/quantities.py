# SPDX-License-Identifier: Apache-2.0
"""What every evaluation task asks of a table: named scalars, labels, and the stamps behind rows.

A table (`embed.Table`) has `id` [n], `embedding` [n d], and the dicts `predictions` and `columns`
of arrays [n ...]. Vectors over the bands become one named scalar per band, and magnitudes also
give colors, so that a config can name any of them: `magnitude_F160W`, `color_F125W_F160W`,
`redshift`, `predicted_redshift`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from astrojax.data.info import DataInfo
from astrojax.data.source import Source
from astrojax.data.units import magnitude
from astrojax.errors import UserError
from astrojax.evaluate import plots

NAMES = {
    "redshift": "redshift $z$",
    "size": "half-light radius (arcsec)",
    "ebv": "$E(B-V)$ (mag)",
    "ra": "right ascension (deg)",
    "dec": "declination (deg)",
    "theta_e": "Einstein radius (arcsec)",
}


def require(tables: Mapping[str, Any], task: str, *splits: str) -> list[Any]:
    """Returns the tables of the named splits.

    Raises:
        UserError: A split is absent.
    """
    missing = [s for s in splits if s not in tables]
    if missing:
        raise UserError(
            f"evaluation '{task}' needs the splits {', '.join(splits)} and the data set has no "
            f"{' and no '.join(missing)}: set the split fractions of the data, or leave it out"
        )
    return [tables[s] for s in splits]


def flatten(
    values: Mapping[str, Shaped[np.ndarray, "n ..."]], bands: Sequence[str]
) -> dict[str, Float[np.ndarray, " n"]]:
    """Named scalars of numeric entries [n] and [n c]; other entries are left out.

    A vector as long as `bands` gives `<name>_<band>`, any other `<name>_<index>`.
    """
    found = {}
    for name, value in values.items():
        if value.dtype.kind not in "biuf":
            continue
        value = np.ma.filled(value.astype(np.float64), np.nan)
        if value.ndim == 1:
            found[name] = value
        elif value.ndim == 2:
            tags = bands if value.shape[1] == len(bands) else range(value.shape[1])
            found |= {f"{name}_{t}": value[:, i] for i, t in enumerate(tags)}
    return found


def scalars(table: Any, info: DataInfo) -> dict[str, Float[np.ndarray, " n"]]:
    """Returns every scalar that a task can plot, bin by or predict; unknown values are NaN.

    Adds to the table's columns: magnitudes from `flux` where the zero point is known and there is
    no `magnitude`, colors (mag) of neighbouring bands, and predictions as `predicted_<name>`.
    """
    columns = dict(table.columns)
    if "flux" in columns and "magnitude" not in columns and info.zero_point is not None:
        columns["magnitude"] = magnitude(np.asarray(columns["flux"]), info.zero_point)
    bands = info.catalogue_bands or info.bands
    found = flatten(columns, bands)
    for blue, red in zip(bands[:-1], bands[1:], strict=True):
        if f"magnitude_{blue}" in found and f"magnitude_{red}" in found:
            found[f"color_{blue}_{red}"] = found[f"magnitude_{blue}"] - found[f"magnitude_{red}"]
    predicted = flatten(table.predictions, bands)
    return found | {f"predicted_{name}": value for name, value in predicted.items()}


def pick(
    table: Any, info: DataInfo, names: Sequence[str], path: str
) -> dict[str, Float[np.ndarray, " n"]]:
    """Returns the named scalars; the name of a vector column stands for all its components.

    Raises:
        UserError: A name is not there; the message lists those that are. `path` is the config key.
    """
    found = scalars(table, info)
    chosen: dict[str, np.ndarray] = {}
    for name in names:
        parts = [name] if name in found else list(_parts(table, info, name))
        if not parts:
            raise UserError(
                f"config key '{path}' names {name!r}, which this data set has not; "
                f"it has: {', '.join(sorted(found)) or 'no columns'}"
            )
        chosen |= {part: found[part] for part in parts}
    return chosen


def _parts(table: Any, info: DataInfo, name: str) -> dict[str, np.ndarray]:
    bands = info.catalogue_bands or info.bands
    return flatten({name: table.columns[name]}, bands) if name in table.columns else {}


def numbers(values: np.ndarray) -> Float[np.ndarray, "n ..."]:
    """Returns a column as floats, NaN where a value is missing."""
    return np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)


def labels(table: Any) -> Int[np.ndarray, " n"] | None:
    """Returns integer labels with -1 for none, or None where no object has one."""
    if "label" not in table.columns:
        return None
    label = np.ma.filled(table.columns["label"], -1)
    if label.dtype.kind not in "iu":
        return None
    label = label.astype(np.int64)
    return label if (label >= 0).any() else None


def require_labels(splits: Mapping[str, Any], task: str) -> None:
    """Raises `UserError` if no object of a split has a label.

    Args:
        splits: Split -> table.
        task: The evaluation that needs them.
    """
    for split, table in splits.items():
        if labels(table) is None:
            raise UserError(
                f"evaluation '{task}' needs labels and no object of the {split} split has one: "
                f"name their column in data.columns.label, or leave out config key "
                f"'evaluate.{task}'"
            )


def require_values(
    splits: Mapping[str, Any], names: Sequence[str], task: str, *, least: int = 1
) -> None:
    """Raises `UserError` if a split has too few values of a column.

    Args:
        splits: Split -> table.
        names: Columns of numbers [n] or [n k].
        task: The evaluation that needs them.
        least: How many objects with finite values are needed.
    """
    for split, table in splits.items():
        for name in names:
            values = flatten({name: table.columns[name]}, ()) if name in table.columns else {}
            if not values or min(np.isfinite(v).sum() for v in values.values()) < least:
                raise UserError(
                    f"evaluation '{task}' needs values of {name!r} and no object of the {split} "
                    f"split has one: name their column in data.columns, or leave out config key "
                    f"'evaluate.{task}'"
                )


def labelled(tables: Sequence[Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns embeddings and labels of the labelled objects of tables that have labels."""
    pairs = [(table.embedding, labels(table)) for table in tables]
    return [(x[y >= 0], y[y >= 0]) for x, y in pairs if y is not None]


def class_names(info: DataInfo, label: Int[np.ndarray, " n"]) -> tuple[str, ...]:
    """Returns names of the classes 0 ... max, their numbers where the data set has no names.

    Raises:
        UserError: A label lies outside the class list.
    """
    highest = int(label.max(initial=0))
    if info.classes is None:
        return tuple(str(i) for i in range(highest + 1))
    if highest >= len(info.classes):
        raise UserError(
            f"label {highest} lies outside the {len(info.classes)} classes "
            f"({', '.join(info.classes)}): mend the labels or the class list"
        )
    return tuple(info.classes)


def describe(name: str) -> str:
    """Returns an axis label with its unit for a scalar of `scalars`, as matplotlib takes it."""
    return _label(name) if name.lower() in NAMES else _label(plots.plain_text(name))


def _label(name: str) -> str:
    if name.startswith("predicted_"):
        return f"predicted {_label(name.removeprefix('predicted_'))}"
    for kind, unit in (("magnitude", " (mag)"), ("flux", "")):
        if name.startswith(f"{kind}_error_"):
            return f"error of {name.removeprefix(f'{kind}_error_')} {kind}{unit}"
    if name.startswith("magnitude_"):
        return f"{name.removeprefix('magnitude_')} (AB mag)"
    if name.startswith("color_"):
        return f"{' − '.join(name.removeprefix('color_').split('_'))} (mag)"
    if name.startswith("flux_"):
        return f"{name.removeprefix('flux_')} flux"
    return NAMES.get(name.lower(), name.replace("_", " "))


def stamps(table: Any, source: Source, rows: Int[np.ndarray, " k"]) -> Float[np.ndarray, "k h w c"]:
    """Returns the images behind rows of a table, found in the source by object id.

    Raises:
        UserError: The source has no such object.
    """
    try:
        ids = np.asarray(source.column("id"))
    except KeyError:
        ids = np.arange(len(source))
    place = {key: i for i, key in enumerate(ids.tolist())}
    wanted = np.asarray(table.id)[rows].tolist()
    absent = [key for key in wanted if key not in place]
    if absent:
        raise UserError(
            f"object {absent[0]!r} of the table is not in the data set: the table was made from "
            "other data; embed again"
        )
    images = [np.asarray(source[place[key]]["image"]) for key in wanted]
    # 8-bit composites keep their range, which the display needs to know.
    scale = 255.0 if images and images[0].dtype == np.uint8 else 1.0
    return np.stack(images).astype(np.float32) / scale
