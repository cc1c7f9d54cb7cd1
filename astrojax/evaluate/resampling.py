# SPDX-License-Identifier: Apache-2.0
"""Errors by the bootstrap: how much a number would change with another test set of this size."""

from collections.abc import Callable
from typing import Any

import numpy as np


def bootstrap(
    statistic: Callable[..., dict[str, float]], *arrays: Any, seed: int, n_bootstrap: int
) -> dict[str, float]:
    """Returns standard errors of a statistic of parallel arrays [n ...].

    Rows are drawn with replacement, the same rows from every array (Efron 1979). A draw in which a
    number is undefined (NaN) does not count for that number.

    Args:
        statistic: Maps the arrays to named numbers.
        *arrays: Arrays with one row per object.
        seed: Seed of the draws.
        n_bootstrap: Number of resamples.

    Returns:
        The standard deviation (ddof 1) of each number over the resamples.
    """
    arrays = tuple(np.asarray(a) for a in arrays)
    rng = np.random.default_rng(seed)
    size = len(arrays[0])
    results: dict[str, list[float]] = {}
    for _ in range(n_bootstrap):
        rows = rng.integers(0, size, size)
        for name, value in statistic(*(a[rows] for a in arrays)).items():
            results.setdefault(name, []).append(value)
    return {name: _spread(np.asarray(values)) for name, values in results.items()}


def with_bootstrap_errors(
    statistic: Callable[..., dict[str, float]], *arrays: Any, seed: int, n_bootstrap: int
) -> dict[str, float]:
    """Returns the statistic, each number `x` followed by its bootstrap error `x_error`."""
    values = statistic(*(np.asarray(a) for a in arrays))
    errors = bootstrap(statistic, *arrays, seed=seed, n_bootstrap=n_bootstrap)
    both: dict[str, float] = {}
    for name, value in values.items():
        both |= {name: value, f"{name}_error": errors[name]}
    return both


def _spread(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
