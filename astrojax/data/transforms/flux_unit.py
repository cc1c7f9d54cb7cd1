# SPDX-License-Identifier: Apache-2.0
"""Pixels brought to another unit of flux, so that a model meets images in the unit it knows."""

import dataclasses
from typing import Any

import numpy as np

from astrojax.data import units
from astrojax.data.source import Source
from astrojax.errors import UserError

_FLUXES = ("flux", "flux_error")  # catalogue columns in the pixels' unit


class Converted:
    """A source in another unit: x 10^(0.4 (zero point of the new - of the old)), in float32.

    Fluxes, their errors and the noise in `info` are converted with the pixels.

    Args:
        source: Images whose zero point is known: nanomaggies, microjansky, or counts, electrons
            and electrons/s that state it.
        unit: "microjansky", "nanomaggies" or any other flux density, e.g. "nJy".

    Raises:
        UserError: Another unit, or images without a zero point.
    """

    def __init__(self, source: Source, unit: str):
        zero_point = units.zero_point(
            units.canonical_or_error(unit, "config key 'data.convert'"), source.info.pixel_scale
        )
        if zero_point is None:
            raise UserError(f"config key 'data.convert' is {unit!r}, which is no flux density")
        unit = units.canonical(unit) or unit
        old = source.info
        if old.zero_point is None:
            raise UserError(
                f"pixels in {old.unit} have no zero point, so they cannot become {unit}: "
                "leave config key 'data.convert' out"
            )
        self.source, self.factor = source, float(10 ** (0.4 * (zero_point - old.zero_point)))
        noise = None if old.noise is None else tuple(self.factor * n for n in old.noise)
        self.info = dataclasses.replace(old, unit=unit, zero_point=zero_point, noise=noise)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = dict(self.source[index])
        example["image"] = np.asarray(example["image"], np.float32) * np.float32(self.factor)
        return example | {name: example[name] * self.factor for name in _FLUXES if name in example}

    def column(self, name: str) -> np.ndarray:
        """Returns all values of one entry, [n ...]."""
        values = self.source.column(name)
        return values * self.factor if name in _FLUXES else values
