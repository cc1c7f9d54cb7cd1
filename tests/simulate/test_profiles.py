# SPDX-License-Identifier: Apache-2.0
"""Profiles against SciPy's special functions and GalSim's drawings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from astrojax.simulate import profiles
from astrojax.simulate.lens.lens_light import core_sersic


def sersic(radius, *, half_light, n):
    return core_sersic(radius**2, half_light=half_light, n=n, core=0.0, cusp=0.0)


def test_b_encloses_half_of_the_light():
    n = np.linspace(0.3, 8, 400)
    with jax.enable_x64(True):
        b = np.asarray(profiles.sersic_b(jnp.asarray(n)))
    # The docstring's claim; the worst point is where the two formulas meet.
    np.testing.assert_allclose(b, special.gammaincinv(2 * n, 0.5), rtol=0, atol=1e-5)


@pytest.mark.parametrize("n", [0.5, 1.0, 2.5])
def test_sersic_has_unit_flux_and_half_of_it_inside_the_half_light_radius(n):
    axis = (jnp.arange(600) - 299.5) * 0.1
    x, y = jnp.meshgrid(axis, axis)
    radius = profiles.elliptical_radius(x, y, q=0.6, angle=0.7)
    light = np.asarray(sersic(radius, half_light=2.0, n=n)) * 0.01
    # A frame of 30 half-light radii loses 1e-3 of n = 2.5, and its centre is sampled, not
    # integrated.
    assert light.sum() == pytest.approx(1.0, abs=5e-3)
    assert light[np.asarray(radius) < 2.0].sum() == pytest.approx(0.5, abs=5e-3)


def test_elliptical_radius_points_along_its_angle_and_keeps_area():
    major = profiles.elliptical_radius(jnp.cos(0.3), jnp.sin(0.3), q=0.25, angle=0.3)
    minor = profiles.elliptical_radius(-jnp.sin(0.3), jnp.cos(0.3), q=0.25, angle=0.3)
    assert float(major) == pytest.approx(0.5, rel=1e-5)  # sqrt(q)
    assert float(minor) == pytest.approx(2.0, rel=1e-5)  # 1 / sqrt(q)


def test_gradients_are_finite_at_the_centre():
    def centre(parameters):
        radius = profiles.elliptical_radius(
            jnp.zeros(()), jnp.zeros(()), q=parameters[0], angle=parameters[1]
        )
        return sersic(radius, half_light=parameters[2], n=parameters[3])

    assert np.isfinite(np.asarray(jax.grad(centre)(jnp.array([0.5, 0.2, 1.0, 4.0])))).all()


@pytest.mark.parametrize("nu", [-0.7, -0.6, 0.5, 1.0])
def test_spergel_half_light_radius(nu):
    # f(< r) = 1 - 2 (r / 2)^(nu + 1) K_(nu + 1)(r) / Gamma(nu + 1), in scale radii (Spergel 2010,
    # equation 5). The transform at k = 1 / half-light gives the scale radius back.
    value = float(profiles.spergel_transform(jnp.ones(()), nu=nu))
    half_light = (value ** (-1 / (1 + nu)) - 1) ** -0.5
    enclosed = 1 - 2 * (half_light / 2) ** (nu + 1) * special.kv(
        nu + 1, half_light
    ) / special.gamma(nu + 1)
    assert enclosed == pytest.approx(0.5, abs=2e-4)  # the fit's 1e-4 in radius


def test_psf_has_unit_sum_and_its_fwhm():
    psf = profiles.moffat_psf(41, 6.0, 2.5)
    assert float(psf.sum()) == pytest.approx(1.0, abs=1e-6)
    assert float(psf[20, 23] / psf[20, 20]) == pytest.approx(0.5, abs=1e-5)


def test_convolution_equals_the_direct_sum_and_wraps_nothing():
    rng = np.random.default_rng(0)
    image, psf = rng.random((2, 9, 12)).astype(np.float32), rng.random((5, 4)).astype(np.float32)
    out = np.zeros_like(image)
    for row in range(9):
        for column in range(12):
            for i in range(5):
                for j in range(4):
                    r, c = row - (i - 2), column - (j - 2)
                    if 0 <= r < 9 and 0 <= c < 12:
                        out[:, row, column] += image[:, r, c] * psf[i, j]
    np.testing.assert_allclose(
        profiles.convolve(jnp.asarray(image), jnp.asarray(psf)), out, atol=1e-5
    )  # float32 FFT


@pytest.mark.parametrize("n", [1.0, 2.5])
def test_sersic_matches_galsim(n):
    galsim = pytest.importorskip("galsim")
    half_light, q, angle, size = 6.0, 0.6, 0.5, 65
    profile = galsim.Sersic(n=n, half_light_radius=half_light).shear(
        q=q, beta=angle * galsim.radians
    )
    expected = profile.drawImage(nx=size, ny=size, scale=1.0, method="sb").array
    axis = jnp.arange(size, dtype=jnp.float32) - size // 2
    x, y = jnp.meshgrid(axis, axis)
    drawn = sersic(profiles.elliptical_radius(x, y, q=q, angle=angle), half_light=half_light, n=n)
    difference = np.abs(np.asarray(drawn) - expected)
    difference[size // 2, size // 2] = 0  # `core_sersic` is flat within 1e-4 half-light radii
    # Both sample at pixel centres; GalSim interpolates a table (1e-5 of the value).
    assert difference.max() < 2e-4 * expected.max()
