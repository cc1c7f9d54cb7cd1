# SPDX-License-Identifier: Apache-2.0
"""Where a JEPA predicts well: cosine and squared error between prediction and target, by patch.

A patch's value is the average over the mask draws that hid it. Beside the mean cosine stands that
with another galaxy's target at the same place: equal numbers mean that predictions know the place
and not the galaxy, which is what a collapsed encoder shows (both near 1).
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Shaped

from astrojax.augment.block_masks import patch_signal
from astrojax.errors import UserError
from astrojax.evaluate import plots
from astrojax.evaluate.report import Figure, Section
from astrojax.methods.ijepa import cosine, squared_error
from astrojax.nn.layers import centre_crop

BRIGHT = 0.1  # part of an image's patches that counts as its galaxy in the numbers


def patch_maps(
    model: Any, images: Shaped[np.ndarray, "n h w c"], *, num_masks: int, seed: int
) -> dict[str, Float[np.ndarray, "n k"]]:
    """Returns values of every patch, averaged over the draws that hid it; NaN where none did.

    Args:
        model: A method with `predict_patches` (I-JEPA).
        images: Raw pixels, two galaxies or more.
        num_masks: Masks drawn.
        seed: Seed of the draws.

    Returns:
        `cosine` and `squared_error` between prediction and target, and `cosine_other`, the cosine
        with the next galaxy's target at the same place; patches row by row.
    """
    graph, state = nnx.split(model)

    @jax.jit
    def total(state: Any, images: Array, keys: Array) -> dict[str, Array]:
        bound = nnx.merge(graph, state)
        drawn = jax.lax.map(lambda key: _one_draw(bound, images, key), keys)
        return {name: values.sum(0) for name, values in drawn.items()}

    sums = total(state, jnp.asarray(images), _keys(seed, num_masks))
    sums = {name: np.asarray(values, np.float64) for name, values in sums.items()}
    hidden, hidden_both = sums.pop("hidden"), sums.pop("hidden_both")
    return {
        name: _ratio(values, hidden_both if name == "cosine_other" else hidden)
        for name, values in sums.items()
    }


def _keys(seed: int, num_masks: int) -> Array:
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(jnp.arange(num_masks))


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _one_draw(model: Any, images: Array, key: Array) -> dict[str, Array]:
    """Sums over the blocks of one draw, per patch, and how often a patch was hidden."""
    found = model.predict_patches(images, key)
    place, valid = found.masks.targets, found.masks.targets_valid
    batch, grid = place.shape[0], model.encoder.grid
    both = valid & jnp.roll(valid, -1, axis=0)  # the target blocks of a draw are the same for all
    other = cosine(found._replace(target=jnp.roll(found.target, -1, axis=0)))

    def spread(values: Array, counted: Array) -> Array:
        where = (jnp.arange(batch)[:, None, None], place)
        return jnp.zeros((batch, grid**2)).at[where].add(jnp.where(counted, values, 0.0))

    return {
        "cosine": spread(cosine(found), valid),
        "squared_error": spread(squared_error(found), valid),
        "cosine_other": spread(other, both),
        "hidden": spread(jnp.ones(place.shape), valid),
        "hidden_both": spread(jnp.ones(place.shape), both),
    }


def metrics(
    maps: dict[str, Float[np.ndarray, "n k"]], bright: Bool[np.ndarray, "n k"]
) -> dict[str, float]:
    """Means over hidden patches, and the squared error on galaxies and off them."""
    error = maps["squared_error"]
    return {
        **{name: float(np.nanmean(values)) for name, values in maps.items()},
        "squared_error_galaxy": float(np.nanmean(np.where(bright, error, np.nan))),
        "squared_error_sky": float(np.nanmean(np.where(bright, np.nan, error))),
    }


def evaluate(
    sources: dict[str, Any],
    out: Path,
    model: Any,
    *,
    examples: int = 128,
    shown: int = 6,
    num_masks: int = 32,
    seed: int = 0,
) -> Section:
    """Draws the maps of some test galaxies and averages them over more.

    Args:
        sources: Split -> data source; "test" is used.
        out: Folder for the figure.
        model: The trained method, one that predicts patches.
        examples: Galaxies behind the numbers, a random choice.
        shown: Galaxies in the figure.
        num_masks: Masks drawn.
        seed: Seed of the choice and of the masks.

    Raises:
        UserError: The method predicts no patches, or there are fewer than two test galaxies.
    """
    if not hasattr(model, "predict_patches"):
        raise UserError("evaluation 'heatmaps' needs a method that predicts patches, e.g. ijepa")
    source = sources.get("test")
    if source is None or min(len(source), examples) < 2:
        raise UserError("evaluation 'heatmaps' needs a test split, and two examples or more")
    rows = np.sort(np.random.default_rng(seed).permutation(len(source))[:examples])
    images = np.stack([np.asarray(source[int(row)]["image"]) for row in rows])
    maps = patch_maps(model, images, num_masks=num_masks, seed=seed)
    crop = centre_crop(jnp.asarray(images), model.crop)
    signal = np.asarray(patch_signal(crop, grid=model.encoder.grid))
    bright = signal >= np.quantile(signal, 1 - BRIGHT, axis=1, keepdims=True)
    numbers = metrics(maps, bright)
    path = heatmap_figure(model, images[:shown], maps, source.info, out / "heatmaps.png", seed)
    caption = (
        "Test galaxies; one mask draw (white: hidden and predicted, dark: neither seen nor "
        f"predicted); cosine and squared error of the prediction, averaged over {num_masks} draws; "
        "grey patches were never hidden."
    )
    text = "cosine_other: the cosine with another galaxy's target at the same place."
    return Section("heatmaps", numbers, [Figure(path, caption)], text)


def heatmap_figure(
    model: Any,
    images: Shaped[np.ndarray, "n h w c"],
    maps: dict[str, Float[np.ndarray, "m k"]],
    info: Any,
    path: Path,
    seed: int,
) -> Path:
    """One row per galaxy: picture, masks of the first draw, cosine map, squared-error map."""
    grid, count = model.encoder.grid, len(images)
    crop = np.asarray(centre_crop(jnp.asarray(images), model.crop)).astype(np.float32)
    pictures = plots.rgb(crop / (255.0 if images.dtype == np.uint8 else 1.0), info.bands, info.unit)
    # `rgb` puts the first row of what is not a display image at the bottom, as in FITS.
    turn = (lambda x: x) if info.unit == "display" else (lambda x: x[::-1])
    masks = jax.tree.map(np.asarray, jax.jit(model.draw)(images, _keys(seed, 1)[0]))
    canvas = plots.figure(8.6, 2.05 * count)
    cells = canvas.subplots(count, 4, squeeze=False)
    limits = {name: np.nanpercentile(maps[name][:count], (2, 98)) for name in _SHOWN}
    for row, (axes, picture) in enumerate(zip(cells, pictures, strict=True)):
        axes[0].imshow(picture)
        axes[1].imshow(_overlay(picture, _state(masks, row, grid), turn, model.crop // grid))
        for axis, name in zip(axes[2:], _SHOWN, strict=True):
            axis.set_facecolor("0.6")
            low, high = limits[name]
            shades = axis.imshow(
                turn(maps[name][row].reshape(grid, grid)), vmin=low, vmax=high, cmap="viridis"
            )
            canvas.colorbar(shades, ax=axis, extend="both")
        for axis, title in zip(axes, ("galaxy", "masks", *_SHOWN), strict=True):
            axis.set(xticks=[], yticks=[])
            if row == 0:
                axis.set_title(title.replace("_", " "), fontsize=9)
    return plots.save(canvas, path)


_SHOWN = ("cosine", "squared_error")


def _state(masks: Any, row: int, grid: int) -> np.ndarray:
    """0 neither, 1 seen, 2 predicted: [grid grid] for one image."""
    state = np.zeros(grid**2, np.int64)
    state[masks.context[row][masks.context_valid[row]]] = 1
    state[masks.targets[row][masks.targets_valid[row]]] = 2
    return state.reshape(grid, grid)


def _overlay(picture: np.ndarray, state: np.ndarray, turn: Any, side: int) -> np.ndarray:
    """Returns the picture where it is seen, white where predicted, dim where neither."""
    state = np.repeat(np.repeat(turn(state), side, 0), side, 1)[..., None]
    return np.where(state == 2, 1.0, np.where(state == 1, picture, 0.25 * picture))
