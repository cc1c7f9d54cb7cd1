# SPDX-License-Identifier: Apache-2.0
"""Units that a pixel can have, the AB zero point of each, and magnitudes of fluxes.

A unit of flux is any flux density that `astropy.units` knows (nJy, uJy, Jy, 1e-29 erg/s/cm2/Hz),
nanomaggies, or either of them per solid angle (MJy/sr), which needs the size of a pixel. Counts and
electrons say nothing of flux without a zero point; "display" is a picture and "arbitrary" has none.
"""

import functools
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from astrojax.errors import UserError

MICROJANSKY = 23.9  # AB magnitude of one microjansky
NANOMAGGIES = 22.5
TOLERANCE = 0.01  # magnitudes within which two zero points are the same
COUNTED = ("counts", "counts/s", "electrons", "electrons/s")
UNCALIBRATED = ("arbitrary", "display")
EXAMPLES = "microjansky, nanomaggies, nJy, Jy, MJy/sr, " + ", ".join((*COUNTED, *UNCALIBRATED))
# Words of headers that astropy does not know.
_WORDS = {
    r"nano[- ]?magg(y|ies)|nmaggies": "nmgy",
    r"magg(y|ies)": "mgy",
    r"(μ|µ|u|mu|micro)[- ]?(jy|janskys?)": "uJy",
    r"n(ano)?[- ]?(jy|janskys?)": "nJy",
    r"milli[- ]?(jy|janskys?)": "mJy",
    r"mega[- ]?(jy|janskys?)": "MJy",
    r"jy|janskys?": "Jy",
    r"adu|dn|counts?|cts?|cnts?": "ct",
    r"e-?|electrons?": "electron",
    r"s|secs?|seconds?": "s",
    r"pixels?|pix": "",
}


@functools.lru_cache(256)
def canonical(text: str) -> str | None:
    """Returns the name that a unit has in `DataInfo`; None for what is no unit of a pixel.

    Units that mean the same have one name: "uJy", "microjansky" and "1e-6 Jy" are "microjansky".
    """
    if text in COUNTED or text in UNCALIBRATED:
        return text
    unit = _parse(text)
    if unit is None:
        return None
    found = zero_point_of(unit)
    if found is not None:
        for name, value in (("microjansky", MICROJANSKY), ("nanomaggies", NANOMAGGIES)):
            if abs(found - value) < 1e-4:
                return name
        return str(unit).replace(" / ", "/")
    from astropy import units as u

    for name, base in (("counts", u.ct), ("electrons", u.electron)):
        if unit == base:
            return name
        if unit == base / u.s:
            return f"{name}/s"
    if zero_point_of(unit * u.arcsec**2) is not None:
        return str(unit).replace(" / ", "/")
    return None


def canonical_or_error(text: str, where: str) -> str:
    """Returns the name that a unit has in `DataInfo`.

    Raises:
        UserError: It is no unit of a pixel.
    """
    name = canonical(text)
    if name is None:
        raise UserError(f"{where} is {text!r}, which is no unit of flux: use {EXAMPLES}")
    return name


def zero_point(unit: str, pixel_scale: float | None) -> float | None:
    """Returns the AB magnitude of one unit; None for counts and what is not calibrated.

    Args:
        unit: A name of `canonical`.
        pixel_scale: Arcseconds per pixel, needed for a surface brightness.

    Raises:
        UserError: A surface brightness without the size of a pixel.
    """
    if unit in COUNTED or unit in UNCALIBRATED:
        return None
    parsed = _parse(unit)
    found = zero_point_of(parsed)
    if found is not None or parsed is None:
        return found
    if pixel_scale is None:
        raise UserError(
            f"the unit {unit} is a brightness per solid angle: config key 'data.info.pixel_scale' "
            "is needed (--set pixel_scale=ARCSEC)"
        )
    from astropy import units as u

    value = zero_point_of(parsed * u.arcsec**2)
    return None if value is None else value - 2.5 * math.log10(pixel_scale**2)


def zero_point_of(unit: Any) -> float | None:
    """Returns the AB magnitude of one astropy unit, or None where it is no flux density."""
    from astropy import units as u

    if unit is None:
        return None
    for base, value in ((u.uJy, MICROJANSKY), (u.nmgy, NANOMAGGIES)):
        try:
            factor = (1 * unit).to_value(base)
        except (u.UnitsError, TypeError, AttributeError):
            continue
        return round(value - 2.5 * math.log10(factor), 6)
    return None


def same_zero_point(a: float | None, b: float | None) -> bool:
    """Returns whether two zero points agree to a hundredth of a magnitude."""
    if a is None or b is None:
        return a is b
    return abs(a - b) <= TOLERANCE


def to_astropy(unit: str) -> str:
    """Returns a unit in the notation of FITS and astropy; "" for a number without one."""
    special = {
        "microjansky": "uJy",
        "nanomaggies": "nmgy",
        "counts": "ct",
        "counts/s": "ct / s",
        "electrons": "electron",
        "electrons/s": "electron / s",
    }
    if unit in special or unit in UNCALIBRATED:
        return special.get(unit, "")
    parsed = _parse(unit)
    return "" if parsed is None else str(parsed)


def magnitude(flux: Shaped[np.ndarray, "*n"], zero_point: float) -> Float[np.ndarray, "*n"]:
    """Returns AB magnitudes of fluxes, NaN where a flux is not positive."""
    flux = np.asarray(flux, np.float64)
    return zero_point - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))


def to_microjansky(zero_points: Sequence[float]) -> Float[np.ndarray, " c"]:
    """Returns the factors that turn fluxes with these AB zero points into microjansky."""
    return np.asarray(10 ** (0.4 * (MICROJANSKY - np.asarray(zero_points))), np.float32)


def _parse(text: str) -> "object | None":
    """Returns an astropy unit, or None; "per pixel" is left out, as pixels are what is read."""
    from astropy import units as u

    plain = re.sub(r"10\*(?=[-+\d])", "10**", text.strip())  # FITS may write 10*-6 for a power
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for candidate in (plain, _in_words(plain)):
            try:
                unit = u.Unit(candidate)
            except (ValueError, TypeError):
                continue
            for word in (u.pix, u.DN, u.adu):
                if word in unit.bases:
                    power = unit.powers[unit.bases.index(word)]
                    unit = unit / word**power
                    unit = unit if word == u.pix else unit * u.ct**power
            return None if unit == u.dimensionless_unscaled else unit
    return None


def _in_words(text: str) -> str:
    """Returns a unit with the words of headers replaced by those that astropy knows."""
    parts = re.split(r"(\s*[/*]\s*|\s+per\s+|\s+)", text.strip())
    found = []
    for part in parts:
        if re.fullmatch(r"\s+per\s+", part):
            found.append("/")
            continue
        for pattern, name in _WORDS.items():
            if re.fullmatch(pattern, part, re.IGNORECASE):
                part = name
        found.append(part)
    return re.sub(r"[\s/*]+$", "", "".join(found))
