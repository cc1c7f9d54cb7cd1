# SPDX-License-Identifier: Apache-2.0
"""Every command, run in a process of its own that may be disturbed, and what it has to leave.

Processes are forked from one that has imported everything but has started no thread and no
device, so that one costs a second rather than four.
"""

import atexit
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
from collections.abc import Callable, Sequence
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
    "finetune": "tuned",  # of the bundle
    "fetch": "embedded.parquet",
    "similar": "similar.csv",
    "anomalies": "anomalies.csv",
    "explore": "page.html",
    "cluster": "clusters.parquet",
    "label": "classes.parquet",
}
NAMES = {"fetch": "embed"}  # commands with another name: here the model comes from a hub
PARTS = ("--chunk", "8", "--batch-size", "8", "--threads", "1")


class Bench:
    """Inputs, the undisturbed outputs of all commands, and folders to disturb them in.

    Args:
        folder: Made and filled if it does not exist.
        commands: Which commands are wanted, and before them those whose outputs they read.
    """

    def __init__(self, folder: Path, commands: Sequence[str] = tuple(OUT)):
        self.folder, self.inputs = folder.absolute(), folder.absolute() / "inputs"
        self.data = self.inputs / "data.h5"
        self.pipes: dict[int, int] = {}
        self.hub = ""
        if not self.data.exists():
            self.inputs.mkdir(parents=True)
            pictures.write_mosaics(self.inputs)
            pictures.write_labels(self.inputs / "labels.csv")
            pictures.write_data(self.inputs / "larger.h5", 20)  # the least that recipes take
            pictures.write_data(self.data)
        self.seconds: dict[str, float] = {}
        self.wanted: dict[str, Any] = {}
        for command in commands:
            if command == "fetch":
                self._serve_model()
            self._undisturbed(command)

    def _serve_model(self) -> None:
        """Starts a hub on this machine that has the exported model."""
        program = (sys.executable, str(HERE.parent / "inference" / "fake_hub.py"))
        served = subprocess.Popen((*program, str(self.inputs / "bundle")), stdout=subprocess.PIPE)
        atexit.register(served.kill)
        assert served.stdout is not None
        self.hub = served.stdout.readline().decode().strip()

    def _undisturbed(self, command: str) -> None:
        """Runs a command alone, if that was not done before, for its output and its time."""
        kept = self.folder / f"{command}.json"
        if not kept.exists():
            place = self.place("undisturbed", command)
            began = time.monotonic()
            status, text = self.finish(self.start(command, place))
            seconds = time.monotonic() - began
            assert status == 0, (command, text)
            assert (place / OUT[command]).exists(), command
            wanted = contents(command, place)
            assert "unreadable: " not in str(wanted), (command, wanted)
            if command in ("train", "embed", "export"):  # which others read
                shutil.copytree(place, self.inputs, dirs_exist_ok=True)
            kept.write_text(json.dumps({"seconds": seconds, "wanted": wanted}))
        told = json.loads(kept.read_text())
        self.seconds[command], self.wanted[command] = told["seconds"], told["wanted"]

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
        if command == "label":
            shutil.copy(self.inputs / "labels.csv", place)

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
            "cluster": (*table, "--num-clusters", "2"),
        }
        if command == "finetune":
            keys = ("batch_size=16", "log_every=2", "checkpoint_every=5", "epochs=6.0")
            larger = ("--data", str(data or self.inputs / "larger.h5"))
            lines[command] = (str(self.inputs / "bundle"), *larger, *said, "--target", "label")
            lines[command] += ("--workdir", out, *(f"--config.{key}" for key in keys))
        elif command == "label":
            by_hand = ("--out", str(place / "labels.csv"), "--classes", "round,long", "--refit")
            lines[command] = (*table[:2], *by_hand, "--predictions", out)
        elif command == "fetch":
            lines[command] = ("--model", "hf://me/tiny", "--out", out, *images, *PARTS)
        return [NAMES.get(command, command), *lines[command]]

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
            # Of the hub's library, which reads them when it is imported.
            os.environ |= {"HF_ENDPOINT": self.hub, "HF_HUB_CACHE": str(place / "hub")}
            os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
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

    if command in ("train", "finetune"):
        from astrojax.training import checkpoint, metric_log

        weights = checkpoint.restore_variables(out)
        log = metric_log.read(out)
        told = [{k: v for k, v in r.items() if k != "examples_per_second"} for r in log]
        saved = {k: _hash(v.tobytes()) for k, v in sorted(weights.items())}
        return [saved, told, (out / "finished.json").is_file(), evaluation(out / "evaluation")]
    if command == "evaluate":
        return evaluation(out)
    if command in ("predict", "embed", "fetch"):
        return table(out)
    if command == "label":
        return [table(out), whole(out.with_name("labels.csv"))]
    if command == "cluster":
        sheets = out.with_name("clusters_sheets")
        return [table(out), {p.name: whole(p) for p in sorted(sheets.iterdir())}]
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
