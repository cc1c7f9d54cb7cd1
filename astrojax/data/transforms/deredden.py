# SPDX-License-Identifier: Apache-2.0
"""Correction for Galactic dust, and magnitudes of catalogued fluxes."""

from typing import Any

import numpy as np

from astrojax.data.source import Source, WithColumns, has_column
from astrojax.data.units import magnitude
from astrojax.errors import UserError


class Dereddened:
    """A source whose pixels are corrected for Galactic dust: x 10^(0.4 R_b E(B-V)), in float32.

    Raises:
        UserError: The data have no `ebv`, or no R_b is known for their bands.
    """

    def __init__(self, source: Source):
        self.source, self.info = source, source.info
        if source.info.extinction is None:
            raise UserError("config key 'data.deredden' is on, but the data state no R_b per band")
        if "ebv" not in source[0]:
            raise UserError("config key 'data.deredden' is on, but the data have no ebv")
        self.coefficients = 0.4 * np.log(10) * np.asarray(source.info.extinction)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = dict(self.source[index])
        factor = np.exp(self.coefficients * float(example["ebv"])).astype(np.float32)
        return {**example, "image": example["image"].astype(np.float32) * factor}

    def column(self, name: str) -> np.ndarray:
        """Returns all values of one entry, [n ...]."""
        return self.source.column(name)


def with_magnitudes(source: Source, *, deredden: bool) -> Source:
    """Adds `magnitude` [n c], AB, to data that have `flux` in the pixels' unit and lack it.

    A magnitude is NaN where the flux is not positive; dereddening subtracts R_b E(B-V).
    """
    info = source.info
    if info.zero_point is None or has_column(source, "magnitude") or not has_column(source, "flux"):
        return source
    flux = np.asarray(source.column("flux"))
    values = magnitude(flux, info.zero_point)
    if deredden:
        values -= np.asarray(info.extinction) * np.asarray(source.column("ebv"))[:, None]
    return WithColumns(source, {"magnitude": values.astype(flux.dtype)})
