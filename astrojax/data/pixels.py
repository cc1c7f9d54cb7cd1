# SPDX-License-Identifier: Apache-2.0
"""What the numbers of a stored image mean: by its unit, whatever type they are stored in.

Pictures ("display") are uint8, or float32 in [0, 1]; 16 bits are divided by 65535. Pixels in any
other unit are numbers in that unit, of uint8 as of float64: nothing divides them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from astrojax.errors import UserError

FILL = 1e20  # what numpy.ma writes for a masked value
_NUMBERS = "buif"
_WHITE = 2.0  # floats of a picture that go beyond are not in [0, 1], where sharpening may overshoot


def by_unit(
    image: Shaped[np.ndarray, "h w c"], unit: str, where: Callable[[], str]
) -> Shaped[np.ndarray, "h w c"]:
    """Returns uint8 or float pixels that are values in the unit; masked and fill values are NaN.

    Raises:
        UserError: The pixels are no real numbers, or integers of a picture that are no 8 bits.
    """
    kind = image.dtype.kind
    if kind not in _NUMBERS:
        what = {"c": "complex numbers", "V": f"records {image.dtype}"}.get(kind, str(image.dtype))
        raise UserError(f"{where()} holds {what}, not real numbers: split them into bands")
    if kind == "f":
        if image.dtype.itemsize > 2 and not is_clean(image):
            filled = image == image.dtype.type(FILL)
            image = np.where(filled, np.asarray(np.nan, image.dtype), image)
        if image.dtype.itemsize > 4:
            with np.errstate(over="ignore"):
                image = image.astype(np.float32)
        return image
    if unit != "display":
        return image.astype(np.float32)
    return _picture(image, where)


def is_clean(image: Shaped[np.ndarray, "h w c"]) -> bool:
    """Returns whether no pixel is a fill value, NaN or infinite; quicker than to ask each."""
    if image.dtype.kind != "f" or not image.size:
        return True
    highest = FILL if image.dtype.itemsize > 2 else np.inf
    return bool(image.max() < highest and image.min() > -np.inf)  # NaN compares as false


def _picture(image: np.ndarray, where: Callable[[], str]) -> np.ndarray:
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind == "b":
        return image.astype(np.uint8) * np.uint8(255)
    if image.dtype.kind == "u" and image.dtype.itemsize == 2:
        return image.astype(np.float32) / np.float32(65535)
    if image.size and (image.min() < 0 or image.max() > 255):
        raise UserError(
            f"{where()} is a picture of {image.dtype} from {image.min()} to {image.max()}: store "
            "uint8, uint16 or floats in [0, 1], or say what the unit is, if it is none"
        )
    return image.astype(np.uint8)


def common_dtype(images: Sequence[np.ndarray]) -> np.dtype:
    """Returns the type that all images of a source have: uint8 if all are, else float32."""
    eight = all(image.dtype == np.uint8 for image in images)
    return np.dtype(np.uint8 if eight else np.float32)


def cast(
    image: Shaped[np.ndarray, "h w c"], dtype: Any, where: Callable[[], str]
) -> Shaped[np.ndarray, "h w c"]:
    """Returns pixels of `by_unit` in the type of a source, with the same meaning.

    Raises:
        UserError: A float image among pictures of 8 bits.
    """
    if image.dtype == dtype:
        return image
    if dtype == np.uint8:  # of 16 bits, among others of 8
        scaled = np.rint(255 * image)
        if not (np.isfinite(scaled).all() and scaled.min() >= 0 and scaled.max() <= 255):
            raise UserError(f"{where()} has floats that are not in [0, 1], others have 8 bits")
        return scaled.astype(np.uint8)
    return image.astype(np.float32) / np.float32(255 if image.dtype == np.uint8 else 1)


def check_pictures(images: Sequence[np.ndarray], unit: str, where: str) -> None:
    """Raises `UserError` if floats of pictures are not in [0, 1]."""
    if unit != "display":
        return
    for image in images:
        highest = np.nanmax(image, initial=0) if image.dtype.kind == "f" else 0
        if highest > _WHITE and np.isfinite(highest):
            raise UserError(
                f"{where} holds pictures of floats up to {highest:.6g}; in the unit 'display' they "
                "have to be in [0, 1]: divide them, or say what the unit is"
            )
