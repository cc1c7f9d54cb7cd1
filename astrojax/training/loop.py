# SPDX-License-Identifier: Apache-2.0
"""The only training loop: config in, checkpoints and a log out.

    sources -> Grain -> global batch -> jitted step(state, batch) -> state, logs

The host waits for the devices only where it logs or saves.
"""

import logging
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from astrojax import distributed, files
from astrojax.data import fingerprint
from astrojax.data.source import Source
from astrojax.errors import UserError
from astrojax.training import checkpoint, metric_log, targets, trackers
from astrojax.training.run import Run, TrainState
from astrojax.training.settings import Settings, check_same, has_started, resolve
from astrojax.training.signals import StopSignals


def train(config: Any, workdir: str | Path, sources: dict[str, Source] | None = None) -> bool:
    """Trains what the config says until it is done; resumes what is in `workdir`.

    Args:
        config: A ConfigDict or dict with the keys of `settings.Keys`.
        workdir: Folder for config, log, checkpoints and results.
        sources: Opened data, where many runs share it; None opens what the config names.

    Returns:
        Whether anything was trained; False if the run was finished before.

    Raises:
        UserError: A mistake in config, data or folder, a run that cannot go on, or another
            process that is training it.
    """
    workdir = Path(workdir)
    settings = resolve(config, data_is_open=sources is not None)
    with distributed.only_main(files.lock(workdir)):
        check_same(workdir, settings.to_json())
        if (workdir / "finished.json").exists():
            return False
        _train(settings, workdir, sources)
    return True


def _train(settings: Settings, workdir: Path, sources: dict[str, Source] | None) -> None:
    """Trains a run whose folder is locked."""
    job = Run(settings, sources)
    targets.check(job)
    _write_origin(workdir, job)
    saved = checkpoint.Checkpoints(workdir / "checkpoints", keep=job.keys.keep)
    found = saved.restore(job.abstract_state())
    fresh: dict[str, Any] = {"seconds": 0.0, "monitor": None, "pending": []}
    state, extra = found if found else (job.initial_state(), fresh)
    watch = settings.monitor(job=job, workdir=workdir, state=extra["monitor"])
    step, main = int(state.step), distributed.is_main()
    writer = _writer(workdir, settings, step) if main else metric_log.Silent()
    logging.info("%s: %s%s", workdir, _size(job), f", resumed at step {step}" if found else "")
    loop = _Loop(job, saved, writer, watch, extra)
    try:
        state = loop.fit(state)
    except BaseException:
        # Of several processes another may be gone, and with it the end of the save.
        if not distributed.is_multiprocess():
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
        files.write_json(workdir / "finished.json", told)


def _writer(workdir: Path, settings: Settings, step: int) -> metric_log.Writer:
    others = trackers.start(settings.keys.trackers, workdir, settings.to_json())
    return metric_log.Writer(workdir, from_step=step, others=others)


def _write_origin(workdir: Path, job: Run) -> None:
    """Writes the config and the fingerprint of the data, which a run that goes on must not change.

    Raises:
        UserError: The data are not those that the run began with.
    """
    data = fingerprint.of(job.sources, job.keys.data)
    if has_started(workdir):
        fingerprint.check(workdir / "data.json", data)
    if distributed.is_main():
        checkpoint.write_config(workdir, job.settings.to_json())
        files.write_json(workdir / "data.json", data)


def _size(job: Run) -> str:
    devices = f"{jax.device_count()} {jax.default_backend()} device(s)"
    return (
        f"{job.total_steps} steps of {job.keys.batch_size} examples on {devices} of "
        f"{jax.process_count()} process(es)"
    )


class _Loop:
    """The state of the loop that is not part of the training state: clocks, writers, signals."""

    def __init__(self, job: Run, saved: Any, writer: Any, watch: Any, extra: dict):
        self.job, self.saved, self.writer, self.watch = job, saved, writer, watch
        self.before, self.began, self.rate = extra["seconds"], time.monotonic(), 0.0
        self.pending: list[dict] = extra["pending"]  # logs of the steps since the last record

    def seconds(self) -> float:
        """Returns the wall-clock time of the run so far, over all its starts."""
        return self.before + time.monotonic() - self.began

    def fit(self, state: TrainState) -> TrainState:
        """Steps until the end, an early stop, or a signal."""
        with StopSignals() as signals:
            return self._fit(state, signals)

    def _fit(self, state: TrainState, signals: StopSignals) -> TrainState:
        s, total, step = self.job.keys, self.job.total_steps, int(state.step)
        batches, since = self.job.batches(step), (step, time.monotonic())
        while step < total:
            with distributed.waiting(f"the data of step {step + 1} (data.name={s.data['name']!r})"):
                batch = next(batches)
            state, logs = self.job.step(state, batch)
            with distributed.waiting(f"the devices at step {step + 1}"):
                distributed.block_until_ready(logs)
            step += 1
            self.pending.append(logs)
            stop = signals.asked is not None and not distributed.is_multiprocess()
            stop = stop or distributed.preemption_requested(step)
            if step % s.log_every == 0 or step == total:
                self._log(state, step, *since)
                since = (step, time.monotonic())
            seen, ended = self.watch(state, step)
            if seen:
                self.writer.write(step, seen)
                text = "  ".join(f"{k} {v:.4g}" for k, v in seen.items())
                logging.info("step %d/%d  %s", step, total, text)
            if step % s.checkpoint_every == 0 or step == total or ended or stop:
                self._save(state, step)
            if ended:
                break
            if stop:
                self.saved.close()
                text = f"stopped by {signals.asked or 'SIGTERM'} at step {step} of {total}; saved"
                logging.warning("%s: the same command goes on from here", text)
                signals.stop()
        return state

    def _save(self, state: TrainState, step: int) -> None:
        self._check_finite(state)
        self.pending = _floats(self.pending, step)
        extra = {"pending": list(self.pending), "monitor": self.watch.state_dict()}
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
        self.rate = steps * self.job.keys.batch_size / elapsed
        values["learning_rate"] = float(self.job.schedule(step))
        values["epoch"] = step / self.job.steps_per_epoch
        left = (self.job.total_steps - step) * elapsed / steps
        told = {k: v for k, v in values.items() if k not in ("learning_rate", "epoch")}
        text = "  ".join(f"{k} {v:.4g}" for k, v in told.items())
        self.writer.write(step, {**values, "examples_per_second": self.rate})
        logging.info(
            "step %d/%d  %s  %.0f images/s  %.1f min left",
            step,
            self.job.total_steps,
            text,
            self.rate,
            left / 60,
        )


def _floats(logs: list[dict], step: int) -> list[dict[str, float]]:
    """Logs of the steps up to `step` as plain numbers; the host waits here for the devices."""
    for at, log in enumerate(logs, step + 1 - len(logs)):
        with distributed.waiting(f"the devices at step {at}"):
            jax.block_until_ready(log)
    return jax.tree.map(float, jax.device_get(logs))
