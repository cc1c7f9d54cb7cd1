# SPDX-License-Identifier: Apache-2.0
"""The embedded survey: reproducible to the bit, conserving light, and drawn as GalSim draws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astrojax.errors import UserError
from astrojax.simulate.survey import population
from astrojax.simulate.survey.mock import CANDELS, NEARBY, SPLUS, draw_one, named, simulate
from astrojax.simulate.survey.render import render
from astrojax.simulate.survey.scene import Scene, Smooth, Streaks, Structure


@pytest.fixture(scope="module")
def catalogue():
    return simulate(3, range(4096), survey=CANDELS, images=False)


jitted = jax.jit(render, static_argnames=("psf_fwhm", "psf_beta", "pixel_scale", "stamp"))


def lone(row: dict, bands: int) -> Scene:
    """One smooth component and nothing else."""
    smooth = Smooth(*(jnp.asarray([row[name]], jnp.float32) for name in Smooth._fields))
    zero, one = jnp.zeros(()), jnp.ones(())
    arms = (zero, zero, one, one, zero, one, one, zero, one, one, jnp.zeros((1, 2)))
    structure = Structure(*arms, jnp.array([1.0, 0.0, 0.0]), jnp.zeros(bands))
    streak = jnp.ones(1)
    streaks = Streaks(streak, streak, streak, streak, streak, jnp.zeros((1, bands)))
    return Scene(smooth, structure, streaks)


def test_an_object_is_the_same_whatever_else_is_asked_for():
    together = simulate(7, range(40), survey=CANDELS, stamp=48)
    apart = simulate(7, [33, 2, 900], survey=CANDELS, stamp=48)
    for name in together:
        np.testing.assert_array_equal(together[name][[33, 2]], apart[name][:2], err_msg=name)
    only = simulate(7, [2], survey=CANDELS, images=False)
    np.testing.assert_array_equal(only["flux"][0], together["flux"][2])
    other = simulate(8, [2], survey=CANDELS, images=False)
    assert not np.array_equal(only["flux"], other["flux"])


@pytest.mark.parametrize("survey", [CANDELS, SPLUS, NEARBY])
def test_images_have_the_surveys_shape_and_noise(survey):
    sample = simulate(1, range(32), survey=survey)
    assert sample["image"].shape == (32, survey.stamp, survey.stamp, len(survey.bands))
    assert sample["image"].dtype == np.float32 and np.isfinite(sample["image"]).all()
    # Third differences remove what is smooth; the median ignores the rest.
    step = np.diff(sample["image"], n=3, axis=2)
    sigma = 1.4826 * np.median(np.abs(step), axis=(0, 1, 2)) / np.sqrt(20)
    np.testing.assert_allclose(sigma, survey.noise, rtol=0.1)  # galaxies add to it


def test_the_light_of_a_stamp_is_the_catalogues_flux_after_reddening():
    draw = jax.jit(jax.vmap(lambda seed: draw_one(jax.random.key(seed), survey=CANDELS)))
    scenes, truth = draw(jnp.arange(64))
    # Bulge, disc, companion; what follows are neighbours.
    smooth = scenes.smooth._replace(flux=scenes.smooth.flux.at[:, 3:].set(0.0))
    streaks = scenes.streaks._replace(flux=0 * scenes.streaks.flux)
    kwargs = {"psf_fwhm": CANDELS.psf_fwhm, "psf_beta": CANDELS.psf_beta, "pixel_scale": 0.06}
    image = jax.jit(jax.vmap(functools.partial(render, stamp=120, **kwargs)))(
        scenes._replace(smooth=smooth, streaks=streaks)
    )
    total = np.asarray(image).sum((2, 3))
    total = total * 10 ** (0.4 * np.array(CANDELS.extinction) * truth["ebv"][:, None])
    small = np.asarray(truth["size"]) < 0.3
    assert small.sum() > 20
    # The PSF's wings and a bulge's leave 2% outside of 120 pixels.
    np.testing.assert_allclose(total[small], truth["flux_true"][small], rtol=0.03)


@pytest.mark.parametrize(
    ("nu", "pixels", "tolerance"),
    # Where sampling allows, which is down to 1 pixel: 1% of the peak. A point source between two
    # pixels is the stated exception, its light folds back from beyond the Nyquist frequency.
    [(0.5, 1.0, 0.01), (0.5, 6.0, 0.01), (-0.6, 1.0, 0.01), (-0.6, 5.0, 0.01), (0.5, 0.0, 0.02)],
)
def test_profiles_match_galsim(nu, pixels, tolerance):
    galsim = pytest.importorskip("galsim")
    scale, stamp, fwhm, q, angle = 0.06, 72, 0.12, 0.6, 0.4
    psf = galsim.Moffat(beta=CANDELS.psf_beta, fwhm=fwhm)
    whole = psf
    if pixels:
        profile = galsim.Spergel(nu=nu, half_light_radius=pixels * scale)
        whole = galsim.Convolve(profile.shear(q=q, beta=angle * galsim.radians), psf)
    offset = (0.3, -0.2)
    whole = whole.shift(offset[0] * scale, offset[1] * scale)
    expected = whole.drawImage(nx=stamp + 1, ny=stamp + 1, scale=scale, method="no_pixel").array
    row = {"x": offset[0] * scale, "y": offset[1] * scale, "half_light": pixels * scale, "q": q}
    scene = lone(row | {"angle": angle, "nu": nu, "flux": [1.0]}, bands=1)
    drawn = jitted(
        scene, psf_fwhm=(fwhm,), psf_beta=CANDELS.psf_beta, pixel_scale=scale, stamp=stamp
    )
    difference = np.asarray(drawn[0]) - expected[:stamp, :stamp]
    assert np.abs(difference).max() < tolerance * expected.max()


def test_a_point_source_is_the_psf():
    row = {"x": 0.0, "y": 0.0, "half_light": 0.0, "q": 1.0, "angle": 0.0, "nu": 0.5}
    scene = lone(row | {"flux": [2.0]}, bands=1)
    image = jitted(scene, psf_fwhm=(1.5,), psf_beta=3.5, pixel_scale=0.5, stamp=33)[0]
    assert np.unravel_index(np.argmax(image), image.shape) == (16, 16)
    assert float(image.sum()) == pytest.approx(2.0, rel=0.02)  # wings beyond the stamp
    half = 0.5 * (float(image[16, 17]) + float(image[16, 18])) / float(image[16, 16])
    assert half == pytest.approx(0.53, abs=0.06)  # between 1 and 2 pixels, the FWHM is 3


def test_the_field_has_the_stated_population(catalogue):
    magnitude, redshift = catalogue["magnitude_true"][:, 3], catalogue["redshift_true"]
    assert magnitude.max() <= 26.001 and 0 < redshift.min() and redshift.max() <= 3.001
    assert 0.7 < np.median(redshift) < 1.3
    bright, faint = magnitude < 23, magnitude > 25
    assert np.median(redshift[bright]) < np.median(redshift[faint])
    assert np.median(catalogue["size"][bright]) > 1.5 * np.median(catalogue["size"][faint])
    near, far = redshift < 0.8, redshift > 1.5
    middle = (magnitude > 23) & (magnitude < 24.5)
    size = catalogue["size"]
    assert np.median(size[middle & near]) > np.median(size[middle & far])
    assert (np.bincount(catalogue["label"], minlength=7) > 20).all()


def test_catalogue_errors_are_honest_and_grow_with_magnitude(catalogue):
    dim = 10 ** (-0.4 * np.array(CANDELS.extinction) * catalogue["ebv"][:, None])
    pull = (catalogue["flux"] - catalogue["flux_true"] * dim) / catalogue["flux_error"]
    np.testing.assert_allclose(pull.std(0), 1.0, atol=0.05)  # 4096 draws: 0.011 each
    np.testing.assert_allclose(pull.mean(0), 0.0, atol=0.06)
    magnitude, error = catalogue["magnitude_true"][:, 3], catalogue["magnitude_error"][:, 3]
    assert np.median(error[magnitude < 22]) < 0.4 * np.median(error[magnitude > 25.5])


def test_comoving_distance():
    cosmology = pytest.importorskip("astropy.cosmology")
    expected = cosmology.FlatLambdaCDM(H0=70, Om0=0.3).comoving_distance([0.05, 1, 3]).value
    found = [float(population.comoving_distance(jnp.float32(z))) for z in (0.05, 1, 3)]
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_an_unknown_survey_is_named():
    with pytest.raises(UserError, match="'euclid'.*candels"):
        named("euclid")
