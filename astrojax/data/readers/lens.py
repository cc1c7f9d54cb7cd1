# SPDX-License-Identifier: Apache-2.0
"""Simulated strong lenses as a data source: an image of each, with the eight parameters.

A method that wants pairs needs only the parameters, and draws the images itself inside its step
(`astrojax.simulate.lens.Simulator.pair`).
"""

import jax
import numpy as np
from jaxtyping import Int

from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.errors import UserError
from astrojax.simulate.lens import simulator as simulator


def load(
    *,
    count: int,
    validation: int,
    test: int,
    seed: int = 0,
    population: dict,
    observation: dict,
    psfs: str | None = None,
    stamps: str | None = None,
) -> dict[str, ArraySource]:
    """Simulates lenses; the first become "train", then "validation", then "test".

    Columns are `id`, `image` [h w 1] of maximum 1, and the eight of `Lens` (angles in arcsec).

    Args:
        count: Number of lenses in all.
        validation: Number of validation lenses.
        test: Number of test lenses.
        seed: Lens i is a function of (seed, i) alone.
        population: The keys of `simulate.lens_scene.Population`.
        observation: The keys of `simulate.lens_scene.Observation`.
        psfs: A `.npy` file of PSFs [n p p], or None for analytic ones.
        stamps: A `.npy` file of source galaxies [m s s], or None.

    Raises:
        UserError: There are not enough lenses to hold out, or as `simulate.lens.build` says.
    """
    if validation + test >= count:
        raise UserError(
            f"config keys 'data.validation' and 'data.test' hold out {validation + test} of "
            f"{count} lenses, which leaves none to train on"
        )
    sim = simulator.build(population=population, observation=observation, psfs=psfs, stamps=stamps)
    columns = simulate(sim, seed, np.arange(count))
    info = DataInfo(
        bands=("lens",),
        image_size=sim.observation.stamp,
        pixel_scale=sim.observation.pixel_scale,
        unit="arbitrary",
    )
    train = count - validation - test
    edges = {
        "train": (0, train),
        "validation": (train, count - test),
        "test": (count - test, count),
    }
    return {
        split: ArraySource({name: v[low:high] for name, v in columns.items()}, info)
        for split, (low, high) in edges.items()
        if high > low
    }


def simulate(
    sim: simulator.Simulator, seed: int, indices: Int[np.ndarray, " n"], *, pairs: bool = False
) -> dict[str, np.ndarray]:
    """Lenses and an image of each, lens i being a function of (seed, i) alone.

    Args:
        sim: What to draw.
        seed: Of the whole set.
        indices: Which lenses.
        pairs: Whether `image` holds two images of each lens [n 2 h w 1] or one [n h w 1].
    """
    size = 32 if jax.default_backend() == "cpu" else 512
    parts = []
    for start in range(0, len(indices), size):
        chunk = np.asarray(indices[start : start + size], np.int32)
        padded = np.pad(chunk, (0, size - len(chunk)))
        lens, image = _chunk(sim, np.uint32(seed), padded, pairs)
        columns = {"image": image, **lens._asdict()}
        parts.append({name: np.asarray(v)[: len(chunk)] for name, v in columns.items()})
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {"id": np.asarray(indices, np.int64), **joined}


@jax.jit(static_argnames="pairs")
def _chunk(sim: simulator.Simulator, seed, indices, pairs: bool):
    def one(index):
        lens_key, image_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), index))
        lens = sim.draw_lens(lens_key)
        return lens, (sim.pair if pairs else sim.image)(image_key, lens)

    return jax.vmap(one)(indices)
