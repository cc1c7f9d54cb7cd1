# SPDX-License-Identifier: Apache-2.0
"""What the renderer draws: plain arrays that describe one object and its surroundings."""

from typing import NamedTuple

from jaxtyping import Array, Float


class Smooth(NamedTuple):
    """Spergel profiles, one per row s. Angles are in radians, lengths in arcseconds."""

    x: Float[Array, "s"]
    y: Float[Array, "s"]
    half_light: Float[Array, "s"]  # of the circle of the same area; 0 is a point source
    q: Float[Array, "s"]
    angle: Float[Array, "s"]
    nu: Float[Array, "s"]
    flux: Float[Array, "s c"]  # microjansky


class Structure(NamedTuple):
    """Arms, a ring and clumps in the plane of the disc, lengths in units of its half-light."""

    x: Float[Array, ""]  # arcsec, as are y and half_light
    y: Float[Array, ""]
    half_light: Float[Array, ""]  # along the major axis
    q: Float[Array, ""]
    angle: Float[Array, ""]
    arms: Float[Array, ""]  # number of arms; 1 is the tail of a merger
    winding: Float[Array, ""]  # cotangent of the pitch angle, signed
    phase: Float[Array, ""]
    decay: Float[Array, ""]  # of the arms' brightness, e-folds per half-light radius
    ring: Float[Array, ""]  # radius
    clumps: Float[Array, "k 2"]
    weight: Float[Array, "3"]  # shares of arms, ring and clumps, sum 1
    flux: Float[Array, "c"]  # microjansky in all


class Streaks(NamedTuple):
    """Artefacts: straight streaks that the sky did not make and the PSF does not blur."""

    x: Float[Array, "a"]  # arcsec, as are y, length and width
    y: Float[Array, "a"]
    angle: Float[Array, "a"]
    length: Float[Array, "a"]
    width: Float[Array, "a"]
    flux: Float[Array, "a c"]  # microjansky per pixel at the brightest


class Scene(NamedTuple):
    """One object with everything else in its stamp, the origin at the stamp's centre."""

    smooth: Smooth
    structure: Structure
    streaks: Streaks
