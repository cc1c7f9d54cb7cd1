# SPDX-License-Identifier: Apache-2.0
"""Pieces that several methods share: MLP heads, momentum copies, the key queue, flux scaling."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from astrojax import losses
from astrojax.config import bind
from astrojax.errors import UserError

M = TypeVar("M", bound=nnx.Module)

Dtype = Literal["float32", "bfloat16", "float16"]
"""Compute types of the networks."""

Init = Literal["lecun_normal", "torch_uniform"]
"""First weights of linear layers: normal of variance 1 / inputs with zero bias, or PyTorch's, of
which weights and biases are uniform within 1 / sqrt(inputs), weights 1.73 times smaller."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
"""Of red, green and blue in [0, 1], as torchvision and timm standardise them."""


class NonTrainable(nnx.Variable):
    """State that the method itself updates: neither gradients nor weight decay ever touch it."""


class MLP(nnx.Module):
    """Linear layers with an activation between them, and optionally batch norm before it.

    Args:
        widths: Feature sizes from the input to the output.
        activation: "relu" or "leaky_relu" (slope 0.01).
        norm: Batch norm after every linear layer but the last; those layers then have no bias
            unless `bias` is set.
        last_norm: What follows the last layer: None, "plain" (batch norm without scale and shift,
            as in SimSiam) or "affine" (as in LenSiam).
        bias: Whether layers followed by a norm have a bias.
        dropout: Rate before the last layer, in calls with a key.
        init: First weights, "lecun_normal" or "torch_uniform" (see `Init`).
        dtype: Compute type; parameters are float32.
        rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        activation: Literal["relu", "leaky_relu"] = "relu",
        norm: bool = False,
        last_norm: Literal["plain", "affine"] | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        init: Init = "lecun_normal",
        dtype: Dtype = "float32",
        rngs: nnx.Rngs,
    ):
        self.dropout = dropout
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        last = len(pairs) - 1  # -1 for a single width: no layer at all
        normed = [norm] * last + [last_norm is not None] * bool(pairs)
        self.linears = nnx.List(
            [
                _linear(i, o, bias=bias or not n, init=init, dtype=dtype, rngs=rngs)
                for (i, o), n in zip(pairs, normed, strict=True)
            ]
        )
        affine = [True] * last + [last_norm == "affine"] * bool(pairs)
        self.norms = nnx.List(
            [
                batch_norm(o, affine=a, rngs=rngs) if n else None
                for (_, o), n, a in zip(pairs, normed, affine, strict=True)
            ]
        )
        self.activation = {"relu": jax.nn.relu, "leaky_relu": jax.nn.leaky_relu}[activation]

    def __call__(
        self, x: Float[Array, "b d"], *, train: bool = False, key: PRNGKeyArray | None = None
    ) -> Float[Array, "b k"]:
        """Applies the layers; `train` makes batch norms use, and track, batch statistics."""
        last = len(self.linears) - 1
        for i, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            if i == last:
                x = dropout(x, self.dropout, key)
            x = linear(x)
            if norm is not None:
                x = norm(x, use_running_average=not train)
            if i < last:
                x = self.activation(x)
        return x


def _linear(
    inputs: int, outputs: int, *, bias: bool, init: Init, dtype: Dtype, rngs: nnx.Rngs
) -> nnx.Linear:
    inits: dict[str, Any] = {}
    if init == "torch_uniform":
        scale = inputs**-0.5

        def uniform(key: PRNGKeyArray, shape: Any, kind: Any, **_: Any) -> Array:
            return jax.random.uniform(key, shape, kind, -scale, scale)

        inits = {"kernel_init": uniform, "bias_init": uniform}
    return nnx.Linear(inputs, outputs, use_bias=bias, dtype=jnp.dtype(dtype), rngs=rngs, **inits)


def dropout(
    x: Float[Array, "b *shape"], rate: float, key: PRNGKeyArray | None
) -> Float[Array, "b *shape"]:
    """Zeroes entries with probability `rate` and rescales the others; no key, no dropout."""
    if key is None or rate == 0.0:
        return x
    seeds = jax.random.bits(key, (2,))
    keep = _hashed_positions(x.shape, seeds) >= np.uint32(min(round(rate * 2**32), 2**32 - 1))
    return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype)


def _hashed_positions(shape: tuple[int, ...], seeds: Shaped[Array, "2"]) -> Shaped[Array, "*shape"]:
    """32 random bits for each position: its number, mixed twice (Wellons' `lowbias32`).

    Threefry, JAX's generator, does 10 times the arithmetic, which took a tenth of a transformer's
    step on a TPU; the generator of the hardware is not divided among devices.
    """
    position = jnp.zeros(shape, jnp.uint32)
    for axis, size in enumerate(shape):
        position = position * np.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
    for seed in seeds:
        position = position ^ seed
        position = (position ^ position >> 16) * np.uint32(0x7FEB352D)
        position = (position ^ position >> 15) * np.uint32(0x846CA68B)
        position = position ^ position >> 16
    return position


def project_norms(linear: nnx.Linear, limit: float) -> None:
    """Max-norm regularisation (Srivastava et al. 2014): a projection, after an optimizer step.

    The incoming weights of each output unit are scaled down to an L2 norm of `limit` where theirs
    is larger; biases are left.
    """
    kernel = linear.kernel[...]
    norm = jnp.linalg.norm(kernel, axis=0)
    linear.kernel[...] = kernel * jnp.minimum(1.0, limit / jnp.maximum(norm, 1e-12))


class BatchNorm(nnx.BatchNorm):
    """Batch norm whose running variance is the unbiased one, as PyTorch's."""

    def __call__(
        self, x: Float[Array, "b *shape"], use_running_average: bool | None = None, **rest: Any
    ) -> Float[Array, "b *shape"]:
        """Normalises with the batch's mean and variance, or with the running ones."""
        old = self.momentum * self.var[...]
        y = super().__call__(x, use_running_average, **rest)
        if not use_running_average:
            n = x.size // x.shape[-1]
            self.var[...] = old + (self.var[...] - old) * (n / max(n - 1, 1))
        return y


def batch_norm(features: int, *, affine: bool = True, rngs: nnx.Rngs) -> BatchNorm:
    """Batch norm over the global batch with PyTorch's epsilon and momentum, in float32.

    The variance is that of the differences from the mean. The mean square less the square of the
    mean, which takes one pass over the data, loses all digits where a mean is far above the spread.
    """
    return BatchNorm(
        features,
        momentum=0.9,
        epsilon=1e-5,
        use_scale=affine,
        use_bias=affine,
        use_fast_variance=False,
        dtype=jnp.float32,
        rngs=rngs,
    )


def ema_copy(module: M) -> M:
    """Returns a copy whose parameters are `NonTrainable` and share no buffer with the original."""
    graph, params, *rest = nnx.split(nnx.clone(module), nnx.Param, ...)
    copied = jax.tree.map(
        lambda v: NonTrainable(jnp.array(v.get_value(), copy=True)),
        params,
        is_leaf=lambda v: isinstance(v, nnx.Variable),
    )
    return nnx.merge(graph, copied, *rest)


def ema_update(target: nnx.Module, online: nnx.Module, decay: float | Array) -> None:
    """Parameters of the target become decay * target + (1 - decay) * online."""
    slow = nnx.state(target, NonTrainable)
    fast = nnx.state(online, nnx.Param)
    mixed = jax.tree.map(
        lambda s, f: decay * s + (1 - decay) * f, slow.to_pure_dict(), fast.to_pure_dict()
    )
    nnx.replace_by_pure_dict(slow, mixed)
    nnx.update(target, slow)


class Queue(nnx.Module):
    """The most recent `size` keys, first in first out (He et al. 2020, MoCo).

    Args:
        size: Number of keys kept.
        width: Feature size of a key.
        rngs: Keys for the initial content, unit vectors in random directions.
    """

    def __init__(self, *, size: int, width: int, rngs: nnx.Rngs):
        noise = jax.random.normal(rngs.params(), (size, width))
        self.keys = NonTrainable(losses.l2_normalize(noise))
        self.position = NonTrainable(jnp.zeros((), jnp.int32))

    def push(self, keys: Float[Array, "b d"]) -> None:
        """Overwrites the oldest keys; wraps round where the batch does not divide the size."""
        size = self.keys.shape[0]
        if keys.shape[0] > size:
            raise UserError(
                f"a queue of {size} cannot take a batch of {keys.shape[0]}: raise method.queue_size"
            )
        slots = (self.position[...] + jnp.arange(keys.shape[0])) % size
        self.keys[...] = self.keys[...].at[slots].set(keys.astype(jnp.float32))
        self.position[...] = (self.position[...] + keys.shape[0]) % size


def unit_range(image: Shaped[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Pixels of 8 bits in [0, 1], others as they are; float32."""
    return image.astype(jnp.float32) / (255.0 if image.dtype == jnp.uint8 else 1.0)


def stretch(
    *, name: Literal["linear", "asinh", "imagenet"], scale: tuple[float, ...]
) -> Callable[[Shaped[Array, "b h w c"]], Float[Array, "b h w c"]]:
    """A function that brings fluxes to network range, band by band.

    Args:
        name: "linear", x / scale; "asinh", arcsinh(x / scale): linear in the noise, logarithmic
            in bright cores; or "imagenet": x / scale, standardised as published weights expect.
        scale: Flux that becomes 1 before the stretch, one per band, in the data's unit; pixels
            of 8 bits are in [0, 1].

    Raises:
        UserError: The stretch is none of these.
    """

    @jax.named_scope("views")
    def apply(image: Shaped[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        scaled = unit_range(image) / jnp.asarray(scale, jnp.float32)
        if name == "imagenet":
            return (scaled - jnp.asarray(IMAGENET_MEAN)) / jnp.asarray(IMAGENET_DEVIATION)
        return jnp.arcsinh(scaled) if name == "asinh" else scaled

    return apply


def make_stretch(
    section: Mapping[str, Any], *, bands: int, path: str = "method.stretch"
) -> Callable[[Shaped[Array, "b h w c"]], Float[Array, "b h w c"]]:
    """Makes the `stretch` of a config section for images with that many bands.

    Raises:
        UserError: A key does not fit, or the section is not for as many bands.
    """
    bound = bind(stretch, section, path=path)
    check_per_band(f"{path}.scale", bound.arguments["scale"], bands)
    if bound.arguments["name"] == "imagenet" and bands != 3:
        raise UserError(
            f"config key '{path}.name' is 'imagenet', which is for three bands, and the data have "
            f"{bands}: use 'linear' or 'asinh'"
        )
    return bound()


def check_per_band(key: str, values: Sequence[float], bands: int) -> None:
    """Raises `UserError` if the config key does not have one value for each band of the data."""
    if len(values) != bands:
        raise UserError(
            f"config key '{key}' has {len(values)} values for the {bands} bands of the data"
        )


def centre_crop(image: Shaped[Array, "b h w c"], size: int) -> Shaped[Array, "b size size c"]:
    """The central `size` x `size` pixels.

    Raises:
        UserError: The images are smaller than that.
    """
    height, width = image.shape[1:3]
    if min(height, width) < size:
        raise UserError(f"stamps of {height} x {width} pixels are smaller than the crop of {size}")
    top, left = (height - size) // 2, (width - size) // 2
    return image[:, top : top + size, left : left + size]


def test_time_augmentation(
    fn: Callable[[Array], Any], image: Shaped[Array, "b h w c"], count: int
) -> Any:
    """The mean of what `fn` gives for `count` quarter turns of an image (1 to 4)."""
    turned = [fn(jnp.rot90(image, k, (1, 2))) for k in range(count)]
    return jax.tree.map(lambda *values: sum(values) / count, *turned)
