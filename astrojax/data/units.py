# SPDX-License-Identifier: Apache-2.0
"""Units of flux that a pixel can have, the AB zero point of each, and magnitudes of fluxes."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped

Unit = Literal[
    "microjansky", "nanomaggies", "counts", "electrons", "electrons/s", "arbitrary", "display"
]
MICROJANSKY = 23.9  # AB magnitude of one microjansky
# AB magnitude of one unit of flux; None: the config has to say it, or there is none to say.
UNITS = {
    "microjansky": MICROJANSKY,
    "nanomaggies": 22.5,
    "counts": None,
    "electrons": None,
    "electrons/s": None,
    "arbitrary": None,
    "display": None,
}
UNCALIBRATED = ("arbitrary", "display")


def magnitude(flux: Shaped[np.ndarray, "*n"], zero_point: float) -> Float[np.ndarray, "*n"]:
    """Returns AB magnitudes of fluxes, NaN where a flux is not positive."""
    flux = np.asarray(flux, np.float64)
    return zero_point - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))


def to_microjansky(zero_points: Sequence[float]) -> Float[np.ndarray, " c"]:
    """Returns the factors that turn fluxes with these AB zero points into microjansky."""
    return np.asarray(10 ** (0.4 * (MICROJANSKY - np.asarray(zero_points))), np.float32)
