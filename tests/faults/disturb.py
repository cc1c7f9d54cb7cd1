# SPDX-License-Identifier: Apache-2.0
"""What is done to a command, and what has to be true of it afterwards: one trial after another."""

import os
import shutil
import signal
import time
from collections.abc import Callable

import bench
import numpy as np

from astrojax import errors

ROW_DATA = (
    "train",
    "finetune",
    "predict",
    "embed",
)  # what is kept between starts depends on the images


class Trial:
    """One command that is disturbed and given again.

    Args:
        made: The bench.
        command: Name of the command.
        kind: One of `KINDS`.
        seed: Of all that is random in the trial.
    """

    def __init__(self, made: bench.Bench, command: str, kind: str, seed: int):
        self.made, self.command, self.kind = made, command, kind
        self.rng = np.random.default_rng([seed, *kind.encode(), *command.encode()])
        self.place = made.place(f"{kind}_{seed}", command)
        self.kills, self.wrong, self.compared = 0, "", False

    def run(self) -> str:
        """Disturbs the command; returns what was wrong afterwards, or nothing."""
        try:
            KINDS[self.kind](self)
            if not self.wrong and not self.compared:
                self.again()
        finally:
            if not self.wrong:
                shutil.rmtree(self.place.parent, ignore_errors=True)
        return self.wrong

    def start(self, **keys) -> int:
        """Starts the command; see `Bench.start`."""
        return self.made.start(self.command, self.place, **keys)

    def expect(self, number: int, *statuses: int, words: str = "") -> tuple[int, str]:
        """Waits for a process, which has to end with a status, without a traceback.

        Where it ends with a user's mistake it has to say some words.
        """
        status, text = self.made.finish(number)
        if status not in statuses or "Traceback" in text:
            self.wrong = f"status {status} for {statuses}: {text[-1500:]}"
        elif status == errors.USER_ERROR and words and words not in text:
            self.wrong = f"{words!r} is not said: {text[-1500:]}"
        return status, text

    def again(self) -> None:
        """Gives the same command until it is done and compares what it left."""
        began = time.monotonic()
        status, text = self.expect(self.start(), 0, errors.USER_ERROR)
        # The first run of a command compiled, and the machine may be less busy now.
        took, seconds = time.monotonic() - began, self.made.seconds
        seconds[self.command] = min(seconds[self.command], max(took, 0.5))
        # A command that was disturbed after its last rename has nothing left to do.
        if not self.wrong and status and "exists already" not in text:
            self.wrong = text[-1500:]
        found = bench.contents(self.command, self.place)
        if not self.wrong and found != self.made.wanted[self.command]:
            self.wrong = f"not what an undisturbed run leaves: {str(found)[:600]}"
        left = [p for p in self.place.rglob(".*") if "partial" in p.name or "parts" in p.name]
        if not self.wrong and left:
            self.wrong = f"left behind: {left}"

    def some_time(self, number: int) -> None:
        """Waits for a random moment of the command: anywhere, or just after it began to write."""
        if self.rng.random() < 0.4:
            time.sleep(self.rng.uniform(0, 1.1) * self.made.seconds[self.command])
            return
        before, deadline = self.state(), time.monotonic() + self.rng.uniform(1, 8)
        for _ in range(int(self.rng.integers(1, 6))):
            while self.state() == before and time.monotonic() < deadline and _runs(number):
                time.sleep(0.001)
            before = self.state()
        time.sleep(self.rng.uniform(0, 0.02))

    def state(self) -> list[str]:
        """Returns the names of the files that the command has made so far."""
        return sorted(os.path.join(root, n) for root, _, ns in os.walk(self.place) for n in ns)


def _runs(number: int) -> bool:
    return os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def kill(trial: Trial) -> None:
    """Kills it -9 up to ten times, each time after another start."""
    for _ in range(int(trial.rng.integers(1, 11))):
        number = trial.start()
        trial.some_time(number)
        os.kill(number, signal.SIGKILL)
        if trial.made.finish(number)[0] == -signal.SIGKILL:
            trial.kills += 1


def _signal(trial: Trial, number: int, status: int) -> None:
    process = trial.start()
    time.sleep(0.05)  # a fork that has not come to the command yet dies of the signal
    trial.some_time(process)
    os.kill(process, number)
    # Nothing is wrong if it was faster, or had its output already.
    trial.expect(process, status, 0, -number if number == signal.SIGTERM else 0)


def sigterm(trial: Trial) -> None:
    """Asks it to end, as a cluster does."""
    _signal(trial, signal.SIGTERM, errors.PREEMPTED)


def sigint(trial: Trial) -> None:
    """Presses Ctrl-C."""
    _signal(trial, signal.SIGINT, errors.INTERRUPTED)


def full(trial: Trial) -> None:
    """Lets no file grow beyond a random size, as on a full disk."""
    size = int(trial.rng.integers(0, 2 ** int(trial.rng.integers(8, 18))))
    trial.expect(trial.start(file_size=size), 0, errors.USER_ERROR, words="cannot write")


def no_space(trial: Trial) -> None:
    """Leaves little room on its disk, which is made larger afterwards."""
    room = int(2 ** trial.rng.uniform(3, 8)) << 10
    _mounted(trial, lambda used: f"size={used + room}", "size=100m", (0, errors.USER_ERROR))


def read_only(trial: Trial) -> None:
    """Makes the disk read-only before it begins, and writable again afterwards."""
    _mounted(trial, lambda used: "ro", "rw", (errors.USER_ERROR,))


def _mounted(
    trial: Trial, options: Callable[[int], str], after: str, statuses: tuple[int, ...]
) -> None:
    """Runs the trial on a memory disk whose options are changed for the first start."""
    with bench.small_disk(trial.place, "100m") as mounted:
        if not mounted:
            return
        trial.made.fill(trial.place, trial.command)
        state = os.statvfs(trial.place)
        bench.remount(trial.place, options((state.f_blocks - state.f_bfree) * state.f_frsize))
        trial.expect(trial.start(), *statuses, words="cannot write")
        bench.remount(trial.place, after)
        if not trial.wrong:
            trial.again()
    trial.compared = True


def two(trial: Trial) -> None:
    """Gives it twice at once: one makes the output, the other says who does."""
    first = trial.start()
    time.sleep(trial.rng.uniform(0, 0.3) * trial.made.seconds[trial.command])
    second = trial.start()
    words = ("is being written by", "exists already")
    statuses = []
    for number in (first, second):
        status, text = trial.expect(number, 0, errors.USER_ERROR)
        if status and not any(word in text for word in words):
            trial.wrong = trial.wrong or text[-1500:]
        statuses.append(status)
    if 0 not in statuses:
        trial.wrong = trial.wrong or "both were refused"


def changed_input(trial: Trial) -> None:
    """Kills it, changes its images, and gives it again; then the images are as they were."""
    import h5py

    data = trial.place.parent / "data.h5"
    shutil.copy2(trial.made.data, data)
    number = trial.start(data=data)
    begun = "checkpoints/5/" if trial.command == "train" else "part-000000000008"
    while not any(begun in name for name in trial.state()) and _runs(number):
        time.sleep(0.002)
    os.kill(number, signal.SIGKILL)
    trial.made.finish(number)

    def change() -> None:
        with h5py.File(data, "r+") as file:
            file["image"][50] += 1

    shutil.copy2(data, data.with_suffix(".kept"))
    bench.in_child(change)
    if (trial.place / bench.OUT[trial.command]).is_file() or list(
        trial.place.rglob("finished.json")
    ):
        return  # it was faster
    trial.expect(trial.start(data=data), errors.USER_ERROR, words="changed since")
    os.replace(data.with_suffix(".kept"), data)
    trial.expect(trial.start(data=data), 0)
    if (
        not trial.wrong
        and bench.contents(trial.command, trial.place) != trial.made.wanted[trial.command]
    ):
        trial.wrong = "not what an undisturbed run leaves"
    trial.compared = True


KINDS = {
    "kill": kill,
    "sigterm": sigterm,
    "sigint": sigint,
    "full": full,
    "no_space": no_space,
    "read_only": read_only,
    "two": two,
    "changed_input": changed_input,
}


def kinds_of(command: str) -> list[str]:
    """Returns what can be done to a command."""
    return [k for k in KINDS if k != "changed_input" or command in ROW_DATA]
