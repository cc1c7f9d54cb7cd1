# SPDX-License-Identifier: Apache-2.0
"""Draw one object of a survey: its scene and its true catalogue entry, from a key.

Three skies: `field` (a deep field's galaxies), `wide` (galaxies, stars, quasars and mergers of a
shallow survey), `nearby` (large galaxies, as many of every morphological class).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from astrojax.simulate.survey import components
from astrojax.simulate.survey import population as pop
from astrojax.simulate.survey.scene import Scene, Smooth
from astrojax.simulate.survey.sed import SedTable, galaxy_flux, load_table, quasar_flux, star_flux

Truth = dict[str, Array]

# Highest redshift of each sky's galaxies.
FIELD_REDSHIFT = 3.0
WIDE_REDSHIFT = 0.6

_GALAXY, _STAR, _QUASAR, _MERGER = range(4)


def _scaled(flux: Float[Array, "c"], magnitude: Array, survey) -> Float[Array, "c"]:
    """Flux in microjansky, the reference band's at the given AB magnitude."""
    unit = 10 ** (-0.4 * (magnitude - survey.zero_point))
    return flux * unit / flux[survey.reference]


def _neighbours(key: PRNGKeyArray, survey, table: SedTable, draw_z) -> Smooth:
    """Other galaxies of the field, each one disc; a slot that stays empty has no flux."""
    count = 3
    keys = jax.random.split(key, count)

    def one(key):
        u = jax.random.uniform(key, (14,))
        magnitude = pop.counts(u[0], bright=survey.neighbours[0], faint=survey.neighbours[1])
        z = draw_z(u[1], magnitude)
        spectrum = pop.draw_spectrum(u[2:6], z, magnitude)
        flux = sum(pop.spectrum_flux(table, z, spectrum))
        absolute = magnitude - pop.distance_modulus(z) + 2.5 * jnp.log10(1 + z)
        absolute = absolute + 2.5 * jnp.log10(flux[survey.reference])
        normal = jax.scipy.special.ndtri(0.02 + 0.96 * u[6])
        size = pop.half_light(normal, absolute=absolute, redshift=z, quiescent=spectrum.quiescent)
        place = survey.neighbour_extent * (2 * u[7:9] - 1)
        # One on top of the target would be taken for part of it by any catalogue.
        apart = jnp.hypot(place[0], place[1]) > 0.25 * survey.neighbour_extent
        present = (u[9] < survey.neighbour_probability) & apart
        q = 0.3 + 0.7 * u[10]
        shape = (size * jnp.sqrt(q), q, jnp.pi * u[11], -0.2 + 0.8 * u[12])
        return place[0], place[1], *shape, present * _scaled(flux, magnitude, survey)

    return Smooth(*jax.vmap(one)(keys))


def _galaxy(key, survey, table, *, magnitude, redshift, spectrum, label, q, offset):
    """Smooth light, structure and truth of a galaxy whose spectrum and class are known."""
    size_key, shape_key = jax.random.split(key)
    bulge, disc = pop.spectrum_flux(table, redshift, spectrum)
    total = bulge + disc
    reference = total[survey.reference]
    absolute = magnitude - pop.distance_modulus(redshift) + 2.5 * jnp.log10(1 + redshift)
    absolute = absolute + 2.5 * jnp.log10(reference)
    normal = jnp.clip(jax.random.normal(size_key), -2.5, 2.5)
    size = pop.half_light(
        normal, absolute=absolute, redshift=redshift, quiescent=spectrum.quiescent
    )
    size = jnp.clip(size, survey.size_limits[0], survey.size_limits[1])
    flux = _scaled(total, magnitude, survey)
    blue = galaxy_flux(table, redshift, jnp.float32(3.0), jnp.float32(0.0)) / disc
    smooth, structure = components.galaxy(
        shape_key,
        label=label,
        spectrum=spectrum,
        bulge=flux * bulge / total,
        disc=flux * disc / total,
        young=blue / blue[-1],
        size=size,
        q=q,
        offset=offset,
        redshift=redshift,
    )
    truth = {
        "redshift_true": redshift,
        "flux_true": flux,
        "label": label,
        "type": (1 - spectrum.bulge) * spectrum.kind,
        "bulge_fraction": spectrum.bulge,
        "dust": spectrum.dust,
        "size": size,
        "axis_ratio": q,
    }
    return smooth, structure, truth


def _offset(key: PRNGKeyArray, survey) -> Float[Array, "2"]:
    """The catalogue's centre is off by up to half a pixel, as a stamp cut on whole pixels is."""
    return survey.pixel_scale * jax.random.uniform(key, (2,), minval=-0.5, maxval=0.5)


def _inclined(cosine: Array) -> Array:
    """Axis ratio of a disc of thickness 0.15 seen at an inclination (Hubble 1926)."""
    return jnp.sqrt(cosine**2 + 0.15**2 * (1 - cosine**2))


def field(key: PRNGKeyArray, survey) -> tuple[Scene, Truth]:
    """A galaxy of a deep field: magnitude from counts, then redshift, spectrum, shape."""
    keys = jax.random.split(key, 5)
    table = load_table(survey.table, survey.bands)
    u = jax.random.uniform(keys[0], (12,))
    magnitude = pop.counts(u[0], bright=survey.bright, faint=survey.faint)
    redshift = pop.draw_redshift(u[1], magnitude, limit=FIELD_REDSHIFT)
    spectrum = pop.draw_spectrum(u[2:6], redshift, magnitude)
    q = jnp.where(spectrum.quiescent, 0.45 + 0.55 * u[6], _inclined(u[6]))
    label = pop.draw_class(u[7:10], q=q, redshift=redshift, quiescent=spectrum.quiescent)
    spoiled = u[10] < 0.02
    smooth, structure, truth = _galaxy(
        keys[1],
        survey,
        table,
        magnitude=magnitude,
        redshift=redshift,
        spectrum=spectrum,
        label=label,
        q=q,
        offset=_offset(keys[2], survey),
    )
    truth["label"] = jnp.where(spoiled, pop.ARTEFACT, label)
    near = _neighbours(
        keys[3], survey, table, lambda v, m: pop.draw_redshift(v, m, limit=FIELD_REDSHIFT)
    )
    streaks = components.streaks(
        keys[4], present=spoiled, noise=jnp.array(survey.noise), extent=survey.neighbour_extent
    )
    return Scene(components.concatenate(smooth, near), structure, streaks), truth


def nearby(key: PRNGKeyArray, survey) -> tuple[Scene, Truth]:
    """A large galaxy of a class drawn first, all seven equally often."""
    keys = jax.random.split(key, 6)
    table = load_table(survey.table, survey.bands)
    u = jax.random.uniform(keys[0], (10,))
    drawn = jax.random.randint(keys[5], (), 0, len(pop.CLASSES))
    spoiled = drawn == pop.ARTEFACT
    label = jnp.where(spoiled, jnp.floor(pop.MERGER * u[0]).astype(jnp.int32), drawn)
    red = (label == pop.ELLIPTICAL) | ((label == pop.DISC) & (u[1] < 0.3))
    kind = jnp.where(red, 0.2 + 0.8 * u[2], 1.0 + 1.6 * u[2])
    bulge = jnp.where(label == pop.ELLIPTICAL, 0.7 + 0.3 * u[3], 0.05 + 0.45 * u[3] ** 2)
    spectrum = pop.Spectrum(red, bulge, kind, jnp.where(red, 0.05, 0.3) * u[4])
    q = jnp.where(label == pop.EDGE_ON, _inclined(0.2 * u[5]), _inclined(0.45 + 0.55 * u[5]))
    q = jnp.where(label == pop.ELLIPTICAL, 0.55 + 0.45 * u[5], q)
    magnitude = pop.counts(u[6], bright=survey.bright, faint=survey.faint)
    redshift = 0.02 + 0.08 * u[7]
    smooth, structure, truth = _galaxy(
        keys[1],
        survey,
        table,
        magnitude=magnitude,
        redshift=redshift,
        spectrum=spectrum,
        label=label,
        q=q,
        offset=_offset(keys[2], survey),
    )
    truth["label"] = drawn
    near = _neighbours(keys[3], survey, table, lambda v, m: 0.05 + 0.45 * v)
    streaks = components.streaks(
        keys[4], present=spoiled, noise=jnp.array(survey.noise), extent=survey.neighbour_extent
    )
    return Scene(components.concatenate(smooth, near), structure, streaks), truth


def wide(key: PRNGKeyArray, survey) -> tuple[Scene, Truth]:
    """A galaxy (0), star (1), quasar (2) or merger (3) of a shallow survey in many bands.

    The shares 0.4, 0.35, 0.1, 0.15 are chosen to train on, not to be those of the sky.
    """
    keys = jax.random.split(key, 5)
    table = load_table(survey.table, survey.bands)
    u = jax.random.uniform(keys[0], (14,))
    which = jnp.searchsorted(jnp.array([0.4, 0.75, 0.85]), u[0]).astype(jnp.int32)
    magnitude = pop.counts(u[1], bright=survey.bright, faint=survey.faint)
    scale = 0.05 + 0.045 * (magnitude - 14)
    redshift = jnp.clip(scale * (-jnp.log1p(-0.99 * u[2])) ** (1 / 1.8), 0.01, WIDE_REDSHIFT)
    # The field's rule for spectra at the same luminosities: an H magnitude of 20 at z = 0.5.
    spectrum = pop.draw_spectrum(u[3:7], redshift, magnitude + 3.0)
    q = jnp.where(spectrum.quiescent, 0.45 + 0.55 * u[7], _inclined(u[7]))
    label = pop.draw_class(u[8:11], q=q, redshift=redshift, quiescent=spectrum.quiescent)
    # A merger that the class draw made is none here unless the population says so.
    label = jnp.where(label == pop.MERGER, pop.DISC, label)
    label = jnp.where(which == _MERGER, pop.MERGER, label)
    offset = _offset(keys[2], survey)
    smooth, structure, truth = _galaxy(
        keys[1],
        survey,
        table,
        magnitude=magnitude,
        redshift=redshift,
        spectrum=spectrum,
        label=label,
        q=q,
        offset=offset,
    )
    star = star_flux(table, 3200 * 10 ** (0.5 * u[11] ** 1.3))
    distant = 0.1 + 3.2 * u[12]
    quasar = quasar_flux(table, distant, -1.0 + u[13])
    compact = (which == _STAR) | (which == _QUASAR)
    flux = _scaled(jnp.where(which == _STAR, star, quasar), magnitude, survey)
    near = _neighbours(keys[3], survey, table, lambda v, m: 0.05 + 0.45 * v)
    whole = components.concatenate(
        smooth._replace(flux=jnp.where(compact, 0.0, smooth.flux)),
        components.point(jnp.where(compact, flux, 0.0), offset),
        near,
    )
    structure = structure._replace(flux=jnp.where(compact, 0.0, structure.flux))
    streaks = components.streaks(
        keys[4],
        present=jnp.array(False),
        noise=jnp.array(survey.noise),
        extent=survey.neighbour_extent,
    )
    for name in ("type", "bulge_fraction", "dust", "axis_ratio"):
        truth[name] = jnp.where(compact, jnp.nan, truth[name])
    truth["label"] = which
    truth["size"] = jnp.where(compact, 0.0, truth["size"])
    truth["flux_true"] = jnp.where(compact, flux, truth["flux_true"])
    of_point = jnp.where(which == _STAR, 0.0, distant)
    truth["redshift_true"] = jnp.where(compact, of_point, redshift)
    return Scene(whole, structure, streaks), truth
