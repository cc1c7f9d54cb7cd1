# SPDX-License-Identifier: Apache-2.0
"""A trained method with its card: what it says of images in memory, and which it refuses."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num

from astrojax import distributed
from astrojax.data.arrays import as_images
from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.data.validate import same_data
from astrojax.errors import UserError
from astrojax.evaluate.anomaly import knn_distance
from astrojax.inference.embedder import embed
from astrojax.inference.table import Table
from astrojax.methods import Method

SAMPLE = 256  # stamps that statistics of pixels are taken from
_FACTOR = 10.0  # a band whose spread differs by more is in another unit, or is another band


class ArrayModel:
    """A trained method with its card, for images in memory.

    Attributes:
        method: The method; its `embed` and `predict` take raw images.
        card: What the images have to be.
        info: The card's data description.
        reference: Embeddings of training images [m d]; None in a bundle of an older version.
        hash: Twelve hex digits of the bundle's files.
        splits: What `membership.of` returned; {} in a bundle of an older version.
    """

    def __init__(
        self,
        method: Method,
        card: dict[str, Any],
        reference: np.ndarray | None,
        hash: str,
        splits: Mapping[str, np.ndarray] | None = None,
    ):
        self.method, self.card, self.reference, self.hash = method, card, reference, hash
        self.splits = splits or {}
        self.info = DataInfo.from_json(card["data"])

    def table(self, images: Num[np.ndarray, "n h w c"], *, info: DataInfo | None) -> Table:
        """Returns embeddings and predictions of images, after the checks against the card."""
        images = as_images(images)
        self.check(images, info)
        source = ArraySource({"image": images}, self.info)
        mesh = distributed.make_mesh(fsdp=1)
        return embed(self.method, source, batch_size=256, threads=0, mesh=mesh)

    def distance(self, embedding: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Mean distance to the nearest embedded training images, in their standard deviations.

        NaN for embeddings that are not finite, and where the bundle has no reference.
        """
        found = np.full(len(embedding), np.nan)
        finite = np.isfinite(embedding).all(axis=1)
        if self.reference is not None and finite.any():
            k = self.card["outside"]["k"]
            found[finite] = knn_distance(self.reference, embedding[finite], k=k)
        return found

    def outside(self, distance: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Returns whether distances are beyond those of 99% of the validation images.

        A distance that is not known, NaN, is.
        """
        return ~(distance <= self.card["outside"]["threshold"])

    def check(self, images: Num[np.ndarray, "n h w c"], info: DataInfo | None) -> None:
        """Refuses images that contradict the card, and warns of those that look like it.

        Raises:
            UserError: Another number of bands, stamps smaller than the crop, pixels that are not
                finite, or an `info` that differs from the card's.
        """
        if info is not None:
            same_data(self.info, info)
        bands = len(self.info.bands)
        if images.ndim != 4 or images.shape[-1] != bands:
            raise UserError(
                f"the images have shape {images.shape}; this model takes [n, h, w, {bands}] with "
                f"the bands {', '.join(self.info.bands)}"
            )
        crop = self.card["crop"] or 0
        if min(images.shape[1:3]) < crop:
            raise UserError(
                f"the images are {images.shape[1]} x {images.shape[2]} pixels; this model needs "
                f"at least {crop} x {crop}"
            )
        if not np.isfinite(images).all():
            raise UserError("the images have NaN or infinite pixels: mask or remove them first")
        measured = pixel_spread(images[:SAMPLE].astype(np.float64))
        for band, here, there in zip(
            self.info.bands, measured, self.card["pixel_spread"], strict=True
        ):
            if there > 0 and not there / _FACTOR < here < there * _FACTOR:
                warnings.warn(
                    f"pixels of band {band} spread by {here:.3g}, {there:.3g} in training: is the "
                    f"unit {self.info.unit}, and are the bands in the order "
                    f"{', '.join(self.info.bands)}?",
                    stacklevel=3,
                )


def pixel_spread(images: Float[np.ndarray, "n h w c"]) -> Float[np.ndarray, " c"]:
    """Typical standard deviation of a stamp's pixels, by band; a few bright stars do not count."""
    return np.median(images.std(axis=(1, 2)), axis=0)


def check_heads(model: ArrayModel) -> None:
    """Raises `UserError` if a model has no heads, and so predicts nothing."""
    if type(model.method).predict is Method.predict:
        raise UserError(
            f"{type(model.method).__name__} has no heads, so it predicts nothing: embed the images "
            "with astrojax embed"
        )
