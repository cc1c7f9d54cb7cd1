# SPDX-License-Identifier: Apache-2.0
"""A multi-band survey that anyone can make: stamps, a catalogue with errors, and the truth.

`simulate(seed, indices, ...)` draws objects one by one from (seed, index) alone: the same numbers,
bit for bit, come back on the same kind of device whatever else is asked for, because the work is
done in chunks of one fixed size.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from astrojax.errors import UserError
from astrojax.simulate.survey import draw
from astrojax.simulate.survey.population import CLASSES
from astrojax.simulate.survey.render import render
from astrojax.simulate.survey.scene import Scene


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a telescope sees. Angles in arcsec, magnitudes AB, flux in microjansky.

    Attributes:
        name: of the survey.
        sky: what is drawn, a function of `draw`: "field", "wide" or "nearby".
        table: which shipped color table the bands are in.
        bands: names, in the order of the last image axis.
        reference: position of the band in which magnitudes are drawn.
        pixel_scale: arcsec per pixel.
        psf_fwhm: per band, of the effective PSF (pixel included).
        psf_beta: Moffat index.
        depth: per band, magnitude of a 5 sigma detection within `aperture`.
        aperture: radius that the depth refers to.
        extinction: per band, R_b = A_b / E(B-V) of the Milky Way.
        reddening: median E(B-V) of the Milky Way; the spread is 0.5 in its logarithm.
        bright: brightest magnitude in the reference band.
        faint: faintest.
        size_limits: smallest and largest half-light radius.
        neighbours: brightest and faintest magnitude of what else is in the field.
        neighbour_extent: neighbours fall in a square of twice this side about the object.
        neighbour_probability: of each of three.
        classes: names of the labels.
        stamp: side of a stamp in pixels, where the caller has no wish.
        spectroscopic_limit: magnitude at which the chance of a spectrum halves.
        floor: relative error of the catalogue's fluxes, beside noise.
        zero_point: magnitude of one microjansky.
    """

    name: str
    sky: str
    table: str
    bands: tuple[str, ...]
    reference: int
    pixel_scale: float
    psf_fwhm: tuple[float, ...]
    psf_beta: float
    depth: tuple[float, ...]
    aperture: float
    extinction: tuple[float, ...]
    reddening: float
    bright: float
    faint: float
    size_limits: tuple[float, float]
    neighbours: tuple[float, float]
    neighbour_extent: float
    neighbour_probability: float
    classes: tuple[str, ...]
    stamp: int
    spectroscopic_limit: float
    floor: float
    zero_point: float = 23.9

    @property
    def noise(self) -> tuple[float, ...]:
        """Standard deviation of the sky noise of a pixel in each band, microjansky."""
        pixels = math.pi * (self.aperture / self.pixel_scale) ** 2
        flux = (10 ** (-0.4 * (m - self.zero_point)) for m in self.depth)
        return tuple(f / 5 / math.sqrt(pixels) for f in flux)


# Depths between CANDELS/Wide and /Deep, H = 27.0 and 27.7 for a point source (Grogin et al.
# 2011, ApJS 197, 35). The Moffat PSF has about the width of the drizzled ones.
# Extinction as PITA uses it for these bands.
CANDELS = Survey(
    name="candels",
    sky="field",
    table="candels",
    bands=("F606W", "F814W", "F125W", "F160W"),
    reference=3,
    pixel_scale=0.06,
    psf_fwhm=(0.12, 0.12, 0.16, 0.18),
    psf_beta=2.8,
    depth=(28.5, 28.4, 27.5, 27.4),
    aperture=0.17,
    extinction=(2.471, 1.526, 0.726, 0.512),
    reddening=0.015,
    bright=18.0,
    faint=26.0,
    size_limits=(0.06, 1.2),
    neighbours=(20.0, 26.5),
    neighbour_extent=3.3,
    neighbour_probability=0.75,
    classes=CLASSES,
    stamp=72,
    spectroscopic_limit=23.9,
    floor=0.03,
)

# Pixel scale from Mendes de Oliveira et al. 2019 (MNRAS 489, 241); depths within the range that
# Almeida-Fernandes et al. 2022 (MNRAS 511, 4590) give, 19.9 to 21.3, here for 5 sigma in 3 arcsec.
# Extinction: Cardelli, Clayton & Mathis 1989 at the central wavelengths, R_V = 3.1.
SPLUS = Survey(
    name="splus",
    sky="wide",
    table="splus",
    bands=("u", "F378", "F395", "F410", "F430", "g", "F515", "r", "F660", "i", "F861", "z"),
    reference=7,
    pixel_scale=0.55,
    psf_fwhm=(1.8, 1.7, 1.7, 1.7, 1.6, 1.6, 1.6, 1.5, 1.5, 1.5, 1.4, 1.4),
    psf_beta=3.5,
    depth=(21.1, 20.6, 20.4, 20.6, 20.7, 21.6, 20.8, 21.6, 21.3, 21.3, 20.5, 20.8),
    aperture=1.5,
    extinction=(4.91, 4.74, 4.60, 4.45, 4.23, 3.72, 3.36, 2.68, 2.51, 1.99, 1.61, 1.53),
    reddening=0.04,
    bright=14.0,
    faint=19.5,
    size_limits=(0.8, 8.0),
    neighbours=(16.5, 20.5),
    neighbour_extent=12.0,
    neighbour_probability=0.15,
    classes=("galaxy", "star", "quasar", "merger"),
    stamp=32,
    spectroscopic_limit=18.0,
    floor=0.01,
)

# Color images of galaxies large enough to classify by eye; pixels as in the DECam Legacy Survey.
NEARBY = Survey(
    name="nearby",
    sky="nearby",
    table="splus",
    bands=("g", "r", "i"),
    reference=1,
    pixel_scale=0.262,
    psf_fwhm=(1.3, 1.2, 1.1),
    psf_beta=3.5,
    depth=(24.0, 23.4, 23.0),
    aperture=0.75,
    extinction=(3.72, 2.68, 1.99),
    reddening=0.04,
    bright=14.0,
    faint=16.5,
    size_limits=(2.0, 3.5),
    neighbours=(17.5, 21.0),
    neighbour_extent=9.0,
    neighbour_probability=0.3,
    classes=CLASSES,
    stamp=64,
    spectroscopic_limit=16.0,
    floor=0.01,
)

_BY_NAME = {survey.name: survey for survey in (CANDELS, SPLUS, NEARBY)}


def named(name: str) -> Survey:
    """The survey of that name.

    Raises:
        UserError: There is none.
    """
    if name not in _BY_NAME:
        raise UserError(f"there is no survey {name!r}: choose one of {', '.join(_BY_NAME)}")
    return _BY_NAME[name]


def _observe(key: PRNGKeyArray, truth: draw.Truth, survey: Survey) -> draw.Truth:
    """Add the Milky Way, the catalogue's noise and the chance of a spectrum to the truth."""
    u = jax.random.uniform(key, (4,))
    normal = jax.random.normal(jax.random.fold_in(key, 1), (len(survey.bands) + 1,))
    ebv = jnp.minimum(survey.reddening * jnp.exp(0.5 * normal[0]), 0.3)
    clean = truth["flux_true"]
    transmission = 10 ** (-0.4 * jnp.array(survey.extinction) * ebv)
    # Sky noise in an aperture of 1.5 times the radius that holds half of the blurred light.
    squared = truth["size"] ** 2 + (jnp.array(survey.psf_fwhm) / 2) ** 2
    pixels = jnp.pi * 2.25 * squared / survey.pixel_scale**2
    sky = jnp.array(survey.noise) * jnp.sqrt(pixels)
    error = jnp.hypot(sky, survey.floor * clean * transmission)
    flux = clean * transmission + error * normal[1:]
    positive = flux > 0
    measured = -2.5 * jnp.log10(jnp.where(positive, flux / transmission, 1.0)) + survey.zero_point
    magnitude = survey.zero_point - 2.5 * jnp.log10(clean)
    bright = magnitude[survey.reference]
    # Brighter first, with chance: labels come in the order of this number (`spectroscopic`).
    chance = 0.03 + 0.97 * jax.nn.sigmoid((survey.spectroscopic_limit - bright) / 0.5)
    return truth | {
        "ebv": ebv,
        "flux": flux,
        "flux_error": error,
        "magnitude": jnp.where(positive, measured, jnp.nan),
        "magnitude_error": jnp.where(positive, 1.0857 * error / jnp.abs(flux), jnp.nan),
        "magnitude_true": magnitude,
        "spectroscopic_rank": u[0] / chance,
        "ra": 150.0 + 1.4 * (u[1] - 0.5),
        "dec": 2.2 + 1.4 * (u[2] - 0.5),
    }


def draw_one(key: PRNGKeyArray, *, survey: Survey) -> tuple[Scene, draw.Truth]:
    """One object: the scene as it reaches the telescope (reddened) and its catalogue entry."""
    sky_key, catalogue_key = jax.random.split(key)
    scene, truth = getattr(draw, survey.sky)(sky_key, survey)
    columns = _observe(catalogue_key, truth, survey)
    dim = 10 ** (-0.4 * jnp.array(survey.extinction) * columns["ebv"])
    smooth = scene.smooth._replace(flux=scene.smooth.flux * dim)
    structure = scene.structure._replace(flux=scene.structure.flux * dim)
    return scene._replace(smooth=smooth, structure=structure), columns


def _keys(seed: Array, indices: Int[Array, "n"]) -> Array:
    key = jax.random.key(seed)
    return jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)


@functools.partial(jax.jit, static_argnames="survey")
def _draw_chunk(seed: Array, indices: Int[Array, "n"], survey: Survey):
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 0))(_keys(seed, indices))
    return jax.vmap(functools.partial(draw_one, survey=survey))(keys)


@functools.partial(jax.jit, static_argnames=("survey", "stamp"))
def _image_chunk(seed: Array, indices: Int[Array, "n"], scenes: Scene, survey: Survey, stamp: int):
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(_keys(seed, indices))

    def one(key: PRNGKeyArray, scene: Scene) -> Float[Array, "h w c"]:
        image = render(
            scene,
            psf_fwhm=survey.psf_fwhm,
            psf_beta=survey.psf_beta,
            pixel_scale=survey.pixel_scale,
            stamp=stamp,
        )
        noise = jax.random.normal(key, image.shape) * jnp.array(survey.noise)[:, None, None]
        return jnp.moveaxis(image + noise, 0, -1)

    return jax.vmap(one)(keys, scenes)


def _chunk_size() -> int:
    """Small enough for a CPU's cache, large enough to fill an accelerator."""
    return 32 if jax.default_backend() == "cpu" else 1024


def simulate(
    seed: int,
    indices: Sequence[int] | np.ndarray,
    *,
    survey: Survey,
    stamp: int | None = None,
    images: bool = True,
) -> dict[str, np.ndarray]:
    """Objects of a survey, each a pure function of (seed, index).

    Args:
        seed: of the whole survey.
        indices: which objects, each from 0 to 2^31 - 1, in any order.
        survey: what is observed, and how.
        stamp: side of the images in pixels; the survey's own if None.
        images: whether to draw the images, or only the catalogue, which costs little.

    Returns:
        Arrays with one row per index: `id`, `image` [n h w c] float32 (microjansky per pixel, with
        sky noise and the Milky Way's reddening), `redshift_true`, `flux` and `flux_error` [n c]
        (catalogue, reddened, microjansky), `magnitude` and `magnitude_error` [n c] (the same as AB,
        dereddened, NaN where the flux is not positive), `flux_true` and `magnitude_true` [n c]
        (before the Milky Way and noise), `ebv`, `label`, `type`, `bulge_fraction`, `dust`, `size`
        (half-light radius, arcsec; of the disc along its major axis, nominal), `axis_ratio`, `ra`,
        `dec`, and `spectroscopic_rank`: the objects with the lowest are those with spectra.
        Noise is that of the sky alone, independent between pixels and from the catalogue's.
    """
    indices = np.asarray(indices, dtype=np.int32)
    size = _chunk_size()
    parts = []
    for start in range(0, len(indices), size):
        chunk = indices[start : start + size]
        padded = jnp.asarray(np.pad(chunk, (0, size - len(chunk))))
        scenes, columns = _draw_chunk(jnp.uint32(seed), padded, survey)
        if images:
            columns["image"] = _image_chunk(
                jnp.uint32(seed), padded, scenes, survey, stamp or survey.stamp
            )
        parts.append({name: np.asarray(v)[: len(chunk)] for name, v in columns.items()})
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {"id": indices.astype(np.int64)} | joined
