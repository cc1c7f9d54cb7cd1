# SPDX-License-Identifier: Apache-2.0
"""SimSiam (Chen & He 2021, 2011.10566), and LenSiam, its views made for strong lenses.

    L = -1/2 cos(p_1, stop(z_2)) - 1/2 cos(p_2, stop(z_1)),   z = projector(backbone(x)),
                                                              p = predictor(z)

What two views share is what the features keep. Without a simulator the views are two
augmentations of an image of the batch. With one, they are drawn in the training step from the lens
parameters of the batch, new at every step and never stored:

- no `view`: LenSiam (NeurIPS workshop 2023). Two images of one lens, which differ in source, lens
  light, PSF and noise.
- a `view`: plain SimSiam on lenses. One new image of each lens, augmented twice.

The authors of LenSiam used a fixed set of 100,000 stored pairs, and, for SimSiam, one image of a
pair at random. Their heads differ from SimSiam's: layers before a norm have biases, and the
projector's last norm has a scale and a shift. Batch norm is over one view of the global batch.

Departures of the rate from the authors of LenSiam, by one step of thousands: their schedule follows
the optimizer, so that the first update is made at the full rate, where here it is at that of the
warm-up's start; and of N warm-up steps theirs holds the peak after N - 1. SimSiam's own rate
changes once per epoch, and here at every step.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import random
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from astrojax import distributed, losses
from astrojax.augment import views
from astrojax.config import call
from astrojax.data.info import DataInfo
from astrojax.errors import UserError
from astrojax.methods import Batch, Method
from astrojax.nn import backbones, layers
from astrojax.simulate.lens import simulator
from astrojax.simulate.lens.deflection import Lens

_HEADS: dict[str, tuple[bool, Literal["plain", "affine"]]] = {
    "simsiam": (False, "plain"),
    "lensiam": (True, "affine"),
}
"""Biases before norms, and the norm after the projector, of the two papers."""


class SimSiam(Method):
    """A backbone, a projector and a predictor (give it a constant rate: `optim.fixed_lr`).

    Args:
        backbone: Section of `backbones.build`.
        projector: Widths of its three or so layers; the last is the size of z.
        predictor: Hidden width of the predictor.
        heads: "simsiam" or "lensiam".
        simulator: Section of `simulate.lens.build`, for data of lens parameters; None for the
            images of the data.
        view: Section of `views.make`; its crop is the network's input size. None for LenSiam.
        resize: Side in pixels that images are resampled to first, or None.
        offset: Subtracted from the pixels, one per band, before `stretch`. Pixels of 8 bits are
            divided by 255 first.
        stretch: Section of `layers.stretch`.
        info: The data.
        rngs: Keys for the initial weights.

    Raises:
        UserError: There is neither a simulator nor a view, or the simulator's images are not like
            those of the data.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        projector: tuple[int, ...],
        predictor: int,
        heads: Literal["simsiam", "lensiam"],
        simulator: dict | None,
        view: dict | None,
        resize: int | None,
        offset: tuple[float, ...],
        stretch: dict,
        info: DataInfo,
        rngs: nnx.Rngs,
    ):
        _check(simulator, view)
        layers.check_per_band("method.offset", offset, len(info.bands))
        self.draw: Callable | None = None
        if simulator is not None:
            self.draw, self.columns = _drawing(simulator, view is None, info), Lens._fields
        size = resize or info.image_size
        self.view: views.View | None = None
        self.crop, self.resize = size, resize
        if view is not None:
            resized = dataclasses.replace(info, image_size=size)
            self.view = views.make(view, info=resized, path="method.view")
            self.crop = view["crop"]
        self.offset = offset
        self.stretch = layers.make_stretch(stretch, bands=len(info.bands))
        self.backbone = backbones.build(
            backbone, bands=len(info.bands), image_size=self.crop, num_classes=None, rngs=rngs
        )
        bias, last = _HEADS[heads]
        width = projector[-1]
        self.projector = layers.MLP(
            (self.backbone.width, *projector), norm=True, last_norm=last, bias=bias, rngs=rngs
        )
        self.predictor = layers.MLP((width, predictor, width), norm=True, bias=bias, rngs=rngs)

    def loss(
        self, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The symmetrised loss, from -1 to 1.

        `projection_std` is the standard deviation over the batch of z / |z|, averaged over its d
        components, times sqrt(d): near 1 if all is well, 0 after a collapse.
        """
        view_key, *drop_keys = random.split(key, 3)
        images = self._views(view_key, batch)
        features = [
            self.backbone(self._scaled(x), train=True, key=k)
            for x, k in zip(images, drop_keys, strict=True)
        ]
        z_1, z_2 = (self.projector(f, train=True) for f in features)
        p_1, p_2 = (self.predictor(z, train=True) for z in (z_1, z_2))
        spread = jnp.std(losses.l2_normalize(z_1), axis=0).mean() * jnp.sqrt(z_1.shape[1])
        return losses.simsiam(p_1, p_2, z_1, z_2), {"projection_std": spread}

    def embed(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b d"]:
        """The backbone's pooled features of the (resampled) image's central crop."""
        return self.backbone(self._scaled(layers.centre_crop(self._resized(image), self.crop)))

    def _views(
        self, key: PRNGKeyArray, batch: Batch
    ) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"]]:
        """Two views, see the top of this file."""
        draw_key, view_1, view_2 = random.split(key, 3)
        if self.draw is None:
            image = batch["image"]
        else:
            lenses = Lens(*(batch[name] for name in Lens._fields))
            keys = random.split(draw_key, len(lenses.theta_E))
            image = distributed.shard_map_rows(self.draw)(keys, lenses)
        if self.view is None:
            return self._resized(image[:, 0]), self._resized(image[:, 1])
        image = self._resized(image)
        return self.view(view_1, image), self.view(view_2, image)

    def _resized(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b i j c"]:
        """Pixels of 8 bits in [0, 1]; bilinear resampling where a size is given."""
        image = layers.unit_range(image)
        if self.resize is None or image.shape[1:3] == (self.resize, self.resize):
            return image
        shape = (len(image), self.resize, self.resize, image.shape[3])
        return jax.image.resize(image, shape, "bilinear")

    def _scaled(self, image: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return self.stretch(image - jnp.asarray(self.offset, jnp.float32))


def _drawing(section: dict, pairs: bool, info: DataInfo) -> Callable:
    """A function (keys, lenses) -> images [b h w 1], or pairs of them [b 2 h w 1]."""
    drawn = call(simulator.build, section, path="method.simulator")
    seen = drawn.observation
    if (seen.stamp, len(info.bands)) != (info.image_size, 1):
        raise UserError(
            f"config key 'method.simulator.observation' is of {seen.stamp} pixels in one band, the "
            f"data of {info.image_size} pixels in {len(info.bands)}"
        )
    return jax.vmap(drawn.pair if pairs else drawn.image)


def _check(simulator: dict | None, view: dict | None) -> None:
    """Raises `UserError` if nothing says what the two views are."""
    if simulator is None and view is None:
        raise UserError("set 'method.simulator' for pairs of lenses, 'method.view', or both")
