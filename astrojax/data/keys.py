# SPDX-License-Identifier: Apache-2.0
"""Types of the config keys that several readers share; `astrojax.config` checks values by them.

What they mean is the same in every reader:

    bad_pixels  "error" stops at NaN and infinite pixels, "mask" makes them zero
    unreadable  "error" stops at a damaged image; "skip" reads every image once at start, names
                those that cannot be read and counts them
    max_pixels  pixels of an image beyond which it counts as unreadable
    max_bytes   bytes of an image, as it is stored, beyond which it counts as unreadable
    others      of objects in other classes than those wanted: "error", "drop", or "unlabelled"
    split       see `astrojax.data.split.apply`
"""

from typing import Literal

BadPixels = Literal["error", "mask", "keep"]
Unreadable = Literal["error", "skip"]
Others = Literal["error", "drop", "unlabelled"]
Layout = Literal["nchw", "nhwc"]
PositionUnit = Literal["degree", "hourangle"]

MAX_PIXELS = 1 << 26  # of one image and band, 8192 x 8192: config key `max_pixels`
MAX_BYTES = 1 << 30  # of one image as it is stored: config key `max_bytes`

# One place to divide, or one for each split.
Paths = str | dict[str, str | None]
# {standard name: the file's name, or the names to stack}; None is skipped.
Columns = dict[str, str | tuple[str, ...] | None]
# Each class a value, or (new name, (values to merge)).
Classes = tuple[str | int | tuple[str, tuple[str | int, ...]], ...]
# {standard name: values that mean missing}, or one such value.
Sentinels = dict[str, float | str | tuple[float | str, ...]]
# {column: (lowest, highest)}.
Select = dict[str, tuple[float, float]]
