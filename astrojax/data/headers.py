# SPDX-License-Identifier: Apache-2.0
"""What FITS headers say of pixels: unit, scale and place, compared with what a config says."""

import collections
import logging
import re
from typing import Any, Protocol, runtime_checkable

import numpy as np

from astrojax.data import images, stated, units
from astrojax.errors import UserError

WCS_CARDS = (
    "CRVAL1",
    "CRVAL2",
    "CRPIX1",
    "CRPIX2",
    "CD1_1",
    "CD1_2",
    "CD2_1",
    "CD2_2",
    "CDELT1",
    "CDELT2",
    "PC1_1",
    "PC1_2",
    "PC2_1",
    "PC2_2",
)


@runtime_checkable
class Headed(Protocol):
    """Stamps in files with headers."""

    bands: tuple[str, ...]
    unit: str | None
    pixel_scale: float | None

    def __len__(self) -> int:
        """Number of stamps."""

    def headers(self, index: int) -> tuple[list[Any], tuple[int, int]]:
        """Returns the headers of one stamp, and its height and width."""

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""


def band_names(header: Any, count: int) -> tuple[str, ...]:
    """Returns the bands of a cube as its header names them; () where it does not.

    `BANDS` or `FILTERS` has them with commas or blanks, or as letters ("griz", as the Legacy
    Surveys write); or `BAND0`, `BAND1`, ... (or from 1 on), likewise `FILTER`, one each.
    """
    for word in ("BANDS", "FILTERS"):
        text = str(header.get(word, "")).strip()
        parts = re.split(r"[\s,;]+", text) if re.search(r"[\s,;]", text) else list(text)
        if text and len(parts) == count:
            return tuple(parts)
    for word in ("BAND", "FILTER"):
        for first in (0, 1):
            cards = [str(header.get(f"{word}{first + i}", "")).strip() for i in range(count)]
            if all(cards):
                return tuple(cards)
    return ()


def same_wcs(first: Any, second: Any, shape: tuple[int, int]) -> bool:
    """Returns whether two headers put the corners of an image within half a pixel of each other."""
    if all(first.get(card) == second.get(card) for card in WCS_CARDS):
        return True
    a, b = celestial(first), celestial(second)
    if a is None or b is None:
        return a is b
    height, width = shape
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)
    moved = b.wcs_world2pix(a.wcs_pix2world(corners, 0), 0)
    return bool(np.abs(moved - corners).max() < 0.5)


def celestial(header: Any) -> Any:
    """Returns the WCS of the sky in a header, or None."""
    import warnings

    from astropy.wcs import WCS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # non-standard dates and the like
        wcs = WCS(header).celestial
    return wcs if wcs.has_celestial else None


def describe(
    stamps: Headed,
    info: dict[str, Any],
    zero_points: tuple[float, ...] | None,
    *,
    lenient: bool,
) -> dict[str, Any]:
    """Returns the config's `info` with the unit and the pixel scale that the headers give.

    Args:
        stamps: The files; what is found here is then expected of each when it is read.
        info: The config section `data.info`.
        zero_points: Of the bands, where the config gives them.
        lenient: Whether a few damaged files, and a few of another unit, are left to be flagged.

    Raises:
        UserError: The headers contradict each other or the config; the message shows both.
    """
    headers = _sampled_headers(stamps, lenient)
    said = collections.Counter(str(h.get("BUNIT", "")).strip() for h in headers)
    found = {u: n for u, n in said.items() if not lenient or n > 0.1 * len(headers)}
    known = {units.canonical(u) for u in found}
    if zero_points is not None:
        _check_zero_points(stamps, zero_points)
        if units.canonical(str(info.get("unit"))) != "microjansky":
            raise UserError(
                "data.zero_points make microjansky of pixels: set data.info.unit to that"
            )
    elif info.get("unit") == "header":
        if len(known) != 1 or None in known:
            raise UserError(
                f"the FITS headers give {' and '.join(sorted(u or 'no' for u in found))} BUNIT: "
                f"set data.info.unit to one of {units.EXAMPLES}"
            )
        info["unit"] = next(iter(found))
    else:
        for unit in found:
            stated.compare({"unit": unit} if unit else {}, info, f"BUNIT of {stamps.where(0)}")
    if zero_points is None:
        stamps.unit = units.canonical(str(info["unit"]))
    return _with_scale(stamps, info, headers)


def _sampled_headers(stamps: Headed, lenient: bool) -> list[Any]:
    found, message = [], ""
    rows = images.sampled(len(stamps))
    for index in rows:
        try:
            found += stamps.headers(index)[0]
        except UserError as error:
            if not lenient:
                raise
            message = str(error)
    if not found:
        raise UserError(f"none of {len(rows)} sampled files can be read: {message}")
    return found


def _check_zero_points(stamps: Headed, zero_points: tuple[float, ...]) -> None:
    """Raises `UserError` if a header's unit of flux has another zero point than the config says."""
    for index in images.sampled(len(stamps)):
        try:
            headers = stamps.headers(index)[0]
        except UserError:
            continue  # told or flagged elsewhere
        per_band = headers if len(headers) == len(zero_points) else headers * len(zero_points)
        for band, value, header in zip(stamps.bands, zero_points, per_band, strict=False):
            text = str(header.get("BUNIT", "")).strip()
            name = units.canonical(text)
            own = None if name is None or "sr" in name else units.zero_point(name, 1.0)
            if own is not None and not units.same_zero_point(own, value):
                raise UserError(
                    f"{stamps.where(index)}: BUNIT {text!r} has the zero point {own:.6g}, and "
                    f"data.zero_points says {value:.6g} of band {band}"
                )


def _with_scale(stamps: Headed, info: dict[str, Any], headers: list[Any]) -> dict[str, Any]:
    """Returns `info` with the pixel scale of the WCS, or the range of scales that differ."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    systems = [celestial(h) for h in headers]
    if any(w is None for w in systems):
        return info
    scales = np.array([3600 * proj_plane_pixel_scales(w) for w in systems])
    low, high = float(scales.min()), float(scales.max())
    given = info.get("pixel_scale")
    if high - low > 0.01 * scales.mean():
        if given is not None:
            raise UserError(
                f"the WCS of {stamps.where(0)} and others have pixels from {low:.4g} to {high:.4g} "
                f"arcsec, and data.info.pixel_scale is {given:.6g}: bring the cutouts to one "
                "pixel scale, or keep those of one scale apart"
            )
        logging.warning(
            "%s and others: pixels from %.4g to %.4g arcsec", stamps.where(0), low, high
        )
        return info | {"pixel_scale_range": (low, high)}
    found = float(scales.mean())
    stated.compare({"pixel_scale": found}, info, f"the WCS of {stamps.where(0)}")
    quick = [quick_scale(h) for h in headers]
    if all(q is not None and abs(q - found) <= 0.01 * found for q in quick):
        stamps.pixel_scale = found
    return info | {"pixel_scale": found if given is None else given}


def quick_scale(header: Any) -> float | None:
    """Returns arcseconds per pixel by the cards of a linear WCS, or None without them."""
    x, y = header.get("CD1_1"), header.get("CD2_1", 0.0)
    if x is None:
        x, y = header.get("CDELT1"), 0.0
    try:
        return None if x is None else 3600 * float(np.hypot(x, y))
    except TypeError:
        return None
