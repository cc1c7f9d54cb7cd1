# SPDX-License-Identifier: Apache-2.0
"""ConvNeXt (Liu et al. 2022), as in torchvision: exact GELU, layer scale, stochastic depth."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from astrojax.errors import UserError
from astrojax.nn.backbones import blocks
from astrojax.nn.backbones.depthwise import depthwise_conv
from astrojax.nn.layers import Dtype

SIZES: dict[str, dict[str, Any]] = {
    "atto": {"depths": (2, 2, 6, 2), "widths": (40, 80, 160, 320)},
    "femto": {"depths": (2, 2, 6, 2), "widths": (48, 96, 192, 384)},
    "pico": {"depths": (2, 2, 6, 2), "widths": (64, 128, 256, 512)},
    "nano": {"depths": (2, 2, 8, 2), "widths": (80, 160, 320, 640)},
    "tiny": {"depths": (3, 3, 9, 3), "widths": (96, 192, 384, 768)},
    "small": {"depths": (3, 3, 27, 3), "widths": (96, 192, 384, 768)},
    "base": {"depths": (3, 3, 27, 3), "widths": (128, 256, 512, 1024)},
}
"""Published depths and widths (atto to nano: the small models of ConvNeXt V2's paper)."""

# The authors truncate at +-2, which for a spread of 0.02 is a normal distribution.
_INIT = nnx.initializers.normal(0.02)


class Block(nnx.Module):
    """Depthwise 7x7 convolution, norm, and a pointwise MLP of four times the width."""

    def __init__(
        self, width: int, *, drop_path: float, layer_scale: float, dtype: Dtype, rngs: nnx.Rngs
    ):
        kind = jnp.dtype(dtype)
        self.kernel = nnx.Param(_INIT(rngs.params(), (7, 7, 1, width)))
        self.bias = nnx.Param(jnp.zeros((width,)))
        self.norm = blocks.layer_norm(width, rngs=rngs)
        self.expand = nnx.Linear(width, 4 * width, kernel_init=_INIT, dtype=kind, rngs=rngs)
        self.reduce = nnx.Linear(4 * width, width, kernel_init=_INIT, dtype=kind, rngs=rngs)
        self.layer_scale = nnx.Param(jnp.full((width,), layer_scale))
        self.drop_path = drop_path

    def __call__(
        self, x: Float[Array, "b h w d"], *, train: bool, key: PRNGKeyArray | None
    ) -> Float[Array, "b h w d"]:
        """Adds the branch to the input; a key drops it for some examples."""
        y = depthwise_conv(x, self.kernel[...].astype(x.dtype)) + self.bias[...].astype(x.dtype)
        y = blocks.gelu(blocks.pointwise(self.expand, self.norm(y)))
        y = blocks.pointwise(self.reduce, y)
        return x + blocks.drop_path(y * self.layer_scale[...].astype(y.dtype), self.drop_path, key)


class Downsample(nnx.Module):
    """Norm, then a 2x2 convolution with stride 2."""

    def __init__(self, width: int, features: int, *, dtype: Dtype, rngs: nnx.Rngs):
        self.norm = blocks.layer_norm(width, rngs=rngs)
        self.conv = blocks.conv(
            width, features, size=2, stride=2, bias=True, init=_INIT, dtype=dtype, rngs=rngs
        )

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j d"]:
        """Halves the image."""
        return self.conv(self.norm(x))


class ConvNeXt(nnx.Module):
    """ConvNeXt on images with any number of bands.

    Args:
        bands: Bands of the images.
        depths: Blocks in each stage.
        widths: Features in each stage; each stage after the first halves the image.
        stem_size: Side of the stem's convolution, 4 as published, 2 for small images.
        stem_stride: Its stride, 4 as published.
        drop_path: Rate of stochastic depth in the last block; it grows from 0 with depth.
        layer_scale: Initial scale of the residual branches, 1e-6 as published.
        num_classes: Outputs of the classifier; None for none.
        dtype: Compute type; parameters and norms are float32.
        remat: Whether to recompute activations block by block in the backward pass.
        rngs: Keys for the initial weights.

    Raises:
        UserError: `depths` and `widths` differ in length.
    """

    def __init__(
        self,
        *,
        bands: int,
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        stem_size: int,
        stem_stride: int,
        drop_path: float,
        layer_scale: float,
        num_classes: int | None,
        dtype: Dtype,
        remat: bool,
        rngs: nnx.Rngs,
    ):
        if len(depths) != len(widths):
            raise UserError(f"depths {depths} and widths {widths} differ in length: one per stage")
        self.bands, self.width, self.remat = bands, widths[-1], remat
        self.smallest = max(stem_size, stem_stride * 2 ** (len(depths) - 1))
        self.stem = blocks.conv(
            bands,
            widths[0],
            size=stem_size,
            stride=stem_stride,
            bias=True,
            init=_INIT,
            dtype=dtype,
            rngs=rngs,
        )
        self.stem_norm = blocks.layer_norm(widths[0], rngs=rngs)
        self.dtype = jnp.dtype(dtype)
        rates = iter(np.linspace(0.0, drop_path, sum(depths)))
        self.stages = nnx.List(
            [
                nnx.List(
                    [
                        Block(
                            width,
                            drop_path=float(next(rates)),
                            layer_scale=layer_scale,
                            dtype=dtype,
                            rngs=rngs,
                        )
                        for _ in range(depth)
                    ]
                )
                for width, depth in zip(widths, depths, strict=True)
            ]
        )
        pairs = zip(widths[:-1], widths[1:], strict=True)
        self.downsamples = nnx.List([Downsample(i, o, dtype=dtype, rngs=rngs) for i, o in pairs])
        self.norm = blocks.layer_norm(self.width, rngs=rngs)
        self.head = blocks.classifier(self.width, num_classes, init=_INIT, dtype=dtype, rngs=rngs)

    def features(
        self,
        image: Float[Array, "b h w c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b d"]:
        """Spatial means of the last feature maps after the last norm, float32.

        Raises:
            UserError: The images have other bands than the network, or are too small for it.
        """
        blocks.check_image(image, bands=self.bands, smallest=self.smallest)
        x = self.stem_norm(self.stem(image)).astype(self.dtype)
        block_keys = iter(blocks.keys(key, sum(len(stage) for stage in self.stages)))
        for i, stage in enumerate(self.stages):
            if i > 0:
                x = self.downsamples[i - 1](x)
            for block in stage:
                x = blocks.apply(block, x, train=train, key=next(block_keys), remat=self.remat)
        return self.norm(x.mean((1, 2), dtype=jnp.float32))

    def __call__(
        self,
        image: Float[Array, "b h w c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b k"]:
        """Logits if there is a classifier, else the features; float32."""
        x = self.features(image, train=train, key=key)
        return x if self.head is None else self.head(x).astype(jnp.float32)
