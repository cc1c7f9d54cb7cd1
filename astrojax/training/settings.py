# SPDX-License-Identifier: Apache-2.0
"""The top level of a config, checked once and for all before anything is read or computed."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astrojax import evaluate, methods
from astrojax.config import Bound, bind, plain
from astrojax.data.open import resolve_section
from astrojax.errors import UserError
from astrojax.training import checkpoint, initialise, monitor, optim
from astrojax.training import trackers as tracking

# What may differ between two starts of one run: it does not change the weights.
_FREE = ("fsdp", "threads", "log_every", "checkpoint_every", "keep", "evaluate", "trackers")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys at the top of a config.

    Attributes:
        seed: Seed of initial weights, data order and every random draw.
        epochs: Length of the run in passes over the training split.
        batch_size: Global batch size.
        data: Which reader, and its keys (`astrojax/data/readers`).
        method: Which method, and its keys (`astrojax/methods`).
        optim: Keys of `optim.build`.
        init: Weights to begin from, keys of `initialise.from_run` or `from_torch`; None begins
            afresh.
        monitor: Keys of `monitor.Monitor`; None validates nothing during training.
        evaluate: Evaluation tasks by name, each with its keys (`astrojax/evaluate`).
        fsdp: Devices that share one copy of the parameters; 1 replicates them.
        threads: Threads that read data; 0 for data in memory.
        log_every: Steps between records.
        checkpoint_every: Steps between checkpoints.
        keep: Newest checkpoints kept.
        trackers: "wandb" and "mlflow", which are told the metrics too; see `trackers.py`.
    """

    seed: int
    epochs: float
    batch_size: int
    data: dict
    method: dict
    optim: dict
    init: dict | None = None
    monitor: dict | None = None
    evaluate: dict = dataclasses.field(default_factory=dict)
    fsdp: int = 1
    threads: int = 0
    log_every: int = 20
    checkpoint_every: int = 100
    keep: int = 2
    trackers: tuple[tracking.Name, ...] = ()


@dataclasses.dataclass(frozen=True)
class Settings:
    """A config whose every key is known and of the right type.

    Attributes:
        keys: The top level; `data` and `evaluate` with the defaults of what they name.
        method: The method's class with its keys.
        optim: `optim.build` with its keys.
        monitor: The monitor with its keys.
        init: What replaces parts of the first weights, with its keys, or None.
    """

    keys: Keys
    method: Bound
    optim: Bound
    monitor: Bound
    init: Bound | None

    def to_json(self) -> dict[str, Any]:
        """Returns the resolved config, as `config.json` of a run has it."""
        return dataclasses.asdict(self.keys)


def resolve(config: Any, *, data_is_open: bool = False) -> Settings:
    """Checks a whole config; the one place where it is visited.

    Args:
        config: A ConfigDict or dict with the keys of `Keys`.
        data_is_open: Whether the sources are given, so that the section `data` only describes
            them.

    Raises:
        UserError: A key is unknown, missing or of the wrong type; nothing was read or computed.
    """
    keys: Keys = bind(Keys, plain(config), path="config")()
    tracking.check(keys.trackers)
    tasks = {name: task.arguments for name, task in evaluate.bind_tasks(keys.evaluate).items()}
    data = keys.data if data_is_open else resolve_section(keys.data)
    return Settings(
        keys=dataclasses.replace(keys, data=data, evaluate=tasks),
        method=methods.bind_section(keys.method),
        optim=optim.bind_section(keys.optim),
        monitor=monitor.bind_section(keys.monitor),
        init=initialise.bind_section(keys.init),
    )


def check_same(workdir: Path, config: Mapping[str, Any]) -> None:
    """Raises `UserError` if the folder holds a run of another config; names the first key.

    A run that saved nothing yet does not hold its folder: its config may be corrected.
    """
    if not has_started(workdir):
        return
    before, now = _flat(checkpoint.read_config(workdir)), _flat(config)
    for key in {**before, **now}:
        if before.get(key) != now.get(key) and key.split(".")[0] not in _FREE:
            raise UserError(
                f"{workdir} holds a run of another config ('{key}' is {before.get(key)!r} there "
                f"and {now.get(key)!r} now); give another --workdir, or remove that folder"
            )


def has_started(workdir: Path) -> bool:
    """Returns whether a run in the folder saved anything that a start can go on from."""
    return any(p.name.isdigit() for p in (workdir / "checkpoints").glob("*"))


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    if isinstance(tree, dict) and tree:
        return {k: v for name, sub in tree.items() for k, v in _flat(sub, f"{path}.{name}").items()}
    return {path[1:]: json.loads(json.dumps(tree))}  # as a file has it: tuples become lists
