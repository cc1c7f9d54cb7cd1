# SPDX-License-Identifier: Apache-2.0
"""Block masks for joint-embedding prediction, per sample, jitted, with static shapes.

A mask is two lists of patch indices (raster order of the grid): what the context encoder sees and,
per block, what the predictor has to predict. Lists have a fixed length with a validity flag per
entry, so that a ViT gathers the visible tokens, encodes only these and masks the padding in its
attention; a padded entry holds a valid index and may be gathered.

Source: I-JEPA, Assran et al. 2023 (arXiv 2301.08243). `sampling="independent"` is its text.
`sampling="ijepa"` is its released code, which differs: one number decides area and aspect, areas
are floored to patches, sizes are shared by a batch, blocks never touch the last row and column, and
the context is cut to the shortest of the batch in raster order, which takes it from the top.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from astrojax.errors import UserError

_CLASS = 1e3  # between the classes of a priority; the Gumbel draws stay within +-100


class BlockMasks(NamedTuple):
    """Patch indices and which of them count; no valid context index is a valid target index."""

    context: Int[Array, "b n"]
    context_valid: Bool[Array, "b n"]
    targets: Int[Array, "b k n_target"]
    targets_valid: Bool[Array, "b k n_target"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockSampler:
    """Draws one context and `num_targets` target blocks per image.

    A block's area is uniform in its scale (a fraction of the grid's area), its aspect (height over
    width) uniform in its range; sides are rounded to patches. Target blocks lie anywhere with
    equal probability. The context is one large block less all target patches. Of what is left,
    `context_tokens` are kept at random. Where less than `min_context` is left, the context is
    filled up to it from outside its block and, last, from the targets, which then lose the patch.

    With `brightness_biased`, the context is drawn from signal: its block is centred on a patch
    drawn in proportion to the patch's signal, and the tokens kept are drawn likewise. Targets
    stay uniform, unless `targets_biased` centres them on patches drawn so.

    With `sampling="ijepa"` (see the top of this file) the tokens kept are the first ones in raster
    order, as many as the image with the fewest has, at most `context_tokens`. The authors redraw a
    context of no more than `min_context`; here it is filled up. At their scales neither happens.

    Raises:
        UserError: The arguments leave no context, or a range is not (low, high).
    """

    grid: int
    sampling: Literal["independent", "ijepa"]
    num_targets: int
    target_scale: tuple[float, ...]
    target_aspect: tuple[float, ...]
    context_scale: tuple[float, ...]
    context_aspect: tuple[float, ...]
    context_tokens: int
    min_context: int
    brightness_biased: bool
    targets_biased: bool

    def __post_init__(self):
        """Checks that the arguments leave a context."""
        for name in ("target_scale", "target_aspect", "context_scale", "context_aspect"):
            limits = getattr(self, name)
            if len(limits) != 2 or not 0 < limits[0] <= limits[1]:
                raise UserError(f"{name} is {limits}; it has to be (lowest, highest), positive")
            if name.endswith("scale") and limits[1] > 1:
                raise UserError(f"{name} is {limits}; it is a fraction of the area, at most 1")
        if not 1 <= self.min_context <= self.context_tokens <= self.grid**2:
            raise UserError(
                f"min_context {self.min_context} and context_tokens {self.context_tokens} have to "
                f"satisfy 1 <= min_context <= context_tokens <= {self.grid**2} patches"
            )
        sizes = self._block_sizes()
        hidden = max(self.num_targets * min(sizes), max(sizes))
        if self.num_targets < 1 or self.grid**2 - hidden < self.min_context:
            raise UserError(
                f"{self.num_targets} target blocks of {min(sizes)} to {max(sizes)} patches leave "
                f"no context of {self.min_context} on a grid of {self.grid**2}: "
                "lower target_scale, num_targets or min_context"
            )

    @property
    def target_tokens(self) -> int:
        """Entries per target block, the largest area a block can have, in patches."""
        return max(self._block_sizes())

    def __call__(self, key: PRNGKeyArray, images: Shaped[Array, "b h w c"]) -> BlockMasks:
        """Masks for a batch of raw images; their pixels matter only if brightness counts."""
        target_key, context_key, token_key = jax.random.split(key, 3)
        batch = images.shape[0]
        flat = jnp.ones((batch, self.grid**2))
        signal = flat
        if self.brightness_biased or self.targets_biased:
            signal = patch_signal(images, grid=self.grid)
            # A floor well below any galaxy keeps the logarithm finite and a blank image uniform.
            signal += 1e-3 * jnp.mean(signal, axis=1, keepdims=True) + 1e-12
            signal /= jnp.max(signal, axis=1, keepdims=True)
        targets, valid = self._targets(target_key, batch, signal if self.targets_biased else None)
        hidden = _membership(targets, valid, self.grid**2)
        weights = signal if self.brightness_biased else flat
        block = self._context_block(context_key, weights)
        wanted = block & ~hidden
        left = jnp.sum(wanted, axis=1, keepdims=True)
        if self.sampling == "ijepa":
            left = jnp.min(left)
            preference = -jnp.arange(self.grid**2) / self.grid**2
        else:
            preference = jnp.log(weights) + jax.random.gumbel(token_key, weights.shape)
        priority = _CLASS * (wanted.astype(jnp.float32) + ~hidden) + preference
        _, context = jax.lax.top_k(priority, self.context_tokens)
        rank = jnp.arange(self.context_tokens)
        context_valid = rank < jnp.maximum(left, self.min_context)
        context_valid = jnp.broadcast_to(context_valid, context.shape)
        shown = _membership(context[:, None], context_valid[:, None], self.grid**2)
        valid &= ~jax.vmap(jnp.take)(shown, targets)
        return BlockMasks(context, context_valid, targets, valid)

    def _targets(self, key, batch, weights):
        """Indices [b blocks target_tokens] of the target blocks, and their validity."""
        size_key, place_key = jax.random.split(key)
        shape = (batch, self.num_targets)
        height, width = self._sizes(size_key, shape, self.target_scale, self.target_aspect)
        top, left = self._corners(place_key, weights, height, width)
        top, left, height, width = (x[..., None] for x in (top, left, height, width))
        i = jnp.arange(self.target_tokens)
        valid = i < height * width
        i = jnp.where(valid, i, 0)
        return (top + i // width) * self.grid + left + i % width, valid

    def _context_block(self, key, weights):
        """The patches [b n] of the context's block."""
        size_key, place_key = jax.random.split(key)
        shape = (len(weights), 1)
        height, width = self._sizes(size_key, shape, self.context_scale, self.context_aspect)
        uniform = self.sampling == "ijepa" and not self.brightness_biased
        top, left = self._corners(place_key, None if uniform else weights, height, width)
        row, column = jnp.divmod(jnp.arange(self.grid**2), self.grid)
        inside = (row >= top) & (row < top + height)
        return inside & (column >= left) & (column < left + width)

    def _corners(self, key, weights, height, width):
        """Top and left of blocks [b k]: anywhere, or centred by weight and moved into the grid."""
        if weights is None:
            room = self.grid + (self.sampling == "independent")  # of the border, see the top
            place = jax.random.uniform(key, (2, *height.shape))
            top, left = place[0] * (room - height), place[1] * (room - width)
            return jnp.floor(top).astype(jnp.int32), jnp.floor(left).astype(jnp.int32)
        chances = jnp.log(weights)[:, None]
        centre = jax.random.categorical(key, chances, shape=height.shape)
        top = jnp.clip(centre // self.grid - height // 2, 0, self.grid - height)
        return top, jnp.clip(centre % self.grid - width // 2, 0, self.grid - width)

    def _sizes(self, key, shape, scale, aspect):
        """Height and width in patches of blocks of that shape, drawn for each or for all."""
        area_key, aspect_key = jax.random.split(key)
        if self.sampling == "ijepa":
            area = ratio = jnp.broadcast_to(jax.random.uniform(area_key), shape)
        else:
            area = jax.random.uniform(area_key, shape)
            ratio = jax.random.uniform(aspect_key, shape)
        return self._sides(_between(scale, area), _between(aspect, ratio), jnp)

    def _sides(self, area, aspect, xp):
        """Height and width in patches of blocks of a fractional area and aspect, within limits."""
        patches, longest = area * self.grid**2, self.grid
        if self.sampling == "ijepa":
            patches, longest = xp.floor(patches), self.grid - 1
        height = xp.round(xp.sqrt(patches * aspect)).astype(xp.int32)
        width = xp.round(xp.sqrt(patches / aspect)).astype(xp.int32)
        return xp.clip(height, 1, longest), xp.clip(width, 1, longest)

    def _block_sizes(self):
        """The areas in patches that target blocks can have, from a fine table of draws."""
        draws = np.linspace(0.0, 1.0, 401)
        other = draws if self.sampling == "ijepa" else draws[:, None]
        height, width = self._sides(
            _between(self.target_scale, draws), _between(self.target_aspect, other), np
        )
        return tuple(np.unique(height * width).tolist())


def patch_signal(images: Shaped[Array, "b h w c"], *, grid: int) -> Float[Array, "b {grid*grid}"]:
    """Background-subtracted signal per patch, summed over bands, in image units, never negative.

    The background is each band's median patch; a patch is averaged before its negative part is
    cut, so that the noise of its pixels cancels. A black sky is dark: give raw fluxes or counts,
    not values that were centred or mapped to [-1, 1].

    Raises:
        UserError: The image's sides are not multiples of `grid`.
    """
    batch, height, width, bands = images.shape
    if height % grid or width % grid:
        raise UserError(f"images of {height}x{width} pixels do not divide into {grid}x{grid}")
    blocks = images.astype(jnp.float32).reshape(
        batch, grid, height // grid, grid, width // grid, bands
    )
    patches = jnp.mean(blocks, axis=(2, 4)).reshape(batch, grid * grid, bands)
    background = jnp.median(patches, axis=1, keepdims=True)
    return jnp.sum(jnp.maximum(patches - background, 0.0), axis=2)


def _between(limits, fraction):
    return limits[0] + fraction * (limits[1] - limits[0])


def _membership(index, valid, count):
    """Whether each of `count` patches is among the valid indices [b k n] of a sample."""
    batch = index.shape[0]
    sample = jnp.arange(batch)[:, None, None]
    return jnp.zeros((batch, count), bool).at[sample, index].max(valid)
