# SPDX-License-Identifier: Apache-2.0
"""The oracle's posterior is fair and informative."""

import numpy as np

from astrojax.simulate.survey import template_fitting
from astrojax.simulate.survey.mock import CANDELS, simulate


def test_posterior_is_calibrated_and_sharper_than_the_prior():
    sample = simulate(11, range(192), survey=CANDELS, images=False)
    redshift = sample["redshift_true"]
    result = template_fitting.fit(
        sample["flux"], sample["flux_error"], sample["ebv"], survey=CANDELS, step=0.05, samples=96
    )
    assert result.density.shape == (192, 60)
    np.testing.assert_allclose(result.density.sum(1), 1.0, atol=1e-4)
    # Rank of the truth within its posterior is uniform: mean 0.5 +- 0.02, deviation 0.29.
    cell = np.minimum((redshift / 0.05).astype(int), 59)
    rank = np.cumsum(result.density, axis=1)[np.arange(192), cell]
    rank -= 0.5 * result.density[np.arange(192), cell]
    assert abs(rank.mean() - 0.5) < 0.08
    assert 0.22 < rank.std() < 0.34
    delta = (result.median - redshift) / (1 + redshift)
    guess = (np.median(redshift) - redshift) / (1 + redshift)
    assert np.median(np.abs(delta)) < 0.5 * np.median(np.abs(guess))
