# SPDX-License-Identifier: Apache-2.0
"""Columns of a science table: a name, values, a unit and a sentence that says what they are."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from astrojax.data import units
from astrojax.data.info import DataInfo
from astrojax.inference import flags

_UNITS = {
    "ra": "deg",
    "dec": "deg",
    "ebv": "mag",
    "size": "arcsec",
    "theta_E": "arcsec",
    "theta_e": "arcsec",
    "center_x": "arcsec",
    "center_y": "arcsec",
}
_MEANING = {
    "id": "object identifier",
    "embedding": "representation of the image",
    "ood_score": "mean distance to the nearest embedded training images, in their "
    "standard deviations",
    "split": "train, validation or test: what the object was for the model; empty: never seen",
    "predicted_redshift": "redshift",
    "predicted_redshift_p16": "16th percentile of the redshift's predicted density",
    "predicted_redshift_p84": "84th percentile of the redshift's predicted density",
    "predicted_redshift_sigma": "standard deviation of the redshift's predicted density",
    "predicted_redshift_weights": "weights of the Gaussians of the redshift's predicted density",
    "predicted_redshift_means": "means of the Gaussians of the redshift's predicted density",
    "predicted_redshift_sigmas": "sigmas of the Gaussians of the redshift's predicted density",
    "predicted_label": "index of the most probable class; -1 for none",
    "predicted_class": "most probable class",
    "predicted_class_probability": "probability of each class",
    "predicted_cluster": "index of the most probable cluster; -1 for none",
    "predicted_color": "colors of neighbouring bands and a brightness, as in training",
    "predicted_anomaly_score": "how badly hidden patches are predicted",
    **flags.MEANING,
}


@dataclasses.dataclass(frozen=True)
class Field:
    """One column.

    Attributes:
        name: Its name.
        values: Its values, [n] or [n k].
        unit: In the notation of FITS and astropy; "" for a number without a unit.
        meaning: What it is.
    """

    name: str
    values: np.ndarray
    unit: str = ""
    meaning: str = ""


def of_data(columns: Mapping[str, np.ndarray], info: DataInfo) -> list[Field]:
    """Entries of the data set, one column for each band of fluxes and magnitudes."""
    found = []
    for name, values in columns.items():
        for part, piece in _parts(name, values, info.catalogue_bands or info.bands):
            found.append(Field(part, piece, _unit(name, info), _MEANING.get(name, "of the data")))
    return found


def distinct(data: Sequence[Field], own: Sequence[Field]) -> list[Field]:
    """Returns both under names that are all different, which is a function of the names alone.

    A column of the data that is called as one of the table's own becomes `data_<name>`; of other
    equal names, as of the classes Z+ and Z-, the second and third end in _2 and _3.

    Args:
        data: Columns of the data.
        own: Columns that the table has of itself: predictions, flags, embedding.
    """
    reserved = {field.name for field in own} | set(_MEANING)
    renamed = [
        dataclasses.replace(f, name=f"data_{f.name}") if f.name in reserved else f for f in data
    ]
    found: dict[str, Field] = {}
    for field in (*renamed, *own):
        name, number = field.name, 2
        while name in found:
            name, number = f"{field.name}_{number}", number + 1
        found[name] = dataclasses.replace(field, name=name)
    changed = [f"{old.name} as {new}" for old, new in zip((*data, *own), found, strict=True)]
    told = [text for text in changed if text.split(" as ")[0] != text.split(" as ")[1]]
    if told:
        logging.warning("columns that share a name are written under another: %s", ", ".join(told))
    return list(found.values())


def of_predictions(predictions: Mapping[str, np.ndarray], info: DataInfo) -> list[Field]:
    """Returns what heads say, under `predicted_*`; classes and bands are columns of their own.

    Of a density (`astrojax.mixture`) the 16th and 84th percentiles are added.

    Args:
        predictions: What `Method.predict` gives, {name: [n] or [n k]}.
        info: What the model was trained on: its bands and classes.
    """
    found = []
    for name, values in {**predictions, **_percentiles(predictions)}.items():
        key = f"predicted_{name}"
        meaning = _MEANING.get(key, "prediction")
        classes = info.classes if "cluster" not in predictions else None
        if name == "class_probability" and classes and values.shape[1] == len(classes):
            found += of_classes(classes, values)
            continue
        for part, piece in _parts(name, values, info.catalogue_bands or info.bands):
            found.append(Field(f"predicted_{part}", piece, _unit(name, info), meaning))
        if name == "label" and classes:
            names = np.array([*classes, ""])
            found.append(Field("predicted_class", names[values], "", _MEANING["predicted_class"]))
    return found


def of_classes(classes: Sequence[str], probability: np.ndarray) -> list[Field]:
    """Returns the probability of each class [n k] as a column of its own."""
    return [
        Field(
            f"predicted_class_probability_{_plain(c)}",
            probability[:, i],
            "",
            f"probability of class {c}",
        )
        for i, c in enumerate(classes)
    ]


def _percentiles(predictions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    from astrojax.nn import mixture

    found: dict[str, np.ndarray] = {}
    for name in predictions:
        density = mixture.read(dict(predictions), name)
        if density is not None:
            both = np.asarray(mixture.quantile(density, np.array([0.16, 0.84], np.float32)))
            found |= {f"{name}_p16": both[:, 0], f"{name}_p84": both[:, 1]}
    return found


def of_flags(flagged: Mapping[str, np.ndarray]) -> list[Field]:
    """Flags [n]."""
    return [Field(name, values, "", flags.MEANING[name]) for name, values in flagged.items()]


def plain(name: str, values: np.ndarray) -> Field:
    """Returns a column with no unit whose meaning is known."""
    return Field(name, values, "", _MEANING[name])


def without_values(predictions: Mapping[str, np.ndarray], rows: Any) -> dict[str, np.ndarray]:
    """Results in which some rows are empty: NaN, or -1 for indices."""
    found = {}
    for name, values in predictions.items():
        found[name] = values.copy()
        found[name][rows] = np.nan if values.dtype.kind == "f" else -1
    return found


def _parts(name: str, values: np.ndarray, bands: tuple[str, ...]) -> list[tuple[str, np.ndarray]]:
    by_band = values.ndim == 2 and values.shape[1] == len(bands) and len(bands) > 1
    if by_band and name.split("_")[0] in ("magnitude", "flux"):
        return [(f"{name}_{_plain(b)}", values[:, i]) for i, b in enumerate(bands)]
    return [(name, values[:, 0] if values.shape[1:] == (1,) else values)]


def _unit(name: str, info: DataInfo) -> str:
    if name.split("_")[0] == "flux":
        return units.to_astropy(info.unit)
    return "mag" if name.startswith("magnitude") else _UNITS.get(name, "")


def _plain(name: str) -> str:
    """Returns a name that a column name may contain in every format."""
    return "".join(c if c.isalnum() else "_" for c in name)
