# SPDX-License-Identifier: Apache-2.0
"""Runs that are killed and started again, and what has to be true of them."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from astrojax.training import checkpoint, metric_log

HERE = Path(__file__).parent
LIMIT = 240  # seconds that no process of these tests should need


@dataclasses.dataclass(frozen=True)
class Kill:
    """What one SIGKILL left behind: step numbers."""

    logged: int
    checkpoint: int


class Harness:
    """Starts `tiny.py` in a folder that holds the run and the ids it read.

    Args:
        folder: For the run and the list of ids.
        data: File from `tiny.write_data`.
        overrides: Flags for every start.
    """

    def __init__(self, folder: Path, data: Path, *overrides: str):
        self.workdir, self.folder, self.data, self.overrides = (
            folder / "run",
            folder,
            data,
            overrides,
        )
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *more: str, process: int = 0, block_at: int = 0, **popen) -> subprocess.Popen:
        """One process; `more` are flags."""
        environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
        return subprocess.Popen(
            [
                sys.executable,
                str(HERE / "observed.py"),
                str(self.ids(process)),
                str(block_at),
                "--config",
                str(HERE / "tiny.py"),
                f"--config.data.path={self.data}",
                f"--workdir={self.workdir}",
                *self.overrides,
                *more,
            ],
            env={**environment, **popen.pop("env", {})},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **popen,
        )

    def start_together(self, count: int) -> list[subprocess.Popen]:
        """Several processes on this machine that train as one."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        flags = (f"--coordinator=127.0.0.1:{port}", f"--processes={count}")
        return [self.start(*flags, f"--process={i}", process=i) for i in range(count)]

    def ids(self, process: int) -> Path:
        """The file of the ids that a process read."""
        return self.folder / f"ids_{process}.jsonl"

    def wait_for_step(self, step: int, process: subprocess.Popen) -> None:
        """Returns once a new run has logged a step."""
        self.wait_for(lambda: len(metric_log.read(self.workdir)), step, process)

    def wait_for(self, count: Callable[[], int], least: int, process: subprocess.Popen) -> None:
        """Returns once a count is large enough."""
        deadline = time.monotonic() + LIMIT
        while count() < least:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def kill(self, rng: np.random.Generator, ahead: int) -> Kill:
        """Starts the run, kills it up to `ahead` steps later, and says what is on disk.

        One kill in five falls into the start of the program.
        """
        before = len(self.read())
        process = self.start()
        if rng.random() < 0.2:
            time.sleep(rng.uniform(0.5, 4.0))
        else:
            # The log still has steps of the start before, which a new start drops.
            self.wait_for(lambda: len(self.read()) - before, int(rng.integers(1, ahead)), process)
            time.sleep(rng.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
        assert "damaged" not in err, err
        records = metric_log.read(self.workdir)
        return Kill(logged=records[-1]["step"] if records else 0, checkpoint=self.newest())

    def newest(self) -> int:
        """The newest complete checkpoint; 0 if there is none."""
        steps = [p.name for p in (self.workdir / "checkpoints").glob("*") if p.name.isdigit()]
        return max(map(int, steps), default=0)

    def trained(self, process: int = 0) -> list[list[int]]:
        """The ids of every batch that the final weights have seen, in order.

        A start goes on from a checkpoint; what an earlier start read beyond it left no trace.
        """
        batches: list[list[int]] = []
        for record in self.read(process):
            del batches[record["step"] - 1 :]
            assert len(batches) == record["step"] - 1, "a batch was skipped"
            batches.append(record["ids"])
        steps = json.loads((self.workdir / "finished.json").read_text())["step"]
        return batches[:steps]  # two more were read ahead

    def starts(self) -> list[int]:
        """The steps from which the run was started, where it came to read a batch."""
        return [r["start"] for r in self.read() if r["step"] == r["start"] + 1]

    def read(self, process: int = 0) -> list[dict]:
        """What a process read: {"start", "step", "ids"} of each batch, over all its starts."""
        records, path = [], self.ids(process)
        for line in path.read_text().splitlines() if path.is_file() else ():
            with contextlib.suppress(json.JSONDecodeError):  # cut short by a kill
                records.append(json.loads(line))
        return records


def finish(process: subprocess.Popen, status: int = 0) -> str:
    """Waits for the end; what was said on the standard error."""
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == status, f"{process.returncode}\n{out}\n{err}"
    return err


def history(workdir: Path) -> list[dict[str, float]]:
    """The log without clock times."""
    return [
        {k: v for k, v in r.items() if k != "examples_per_second"} for r in metric_log.read(workdir)
    ]


def largest_difference(first: Path, second: Path) -> float:
    """Over all variables of two runs' final checkpoints, relative to the largest number."""
    ours, theirs = map(checkpoint.restore_variables, (first, second))
    assert ours.keys() == theirs.keys()
    return max(float(np.abs(ours[k] - theirs[k]).max() / np.abs(theirs[k]).max()) for k in ours)
