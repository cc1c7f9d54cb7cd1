# SPDX-License-Identifier: Apache-2.0
"""Color composites, on the device."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


def lupton(
    image: Float[Array, "*b h w 3"], *, stretch: float, q: float, minimum: float = 0.0
) -> UInt8[Array, "*b h w 3"]:
    """8-bit composite that keeps colors where it is bright: Lupton et al. 2004, PASP 116, 133.

    The twin of `astropy.visualization.make_lupton_rgb`, which it equals to one grey level.

    Args:
        image: red, green and blue flux, in that order, background subtracted.
        stretch: flux range over which the scale is nearly linear.
        q: softening of the asinh; 0 would be linear and is not allowed.
        minimum: flux shown as black.
    """
    shifted = image - minimum
    intensity = shifted.mean(-1, keepdims=True)
    # astropy maps a tenth of 8 bits to this slope.
    slope = 0.1 / jnp.arcsinh(0.1 * q)
    scaled = jnp.arcsinh(q * intensity / stretch) * slope
    factor = jnp.where(intensity > 0, scaled / jnp.where(intensity > 0, intensity, 1.0), 0.0)
    color = shifted * factor
    # The brightest channel is brought down to white, and the others with it: the hue stays.
    brightest = color.max(-1, keepdims=True)
    color = jnp.where(brightest > 1, color / jnp.maximum(brightest, 1e-12), color)
    return (255 * jnp.clip(color, 0.0, 1.0)).astype(jnp.uint8)
