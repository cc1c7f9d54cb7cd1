# SPDX-License-Identifier: Apache-2.0
"""Writers of metrics: JSONL, TensorBoard and the trackers of `trackers.py`."""

import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from astrojax import files
from astrojax.errors import UserError
from astrojax.training.trackers import Tracker


class Writer:
    """Writes scalars of a step to `metrics.jsonl` and to TensorBoard.

    Args:
        workdir: The run's folder.
        from_step: Steps at or after this one, left by a killed run, are removed first, so that a
            resumed run's log equals that of an undisturbed one.
        others: Trackers that are told the same.
    """

    def __init__(self, workdir: Path, *, from_step: int, others: Sequence[Tracker] = ()):
        self.others = others
        self.path = workdir / "metrics.jsonl"
        kept = [r for r in read(workdir) if r["step"] <= from_step]
        files.write_text(self.path, "".join(json.dumps(r) + "\n" for r in kept))
        self.file = self.path.open("a", encoding="utf-8")
        self.board: _Board | None = None
        try:
            self.board = _Board(workdir / "tensorboard", from_step)
        except ImportError:  # a machine with jax alone still trains
            pass

    def write(self, step: int, values: dict[str, float]) -> None:
        """Records the values of a step."""
        try:
            self.file.write(json.dumps({"step": step, **values}) + "\n")
            self.file.flush()
            if self.board is not None:
                self.board.write(step, values)
            for other in self.others:
                other.write(step, values)
        except OSError as error:
            raise UserError(f"cannot write to {self.path.parent}: {error.strerror}") from error

    def close(self) -> None:
        """Flushes everything to disk, as far as it goes: what did not fit was said before."""
        with contextlib.suppress(OSError):
            self.file.close()
        if self.board is not None:
            with contextlib.suppress(OSError):
                self.board.file.close()
        for other in self.others:
            other.close()


class _Board:
    """A TensorBoard event file, written by the calling thread.

    tensorboardX's own SummaryWriter writes from a thread that a full disk kills; the training
    would then wait for ever to hand it the next record.
    """

    def __init__(self, folder: Path, from_step: int):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2, summary_pb2

        folder.mkdir(parents=True, exist_ok=True)
        self.event, self.summary = event_pb2.Event, summary_pb2.Summary
        self.file, self.flushed = EventsWriter(str(folder / "events")), time.monotonic()
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)  # hides what follows it
        self.file.write_event(self.event(step=from_step + 1, session_log=start))

    def write(self, step: int, values: dict[str, float]) -> None:
        """Adds scalars; they are on disk a minute later at most."""
        scalars = [self.summary.Value(tag=k, simple_value=v) for k, v in values.items()]
        summary = self.summary(value=scalars)
        self.file.write_event(self.event(wall_time=time.time(), step=step, summary=summary))
        if time.monotonic() - self.flushed > 60:
            self.file.flush()
            self.flushed = time.monotonic()


class Silent:
    """The writer of a process that leaves writing to process 0."""

    def write(self, step: int, values: dict[str, float]) -> None:
        """Writes nothing."""

    def close(self) -> None:
        """Closes nothing."""


def read(workdir: Path) -> list[dict[str, float]]:
    """Returns the records of `metrics.jsonl`; a damaged line costs that record alone."""
    path = Path(workdir) / "metrics.jsonl"
    records = []
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        with contextlib.suppress(ValueError, RecursionError):  # no UTF-8, or no JSON
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                records.append(record)
    return records
