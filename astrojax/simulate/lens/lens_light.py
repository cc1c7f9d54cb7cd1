# SPDX-License-Identifier: Apache-2.0
"""What shines in a lens scene and what blurs it: core-Sersic light, stamps of galaxies, PSFs."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from astrojax.errors import UserError
from astrojax.simulate.profiles import Scalar, elliptical_radius, sersic_b

_SHARPNESS = 3  # of the transition to the core, as lenstronomy has it by default


def core_sersic(
    squared: Float[Array, "*s"], *, half_light: Scalar, n: Scalar, core: Scalar, cusp: Scalar
) -> Float[Array, "*s"]:
    """Surface brightness of a core-Sersic profile; a Sersic profile where core = cusp = 0.

    I = (1 + (Rb / R)^3)^(cusp / 3) exp(-b ((R^3 + Rb^3) / Re^3)^(1 / 3n)), divided by the flux of
    the Sersic profile that it follows outside the core.

    Args:
        squared: squared elliptical radius.
        half_light: Re of that Sersic profile, in the unit of the radius.
        n: its index.
        core: break radius Rb in units of Re.
        cusp: slope inside it, I ~ R^-cusp.

    Source: Trujillo et al. 2004, AJ 127, 1917, equation 5, with alpha = 3 as in lenstronomy.
    """
    b = sersic_b(n)
    flux = 2 * jnp.pi * n * half_light**2
    log_flux = jnp.log(flux) - 2 * n * jnp.log(b) + jax.scipy.special.gammaln(2 * n)
    # By logarithms, which cost a CPU less than powers. The floor keeps the centre finite.
    scaled = jnp.maximum(squared / half_light**2, 1e-8)
    cubed = scaled * jnp.sqrt(scaled)
    log_outer = jnp.log(cubed + core * core * core)
    shape = jnp.exp(log_outer / (_SHARPNESS * n))
    return jnp.exp(cusp / _SHARPNESS * (log_outer - jnp.log(cubed)) - b * shape - log_flux)


def interpolate(
    stamp: Float[Array, "h w"], x: Float[Array, "*s"], y: Float[Array, "*s"]
) -> Float[Array, "*s"]:
    """Bilinear interpolation of a square stamp, x and y in pixels from its middle; zero outside."""
    middle = (stamp.shape[0] - 1) / 2
    return jax.scipy.ndimage.map_coordinates(stamp, [y + middle, x + middle], order=1)


def check_stamps(
    stamps: Float[np.ndarray, "n h w"], *, min_size: int, max_offset: float
) -> Float[Array, "n h w"]:
    """Stamps of galaxies made fit to be sources: sky subtracted, edges faded, unit sum.

    The sky is the median of the border. A window that falls to zero over the outer tenth keeps the
    frame from showing in the arcs.

    Args:
        stamps: square, one galaxy each, with little noise (it is lensed along with the galaxy).
        min_size: smallest side in pixels; the LenSiam paper asks for 50.
        max_offset: largest distance of the light's centroid from the centre, in sides.

    Raises:
        UserError: The stamps are not square, too small, not finite, empty or not centred.
    """
    stamps = np.asarray(stamps, np.float32)
    if stamps.ndim != 3 or stamps.shape[1] != stamps.shape[2]:
        raise UserError(f"source stamps have shape {stamps.shape}; they have to be [n h h]")
    side = stamps.shape[1]
    if side < min_size:
        raise UserError(f"source stamps are {side} px wide, fewer than {min_size}: cut larger ones")
    bad = np.flatnonzero(~np.isfinite(stamps).all((1, 2)))
    if len(bad):
        raise UserError(f"source stamp {bad[0]} has NaN or infinite pixels")
    border = np.ones((side, side), bool)
    border[2:-2, 2:-2] = False
    sky = np.median(stamps[:, border], axis=1)
    ramp = np.clip((side / 2 - np.abs(np.arange(side) - (side - 1) / 2)) / (0.1 * side), 0, 1)
    window = (0.5 - 0.5 * np.cos(np.pi * ramp)).astype(np.float32)
    faded = (stamps - sky[:, None, None]) * window[:, None] * window
    total = faded.sum((1, 2))
    empty = np.flatnonzero(total <= 0)
    if len(empty):
        raise UserError(f"source stamp {empty[0]} holds no light above its border")
    faded /= total[:, None, None]
    # Sky noise far out would move a plain centroid: light above a tenth of the peak decides.
    bright = np.maximum(faded - 0.1 * faded.max((1, 2), keepdims=True), 0)
    bright /= bright.sum((1, 2), keepdims=True)
    axis = np.arange(side) - (side - 1) / 2
    offset = np.hypot(bright.sum(1) @ axis, bright.sum(2) @ axis) / side
    if (offset > max_offset).any():
        worst = int(offset.argmax())
        raise UserError(
            f"source stamp {worst} is not centred: its light lies {offset[worst] * side:.1f} px "
            f"from the middle (at most {max_offset * side:.1f}); cut it about the galaxy"
        )
    return jnp.asarray(faded)


def psf_bank(
    *,
    count: int,
    size: int,
    pixel_scale: float,
    fwhm: tuple[float, float],
    beta: tuple[float, float],
    ellipticity: float,
) -> Float[Array, "n h w"]:
    """Elliptical Moffat PSFs of unit sum, spread evenly over the given ranges.

    The same arguments always give the same set. The profile is that of the optics: the pixel's
    own blur comes from averaging over sub-pixels.

    Args:
        count: how many; LenSiam has 23.
        size: side in pixels, odd.
        pixel_scale: arcsec per pixel.
        fwhm: smallest and largest full width at half maximum, arcsec.
        beta: smallest and largest Moffat index.
        ellipticity: largest (1 - q) / (1 + q).
    """
    # A Kronecker sequence fills the four ranges evenly for any count (Roberts 2018, R_4).
    ratio = 1.1673039782614187
    u = (0.5 + np.arange(1, count + 1)[:, None] * ratio ** -np.arange(1, 5)) % 1.0
    width = fwhm[0] + (fwhm[1] - fwhm[0]) * u[:, 0]
    index = beta[0] + (beta[1] - beta[0]) * u[:, 1]
    shape = ellipticity * u[:, 2]
    axis = (jnp.arange(size, dtype=jnp.float32) - size // 2) * pixel_scale

    def one(width, index, shape, turn):
        q = (1 - shape) / (1 + shape)
        radius = elliptical_radius(axis[None, :], axis[:, None], q=q, angle=jnp.pi * turn)
        alpha = width / (2 * jnp.sqrt(2 ** (1 / index) - 1))
        psf = (1 + (radius / alpha) ** 2) ** -index
        return psf / psf.sum()

    return jax.vmap(one)(*(jnp.asarray(v, jnp.float32) for v in (width, index, shape, u[:, 3])))


def check_psfs(psfs: Float[np.ndarray, "n h w"]) -> Float[Array, "n h w"]:
    """PSFs handed in, scaled to unit sum.

    Raises:
        UserError: They are not square with an odd side, not finite, without light, or their peak
            is not near the centre.
    """
    psfs = np.asarray(psfs, np.float32)
    if psfs.ndim != 3 or psfs.shape[1] != psfs.shape[2] or psfs.shape[1] % 2 == 0:
        raise UserError(f"PSFs have shape {psfs.shape}; they have to be [n h h] with h odd")
    if not np.isfinite(psfs).all():
        raise UserError("the PSFs have NaN or infinite pixels")
    total = psfs.sum((1, 2))
    if (total <= 0).any():
        raise UserError(f"PSF {int(total.argmin())} has a sum of {total.min():g}, not positive")
    side = psfs.shape[1]
    peak = np.stack(np.unravel_index(psfs.reshape(len(psfs), -1).argmax(1), (side, side)))
    if (np.abs(peak - side // 2) > 1).any():
        raise UserError("a PSF's peak is more than a pixel from its central pixel: centre it")
    return jnp.asarray(psfs / total[:, None, None])
