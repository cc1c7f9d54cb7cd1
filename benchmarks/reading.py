# SPDX-License-Identifier: Apache-2.0
"""Time to read the columns of catalogues and the images of stamps, beside another checkout.

    PYTHONPATH=. python benchmarks/reading.py [--against CHECKOUT] [--rows 100000] [--rounds 9]

prints the median CPU time of each format in ms: of a catalogue joined to cutouts in memory (an id,
two positions, a magnitude, an integer and a class), of the columns of a file of stamps, and of one
stamp of 64 x 64 pixels and four bands, or one picture of 128 x 128. The two checkouts take turns,
each in a process of its own. CPU time, so that it may run on a machine that others use.
"""

import argparse
import contextlib
import io
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from PIL import Image

COLUMNS = {"id": "name", "ra": "ra", "dec": "dec", "magnitude": "mag", "label": "kind", "n": "n"}
STAMPS, SIDE, BANDS, PICTURE = 200, 64, 4, 128


def write(folder: Path, rows: int) -> None:
    """Writes all files that are read."""
    columns = _columns(rows)
    table = Table(columns)
    table.write(folder / "t.csv", format="ascii.csv")
    table.write(folder / "t.ecsv")
    table["n"] = table["n"].astype("f8")  # older versions read no integers from FITS into a table
    table.write(folder / "t.fits")
    pq.write_table(pa.table({k: pa.array(v) for k, v in columns.items()}), folder / "t.parquet")
    np.savez(folder / "columns.npz", images=np.zeros((rows, 1, 1, 1), np.uint8), **columns)
    with h5py.File(folder / "columns.h5", "w") as file:
        file["images"] = np.zeros((rows, 1, 1, 1), np.uint8)
        for name, values in columns.items():
            file[name] = values.astype("S") if values.dtype.kind == "U" else values
    rng = np.random.default_rng(0)
    stamps = rng.normal(size=(STAMPS, BANDS, SIDE, SIDE)).astype(np.float32)
    np.savez(folder / "s.npz", images=stamps)
    with h5py.File(folder / "s.h5", "w") as file:
        file.create_dataset("images", data=stamps, chunks=(1, *stamps.shape[1:]))
    pq.write_table(pa.table({"image": list(stamps.reshape(STAMPS, -1))}), folder / "s.parquet")
    encoded = []
    for name in ("fits", "png", "jpg"):
        (folder / name).mkdir()
    for i, stamp in enumerate(stamps):
        fits.PrimaryHDU(stamp).writeto(folder / "fits" / f"{i:03d}.fits")
        picture = Image.fromarray(rng.integers(0, 255, (PICTURE, PICTURE, 3), np.uint8))
        for name in ("png", "jpg"):
            picture.save(folder / name / f"{i:03d}.{name}")
        encoded.append((folder / "png" / f"{i:03d}.png").read_bytes())
    rows_of = [{"bytes": data, "path": None} for data in encoded]
    pq.write_table(pa.table({"image": rows_of}), folder / "p.parquet")
    offsets = np.cumsum([0, *map(len, encoded)])
    np.savez(folder / "p.npz", blob=np.frombuffer(b"".join(encoded), np.uint8), offsets=offsets)


def _columns(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "name": np.array([f"a{i}" for i in range(rows)]),
        "ra": rng.uniform(0, 360, rows),
        "dec": rng.uniform(-60, 60, rows),
        "mag": rng.uniform(15, 25, rows).astype(np.float32),
        "kind": rng.choice(["galaxy", "star", "quasar"], rows),
        "n": rng.integers(0, 10**9, rows),
    }


def tasks(folder: Path, rows: int) -> dict[str, tuple[Callable[[], object], int]]:
    """Returns {name: (what is timed, how many stamps it reads)} of the checkout on the path."""
    from astrojax.data.info import DataInfo
    from astrojax.data.open import open_sources
    from astrojax.data.readers import catalogue, hdf5, npz
    from astrojax.data.source import ArraySource

    found: dict[str, tuple[Callable[[], object], int]] = {}
    cutouts = {"id": _columns(rows)["name"], "image": np.zeros((rows, 1))}
    stamps = ArraySource(cutouts, DataInfo((), 1))
    for name in ("csv", "ecsv", "fits", "parquet"):
        keys = {k: v for k, v in COLUMNS.items() if k != "n" or name != "fits"}
        call = {"table": f"{folder}/t.{name}", "cutouts": stamps, "columns": keys}
        call["unmatched"] = "drop"
        found[f"{name} catalogue"] = (lambda call=call: catalogue.load(**call)), 1
    grey = {"bands": ("r",), "pixel_scale": 1.0, "unit": "arbitrary"}
    keys = {"columns": {k: v for k, v in COLUMNS.items() if k != "label"} | {"image": "images"}}
    keys |= {"layout": "nhwc", "info": grey}
    found["hdf5 columns"] = (lambda: hdf5.load(path=f"{folder}/columns.h5", **keys)), 1
    found["npz columns"] = (lambda: npz.load(path=f"{folder}/columns.npz", **keys)), 1
    flux = {"bands": tuple("griz"), "pixel_scale": 1.0, "unit": "microjansky"}
    color = {"bands": tuple("irg"), "pixel_scale": None, "unit": "display"}
    blob = {"columns": {"image": "blob"}, "info": color}
    record = {"columns": {"image": "image"}, "info": color}
    array = {"columns": {"image": "images"}, "layout": "nchw", "info": flux}
    flat = {"columns": {"image": "image"}, "layout": "nchw", "shape": (BANDS, SIDE, SIDE)}
    opened = {
        "hdf5 stamp": {"name": "hdf5", "path": "s.h5", **array},
        "npz stamp": {"name": "npz", "path": "s.npz", **array},
        "parquet stamp": {"name": "parquet", "path": "s.parquet", **flat, "info": flux},
        "fits stamp": {"name": "fits", "path": "fits/{id}.fits", "info": flux},
        "png in a folder": {"name": "folder", "path": "png", "info": color},
        "jpeg in a folder": {"name": "folder", "path": "jpg", "info": color},
        "png in npz": {"name": "npz", "path": "p.npz", **blob},
        "png in parquet": {"name": "parquet", "path": "p.parquet", **record},
    }
    for name, section in opened.items():
        source = open_sources({**section, "path": f"{folder}/{section['path']}"})["train"]
        found[name] = (lambda source=source: [source[i] for i in range(STAMPS)]), STAMPS
    return found


def work(folder: Path, rows: int) -> None:
    """Answers each name on standard input with the CPU time of its task, in ms."""
    logging.disable()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        known = tasks(folder, rows)
    print(" ".join(name.replace(" ", "_") for name in known), flush=True)
    for line in sys.stdin:
        call, count = known[line.strip().replace("_", " ")]
        began = time.process_time()
        with contextlib.redirect_stderr(io.StringIO()):
            call()
        print(1e3 * (time.process_time() - began) / count, flush=True)


class Worker:
    """A process that reads with one checkout."""

    def __init__(self, checkout: str, folder: str, rows: int):
        command = [sys.executable, __file__, "--worker", folder, "--rows", str(rows)]
        environment = {**os.environ, "PYTHONPATH": checkout}
        pipes: dict = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, cwd=checkout, **pipes)
        self.names = self.process.stdout.readline().split()

    def time(self, name: str) -> float:
        """Returns the CPU time of a task in ms."""
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main() -> None:
    """Writes the files, and lets the checkouts take turns in reading them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", help="another checkout of astrojax")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="a word in the names of what is read")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        return work(Path(given.worker), given.rows)
    checkouts = [str(Path(__file__).resolve().parents[1])]
    checkouts += [str(Path(given.against).resolve())] if given.against else []
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), given.rows)
        workers = [Worker(checkout, folder, given.rows) for checkout in checkouts]
        print(
            f"{'ms of CPU':20s} {'here':>9s}" + f" {'there':>9s} {'ratio':>6s}" * (len(workers) - 1)
        )
        for name in (n for n in workers[0].names if given.only in n):
            turns = [[w.time(name) for w in workers] for _ in range(given.rounds + 1)][1:]
            here, *there = (statistics.median(t) for t in zip(*turns, strict=True))
            told = "".join(f" {t:9.3f} {here / t:6.2f}" for t in there)
            print(f"{name.replace('_', ' '):20s} {here:9.3f}{told}", flush=True)
        for worker in workers:
            worker.process.stdin.close()
            worker.process.wait()


if __name__ == "__main__":
    main()
