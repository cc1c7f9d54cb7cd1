# SPDX-License-Identifier: Apache-2.0
"""Experiment trackers beside `metrics.jsonl` and TensorBoard: Weights & Biases, and MLflow.

They are set up as always, by their own environment variables: `WANDB_PROJECT`, `WANDB_MODE`
(`offline` keeps all in the run's folder, for `wandb sync`), `MLFLOW_TRACKING_URI` (the folder
`mlruns` of the run if not given), `MLFLOW_EXPERIMENT_NAME`. A run that goes on stays one there.
A tracker that fails while a run trains, as one whose server is away, is left out from then on.
"""

import hashlib
import importlib.util
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from astrojax import files
from astrojax.errors import UserError

Name = Literal["wandb", "mlflow"]
_ID = "mlflow_run"  # file in the run's folder
_LONGEST = 500  # letters of a parameter that MLflow takes


@runtime_checkable
class Tracker(Protocol):
    """What is told the values of each step."""

    def write(self, step: int, values: dict[str, float]) -> None:
        """Records the values of a step."""

    def close(self) -> None:
        """Ends the record."""


def check(names: Sequence[str]) -> None:
    """Raises `UserError` if a tracker is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"config key 'trackers' names {name!r}, which is not installed: "
                f"pip install 'astrojax[{name}]'"
            )


def start(names: Sequence[Name], workdir: Path, config: Mapping[str, Any]) -> list[Tracker]:
    """Returns the trackers of a run.

    Args:
        names: Which.
        workdir: The run's folder, which gives the run its name.
        config: Its resolved config.

    Raises:
        UserError: A tracker cannot be reached, or is not set up.
    """
    kinds: dict[str, Callable[[Path, Mapping[str, Any]], Tracker]]
    kinds = {"wandb": _Wandb, "mlflow": _MLflow}
    found: list[Tracker] = []
    for name in names:
        try:
            found.append(_Guarded(name, kinds[name](workdir, config)))
        except Exception as error:  # whatever a service that is away makes its library raise
            raise UserError(
                f"config key 'trackers': {name} cannot start ({error}); set it up, or leave it out"
            ) from error
    return found


class _Guarded:
    """A tracker whose failures end its record, and not the run."""

    def __init__(self, name: str, tracker: Tracker):
        self.name, self.tracker = name, tracker
        self.works = True

    def write(self, step: int, values: dict[str, float]) -> None:
        self._try(lambda: self.tracker.write(step, values))

    def close(self) -> None:
        self._try(self.tracker.close)

    def _try(self, call: Any) -> None:
        if not self.works:
            return
        try:
            call()
        except Exception as error:  # whatever a service that is away makes its library raise
            self.works = False
            logging.warning("%s failed, and is told no more of this run: %s", self.name, error)


class _Wandb:
    """Weights & Biases."""

    def __init__(self, workdir: Path, config: Mapping[str, Any]):
        import wandb

        place = str(workdir.resolve())
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "astrojax"),
            name=workdir.name,
            id=hashlib.blake2b(place.encode(), digest_size=8).hexdigest(),
            resume="allow",
            dir=place,
            config=dict(config),
        )

    def write(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def close(self) -> None:
        self.run.finish()


class _MLflow:
    """MLflow."""

    def __init__(self, workdir: Path, config: Mapping[str, Any]):
        from mlflow.tracking import MlflowClient

        place = os.environ.get("MLFLOW_TRACKING_URI")
        if place is None:  # a folder needs no database; newer versions want to be asked for one
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            place = (workdir / "mlruns").resolve().as_uri()
        self.client = MlflowClient(place)
        kept = workdir / _ID
        if kept.is_file():
            self.id = kept.read_text(encoding="utf-8")
            self.client.update_run(self.id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "astrojax")
        known = self.client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self.client.create_experiment(name)
        self.id = self.client.create_run(experiment, run_name=workdir.name).info.run_id
        for key, value in _flat(config).items():
            self.client.log_param(self.id, key, str(value)[:_LONGEST])
        files.write_text(kept, self.id)

    def write(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.client.log_metric(self.id, name, value, step=step)

    def close(self) -> None:
        self.client.set_terminated(self.id)


def _flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{path}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return found
