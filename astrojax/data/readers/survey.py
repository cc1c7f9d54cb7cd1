# SPDX-License-Identifier: Apache-2.0
"""The embedded survey as a data source: simulated on the spot, held in memory."""

import math
from typing import Literal

import numpy as np

from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.errors import UserError
from astrojax.simulate.survey.mock import Survey, named, simulate

# Each split draws its objects from here on, so its content does not depend on the others' sizes.
_FIRST = {"train": 0, "validation": 700_000_000, "test": 1_400_000_000}
_BLOCK = 1024


def load(
    *,
    survey: Literal["candels", "splus", "nearby"],
    count: int,
    validation: int,
    test: int,
    labelled_fraction: float,
    held_out: Literal["spectroscopic", "all"],
    max_magnitude_error: float | None = None,
    stamp: int,
    seed: int = 0,
) -> dict[str, ArraySource]:
    """Simulates a survey and splits it.

    Columns beside `image`: `redshift` (of the training set NaN where there is no spectrum, of the
    others known for all), `spectroscopic` (the `labelled_fraction` with spectra, biased to bright
    objects; a smaller fraction is a subset of a larger one) and all that
    `astrojax.simulate.survey.simulate` returns.

    Args:
        survey: "candels", "splus" or "nearby".
        count: number of training objects, labelled and not.
        validation: number of validation objects.
        test: number of test objects.
        labelled_fraction: share of the objects with a redshift, in [0, 1].
        held_out: what validation and test are: objects with a "spectroscopic" redshift, as in the
            PITA paper, so as bright as the training labels, or "all" objects.
        max_magnitude_error: keep only objects whose error is at most this in every band; None for
            any. Objects need a positive flux in every band in any case.
        stamp: side of the images in pixels.
        seed: of the survey.

    Raises:
        UserError: No such survey, a fraction outside [0, 1], another `held_out`, or next to
            nothing that passes.
    """
    if not 0 <= labelled_fraction <= 1:
        raise UserError(f"data.labelled_fraction is {labelled_fraction}, choose from 0 to 1")
    observed = named(survey)
    info = _info(observed, stamp)
    splits = {}
    for name, size in (("train", count), ("validation", validation), ("test", test)):
        if size:
            bright = name != "train" and held_out == "spectroscopic" and labelled_fraction > 0
            pool = math.ceil(size / labelled_fraction) if bright else size
            chosen = _select(observed, seed, _FIRST[name], pool, max_magnitude_error)
            if bright:
                ranks = simulate(seed, chosen, survey=observed, images=False)["spectroscopic_rank"]
                chosen = chosen[np.sort(np.argsort(ranks, kind="stable")[:size])]
            columns = simulate(seed, chosen, survey=observed, stamp=stamp)
            columns |= _labels(columns, labelled_fraction, hide=name == "train")
            splits[name] = ArraySource(columns, info)
    return splits


def _info(observed: Survey, stamp: int) -> DataInfo:
    return DataInfo(
        bands=observed.bands,
        image_size=stamp,
        pixel_scale=observed.pixel_scale,
        unit="microjansky",
        zero_point=observed.zero_point,
        noise=observed.noise,
        extinction=observed.extinction,
        classes=observed.classes,
    )


def _select(survey: Survey, seed: int, first: int, count: int, limit: float | None) -> np.ndarray:
    """Returns the first `count` indices from `first` on whose catalogue entry is complete."""
    chosen: list[np.ndarray] = []
    found = tried = 0
    while found < count:
        indices = np.arange(first + tried, first + tried + _BLOCK)
        columns = simulate(seed, indices, survey=survey, images=False)
        good = (columns["flux"] > 0).all(axis=1)
        if limit is not None:
            good &= (columns["magnitude_error"] <= limit).all(axis=1)
        chosen.append(indices[good])
        found, tried = found + int(good.sum()), tried + _BLOCK
        if tried >= 32 * _BLOCK and found < 0.001 * tried:
            raise UserError(
                f"only {found} of {tried} simulated objects have errors up to "
                f"data.max_magnitude_error = {limit} in every band: raise it"
            )
    return np.concatenate(chosen)[:count]


def _labels(columns: dict[str, np.ndarray], fraction: float, *, hide: bool) -> dict:
    rank = columns["spectroscopic_rank"]
    known = np.zeros(len(rank), bool)
    known[np.argsort(rank, kind="stable")[: round(fraction * len(rank))]] = True
    redshift = columns["redshift_true"].copy()
    if hide:
        redshift[~known] = np.nan
    return {"redshift": redshift, "spectroscopic": known}
