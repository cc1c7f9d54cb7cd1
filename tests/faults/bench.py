# SPDX-License-Identifier: Apache-2.0
"""Every command, run in a process of its own that may be disturbed, and what it has to leave.

Processes are forked from one that has imported everything but has started no thread and no
device, so that one costs a second rather than four.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pictures

HERE = Path(__file__).parent
LIMIT = 300  # seconds that no command of these tests should need
OUT = {
    "train": "run",
    "evaluate": "run/evaluation",
    "predict": "predicted.fits",
    "embed": "embedded.parquet",
    "stamps": "stamps.h5",
    "convert": "tfds/tiny/1.0.0",
    "export": "bundle",
    "similar": "similar.csv",
    "anomalies": "anomalies.csv",
    "explore": "page.html",
}
PARTS = ("--chunk", "8", "--batch-size", "8", "--threads", "1")


class Bench:
    """Inputs, the undisturbed outputs of all commands, and folders to disturb them in.

    Args:
        folder: Made and filled if it does not exist.
    """

    def __init__(self, folder: Path):
        self.folder, self.inputs = folder.absolute(), folder.absolute() / "inputs"
        self.data = self.inputs / "data.h5"
        self.pipes: dict[int, int] = {}
        if not (folder / "seconds.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            self.inputs.mkdir(parents=True)
            pictures.write_data(self.data)
            pictures.write_mosaics(self.inputs)
            self._undisturbed()
        self.seconds = json.loads((folder / "seconds.json").read_text())
        self.wanted = json.loads((folder / "wanted.json").read_text())

    def _undisturbed(self) -> None:
        """Runs every command alone, for its output and its time."""
        seconds, wanted = {}, {}
        for command, made in OUT.items():
            place = self.place("undisturbed", command)
            began = time.monotonic()
            status, text = self.finish(self.start(command, place))
            assert status == 0, (command, text)
            seconds[command] = time.monotonic() - began
            wanted[command] = contents(command, place)
            assert "unreadable: " not in str(wanted[command]), (command, wanted[command])
            if command in ("train", "embed"):  # which others read
                shutil.copytree(place, self.inputs, dirs_exist_ok=True)
            assert (place / made).exists(), command
        (self.folder / "wanted.json").write_text(json.dumps(wanted))
        (self.folder / "seconds.json").write_text(json.dumps(seconds))

    def place(self, name: str, command: str) -> Path:
        """Returns a new folder to run a command in."""
        place = self.folder / name / command
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        self.fill(place, command)
        return place

    def fill(self, place: Path, command: str) -> None:
        """Puts into a folder what a command needs to find there."""
        if command == "evaluate" and not (place / "run").exists():
            shutil.copytree(self.inputs / "run", place / "run")
            shutil.rmtree(place / "run" / "evaluation")

    def arguments(self, command: str, place: Path, data: Path | None = None) -> list[str]:
        """Returns the command line of a command that writes into a folder."""
        out, config = str(place / OUT[command]), ("--config", str(HERE / "pictures.py"))
        table = ("--table", str(self.inputs / "embedded.parquet"), "--out", out)
        model = ("--workdir", str(self.inputs / "run"), "--out", out)
        said = ("--set", "bands=g,r", "--set", "unit=nanomaggies", "--set", "pixel_scale=0.2")
        images = ("--data", str(data or self.data), *said)
        own = f"--config.data.path={data or self.data}"
        mosaics = [f"--image={band}={self.inputs / band}.fits" for band in "gr"]
        listed = ("--catalogue", str(self.inputs / "positions.fits"), "--zero-points", "0,0")
        lines: dict[str, tuple[str, ...]] = {
            "train": (*config, own, "--workdir", out),
            "evaluate": ("--workdir", str(place / "run")),
            "predict": (*model, *images, *PARTS),
            "embed": (*model, *images, *PARTS),
            "stamps": (*mosaics, *listed, "--size", "8", "--out", out),
            "convert": (*config, own, "--out", str(place / "tfds"), "--dataset", "tiny"),
            "export": model,
            "similar": (*table, "--id", "s003", "s010", "-n", "5"),
            "anomalies": (*table, "-k", "5"),
            "explore": (*table, "--method", "pca"),
        }
        return [command, *lines[command]]

    def start(
        self, command: str, place: Path, *, data: Path | None = None, file_size: int | None = None
    ) -> int:
        """Forks a process that runs a command; returns its number.

        Args:
            command: Name of the command.
            place: Folder that it writes into.
            data: Other images than the bench's own.
            file_size: Bytes beyond which no file of it can grow, as on a full disk.
        """
        arguments = self.arguments(command, place, data)
        read, write = os.pipe()  # a file would be full as all others are
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)
        number = os.fork()
        if number:
            os.close(write)
            self.pipes[number] = read
            return number
        os.dup2(write, 1)
        os.dup2(write, 2)
        status = 1
        try:
            status = _run(arguments, file_size)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def finish(self, number: int) -> tuple[int, str]:
        """Waits for a process; returns its status, negative for a signal, and what it said."""
        deadline, hung = time.monotonic() + LIMIT, False
        while not (ended := os.waitpid(number, os.WNOHANG))[0]:
            if time.monotonic() > deadline and not hung:
                os.kill(number, signal.SIGKILL)
                hung = True
            time.sleep(0.005)
        with os.fdopen(self.pipes.pop(number), "rb") as pipe:
            text = pipe.read().decode(errors="replace")
        return (-999 if hung else os.waitstatus_to_exitcode(ended[1])), text


def _run(arguments: list[str], file_size: int | None) -> int:
    """Runs a command line in this process; returns its status."""
    from astrojax import cli, distributed

    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    cached = distributed.enable_compilation_cache

    def cache_everything() -> None:
        import jax

        cached()
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

    distributed.enable_compilation_cache = cache_everything
    sys.argv = ["astrojax", *arguments]  # where ml_collections looks for --config.KEY
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    try:
        cli.main(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else bool(ended.code)
    return 0


def preload() -> None:
    """Imports what the commands import, before anything is forked."""
    import grain
    import h5py
    import matplotlib.backends.backend_agg
    import orbax.checkpoint
    import pyarrow.parquet
    import safetensors.numpy
    import sklearn.decomposition
    import tensorflow_datasets
    from astropy.io import ascii, fits

    from astrojax.cli import COMMANDS, parser
    from astrojax.evaluate import classification, explorer, knn
    from astrojax.inference import contact_sheet, ensemble, evaluation, stream
    from astrojax.training import loop

    used = (grain, h5py, matplotlib, orbax, pyarrow, safetensors, sklearn, tensorflow_datasets)
    used += (ascii, fits, classification, explorer, knn, contact_sheet, ensemble, evaluation)
    assert used and stream and loop and [parser(name) for name in COMMANDS]
    sys.modules.setdefault("torch", None)  # tensorboardX would import it


def contents(command: str, place: Path) -> Any:
    """Returns what a command left, for comparison; computed in a process of its own."""
    return in_child(lambda: _contents(command, place / OUT[command]))


def in_child(work: Callable[[], Any]) -> Any:
    """Returns the JSON value of a function that a forked process computes."""
    read, write = os.pipe()
    number = os.fork()
    if not number:
        try:
            value = work()
        except BaseException as error:
            value = f"unreadable: {type(error).__name__}: {error}"
        with os.fdopen(write, "w") as pipe:
            json.dump(value, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(number, 0)
    return json.loads(text)


def _contents(command: str, out: Path) -> Any:
    import h5py
    import numpy as np
    import pyarrow.parquet as pq
    from astropy.table import Table

    def table(path: Path) -> Any:
        if path.suffix == ".parquet":
            rows = pq.read_table(path)
            return {n: _hash(str(rows[n].to_pylist()).encode()) for n in rows.column_names}
        found = Table.read(path)
        return {n: _hash(str(np.asarray(found[n]).tolist()).encode()) for n in found.colnames}

    def whole(path: Path) -> str:
        return _hash(path.read_bytes())

    def numbers(path: Path) -> Any:
        values = json.loads(path.read_text())
        return {k: v for k, v in values.items() if k not in ("cost", "seconds")}

    def evaluation(folder: Path) -> Any:
        assert (folder / "report.html").is_file()
        tables = {p.name: table(p) for p in sorted(folder.glob("*.parquet"))}
        return [numbers(folder / "metrics.json"), tables, len(list(folder.glob("*.png")))]

    if command == "train":
        from astrojax.training import checkpoint, metric_log

        weights = checkpoint.restore_variables(out)
        log = metric_log.read(out)
        told = [{k: v for k, v in r.items() if k != "examples_per_second"} for r in log]
        saved = {k: _hash(v.tobytes()) for k, v in sorted(weights.items())}
        return [saved, told, (out / "finished.json").is_file(), evaluation(out / "evaluation")]
    if command == "evaluate":
        return evaluation(out)
    if command in ("predict", "embed"):
        return table(out)
    if command == "stamps":
        with h5py.File(out) as file:
            return {name: _hash(file[name][()].tobytes()) for name in file}
    if command == "convert":
        from astrojax.data.readers import tfds

        splits = {s: s for s in ("train", "validation", "test")}
        found = tfds.load(directory=str(out.parents[1]), dataset="tiny", splits=splits)
        return {
            s: [
                _hash(e["image"].tobytes() + str(e["id"]).encode())
                for e in map(x.__getitem__, range(len(x)))
            ]
            for s, x in found.items()
        }
    if command == "export":
        import astrojax

        astrojax.load(out)  # which checks its hashes
        return {p.name: whole(p) for p in sorted(out.iterdir())}
    if command == "explore":
        return whole(out)
    assert out.with_suffix(".png").is_file()
    return [whole(out), whole(out.with_suffix(".png"))]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@contextlib.contextmanager
def small_disk(place: Path, size: str):
    """Mounts a memory disk of a size on a folder, where that is allowed; yields whether it is."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], capture_output=True
    )
    try:
        yield not done.returncode
    finally:
        if not done.returncode:
            subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    """Changes a mounted memory disk: "size=100m", "ro" or "rw"."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)
