# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a data set, said in one sentence before compute is spent.

Every loader calls these while it opens its files. Pixels cannot all be read at start on a large
file, so they are checked in two steps: `SAMPLE` stamps spread evenly over the file when it is
opened, and then every stamp as it is read (`astrojax.data.images.StoredSource`).
"""

import difflib
import operator
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from astrojax.data import units
from astrojax.data.info import DataInfo
from astrojax.data.source import Source
from astrojax.errors import UserError

SAMPLE = 64
REDSHIFT_RANGE = (-0.02, 15.0)  # below: nearby galaxies that approach us; above: nothing known
MAGNITUDE_RANGE = (5.0, 40.0)  # survey objects; fluxes in microjansky are mostly below 5
_NO_MAGNITUDE = 1000.0  # no object, but a fill value
FLOAT16_MAX = 65504


def file(path: str | Path) -> Path:
    """Returns the path, if it exists.

    Raises:
        UserError: It does not; similar names in the same folder are listed.
    """
    found = Path(path).expanduser()
    if found.exists():
        return found
    if not found.parent.is_dir():
        raise UserError(f"no file {str(path)!r}: there is no folder {str(found.parent)!r} either")
    near = difflib.get_close_matches(found.name, [p.name for p in found.parent.iterdir()], n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise UserError(f"no file {str(path)!r}{hint}")


def key(name: str, available: Iterable[str], where: str) -> str:
    """Returns the name, if it is available; letter case counts.

    Raises:
        UserError: It is not; the near names are listed first, then what there is.
    """
    there = [str(a) for a in available]
    if name in there:
        return name
    lower = {a.lower(): a for a in there}
    near = [lower[n] for n in difflib.get_close_matches(name.lower(), lower, n=3)]
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    listed = ", ".join(there[:20]) + (f", ... {len(there)} in all" if len(there) > 20 else "")
    raise UserError(f"{where} has no {name!r}: {hint}It has: {listed or 'nothing'}")


def choice(value: str, allowed: Sequence[str], path: str) -> str:
    """Returns the value of a config key, if it is one of those allowed."""
    if value not in allowed:
        raise UserError(f"config key '{path}' is {value!r}; it has to be {' or '.join(allowed)}")
    return value


def stamp_shape(shape: Sequence[int], bands: Sequence[str], where: str | Callable) -> None:
    """Raises `UserError` if a stamp is not [h w c] with one plane per band."""
    if len(shape) == 3 and shape[-1] == len(bands):
        return
    where = where() if callable(where) else where
    if len(shape) != 3:
        raise UserError(f"{where} holds stamps of shape {tuple(shape)}; they have to be [h w c]")
    raise UserError(
        f"{where} holds stamps of {shape[-1]} bands, but data.info.bands names {len(bands)}: "
        f"{', '.join(bands)}"
    )


def side(shape: Sequence[int], size: int, where: str | Callable) -> None:
    """Raises `UserError` if a stamp is not a square of the given side."""
    if tuple(shape[:2]) != (size, size):
        where = where() if callable(where) else where
        raise UserError(
            f"{where} is a stamp of {shape[0]} x {shape[1]} px, not {size} x {size}: set data.crop"
        )


def crop(size: int, wanted: int, where: str) -> None:
    """Raises `UserError` if stamps of side `size` are smaller than the crop wanted of them."""
    if size < wanted:
        raise UserError(f"{where} holds stamps of {size} px, smaller than the crop of {wanted} px")


def count_bad(image: Shaped[np.ndarray, "..."]) -> int:
    """Returns how many pixels are NaN or infinite."""
    if image.dtype.kind != "f":
        return 0
    return int(image.size - np.count_nonzero(np.isfinite(image)))


def bad_pixels_message(images: Sequence[Shaped[np.ndarray, "..."]], where: str) -> str:
    """The sentence about NaN and infinite pixels; float16 overflow is named as what it is."""
    bad = sum(map(count_bad, images))
    infinite = sum(int(np.isinf(i).sum()) for i in images if i.dtype == np.float16)
    if infinite:
        return (
            f"{where}: {infinite} pixels overflowed float16 (brighter than {FLOAT16_MAX}, stored "
            'as inf): store float32 or a larger unit, or set data.bad_pixels to "mask"'
        )
    stamps = f" in {len(images)} sampled stamps" if len(images) > 1 else ""
    return f'{where}: {bad} NaN or Inf pixels{stamps}; data.bad_pixels = "mask" sets them to zero'


def has_redshift(values: Any) -> Any:
    """Returns which redshifts are known, of a NumPy or JAX array: those in `REDSHIFT_RANGE`."""
    low, high = REDSHIFT_RANGE
    return (values >= low) & (values <= high)  # NaN compares as false


def redshifts(values: Float[np.ndarray, " n"], where: str) -> None:
    """Raises `UserError` for redshifts that cannot be; NaN means none."""
    low, high = REDSHIFT_RANGE
    wrong = np.flatnonzero((values < low) | (values > high))
    if len(wrong):
        raise UserError(
            f"{where}: {len(wrong)} redshifts lie outside {low} to {high}, first {values[wrong[0]]}"
            f" in row {wrong[0]}; if that value means none, add it to data.sentinels.redshift"
        )


def reddening(values: Float[np.ndarray, " n"], where: str) -> None:
    """Raises `UserError` for E(B-V) that cannot be: NaN, negative or above 10."""
    wrong = np.flatnonzero(~((values >= 0) & (values <= 10)))
    if len(wrong):
        raise UserError(
            f"{where}: {len(wrong)} values of ebv are not E(B-V) in magnitudes, first "
            f"{values[wrong[0]]} in row {wrong[0]}"
        )


def magnitudes(values: Float[np.ndarray, "n *c"], where: str) -> None:
    """Raises `UserError` if magnitudes look like fluxes: over 1% are outside 5 to 40."""
    finite = values[np.isfinite(values)]
    low, high = MAGNITUDE_RANGE
    outside = np.count_nonzero((finite < low) | (finite > high))
    if outside > 0.01 * finite.size:
        raise UserError(
            f"{where}: {outside} of {finite.size} magnitudes lie outside {low:g} to {high:g} "
            "(fluxes, or a sentinel?): name magnitude columns, or add the value to "
            "data.sentinels.magnitude"
        )
    absurd = np.abs(finite) > _NO_MAGNITUDE
    if absurd.any():
        raise UserError(
            f"{where}: {absurd.sum()} magnitudes cannot be, e.g. {finite[absurd][0]:.6g}; if that "
            "value means none, add it to data.sentinels.magnitude"
        )
    if values.size and not finite.size:
        raise UserError(f"{where}: all magnitudes are missing (NaN or sentinels) in all bands")


def positions(
    ra: Float[np.ndarray, " n"], dec: Float[np.ndarray, " n"], where: str, *, hours: bool
) -> None:
    """Raises `UserError` for positions that are not degrees.

    Args:
        ra: Right ascension.
        dec: Declination.
        where: What to name in the message.
        hours: Suspect hours where no right ascension is above 24: nothing says that they are
            degrees.
    """
    if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
        raise UserError(f"{where}: some positions are NaN")
    if len(ra) and (ra.min() < -180 or ra.max() > 360 or np.abs(dec).max() > 90):
        raise UserError(
            f"{where}: positions are not degrees (ra {ra.min():.6g} to {ra.max():.6g}, "
            f"dec {dec.min():.6g} to {dec.max():.6g})"
        )
    if hours and len(ra) and ra.min() >= 0 and ra.max() <= 24:
        raise UserError(
            f"{where}: right ascensions run from {ra.min():.4g} to {ra.max():.4g}, which looks "
            'like hours; set data.position_unit to "hourangle" or "degree"'
        )


def unique_ids(ids: Shaped[np.ndarray, " n"], where: str) -> None:
    """Raises `UserError` if two rows have one id."""
    ordered = np.sort(ids)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        twice = np.unique(twice)
        first = ", ".join(map(str, twice[:3]))
        raise UserError(f"{where}: {len(twice)} ids occur more than once, e.g. {first}")


def class_labels(values: Int[np.ndarray, " n"], classes: Sequence[str], where: str) -> None:
    """Raises `UserError` if labels are not indices into the class list (-1 means none)."""
    wrong = np.unique(values[(values < -1) | (values >= len(classes))])
    if len(wrong):
        raise UserError(
            f"{where}: labels {', '.join(map(str, wrong[:5]))} are outside the list of "
            f"{len(classes)} classes: {', '.join(classes)}"
        )


def require(source: Source, names: Iterable[str], where: str) -> None:
    """Raises `UserError` if a source lacks an entry that a method or an evaluation needs."""
    example = source[0]
    for name in names:
        if name not in example:
            raise UserError(
                f"{where} needs the column {name!r}, and the data have none (they have: "
                f"{', '.join(sorted(example))}); name it in data.columns"
            )


def disjoint(
    first: Source, second: Source, what: tuple[str, str], *, radius_arcsec: float | None
) -> None:
    """Raises `UserError` if objects are in both sources, by id or, given a radius, by position.

    For a pool used to pretrain and the labelled objects it must not contain.
    """
    shared = np.isin(np.asarray(first.column("id"), str), np.asarray(second.column("id"), str))
    how = "id"
    if radius_arcsec is not None and not shared.any():
        from astrojax.data.sky import nearest

        _, distance = nearest(*(s.column(name) for s in (first, second) for name in ("ra", "dec")))
        shared, how = distance <= radius_arcsec, f"position within {radius_arcsec} arcsec"
    if shared.any():
        raise UserError(
            f"leakage: {int(shared.sum())} objects of {what[0]} are also in {what[1]} (same {how})"
        )


def same_data(model: DataInfo, images: DataInfo) -> None:
    """Raises `UserError` if images are not what a model was trained on; names the difference."""
    differences: list[str] = []
    for name, same in (
        ("bands", operator.eq),
        ("unit", operator.eq),
        ("zero_point", units.same_zero_point),
        ("pixel_scale", same_scale),
    ):
        a, b = getattr(model, name), getattr(images, name)
        if not same(a, b):
            differences.append(f"{name} {a} against {b}")
    if not differences:
        return
    hint = ""
    fluxes = model.zero_point is not None and images.zero_point is not None
    if fluxes and model.unit not in units.COUNTED and differences[0].startswith(("unit", "zero")):
        hint = f"; convert={model.unit} (--set, or data.convert) brings fluxes to the model's unit"
    raise UserError(f"the model does not fit these images: {'; '.join(differences)}{hint}")


def same_scale(a: float | None, b: float | None) -> bool:
    """Returns whether two pixel scales agree to a per cent, as those of a WCS do."""
    if a is None or b is None:
        return a is b
    return abs(a - b) <= 0.01 * abs(a)
