# SPDX-License-Identifier: Apache-2.0
"""Robust scatter: the one place of the median absolute deviation."""

import numpy as np
from jaxtyping import Float, Shaped


def robust_sigma(
    values: Shaped[np.ndarray, "..."], axis: int | tuple[int, ...] | None = None
) -> Float[np.ndarray, "..."]:
    """Returns the standard deviation of a Gaussian with the same median absolute deviation.

    Args:
        values: Numbers; NaN does not count.
        axis: Over which axes; None for all.
    """
    from astropy.stats import mad_std

    return np.asarray(mad_std(values, axis=axis, ignore_nan=True))
