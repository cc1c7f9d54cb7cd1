# SPDX-License-Identifier: Apache-2.0
"""Color composites of a survey's bands: what a network made for pictures takes."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from astrojax.data import validate
from astrojax.data.source import Source
from astrojax.errors import UserError
from astrojax.simulate.rgb import lupton


class Composite:
    """A source whose images are 8-bit composites [h w 3] of another's flux images.

    The other columns stay, and with them the magnitudes of all bands, named by
    `DataInfo.catalogue_bands`.

    Args:
        source: Flux images.
        channels: ((name, (band, ...)), ...) of red, green and blue; a channel is the mean of its
            bands.
        stretch: Flux per pixel over which the scale is nearly linear (`simulate.rgb.lupton`).
        q: Softening of the asinh.
        minimum: Flux per pixel shown as black.

    Raises:
        UserError: Not three channels, or a band that the source lacks.
    """

    def __init__(
        self,
        *,
        source: Source,
        channels: tuple[tuple[str, tuple[str, ...]], ...],
        stretch: float,
        q: float,
        minimum: float,
    ):
        if len(channels) != 3:
            raise UserError(
                f"config key 'data.composite.channels' has {len(channels)} entries; a composite "
                "has a red, a green and a blue one"
            )
        if stretch <= 0 or q <= 0:
            raise UserError("config keys 'data.composite.stretch' and 'q' have to be positive")
        bands = source.info.bands
        weights = np.zeros((len(bands), 3), np.float32)
        for channel, (_, members) in enumerate(channels):
            for band in members:
                row = bands.index(
                    validate.key(band, bands, "config key 'data.composite': the image")
                )
                weights[row, channel] = 1 / len(members)
        self.source, self.weights = source, weights
        self.curve = {"stretch": stretch, "q": q, "minimum": minimum}
        self.info = dataclasses.replace(
            source.info,
            bands=tuple(name for name, _ in channels),
            unit="display",
            zero_point=None,
            noise=None,
            extinction=None,
            catalogue_bands=source.info.catalogue_bands or bands,
        )

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = dict(self.source[index])
        # On the host, where images are read, and not between the steps of an accelerator.
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            image = _draw(np.float32(example["image"]), self.weights, **self.curve)
        return {**example, "image": np.asarray(image)}

    def column(self, name: str) -> np.ndarray:
        """Returns all values of one entry other than the image, [n ...]."""
        return self.source.column(name)


@functools.partial(jax.jit, static_argnames=("stretch", "q", "minimum"))
def _draw(
    image: Float[Array, "h w c"],
    weights: Float[Array, "c 3"],
    *,
    stretch: float,
    q: float,
    minimum: float,
) -> UInt8[Array, "h w 3"]:
    return lupton(image @ weights, stretch=stretch, q=q, minimum=minimum)
