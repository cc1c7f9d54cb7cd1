# SPDX-License-Identifier: Apache-2.0
"""`sampling="ijepa"` against a naive twin of the authors' mask collator, statistically."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from astrojax.augment import block_masks

GRID, TARGETS = 14, 4
SETTINGS = {
    "grid": GRID,
    "sampling": "ijepa",
    "num_targets": TARGETS,
    "target_scale": (0.15, 0.2),
    "target_aspect": (0.75, 1.5),
    "context_scale": (0.85, 1.0),
    "context_aspect": (1.0, 1.0),
    "context_tokens": 169,
    "min_context": 10,
    "brightness_biased": False,
    "targets_biased": False,
}
BATCHES, BATCH = 400, 16


def naive_size(draw, scale, aspect):
    """`MaskCollator._sample_block_size`, of one number in [0, 1]."""
    patches = int(GRID * GRID * (scale[0] + draw * (scale[1] - scale[0])))
    ratio = aspect[0] + draw * (aspect[1] - aspect[0])
    height = int(round(math.sqrt(patches * ratio)))
    width = int(round(math.sqrt(patches / ratio)))
    return min(height, GRID - 1), min(width, GRID - 1)


def naive_context_sizes(rng, batch):
    """Visible patches of each image of a batch, before the cut to the smallest."""
    target = naive_size(rng.random(), SETTINGS["target_scale"], SETTINGS["target_aspect"])
    context = naive_size(rng.random(), SETTINGS["context_scale"], (1.0, 1.0))
    sizes = []
    for _ in range(batch):
        seen = np.zeros((GRID, GRID), bool)
        top, left = (rng.integers(0, GRID - side) for side in context)
        seen[top : top + context[0], left : left + context[1]] = True
        for _ in range(TARGETS):
            top, left = (rng.integers(0, GRID - side) for side in target)
            seen[top : top + target[0], left : left + target[1]] = False
        sizes.append(seen.sum())
    return sizes


@pytest.fixture(scope="module")
def drawn():
    """Masks of many batches: context [batches b n], targets [batches b k n]."""
    sampler = block_masks.BlockSampler(**SETTINGS)
    draw = jax.jit(jax.vmap(lambda key: sampler(key, jnp.zeros((BATCH, GRID, GRID, 1)))))
    keys = jax.random.split(jax.random.key(0), BATCHES)
    return block_masks.BlockMasks(*map(np.asarray, draw(keys)))


def test_shapes_are_the_authors_five_and_one_for_a_batch(drawn):
    rows, columns = np.divmod(drawn.targets, GRID)
    extent = [x.max(-1) - x.min(-1) + 1 for x in (rows, columns)]
    assert (drawn.targets_valid.sum(-1) == extent[0] * extent[1]).all()
    for x in extent:
        assert (x == x[:, :1, :1]).all()
    shapes = list(zip(extent[0][:, 0, 0].tolist(), extent[1][:, 0, 0].tolist(), strict=True))
    # The shape is a function of one uniform number: its frequencies are lengths of intervals.
    fine = [
        naive_size(u, SETTINGS["target_scale"], SETTINGS["target_aspect"])
        for u in (np.arange(50_000) + 0.5) / 50_000
    ]
    known = sorted(set(fine))
    assert known == [(5, 6), (6, 5), (6, 6), (7, 5), (8, 5)] and set(shapes) <= set(known)
    expected = [fine.count(s) / len(fine) * BATCHES for s in known]
    assert stats.chisquare([shapes.count(s) for s in known], expected).pvalue > 1e-3
    mean = sum(h * w * e for (h, w), e in zip(known, expected, strict=True)) / BATCHES
    assert mean == pytest.approx(33.4, abs=0.1)


def test_places_are_uniform_and_never_at_the_last_row_or_column(drawn):
    top = drawn.targets.min(-1) // GRID
    height = (drawn.targets // GRID).max(-1) - top + 1
    assert drawn.targets.max() // GRID == GRID - 2 and (drawn.targets % GRID).max() == GRID - 2
    for side in (5, 6, 7):
        found = np.bincount(top[height == side], minlength=GRID - side)
        assert stats.chisquare(found).pvalue > 1e-3  # one batch's blocks are independent


def test_contexts_are_as_large_as_the_authors_before_and_after_the_cut(drawn):
    rng = np.random.default_rng(1)
    theirs = np.array([naive_context_sizes(rng, BATCH) for _ in range(BATCHES)])
    hidden = np.zeros((BATCHES, BATCH, GRID * GRID), bool)
    np.put_along_axis(hidden, drawn.targets.reshape(BATCHES, BATCH, -1), True, axis=2)
    block = np.zeros((GRID, GRID), bool)
    block[: GRID - 1, : GRID - 1] = True  # of an area of 0.85 and more, in the top left corner
    ours = (~hidden & block.ravel()).sum(-1)
    kept = drawn.context_valid.sum(-1)
    np.testing.assert_array_equal(kept, np.broadcast_to(ours.min(1, keepdims=True), kept.shape))
    # Images of a batch share a shape: the error of a mean is that over batches.
    for a, b in ((ours.mean(1), theirs.mean(1)), (kept[:, 0], theirs.min(1))):
        error = math.hypot(a.std(), b.std()) / math.sqrt(BATCHES)
        assert abs(a.mean() - b.mean()) < 4 * error
        assert a.std() / b.std() == pytest.approx(1, abs=4 / math.sqrt(BATCHES))
    assert ours.std() / theirs.std() == pytest.approx(1, abs=0.05)


def test_the_context_is_cut_in_raster_order(drawn):
    for context, valid, targets in zip(*(x[0] for x in drawn[:3]), strict=True):
        visible = [
            i
            for i in range(GRID * (GRID - 1))
            if i % GRID < GRID - 1 and i not in set(targets.flat)
        ]
        np.testing.assert_array_equal(context[valid], visible[: valid.sum()])


def test_biased_targets_lie_on_the_galaxy():
    y, x = np.mgrid[:GRID, :GRID] - (GRID - 1) / 2
    images = jnp.asarray(np.tile(np.exp(-np.hypot(y, x))[None, ..., None], (300, 1, 1, 1)))
    centre = {}
    for biased in (False, True):
        sampler = block_masks.BlockSampler(**SETTINGS | {"targets_biased": biased})
        out = jax.jit(sampler.__call__)(jax.random.key(0), images)
        inside = np.isin(np.asarray(out.targets), [90, 91, 104, 105]) & np.asarray(
            out.targets_valid
        )
        centre[biased] = inside.any(-1).mean()
    assert centre[True] > centre[False] + 0.2
