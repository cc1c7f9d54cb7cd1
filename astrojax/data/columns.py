# SPDX-License-Identifier: Apache-2.0
"""Catalogue columns under their standard names, whatever a file calls them."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from astrojax.data import validate
from astrojax.data.keys import PositionUnit, Sentinels
from astrojax.data.native import mark_missing, missing_values, to_ids, to_native, to_numbers
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
NUMBERS = ("ra", "dec", "redshift", "redshift_weight", "ebv", "size", *VECTORS)


def read(
    get: Callable[[str], Any],
    available: Iterable[str],
    names: Mapping[str, Any],
    *,
    where: str,
    get_id: Callable[[str], Any] | None = None,
) -> dict[str, np.ndarray]:
    """Reads columns into standard names, as `astrojax.data.native` has them.

    Args:
        get: Returns one column of the file, in whatever form the file's library has it.
        available: What the file has.
        names: {standard name: name in the file}; a tuple of names is stacked into one column
            [n c]; None is skipped, as is "image". Other names than the standard ones pass through.
        where: What to call the file in messages.
        get_id: Returns the column of ids, where a file without types has to be read as text.

    Raises:
        UserError: A column is not there or cannot be represented, or a name is nearly, but not, a
            standard one.
    """
    available = list(available)
    columns = {}
    for standard, name in names.items():
        near = _meant(standard)
        if near and standard != name:
            raise UserError(f"config key 'data.columns.{standard}': did you mean {near!r}?")
        if name is None or standard == "image":
            continue
        parts = (name,) if isinstance(name, str) else name
        one = get_id if get_id is not None and standard == "id" else get
        arrays = [to_native(one(validate.key(p, available, where)), p, where) for p in parts]
        columns[standard] = arrays[0] if isinstance(name, str) else _stacked(arrays, parts, where)
        if standard == "id":
            columns["id"] = to_ids(columns["id"], str(name), where)
    return columns


def _meant(name: str) -> str | None:
    """Returns the standard name that another is a misspelling of; short names are too near."""
    if name in STANDARD:
        return None
    if name.removesuffix("s") in STANDARD:
        return name.removesuffix("s")
    near = difflib.get_close_matches(name, STANDARD, n=1, cutoff=0.8)
    return near[0] if near and len(name) > 3 else None


def _stacked(arrays: list[np.ndarray], parts: tuple[str, ...], where: str) -> np.ndarray:
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise UserError(f"{where}: {', '.join(parts)} differ in shape, so they cannot be stacked")
    stacked = np.ma.stack if any(np.ma.isMaskedArray(a) for a in arrays) else np.stack
    return stacked(arrays, -1)


def standardise(
    columns: Mapping[str, np.ndarray],
    *,
    sentinels: Sentinels,
    where: str,
    extinction: tuple[float, ...] | None = None,
    position_unit: PositionUnit = "degree",
) -> dict[str, np.ndarray]:
    """Returns clean columns: quantities as floats, and whatever is missing marked as missing.

    Columns keep their precision (float16 becomes float32, which holds the same numbers). Missing is
    NaN of floats, and masked of integers and text (`astrojax.data.native`).

    Args:
        columns: Under their standard names. Color features, if given, become `flux`.
        sentinels: {name: values that mean "missing"}, e.g. {"magnitude": (-99.0, 99.0)}; a number
            stands for itself alone. A redshift of -1 always does.
        where: What to call the file in messages.
        extinction: R_b, needed to undo the dereddening of `dered_color_features`.
        position_unit: "degree" or "hourangle" (right ascension only).

    Raises:
        UserError: Values out of range; see `astrojax.data.validate`.
    """
    for name in sentinels:
        validate.key(name, columns, "data.sentinels: the data")
    clean = {name: _typed(name, values) for name, values in columns.items()}
    for name in clean:
        clean[name] = values = _sentinels(name, clean[name], sentinels.get(name, ()))
        if values.dtype.kind == "f" and name not in ("ra", "dec") and np.isinf(values).any():
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


def _sentinels(name: str, values: np.ndarray, missing: Any) -> np.ndarray:
    """Returns a column in which the values that mean missing are marked."""
    words = missing if isinstance(missing, tuple) else (missing,)
    words += (-1.0,) if name == "redshift" else ()
    if not words:
        return values
    plain = np.ma.getdata(values)
    if plain.dtype.kind == "U":
        marked = np.isin(plain, [f"{w:g}" if isinstance(w, float) else w for w in words])
    else:
        numbers = [float(w) for w in words]
        whole = [int(w) for w in numbers if w.is_integer()]
        fits = plain.dtype.kind == "f"
        marked = np.isin(plain, np.asarray(numbers, plain.dtype) if fits else whole)
    return mark_missing(plain, marked | np.ma.getmaskarray(values)) if marked.any() else values


def _typed(name: str, values: np.ndarray) -> np.ndarray:
    if name in NUMBERS:
        values = to_numbers(values, name)
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _check(columns: dict[str, np.ndarray], where: str, position_unit: str) -> None:
    if "redshift" in columns:
        validate.redshifts(columns["redshift"], where)
    if "ebv" in columns:
        validate.reddening(columns["ebv"], where)
    if "magnitude" in columns:
        validate.magnitudes(columns["magnitude"], where)
    if "id" in columns:
        lost = np.flatnonzero(missing_values(columns["id"]))
        if len(lost):
            raise UserError(f"{where}: {len(lost)} rows have no id, the first is row {lost[0]}")
        validate.unique_ids(columns["id"], where)
    if "ra" in columns and "dec" in columns:
        if position_unit == "hourangle":
            columns["ra"] = columns["ra"] * 15
        validate.positions(columns["ra"], columns["dec"], where, hours=False)
