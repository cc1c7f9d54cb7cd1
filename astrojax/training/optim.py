# SPDX-License-Identifier: Apache-2.0
"""From config sections to one optax transformation. Durations are in epochs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from astrojax.config import Bound, bind
from astrojax.errors import UserError
from astrojax.training import layerwise


def constant(*, epoch: float, total: int, peak_value: float) -> optax.Schedule:
    """Returns the same rate throughout."""
    return optax.constant_schedule(peak_value)


def cosine(
    *,
    epoch: float,
    total: int,
    peak_value: float,
    warmup_epochs: float,
    init_value: float,
    end_value: float,
) -> optax.Schedule:
    """Returns a line from `init_value` to `peak_value`, then half a cosine to `end_value`."""
    warmup = round(warmup_epochs * epoch)
    decay = optax.cosine_decay_schedule(peak_value, max(total - warmup, 1), end_value / peak_value)
    ramp = optax.linear_schedule(init_value, peak_value, max(warmup, 1))
    return optax.join_schedules([ramp, decay], [warmup]) if warmup else decay


def cosine_annealing(
    *, epoch: float, total: int, peak_value: float, end_value: float, half_period_epochs: float
) -> optax.Schedule:
    """A cosine that goes on after its minimum: down, up, down (PyTorch's CosineAnnealingLR)."""
    half = half_period_epochs * epoch
    return lambda step: (
        end_value + 0.5 * (peak_value - end_value) * (1 + jnp.cos(jnp.pi * step / half))
    )


def adam(*, rate: Any, decays: Any, total: int, weight_decay: float, b1: float, b2: float):
    """Returns Adam with the L2 term coupled to the gradient, as in `torch.optim.Adam`."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, decays),
        optax.scale_by_adam(b1=b1, b2=b2),
        optax.scale_by_learning_rate(rate),
    )


def adamw(
    *,
    rate: Any,
    decays: Any,
    total: int,
    weight_decay: float | tuple[float, ...],
    b1: float,
    b2: float,
):
    """Returns Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    A decay of two numbers goes from the first to the second by half a cosine, as in I-JEPA's code.
    """
    decay: Any = weight_decay
    if isinstance(weight_decay, tuple):
        if len(weight_decay) != 2:
            raise UserError(
                f"config key 'optim.optimizer.weight_decay' is {weight_decay}; it is a number, or "
                "two: (at the start, at the end)"
            )
        first, last = weight_decay
        decay = lambda step: (  # noqa: E731
            last + 0.5 * (first - last) * (1 + jnp.cos(jnp.pi * (step + 1) / total))
        )
    return optax.chain(
        optax.scale_by_adam(b1=b1, b2=b2),
        optax.add_decayed_weights(decay, decays),
        optax.scale_by_learning_rate(rate),
    )


def sgd(
    *, rate: Any, decays: Any, total: int, weight_decay: float, momentum: float, nesterov: bool
):
    """Returns SGD whose decay enters before the momentum, as in `torch.optim.SGD`."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, decays),
        optax.sgd(rate, momentum=momentum, nesterov=nesterov),
    )


def lars(*, rate: Any, decays: Any, total: int, weight_decay: float, momentum: float, trust: float):
    """Returns LARS (You et al. 2017); what is not decayed gets plain momentum SGD."""
    return optax.lars(
        rate,
        weight_decay=weight_decay,
        weight_decay_mask=decays,
        trust_coefficient=trust,
        trust_ratio_mask=decays,
        momentum=momentum,
    )


def larc(*, rate: Any, decays: Any, total: int, weight_decay: float, momentum: float, trust: float):
    """Returns momentum SGD on gradients that were scaled layer by layer, as NVIDIA's apex does it.

    With p the weights of a layer and g their gradient, (g + d p) trust |p| / (|g| + d |p|) goes
    into the momentum, d the weight decay. The learning rate stands outside the momentum, unlike in
    `lars`: a change of the rate acts on all of an update at once. Where |p| or |g| is 0, and for
    what is not decayed, g goes in as it is.
    """

    def scaled(g: Any, p: Any) -> Any:
        length, slope = jnp.linalg.norm(p), jnp.linalg.norm(g)
        ratio = trust * length / (slope + weight_decay * length + 1e-8)
        return jnp.where((length > 0) & (slope > 0), ratio * (g + weight_decay * p), g)

    layerwise = optax.stateless(lambda g, p: jax.tree.map(scaled, g, p))
    return optax.chain(optax.masked(layerwise, decays), optax.sgd(rate, momentum=momentum))


_SCHEDULES: dict[str, Callable] = {
    "constant": constant,
    "cosine": cosine,
    "cosine_annealing": cosine_annealing,
}
_OPTIMIZERS: dict[str, Callable] = {
    "adam": adam,
    "adamw": adamw,
    "sgd": sgd,
    "lars": lars,
    "larc": larc,
}


def build(
    *,
    optimizer: Bound,
    schedule: Bound,
    decay_bias_and_norm: bool,
    fixed_lr: tuple[str, ...],
    frozen: tuple[str, ...],
    clip_norm: float | None,
    accumulate: int,
    skip_nonfinite: int,
    layer_decay: dict[str, float] | None = None,
    thaw_epochs: dict[str, float] | None = None,
    params: Any,
    steps_per_epoch: float,
    total_steps: int,
) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """Returns one transformation for all parameters of a method, and the learning rate of a step.

    Args:
        optimizer: `name` is adam, adamw, sgd, lars or larc; the other keys are its keywords.
        schedule: `name` is constant, cosine or cosine_annealing; the others are its keywords.
        decay_bias_and_norm: Whether weight decay (and the trust ratio of LARS and LARC) applies to
            parameters with fewer than two axes: biases and norm scales.
        fixed_lr: Parts that stay at the peak rate, e.g. ("predictor",).
        frozen: Parts that are not trained, e.g. ("backbone",).
        clip_norm: Global gradient norm above which gradients are scaled down, or None.
        accumulate: Batches whose gradients are averaged for one update. Schedules count updates,
            and so does `Method.after_update`; batch norms and queues take every batch.
        skip_nonfinite: How many updates in a row with a NaN or Inf gradient are skipped (and
            counted) before one is let through, which stops the run; 0 skips none.
        layer_decay: {part: factor} from one layer's rate to that of the layer below it.
        thaw_epochs: {part: epochs} before which a part is not trained (gradual fine-tuning).
        params: The parameters, for their paths and shapes.
        steps_per_epoch: Steps in an epoch.
        total_steps: Steps in the run.

    Raises:
        UserError: An unknown name, a key that does not fit, or a part that does not exist.
    """
    if accumulate < 1:
        raise UserError(f"config key 'optim.accumulate' is {accumulate}; it is at least 1")
    epoch, total = steps_per_epoch / accumulate, max(total_steps // accumulate, 1)
    curve = schedule(epoch=epoch, total=total)

    decays = partial(_decays, decay_bias_and_norm)
    tx = optimizer(rate=curve, decays=decays, total=total)
    if fixed_lr or frozen:
        peak = schedule.arguments["peak_value"]
        constant = optimizer(rate=peak, decays=decays, total=total)
        kinds = {"scheduled": tx, "constant": constant, "frozen": optax.set_to_zero()}
        tx = optax.partition(kinds, _labels(params, fixed_lr, frozen))
    tx = layerwise.scaled(tx, params, layer_decay or {}, thaw_epochs or {}, epoch)
    if clip_norm is not None:
        tx = optax.chain(optax.clip_by_global_norm(clip_norm), tx)
    if skip_nonfinite:
        tx = optax.apply_if_finite(tx, skip_nonfinite)
    if accumulate > 1:
        tx = optax.MultiSteps(tx, accumulate).gradient_transformation()
    return tx, lambda step: curve(step // accumulate)


def _decays(bias_and_norm: bool, tree: Any) -> Any:
    """Returns {parameter: whether it decays}."""
    return jax.tree.map(lambda p: bias_and_norm or p.ndim > 1, tree)


def bind_section(section: dict) -> Bound:
    """Returns `build` with the keys of the config section `optim`.

    Raises:
        UserError: A key is unknown, missing or mistyped.
    """
    runtime = ("params", "steps_per_epoch", "total_steps")
    bound = bind(build, section, path="optim", runtime=runtime)
    chosen = {
        "optimizer": _bind_named(_OPTIMIZERS, section, "optimizer", ("rate", "decays", "total")),
        "schedule": _bind_named(_SCHEDULES, section, "schedule", ("epoch", "total")),
    }
    return Bound(build, bound.arguments | chosen)


def _bind_named(
    table: dict[str, Callable], section: dict, key: str, runtime: tuple[str, ...]
) -> Bound:
    keys = section[key]
    name = keys.get("name") if isinstance(keys, dict) else keys
    if name not in table or not isinstance(keys, dict):
        raise UserError(
            f"config key 'optim.{key}.name' is {name!r}; choose from {', '.join(table)}"
        )
    return bind(table[name], keys, path=f"optim.{key}", runtime=runtime)


def _labels(params: Any, fixed_lr: tuple[str, ...], frozen: tuple[str, ...]) -> Any:
    """Returns a tree like `params` that says how each parameter is trained."""
    for key, names in (("fixed_lr", fixed_lr), ("frozen", frozen)):
        layerwise.check_parts(f"optim.{key}", names, params)

    def label(path: Any, _: Any) -> str:
        part = layerwise.names(path)[0]
        return "frozen" if part in frozen else "constant" if part in fixed_lr else "scheduled"

    return jax.tree_util.tree_map_with_path(label, params)
