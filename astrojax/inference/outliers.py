# SPDX-License-Identifier: Apache-2.0
"""Anomaly scores of the objects of a table, in bounded memory."""

import numpy as np

from astrojax.errors import UserError
from astrojax.evaluate import anomaly
from astrojax.inference.search import Rows

METHOD = "predicted_anomaly_score"  # the score of a method that gives one
_BANK = 20_000  # objects that the others are compared with


def scores(rows: Rows, *, k: int, clean: bool, seed: int) -> dict[str, np.ndarray]:
    """Returns the scores of all objects [n]; NaN for those that are left out.

    Args:
        rows: The table.
        k: Neighbours of `knn_distance`.
        clean: Whether objects with `flag_edge` are left out.
        seed: Seed of the sample that objects are compared with.

    Raises:
        UserError: The table has too few objects.
    """
    flagged = clean and "flag_edge" in rows.names
    columns = ("embedding", "flag_edge") if flagged else ("embedding",)
    allowed = np.concatenate(
        [np.isfinite(block[0]).all(axis=1) & ~_edge(block) for block in rows.blocks(*columns)]
    )
    if allowed.sum() <= k:
        raise UserError(f"{rows.path} has {allowed.sum()} objects to compare: too few for -k {k}")
    order = np.random.default_rng(seed).permutation(np.flatnonzero(allowed))
    members = np.zeros(len(allowed), bool)
    members[order[:_BANK]] = True
    parts, start = [], 0
    for (block,) in rows.blocks("embedding"):
        parts.append(block[members[start : start + len(block)]])
        start += len(block)
    bank = np.concatenate(parts).astype(np.float32)
    gaussian = anomaly.gaussian(bank)
    score = {name: np.full(len(allowed), np.nan) for name in ("knn_distance", "mahalanobis")}
    start = 0
    for (block,) in rows.blocks("embedding"):
        here = slice(start, start + len(block))
        for own in (False, True):
            chosen = np.flatnonzero(allowed[here] & (members[here] == own))
            if len(chosen):
                asked = block[chosen].astype(np.float32)
                # The nearest neighbour of a member of the bank is itself, at distance 0.
                distance = anomaly.knn_distance(bank, asked, k=k + own) * (k + own) / k
                score["knn_distance"][start + chosen] = distance
                score["mahalanobis"][start + chosen] = gaussian(asked)
        start += len(block)
    if METHOD in rows.names:
        score["method"] = np.where(allowed, rows.column(METHOD).astype(float), np.nan)
    return score


def _edge(block: tuple[np.ndarray, ...]) -> np.ndarray:
    return block[1].astype(bool) if len(block) > 1 else np.zeros(len(block[0]), bool)
