# SPDX-License-Identifier: Apache-2.0
"""Objects whose images are not what they should be: kept, flagged, and without predictions."""

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from astrojax.data import validate
from astrojax.data.images import SKIP, central_crop
from astrojax.data.source import Source
from astrojax.errors import UserError

BAD_PIXELS, EDGE, UNREADABLE, OUTSIDE, NOT_FINITE = (
    "flag_bad_pixels",
    "flag_edge",
    "flag_unreadable",
    "flag_out_of_distribution",
    "flag_not_finite",
)
SEEN = (BAD_PIXELS, EDGE, UNREADABLE)  # told by the image alone
ABSURD = "absurd"  # pixels no sky has; they are told by `OUTSIDE`
MEANING = {
    BAD_PIXELS: "NaN or infinite pixels in the part of the image that the network sees",
    EDGE: "a border row or column of that part is constant: the image ends there",
    UNREADABLE: "the image is damaged, of another size, or its bands do not fit together",
    OUTSIDE: "farther from the training images than 99% of the validation images, or absurd pixels",
    NOT_FINITE: "the embedding or a prediction of a readable image is NaN or infinite",
}
_ABSURD = 1e9  # a pixel beyond so many times the spread of the training images' pixels is no flux
_TOLD = 5  # unreadable objects that are named


class Inspected:
    """A source whose examples carry the flags `SEEN` and have finite pixels.

    A pixel that is not finite becomes zero; an image that cannot be read becomes zeros.

    Args:
        source: The images.
        crop: Side of the central square that the network sees, or None for all.
        names: Other entries that the network needs.
        spread: Typical spread of the pixels of a training image, by band.

    Raises:
        UserError: None of the first images can be read.
    """

    def __init__(
        self,
        source: Source,
        *,
        crop: int | None,
        names: tuple[str, ...],
        spread: Sequence[float],
    ):
        self.source, self.info, self.crop, self.names = source, source.info, crop, names
        self.largest = _ABSURD * np.asarray(spread)
        self._lock, self.unreadable = threading.Lock(), 0
        self.picture = source.info.unit == "display"
        example = first_readable(source)
        for name in names:
            validate.key(name, example, "the model needs a column that is not there: the data")
        # A blank example, in the shapes and types of the others.
        self.like = {name: np.zeros_like(example[name]) for name in ("image", *names)}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        try:
            example = self.source[index]
            image = np.asarray(example["image"])
            self._same_shape(image, index)
        except Exception as error:  # whatever reading one object raises
            self._tell(error)
            unread = {BAD_PIXELS: False, EDGE: False, UNREADABLE: True, ABSURD: False}
            return {**self.like, **unread}
        seen = central_crop(image, self.crop)
        bad = bool(validate.count_bad(seen))
        if validate.count_bad(image):
            image = np.where(np.isfinite(image), image, np.zeros((), image.dtype))
        found = {"image": image, **{name: example[name] for name in self.names}}
        return {
            **found,
            BAD_PIXELS: bad,
            EDGE: ends_inside(seen, picture=self.picture),
            UNREADABLE: False,
            ABSURD: self._absurd(seen),
        }

    def _absurd(self, image: Shaped[np.ndarray, "h w c"]) -> bool:
        if image.dtype == np.uint8:
            return False
        brightest = np.nanmax(np.where(np.isfinite(image), np.abs(image), 0), axis=(0, 1))
        return bool(((brightest > self.largest) & (self.largest > 0)).any())

    def column(self, name: str) -> np.ndarray:
        """Returns all values of one entry other than the image, [n ...]."""
        return self.source.column(name)

    def _same_shape(self, image: np.ndarray, index: int) -> None:
        wanted = self.like["image"]
        if image.shape != wanted.shape or image.dtype != wanted.dtype:
            raise UserError(
                f"image {index} is {image.dtype} {image.shape}, others {wanted.dtype} "
                f"{wanted.shape}"
            )

    def _tell(self, error: Exception) -> None:
        with self._lock:
            self.unreadable += 1
            if self.unreadable <= _TOLD:
                more = " (no more are named)" if self.unreadable == _TOLD else ""
                logging.warning("%s: %s%s", UNREADABLE, str(error).removesuffix(SKIP), more)


def not_finite(results: Mapping[str, np.ndarray]) -> Bool[np.ndarray, " n"]:
    """Returns which objects have an embedding or a prediction that is NaN or infinite."""
    wrong = [
        ~np.isfinite(values.reshape(len(values), -1)).all(1)
        for values in results.values()
        if values.dtype.kind == "f"
    ]
    return np.any(wrong, axis=0)


def first_readable(source: Source) -> dict[str, Any]:
    """Returns the first example that can be read.

    Raises:
        UserError: None of the first 64 can.
    """
    message = ""
    for index in range(min(len(source), validate.SAMPLE)):
        try:
            return source[index]
        except Exception as error:  # whatever reading one object raises
            message = str(error)
    raise UserError(f"none of the first images can be read: {message}")


def ends_inside(image: Shaped[np.ndarray, "h w c"], *, picture: bool) -> bool:
    """Whether a border row or column is constant, as where a stamp reaches beyond its survey.

    In any band for fluxes, whose sky is noisy; in all bands for pictures, whose dark sky
    may well be one number in one of them.
    """
    borders = (image[0], image[-1], image[:, 0], image[:, -1])
    constant: list[Bool[np.ndarray, " c"]] = [(b == b[:1]).all(axis=0) for b in borders]
    return any(bool(line.all() if picture else line.any()) for line in constant)
