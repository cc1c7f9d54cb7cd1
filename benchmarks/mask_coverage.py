# SPDX-License-Identifier: Apache-2.0
"""How often I-JEPA's masks cover the middle of a galaxy and its border, with and without bias.

python benchmarks/mask_coverage.py

On simulated galaxies, 14 x 14 patches, with the masks of `experiments/ijepa.py:paper` and both ways
to draw them: the fraction of images in which a patch of the middle (the 4 x 4 innermost) or of the
border (the outermost ring) is visible context, and the mean number of target blocks that hide it.
"""

import argparse
import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from astrojax.augment.block_masks import BlockSampler
from astrojax.config import plain
from astrojax.data.open import open_sources

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "ijepa.py"
GRID, PIXELS = 14, 84


def coverage(index, valid) -> np.ndarray:
    """The mean number of valid lists of an image that a patch is in, [grid grid]."""
    batch = len(index)
    count = jnp.zeros((batch, GRID**2)).at[jnp.arange(batch)[:, None], index].add(valid)
    return np.asarray(count.mean(0)).reshape(GRID, GRID)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--draws", type=int, default=40)
    args = parser.parse_args()
    spec = importlib.util.spec_from_file_location("ijepa_experiment", EXPERIMENT)
    experiment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(experiment)
    data = plain(experiment.get_config("").data) | {"count": 2 * args.images, "test": args.images}
    source = open_sources(data)["test"]
    start = (source.info.image_size - PIXELS) // 2
    middle = slice(start, start + PIXELS)
    images = jnp.stack([source[i]["image"][middle, middle] for i in range(args.images)])
    masks = plain(experiment.get_config("paper").method.masks)
    inner = slice(GRID // 2 - 2, GRID // 2 + 2)
    ring = np.pad(np.zeros((GRID - 2, GRID - 2), bool), 1, constant_values=True)
    print("sampling     bias     context: tokens  middle  border   targets: middle  border")
    for sampling in ("independent", "ijepa"):
        for bias, chosen in {
            "none": {},
            "context": {"brightness_biased": True},
            "targets": {"targets_biased": True},
        }.items():
            neither = {"brightness_biased": False, "targets_biased": False}
            sampler = BlockSampler(
                **{**masks, **neither, **chosen, "grid": GRID, "sampling": sampling}
            )
            draw = jax.jit(sampler.__call__)
            drawn = [draw(jax.random.key(i), images) for i in range(args.draws)]
            context = np.mean([coverage(m.context, m.context_valid) for m in drawn], axis=0)
            flat = (args.images, -1)
            hidden = [
                coverage(m.targets.reshape(flat), m.targets_valid.reshape(flat)) for m in drawn
            ]
            targets = np.mean(hidden, axis=0)
            print(
                f"{sampling:12} {bias:8} {context.sum():15.1f} {context[inner, inner].mean():7.2f}"
                f" {context[ring].mean():7.2f} {targets[inner, inner].mean():17.2f}"
                f" {targets[ring].mean():7.2f}"
            )


if __name__ == "__main__":
    main()
