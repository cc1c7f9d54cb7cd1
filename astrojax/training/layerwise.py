# SPDX-License-Identifier: Apache-2.0
"""Rates that differ from layer to layer: decay towards the pixels, and parts that thaw later."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from astrojax.errors import UserError

_FIRST = ("stem", "stem_norm", "patch", "positions", "class_token", "registers")
_BODY = ("stages", "blocks", "downsamples")


def names(path: Any) -> tuple[str, ...]:
    """Returns the names on the way to a parameter, e.g. ("backbone", "stages", "0", "1")."""
    return tuple(str(getattr(entry, "key", getattr(entry, "name", entry))) for entry in path)


def check_parts(key: str, parts: Iterable[str], params: Any) -> None:
    """Raises `UserError` if the config key names a part that the method lacks."""
    there = {names(path)[0] for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    for part in parts:
        if part not in there:
            raise UserError(
                f"config key '{key}' names {part!r}; the method has: {', '.join(sorted(there))}"
            )


def scaled(
    tx: optax.GradientTransformation,
    params: Any,
    layer_decay: Mapping[str, float],
    thaw_epochs: Mapping[str, float],
    epoch: float,
) -> optax.GradientTransformation:
    """Returns the transformation with updates scaled by layer, and 0 until a part thaws.

    Args:
        tx: What makes updates of gradients.
        params: The parameters, for their paths.
        layer_decay: {part: factor from one layer to the one below it}.
        thaw_epochs: {part: epochs during which its updates are 0}.
        epoch: Updates in an epoch.

    Raises:
        UserError: A part that does not exist, or a factor that is not in (0, 1].
    """
    check_parts("optim.layer_decay", layer_decay, params)
    check_parts("optim.thaw_epochs", thaw_epochs, params)
    for part, factor in layer_decay.items():
        if not 0 < factor <= 1:
            raise UserError(
                f"config key 'optim.layer_decay.{part}' is {factor}; use 0 < factor <= 1"
            )
    if layer_decay:
        factors = _factors(params, layer_decay)
        scale = optax.stateless(lambda updates, _: jax.tree.map(jnp.multiply, updates, factors))
        tx = optax.chain(tx, scale)
    for part, epochs in thaw_epochs.items():
        tx = optax.chain(tx, optax.masked(_held(round(epochs * epoch)), _mask(params, part)))
    return tx


def depths(params: Any, part: str) -> dict[tuple[str, ...], int]:
    """Returns {path of a parameter: number of its layer in the part}, 0 nearest to the pixels.

    Layers are the stem (or patches and positions), each block of each stage in order, and what
    follows: the last norm. A layer between two stages goes with the first block after it.
    """
    paths = [names(p) for p, _ in jax.tree_util.tree_leaves_with_path(params)]
    inside = [p for p in paths if p[0] == part]
    blocks = sorted({block for block in map(_block, inside) if block is not None})
    order = {block: i + 1 for i, block in enumerate(blocks)}
    last = len(order) + 1
    found = {}
    for path in inside:
        block = _block(path)
        found[path] = order[block] if block else 0 if path[1] in _FIRST else last
    return found


def _block(path: tuple[str, ...]) -> tuple[int, int] | None:
    """Returns (stage, block) of a parameter in the body of a backbone, or None outside of it."""
    if len(path) < 3 or path[1] not in _BODY:
        return None
    if path[1] == "blocks":
        return 0, int(path[2])
    if path[1] == "downsamples":
        return int(path[2]) + 1, 0
    return int(path[2]), next((int(p) for p in path[3:] if p.isdigit()), 0)


def _factors(params: Any, layer_decay: Mapping[str, float]) -> Any:
    """Returns a tree like `params` of the factors of their rates."""
    known: dict[tuple[str, ...], float] = {}
    for part, factor in layer_decay.items():
        layers = depths(params, part)
        top = max(layers.values())
        known |= {path: factor ** (top - depth) for path, depth in layers.items()}
    return jax.tree_util.tree_map_with_path(lambda p, _: known.get(names(p), 1.0), params)


def _mask(params: Any, part: str) -> Any:
    return jax.tree_util.tree_map_with_path(lambda p, _: names(p)[0] == part, params)


def _held(steps: int) -> optax.GradientTransformation:
    return optax.scale_by_schedule(lambda count: jnp.where(count < steps, 0.0, 1.0))
