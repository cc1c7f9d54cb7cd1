# SPDX-License-Identifier: Apache-2.0
"""Light profiles and point-spread functions: the formulas that every simulator here draws with.

Lengths may be in any unit (arcseconds, pixels) as long as one call uses one unit; a surface
brightness is then per that unit squared. Every function is pure and can be jitted, vmapped and
differentiated.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = Float[Array, ""] | float

# b(n) as a polynomial in ln(n), lowest order first, fitted on 0.29 < n < 1.61 (2e-7 at worst).
_SMALL_N = (
    1.67834702,
    1.98658968,
    1.00829668,
    0.329690114,
    0.0845311846,
    0.0164463708,
    0.00272072589,
    0.000364894677,
)

# ln(half-light / scale radius) of a Spergel profile, a polynomial in ln(1 + nu), fitted on
# -0.85 < nu < 1.5 (1e-4 at worst).
_SPERGEL = (
    0.22886662,
    0.75388554,
    -0.11657872,
    0.040561447,
    -0.011652064,
    0.0030772881,
    -0.0013660852,
)


def sersic_b(n: Float[Array, "*n"] | float) -> Float[Array, "*n"]:
    """Return the b of a Sersic profile, for which half the light lies within the half-light radius.

    The asymptotic expansion of Ciotti & Bertin (1999, A&A 352, 447, equation 18) above n = 1.6, and
    below it, where that diverges, a polynomial in ln(n). The error is below 1e-5 for 0.3 <= n <= 8.
    """
    n = jnp.asarray(n)
    small = jnp.polyval(jnp.array(_SMALL_N[::-1], n.dtype), jnp.log(jnp.clip(n, 0.1, 1.7)))
    terms = (-2194697 / 30690717750, 131 / 1148175, 46 / 25515, 4 / 405, -1 / 3)
    large = 2 * n + jnp.polyval(jnp.array(terms, n.dtype), 1 / n)
    return jnp.where(n < 1.6, small, large)


def elliptical_radius(
    x: Float[Array, "*#s"], y: Float[Array, "*#s"], *, q: Scalar, angle: Scalar
) -> Float[Array, "*#s"]:
    """Geometric mean of the semi-axes of the ellipse through (x, y): its area does not depend on q.

    Args:
        x: offset from the centre along columns.
        y: offset along rows.
        q: minor over major axis, in (0, 1].
        angle: of the major axis, radians from +x towards +y.
    """
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    major, minor = cos * x + sin * y, cos * y - sin * x
    # The floor is for the gradient of the root at the centre.
    return jnp.sqrt(jnp.maximum(q * major**2 + minor**2 / q, 1e-24))


def spergel_transform(k_squared: Float[Array, "*s"], *, nu: Scalar) -> Float[Array, "*s"]:
    """Fourier transform of a Spergel profile of unit flux and unit half-light radius.

    Spergel (2010, ApJS 191, 58): (1 + (k r0)^2)^-(1 + nu). nu = 0.5 is exactly an exponential disc,
    nu = -0.6 resembles a de Vaucouleurs profile. Unlike a Sersic profile it needs no integration
    over its steep centre.

    Args:
        k_squared: squared angular wave number times half-light radius squared.
        nu: shape, between -0.85 and 1.5.
    """
    nu = jnp.asarray(nu)
    log_ratio = jnp.polyval(jnp.array(_SPERGEL[::-1], nu.dtype), jnp.log1p(nu))
    return jnp.exp(-(1 + nu) * jnp.log1p(k_squared * jnp.exp(-2 * log_ratio)))


def _squared_radius(size: int) -> Float[Array, "h w"]:
    offset = jnp.arange(size) - size // 2
    return (offset[:, None] ** 2 + offset[None, :] ** 2).astype(jnp.float32)


def moffat_psf(size: int, fwhm: Scalar, beta: Scalar) -> Float[Array, "h w"]:
    """Moffat profile of unit sum, `fwhm` in pixels, sampled with its peak on pixel `size // 2`.

    Source: Moffat 1969, A&A 3, 455.
    """
    alpha = fwhm / (2 * jnp.sqrt(2 ** (1 / beta) - 1))
    psf = (1 + _squared_radius(size) / alpha**2) ** -beta
    return psf / psf.sum()


def convolve(image: Float[Array, "*b h w"], psf: Float[Array, "ph pw"]) -> Float[Array, "*b h w"]:
    """Convolve with a PSF by FFT, zero outside the frame: no light wraps round or is made.

    The PSF's origin is its pixel (ph // 2, pw // 2). The frame is padded by half the PSF, so what
    leaves the frame is lost and nothing comes back at the opposite edge.
    """
    h, w = image.shape[-2:]
    ph, pw = psf.shape
    shape = (h + ph - 1, w + pw - 1)
    product = jnp.fft.rfft2(image, s=shape) * jnp.fft.rfft2(psf, s=shape)
    full = jnp.fft.irfft2(product, s=shape)
    return full[..., ph // 2 : ph // 2 + h, pw // 2 : pw // 2 + w].astype(image.dtype)
