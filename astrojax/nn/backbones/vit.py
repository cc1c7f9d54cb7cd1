# SPDX-License-Identifier: Apache-2.0
"""Vision transformer (Dosovitskiy et al. 2021), pre-norm as in timm, encoding any set of tokens."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from astrojax.errors import UserError
from astrojax.nn.backbones import blocks
from astrojax.nn.layers import Dtype, dropout

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"width": 192, "depth": 12, "heads": 3, "mlp_ratio": 4.0},
    "small": {"width": 384, "depth": 12, "heads": 6, "mlp_ratio": 4.0},
    "base": {"width": 768, "depth": 12, "heads": 12, "mlp_ratio": 4.0},
}
"""Published widths, depths and heads."""

# timm truncates at +-2, which for a spread of 0.02 is a normal distribution.
_INIT = nnx.initializers.normal(0.02)

_HIDDEN = -1e30  # the logit of a token that is not attended to


class Block(nnx.Module):
    """Self-attention and an MLP, each after a norm and added to its input.

    Args:
        width: Features of a token.
        heads: Attention heads.
        mlp_ratio: Hidden width of the MLP over `width`.
        activation: "gelu" (exact), "gelu_tanh" (its approximation by a tanh) or "relu".
        dropout: Rate after the attention's projection and after both layers of the MLP.
        dtype: Compute type; parameters, norms and the softmax are float32.
        rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        mlp_ratio: float,
        activation: blocks.Activation,
        dropout: float,
        dtype: Dtype,
        rngs: nnx.Rngs,
    ):
        def linear(i: int, o: int) -> nnx.Linear:
            return nnx.Linear(i, o, kernel_init=_INIT, dtype=jnp.dtype(dtype), rngs=rngs)

        hidden = int(width * mlp_ratio)
        self.heads, self.activation = heads, activation
        self.dropout = dropout
        self.norm_1 = blocks.layer_norm(width, rngs=rngs)
        self.qkv = linear(width, 3 * width)
        self.projection = linear(width, width)
        self.norm_2 = blocks.layer_norm(width, rngs=rngs)
        self.expand = linear(width, hidden)
        self.reduce = linear(hidden, width)

    def __call__(
        self,
        x: Float[Array, "b n d"],
        *,
        drop_path: float | Float[Array, ""],
        key: PRNGKeyArray | None,
        valid: Bool[Array, "b n"] | None = None,
    ) -> Float[Array, "b n d"]:
        """Tokens to tokens; a key turns dropout and stochastic depth, at this rate, on.

        No token attends to one that is not `valid`; None: all are.
        """
        k = blocks.keys(key, 5)
        y = self._project(self.attention(self.norm_1(x), valid))
        y = dropout(y, self.dropout, k[0])
        x = x + blocks.drop_path(y, drop_path, k[1])
        y = blocks.pointwise(self.expand, self.norm_2(x))
        y = blocks.activate(y, self.activation)
        y = blocks.pointwise(self.reduce, dropout(y, self.dropout, k[2]))
        return x + blocks.drop_path(dropout(y, self.dropout, k[3]), drop_path, k[4])

    def attention(
        self, x: Float[Array, "b n d"], valid: Bool[Array, "b n"] | None = None
    ) -> Float[Array, "b h n e"]:
        """Softmax attention of all tokens to all valid ones, by head, before the projection.

        Queries, keys and values are contracted apart, heads first: one packed array would be
        copied into this order, which on a TPU took a tenth of a network's time.
        """
        dtype, width = self.qkv.dtype, x.shape[-1]
        shape = (3, self.heads, width // self.heads)
        kernel = self.qkv.kernel[...].astype(dtype).reshape(width, *shape)
        bias = _bias(self.qkv).astype(dtype).reshape(shape)
        q, k, v = (
            jnp.einsum("bnd,dhe->bhne", x.astype(dtype), kernel[:, i]) + bias[i][:, None]
            for i in range(3)
        )
        logits = jnp.einsum("bhne,bhme->bhnm", q, k, preferred_element_type=jnp.float32)
        logits = logits / np.sqrt(shape[-1])
        if valid is not None:
            logits = jnp.where(valid[:, None, None], logits, _HIDDEN)
        return jnp.einsum("bhnm,bhme->bhne", jax.nn.softmax(logits).astype(dtype), v)

    def _project(self, x: Float[Array, "b h n e"]) -> Float[Array, "b n d"]:
        kernel = self.projection.kernel[...].astype(x.dtype)
        kernel = kernel.reshape(x.shape[1], x.shape[3], -1)
        return jnp.einsum("bhne,hed->bnd", x, kernel) + _bias(self.projection).astype(x.dtype)


def _bias(layer: nnx.Linear) -> Float[Array, " d"]:
    assert layer.bias is not None
    return layer.bias[...]


class ViT(nnx.Module):
    """Vision transformer on square images with any number of bands.

    `tokens` and `encode` are its two halves, so that a method may encode a subset of the tokens:
    `vit.encode(jnp.take_along_axis(vit.tokens(image), visible[..., None], axis=1))`.

    Args:
        image_size: Side of the images, in pixels.
        patch_size: Side of a patch, a divisor of `image_size`.
        bands: Bands of the images.
        width: Features of a token.
        depth: Blocks.
        heads: Attention heads.
        mlp_ratio: Hidden width of the MLPs over `width`.
        positions: "learned", or "sincos": fixed sines and cosines of the patch's column and row.
        class_token: Whether a learned token is put before those of the patches.
        pool: "class" (the class token) or "mean" (of the patches' tokens).
        activation: "gelu" (exact), "gelu_tanh" (its approximation by a tanh) or "relu".
        dropout: Rate after the attention's projection and after both layers of the MLP.
        drop_path: Rate of stochastic depth in the last block; it grows from 0 with depth.
        num_classes: Outputs of the classifier; None for none.
        dtype: Compute type; parameters, norms and the softmax are float32.
        remat: Whether to recompute activations block by block in the backward pass.
        rngs: Keys for the initial weights.

    Raises:
        UserError: The patch does not divide the image, the heads do not divide the width, or
            the pool is a token that there is not.
    """

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        bands: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        positions: Literal["learned", "sincos"],
        class_token: bool,
        pool: Literal["class", "mean"],
        activation: blocks.Activation,
        dropout: float,
        drop_path: float,
        num_classes: int | None,
        dtype: Dtype,
        remat: bool,
        rngs: nnx.Rngs,
    ):
        _check(image_size, patch_size, width, heads, class_token, pool)
        self.image_size, self.bands, self.width = image_size, bands, width
        self.grid, self.learned, self.pool = image_size // patch_size, positions == "learned", pool
        self.dtype, self.remat = jnp.dtype(dtype), remat
        self.patch = blocks.conv(
            bands,
            width,
            size=patch_size,
            stride=patch_size,
            bias=True,
            init=nnx.initializers.lecun_normal(),
            dtype=dtype,
            rngs=rngs,
        )
        self.class_token = (
            nnx.Param(1e-6 * jax.random.normal(rngs.params(), (1, 1, width)))
            if class_token
            else None
        )
        if self.learned:
            shape = (1, self.grid**2 + class_token, width)
            self.positions = nnx.Param(_INIT(rngs.params(), shape))
        self.blocks = nnx.List(
            [
                Block(
                    width=width,
                    heads=heads,
                    mlp_ratio=mlp_ratio,
                    activation=activation,
                    dropout=dropout,
                    dtype=dtype,
                    rngs=rngs,
                )
                for _ in range(depth)
            ]
        )
        self.drop_path = tuple(map(float, np.linspace(0.0, drop_path, depth)))
        self.norm = blocks.layer_norm(width, rngs=rngs)
        self.head = blocks.classifier(width, num_classes, init=_INIT, dtype=dtype, rngs=rngs)

    def position_table(self) -> Float[Array, "1 n d"]:
        """Position embeddings; the class token's, if there is one, comes first."""
        if self.learned:
            return self.positions[...]
        table = sincos_positions(self.grid, self.width)
        if self.class_token is not None:
            table = np.concatenate([np.zeros((1, self.width), np.float32), table])
        return jnp.asarray(table)[None]

    def tokens(self, image: Float[Array, "b h w c"]) -> Float[Array, "b n d"]:
        """Embedded patches, row by row, with their positions; without the class token.

        Raises:
            UserError: The images have other bands, or another side, than the network.
        """
        blocks.check_image(image, bands=self.bands, smallest=1)
        if image.shape[1:3] != (self.image_size, self.image_size):
            raise UserError(
                f"this ViT was built for images of side {self.image_size}, and these are "
                f"{image.shape[1]} x {image.shape[2]}: make image_size and the crop equal"
            )
        x = self.patch(image).reshape(image.shape[0], self.grid**2, self.width)
        return x + self.position_table()[:, -(self.grid**2) :].astype(x.dtype)

    def encode(
        self,
        tokens: Float[Array, "b n d"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
        valid: Bool[Array, "b n"] | None = None,
    ) -> Float[Array, "b m d"]:
        """Any tokens through the blocks and the last norm, float32; the class token is prepended.

        `train` changes nothing here, as nothing is tracked; a key turns the stochastic parts on.
        Tokens that are not `valid` are padding: they come back, but nothing attends to them.
        """
        x = tokens.astype(self.dtype)
        if self.class_token is not None:
            token = self.class_token[...] + self.position_table()[:, :1]
            x = jnp.concatenate([jnp.broadcast_to(token, (len(x), *token.shape[1:])), x], axis=1)
            x = x.astype(self.dtype)
            if valid is not None:
                valid = jnp.pad(valid, ((0, 0), (1, 0)), constant_values=True)
        rates = self.drop_path
        x = blocks.scan(self.blocks, x, drop_path=rates, key=key, remat=self.remat, valid=valid)
        return self.norm(x)

    def features(
        self,
        image: Float[Array, "b h w c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b n d"]:
        """All tokens after the last norm, float32; the class token, if there is one, first."""
        return self.encode(self.tokens(image), train=train, key=key)

    def __call__(
        self,
        image: Float[Array, "b h w c"],
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "b k"]:
        """Logits if there is a classifier, else the pooled tokens; float32."""
        x = self.features(image, train=train, key=key)
        x = x[:, 0] if self.pool == "class" else x[:, -(self.grid**2) :].mean(1)
        return x if self.head is None else self.head(x).astype(jnp.float32)


def sincos_positions(grid: int, width: int) -> np.ndarray:
    """Sines and cosines of column and row at `width / 4` frequencies each (He et al. 2022, MAE).

    Returns:
        Float32 [grid * grid, width], patches row by row.
    """
    frequency = 10000.0 ** (-np.arange(width // 4) / (width // 4))
    angle = np.arange(grid)[:, None] * frequency
    line = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    column, row = np.tile(line, (grid, 1)), np.repeat(line, grid, axis=0)
    return np.concatenate([column, row], axis=1).astype(np.float32)


def _check(
    image_size: int, patch_size: int, width: int, heads: int, class_token: bool, pool: str
) -> None:
    """Raises `UserError` for settings that do not fit together."""
    if image_size % patch_size:
        raise UserError(
            f"patch_size {patch_size} does not divide the image side {image_size}: "
            "change the patch or the crop"
        )
    if width % heads or width % 4:
        raise UserError(f"width {width} has to be a multiple of heads ({heads}) and of 4")
    if pool == "class" and not class_token:
        raise UserError("pool 'class' needs a class token: set class_token, or pool 'mean'")
