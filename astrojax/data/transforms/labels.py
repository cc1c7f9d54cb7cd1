# SPDX-License-Identifier: Apache-2.0
"""Fewer labels than the data have, or the same ones more often."""

import numpy as np

from astrojax.data.source import Source, Subset, WithColumns, has_label
from astrojax.errors import UserError


def thin_labels(
    source: Source, *, column: str, count: int | None, drop_unlabelled: bool = False, seed: int = 0
) -> Source:
    """Returns a training split with fewer labels; smaller counts are subsets of larger ones.

    Args:
        source: The training split.
        column: Numbers (NaN is no label) or integer classes (negative is no label).
        count: Labels kept, chosen at random but for one of each class; None keeps all.
        drop_unlabelled: Whether examples without a label leave the split.
        seed: Seed of the choice.

    Raises:
        UserError: There is no such column, or it has fewer labels than asked for.
    """
    known = np.flatnonzero(_labelled(source, column, "data.labels.column"))
    values = np.array(source.column(column))
    classes = np.issubdtype(values.dtype, np.integer)
    wanted = len(known) if count is None else count
    if wanted > len(known):
        raise UserError(
            f"config key 'data.labels.count' is {wanted}; only {len(known)} training examples "
            f"have a label in {column!r}"
        )
    order = np.random.default_rng(seed).permutation(known)
    if classes:  # one of each class comes first, so that no class is lost to chance
        _, first = np.unique(values[order], return_index=True)
        order = np.concatenate([order[np.sort(first)], np.delete(order, first)])
    kept = order[:wanted]
    if drop_unlabelled:
        return Subset(source, np.sort(kept))
    thinned = np.full(
        values.shape, -1 if classes else np.nan, np.int64 if classes else values.dtype
    )
    thinned[kept] = values[kept]
    return WithColumns(source, {column: thinned})


def oversample(source: Source, *, column: str, times: int) -> Source:
    """Returns a training split in which every labelled example stands `times` times.

    What a batch shows of rare labels is set here, and not by their share in the survey.

    Args:
        source: The training split.
        column: Numbers (NaN is no label) or integer classes (negative is no label).
        times: 1 leaves the split as it is.

    Raises:
        UserError: There is no such column, or `times` is not positive.
    """
    if times < 1:
        raise UserError(f"config key 'data.oversample.times' is {times}; it has to be at least 1")
    known = np.flatnonzero(_labelled(source, column, "data.oversample.column"))
    positions = np.concatenate([np.arange(len(source)), np.tile(known, times - 1)])
    return Subset(source, np.sort(positions))


def _labelled(source: Source, column: str, key: str) -> np.ndarray:
    """Returns which examples have a label, [n]."""
    try:
        values = source.column(column)
    except KeyError:
        raise UserError(f"config key '{key}': the data have no {column!r}") from None
    if values.dtype.kind == "U":
        raise UserError(f"config key '{key}': {column!r} is text; name it as data.columns.label")
    return has_label(values)
