# SPDX-License-Identifier: Apache-2.0
"""Peak memory of embedding more and more objects of an HDF5 file: it does not grow with them.

    python benchmarks/embed_memory.py --counts 20000 50000 100000
    python benchmarks/embed_memory.py --counts 1000000 --size 32

Each count is a process of its own, which runs what `python -m astrojax.embed` runs, from file to
Parquet table, with a small untrained network. Printed are the peak resident memory of the process,
of which all but the data's ids is the same for any count, and the objects per second. On two CPU
cores, shared with other work, 10,000, 100,000 and 1,000,000 objects of 16 x 16 pixels took 606, 625
and 649 MiB, at 2,300 to 4,500 objects per second.
"""

import argparse
import resource
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

    from astrojax.bundle import Model
    from astrojax.data.pipeline import DataInfo
    from astrojax.method import build

    info = DataInfo(BANDS, size, 0.2, "nanomaggies", 22.5)
    view = {"name": "galaxy", "crop": size, "rotate": True, "flip": True, "zoom": (1.0, 1.0),
            "shift": 0.0, "noise": 0.0, "blur": None}  # fmt: skip
    backbone = {"name": "vgg", "depths": (1, 1), "widths": (8, 32), "batch_norm": False, "grid": 1,
                "hidden": (), "dropout": 0.0, "dtype": "float32", "remat": False}  # fmt: skip
    section = {
        "name": "supervised", "backbone": backbone, "backbone_outputs": None, "neck": (),
        "head": (), "target": "label", "outputs": 10, "error": "cross_entropy", "huber_delta": 1.0,
        "target_offset": (0.0,), "target_scale": (1.0,), "class_weights": None, "dropout": 0.0,
        "max_norm": None, "train_backbone": True, "rotations": 1, "view": view,
        "stretch": {"stretch": "asinh", "scale": (1.0, 1.0)},
    }  # fmt: skip
    card = {"data": info.to_json(), "dereddened": False, "crop": size, "pixel_spread": [1.0, 1.0],
            "trained_on": "nothing", "outside": {"k": 10, "threshold": 5.0}}  # fmt: skip
    reference = np.random.default_rng(0).normal(size=(4096, 32)).astype(np.float32)
    return Model(build(section, info=info, rngs=nnx.Rngs(0)), card, reference, "untrained")


def embed(path: Path, size: int) -> None:
    """Embeds the file as the command does, and prints peak memory (MiB) and seconds."""
    from astrojax.inference import door, stream

    model = small_model(size)
    opened = door.open_data(str(path), ("pixel_scale=0.2",), split=None, as_trained=False,
                            workdir=None, model=model)  # fmt: skip
    door.compare(model, opened)
    wanted = stream.Wanted(embedding=True, predictions=False, bad_pixels="null", batch_size=256,
                           threads=2, chunk=8192)  # fmt: skip
    start = time.perf_counter()
    stream.run(model, opened, path.with_suffix(".parquet"), wanted, command="", overwrite=True)
    seconds = time.perf_counter() - start
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, seconds)


def main() -> None:
    """Prints one line per count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[20_000, 50_000, 100_000])
    parser.add_argument("--size", type=int, default=16, help="side of the stamps in pixels")
    parser.add_argument("--only", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        embed(given.only, given.size)
        return
    for count in given.counts:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stamps.h5"
            write_stamps(path, count, given.size)
            command = [sys.executable, __file__, "--only", str(path), "--size", str(given.size)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            memory, seconds = map(float, done.stdout.split())
            print(
                f"{count} objects of {path.stat().st_size / 2**20:.0f} MiB: peak memory "
                f"{memory:.0f} MiB, {count / seconds:.0f} objects per second",
                flush=True,
            )


if __name__ == "__main__":
    main()
