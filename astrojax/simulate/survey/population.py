# SPDX-License-Identifier: Apache-2.0
"""What the simulated sky holds: distributions of redshift, magnitude, spectrum, size and shape.

They have the form and the order of magnitude of published ones, so that a method meets the real
degeneracies; they are not fits to a survey. Each draw is a function of uniform numbers, so that
`template_fit` can integrate over exactly the same prior.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from astrojax.simulate.survey.sed import SedTable, galaxy_flux

CLASSES = ("elliptical", "disc", "edge-on", "spiral", "ring", "merger", "artefact")
ELLIPTICAL, DISC, EDGE_ON, SPIRAL, RING, MERGER, ARTEFACT = range(len(CLASSES))

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def comoving_distance(redshift: Float[Array, ""]) -> Float[Array, ""]:
    """Comoving distance in megaparsec: flat, H0 = 70 km/s/Mpc, matter 0.3 (1e-4 to z = 4)."""
    z = 0.5 * redshift * (jnp.asarray(_NODES, jnp.float32) + 1)
    expansion = jnp.sqrt(0.3 * (1 + z) ** 3 + 0.7)
    return 4282.75 * 0.5 * redshift * jnp.sum(jnp.asarray(_WEIGHTS, jnp.float32) / expansion)


def distance_modulus(redshift: Float[Array, ""]) -> Float[Array, ""]:
    """Apparent minus absolute magnitude, before the k-correction."""
    return 5 * jnp.log10(comoving_distance(redshift) * (1 + redshift)) + 25


def counts(uniform: Float[Array, ""], *, bright: float, faint: float, slope: float = 0.27) -> Array:
    """Magnitude from number counts N(m) proportional to 10^(slope m) between two limits."""
    low = 10 ** (slope * (bright - faint))
    return faint + jnp.log10(low + uniform * (1 - low)) / slope


def redshift_scale(magnitude: Float[Array, ""]) -> Float[Array, ""]:
    """Scale of p(z | H magnitude), rising with magnitude; median 0.82 times this."""
    return jnp.clip(0.55 + 0.16 * (magnitude - 20), 0.2, 1.6)


def redshift_cdf(redshift: Float[Array, "*n"], magnitude: Float[Array, ""]) -> Float[Array, "*n"]:
    """Share of objects of a magnitude below a redshift: 1 - exp(-(z / scale)^1.8), untruncated.

    The form z^a exp(-(z / z0)^a) is that of Benitez (2000, ApJ 536, 571).
    """
    return -jnp.expm1(-((redshift / redshift_scale(magnitude)) ** 1.8))


def draw_redshift(uniform: Float[Array, ""], magnitude: Float[Array, ""], *, limit: float) -> Array:
    """Redshift up to `limit` for a magnitude, the inverse of `redshift_cdf`."""
    share = uniform * redshift_cdf(jnp.float32(limit), magnitude)
    return redshift_scale(magnitude) * (-jnp.log1p(-share)) ** (1 / 1.8)


class Spectrum(NamedTuple):
    """What a galaxy's light is made of: an old bulge (template E, no dust) and a dusty disc."""

    quiescent: Array  # bool
    bulge: Array  # share of the light at 5500 Angstrom, before dust
    kind: Array  # template of the disc, 0 to 3
    dust: Array  # E(B-V) of the disc, magnitudes


def draw_spectrum(u: Float[Array, "4"], redshift: Array, magnitude: Array) -> Spectrum:
    """Spectrum of a galaxy from four uniform numbers, given its redshift and H magnitude.

    Bright galaxies are more often quiescent, less so at high redshift; the others get later types
    as they get fainter and more distant.
    """
    bright = jax.nn.sigmoid((22.8 - magnitude) / 1.2)
    quiescent = u[0] < (0.04 + 0.5 * bright) / (1 + (redshift / 2) ** 2)
    blue = jnp.clip(1.3 + 0.25 * redshift + 0.15 * (magnitude - 22), 0.9, 2.5)
    return Spectrum(
        quiescent=quiescent,
        bulge=jnp.where(quiescent, 0.65 + 0.35 * u[1], 0.6 * u[1] ** 2),
        kind=jnp.where(quiescent, 0.6 + 0.8 * u[2], jnp.clip(blue + 1.4 * (u[2] - 0.5), 0.8, 3)),
        dust=jnp.where(quiescent, 0.1 * u[3], -0.15 * jnp.log1p(-0.95 * u[3])),
    )


def spectrum_flux(table: SedTable, redshift: Array, spectrum: Spectrum) -> tuple[Array, Array]:
    """Relative fluxes [c] of bulge and disc; their sum at 5500 Angstrom before dust is 1."""
    zero = jnp.zeros(())
    bulge = spectrum.bulge * galaxy_flux(table, redshift, zero, zero)
    disc = galaxy_flux(table, redshift, spectrum.kind, spectrum.dust)
    return bulge, (1 - spectrum.bulge) * disc


def half_light(
    normal: Array, *, absolute: Array, redshift: Array, quiescent: Array
) -> Float[Array, ""]:
    """Half-light radius in arcsec from the absolute magnitude at 5500 Angstrom, with scatter.

    Slopes, evolution and scatter after van der Wel et al. (2014, ApJ 788, 28), luminosity standing
    in for mass: blue galaxies 6 kpc L^0.22 (1+z)^-0.75, red ones 4.5 kpc L^0.5 (1+z)^-1.3.
    """
    bright = -0.4 * (absolute + 21.5)
    blue = 6.0 * 10 ** (0.22 * bright + 0.17 * normal) * (1 + redshift) ** -0.75
    red = 4.5 * 10 ** (0.50 * bright + 0.13 * normal) * (1 + redshift) ** -1.3
    kpc = jnp.where(quiescent, red, blue)
    # Angular-diameter distance in kpc per arcsec.
    scale = comoving_distance(redshift) / (1 + redshift) * 1000 / 206265
    return jnp.clip(kpc / scale, 0.06, 8.0)


def draw_class(u: Float[Array, "3"], *, q: Array, redshift: Array, quiescent: Array) -> Array:
    """Morphological class of a galaxy; spirals thin out and mergers gain with redshift."""
    spiral = 0.65 / (1 + (redshift / 1.5) ** 2)
    face_on = jnp.where(u[0] < 0.08, RING, jnp.where(u[1] < spiral, SPIRAL, DISC))
    blue = jnp.where(q < 0.3, EDGE_ON, face_on)
    red = jnp.where((u[0] < 0.8) | (q > 0.7), ELLIPTICAL, blue)
    label = jnp.where(quiescent, red, blue)
    return jnp.where(u[2] < 0.05 * (1 + redshift), MERGER, label)
