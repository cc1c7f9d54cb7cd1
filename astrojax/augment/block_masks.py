# SPDX-License-Identifier: Apache-2.0
"""Block masks for joint-embedding prediction, per sample, jitted, with static shapes.

A mask is two lists of patch indices (raster order of the grid): what the context encoder sees and,
per block, what the predictor has to predict. Lists have a fixed length with a validity flag per
entry, so that a ViT gathers the visible tokens, encodes only these and masks the padding in its
attention; a padded entry holds a valid index and may be gathered.

Source: I-JEPA, Assran et al. 2023 (arXiv 2301.08243), whose released code differs in three points:
sizes there are shared by a batch, blocks never touch the last row and column, and index lists are
cut to the shortest of the batch, in raster order, which takes the context from the top.
"""

import dataclasses
from typing import NamedTuple

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
    stay uniform.

    Raises:
        UserError: The arguments leave no context, or a range is not (low, high).
    """

    grid: int
    num_targets: int
    target_scale: tuple[float, ...]
    target_aspect: tuple[float, ...]
    context_scale: tuple[float, ...]
    context_aspect: tuple[float, ...]
    context_tokens: int
    min_context: int
    brightness_biased: bool

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
        sizes = _block_sizes(self.grid, self.target_scale, self.target_aspect)
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
        return max(_block_sizes(self.grid, self.target_scale, self.target_aspect))

    def __call__(self, key: PRNGKeyArray, images: Shaped[Array, "b h w c"]) -> BlockMasks:
        """Masks for a batch of raw images; their pixels matter only if brightness counts."""
        target_key, context_key, token_key = jax.random.split(key, 3)
        batch = images.shape[0]
        if self.brightness_biased:
            weights = patch_signal(images, grid=self.grid)
            # A floor well below any galaxy keeps the logarithm finite and a blank image uniform.
            weights += 1e-3 * jnp.mean(weights, axis=1, keepdims=True) + 1e-12
            weights /= jnp.max(weights, axis=1, keepdims=True)
        else:
            weights = jnp.ones((batch, self.grid**2))
        targets, valid = self._targets(target_key, batch)
        hidden = _membership(targets, valid, self.grid**2)
        block = self._context_block(context_key, weights)
        preference = jnp.log(weights) + jax.random.gumbel(token_key, weights.shape)
        wanted = block & ~hidden
        priority = _CLASS * (wanted.astype(jnp.float32) + ~hidden) + preference
        _, context = jax.lax.top_k(priority, self.context_tokens)
        rank = jnp.arange(self.context_tokens)
        left = jnp.sum(wanted, axis=1, keepdims=True)
        context_valid = rank < jnp.maximum(left, self.min_context)
        shown = _membership(context[:, None], context_valid[:, None], self.grid**2)
        valid &= ~jax.vmap(jnp.take)(shown, targets)
        return BlockMasks(context, context_valid, targets, valid)

    def _targets(self, key, batch):
        """Indices [b blocks target_tokens] of uniformly placed blocks, and their validity."""
        size_key, place_key = jax.random.split(key)
        shape = (batch, self.num_targets)
        height, width = _draw_sizes(
            size_key, shape, self.grid, self.target_scale, self.target_aspect
        )
        place = jax.random.uniform(place_key, (2, *shape))
        top = jnp.floor(place[0] * (self.grid - height + 1)).astype(jnp.int32)[..., None]
        left = jnp.floor(place[1] * (self.grid - width + 1)).astype(jnp.int32)[..., None]
        height, width = height[..., None], width[..., None]
        i = jnp.arange(self.target_tokens)
        valid = i < height * width
        i = jnp.where(valid, i, 0)
        return (top + i // width) * self.grid + left + i % width, valid

    def _context_block(self, key, weights):
        """The patches [b n] of a block centred on a patch drawn by weight, moved into the grid."""
        size_key, centre_key = jax.random.split(key)
        batch = weights.shape[:1]
        height, width = _draw_sizes(
            size_key, batch, self.grid, self.context_scale, self.context_aspect
        )
        centre = jax.random.categorical(centre_key, jnp.log(weights))
        top = jnp.clip(centre // self.grid - height // 2, 0, self.grid - height)[:, None]
        left = jnp.clip(centre % self.grid - width // 2, 0, self.grid - width)[:, None]
        row, column = jnp.divmod(jnp.arange(self.grid**2), self.grid)
        inside = (row >= top) & (row < top + height[:, None])
        return inside & (column >= left) & (column < left + width[:, None])


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


def _sides(grid, area, aspect, xp):
    """Height and width in patches of blocks of a fractional area and aspect, within the grid."""
    height = xp.round(xp.sqrt(area * aspect) * grid).astype(xp.int32)
    width = xp.round(xp.sqrt(area / aspect) * grid).astype(xp.int32)
    return xp.clip(height, 1, grid), xp.clip(width, 1, grid)


def _draw_sizes(key, shape, grid, scale, aspect):
    area_key, aspect_key = jax.random.split(key)
    area = jax.random.uniform(area_key, shape, minval=scale[0], maxval=scale[1])
    ratio = jax.random.uniform(aspect_key, shape, minval=aspect[0], maxval=aspect[1])
    return _sides(grid, area, ratio, jnp)


def _block_sizes(grid, scale, aspect):
    """The areas in patches that blocks can have, from a fine table of areas and aspects."""
    area, ratio = np.linspace(*scale, 401)[:, None], np.linspace(*aspect, 401)
    height, width = _sides(grid, area, ratio, np)
    return tuple(np.unique(height * width).tolist())


def _membership(index, valid, count):
    """Whether each of `count` patches is among the valid indices [b k n] of a sample."""
    batch = index.shape[0]
    sample = jnp.arange(batch)[:, None, None]
    return jnp.zeros((batch, count), bool).at[sample, index].max(valid)
