# SPDX-License-Identifier: Apache-2.0
"""What a lens scene may hold, and one scene drawn: light, sources, PSF, noise.

What the LenSiam paper leaves open (source positions and sizes, lens light, noise level) is a key
of `Population` or `Observation`.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from astrojax.simulate.lens.deflection import Lens

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Population:
    """What lenses and sources there are. Pairs are (lowest, highest); angles in arcsec.

    Attributes:
        theta_E: the eight parameters of `Lens` are uniform over their ranges.
        e1: ditto.
        e2: ditto.
        center_x: ditto.
        center_y: ditto.
        gamma: ditto.
        gamma1: ditto.
        gamma2: ditto.
        light_probability: chance that the lens shines; 0 leaves the mass as the only sign of it.
        light_scatter: standard deviation of the light's centre and ellipticity about the mass's,
            in units of the width of the mass's range.
        light_half_light: half-light radius of the lens, log-uniform.
        light_index: its Sersic index, uniform.
        source_flux: flux of all sources before lensing, in units of the lens light, log-uniform.
        source_offset: sources lie uniformly in a disc of this radius, in units of theta_E, about
            the point behind the lens.
        source_half_light: half-light radius of analytic sources, log-uniform.
        source_index: Sersic index of analytic sources, uniform.
        source_ellipticity: largest (1 - q) / (1 + q) of analytic sources.
        stamp_fraction: chance that a source is one of the stamps handed in.
        stamp_scale: arcsec per pixel of the stamps behind the lens. Galaxies bright enough for
            a good stamp are nearer and larger than lensed ones: about a third of the scale they
            were observed with suits those of COSMOS, 0.03 arcsec.
        core_fraction: chance that an analytic source is core-Sersic, break radius up to 0.3
            half-light radii, inner slope up to 0.5.
        double_fraction: chance of two sources, which share the flux and lie within two half-light
            radii of each other.
    """

    theta_E: Range  # noqa: N815
    e1: Range
    e2: Range
    center_x: Range
    center_y: Range
    gamma: Range
    gamma1: Range
    gamma2: Range
    light_probability: float
    light_scatter: float
    light_half_light: Range
    light_index: Range
    source_flux: Range
    source_offset: float
    source_half_light: Range
    source_index: Range
    source_ellipticity: float
    stamp_fraction: float
    stamp_scale: float
    core_fraction: float
    double_fraction: float

    def ranges(self) -> tuple[Range, ...]:
        """The ranges of the eight parameters, in the order of `Lens`."""
        return tuple(getattr(self, name) for name in Lens._fields)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observation:
    """What takes the image.

    Attributes:
        stamp: side in pixels.
        pixel_scale: arcsec per pixel.
        supersampling: rays per pixel along one axis.
        psf_count: number of PSFs; those of a file come instead of these.
        psf_size: their side in pixels, odd.
        psf_fwhm: their widths, arcsec.
        psf_beta: their Moffat indices.
        psf_ellipticity: largest (1 - q) / (1 + q).
        noise: standard deviation per pixel in units of the noise-free peak, log-uniform.
    """

    stamp: int
    pixel_scale: float
    supersampling: int
    psf_count: int
    psf_size: int
    psf_fwhm: Range
    psf_beta: Range
    psf_ellipticity: float
    noise: Range


# Ranges of the mass as in the LenSiam code's figures; the rest resembles lenses found with HST.
LENSIAM = Population(
    theta_E=(0.9, 1.7),
    e1=(-0.3, 0.3),
    e2=(-0.3, 0.3),
    center_x=(-0.1, 0.1),
    center_y=(-0.1, 0.1),
    gamma=(1.6, 2.4),
    gamma1=(-0.1, 0.1),
    gamma2=(-0.1, 0.1),
    light_probability=1.0,
    light_scatter=0.025,
    light_half_light=(0.4, 1.2),
    light_index=(2.0, 5.0),
    source_flux=(0.03, 0.3),
    source_offset=0.3,
    source_half_light=(0.05, 0.3),
    source_index=(0.5, 2.5),
    source_ellipticity=0.4,
    stamp_fraction=0.0,
    stamp_scale=0.03,
    core_fraction=0.25,
    double_fraction=0.1,
)

HST = Observation(
    stamp=110,
    pixel_scale=0.05,
    supersampling=2,
    psf_count=23,
    psf_size=35,
    psf_fwhm=(0.08, 0.12),
    psf_beta=(2.2, 3.5),
    psf_ellipticity=0.03,
    noise=(0.002, 0.02),
)

EUCLID = Observation(
    stamp=66,
    pixel_scale=0.1,
    supersampling=4,
    psf_count=7,
    psf_size=31,
    psf_fwhm=(0.15, 0.18),
    psf_beta=(2.5, 3.0),
    psf_ellipticity=0.06,
    noise=(0.005, 0.04),
)


class Light(NamedTuple):
    """A core-Sersic galaxy, or a stamp in its place; lengths in arcsec."""

    flux: Array
    x: Array
    y: Array
    e1: Array
    e2: Array
    half_light: Array
    n: Array
    core: Array
    cusp: Array
    stamp: Int[Array, "*k"]  # which stamp; -1 is none
    angle: Array  # of the stamp


class Scene(NamedTuple):
    """Everything in an image but the lens itself."""

    light: Light
    sources: Light  # two; the second is mostly dark
    psf: Int[Array, ""]  # which of the set
    noise: Float[Array, ""]  # in units of the peak


def _uniform(u: Array, limits: Range) -> Array:
    return limits[0] + (limits[1] - limits[0]) * u


def _log_uniform(u: Array, limits: Range) -> Array:
    return limits[0] * (limits[1] / limits[0]) ** u


def draw_lens(key: PRNGKeyArray, *, population: Population) -> Lens:
    """One lens, its eight parameters uniform and independent."""
    ranges = population.ranges()
    u = jax.random.uniform(key, (len(ranges),))
    return Lens(*(_uniform(u[i], limits) for i, limits in enumerate(ranges)))


def _lens_light(
    u: Float[Array, "3"], normal: Float[Array, "4"], lens: Lens, population: Population
) -> Light:
    """The lens galaxy: beside the mass by a little, in position and ellipticity."""
    shifted = {
        name: getattr(lens, name) + population.light_scatter * normal[i] * (limits[1] - limits[0])
        for i, name in enumerate(("center_x", "center_y", "e1", "e2"))
        for limits in [getattr(population, name)]
    }
    zero = jnp.zeros(())
    return Light(
        flux=jnp.where(u[2] < population.light_probability, 1.0, 0.0),
        x=shifted["center_x"],
        y=shifted["center_y"],
        e1=shifted["e1"],
        e2=shifted["e2"],
        half_light=_log_uniform(u[0], population.light_half_light),
        n=_uniform(u[1], population.light_index),
        core=zero,
        cusp=zero,
        stamp=jnp.full((), -1),
        angle=zero,
    )


def _sources(
    shared: Float[Array, "5"],
    u: Float[Array, "11 2"],
    lens: Lens,
    population: Population,
    stamps: int,
) -> Light:
    """Two sources, of which the second shines in `double_fraction` of the scenes."""
    double = shared[0] < population.double_fraction
    share = jnp.where(double, _uniform(shared[1], (0.2, 0.8)), 1.0)
    half_light = _log_uniform(u[0], population.source_half_light)
    shape = population.source_ellipticity * jnp.sqrt(u[1])
    turn = 2 * jnp.pi * u[2]
    # Uniform in a disc about the point that the middle of the lens hides, then the second near it.
    far = population.source_offset * lens.theta_E * jnp.sqrt(shared[3])
    towards = 2 * jnp.pi * shared[4]
    shear_x = lens.gamma1 * lens.center_x + lens.gamma2 * lens.center_y
    shear_y = lens.gamma2 * lens.center_x - lens.gamma1 * lens.center_y
    apart = 2 * half_light.max() * jnp.sqrt(u[3]) * jnp.array([0.0, 1.0])
    around = 2 * jnp.pi * u[4]
    cored = u[5] < population.core_fraction
    real = (u[6] < population.stamp_fraction) & (stamps > 0)
    return Light(
        flux=_log_uniform(shared[2], population.source_flux) * jnp.stack([share, 1 - share]),
        x=lens.center_x - shear_x + far * jnp.cos(towards) + apart * jnp.cos(around),
        y=lens.center_y - shear_y + far * jnp.sin(towards) + apart * jnp.sin(around),
        e1=shape * jnp.cos(turn),
        e2=shape * jnp.sin(turn),
        half_light=half_light,
        n=_uniform(u[7], population.source_index),
        core=jnp.where(cored, 0.3 * u[8], 0.0),
        cusp=jnp.where(cored, 0.5 * u[9], 0.0),
        stamp=jnp.where(real, (u[10] * stamps).astype(jnp.int32), -1),
        angle=turn,
    )


def draw_scene(
    key: PRNGKeyArray,
    lens: Lens,
    *,
    population: Population,
    observation: Observation,
    psfs: int,
    stamps: int,
) -> Scene:
    """Lens light, sources, PSF and noise level for one image of a lens.

    Args:
        key: of this image.
        lens: what the light lies near and the sources lie behind.
        population: what there is.
        observation: for the noise.
        psfs: how many there are to choose from.
        stamps: how many real galaxies there are to choose from.
    """
    # All numbers at once: every further draw would cost half a second of compilation.
    uniform_key, normal_key = jax.random.split(key)
    u = jax.random.uniform(uniform_key, (32,))
    normal = jax.random.normal(normal_key, (4,))
    return Scene(
        light=_lens_light(u[:3], normal, lens, population),
        sources=_sources(u[3:8], u[8:30].reshape(11, 2), lens, population, stamps),
        psf=(u[30] * psfs).astype(jnp.int32),
        noise=_log_uniform(u[31], observation.noise),
    )
