# SPDX-License-Identifier: Apache-2.0
"""Catalogue columns under their standard names, whatever a file calls them."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from astrojax.data import validate
from astrojax.data.keys import Classes, Others, PositionUnit
from astrojax.errors import UserError

STANDARD = (
    "id",
    "image",
    "redshift",
    "redshift_weight",
    "ebv",
    "flux",
    "magnitude",
    "magnitude_error",
    "label",
    "ra",
    "dec",
    "size",
    "color_features",
    "dered_color_features",
    "use_redshift",
)
VECTORS = ("flux", "magnitude", "magnitude_error")
DOUBLE = ("ra", "dec")


def read(
    get: Callable[[str], np.ndarray],
    available: Iterable[str],
    names: Mapping[str, Any],
    *,
    where: str,
) -> dict[str, np.ndarray]:
    """Reads columns into standard names.

    Args:
        get: Returns one column of the file.
        available: What the file has.
        names: {standard name: name in the file}; a tuple of names is stacked into one column
            [n c]; None is skipped, as is "image". Other names than the standard ones pass through.
        where: What to call the file in messages.

    Raises:
        UserError: A column is not there, or a name is nearly, but not, a standard one.
    """
    available = list(available)
    columns = {}
    for standard, name in names.items():
        near = difflib.get_close_matches(standard, STANDARD, n=1, cutoff=0.8)
        if near and standard not in STANDARD and standard != name:
            raise UserError(f"config key 'data.columns.{standard}': did you mean {near[0]!r}?")
        if name is None or standard == "image":
            continue
        parts = (name,) if isinstance(name, str) else name
        arrays = [np.asarray(get(validate.key(p, available, where))) for p in parts]
        columns[standard] = arrays[0] if isinstance(name, str) else np.stack(arrays, -1)
    return columns


def standardise(
    columns: Mapping[str, np.ndarray],
    *,
    sentinels: Mapping[str, tuple[float, ...]],
    where: str,
    extinction: tuple[float, ...] | None = None,
    position_unit: PositionUnit = "degree",
) -> dict[str, np.ndarray]:
    """Clean columns: floats in float32 (positions in float64), NaN for whatever is missing.

    Args:
        columns: Under their standard names. Color features, if given, become `flux`.
        sentinels: {name: values that mean "missing"}, e.g. {"magnitude": (-99.0, 99.0)}. A
            redshift of -1 always does.
        where: What to call the file in messages.
        extinction: R_b, needed to undo the dereddening of `dered_color_features`.
        position_unit: "degree" or "hourangle" (right ascension only).

    Raises:
        UserError: Values out of range; see `astrojax.data.validate`.
    """
    for name in sentinels:
        validate.key(name, columns, "data.sentinels: the data")
    clean = {name: _typed(name, values) for name, values in columns.items()}
    for name, values in clean.items():
        missing = sentinels.get(name, ()) + ((-1.0,) if name == "redshift" else ())
        if missing and values.dtype.kind == "f":
            values[np.isin(values, np.asarray(missing, values.dtype))] = np.nan
        if values.dtype == np.float32 and np.isinf(values).any():
            stored = columns[name].dtype
            cause = "float16 overflow" if stored == np.float16 else "division by zero?"
            raise UserError(
                f"{where}: {np.isinf(values).sum()} infinite values of {name} ({cause})"
            )
    for name in ("color_features", "dered_color_features"):
        if name in clean:
            features = clean.pop(name)
            ebv = clean.get("ebv") if name.startswith("dered") else None
            clean["flux"] = flux_from_colors(features, ebv=ebv, extinction=extinction)
    _check(clean, where, position_unit)
    return clean


def flux_from_colors(
    features: Float[np.ndarray, "n c"],
    *,
    ebv: Float[np.ndarray, " n"] | None,
    extinction: tuple[float, ...] | None,
) -> Float[np.ndarray, "n c"]:
    """Returns observed fluxes from PITA's color features.

    A row of features is log10 f_{j+1} - log10 f_j for the c - 1 neighbouring pairs of bands, and
    then log10 f_1. Given E(B-V) the features are taken as dereddened, and 10^(0.4 R_b E(B-V)) is
    divided out, so that `flux` means the same whichever a file holds.

    Raises:
        UserError: Features are dereddened, and `extinction` is None.
    """
    features = np.asarray(features, np.float64)
    steps, reference = features[:, :-1], features[:, -1:]
    log = np.concatenate([np.zeros_like(reference), np.cumsum(steps, 1)], 1)
    log = log - log[:, 1:2] + reference
    if ebv is not None:
        if extinction is None:
            raise UserError("dereddened color features need data.info.extinction to be undone")
        log = log - 0.4 * np.asarray(extinction) * np.asarray(ebv, np.float64)[:, None]
    return (10**log).astype(np.float32)


def encode_labels(
    values: Shaped[np.ndarray, " n"],
    *,
    names: tuple[str, ...] | None,
    classes: Classes | None,
    others: Others,
    where: str,
) -> tuple[Int[np.ndarray, " n"], tuple[str, ...], Int[np.ndarray, " m"]]:
    """Returns integer labels of the classes asked for.

    Args:
        values: Class indices into `names`, or class names or codes if that is None.
        names: The file's own class names, or None.
        classes: The classes wanted, in order: each a value, or (new name, (values to merge));
            None: the file's own.
        others: What of objects in other classes: "error", "drop" or "unlabelled" (label -1).
        where: What to call the file in messages.

    Returns:
        Labels [n], class names, and the positions to keep [m].

    Raises:
        UserError: A class that is not in the file, or an object of no class with "error".
    """
    if names is not None:
        values = values.astype(np.int64)
        validate.class_labels(values, names, where)
        values = np.where(values < 0, "", np.array(names)[values])
    there = [str(v) for v in (names if names is not None else np.unique(values))]
    values = values.astype(str)
    wanted = tuple(there) if classes is None else classes
    groups = [(str(c), (c,)) if not isinstance(c, tuple) else (str(c[0]), c[1]) for c in wanted]
    labels = np.full(len(values), -1, np.int64)
    for index, (_, members) in enumerate(groups):
        for member in members:
            validate.key(str(member), there, f"{where}: the class list")
            labels[values == str(member)] = index
    outside = (labels < 0) & (values != "")
    if outside.any() and others == "error":
        left = ", ".join(np.unique(values[outside])[:5])
        raise UserError(
            f"{where}: {outside.sum()} objects are outside the class list ({left}); "
            'set data.others to "drop" or "unlabelled"'
        )
    kept = np.flatnonzero(~outside) if others == "drop" else np.arange(len(values))
    return labels, tuple(name for name, _ in groups), kept


def _typed(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "SO":
        values = np.array([v.decode() if isinstance(v, bytes) else v for v in values])
    if name in DOUBLE or name in ("redshift", "ebv", "size", *VECTORS) or values.dtype.kind == "f":
        try:
            values = values.astype(np.float64 if name in DOUBLE else np.float32)
        except ValueError:
            raise UserError(
                f"column {name!r} holds text such as {values[0]!r}, not numbers"
            ) from None
    return values


def _check(columns: dict[str, np.ndarray], where: str, position_unit: str) -> None:
    if "redshift" in columns:
        validate.redshifts(columns["redshift"], where)
    if "ebv" in columns:
        validate.reddening(columns["ebv"], where)
    if "magnitude" in columns:
        validate.magnitudes(columns["magnitude"], where)
    if "id" in columns:
        validate.unique_ids(columns["id"], where)
    if "ra" in columns and "dec" in columns:
        if position_unit == "hourangle":
            columns["ra"] = columns["ra"] * 15
        validate.positions(columns["ra"], columns["dec"], where, hours=False)
