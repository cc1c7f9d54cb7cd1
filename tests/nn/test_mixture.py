# SPDX-License-Identifier: Apache-2.0
"""Gaussian mixtures against SciPy, against loops and against draws from themselves."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from astrojax import losses
from astrojax.errors import UserError
from astrojax.nn import mixture


@pytest.fixture(scope="module")
def densities():
    """Five mixtures of three, and a value of each."""
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), 5)
    means, sigmas = rng.uniform(0, 2, (5, 3)), rng.uniform(0.02, 0.4, (5, 3))
    return mixture.Mixture(weights, means, sigmas), rng.uniform(0, 2, 5)


def draw(found, size, rng):
    """Samples [n size] of each density."""
    picked = np.array([rng.choice(w.size, size, p=w) for w in found.weights])
    rows = np.arange(len(picked))[:, None]
    return rng.normal(found.means[rows, picked], found.sigmas[rows, picked])


def test_nll_against_a_loop_and_scipy(densities):
    found, x = densities
    naive = []
    for weights, means, sigmas, value in zip(*found, x, strict=True):
        total = 0.0
        for w, m, s in zip(weights, means, sigmas, strict=True):
            total += w * math.exp(-0.5 * ((value - m) / s) ** 2) / (s * math.sqrt(2 * math.pi))
        naive.append(-math.log(total))
    by_scipy = -np.log(
        (found.weights * stats.norm(found.means, found.sigmas).pdf(x[:, None])).sum(1)
    )
    logits = np.log(found.weights) + 3.0  # any constant: a softmax takes it off
    nll = losses.mixture_nll(*map(jnp.asarray, (logits, found.means, found.sigmas, x)))
    np.testing.assert_allclose(nll, naive, rtol=1e-4)  # float32, exponents up to some 100
    np.testing.assert_allclose(by_scipy, naive, rtol=1e-12)  # float64


def test_nll_and_gradient_are_finite_where_a_density_excludes_the_truth():
    def cost(logits, means, sigmas):
        return losses.mixture_nll(logits, means, sigmas, jnp.array([9.0])).sum()

    parts = (jnp.array([[0.0, -400.0]]), jnp.array([[0.1, 0.2]]), jnp.array([[1e-3, 1e-3]]))
    value, gradient = jax.value_and_grad(cost, argnums=(0, 1, 2))(*parts)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in gradient)


def test_unknown_targets_change_neither_loss_nor_gradient():
    output = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6)), jnp.float32)
    target, known = jnp.array([0.5, np.nan, 1.0, np.nan]), jnp.array([True, False, True, False])

    def cost(output):
        return mixture.loss(output, target, known, huber_delta=0.15)

    value, gradient = jax.value_and_grad(cost)(output)
    np.testing.assert_allclose(value, cost(output.at[1].set(7.0)), rtol=1e-6)
    assert np.isfinite(gradient).all() and not gradient[1].any() and gradient[0].all()
    none = mixture.loss(output, target * jnp.nan, known & False, huber_delta=0.15)
    assert float(none) == 0.0


def test_one_output_is_the_huber_loss():
    output, target = jnp.array([[0.5], [2.0]]), jnp.array([0.4, 1.0])
    value = mixture.loss(output, target, jnp.array([True, True]), huber_delta=0.15)
    assert float(value) == pytest.approx((0.1**2 / 2 + 0.15 * (1 - 0.075)) / 2, rel=1e-5)
    assert mixture.predictions(output, "redshift").keys() == {"redshift"}


def test_moments_cdf_and_quantiles_against_draws_and_scipy(densities):
    found, x = densities
    samples = draw(found, 40000, np.random.default_rng(1))
    # 40,000 draws of a deviation below 1: errors of 0.5% at one sigma, allowed five.
    np.testing.assert_allclose(mixture.mean(found), samples.mean(1), atol=0.025)
    np.testing.assert_allclose(mixture.deviation(found), samples.std(1), rtol=0.025)
    by_scipy = (found.weights * stats.norm(found.means, found.sigmas).cdf(x[:, None])).sum(1)
    np.testing.assert_allclose(mixture.cdf(found, x[:, None])[:, 0], by_scipy, atol=1e-6)
    p = np.array([0.0015, 0.16, 0.5, 0.84, 0.9985])
    back = mixture.cdf(found, np.asarray(mixture.quantile(found, p)))
    np.testing.assert_allclose(back, np.broadcast_to(p, back.shape), atol=1e-5)  # float32


def test_crps_is_its_integral(densities):
    found, x = densities
    for i, score in enumerate(mixture.crps(found, x)):
        one = mixture.Mixture(*(part[i : i + 1] for part in found))

        def excess(t, one=one, truth=x[i]):
            below = (one.weights * stats.norm(one.means, one.sigmas).cdf(t)).sum()
            return (below - (t >= truth)) ** 2

        expected = integrate.quad(excess, -3, 5, points=[x[i], *one.means[0]], limit=200)[0]
        assert float(score) == pytest.approx(expected, abs=1e-5)  # float32


def test_crps_is_least_for_the_density_the_truth_is_drawn_from(densities):
    found, _ = densities
    rows = mixture.Mixture(*(np.repeat(part, 2000, axis=0) for part in found))
    truth = draw(found, 2000, np.random.default_rng(2)).reshape(-1)
    best = float(mixture.crps(rows, truth).mean())
    for wrong in (
        rows._replace(sigmas=1.4 * rows.sigmas),
        rows._replace(sigmas=0.6 * rows.sigmas),
        rows._replace(means=rows.means + 0.1),
        rows._replace(weights=np.full_like(rows.weights, 1 / 3)),
    ):
        assert float(mixture.crps(wrong, truth).mean()) > best


def test_a_pool_is_the_mean_density(densities):
    found, x = densities
    other = found._replace(means=found.means + 0.3)
    pooled = mixture.pool([found, other])
    np.testing.assert_allclose(pooled.weights.sum(1), 1, rtol=1e-12)
    halves = (mixture.cdf(found, x[:, None]) + mixture.cdf(other, x[:, None])) / 2
    np.testing.assert_allclose(mixture.cdf(pooled, x[:, None]), halves, atol=1e-6)


def test_predictions_scale_with_their_unit():
    output = jnp.asarray(np.random.default_rng(3).normal(size=(4, 9)), jnp.float32)
    plain = mixture.predictions(output, "z")
    scaled = mixture.predictions(output, "z", offset=1.0, scale=2.0)
    np.testing.assert_allclose(scaled["z"], 2 * plain["z"] + 1, atol=1e-5)  # bisection, float32
    np.testing.assert_allclose(scaled["z_sigma"], 2 * plain["z_sigma"], rtol=1e-5)
    assert mixture.read(plain, "z").weights is plain["z_weights"]
    assert mixture.read({"z": output[:, 0]}, "z") is None


def test_a_negative_number_of_components_is_refused():
    with pytest.raises(UserError, match="-1 Gaussians"):
        mixture.width(-1)
