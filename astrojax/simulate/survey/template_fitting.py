# SPDX-License-Identifier: Apache-2.0
"""What photometry alone can tell of a redshift: the posterior under the simulator's own prior.

The oracle knows what no astronomer does: the templates, how they are mixed, the dust law, the
errors, and the distributions that redshift, spectrum and dust are drawn from. What it gets wrong,
catalogue fluxes do not hold; what a network does better, it reads off the pixels. It fits galaxies,
and of the surveys here only the field's (`CANDELS`), whose prior it integrates.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from astrojax.simulate.survey import population as pop
from astrojax.simulate.survey.draw import FIELD_REDSHIFT
from astrojax.simulate.survey.mock import Survey
from astrojax.simulate.survey.sed import load_table

_CHUNK = 16
_MAGNITUDE_STEP = 0.5  # the prior of spectra is taken to be constant within it


class Posterior(NamedTuple):
    """Posterior of the redshift of each object."""

    mean: Float[np.ndarray, "n"]
    median: Float[np.ndarray, "n"]
    redshift: Float[np.ndarray, "k"]  # grid
    density: Float[np.ndarray, "n k"]  # sums to 1 over the grid


def _spread(count: int) -> np.ndarray:
    """Evenly spread points of the unit cube [count, 4]: a rank-1 lattice (Roberts' R4 sequence)."""
    root = 1.1673039782614187  # of x^5 = x + 1
    steps = root ** -np.arange(1.0, 5.0)
    return ((np.arange(count)[:, None] * steps + 0.5) % 1.0).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("survey", "samples"))
def _models(magnitude: Array, redshift: Array, survey: Survey, samples: int):
    """Fluxes [k m c] of the prior's spectra at each redshift, 1 in the reference band."""
    table = load_table(survey.table, survey.bands)

    def one(z, u):
        flux = sum(pop.spectrum_flux(table, z, pop.draw_spectrum(u, z, magnitude)))
        return flux / flux[survey.reference]

    by_sample = jax.vmap(one, in_axes=(None, 0))
    return jax.vmap(by_sample, in_axes=(0, None))(redshift, jnp.asarray(_spread(samples)))


@jax.jit
def _posterior(models: Array, prior: Array, flux: Array, error: Array) -> Array:
    """Density [n k] over redshift, the amplitude of each model integrated out (flat prior)."""
    k, m, c = models.shape

    def one(flux, error, prior):
        weight = 1 / error**2
        cross = models.reshape(-1, c) @ (flux * weight)
        square = models.reshape(-1, c) ** 2 @ weight
        best = jnp.maximum(cross, 0.0) / square
        log = 0.5 * best * cross - 0.5 * jnp.log(square)
        per_redshift = jax.nn.logsumexp(log.reshape(k, m), axis=1)
        return jax.nn.softmax(per_redshift + prior)

    return jax.vmap(one)(flux, error, prior)


def fit(
    flux: Float[Array, "n c"] | np.ndarray,
    flux_error: Float[Array, "n c"] | np.ndarray,
    ebv: Float[Array, "n"] | np.ndarray,
    *,
    survey: Survey,
    step: float = 0.01,
    samples: int = 1024,
) -> Posterior:
    """Posterior of the redshift given catalogue fluxes, type, mix and dust integrated out.

    Args:
        flux: catalogue fluxes, reddened, microjansky, as `simulate` gives them.
        flux_error: their errors.
        ebv: E(B-V) of the Milky Way towards each object.
        survey: whose objects they are.
        step: of the redshift grid.
        samples: points of the prior over spectra at each redshift; with 8192 NMAD and outlier
            fraction of 600 objects move by less than 0.001.

    Returns:
        The posterior's mean and median are the estimates to quote; it is fair in the sense that
        the true redshift is a draw from it.
    """
    flux, flux_error = np.asarray(flux, np.float32), np.asarray(flux_error, np.float32)
    light = 10 ** (0.4 * np.asarray(ebv, np.float32)[:, None] * np.array(survey.extinction))
    flux, flux_error = (flux * light).astype(np.float32), (flux_error * light).astype(np.float32)
    redshift = jnp.arange(0.5 * step, FIELD_REDSHIFT, step)
    reference = np.maximum(flux[:, survey.reference], 1e-4)
    magnitude = np.clip(survey.zero_point - 2.5 * np.log10(reference), survey.bright, survey.faint)
    edges = jnp.arange(len(redshift) + 1) * step
    share = jax.vmap(lambda m: pop.redshift_cdf(edges, m))(jnp.asarray(magnitude, jnp.float32))
    prior = jnp.log(jnp.diff(share, axis=1) + 1e-12)
    density = np.zeros((len(flux), len(redshift)), np.float32)
    node = np.round(magnitude / _MAGNITUDE_STEP).astype(int)
    for value in np.unique(node):
        models = _models(jnp.float32(value * _MAGNITUDE_STEP), redshift, survey, samples)
        rows = np.flatnonzero(node == value)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            padded = np.resize(part, _CHUNK)
            found = _posterior(models, prior[padded], flux[padded], flux_error[padded])
            density[part] = np.asarray(found)[: len(part)]
    below = np.cumsum(density, axis=1)
    median = np.asarray(redshift)[np.argmax(below >= 0.5, axis=1)]
    return Posterior(density @ np.asarray(redshift), median, np.asarray(redshift), density)
