# SPDX-License-Identifier: Apache-2.0
"""Peak memory of embedding more and more objects of an HDF5 file: it does not grow with them.

    python benchmarks/embed_memory.py --counts 20000 50000 100000
    python benchmarks/embed_memory.py --counts 1000000 --search

Each line is a process of its own: what `astrojax embed` runs, from file to Parquet table,
with a small untrained network, and then `astrojax similar` and `astrojax anomalies` on that table.
Printed are its peak resident memory and its time, start and compilation included. On two CPU cores,
shared with other work, embedding 10,000, 100,000 and 1,000,000 objects took 602, 619 and 643 MiB;
similar and anomalies took 356 and 366 MiB for 10,000, 381 and 411 MiB for 1,000,000.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BANDS = ("g", "r")
_BLOCK = 10_000


def write_stamps(path: Path, count: int, size: int) -> None:
    """An HDF5 file of noise, written in blocks."""
    import h5py

    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        images = file.create_dataset("images", (count, len(BANDS), size, size), "float16")
        file["id"] = np.arange(count)
        file.attrs.update(bands=BANDS, unit="nanomaggies")
        for start in range(0, count, _BLOCK):
            block = rng.normal(size=(min(_BLOCK, count - start), *images.shape[1:]))
            images[start : start + len(block)] = block.astype(np.float16)


def small_model(size: int):
    """A model with two convolutions and a classifier of ten classes, and 4096 reference vectors."""
    from flax import nnx

    from astrojax.data.info import DataInfo
    from astrojax.inference.bundle import Model
    from astrojax.methods import build

    info = DataInfo(BANDS, size, 0.2, "nanomaggies", 22.5)
    view = {
        "name": "galaxy",
        "crop": size,
        "rotate": True,
        "flip": True,
        "zoom": (1.0, 1.0),
        "shift": 0.0,
        "noise": 0.0,
        "blur": None,
    }
    backbone = {
        "name": "vgg",
        "depths": (1, 1),
        "widths": (8, 32),
        "batch_norm": False,
        "grid": 1,
        "hidden": (),
        "dropout": 0.0,
        "dtype": "float32",
        "remat": False,
    }
    section = {
        "name": "supervised",
        "backbone": backbone,
        "backbone_outputs": None,
        "neck": (),
        "head": (),
        "mlp_init": "lecun_normal",
        "target": "label",
        "outputs": 10,
        "error": "cross_entropy",
        "huber_delta": 1.0,
        "target_offset": (0.0,),
        "target_scale": (1.0,),
        "class_weights": None,
        "dropout": 0.0,
        "max_norm": None,
        "train_backbone": True,
        "test_time_augmentation": 1,
        "view": view,
        "stretch": {"name": "asinh", "scale": (1.0, 1.0)},
    }
    card = {
        "data": info.to_json(),
        "dereddened": False,
        "crop": size,
        "pixel_spread": [1.0, 1.0],
        "trained_on": "nothing",
        "outside": {"k": 10, "threshold": 5.0},
    }
    reference = np.random.default_rng(0).normal(size=(4096, 32)).astype(np.float32)
    return Model(build(section, info=info, rngs=nnx.Rngs(0)), card, reference, "untrained")


def embed(path: Path, size: int) -> None:
    """Embeds the file as the command does."""
    from astrojax.inference import inputs, stream

    model = small_model(size)
    opened = inputs.open_data(
        str(path), ("pixel_scale=0.2",), split=None, as_trained=False, workdir=None, model=model
    )
    inputs.compare(model, opened)
    wanted = stream.Wanted(
        embedding=True, predictions=False, bad_pixels="null", batch_size=256, threads=2, chunk=8192
    )
    stream.run(model, opened, path.with_suffix(".parquet"), wanted, command="", overwrite=True)


def measured(command: list[str]) -> str:
    """Runs a command; its peak memory and time in words."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return f"{usage.ru_maxrss / 1024:.0f} MiB, {time.perf_counter() - start:.0f} s"


def main() -> None:
    """Prints one line per count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[20_000, 50_000, 100_000])
    parser.add_argument("--size", type=int, default=16, help="side of the stamps in pixels")
    parser.add_argument("--search", action="store_true", help="also search the tables made")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        embed(given.only, given.size)
        return
    for count in given.counts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stamps.h5"
            write_stamps(path, count, given.size)
            run = [sys.executable, __file__, "--only", str(path), "--size", str(given.size)]
            commands = {"embed": run}
            table = ["--table", str(path.with_suffix(".parquet")), "--no-sheet"]
            for name, asked in (("similar", ["--id", "0"]), ("anomalies", [])):
                if given.search:
                    out = ["--out", f"{folder}/{name}.csv"]
                    command = [sys.executable, "-m", "astrojax", name]
                    commands[name] = [*command, *table, *asked, *out]
            for name, command in commands.items():
                print(f"{count} objects, {name}: {measured(command)}", flush=True)


if __name__ == "__main__":
    main()
