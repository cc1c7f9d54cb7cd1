# SPDX-License-Identifier: Apache-2.0
"""ResNet (He et al. 2016), with the stride on the 3x3 convolution as in torchvision ("v1.5")."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from astrojax.nn.backbones import blocks
from astrojax.nn.layers import Dtype, batch_norm

BlockKind = Literal["basic", "bottleneck"]

SIZES: dict[str, dict[str, Any]] = {
    "18": {"depths": (2, 2, 2, 2), "block": "basic", "width": 64},
    "34": {"depths": (3, 4, 6, 3), "block": "basic", "width": 64},
    "50": {"depths": (3, 4, 6, 3), "block": "bottleneck", "width": 64},
    "101": {"depths": (3, 4, 23, 3), "block": "bottleneck", "width": 64},
    "152": {"depths": (3, 8, 36, 3), "block": "bottleneck", "width": 64},
}
"""Published depths, blocks and widths."""

_INIT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


class ConvNorm(nnx.Module):
    """Convolution without bias, then batch norm in float32; the result has the compute type."""

    def __init__(
        self, bands: int, features: int, *, size: int, stride: int, dtype: Dtype, rngs: nnx.Rngs
    ):
        padding = size // 2
        self.conv = blocks.conv(
            bands,
            features,
            size=size,
            stride=stride,
            padding=padding,
            bias=False,
            init=_INIT,
            dtype=dtype,
            rngs=rngs,
        )
        self.norm = batch_norm(features, rngs=rngs)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b i j d"]:
        """Applies both; `train` uses, and tracks, batch statistics."""
        x = self.conv(x)
        return self.norm(x, use_running_average=not train).astype(x.dtype)


class Block(nnx.Module):
    """A residual block: two 3x3 convolutions ("basic"), or 1x1, 3x3, 1x1 ("bottleneck")."""

    def __init__(
        self, bands: int, width: int, *, block: BlockKind, stride: int, dtype: Dtype, rngs: nnx.Rngs
    ):
        layers: tuple[tuple[int, int, int, int], ...]
        if block == "basic":
            layers = ((bands, width, 3, stride), (width, width, 3, 1))
        else:
            layers = ((bands, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1))
        self.layers = nnx.List(
            [ConvNorm(i, o, size=k, stride=s, dtype=dtype, rngs=rngs) for i, o, k, s in layers]
        )
        self.width = layers[-1][1]
        self.shortcut = (
            ConvNorm(bands, self.width, size=1, stride=stride, dtype=dtype, rngs=rngs)
            if stride != 1 or bands != self.width
            else None
        )

    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool, key: PRNGKeyArray | None = None
    ) -> Float[Array, "b i j d"]:
        """Adds the branch to the (projected) input; nothing here is stochastic."""
        shortcut = x if self.shortcut is None else self.shortcut(x, train=train)
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x, train=train))
        return jax.nn.relu(self.layers[-1](x, train=train) + shortcut)


class ResNet(nnx.Module):
    """Residual network on images with any number of bands.

    Args:
        bands: Bands of the images.
        depths: Blocks in each stage; each stage after the first halves the image and doubles width.
        block: "basic" or "bottleneck" (which gives four times the width).
        stem: "imagenet", 7x7 stride 2 and max-pool, or "cifar", 3x3 stride 1.
        width: Width of the first stage.
        num_classes: Outputs of the classifier; None for none.
        zero_init_residual: Whether the last norm of a block starts at zero (Goyal et al. 2017).
        dtype: Compute type; parameters and norms are float32.
        remat: Whether to recompute activations block by block in the backward pass.
        rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        *,
        bands: int,
        depths: tuple[int, ...],
        block: BlockKind,
        stem: Literal["imagenet", "cifar"],
        width: int,
        num_classes: int | None,
        zero_init_residual: bool,
        dtype: Dtype,
        remat: bool,
        rngs: nnx.Rngs,
    ):
        self.bands, self.imagenet_stem, self.remat = bands, stem == "imagenet", remat
        size, stride = (7, 2) if self.imagenet_stem else (3, 1)
        self.stem = ConvNorm(bands, width, size=size, stride=stride, dtype=dtype, rngs=rngs)
        stages, features = [], width
        for i, depth in enumerate(depths):
            stage = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                stage.append(
                    Block(
                        features, width * 2**i, block=block, stride=stride, dtype=dtype, rngs=rngs
                    )
                )
                features = stage[-1].width
                if zero_init_residual:
                    scale = stage[-1].layers[-1].norm.scale
                    assert scale is not None
                    scale[...] = jnp.zeros(scale.shape, jnp.float32)
            stages.append(nnx.List(stage))
        self.stages = nnx.List(stages)
        self.width = features
        self.head = blocks.classifier(
            features, num_classes, init=nnx.initializers.lecun_normal(), dtype=dtype, rngs=rngs
        )

    def features(
        self,
        image: Float[Array, "b h w c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b d"]:
        """Spatial means of the last feature maps, float32.

        Raises:
            UserError: The images have other bands than the network.
        """
        blocks.check_image(image, bands=self.bands, smallest=1)
        x = jax.nn.relu(self.stem(image, train=train))
        if self.imagenet_stem:
            x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        for stage in self.stages:
            for block in stage:
                x = blocks.apply(block, x, train=train, key=None, remat=self.remat)
        return x.mean((1, 2), dtype=jnp.float32)

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
