# SPDX-License-Identifier: Apache-2.0
"""What the pixels are: bands, units, zero point, noise, extinction; nothing is guessed."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from astrojax.config import call
from astrojax.data import units
from astrojax.data.noise import robust_sigma
from astrojax.errors import UserError

MAX_SIDE = 16384  # pixels along a side of an image that a file announces


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """What the pixels are; saved with a model, compared when a model meets new images.

    Attributes:
        bands: Band names, in the order of the last image axis.
        image_size: Side of the square stamps, in pixels.
        pixel_scale: Arcseconds per pixel, or None if unknown or not constant.
        unit: Physical unit of a pixel value, e.g. "microjansky"; "display" for 8-bit composites.
        zero_point: AB magnitude of one unit of flux, or None.
        noise: Standard deviation of the sky noise per pixel, one per band in `unit`, or None.
        extinction: R_b = A_b / E(B-V), one per band, or None.
        classes: Names of the integer labels, or None.
        catalogue_bands: Bands of flux and magnitude columns where they are not those of the image,
            as for a color composite; None where they are.
        pixel_scale_range: Smallest and largest pixel scale where it is not constant, or None.
        left_out: (reason, count) of what the files hold and the data do not, such as rows of a
            catalogue without a cutout.
    """

    bands: tuple[str, ...]
    image_size: int
    pixel_scale: float | None = None
    unit: str = "unknown"
    zero_point: float | None = None
    noise: tuple[float, ...] | None = None
    extinction: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    catalogue_bands: tuple[str, ...] | None = None
    pixel_scale_range: tuple[float, float] | None = None
    left_out: tuple[tuple[str, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns a plain dict that `from_json` turns back into an equal object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "DataInfo":
        """Returns the inverse of `to_json`, also after a round trip through JSON text.

        Raises:
            UserError: A field is unknown, missing, or not of its type.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        values["left_out"] = tuple((str(why), int(n)) for why, n in values.get("left_out", ()))
        return call(_described, values, path="card.data")

    def leaving_out(self, counts: Mapping[str, int]) -> "DataInfo":
        """Returns the same with more left out: {reason: count}; counts of 0 are not kept."""
        added = tuple((reason, int(count)) for reason, count in counts.items() if count)
        return dataclasses.replace(self, left_out=self.left_out + added)


def _described(
    *,
    bands: tuple[str, ...],
    image_size: int,
    pixel_scale: float | None = None,
    unit: str = "unknown",
    zero_point: float | None = None,
    noise: tuple[float, ...] | None = None,
    extinction: tuple[float, ...] | None = None,
    classes: tuple[str, ...] | None = None,
    catalogue_bands: tuple[str, ...] | None = None,
    pixel_scale_range: tuple[float, float] | None = None,
    left_out: tuple[tuple[str, int], ...] = (),
) -> DataInfo:
    """Returns what a file says of its pixels, after a check that it can be."""
    said = dict(locals())
    if not bands or not 0 < image_size <= MAX_SIDE:
        raise UserError(f"the images have {len(bands)} bands and {image_size} pixels a side")
    for name in ("noise", "extinction"):
        if said[name] is not None and len(said[name]) != len(bands):
            raise UserError(f"{name} has {len(said[name])} values for {len(bands)} bands")
    return DataInfo(**said)


def describe(
    *,
    bands: tuple[str, ...],
    pixel_scale: float | None,
    unit: str,
    zero_point: float | None = None,
    noise: tuple[float, ...] | Literal["measure"] | None = None,
    extinction: tuple[float, ...] | None = None,
    pixel_scale_range: tuple[float, float] | None = None,
    image_size: int,
    classes: Sequence[str] | None,
) -> dict[str, Any]:
    """Returns the fields of a `DataInfo`, from the config section `data.info`; nothing is guessed.

    Args:
        bands: Names, in the order of the stamps' last axis.
        pixel_scale: Arcseconds per pixel, or None if it is not known or not constant.
        unit: See `astrojax.data.units`; "arbitrary" for normalised pixels, "display" for pictures.
        zero_point: AB magnitude of one unit; None where the unit says it or has none.
        noise: Sigma of the sky per pixel and band; "measure" takes it from sampled stamps.
        extinction: R_b per band, or None if the pixels are not to be dereddened.
        pixel_scale_range: Smallest and largest pixel scale where it is not constant.
        image_size: Side of the stamps.
        classes: Names of the labels.

    Raises:
        UserError: An unknown unit, no zero point for a unit that needs it, or a number of values
            that differs from the number of bands.
    """
    unit = units.canonical_or_error(unit, "config key 'data.info.unit'")
    own = units.zero_point(unit, pixel_scale)
    if own is not None and zero_point is not None and not units.same_zero_point(own, zero_point):
        raise UserError(f"data.info.zero_point is {zero_point}; {unit} means {own:.6g}")
    if own is None and zero_point is None and unit not in units.UNCALIBRATED:
        raise UserError(
            f"config key 'data.info.zero_point' is needed: what magnitude is one {unit}?"
        )
    for name, values in (("noise", noise), ("extinction", extinction)):
        if isinstance(values, tuple) and len(values) != len(bands):
            raise UserError(f"data.info.{name} has {len(values)} values for {len(bands)} bands")
    return {
        "bands": tuple(bands),
        "image_size": image_size,
        "pixel_scale": pixel_scale,
        "unit": unit,
        "zero_point": zero_point if own is None else own,
        "noise": noise,
        "extinction": extinction,
        "pixel_scale_range": pixel_scale_range,
        "classes": None if classes is None else tuple(classes),
    }


def measure_noise(stamps: Sequence[Shaped[np.ndarray, "h w c"]]) -> tuple[float, ...]:
    """Returns the sigma per pixel and band: the robust scatter of the stamps' pixels.

    Of pictures of 8 bits it is in the scale of [0, 1], as networks see them.
    """
    pixels = np.concatenate([_float32(s).reshape(-1, s.shape[-1]) for s in stamps])
    pixels[~np.isfinite(pixels)] = np.nan
    return tuple(map(float, robust_sigma(pixels, axis=0)))


def _float32(stamp: Shaped[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "h w c"]:
    return stamp.astype(np.float32) / (255 if stamp.dtype == np.uint8 else 1)
