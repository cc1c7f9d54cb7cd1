# SPDX-License-Identifier: Apache-2.0
"""Gaussian mixtures in one dimension: a network's predictive density, and what is read from it.

A head with 3 k outputs gives k Gaussians (mixture density network, Bishop 1994; for photo-z
D'Isanto & Polsterer 2018): logits of the weights, means, and widths before a softplus. A head with
one output is a point estimate. The same head therefore serves both, and the number of outputs
tells which it is.
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Shaped

from astrojax import losses
from astrojax.errors import UserError

SIGMA_FLOOR = 1e-3
"""Smallest sigma: without it a Gaussian on a single galaxy has an unbounded likelihood."""

Numbers = Array | np.ndarray


class Mixture(NamedTuple):
    """n densities, each of k Gaussians; weights add up to 1 along the last axis."""

    weights: Float[Numbers, "n k"]
    means: Float[Numbers, "n k"]
    sigmas: Float[Numbers, "n k"]


def width(components: int) -> int:
    """Outputs of a head: 1 for a point estimate (0 components), else 3 for each Gaussian.

    Raises:
        UserError: The number is negative.
    """
    if components < 0:
        raise UserError(
            f"a mixture of {components} Gaussians: choose 0 for a point estimate, or 1 and more"
        )
    return 3 * components or 1


def parameters(
    output: Float[Array, "b d"],
) -> tuple[Float[Array, "b k"], Float[Array, "b k"], Float[Array, "b k"]]:
    """Logits of the weights, means and sigmas of a head's 3 k outputs."""
    logits, means, widths = jnp.split(output.astype(jnp.float32), 3, axis=-1)
    return logits, means, SIGMA_FLOOR + jax.nn.softplus(widths)


def cost(output: Float[Array, "b d"], target: Float[Array, " b"]) -> Float[Array, " b"]:
    """How far each known target is from a head's output: |error| of a point estimate, or -log p."""
    if output.shape[1] == 1:
        return jnp.abs(output[:, 0] - target)
    return losses.mixture_nll(*parameters(output), target)


def loss(
    output: Float[Array, "b d"],
    target: Float[Array, " b"],
    known: Shaped[Array, " b"],
    *,
    huber_delta: float,
) -> Float[Array, ""]:
    """Mean over the known targets: Huber for a point estimate, else -log p; 0 if none is known."""
    if output.shape[1] == 1:
        return losses.masked_huber(output[:, 0], target, known, delta=huber_delta)
    target = jnp.where(known, target, 0.0)  # no gradient may see a NaN
    total = jnp.sum(jnp.where(known, cost(output, target), 0.0))
    return total / jnp.maximum(jnp.sum(known), 1)


def predictions(
    output: Float[Array, "b d"], name: str, *, offset: float = 0.0, scale: float = 1.0
) -> dict[str, Float[Array, "b ..."]]:
    """A head's outputs under the names that `Method.predict` gives them.

    Args:
        output: One number, or 3 k for a mixture.
        name: Of the quantity, e.g. "redshift".
        offset: Added to means, after `scale`.
        scale: Multiplies means and sigmas.

    Returns:
        `name` [b]; a mixture gives what `summary` says.
    """
    if output.shape[1] == 1:
        return {name: output[:, 0] * scale + offset}
    logits, means, sigmas = parameters(output)
    scaled = Mixture(jax.nn.softmax(logits), means * scale + offset, sigmas * scale)
    return cast(dict[str, Array], summary(scaled, name))


def summary(mixture: Mixture, name: str) -> dict[str, Float[Array | np.ndarray, "b ..."]]:
    """A mixture as predictions, which `read` turns back.

    Returns:
        `name` [b], the median; `name`_sigma [b], the standard deviation; `name`_weights,
        `name`_means and `name`_sigmas [b k].
    """
    parts = {f"{name}_{part}": value for part, value in mixture._asdict().items()}
    median = quantile(mixture, jnp.array([0.5]))[:, 0]
    return {name: median, f"{name}_sigma": deviation(mixture), **parts}


def read(found: dict[str, Any], name: str) -> Mixture | None:
    """The mixtures among the predictions of a method, or None for a point estimate."""
    if f"{name}_weights" not in found:
        return None
    return Mixture(*(found[f"{name}_{part}"] for part in Mixture._fields))


def pool(members: list[Mixture]) -> Mixture:
    """The mean of several densities of the same objects, as one mixture of all their Gaussians."""
    weights, means, sigmas = (
        np.concatenate([np.asarray(part) for part in parts], axis=-1)
        for parts in zip(*members, strict=True)
    )
    return Mixture(weights / len(members), means, sigmas)


def mean(mixture: Mixture) -> Float[Array, " n"]:
    """The expectation of each density."""
    return jnp.sum(mixture.weights * mixture.means, axis=-1)


def deviation(mixture: Mixture) -> Float[Array, " n"]:
    """The standard deviation of each density: scatter within and between the Gaussians."""
    apart = mixture.means - mean(mixture)[:, None]
    return jnp.sqrt(jnp.sum(mixture.weights * (mixture.sigmas**2 + apart**2), axis=-1))


@jax.jit
def cdf(mixture: Mixture, x: Float[Numbers, "n q"]) -> Float[Array, "n q"]:
    """The probability below each of q values."""
    weights, means, sigmas = (jnp.asarray(part)[:, None] for part in mixture)
    return jnp.sum(weights * ndtr((jnp.asarray(x)[..., None] - means) / sigmas), axis=-1)


@jax.jit
def quantile(mixture: Mixture, p: Float[Numbers, " q"]) -> Float[Array, "n q"]:
    """The values below which the probability is p (0 < p < 1), by bisection.

    The bracket reaches ten sigma beyond the outermost Gaussians; 40 halvings leave nothing of it
    but float32 rounding.
    """
    means, sigmas = jnp.asarray(mixture.means), jnp.asarray(mixture.sigmas)
    p = jnp.asarray(p)
    low = jnp.min(means - 10 * sigmas, axis=-1, keepdims=True) + jnp.zeros_like(p)
    high = jnp.max(means + 10 * sigmas, axis=-1, keepdims=True) + jnp.zeros_like(p)

    def halve(_: Any, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        below = cdf(mixture, middle) < p
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, 40, halve, (low, high))
    return (low + high) / 2


@jax.jit
def crps(mixture: Mixture, x: Float[Numbers, " n"]) -> Float[Array, " n"]:
    """Continuous ranked probability score of each density at the true value; small is good.

    Integral of (F(t) - [t >= x])^2 dt, in closed form E|Y - x| - E|Y - Y'| / 2 with Y and Y' drawn
    from the density (Grimit et al. 2006). For a point estimate it is the absolute error.
    """
    weights, means, sigmas = map(jnp.asarray, mixture)
    spread = jnp.sqrt(sigmas[:, :, None] ** 2 + sigmas[:, None] ** 2)
    between = _distance(means[:, :, None] - means[:, None], spread)
    pairs = weights[:, :, None] * weights[:, None]
    to_truth = jnp.sum(weights * _distance(jnp.asarray(x)[:, None] - means, sigmas), axis=-1)
    return to_truth - jnp.sum(pairs * between, axis=(1, 2)) / 2


def _distance(offset: Float[Array, "*s"], sigma: Float[Array, "*s"]) -> Float[Array, "*s"]:
    """E|offset - e| for e of a Gaussian around zero."""
    scaled = offset / sigma
    return sigma * (2 * norm.pdf(scaled) + scaled * (2 * ndtr(scaled) - 1))
