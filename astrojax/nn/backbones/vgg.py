# SPDX-License-Identifier: Apache-2.0
"""VGG (Simonyan & Zisserman 2015), by default without the published 124M-parameter classifier."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from astrojax.nn import layers
from astrojax.nn.backbones import blocks
from astrojax.nn.layers import Dtype

_WIDTHS = (64, 128, 256, 512, 512)

SIZES: dict[str, dict[str, Any]] = {
    "11": {"depths": (1, 1, 2, 2, 2), "widths": _WIDTHS},
    "13": {"depths": (2, 2, 2, 2, 2), "widths": _WIDTHS},
    "16": {"depths": (2, 2, 3, 3, 3), "widths": _WIDTHS},
    "19": {"depths": (2, 2, 4, 4, 4), "widths": _WIDTHS},
}
"""Published depths and widths."""

PUBLISHED_CLASSIFIER: dict[str, Any] = {"grid": 7, "hidden": (4096, 4096), "dropout": 0.5}
"""The classifier with 124 million of VGG16's 138 million parameters."""

_INIT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


class VGG(nnx.Module):
    """Stages of 3x3 convolutions, each followed by a 2x2 max-pool.

    Args:
        bands: Bands of the images.
        depths: Convolutions in each stage.
        widths: Feature maps in each stage.
        batch_norm: Whether batch norm follows each convolution.
        grid: The last maps are averaged to grid x grid cells for the classifier: 1 is global
            average pooling, 7 is the published network.
        hidden: Widths of the classifier's hidden layers; () for a single linear layer.
        dropout: Rate of dropout after each hidden layer.
        num_classes: Outputs of the classifier; None for none, and then nothing reads the three
            settings before this one.
        dtype: Compute type; parameters and norms are float32.
        remat: Whether to recompute activations stage by stage in the backward pass.
        rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        *,
        bands: int,
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        batch_norm: bool,
        grid: int,
        hidden: tuple[int, ...],
        dropout: float,
        num_classes: int | None,
        dtype: Dtype,
        remat: bool,
        rngs: nnx.Rngs,
    ):
        self.bands, self.grid, self.dropout, self.remat = bands, grid, dropout, remat
        self.width = widths[-1]
        inputs = (bands, *widths[:-1])
        self.stages = nnx.List(
            [
                Stage(i, o, depth=depth, norm=batch_norm, dtype=dtype, rngs=rngs)
                for i, o, depth in zip(inputs, widths, depths, strict=True)
            ]
        )
        init = nnx.initializers.normal(0.01)
        sizes = (grid**2 * self.width, *hidden)
        pairs = zip(sizes[:-1], sizes[1:], strict=True) if num_classes is not None else ()
        self.hidden = nnx.List(
            [
                nnx.Linear(i, o, kernel_init=init, dtype=jnp.dtype(dtype), rngs=rngs)
                for i, o in pairs
            ]
        )
        self.head = blocks.classifier(sizes[-1], num_classes, init=init, dtype=dtype, rngs=rngs)

    def maps(self, image: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b i j d"]:
        """The last feature maps.

        Raises:
            UserError: The images have other bands than the network, or are too small for it.
        """
        blocks.check_image(image, bands=self.bands, smallest=2 ** len(self.stages))
        x = image
        for stage in self.stages:
            x = blocks.apply(stage, x, train=train, key=None, remat=self.remat)
        return x

    def features(
        self,
        image: Float[Array, "b h w c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b d"]:
        """Spatial means of the last feature maps, float32."""
        return self.maps(image, train=train).mean((1, 2), dtype=jnp.float32)

    def __call__(
        self,
        image: Float[Array, "b h w c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b k"]:
        """Logits if there is a classifier, else the features; float32."""
        if self.head is None:
            return self.features(image, train=train)
        x = average_cells(self.maps(image, train=train), self.grid)
        x = x.reshape(x.shape[0], -1)
        for linear, k in zip(self.hidden, blocks.keys(key, len(self.hidden)), strict=True):
            x = layers.dropout(jax.nn.relu(linear(x)), self.dropout, k)
        return self.head(x).astype(jnp.float32)


class Stage(nnx.Module):
    """Convolutions with ReLU (and batch norm before it), then a 2x2 max-pool."""

    def __init__(
        self, bands: int, width: int, *, depth: int, norm: bool, dtype: Dtype, rngs: nnx.Rngs
    ):
        inputs = (bands,) + (width,) * (depth - 1)
        self.convs = nnx.List(
            [
                blocks.conv(
                    i, width, size=3, padding=1, bias=True, init=_INIT, dtype=dtype, rngs=rngs
                )
                for i in inputs
            ]
        )
        self.norms = nnx.List(
            [layers.batch_norm(width, rngs=rngs) if norm else None for _ in inputs]
        )

    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool, key: PRNGKeyArray | None = None
    ) -> Float[Array, "b i j d"]:
        """Halves the image; nothing here is stochastic."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = conv(x)
            if norm is not None:
                x = norm(x, use_running_average=not train).astype(x.dtype)
            x = jax.nn.relu(x)
        return nnx.max_pool(x, (2, 2), strides=(2, 2))


def average_cells(x: Float[Array, "b h w d"], grid: int) -> Float[Array, "b i j d"]:
    """Means over grid x grid cells that cover the map, PyTorch's `AdaptiveAvgPool2d`.

    Cell i covers rows floor(i h / grid) to ceil((i + 1) h / grid): cells overlap where grid does
    not divide h, and repeat pixels where h is smaller than grid.
    """
    h, w = (jnp.asarray(_cells(side, grid), x.dtype) for side in x.shape[1:3])
    return jnp.einsum("bhwd,ih,jw->bijd", x, h, w)


def _cells(side: int, grid: int) -> np.ndarray:
    """The [grid side] matrix that averages a line of pixels into cells."""
    cells = np.zeros((grid, side))
    for i in range(grid):
        first, last = i * side // grid, -(-(i + 1) * side // grid)
        cells[i, first:last] = 1 / (last - first)
    return cells
