# SPDX-License-Identifier: Apache-2.0
"""The embedded survey as a data source: simulated galaxies with the labels a survey would have."""

import numpy as np

from astrojax.data.pipeline import ArraySource, DataInfo
from astrojax.errors import UserError
from astrojax.simulate import survey as simulator

_COLUMNS = (
    "id", "image", "flux", "flux_error", "magnitude", "magnitude_error", "ebv", "label", "size",
    "axis_ratio", "type", "ra", "dec", "redshift_true",
)  # fmt: skip


def load(
    *,
    survey: str,
    count: int,
    stamp: int,
    labelled_fraction: float,
    held_out: str,
    validation: int,
    test: int,
    seed: int,
) -> dict[str, ArraySource]:
    """Simulates objects 0 ... count - 1 of a survey and splits them.

    `redshift` is known where an object was observed with a spectrograph, which favours bright
    ones, and NaN elsewhere; `redshift_true` is known for all and meant for evaluation alone.

    Args:
        survey: Name of a survey in `simulate.survey`.
        count: Number of objects in all.
        stamp: Side of the stamps in pixels.
        labelled_fraction: Fraction of the objects with a spectroscopic redshift.
        held_out: Which objects validation and test are drawn from: those with a "spectroscopic"
            redshift, as in PITA, or "all".
        validation: Number of validation objects.
        test: Number of test objects.
        seed: Seed of the sky, and of the split.

    Raises:
        UserError: There are not enough objects to hold out, or `held_out` is neither.
    """
    if held_out not in ("spectroscopic", "all"):
        raise UserError(f"config key 'data.held_out' is {held_out!r}; use 'spectroscopic' or 'all'")
    sky = simulator.named(survey)
    objects = simulator.simulate(seed, np.arange(count), survey=sky, stamp=stamp)
    order = np.argsort(objects["spectroscopic_rank"], kind="stable")
    observed = np.zeros(count, bool)
    observed[order[: round(labelled_fraction * count)]] = True
    columns = {name: objects[name] for name in _COLUMNS}
    redshift = np.where(observed, objects["redshift_true"], np.nan)
    columns["redshift"] = redshift.astype(np.float32)
    info = DataInfo(
        bands=sky.bands,
        image_size=stamp,
        pixel_scale=sky.pixel_scale,
        unit="microjansky",
        zero_point=sky.zero_point,
        noise=sky.noise,
        extinction=sky.extinction,
        classes=sky.classes,
    )
    pool = np.flatnonzero(observed) if held_out == "spectroscopic" else np.arange(count)
    if validation + test >= len(pool):
        raise UserError(
            f"config keys 'data.validation' and 'data.test' hold out {validation + test} of the "
            f"{len(pool)} {held_out} objects, which leaves none to train on"
        )
    shuffled = np.random.default_rng(seed).permutation(pool)
    parts = {"validation": shuffled[:validation], "test": shuffled[validation : validation + test]}
    held = np.concatenate(list(parts.values()))
    parts["train"] = np.setdiff1d(np.arange(count), held)
    return {
        split: ArraySource({k: v[np.sort(rows)] for k, v in columns.items()}, info)
        for split, rows in parts.items()
    }
