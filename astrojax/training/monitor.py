# SPDX-License-Identifier: Apache-2.0
"""What is watched while a run trains: validation loss, kNN score, collapse; and early stopping."""

import logging
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from astrojax import distributed
from astrojax.config import Bound, bind
from astrojax.data.batching import ordered_batches
from astrojax.data.source import Subset
from astrojax.errors import UserError
from astrojax.evaluate import knn
from astrojax.evaluate.collapse import health as embedding_health
from astrojax.methods import Method
from astrojax.training.checkpoint import save_best

_NEIGHBOURS = 20
_COLLAPSED = 0.02  # feature_std: 1 when isotropic; the collapsed runs of the tests fall below 0.005


class Monitor:
    """Looks at a run every few epochs.

    Args:
        job: The run.
        workdir: Its folder; the weights of lowest validation loss go to `workdir/best`. None for a
            check that looks at nothing.
        state: What `state_dict()` returned when the checkpoint was written, or None.
        every_epochs: Epochs between looks.
        examples: At most this many examples of each split are looked at.
        knn_label: Column of integer labels for a weighted kNN vote (k = 20, T = 0.1), or None.
        collapse: "stop" ends a run whose embeddings have collapsed, "warn" says so and goes on.
        patience: Looks without a lower validation loss before the run ends; None never ends it.

    Raises:
        UserError: A split is missing or empty, no example that is looked at has a label for the
            vote, none of validation has a target for the loss, or the method has no such loss.
    """

    def __init__(
        self,
        *,
        job: Any,
        workdir: Path | None,
        state: dict | None,
        every_epochs: float,
        examples: int,
        knn_label: str | None,
        collapse: Literal["stop", "warn"],
        patience: int | None,
    ):
        self.job, self.workdir, self.patience = job, workdir, patience
        self.every = max(round(every_epochs * job.steps_per_epoch), 1)
        self.collapse, self.knn_label = collapse, knn_label
        self.seen = state or {"best": None, "looks_since": 0}
        rng = np.random.default_rng(job.keys.seed)
        self.parts = {}
        for split in ("train", "validation"):
            source = job.sources.get(split)
            if source is None or not len(source):
                raise UserError(f"the monitor needs a {split} split, which the data lack")
            picked = np.sort(rng.permutation(len(source))[:examples])
            self.parts[split] = Subset(source, picked)
        if knn_label is not None:
            self.labels = {k: _labels(v, knn_label, k) for k, v in self.parts.items()}
        if patience is not None:
            self.known = self._known_targets()
        whole = distributed.replicated(job.mesh)  # every process sees all, and decides the same
        self._forward = jax.jit(self._apply, out_shardings=whole)
        self._losses = jax.jit(self._apply_loss, out_shardings=whole)

    def state_dict(self) -> dict:
        """Returns what has to survive a restart; plain JSON."""
        return dict(self.seen)  # a copy: it is written in the background

    def _apply(self, params: nnx.State, rest: nnx.State, batch: dict) -> jax.Array:
        inputs = [batch[name] for name in self.job.method.inputs]
        return nnx.merge(self.job.graph, params, rest).embed(*inputs)

    def _apply_loss(self, params: nnx.State, rest: nnx.State, batch: dict) -> jax.Array:
        return nnx.merge(self.job.graph, params, rest).validation_loss(batch)

    def __call__(self, state: Any, step: int) -> tuple[dict[str, float], bool]:
        """Looks if it is time; returns what it saw, and whether the run should end."""
        if step % self.every and step != self.job.total_steps:
            return {}, False
        splits = ("validation",) if self.knn_label is None else ("train", "validation")
        embeddings = {split: self._embed(state, split) for split in splits}
        health = embedding_health(jnp.asarray(embeddings["validation"]))
        values = {k: float(v) for k, v in health.items()}
        if self.knn_label is not None:
            values[f"knn_{self.knn_label}"] = self._knn(embeddings)
        ended = False
        if self.patience is not None:
            values["validation_loss"] = loss = self._loss(state)
            ended = self._remember(state, step, loss)
        if values["feature_std"] < _COLLAPSED:
            told = (
                f"the representation has collapsed at step {step}: feature_std is "
                f"{values['feature_std']:.2g} (1 if isotropic), effective_rank "
                f"{values['effective_rank']:.1f}"
            )
            if self.collapse == "stop":
                raise UserError(f"{told}; set monitor.collapse to 'warn' to go on all the same")
            logging.warning(told)
        return values, ended

    def _embed(self, state: Any, split: str) -> np.ndarray:
        parts = []
        for batch, count in self._batches(split, self.job.method.inputs):
            parts.append(np.asarray(self._forward(state.params, state.rest, batch))[:count])
        return np.concatenate(parts)

    def _loss(self, state: Any) -> float:
        parts = []
        for batch, count in self._batches("validation", self.job.method.columns):
            parts.append(np.asarray(self._losses(state.params, state.rest, batch))[:count])
        losses = np.concatenate(parts)[self.known]
        bad = np.flatnonzero(~np.isfinite(losses))
        if len(bad):
            first = self.parts["validation"][int(np.flatnonzero(self.known)[bad[0]])]
            raise UserError(
                f"the validation loss of {len(bad)} of {len(losses)} examples is not finite, the "
                f"first is {first.get('id', 'without id')}: look at its values, or name those "
                "that mean none in data.sentinels"
            )
        return float(np.mean(losses, dtype=np.float64))

    def _known_targets(self) -> np.ndarray:
        method, part = self.job.method, self.parts["validation"]
        if type(method).validation_loss is Method.validation_loss:
            raise UserError(
                f"config key 'monitor.patience' is set, and {type(method).__name__} has no "
                "validation loss to stop by: set it to None"
            )
        lacking = [name for name in method.columns if name not in part[0]]
        known = np.zeros(len(part), bool) if lacking else np.asarray(method.known_targets(part))
        if not known.any():
            raise UserError(
                f"config key 'monitor.patience' stops by the validation loss, and of {len(part)} "
                "validation examples none has a target: set it to None, or look at data.split"
            )
        return known

    def _batches(self, split: str, columns: tuple[str, ...]):
        s, mesh = self.job.keys, self.job.mesh
        for batch, count in ordered_batches(
            self.parts[split],
            columns=columns,
            batch_size=s.batch_size,
            threads=s.threads,
            rows=distributed.local_rows(mesh, s.batch_size),
        ):
            yield distributed.put_batch(mesh, batch), count

    def _knn(self, embeddings: dict[str, np.ndarray]) -> float:
        known = {split: label >= 0 for split, label in self.labels.items()}
        voted = knn.predict(
            embeddings["train"][known["train"]],
            self.labels["train"][known["train"]],
            embeddings["validation"][known["validation"]],
            k=min(_NEIGHBOURS, int(known["train"].sum())),
            temperature=0.1,
        )
        truth = self.labels["validation"][known["validation"]]
        return float(np.mean(np.asarray(voted) == truth))

    def _remember(self, state: Any, step: int, loss: float) -> bool:
        if self.seen["best"] is None or loss < self.seen["best"]:
            self.seen["best"], self.seen["looks_since"] = loss, 0
            assert self.workdir is not None  # only a check has none
            save_best(self.workdir, step, state)
        else:
            self.seen["looks_since"] += 1
        return self.seen["looks_since"] >= self.patience


def _labels(part: Subset, name: str, split: str) -> np.ndarray:
    """Returns integer labels, -1 where there is none."""
    if name not in part[0]:
        raise UserError(
            f"config key 'monitor.knn_label' names {name!r}, which the data lack; they have "
            f"{', '.join(n for n in part[0] if n != 'image')}: name it in data.columns, or set the "
            "key to None"
        )
    labels = np.ma.filled(part.column(name), -1)
    if labels.dtype.kind not in "iu":
        raise UserError(
            f"config key 'monitor.knn_label' names {name!r}, which has no integer classes: "
            "name the column as data.columns.label, or set the key to None"
        )
    if not (labels >= 0).any():
        raise UserError(
            f"config key 'monitor.knn_label' names {name!r}, and of {len(labels)} {split} examples "
            "that are looked at none has a label: set it to None, or look at data.split"
        )
    return labels


class _Nothing:
    """Watches nothing."""

    def __call__(self, state: Any, step: int) -> tuple[dict[str, float], bool]:
        return {}, False

    def state_dict(self) -> None:
        return None


def bind_section(section: dict | None) -> Bound:
    """Returns the monitor that the config section `monitor` describes; None watches nothing.

    Raises:
        UserError: A key is unknown, missing or mistyped.
    """
    if section is None:
        return Bound(lambda **_: _Nothing(), {})
    return bind(Monitor, section, path="monitor", runtime=("job", "workdir", "state"))
