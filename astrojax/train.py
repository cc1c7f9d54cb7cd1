# SPDX-License-Identifier: Apache-2.0
"""The only training loop: config in, checkpoints and a log out.

    sources -> Grain -> global batch -> jitted step(state, batch) -> state, logs
                                        `- method.loss, optax update, method.after_update

The step is a pure function of pytrees; the host waits for it only where it logs or saves.
"""

import dataclasses
import json
import logging
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from astrojax import checkpoint, faults, metrics, monitor, optim, sharding
from astrojax.config import call, check, plain
from astrojax.data import pipeline
from astrojax.data.labels import oversample
from astrojax.errors import UserError
from astrojax.method import Method, build, find

_FREE = ("fsdp", "threads", "log_every", "checkpoint_every", "keep", "evaluate")  # not the result


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The top level of a config.

    Attributes:
        seed: Seed of initial weights, data order and every random draw.
        epochs: Length of the run in passes over the training split.
        batch_size: Global batch size.
        fsdp: Devices that share one copy of the parameters; 1 replicates them.
        threads: Threads that read data; 0 for data in memory.
        log_every: Steps between records.
        checkpoint_every: Steps between checkpoints.
        keep: Newest checkpoints kept.
        data: Which source, and its keys (`astrojax/data`).
        method: Which method, and its keys (`astrojax/methods`).
        optim: Keys of `optim.build`.
        init: Weights to begin from, keys of `checkpoint.initialise`; None begins afresh.
        monitor: Keys of `monitor.Monitor`; None validates nothing during training.
        evaluate: Evaluation tasks by name, each with its keys (`astrojax/evaluate`).
    """

    seed: int
    epochs: float
    batch_size: int
    fsdp: int
    threads: int
    log_every: int
    checkpoint_every: int
    keep: int
    data: dict
    method: dict
    optim: dict
    init: dict | None
    monitor: dict | None
    evaluate: dict


def check_config(config: dict[str, Any]) -> Settings:
    """The settings of a config whose every key is known and of the right type.

    Raises:
        UserError: One is not; nothing was read or computed yet.
    """
    settings = Settings(**check(Settings, config, path="config"))
    check(find(settings.method), settings.method, path="method", runtime=("info", "rngs"))
    optim.check_section(settings.optim)
    if settings.monitor is not None:
        monitor.check_section(settings.monitor)
    return settings


class TrainState(NamedTuple):
    """Everything a run needs to go on; a pytree."""

    step: jax.Array
    key: jax.Array
    params: nnx.State
    rest: nnx.State
    opt_state: optax.OptState
    first_bad: jax.Array  # first step whose loss or gradient was not finite, or -1


def make_step(
    graph: nnx.GraphDef, tx: optax.GradientTransformation, total_steps: int
) -> Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, dict[str, jax.Array]]]:
    """The training step of a method, not yet jitted."""

    def step(state: TrainState, batch: dict[str, jax.Array]):
        key = jax.random.fold_in(state.key, state.step)

        def objective(params: nnx.State):
            method = nnx.merge(graph, params, state.rest, copy=True)
            loss, logs = method.loss(batch, key)
            return loss, (logs, nnx.state(method, nnx.Not(nnx.Param)))

        (loss, (logs, rest)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        method = nnx.merge(graph, params, rest, copy=True)
        method.after_update((state.step + 1) / total_steps)
        _, params, rest = nnx.split(method, nnx.Param, ...)

        # A skipped update (optim.skip_nonfinite) is zero; one let through shows what went wrong.
        fine = jnp.isfinite(optax.global_norm(updates))
        skipped = optax.tree_utils.tree_get(opt_state, "total_notfinite")
        if skipped is None:
            fine &= jnp.isfinite(loss)
        else:
            logs = {**logs, "skipped_updates": skipped}
        first_bad = jnp.where((state.first_bad < 0) & ~fine, state.step + 1, state.first_bad)
        new = TrainState(state.step + 1, state.key, params, rest, opt_state, first_bad)
        return new, {"loss": loss, "gradient_norm": optax.global_norm(grads), **logs}

    return step


class Run:
    """A config made concrete: data, method, optimizer, mesh, compiled step and first state.

    Args:
        config: The whole config.
        sources: Opened data, or None to open what the config names.
        devices: Devices to use, or None for all.

    Raises:
        UserError: Something in the config or the data does not fit; nothing was computed yet.
    """

    def __init__(
        self,
        config: dict[str, Any],
        sources: dict[str, pipeline.Source] | None = None,
        devices: Sequence[jax.Device] | None = None,
    ):
        self.settings = s = check_config(config)
        self.mesh = sharding.make_mesh(fsdp=s.fsdp, devices=devices)
        self.sources = pipeline.load(s.data) if sources is None else sources
        train = self.sources["train"]
        sharding.check_batch(self.mesh, s.batch_size, len(train))
        again = s.data.get("oversample")
        self.stream = train
        if again:
            self.stream = call(oversample, again, path="data.oversample", source=train)
        self.steps_per_epoch = len(self.stream) / s.batch_size
        self.total_steps = max(round(s.epochs * self.steps_per_epoch), 1)
        self.method = build(s.method, info=train.info, rngs=nnx.Rngs(s.seed))
        missing = [c for c in self.method.columns if c not in train[0]]
        if missing:
            raise UserError(
                f"method {s.method['name']!r} needs {', '.join(missing)}, which the data lack; "
                f"they have {', '.join(train[0])}"
            )
        self.method.check(train)
        self.graph, params, rest = nnx.split(self.method, nnx.Param, ...)
        self.tx, self.schedule = call(
            optim.build,
            s.optim,
            path="optim",
            params=params,
            steps_per_epoch=self.steps_per_epoch,
            total_steps=self.total_steps,
        )
        self._initial = (params, rest)
        # Outputs stay where a restored state would be put, so that resuming gives the same bits.
        shardings = jax.tree.map(lambda x: x.sharding, self.abstract_state())
        self.step = jax.jit(
            sharding.within(self.mesh, make_step(self.graph, self.tx, self.total_steps)),
            donate_argnums=0,
            out_shardings=(shardings, sharding.replicated(self.mesh)),
        )

    def initial_state(self) -> TrainState:
        """The state before the first step, on the mesh."""
        params, rest = self._initial
        if self.settings.init is not None:
            checkpoint.initialise(self.settings.init, self.method)
            _, params, rest = nnx.split(self.method, nnx.Param, ...)
        zero = jnp.zeros((), jnp.int32)
        key = jax.random.key(self.settings.seed)
        state = TrainState(zero, key, params, rest, self.tx.init(params), zero - 1)
        return sharding.put_state(self.mesh, jax.tree.map(jnp.array, state))

    def abstract_state(self) -> TrainState:
        """Shapes, types and shardings of the state, without its values."""
        params, rest = self._initial
        zero = jnp.zeros((), jnp.int32)
        abstract = jax.eval_shape(
            lambda p, r: TrainState(zero, jax.random.key(0), p, r, self.tx.init(p), zero),
            params,
            rest,
        )
        return jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
            abstract,
            sharding.state_shardings(self.mesh, abstract),
        )

    def batches(self, start: int):
        """Global batches on the devices, from that of step `start` on."""
        local = pipeline.local_batches(
            self.stream,
            columns=self.method.columns,
            batch_size=self.settings.batch_size,
            seed=self.settings.seed,
            start=start,
            threads=self.settings.threads,
            rows=sharding.local_rows(self.mesh, self.settings.batch_size),
        )
        return pipeline.prefetch(local, lambda batch: sharding.put_batch(self.mesh, batch))

    def method_at(self, state: TrainState) -> Method:
        """The method with the weights of a state."""
        return nnx.merge(self.graph, state.params, state.rest, copy=True)


def run(
    config: Any, workdir: str | Path, sources: dict[str, pipeline.Source] | None = None
) -> bool:
    """Trains what the config says until it is done; resumes what is in `workdir`.

    Args:
        config: A ConfigDict or dict with the keys of `Settings`.
        workdir: Folder for config, log, checkpoints and results.
        sources: Opened data, where many runs share it; None opens what the config names.

    Returns:
        Whether anything was trained; False if the run was finished before.

    Raises:
        UserError: A mistake in config, data or folder, or a run that cannot go on.
    """
    workdir, config = Path(workdir), plain(config)
    check_same(workdir, config)
    if (workdir / "finished.json").exists():
        return False
    job = Run(config, sources)
    if sharding.is_main():
        checkpoint.write_json(workdir / "config.json", config)
    saved = checkpoint.Checkpoints(workdir / "checkpoints", keep=job.settings.keep)
    found = saved.restore(job.abstract_state())
    fresh = {"seconds": 0.0, "monitor": None, "pending": []}
    state, extra = found if found else (job.initial_state(), fresh)
    watch = monitor.make(job, workdir, extra["monitor"])
    step, main = int(state.step), sharding.is_main()
    writer = metrics.Writer(workdir, from_step=step) if main else metrics.Silent()
    logging.info(
        "%s: %d steps of %d examples on %d %s device(s) of %d process(es)%s",
        workdir, job.total_steps, job.settings.batch_size, jax.device_count(),
        jax.default_backend(), jax.process_count(), f", resumed at step {step}" if found else "",
    )  # fmt: skip
    loop = _Loop(job, saved, writer, watch, extra)
    try:
        state = loop.go(state)
    except BaseException:
        if not sharding.several():  # else another may be gone, and with it the end of the save
            saved.close()
        raise
    finally:
        writer.close()
    saved.close()
    told = {
        "step": int(state.step),
        "seconds": round(loop.seconds(), 1),
        "examples_per_second": round(loop.rate, 1),
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
    }
    if main:
        checkpoint.write_json(workdir / "finished.json", told)
    return True


def check_same(workdir: Path, config: dict[str, Any]) -> None:
    """Raises `UserError` if the folder holds a run of another config; names the first key."""
    if not (workdir / "config.json").exists():
        return
    before, now = _flat(plain(checkpoint.read_config(workdir))), _flat(config)
    for key in {**before, **now}:
        if before.get(key) != now.get(key) and key.split(".")[0] not in _FREE:
            raise UserError(
                f"{workdir} holds a run of another config ('{key}' is {before.get(key)!r} there "
                f"and {now.get(key)!r} now); give another --workdir, or remove that folder"
            )


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    if isinstance(tree, dict) and tree:
        return {k: v for name, sub in tree.items() for k, v in _flat(sub, f"{path}.{name}").items()}
    return {path[1:]: json.loads(json.dumps(tree))}  # as a file has it: tuples become lists


class _Loop:
    """The state of the loop that is not part of the training state: clocks, writers, signals."""

    def __init__(self, job: Run, saved: Any, writer: metrics.Writer, watch: Any, extra: dict):
        self.job, self.saved, self.writer, self.watch = job, saved, writer, watch
        self.before, self.began, self.rate = extra["seconds"], time.monotonic(), 0.0
        self.pending: list[dict] = extra["pending"]  # logs of the steps since the last record
        self.stop = False

    def seconds(self) -> float:
        """Wall-clock time of the run so far, over all its starts."""
        return self.before + time.monotonic() - self.began

    def go(self, state: TrainState) -> TrainState:
        """Steps until the end, an early stop, or a signal."""
        s, total, step = self.job.settings, self.job.total_steps, int(state.step)
        previous = None
        if not sharding.several():  # else JAX listens, so that all processes stop together
            previous = signal.signal(signal.SIGTERM, self._on_signal)
        batches, since = self.job.batches(step), (step, time.monotonic())
        while step < total:
            with faults.waiting(f"the data of step {step + 1} (data.name={s.data['name']!r})"):
                batch = next(batches)
            state, logs = self.job.step(state, batch)
            with faults.waiting(f"the devices at step {step + 1}"):
                sharding.settle(logs)
            step += 1
            self.pending.append(logs)
            self.stop = self.stop or sharding.asked_to_stop(step)
            if step % s.log_every == 0 or step == total:
                self._log(state, step, *since)
                since = (step, time.monotonic())
            seen, ended = self.watch(state, step)
            if seen:
                self.writer.write(step, seen)
                text = "  ".join(f"{k} {v:.4g}" for k, v in seen.items())
                logging.info("step %d/%d  %s", step, total, text)
            if step % s.checkpoint_every == 0 or step == total or ended or self.stop:
                self._save(state, step)
            if ended:
                break
            if self.stop:
                self.saved.close()
                logging.warning("stopped by SIGTERM at step %d of %d; saved", step, total)
                raise SystemExit(faults.PREEMPTED)
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
        return state

    def _on_signal(self, *_: Any) -> None:
        self.stop = True

    def _save(self, state: TrainState, step: int) -> None:
        self._check_finite(state)
        self.pending = _floats(self.pending, step)
        extra = {"pending": list(self.pending), "monitor": self.watch.memory()}
        self.saved.save(step, state, {"seconds": self.seconds(), **extra})

    def _check_finite(self, state: TrainState) -> None:
        bad = int(state.first_bad)
        if bad >= 0:
            raise UserError(
                f"the loss or its gradient was NaN or infinite at step {bad}; the last good "
                f"checkpoint is kept in {self.saved.manager.directory} (lower the learning rate, "
                "or set optim.clip_norm or optim.skip_nonfinite)"
            )

    def _log(self, state: TrainState, step: int, from_step: int, since: float) -> None:
        values = jax.tree.map(lambda *v: float(np.mean(v)), *_floats(self.pending, step))
        self._check_finite(state)
        self.pending, steps = [], step - from_step
        elapsed = time.monotonic() - since
        self.rate = steps * self.job.settings.batch_size / elapsed
        values["learning_rate"] = float(self.job.schedule(step))
        values["epoch"] = step / self.job.steps_per_epoch
        left = (self.job.total_steps - step) * elapsed / steps
        told = {k: v for k, v in values.items() if k not in ("learning_rate", "epoch")}
        text = "  ".join(f"{k} {v:.4g}" for k, v in told.items())
        self.writer.write(step, {**values, "examples_per_second": self.rate})
        logging.info(
            "step %d/%d  %s  %.0f images/s  %.1f min left",
            step, self.job.total_steps, text, self.rate, left / 60,
        )  # fmt: skip


def _floats(logs: list[dict], step: int) -> list[dict[str, float]]:
    """Logs of the steps up to `step` as plain numbers; the host waits here for the devices."""
    for at, log in enumerate(logs, step + 1 - len(logs)):
        with faults.waiting(f"the devices at step {at}"):
            jax.block_until_ready(log)
    return jax.tree.map(float, jax.device_get(logs))
