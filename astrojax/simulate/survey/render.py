# SPDX-License-Identifier: Apache-2.0
"""Draw a scene in every band of a survey, without noise.

Smooth light is drawn in Fourier space, where a Spergel profile is one power and its steep centre
needs no supersampling; structure is drawn at pixel centres and joins it there; each band then takes
one inverse transform. The PSF is the effective one (it includes the pixel), sampled on the pixels.
So the image is band-limited at the pixels' Nyquist frequency. Against GalSim's continuous
convolution at the same pixels, with a PSF of 2 pixels FWHM, it is within 0.8% of the peak for
half-light radii from 1 pixel; an unresolved source between two pixels differs by 1.9%.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from astrojax.simulate.profiles import elliptical_radius, moffat_psf, spergel_transform
from astrojax.simulate.survey.scene import Scene, Smooth, Streaks, Structure


def frame(stamp: int) -> int:
    """Side of the padded Fourier frame: a third more than the stamp, a multiple of 16."""
    return -(-stamp * 4 // 3 // 16) * 16


def psf_transform(
    fwhm: tuple[float, ...], beta: float, pixel_scale: float, size: int
) -> Float[Array, "c h w"]:
    """Real transform of each band's Moffat PSF, centred on pixel (0, 0) of a `size` frame."""
    psf = jnp.stack([moffat_psf(size, f / pixel_scale, beta) for f in fwhm])
    return jnp.fft.rfft2(jnp.fft.ifftshift(psf, axes=(1, 2))).real


def _mix(parts: Float[Array, "s h w"], flux: Float[Array, "s c"]) -> Float[Array, "c h w"]:
    """Sum the parts with their flux in each band."""
    return (flux.T @ parts.reshape(len(parts), -1)).reshape(-1, *parts.shape[1:])


def _smooth(
    smooth: Smooth, *, stamp: int, size: int, pixel_scale: float
) -> Complex[Array, "c h w"]:
    """Fourier transform of all smooth components, in every band."""
    ky = jnp.asarray(2 * np.pi * np.fft.fftfreq(size), jnp.float32)
    kx = jnp.asarray(2 * np.pi * np.fft.rfftfreq(size), jnp.float32)

    def profile(half_light, q, angle, nu):
        k = elliptical_radius(kx[None, :], ky[:, None], q=1 / q, angle=angle)
        return spergel_transform((k * half_light / pixel_scale) ** 2, nu=nu)

    # What lies far outside would wrap round to the other edge; a quarter of the padding keeps its
    # distance there three times that to its own edge.
    limit = (stamp / 2 + (size - stamp) / 4) * pixel_scale
    inside = (jnp.abs(smooth.x) < limit) & (jnp.abs(smooth.y) < limit)
    flux = jnp.where(inside[:, None], smooth.flux, 0.0)
    # The shift exp(-i (kx x + ky y)) as matrix products of sines and cosines along one axis: XLA
    # would otherwise evaluate them again for every pixel and band, five times slower on a CPU.
    x = kx * (smooth.x[:, None] / pixel_scale + stamp // 2)
    y = ky * (smooth.y[:, None] / pixel_scale + stamp // 2)
    columns = jnp.stack([jnp.cos(x), jnp.sin(x)], axis=1)
    cos, sin = jnp.cos(y), jnp.sin(y)
    real = jnp.einsum("sah,saw->shw", jnp.stack([cos, -sin], axis=1), columns)
    imag = jnp.einsum("sah,saw->shw", jnp.stack([-sin, -cos], axis=1), columns)
    drawn = jax.vmap(profile)(smooth.half_light, smooth.q, smooth.angle, smooth.nu)
    return jax.lax.complex(_mix(drawn * real, flux), _mix(drawn * imag, flux))


def _grid(stamp: int, pixel_scale: float) -> tuple[Array, Array]:
    axis = (jnp.arange(stamp, dtype=jnp.float32) - stamp // 2) * pixel_scale
    return axis[None, :], axis[:, None]


def draw_structure(part: Structure, *, stamp: int, pixel_scale: float) -> Float[Array, "h w"]:
    """Arms, ring and clumps at the pixel centres, of unit sum over the stamp."""
    column, row = _grid(stamp, pixel_scale)
    cos, sin = jnp.cos(part.angle), jnp.sin(part.angle)
    x = (cos * (column - part.x) + sin * (row - part.y)) / part.half_light
    y = (cos * (row - part.y) - sin * (column - part.x)) / (part.half_light * part.q)
    squared = x**2 + y**2
    radius = jnp.sqrt(squared + 1e-12)
    azimuth = jnp.arctan2(y, x + 1e-9)
    turn = part.arms * (azimuth - part.phase - part.winding * jnp.log(radius + 0.1))
    crest = (0.5 + 0.5 * jnp.cos(turn)) ** 4
    # The taper keeps the crowded centre, where arms are thinner than pixels, out of it.
    arms = crest * jnp.exp(-part.decay * radius) * squared / (squared + 0.25)
    ring = jnp.exp(-0.5 * ((radius - part.ring) / 0.2) ** 2)
    distance = (x[..., None] - part.clumps[:, 0]) ** 2 + (y[..., None] - part.clumps[:, 1]) ** 2
    clumps = jnp.exp(-0.5 * distance / 0.15**2).sum(-1)
    layers = jnp.stack([arms, ring, clumps])
    share = part.weight / (layers.sum((1, 2)) + 1e-9)
    return jnp.einsum("lhw,l->hw", layers, share)


def draw_streaks(part: Streaks, *, stamp: int, pixel_scale: float) -> Float[Array, "c h w"]:
    """Streaks at the pixel centres, Gaussian across and flat-topped along."""
    column, row = _grid(stamp, pixel_scale)

    def streak(x, y, angle, length, width):
        along = jnp.cos(angle) * (column - x) + jnp.sin(angle) * (row - y)
        across = jnp.cos(angle) * (row - y) - jnp.sin(angle) * (column - x)
        return jnp.exp(-0.5 * (across / width) ** 2 - (along / length) ** 4)

    return _mix(jax.vmap(streak)(*part[:-1]), part.flux)


def render(
    scene: Scene,
    *,
    psf_fwhm: tuple[float, ...],
    psf_beta: float,
    pixel_scale: float,
    stamp: int,
) -> Float[Array, "c h w"]:
    """Noise-free image of one scene, in microjansky per pixel, bands first.

    Args:
        scene: what to draw; its origin falls on pixel (stamp // 2, stamp // 2).
        psf_fwhm: full width at half maximum of each band's effective PSF, arcsec.
        psf_beta: Moffat index of the PSF.
        pixel_scale: arcsec per pixel.
        stamp: side of the image in pixels.
    """
    size = frame(stamp)
    psf = psf_transform(psf_fwhm, psf_beta, pixel_scale, size)
    smooth = _smooth(scene.smooth, stamp=stamp, size=size, pixel_scale=pixel_scale)
    structure = draw_structure(scene.structure, stamp=stamp, pixel_scale=pixel_scale)
    spectrum = jnp.fft.rfft2(structure, s=(size, size))
    total = (smooth + scene.structure.flux[:, None, None] * spectrum) * psf
    image = jnp.fft.irfft2(total, s=(size, size))[:, :stamp, :stamp]
    streaks = draw_streaks(scene.streaks, stamp=stamp, pixel_scale=pixel_scale)
    return image + streaks
