# SPDX-License-Identifier: Apache-2.0
"""Lenses against closed forms, against lenstronomy where it is installed, and their statistics."""

import dataclasses
import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from astrojax.errors import UserError
from astrojax.simulate.lens import lens_light
from astrojax.simulate.lens import simulator as simulator
from astrojax.simulate.lens.deflection import (
    Lens,
    check_lens,
    deflection,
    series_terms,
)
from astrojax.simulate.lens.lens_scene import EUCLID, HST, LENSIAM, Light
from astrojax.simulate.profiles import convolve, elliptical_radius, sersic_b

SMALL = dataclasses.replace(HST, stamp=44, pixel_scale=0.125)
AXIS = (np.arange(22, dtype=np.float32) - 10.5) * 0.25
X, Y = jnp.meshgrid(AXIS, AXIS)


def one_lens(**changes):
    base = {name: 0.0 for name in Lens._fields} | {"theta_E": 1.3, "gamma": 2.0}
    return Lens(**{k: jnp.float32(v) for k, v in (base | changes).items()})


def sersic(radius, *, half_light, n):
    """Graham & Driver 2005, PASA 22, 118, equations 1 and 4, for a total flux of 1."""
    radius, b = np.asarray(radius, np.float64), float(sersic_b(n))
    flux = 2 * np.pi * n * half_light**2 * b ** (-2 * n) * special.gamma(2 * n)
    return np.exp(-b * (radius / half_light) ** (1 / n)) / flux


def population_of(count, seed=0):
    keys = jax.random.split(jax.random.key(seed), count)
    return jax.vmap(lambda key: simulator.draw_lens(key, population=LENSIAM))(keys)


def with_corners(lenses):
    """The drawn lenses, and the corners where ellipticity and slope are largest."""
    ends = np.array(
        [[0.9, 1.7], *[[-0.3, 0.3]] * 2, *[[0.1, -0.1]] * 2, [2.4, 1.6], *[[-0.1, 0.1]] * 2]
    )
    return Lens(
        *(np.r_[np.asarray(v), e].astype(np.float32) for v, e in zip(lenses, ends, strict=True))
    )


@pytest.mark.parametrize("q, angle", [(0.8, 0.3), (0.45, 1.9), (0.99, -0.4)])
def test_isothermal_ellipsoid_has_its_closed_form(q, angle):
    f = (1 - q) / (1 + q)
    lens = one_lens(e1=f * np.cos(2 * angle), e2=f * np.sin(2 * angle), center_x=0.07)
    # Kormann, Schneider & Bartelmann 1994, A&A 284, 285, on the major axis; b = theta_E sqrt(q).
    z = (X - 0.07 + 1j * Y) * np.exp(-1j * angle)
    psi, root = np.hypot(q * z.real, z.imag), np.sqrt(1 - q**2)
    closed = np.arctan(root * z.real / psi) + 1j * np.arctanh(root * z.imag / psi)
    closed = 1.3 * np.sqrt(q) / root * closed * np.exp(1j * angle)
    alpha_x, alpha_y = deflection(lens, X, Y)
    # Ten roundings of numbers near 1.3.
    np.testing.assert_allclose(alpha_x, closed.real, rtol=0, atol=2e-6)
    np.testing.assert_allclose(alpha_y, closed.imag, rtol=0, atol=2e-6)


@pytest.mark.parametrize("gamma", [1.6, 2.0, 2.4])
def test_round_lens_is_a_power_law(gamma):
    radius = np.hypot(X, Y)
    size = 1.3 * (1.3 / radius) ** (gamma - 2)
    alpha_x, alpha_y = deflection(one_lens(gamma=gamma), X, Y)
    np.testing.assert_allclose(alpha_x, size * X / radius, rtol=3e-6)  # rounding of a power
    np.testing.assert_allclose(alpha_y, size * Y / radius, rtol=3e-6)
    # 1 / mu = (1 - d alpha / d r) (1 - alpha / r)
    closed = (1 - (2 - gamma) * size / radius) * (1 - size / radius)
    found = inverse_magnification(one_lens(gamma=gamma), X, Y)
    np.testing.assert_allclose(found, closed, atol=1e-5 * (1 + np.abs(closed).max()))


def test_shear_deflects_about_the_origin_with_the_sign_of_lenstronomy():
    sheared = one_lens(gamma1=0.05, gamma2=-0.08, center_x=0.1)
    plain = one_lens(center_x=0.1)
    extra = np.array(deflection(sheared, X, Y)) - np.array(deflection(plain, X, Y))
    np.testing.assert_allclose(extra[0], 0.05 * X - 0.08 * Y, atol=1e-6)
    np.testing.assert_allclose(extra[1], -0.08 * X - 0.05 * Y, atol=1e-6)


def inverse_magnification(lens, x, y):
    """1 / mu, the determinant of the Jacobian of what `deflection` does to the source plane."""

    def source(position):
        return position - jnp.stack(deflection(lens, position[0], position[1]))

    def one(x, y):
        return jnp.linalg.det(jax.jacfwd(source)(jnp.stack([x, y])))

    flat = jax.vmap(one)(*(jnp.asarray(v, jnp.float32).reshape(-1) for v in (x, y)))
    return flat.reshape(jnp.shape(x))


def test_the_critical_curve_encloses_the_circularised_area():
    # For gamma = 2 it is kappa = 1 / 2, whatever q: that is what theta_E means here.
    axis = (np.arange(400, dtype=np.float32) - 199.5) * 0.0125
    inside = inverse_magnification(one_lens(e1=0.25, e2=-0.2), *jnp.meshgrid(axis, axis)) < 0
    area = float(inside.sum()) * 0.0125**2
    assert area == pytest.approx(np.pi * 1.3**2, rel=2e-3)  # pixels along the curve


def test_series_has_as_many_terms_as_the_ellipticity_takes():
    lens = one_lens(e1=0.7, gamma=1.7)
    few, enough, more = (
        np.array(deflection(lens, X, Y, terms=n)) for n in (8, series_terms(0.7), 120)
    )
    assert np.abs(few - more).max() > 1e-4
    np.testing.assert_allclose(enough, more, atol=3e-6)


def test_values_and_gradients_are_finite_where_formulas_divide_by_zero():
    def deflected(lens):
        alpha = deflection(lens, jnp.zeros((2, 2)), jnp.zeros((2, 2)))
        inverse = inverse_magnification(lens, jnp.zeros(()), jnp.ones(()))
        return alpha[0].sum() + alpha[1].sum() + inverse

    both = jax.jit(jax.value_and_grad(deflected))
    for gamma in (1.6, 2.0, 2.4):
        value, gradient = both(one_lens(gamma=gamma))
        assert np.isfinite(value)
        assert all(np.isfinite(g) for g in gradient)
    odd = dataclasses.replace(SMALL, stamp=29, supersampling=1)
    sim = simulator.simulator(LENSIAM, odd)
    brightness = jax.jit(jax.grad(lambda lens: sim.image(jax.random.key(0), lens).sum()))
    gradient = brightness(one_lens())
    assert all(np.isfinite(g) for g in gradient)


def test_against_lenstronomy_over_the_whole_range():
    lens_model = pytest.importorskip("lenstronomy.LensModel.lens_model")
    oracle = lens_model.LensModel(["EPL", "SHEAR"])
    lenses = with_corners(population_of(40))
    ours = jax.vmap(lambda lens: (*deflection(lens, X, Y), inverse_magnification(lens, X, Y)))(
        lenses
    )
    x, y = X.astype(float), Y.astype(float)
    for i in range(42):
        values = {name: float(v[i]) for name, v in lenses._asdict().items()}
        shear = {"gamma1": values.pop("gamma1"), "gamma2": values.pop("gamma2")}
        alpha = np.array(oracle.alpha(x, y, [values, shear]))
        # 5e-6 arcsec was the largest of 6 million rays: float32 rounds the offset from the centre.
        np.testing.assert_allclose(np.array(ours[:2])[:, i], alpha, rtol=0, atol=1e-5)
        inverse = 1 / oracle.magnification(x, y, [values, shear])
        np.testing.assert_allclose(ours[2][i], inverse, rtol=5e-5, atol=5e-5)


def test_images_equal_those_of_lenstronomy():
    pytest.importorskip("lenstronomy")
    path = Path(__file__).parents[2] / "benchmarks" / "lens_simulator.py"
    spec = importlib.util.spec_from_file_location("lens_simulator", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    population = dataclasses.replace(LENSIAM, double_fraction=0.5, core_fraction=0.5)
    sim = simulator.simulator(population, dataclasses.replace(SMALL, psf_count=3))
    lenses, scenes = benchmark.scenes(sim, 3, 6)
    ours = np.asarray(jax.jit(benchmark.render_all)(sim, lenses, scenes))
    draw = benchmark.oracle(sim)
    for i in range(6):
        theirs = draw(*jax.tree.map(lambda leaf, i=i: leaf[i], (lenses, scenes)))
        # Same formulas, so float32 is all that differs: 2e-6 of the peak was measured.
        np.testing.assert_allclose(ours[i], theirs, rtol=0, atol=1e-5 * theirs.max())


def test_core_sersic_without_a_core_is_a_sersic():
    squared = elliptical_radius(X, Y, q=0.7, angle=0.2) ** 2
    for n in (0.7, 4.0):
        found = lens_light.core_sersic(squared, half_light=0.5, n=n, core=0.0, cusp=0.0)
        known = sersic(jnp.sqrt(squared), half_light=0.5, n=n)
        np.testing.assert_allclose(found, known, rtol=2e-5)  # float32, exponents up to 60


def test_psfs_conserve_light_and_differ():
    sim = simulator.simulator(LENSIAM, HST)
    assert sim.psfs.shape == (23, 35, 35)
    np.testing.assert_allclose(sim.psfs.sum((1, 2)), 1, atol=1e-6)
    spot = jnp.zeros((80, 80)).at[30:50, 30:50].set(1.0)  # everything stays in the frame
    blurred = jax.vmap(lambda psf: convolve(spot, psf))(sim.psfs)
    np.testing.assert_allclose(blurred.sum((1, 2)), spot.sum(), rtol=1e-5)  # FFT in float32
    assert len(np.unique(np.round(np.asarray(sim.psfs.max((1, 2))), 6))) == 23


def test_members_of_a_pair_share_the_lens_and_nothing_else():
    sim = simulator.simulator(LENSIAM, SMALL)
    lens = sim.draw_lens(jax.random.key(0))
    pair = jax.jit(lambda sim, key, lens: sim.pair(key, lens))
    views = pair(sim, jax.random.key(1), lens)
    assert views.shape == (2, 44, 44, 1)
    np.testing.assert_allclose(views.max((1, 2, 3)), 1, rtol=1e-6)
    assert np.abs(views[0] - views[1]).max() > 0.05
    np.testing.assert_array_equal(views, pair(sim, jax.random.key(1), lens))
    # With everything but the lens held fixed, the members are one image.
    fixed = {
        name: (limits[0], limits[0])
        for name, limits in vars(LENSIAM).items()
        if isinstance(limits, tuple) and name not in Lens._fields
    }
    frozen = dataclasses.replace(
        LENSIAM,
        **fixed,
        light_scatter=0.0,
        source_offset=0.0,
        source_ellipticity=0.0,
        core_fraction=0.0,
        double_fraction=0.0,
    )
    still = dataclasses.replace(SMALL, psf_count=1, noise=(1e-9, 1e-9))
    views = pair(simulator.simulator(frozen, still), jax.random.key(1), lens)
    np.testing.assert_allclose(views[0], views[1], atol=1e-6)
    other = pair(simulator.simulator(frozen, still), jax.random.key(1), lens._replace(theta_E=1.0))
    assert np.abs(views - other).max() > 0.05


def test_lenses_and_scenes_follow_their_distributions():
    lenses = population_of(4000)
    for name, limits in zip(Lens._fields, LENSIAM.ranges(), strict=True):
        values = np.asarray(getattr(lenses, name))
        assert limits[0] <= values.min() and values.max() <= limits[1]
        # The mean of 4,000 uniform numbers is within 4 of its standard deviations.
        assert abs(values.mean() - np.mean(limits)) < 4 * np.ptp(limits) / np.sqrt(12 * 4000)
    mixed = dataclasses.replace(LENSIAM, stamp_fraction=0.75)

    def draw(key, lens):
        return simulator.draw_scene(
            key, lens, population=mixed, observation=HST, psfs=23, stamps=12
        )

    scenes = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(5), 4000), lenses)
    moved = np.asarray(scenes.light.x - lenses.center_x)
    assert moved.std() == pytest.approx(0.025 * 0.2, rel=0.05)
    assert np.std(scenes.light.e1 - lenses.e1) == pytest.approx(0.025 * 0.6, rel=0.05)
    sources = scenes.sources
    assert np.mean(sources.flux[:, 1] > 0) == pytest.approx(0.1, abs=0.02)
    assert np.mean(sources.stamp[:, 0] >= 0) == pytest.approx(0.75, abs=0.03)
    assert np.mean(sources.core[:, 0] > 0) == pytest.approx(0.25, abs=0.03)
    assert set(np.unique(scenes.psf)) == set(range(23))
    assert set(np.unique(sources.stamp)) == set(range(-1, 12))


def test_another_survey_by_keywords_alone():
    sim = simulator.build(
        population=vars(LENSIAM), observation=vars(EUCLID), psfs=None, stamps=None
    )
    image = jax.jit(sim.image)(jax.random.key(0), sim.draw_lens(jax.random.key(1)))
    assert image.shape == (66, 66, 1)
    assert np.isfinite(image).all()


def galaxies(size=64):
    axis = (jnp.arange(size) - (size - 1) / 2) * 0.05
    x, y = jnp.meshgrid(axis, axis)
    radius = elliptical_radius(x, y, q=0.6, angle=0.0)
    return sersic(radius, half_light=0.2, n=0.5)[None].astype(np.float32) + 0.2


def test_a_stamp_is_lensed_as_the_galaxy_it_shows():
    stamps = lens_light.check_stamps(galaxies(), min_size=50, max_offset=0.1)
    assert float(stamps.sum()) == pytest.approx(1, rel=1e-5)
    zero = jnp.zeros(())
    f = 0.4 / 1.6
    light = Light(
        flux=jnp.ones(()),
        x=zero + 0.1,
        y=zero,
        e1=zero + f,
        e2=zero,
        half_light=zero + 0.2,
        n=zero + 0.5,
        core=zero,
        cusp=zero,
        stamp=jnp.full((), -1),
        angle=zero,
    )
    x, y = jnp.meshgrid(jnp.linspace(-0.6, 0.6, 41), jnp.linspace(-0.6, 0.6, 41))
    drawn = simulator._shine(light, x, y, stamps, 0.05)
    shown = simulator._shine(light._replace(stamp=jnp.zeros((), int)), x, y, stamps, 0.05)
    # Bilinear interpolation of a Gaussian of sigma 0.13 arcsec on 0.05 arcsec pixels.
    np.testing.assert_allclose(shown, drawn, atol=0.03 * float(drawn.max()))
    # Turned by a right angle, rows become columns.
    turned = light._replace(stamp=jnp.zeros((), int), angle=zero + np.pi / 2)
    upright = light._replace(e1=zero - f)
    np.testing.assert_allclose(
        simulator._shine(turned, x, y, stamps, 0.05),
        simulator._shine(upright, x, y, None, 0.05),
        atol=0.03 * float(drawn.max()),
    )


def test_real_sources_enter_the_image():
    population = dataclasses.replace(LENSIAM, stamp_fraction=1.0, stamp_scale=0.03)
    sim = simulator.simulator(population, SMALL, stamps=galaxies())
    draw = jax.jit(lambda sim: sim.image(jax.random.key(0), one_lens()))
    image, other = draw(sim), draw(dataclasses.replace(sim, stamps=0 * sim.stamps))
    assert np.abs(image - other).max() > 0.01


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"e1": 0.8, "e2": 0.7}, "axis ratio"),
        ({"e1": 0.8}, "terms"),
        ({"gamma": 1.0}, "gamma"),
        ({"gamma": 3.2}, "gamma"),
        ({"theta_E": 2.75}, "stamp reaches only 2.75"),
        ({"theta_E": 0.0}, "positive"),
        ({"gamma1": 0.8, "gamma2": 0.7}, "shear"),
        ({"center_x": np.nan}, "center_x"),
    ],
)
def test_lenses_that_cannot_be_are_refused(changes, words):
    with pytest.raises(UserError, match=words) as raised:
        check_lens(one_lens(**changes), radius=2.75)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "section, key, value, words",
    [
        ("population", "theta_E", (0.9, 4.0), "stamp reaches"),
        ("population", "gamma", (2.4, 1.6), "lowest, highest"),
        ("population", "gamma", (0.5, 2.0), "gamma"),
        ("population", "e1", (-0.9, 0.9), "terms"),
        ("population", "source_flux", (0.0, 0.1), "positive"),
        ("population", "double_fraction", 1.5, "between 0 and 1"),
        ("population", "stamp_fraction", 0.75, "no source stamps"),
        ("population", "theta", 1.0, "theta_E"),
        ("observation", "psf_size", 34, "odd"),
        ("observation", "supersampling", 0, "positive"),
    ],
)
def test_bad_config_keys_are_named(section, key, value, words):
    sections = {"population": dict(vars(LENSIAM)), "observation": dict(vars(HST))}
    sections[section][key] = value
    with pytest.raises(UserError, match=words):
        simulator.build(**sections, psfs=None, stamps=None)


@pytest.mark.parametrize(
    "stamps, words",
    [
        (galaxies(40), "40 px"),
        (np.roll(galaxies(), 15, axis=1), "not centred"),
        (np.full((1, 64, 64), np.nan), "NaN"),
        (np.zeros((2, 64, 64)), "no light"),
        (np.zeros((1, 64, 50)), "shape"),
    ],
)
def test_source_stamps_that_will_not_do(stamps, words):
    with pytest.raises(UserError, match=words):
        lens_light.check_stamps(stamps.astype(np.float32), min_size=50, max_offset=0.1)


@pytest.mark.parametrize(
    "psfs, words",
    [
        (np.ones((2, 4, 4)), "odd"),
        (np.full((1, 5, 5), np.nan), "NaN"),
        (np.zeros((1, 5, 5)), "sum"),
        (np.eye(25)[:1].reshape(1, 5, 5), "centre"),
    ],
)
def test_psfs_that_will_not_do(psfs, words):
    with pytest.raises(UserError, match=words):
        lens_light.check_psfs(psfs.astype(np.float32))
