# SPDX-License-Identifier: Apache-2.0
"""Objects that a data set must not contain, such as labelled ones in a pool to pretrain on."""

import logging
from typing import Literal

import numpy as np

from astrojax.data import validate
from astrojax.data.sky import nearest
from astrojax.data.source import Source, Subset
from astrojax.errors import UserError


def exclude(
    *,
    sources: dict[str, Source],
    others: list[Source],
    radius_arcsec: float | None,
    found: Literal["drop", "error"],
) -> dict[str, Source]:
    """Leaves out what is also in other data, by id and by position on the sky.

    Args:
        sources: The data, by split.
        others: The splits of the other data; all of them count.
        radius_arcsec: Distance within which two entries are one object; None goes by id alone.
        found: "drop" such objects, or "error", which counts them.

    Raises:
        UserError: Such objects with "error", nothing left, or data without positions where a
            radius is set.
    """
    kept = {}
    for split, source in sources.items():
        shared = _shared(source, others, radius_arcsec)
        if shared.any() and found == "error":
            raise UserError(
                f"leakage: {int(shared.sum())} of {len(source)} {split} objects are also in the "
                "data of config key 'data.exclude.data' (by id or position); set found to 'drop'"
            )
        if shared.all():
            raise UserError(f"config key 'data.exclude' leaves no {split} objects")
        if shared.any():
            logging.info("%s: %d objects excluded", split, shared.sum())
            source = Subset(source, np.flatnonzero(~shared))
            source.info = source.info.leaving_out(
                {"objects that are also in the data of data.exclude": int(shared.sum())}
            )
        kept[split] = source
    return kept


def _shared(source: Source, others: list[Source], radius: float | None) -> np.ndarray:
    ids = np.asarray(source.column("id")).astype(str)
    shared = np.isin(ids, np.concatenate([np.asarray(o.column("id")).astype(str) for o in others]))
    if radius is not None:
        for one in (source, *others):
            validate.require(one, ("ra", "dec"), "config key 'data.exclude.radius_arcsec'")
        ra, dec = (np.concatenate([o.column(name) for o in others]) for name in ("ra", "dec"))
        shared |= nearest(source.column("ra"), source.column("dec"), ra, dec)[1] <= radius
    return shared
