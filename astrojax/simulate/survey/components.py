# SPDX-License-Identifier: Apache-2.0
"""From a galaxy's numbers to its scene: who gets which light, and where it lies."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from astrojax.simulate.survey import population as pop
from astrojax.simulate.survey.scene import Smooth, Streaks, Structure

_CLUMPS = 6


def _stack(*rows: dict[str, Array]) -> Smooth:
    return Smooth(*(jnp.stack([jnp.asarray(row[f]) for row in rows]) for f in Smooth._fields))


def point(flux: Float[Array, "c"], offset: Float[Array, "2"]) -> Smooth:
    """An unresolved object, as a table of one smooth component."""
    zero, one = jnp.zeros(()), jnp.ones(())
    row = {"x": offset[0], "y": offset[1], "half_light": zero, "q": one}
    return _stack(row | {"angle": zero, "nu": 0.5 * one, "flux": flux})


def concatenate(*parts: Smooth) -> Smooth:
    """All components of several tables in one."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def galaxy(
    key: PRNGKeyArray,
    *,
    label: Array,
    spectrum: pop.Spectrum,
    bulge: Float[Array, "c"],
    disc: Float[Array, "c"],
    young: Float[Array, "c"],
    size: Array,
    q: Array,
    offset: Float[Array, "2"],
    redshift: Array,
) -> tuple[Smooth, Structure]:
    """Bulge, disc and (for mergers) companion, and the structure in the disc.

    The disc's light is shared out between the smooth disc and the structure, and a companion takes
    the same part of everything smooth, so the total spectrum stays `bulge + disc` whatever the
    shape: arms and clumps take more of the blue bands.

    Args:
        key: of this galaxy's shape.
        label: class index into `population.CLASSES`.
        spectrum: of the whole galaxy.
        bulge: flux of the bulge in each band, microjansky.
        disc: flux of the disc.
        young: relative flux of young stars in each band, 1 in the reddest.
        size: half-light radius of the whole along the major axis, arcsec.
        q: minor over major axis of the disc.
        offset: of the galaxy's centre from the stamp's, arcsec.
        redshift: only steers how many discs are clumpy.
    """
    keys = jax.random.split(key, 4)
    u = jax.random.uniform(keys[0], (3,))
    clumpy = (label == pop.DISC) & ~spectrum.quiescent & (u[0] < 0.4 * redshift)
    structured = (label == pop.SPIRAL) | (label == pop.RING)
    share = jnp.where(structured, 0.4 + 0.3 * u[1], jnp.where(clumpy, 0.2 + 0.4 * u[1], 0.0))
    share = jnp.where(label == pop.MERGER, 0.15 + 0.2 * u[1], share)
    fraction = jnp.clip(share * young, 0.0, 0.85)
    angle = jnp.pi * u[2]
    disc_size = jnp.where(spectrum.quiescent, 1.5, 1.1) * size
    place = {"x": offset[0], "y": offset[1], "q": q, "angle": angle}
    smooth = _smooth_light(
        keys[1],
        place,
        label=label,
        quiescent=spectrum.quiescent,
        bulge=bulge,
        disc=disc * (1 - fraction),
        size=size,
        disc_size=disc_size,
    )
    structure = _structure(keys[2], place, label=label, clumpy=clumpy, disc_size=disc_size)
    return smooth, structure._replace(flux=disc * fraction)


def _smooth_light(
    key: PRNGKeyArray,
    place: dict[str, Array],
    *,
    label: Array,
    quiescent: Array,
    bulge: Float[Array, "c"],
    disc: Float[Array, "c"],
    size: Array,
    disc_size: Array,
) -> Smooth:
    """Bulge, disc and companion; the companion of what is no merger has no light."""
    u = jax.random.uniform(key, (9,))
    q = place["q"]
    share = jnp.where(label == pop.MERGER, 0.25 + 0.25 * u[0], 0.0)
    bulge_row = place | {
        "half_light": jnp.where(quiescent, 0.9, 0.25) * size,
        "q": jnp.where(label == pop.ELLIPTICAL, q, jnp.maximum(q, 0.6)),
        "nu": -0.6 + 0.2 * u[1],
        "flux": bulge * (1 - share),
    }
    disc_row = place | {
        "half_light": disc_size * jnp.sqrt(q),
        "nu": 0.3 + 0.4 * u[2],
        "flux": disc * (1 - share),
    }
    apart, direction = size * (0.9 + 1.1 * u[3]), 2 * jnp.pi * u[4]
    companion = {
        "x": place["x"] + apart * jnp.cos(direction),
        "y": place["y"] + apart * jnp.sin(direction),
        "half_light": size * (0.25 + 0.25 * u[5]),
        "q": 0.4 + 0.6 * u[6],
        "angle": jnp.pi * u[7],
        "nu": -0.4 + 0.9 * u[8],
        "flux": (bulge + disc) * share,
    }
    return _stack(bulge_row, disc_row, companion)


def _structure(
    key: PRNGKeyArray, place: dict[str, Array], *, label: Array, clumpy: Array, disc_size: Array
) -> Structure:
    """Shape of arms, tail, ring or clumps; its flux is left at zero for the caller to set."""
    u = jax.random.uniform(key, (6 + 2 * _CLUMPS,))
    spiral, ring, merger = label == pop.SPIRAL, label == pop.RING, label == pop.MERGER
    around, out = 2 * jnp.pi * u[6 : 6 + _CLUMPS], 0.4 + 1.1 * u[6 + _CLUMPS :]
    winding = jnp.where(u[0] < 0.5, 1.0, -1.0) * (2.0 + 2.0 * u[1])
    weight = jnp.stack([1.0 * (spiral | merger), 1.0 * ring, jnp.where(spiral, 0.1, clumpy)])
    return Structure(
        x=place["x"],
        y=place["y"],
        half_light=disc_size,
        q=jnp.maximum(place["q"], 0.15),
        angle=place["angle"],
        arms=jnp.where(merger, 1.0, jnp.where(u[2] < 0.75, 2.0, 3.0)),
        winding=jnp.where(merger, 0.4 * winding, winding),
        phase=2 * jnp.pi * u[3],
        decay=jnp.where(merger, 0.8, 1.6),
        ring=1.1 + 0.5 * u[4],
        clumps=jnp.stack([out * jnp.cos(around), out * jnp.sin(around)], axis=-1),
        weight=weight / jnp.maximum(weight.sum(), 1e-6),
        flux=jnp.zeros(()),
    )


def streaks(
    key: PRNGKeyArray, *, present: Array, noise: Float[Array, "c"], extent: float
) -> Streaks:
    """Trail, cosmic rays or bleeding star over the stamp; nothing where `present` is false.

    Args:
        key: of this stamp's artefact.
        present: whether there is one.
        noise: sky noise of each band in microjansky per pixel; brightness is counted in it.
        extent: half the side of the region that may be hit, arcsec.
    """
    keys = jax.random.split(key, 5)
    kind = jax.random.randint(keys[0], (), 0, 3)
    trail, bleed = kind == 0, kind == 2
    angle = jnp.pi * jax.random.uniform(keys[1], (3,))
    angle = jnp.where(bleed, jnp.array([0.0, jnp.pi / 2, jnp.pi / 4]), angle)
    at = extent * jax.random.uniform(keys[2], (2, 3), minval=-0.6, maxval=0.6)
    at = jnp.where(bleed, at[:, :1], at)
    long = jnp.where(bleed, jnp.array([0.7, 1.0, 0.12]), jnp.array([0.15, 0.25, 0.1]))
    wide = jnp.where(bleed, jnp.array([0.02, 0.03, 0.1]), jnp.full(3, 0.012))
    bands = len(noise)
    bright = 10 ** jax.random.uniform(keys[3], (3,), minval=1.3, maxval=2.3)
    hit = jax.nn.one_hot(jax.random.randint(keys[4], (3,), 0, bands), bands)
    # A trail crosses every band, alike; a cosmic ray strikes one.
    shown = jnp.where(kind == 1, 1.5 * hit, jnp.ones((3, bands)))
    shown = jnp.where(trail, shown * jnp.array([1.0, 0.0, 0.0])[:, None], shown)
    return Streaks(
        x=at[0],
        y=at[1],
        angle=angle,
        length=extent * jnp.where(trail, 4.0, long),
        width=extent * jnp.where(trail, 0.025, wide),
        flux=jnp.where(present, 1.0, 0.0) * bright[:, None] * shown * noise,
    )
