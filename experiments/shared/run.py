# SPDX-License-Identifier: Apache-2.0
"""The top of a config: variants, keys of running, optimizer, monitor."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from astrojax.errors import UserError

Change = Callable[[ConfigDict], None]


def choose(variants: Mapping[str, Any], variant: str, file: str) -> Any:
    """Returns the entry of a variant.

    Raises:
        UserError: The experiment has no such variant.
    """
    if variant not in variants:
        known, which = [name for name in variants if name], "it has"
        if len(known) > 12:
            known, which = difflib.get_close_matches(variant, known, 6, 0.0), "the nearest are"
        raise UserError(
            f"experiments/{Path(file).name} has no variant {variant!r}; {which} {', '.join(known)}"
        )
    return variants[variant]


def apply(config: ConfigDict, changes: Iterable[Change]) -> ConfigDict:
    """Returns the config after the changes of a variant, made in order."""
    for change in changes:
        change(config)
    return config


def start(*, epochs: float, batch_size: int, **changed: Any) -> ConfigDict:
    """Returns the keys of running, all of them, so that a command line can set any."""
    keys = {"seed": 0, "epochs": epochs, "batch_size": batch_size, "fsdp": 1, "threads": 0}
    keys |= {"log_every": 20, "checkpoint_every": 100, "keep": 2, "init": None, "monitor": None}
    return ConfigDict(keys | changed)


def monitor(*, every_epochs: float, examples: int, **changed: Any) -> dict[str, Any]:
    """Returns a monitor that warns of collapse and never stops a run early."""
    fixed = {"knn_label": None, "collapse": "warn", "patience": None}
    return {"every_epochs": every_epochs, "examples": examples, **fixed, **changed}


def adamw(
    *, weight_decay: float | tuple[float, float], b2: float = 0.999, name: str = "adamw"
) -> dict[str, Any]:
    """Returns the optimizer AdamW, or another of Adam's family."""
    return {"name": name, "weight_decay": weight_decay, "b1": 0.9, "b2": b2}


def sgd(*, weight_decay: float, nesterov: bool = False) -> dict[str, Any]:
    """Returns stochastic gradient descent with momentum 0.9."""
    return {"name": "sgd", "weight_decay": weight_decay, "momentum": 0.9, "nesterov": nesterov}


def cosine(
    *, peak_value: float, warmup_epochs: float, init_value: float = 0.0, end_value: float = 1e-6
) -> dict[str, Any]:
    """Returns a rate that rises linearly, and then falls as a cosine."""
    ends = {"init_value": init_value, "end_value": end_value}
    return {"name": "cosine", "peak_value": peak_value, "warmup_epochs": warmup_epochs, **ends}


def optim(optimizer: dict, schedule: dict, **changed: Any) -> dict[str, Any]:
    """Returns a section `optim` that clips gradients, and decays neither biases nor norms."""
    fixed = {"decay_bias_and_norm": False, "fixed_lr": (), "frozen": (), "clip_norm": 1.0}
    fixed |= {"accumulate": 1, "skip_nonfinite": 0}
    return {"optimizer": optimizer, "schedule": schedule, **fixed, **changed}
