# SPDX-License-Identifier: Apache-2.0
"""Time to read a catalogue's columns: run it in two checkouts to compare them.

    PYTHONPATH=. python benchmarks/reading.py [--rows 300000]

prints the median of five for each format, in ms, of a join to cutouts in memory: an id, two
positions, a magnitude, an integer and a class.
"""

import argparse
import contextlib
import io
import logging
import statistics
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table

from astrojax.data.info import DataInfo
from astrojax.data.readers import catalogue, hdf5, npz
from astrojax.data.source import ArraySource

COLUMNS = {"id": "name", "ra": "ra", "dec": "dec", "magnitude": "mag", "label": "kind", "n": "n"}


def made(rows: int) -> dict[str, np.ndarray]:
    """Returns the columns of a catalogue."""
    rng = np.random.default_rng(0)
    return {
        "name": np.array([f"a{i}" for i in range(rows)]),
        "ra": rng.uniform(0, 360, rows),
        "dec": rng.uniform(-60, 60, rows),
        "mag": rng.uniform(15, 25, rows).astype(np.float32),
        "kind": rng.choice(["galaxy", "star", "quasar"], rows),
        "n": rng.integers(0, 10**9, rows),
    }


def main() -> None:
    """Writes the files and reads them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    rows = parser.parse_args().rows
    logging.disable()
    columns = made(rows)
    with tempfile.TemporaryDirectory() as folder:
        tables = _tables(Path(folder), columns)
        stamps = ArraySource({"id": columns["name"], "image": np.zeros((rows, 1))}, DataInfo((), 1))
        for name, path in tables.items():
            keys = {**COLUMNS} if name != "fits" else {k: v for k, v in COLUMNS.items() if k != "n"}
            call = {"table": str(path), "cutouts": stamps, "columns": keys, "unmatched": "drop"}
            _time(f"{name} catalogue", lambda call=call: catalogue.load(**call))
        info = {"bands": ("r",), "pixel_scale": 1.0, "unit": "arbitrary"}
        numbers = {k: v for k, v in COLUMNS.items() if k != "label"} | {"image": "images"}
        with h5py.File(f"{folder}/s.h5", "w") as file:
            file["images"] = np.zeros((rows, 1, 1, 1), np.uint8)
            for name, values in columns.items():
                file[name] = values.astype("S") if values.dtype.kind == "U" else values
        np.savez(f"{folder}/s.npz", images=np.zeros((rows, 1, 1, 1), np.uint8), **columns)
        keys = {"columns": numbers, "layout": "nhwc", "info": info}
        _time("hdf5", lambda: hdf5.load(path=f"{folder}/s.h5", **keys))
        _time("npz", lambda: npz.load(path=f"{folder}/s.npz", **keys))


def _tables(folder: Path, columns: dict[str, np.ndarray]) -> dict[str, Path]:
    table = Table(columns)
    table.write(folder / "t.csv", format="ascii.csv")
    table.write(folder / "t.ecsv")
    table["n"] = table["n"].astype("f8")  # older versions read no integers from FITS into a table
    table.write(folder / "t.fits")
    pq.write_table(pa.table({k: pa.array(v) for k, v in columns.items()}), folder / "t.parquet")
    return {name: folder / f"t.{name}" for name in ("csv", "ecsv", "fits", "parquet")}


def _time(name: str, call) -> None:
    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            call()
        seconds.append(time.perf_counter() - began)
    print(f"{name:20s} {1e3 * statistics.median(seconds[1:]):8.0f} ms")


if __name__ == "__main__":
    main()
