# SPDX-License-Identifier: Apache-2.0
"""Losses: pure functions of arrays, usable under jit, vmap and grad.

All are computed in float32 at least: half-precision inputs are promoted before any softmax,
logarithm or cosine, because those lose what bfloat16 keeps (8 bits). Values and gradients stay
finite for zero, identical and very large inputs.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped


def _promote(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """At least float32; float64 stays."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def l2_normalize(x: Float[Array, "*s d"]) -> Float[Array, "*s d"]:
    """Return x / ||x|| along the last axis; a zero vector stays zero and gets a zero gradient.

    Entries beyond 1e19 overflow when squared in float32, those below 1e-19 count as zero.
    """
    x = _promote(x)
    square = jnp.sum(x**2, axis=-1, keepdims=True)
    return x * jnp.where(square > 0, jax.lax.rsqrt(jnp.where(square > 0, square, 1.0)), 0.0)


def info_nce(
    query: Float[Array, "b d"],
    key: Float[Array, "b d"],
    queue: Float[Array, "k d"],
    *,
    temperature: float,
) -> Float[Array, ""]:
    """Contrastive loss of a query with its own key against a queue of other keys.

    With every vector divided by its L2 norm and t the temperature,
    loss = mean_i -log(exp(q_i.k_i/t) / (exp(q_i.k_i/t) + sum_j exp(q_i.u_j/t))).
    Gradients flow into all three: stop those of `key` where a momentum encoder makes it.

    Source: van den Oord et al. 2018 (arXiv 1807.03748), as in MoCo (arXiv 1911.05722).
    """
    query, key, queue = l2_normalize(query), l2_normalize(key), l2_normalize(queue)
    positive = jnp.sum(query * key, axis=-1) / temperature
    negative = jnp.matmul(query, queue.T, precision="highest") / temperature
    logits = jnp.concatenate([positive[:, None], negative], axis=1)
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - positive)


def masked_huber(
    pred: Float[Array, "b"],
    target: Float[Array, "b"],
    mask: Shaped[Array, "b"],
    *,
    delta: float,
) -> Float[Array, ""]:
    """Huber loss, averaged over the samples whose mask is 1; 0 when there are none.

    With e = pred - target: e^2/2 where |e| <= delta, else delta (|e| - delta/2). A target may be
    NaN where the mask is 0: it is replaced before the arithmetic, so no gradient sees it.

    Source: Huber 1964, Ann. Math. Statist. 35, 73; on raw redshifts in PITA (arXiv 2602.10207).
    """
    valid = mask == 1
    error = jnp.where(valid, _promote(pred) - jnp.where(valid, _promote(target), 0.0), 0.0)
    # Both branches from min(|e|, delta), so that the one not taken can never overflow.
    quadratic = jnp.minimum(jnp.abs(error), delta)
    loss = 0.5 * quadratic**2 + delta * (jnp.abs(error) - quadratic)
    return jnp.sum(loss) / jnp.maximum(jnp.sum(valid), 1)


def mixture_nll(
    logits: Float[Array, "b k"],
    means: Float[Array, "b k"],
    sigmas: Float[Array, "b k"],
    target: Float[Array, "b"],
) -> Float[Array, "b"]:
    """Negative log-likelihood of each target under its mixture of k Gaussians, in nats.

    -log sum_k w_k N(target; mean_k, sigma_k^2) with w = softmax(logits). Weights come as logits,
    because a weight that rounds to zero has no logarithm.

    Source: Bishop 1994, Mixture density networks.
    """
    logits, means, sigmas = _promote(logits), _promote(means), _promote(sigmas)
    scaled = (_promote(target)[:, None] - means) / sigmas
    log_density = -0.5 * scaled**2 - jnp.log(sigmas) - 0.5 * math.log(2 * math.pi)
    return -jax.nn.logsumexp(jax.nn.log_softmax(logits) + log_density, axis=-1)


def gaussian_nll(
    mean: Float[Array, "b k"], sigma: Float[Array, "b k"], target: Float[Array, "b k"]
) -> Float[Array, "b k"]:
    """-log N(target; mean, sigma^2): the negative log-likelihood under a Gaussian each, in nats.

    Source: Nix & Weigend 1994, Estimating the mean and variance of the target distribution.
    """
    mean, sigma = _promote(mean), _promote(sigma)
    scaled = (_promote(target) - mean) / sigma
    return 0.5 * scaled**2 + jnp.log(sigma) + 0.5 * math.log(2 * math.pi)


def dirichlet_multinomial_nll(
    concentration: Float[Array, "b k"], counts: Float[Array, "b k"]
) -> Float[Array, " b"]:
    """Negative log-likelihood of the votes for the k answers to one question, in nats.

    With a_k the concentrations, n_k the votes, A and N their sums, and lg the log-gamma function:
    -[lg(N + 1) + lg(A) - lg(N + A) + sum_k (lg(n_k + a_k) - lg(n_k + 1) - lg(a_k))].
    A question that nobody answered costs 0.

    Source: Walmsley et al. 2022 (arXiv 2102.08414), eq. 3.
    """
    a, n = _promote(concentration), _promote(counts)
    lgamma, total, votes = jax.lax.lgamma, a.sum(-1), n.sum(-1)
    each = (lgamma(n + a) - lgamma(n + 1) - lgamma(a)).sum(-1)
    return -(lgamma(votes + 1) + lgamma(total) - lgamma(votes + total) + each)


def mean_squared_error(pred: Float[Array, "b c"], target: Float[Array, "b c"]) -> Float[Array, ""]:
    """Mean of (pred - target)^2 over both axes.

    PITA's text (arXiv 2602.10207) sums over the colors, its code averages: this is the code's.
    """
    return jnp.mean((_promote(pred) - _promote(target)) ** 2)


def mean_absolute_error(pred: Float[Array, "b c"], target: Float[Array, "b c"]) -> Float[Array, ""]:
    """Mean of |pred - target| over both axes (Martinazzo et al. 2020, arXiv 2004.11336)."""
    return jnp.mean(jnp.abs(_promote(pred) - _promote(target)))


def random_directions(key: PRNGKeyArray, dim: int, count: int) -> Float[Array, "d k"]:
    """Draw `count` directions, uniform on the unit sphere of `dim` dimensions, as columns.

    Draw them from the step's key: afresh at each step and, in a program that is written for the
    global batch, equal on all devices.
    """
    columns = jax.random.normal(key, (dim, count), jnp.float32)
    return columns / jnp.linalg.norm(columns, axis=0, keepdims=True)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _characteristic_function(
    step: float, num_points: int, x: Float[Array, "n k"]
) -> tuple[Float[Array, "t k"], Float[Array, "t k"]]:
    """Real and imaginary part of mean_n exp(i t x) at t = 0, step, 2 step, ...

    The knots are equally spaced, so exp(i t x) is rotated by exp(i step x) from one to the next:
    one sine and cosine per number instead of one per number and knot. The scan holds a few arrays
    as large as x, whatever the number of knots; the gradient rotates again instead of keeping them.
    """
    return _rotate(step, num_points, x)


def _rotate(step, num_points, x):
    cos, sin = jnp.cos(step * x), jnp.sin(step * x)

    def knot(carry, _):
        real, imaginary = carry
        turned = real * cos - imaginary * sin, imaginary * cos + real * sin
        return turned, (jnp.mean(real, axis=0), jnp.mean(imaginary, axis=0))

    return jax.lax.scan(knot, (jnp.ones_like(x), jnp.zeros_like(x)), length=num_points)[1]


def _characteristic_function_forward(step, num_points, x):
    return _rotate(step, num_points, x), x


def _characteristic_function_backward(step, num_points, x, cotangents):
    cos, sin = jnp.cos(step * x), jnp.sin(step * x)

    def knot(carry, inputs):
        real, imaginary, gradient = carry
        t, d_real, d_imaginary = inputs
        gradient += t * (d_imaginary * real - d_real * imaginary)
        return (real * cos - imaginary * sin, imaginary * cos + real * sin, gradient), None

    t = step * jnp.arange(num_points, dtype=x.dtype)
    start = (jnp.ones_like(x), jnp.zeros_like(x), jnp.zeros_like(x))
    (_, _, gradient), _ = jax.lax.scan(knot, start, (t, *cotangents))
    return (gradient / x.shape[0],)


_characteristic_function.defvjp(_characteristic_function_forward, _characteristic_function_backward)


def epps_pulley(
    x: Float[Array, "n k"], *, t_max: float = 3.0, num_points: int = 17
) -> Float[Array, "k"]:
    """Epps-Pulley statistic: the distance of each column's distribution from N(0, 1).

    n int |ecf(t) - phi(t)|^2 phi(t) dt with ecf(t) = mean_i exp(i t x_i) and phi(t) = exp(-t^2/2),
    by the trapezoid rule on `num_points` knots of [0, t_max], doubled for the other half-line. It
    is about 1 for n samples of N(0, 1) and about 0.4 n for n equal numbers. Reverse mode only.

    Source: Epps & Pulley 1983, Biometrika 70, 723, as in LeJEPA (arXiv 2511.08544).
    """
    x = _promote(x)
    step = t_max / (num_points - 1)
    t = step * jnp.arange(num_points, dtype=x.dtype)[:, None]
    target = jnp.exp(-0.5 * t**2)
    weight = 2.0 * step * target[:, 0]
    weight = weight.at[jnp.array([0, -1])].multiply(0.5)
    real, imaginary = _characteristic_function(step, num_points, x)
    return x.shape[0] * (weight @ ((real - target) ** 2 + imaginary**2))


def sigreg(
    embeddings: Float[Array, "v n d"],
    directions: Float[Array, "d k"],
    *,
    t_max: float = 3.0,
    num_points: int = 17,
) -> Float[Array, ""]:
    """Sketched isotropic Gaussian regularisation.

    The Epps-Pulley statistic of every view's samples projected on every direction (unit columns,
    see `random_directions`), averaged over directions and views. n is the global batch.

    Memory is linear in the projections [v n k] and does not grow with `num_points`. Measured with
    `benchmarks/sigreg_memory.py` (value and gradient, n 512, d 256, k 1024, 17 knots, float32, 2
    CPU cores): 19 MB and 13 ms; the formula written out takes 109 MB and 259 ms, and with 65 knots
    19 MB and 38 ms against 412 MB and 870 ms.

    Source: Balestriero & LeCun 2025 (arXiv 2511.08544), Algorithm 1.
    """
    projections = jnp.matmul(_promote(embeddings), _promote(directions), precision="highest")
    statistic = partial(epps_pulley, t_max=t_max, num_points=num_points)
    return jnp.mean(jax.vmap(statistic)(projections))


def view_invariance(
    embeddings: Float[Array, "v n d"], *, num_global_views: int | None = None
) -> Float[Array, ""]:
    """Mean squared difference between each view's embedding and the mean of the global ones.

    The global views of an image are its first `num_global_views` (None: all). Nothing stops a
    gradient.

    Source: Balestriero & LeCun 2025 (arXiv 2511.08544), Algorithm 2.
    """
    embeddings = _promote(embeddings)
    centre = jnp.mean(embeddings[:num_global_views], axis=0)
    return jnp.mean((embeddings - centre) ** 2)


def lejepa(
    embeddings: Float[Array, "v n d"],
    directions: Float[Array, "d k"],
    *,
    sigreg_weight: float,
    t_max: float = 3.0,
    num_points: int = 17,
    num_global_views: int | None = None,
) -> Float[Array, ""]:
    """LeJEPA: w `sigreg` + (1 - w) `view_invariance`, with w the `sigreg_weight`.

    Source: Balestriero & LeCun 2025 (arXiv 2511.08544), Algorithm 2.
    """
    invariance = view_invariance(embeddings, num_global_views=num_global_views)
    gaussianity = sigreg(embeddings, directions, t_max=t_max, num_points=num_points)
    return sigreg_weight * gaussianity + (1.0 - sigreg_weight) * invariance


def self_classifier(
    logits_1: Float[Array, "b k"],
    logits_2: Float[Array, "b k"],
    *,
    temperature: float,
    normalize_rows: bool,
) -> Float[Array, ""]:
    """Cross-entropy between the classes that two views of a batch predict, symmetrised.

    With p(class | sample) the softmax over classes (rows) and q(sample | class) the softmax over
    the batch (columns) of logits/t: loss = -1/2 mean_n sum_k (q_2 log p_1 + q_1 log p_2).
    Gradients flow through both softmaxes. `normalize_rows` makes every sample's q sum to 1 over
    the classes (the CIFAR variant). The batch is the global one and has to hold samples for every
    class: without row normalisation a class's q sums to 1 over the batch.

    Source: Amrani et al. 2021 (arXiv 2103.10994 v1), Algorithm 1.
    """
    logits = jnp.stack([_promote(logits_1), _promote(logits_2)])
    log_p = _log_softmax(logits, temperature, axis=2)
    log_q = _log_softmax(logits, temperature, axis=1)
    if normalize_rows:
        log_q = jax.nn.log_softmax(log_q, axis=2)
    return -jnp.mean(jnp.sum(jnp.exp(log_q[::-1]) * log_p, axis=2))


def self_classifier_multiview(
    logits: Float[Array, "heads v b k"],
    *,
    row_temperature: float,
    column_temperature: float,
    num_global_views: int = 2,
    eps: float = 1e-8,
) -> Float[Array, ""]:
    """The later Self-Classifier loss: two temperatures, a class prior in p, any number of views.

    q: softmax over the batch at the column temperature, then each row divided by its sum.
    p: softmax over the classes at the row temperature, then each column divided by its sum.
    The loss is -mean_n sum_k q_i log(b/k p_j + eps), averaged over heads and over the ordered
    pairs of views i != j of which at least one is global (the first `num_global_views`). A sum
    below eps counts as eps. Gradients flow through p and q.

    Source: Amrani et al. 2022 (ECCV, arXiv 2103.10994 v3), the authors' code.
    """
    logits = _promote(logits)
    views, batch, classes = logits.shape[1:]
    log_p = _log_shares(_log_softmax(logits, row_temperature, axis=3), axis=2, eps=eps)
    log_q = _log_shares(_log_softmax(logits, column_temperature, axis=2), axis=3, eps=eps)
    log_prediction = jnp.log(batch / classes * jnp.exp(log_p) + eps)
    entropy = (
        -jnp.einsum("hink,hjnk->hij", jnp.exp(log_q), log_prediction, precision="highest") / batch
    )
    index = jnp.arange(views)
    pair = jnp.minimum(index[:, None], index) < num_global_views
    pair &= index[:, None] != index
    return jnp.mean(jnp.sum(jnp.where(pair, entropy, 0.0), axis=(1, 2)) / jnp.sum(pair))


def _log_softmax(logits, temperature, *, axis):
    """log_softmax(logits / temperature), exact for any size of the logits.

    The maximum is taken off before the division: compiled as one multiply-add, logits / t - max
    is off by the rounding of max, 1 and more for logits beyond 1e6.
    """
    largest = jax.lax.stop_gradient(jnp.max(logits, axis=axis, keepdims=True))
    return jax.nn.log_softmax((logits - largest) / temperature, axis=axis)


def _log_shares(log_x, *, axis, eps):
    """log(x / max(sum x, eps)) along an axis, without leaving the logarithm."""
    total = jax.nn.logsumexp(log_x, axis=axis, keepdims=True)
    return log_x - jnp.maximum(total, jnp.log(eps))


def negative_cosine(
    prediction: Float[Array, "b d"], target: Float[Array, "b d"]
) -> Float[Array, ""]:
    """Mean of -cos(prediction, target) over the batch; no gradient reaches the target.

    Source: SimSiam, Chen & He 2021 (arXiv 2011.10566).
    """
    target = jax.lax.stop_gradient(target)
    return -jnp.mean(jnp.sum(l2_normalize(prediction) * l2_normalize(target), axis=-1))


def simsiam(
    p_1: Float[Array, "b d"],
    p_2: Float[Array, "b d"],
    z_1: Float[Array, "b d"],
    z_2: Float[Array, "b d"],
) -> Float[Array, ""]:
    """Half the negative cosine of p_1 with z_2 plus half that of p_2 with z_1.

    p is the predictor's output and z the projector's, of each of two views.

    Source: SimSiam, Chen & He 2021 (arXiv 2011.10566).
    """
    return 0.5 * negative_cosine(p_1, z_2) + 0.5 * negative_cosine(p_2, z_1)
