# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from astrojax import methods as methods
from astrojax.errors import UserError
from astrojax.evaluate import heatmaps

KEYS = {"examples": 6, "shown": 2, "num_masks": 3, "seed": 0}


@pytest.fixture(scope="module")
def model(experiment, world):
    section = experiment("ijepa", "smoke")["method"]
    section = {
        **section,
        "stretch": {"name": "asinh", "scale": (1.0,) * 4},
        "view": {**section["view"], "crop": 20},
        "masks": {**section["masks"], "context_tokens": 12, "min_context": 4},
    }
    return methods.build(section, info=world[1]["test"].info, rngs=nnx.Rngs(0))


def test_maps_by_hand(model, world):
    images = np.stack([world[1]["test"][i]["image"] for i in range(3)])
    maps = heatmaps.patch_maps(model, images, num_masks=3, seed=5)
    found, predict = {}, jax.jit(model.predict_patches)
    for i in range(3):
        key = jax.random.fold_in(jax.random.key(5), i)
        seen = jax.tree.map(np.asarray, predict(jnp.asarray(images), key))
        for i, k, n in np.argwhere(seen.masks.targets_valid):
            p, t = seen.predicted[i, k, n], seen.target[i, k, n]
            likeness = p @ t / np.linalg.norm(p) / np.linalg.norm(t)
            place = (i, seen.masks.targets[i, k, n])
            found.setdefault(place, []).append((likeness, np.mean((p - t) ** 2)))
    hidden = np.zeros(maps["cosine"].shape, bool)
    for place, values in found.items():
        hidden[place] = True
        # Compiled and eager float32 differ in the order of sums.
        np.testing.assert_allclose(
            maps["cosine"][place], np.mean([v[0] for v in values]), 1e-3, 1e-4
        )
        np.testing.assert_allclose(
            maps["squared_error"][place], np.mean([v[1] for v in values]), 1e-3
        )
    np.testing.assert_array_equal(np.isnan(maps["cosine"]), ~hidden)


def test_a_section_with_its_figure(model, world, tmp_path):
    section = heatmaps.evaluate(world[1], tmp_path, model, **KEYS)
    assert section.figures[0].path.stat().st_size > 10_000
    # An untrained network predicts from the place alone: any galaxy's target is as near.
    assert section.metrics["cosine"] == pytest.approx(section.metrics["cosine_other"], abs=0.05)
    assert np.isfinite(list(section.metrics.values())).all()


def test_only_methods_that_predict_patches(world, tmp_path):
    with pytest.raises(UserError, match="predicts patches"):
        heatmaps.evaluate(world[1], tmp_path, object(), **KEYS)
