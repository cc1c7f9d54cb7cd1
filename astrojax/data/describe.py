# SPDX-License-Identifier: Apache-2.0
"""What the pixels are, as the config says it: bands, units, zero point, noise, extinction."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from astrojax.data import check
from astrojax.errors import UserError

# AB magnitude of one unit of flux; None: the config has to say it, or there is none to say.
UNITS = {
    "microjansky": 23.9,
    "nanomaggies": 22.5,
    "counts": None,
    "electrons": None,
    "electrons/s": None,
    "arbitrary": None,
    "display": None,
}
UNCALIBRATED = ("arbitrary", "display")


def describe(
    *,
    bands: tuple,
    pixel_scale: float | None,
    unit: str,
    zero_point: float | None,
    noise: tuple | str | None,
    extinction: tuple | None,
    image_size: int,
    classes: Sequence[str] | None,
) -> dict[str, Any]:
    """The fields of a `DataInfo`, from the config section `data.info`; nothing is guessed.

    Args:
        bands: Names, in the order of the stamps' last axis.
        pixel_scale: Arcseconds per pixel, or None if it is not known or not constant.
        unit: One of `UNITS`; "arbitrary" for normalised pixels, "display" for 8-bit composites.
        zero_point: AB magnitude of one unit; None where the unit says it or has none.
        noise: Sigma of the sky per pixel and band; "measure" takes it from sampled stamps.
        extinction: R_b per band, or None if the pixels are not to be dereddened.
        image_size: Side of the stamps.
        classes: Names of the labels.

    Raises:
        UserError: An unknown unit, no zero point for a unit that needs it, or a number of values
            that differs from the number of bands.
    """
    check.choice(unit, tuple(UNITS), "data.info.unit")
    if UNITS[unit] is not None and zero_point not in (None, UNITS[unit]):
        raise UserError(f"data.info.zero_point is {zero_point}; {unit} means {UNITS[unit]}")
    if UNITS[unit] is None and zero_point is None and unit not in UNCALIBRATED:
        raise UserError(
            f"config key 'data.info.zero_point' is needed: what magnitude is one {unit}?"
        )
    if isinstance(noise, str):
        check.choice(noise, ("measure",), "data.info.noise")
    for name, values in (("noise", noise), ("extinction", extinction)):
        if isinstance(values, tuple) and len(values) != len(bands):
            raise UserError(f"data.info.{name} has {len(values)} values for {len(bands)} bands")
    return {
        "bands": tuple(bands),
        "image_size": image_size,
        "pixel_scale": pixel_scale,
        "unit": unit,
        "zero_point": UNITS[unit] if zero_point is None else zero_point,
        "noise": noise,
        "extinction": extinction,
        "classes": None if classes is None else tuple(classes),
    }


def measure_noise(stamps: Sequence[Shaped[np.ndarray, "h w c"]]) -> tuple[float, ...]:
    """Sigma per pixel and band: 1.4826 times the median absolute deviation of the stamps."""
    pixels = np.concatenate([np.float32(s).reshape(-1, s.shape[-1]) for s in stamps])
    pixels[~np.isfinite(pixels)] = np.nan
    spread = np.nanmedian(np.abs(pixels - np.nanmedian(pixels, 0)), 0)
    return tuple(float(1.4826 * s) for s in spread)
