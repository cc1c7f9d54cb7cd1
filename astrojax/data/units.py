# SPDX-License-Identifier: Apache-2.0
"""Units of flux that a pixel can have, and the AB zero point of each."""

from typing import Literal

Unit = Literal[
    "microjansky", "nanomaggies", "counts", "electrons", "electrons/s", "arbitrary", "display"
]
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
