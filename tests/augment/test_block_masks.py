# SPDX-License-Identifier: Apache-2.0
"""Block masks: what the paper's text says of them, on every sample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astrojax.augment import block_masks
from astrojax.errors import UserError

PAPER = {
    "grid": 14,
    "sampling": "independent",
    "num_targets": 4,
    "target_scale": (0.15, 0.2),
    "target_aspect": (0.75, 1.5),
    "context_scale": (0.85, 1.0),
    "context_aspect": (1.0, 1.0),
    "context_tokens": 120,
    "min_context": 10,
    "brightness_biased": False,
    "targets_biased": False,
}
# The same on a small grid, where four targets can cover nearly everything.
SMALL = {**PAPER, "grid": 8, "context_tokens": 32, "min_context": 20}
BATCH = 1000


def draw(settings, images=None, key=0):
    sampler = block_masks.BlockSampler(**settings)
    images = jnp.zeros((BATCH, sampler.grid, sampler.grid, 1)) if images is None else images
    out = jax.jit(sampler.__call__)(jax.random.key(key), images)
    return block_masks.BlockMasks(*map(np.asarray, out)), sampler


def coverage(index, valid, count):
    """How often each patch of each sample is among the valid indices."""
    out = np.zeros((len(index), count), int)
    for n, (row, ok) in enumerate(zip(index, valid, strict=True)):
        np.add.at(out[n], row[ok], 1)
    return out


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("settings", [PAPER, SMALL])
def test_no_overlap_and_a_context_on_every_sample(settings, biased):
    settings = {**settings, "brightness_biased": biased}
    count = settings["grid"] ** 2
    side = settings["grid"] * 2
    images = jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, side, side, 1)))
    out, sampler = draw(settings, images)
    assert out.context.shape == (BATCH, settings["context_tokens"])
    assert out.targets.shape == (BATCH, 4, sampler.target_tokens)
    assert 0 <= out.context.min() and out.context.max() < count
    assert 0 <= out.targets.min() and out.targets.max() < count
    context = coverage(out.context, out.context_valid, count)
    targets = coverage(out.targets, out.targets_valid, count)
    assert context.max() == 1  # a token is seen once
    assert ((context > 0) & (targets > 0)).sum() == 0
    assert context.sum(1).min() >= settings["min_context"]
    assert out.targets_valid.any(2).all()  # every block has something to predict


def blocks(out, grid):
    """Height, width, top and left of the target blocks that lost no patch."""
    rows, columns = np.divmod(out.targets, grid)
    keep = out.targets_valid
    top, left = np.where(keep, rows, grid).min(2), np.where(keep, columns, grid).min(2)
    height = np.where(keep, rows, -1).max(2) - top + 1
    width = np.where(keep, columns, -1).max(2) - left + 1
    whole = height * width == keep.sum(2)
    return height[whole], width[whole], top[whole], left[whole]


def test_target_blocks_have_the_paper_s_sizes():
    """Full rectangles whose sizes are distributed as rounded draws of area and aspect."""
    out, _ = draw(PAPER)
    height, width, _, _ = blocks(out, 14)
    assert len(height) > 0.999 * 4 * BATCH
    rng = np.random.default_rng(0)
    area, aspect = rng.uniform(0.15, 0.2, 200_000) * 196, rng.uniform(0.75, 1.5, 200_000)
    want = np.round(np.sqrt(area * aspect)) * 100 + np.round(np.sqrt(area / aspect))
    got = height * 100 + width
    for size in np.union1d(want, got):
        # A frequency from 4000 blocks scatters by at most 0.0079; four of these.
        assert abs((got == size).mean() - (want == size).mean()) < 0.032, size
    # Rounding of sides moves the mean area by less than a patch in 34.
    assert abs((height * width).mean() / 196 - 0.175) < 0.005


def test_target_blocks_are_placed_uniformly_up_to_the_border():
    out, _ = draw(PAPER)
    height, width, top, left = blocks(out, 14)
    for start, size in ((top, height), (left, width)):
        for side in np.unique(size):
            chosen = start[size == side]
            if len(chosen) > 400:
                frequency = np.bincount(chosen, minlength=15 - side) / len(chosen)
                expected = 1 / (15 - side)
                scatter = np.sqrt(expected / len(chosen))
                assert np.abs(frequency - expected).max() < 4.5 * scatter


def test_context_is_one_block_less_the_targets():
    """With room for all tokens, what is seen is exactly what the block leaves."""
    settings = {**PAPER, "context_tokens": 196, "context_scale": (0.3, 0.4)}
    out, _ = draw({**settings, "min_context": 1})
    hidden = coverage(out.targets, out.targets_valid, 196) > 0
    seen = coverage(out.context, out.context_valid, 196).reshape(-1, 14, 14)
    for n in range(BATCH):
        rows, columns = np.nonzero(seen[n].any(1))[0], np.nonzero(seen[n].any(0))[0]
        box = np.zeros((14, 14), int)
        box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = 1
        np.testing.assert_array_equal(seen[n], box * ~hidden[n].reshape(14, 14))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 <= 9  # sqrt(0.4) 14 = 8.9


def test_paper_s_context_share():
    """A context of 0.85 to 1 of the area less four targets: about 0.45 of the patches."""
    out, _ = draw({**PAPER, "context_tokens": 196})
    share = out.context_valid.mean()
    assert 0.4 < share < 0.5
    kept, _ = draw({**PAPER, "context_tokens": 60})
    assert kept.context_valid.sum(1).max() == 60
    # Subsampled tokens are not the first ones in raster order: top and bottom are seen alike.
    row = coverage(kept.context, kept.context_valid, 196).reshape(-1, 14, 14).mean((0, 2))
    # A row's mean over 1000 samples that see some 0.3 of it in a few runs scatters by 0.013.
    np.testing.assert_allclose(row, row[::-1], atol=0.06)


def galaxies(black_sky):
    """A blob at a random place in each image, over a noisy sky or a black one."""
    rng = np.random.default_rng(1)
    centre = rng.uniform(12, 44, (BATCH, 2))
    y, x = np.indices((56, 56))
    radius = (y - centre[:, 0, None, None]) ** 2 + (x - centre[:, 1, None, None]) ** 2
    image = 10 * np.exp(-radius / (2 * 4.0**2))
    image += 0.0 if black_sky else 100 + rng.normal(size=image.shape)
    patch = (centre / 4).astype(int)
    return jnp.asarray(image[..., None], jnp.float32), patch


@pytest.mark.parametrize("black_sky", [False, True])
def test_context_is_drawn_to_the_galaxy_and_targets_are_not(black_sky):
    images, _ = galaxies(black_sky)
    settings = {**PAPER, "context_scale": (0.2, 0.3), "context_tokens": 30}
    signal = np.asarray(block_masks.patch_signal(images, grid=14))
    signal = signal / signal.sum(1, keepdims=True)

    def share(out, which):
        index, valid = getattr(out, which), getattr(out, f"{which}_valid")
        seen = coverage(index, valid, 196) > 0
        return (signal * seen).sum(1).mean() / seen.mean()

    uniform, _ = draw(settings, images)
    biased, _ = draw({**settings, "brightness_biased": True}, images)
    # Signal per visible patch, relative to a patch anywhere: 1 without bias, up to edge effects.
    assert share(biased, "context") > 1.8 * share(uniform, "context")
    assert share(biased, "context") > 2.0
    # Targets lose no more than the patches that an empty context takes back.
    assert abs(share(biased, "targets") / share(uniform, "targets") - 1) < 0.05


def test_signal_is_background_subtracted():
    images, patch = galaxies(black_sky=False)
    signal = np.asarray(block_masks.patch_signal(images, grid=14)).reshape(-1, 14, 14)
    peak = np.stack(np.unravel_index(signal.reshape(BATCH, -1).argmax(1), (14, 14)), 1)
    assert np.abs(peak - patch).max() <= 1
    # The sky of 100 is gone: what is left of it is the noise of 16 averaged pixels, cut at 0.
    assert np.median(signal) < 0.2
    brighter = np.asarray(block_masks.patch_signal(images + 1000.0, grid=14)).reshape(signal.shape)
    np.testing.assert_allclose(brighter, signal, atol=2e-3)  # float32 spacing at 1100: 1.2e-4


def test_blank_images_are_masked_as_without_bias():
    blank = jnp.full((BATCH, 28, 28, 1), 7.0)
    out, _ = draw({**PAPER, "brightness_biased": True, "context_tokens": 30}, blank)
    frequency = coverage(out.context, out.context_valid, 196).mean(0)
    assert frequency.max() < 4 * np.median(frequency)


def test_keys_repeat_and_samples_differ():
    first, second, other = draw(PAPER)[0], draw(PAPER)[0], draw(PAPER, key=1)[0]
    np.testing.assert_array_equal(first.targets, second.targets)
    assert (first.targets[0] != first.targets[1]).any()
    assert (first.targets != other.targets).any()


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_scale": (0.9, 1.0)},
        {"num_targets": 8},
        {"num_targets": 0},
        {"min_context": 0},
        {"min_context": 121},
        {"context_tokens": 197},
        {"context_scale": (0.85, 1.2)},
        {"target_aspect": (1.5, 0.75)},
    ],
)
def test_masks_that_leave_no_context_are_refused(wrong):
    with pytest.raises(UserError):
        block_masks.BlockSampler(**{**PAPER, **wrong})


def test_grid_has_to_divide_the_image():
    with pytest.raises(UserError, match="30x30"):
        block_masks.patch_signal(jnp.zeros((1, 30, 30, 1)), grid=14)
