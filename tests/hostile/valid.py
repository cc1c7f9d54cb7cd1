# SPDX-License-Identifier: Apache-2.0
"""The small valid files that hostile ones are made from."""

import atexit
import functools
import hashlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table
from PIL import Image

N, SIDE = 4, 8
INFO = {"bands": ["g", "r"], "pixel_scale": None, "unit": "arbitrary"}
SECTION = {
    "name": "hdf5",
    "path": "a.h5",
    "columns": {"image": "images", "id": "ids"},
    "layout": "nhwc",
    "info": INFO,
}
# (opener, what it opens, files that are damaged)
FILES = [
    ("hdf5", "a.h5", ["a.h5"]),
    ("npz", "a.npz", ["a.npz"]),
    ("encoded", "a.parquet", ["a.parquet"]),
    ("fits", ".", ["a.fits"]),
    ("folder", ".", ["c/a.png", "c/b.jpg"]),
    ("tfds", "sets/own", [f"sets/own/1.0.0/{n}" for n in ("features.json", "dataset_info.json")]),
    ("tfds", "sets/own", ["sets/own/1.0.0/astrojax.json", "sets/own/1.0.0/columns_train.npz"]),
    ("tfds", "sets/own", ["sets/own/1.0.0/own-train.array_record-00000-of-00001"]),
    ("catalogue", "c.csv", ["c.csv"]),
    ("similar", "t.parquet", ["t.parquet", "a.h5"]),
    ("anomalies", "t.fits", ["t.fits"]),
    ("explore", "t.parquet", ["t.parquet"]),
    ("cluster", "t.parquet", ["t.parquet"]),
    ("label", "t.parquet", ["labels.csv"]),
    ("finetune", "bundle", ["bundle/card.json", "bundle/model.safetensors"]),
    ("bundle", "bundle", [f"bundle/{n}" for n in ("card.json", "config.json")]),
    ("bundle", "bundle", ["bundle/model.safetensors", "bundle/reference.safetensors"]),
    ("weights", "a.safetensors", ["a.safetensors"]),
]


def pixels() -> np.ndarray:
    """Returns N stamps of two bands."""
    return np.random.default_rng(0).normal(size=(N, SIDE, SIDE, 2)).astype(np.float32)


def write_all(base: Path) -> None:
    """Writes a folder of valid files for each opener of `FILES`."""
    for opener in {opener for opener, _, _ in FILES}:
        (base / opener).mkdir(parents=True)
    hdf5(base / "hdf5" / "a.h5")
    np.savez(base / "npz" / "a.npz", images=pixels(), ids=np.arange(N))
    fits.PrimaryHDU(pixels()[0].transpose(2, 0, 1)).writeto(base / "fits" / "a.fits")
    (base / "folder" / "c").mkdir()
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8))
    picture.save(base / "folder" / "c" / "a.png")
    picture.save(base / "folder" / "c" / "b.jpg")
    encoded = (base / "folder" / "c" / "a.png").read_bytes()
    rows = {"image": [{"bytes": encoded, "path": "a.png"}] * N, "id": np.arange(N)}
    pq.write_table(pa.table(rows), base / "encoded" / "a.parquet")
    tfds(base / "tfds")
    Table({"id": np.arange(N), "z": np.linspace(0, 1, N)}).write(base / "catalogue" / "c.csv")
    for opener in ("similar", "anomalies", "explore", "cluster", "label"):
        hdf5(base / opener / "a.h5")
        table(base / opener / ("t.fits" if opener == "anomalies" else "t.parquet"))
    labels = "".join(f"{i},{name},2026-01-01T00:00:00Z\n" for i, name in enumerate("abab"))
    (base / "label" / "labels.csv").write_text(f"id,label,time\n{labels}")
    bundle(base / "bundle" / "bundle")
    bundle(base / "finetune" / "bundle")
    from safetensors.numpy import save_file

    save_file({"a": pixels(), "b": np.arange(3)}, base / "weights" / "a.safetensors")


def hdf5(path: Path, ids: Sequence[str] | None = None) -> None:
    """Writes an HDF5 file of stamps."""
    with h5py.File(path, "w") as file:
        file["images"] = pixels()
        if ids is None:
            file["ids"] = np.arange(N)
        else:
            file.create_dataset("ids", data=list(ids), dtype=h5py.string_dtype())


def table(path: Path, section: str | None = None, ids: Sequence[str] | None = None) -> None:
    """Writes a table of embeddings whose metadata hold `section`."""
    told = {"data": "a.h5", "data_split": "train"}
    told["data_section"] = json.dumps(SECTION) if section is None else section
    embedding = np.random.default_rng(1).normal(size=(N, 3)).astype(np.float32)
    columns: dict[str, Any] = {"id": np.arange(N) if ids is None else list(ids)}
    columns |= {"predicted_class": [f"class {i}" for i in columns["id"]]}
    if path.suffix == ".fits":
        made = Table({**columns, "embedding": embedding})
        words = {"data": "DATADESC", "data_section": "DATASECT", "data_split": "DATASPLT"}
        made.meta |= {words[k]: v for k, v in told.items()}
        return made.write(path)
    columns["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(embedding.ravel()), 3)
    made = pa.table(columns).replace_schema_metadata({"astrojax": json.dumps(told)})
    return pq.write_table(made, path)


def tfds(folder: Path) -> Path:
    """Writes a converted data set and returns the folder of its version."""
    shutil.copytree(_converted(), folder / "sets")
    return folder / "sets" / "own" / "1.0.0"


@functools.cache
def _converted() -> Path:
    from astrojax.data.info import DataInfo
    from astrojax.data.readers import tfds as reader
    from astrojax.data.source import ArraySource

    info = DataInfo(("g", "r"), SIDE, unit="arbitrary")
    images = np.concatenate([pixels(), pixels()[:2]])
    source = ArraySource({"image": images, "id": np.arange(6)}, info)
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    reader.convert({"train": source}, folder, "own")
    return folder


def bundle(
    folder: Path,
    config: dict[str, Any] | None = None,
    card: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
) -> None:
    """Writes the bundle of an untrained network, with entries changed and hashes that are right."""
    from safetensors.numpy import save_file

    import astrojax
    from astrojax.inference import bundle as bundles
    from astrojax.training import bundle_hashes, checkpoint

    section, described, arrays = _untrained()
    folder.mkdir(parents=True)
    save_file(arrays, folder / "model.safetensors")
    reference = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    save_file({"embedding": reference}, folder / "reference.safetensors")
    checkpoint.write_config(folder, {"method": section | (config or {})})
    said = {"data": described.to_json() | (info or {}), "dereddened": False, "crop": SIDE}
    said |= {"stretch": section["stretch"], "pixel_spread": [1.0, 1.0], "trained_on": "nothing"}
    said |= {"config_hash": "0", "checkpoint": "0", "astrojax": astrojax.__version__}
    said |= {"outside": {"k": 3, "percentile": 99.0, "threshold": 1.0}}
    hashes = {n: (folder / n).read_bytes() for n in bundles._CHECKED}
    said["sha256"] = {n: hashlib.sha256(data).hexdigest() for n, data in hashes.items()}
    said |= {"format": 1} | (card or {})
    if isinstance(said["sha256"], dict):
        said = bundle_hashes.sealed(said)
    (folder / "card.json").write_text(json.dumps(said))


@functools.cache
def _untrained() -> tuple[dict[str, Any], Any, dict[str, np.ndarray]]:
    """Returns the config, the description of the images and the arrays of a network."""
    from flax import nnx

    from astrojax.config import plain
    from astrojax.data.info import DataInfo
    from astrojax.methods import build

    path = Path(__file__).parents[2] / "experiments" / "photoz_supervised.py"
    spec = importlib.util.spec_from_file_location("photoz_supervised", path)
    experiment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(experiment)
    section = plain(experiment.get_config("smoke"))["method"]
    backbone = {"name": "vgg", "depths": (1,), "widths": (4,), "batch_norm": False, "grid": 1}
    backbone |= {"hidden": (), "dropout": 0.0, "dtype": "float32", "remat": False}
    section |= {"backbone": backbone, "target": "label", "outputs": 2, "error": "cross_entropy"}
    section |= {"target_offset": (0.0,), "target_scale": (1.0,), "test_time_augmentation": 1}
    section |= {"view": section["view"] | {"crop": SIDE}}
    section |= {"stretch": {"name": "asinh", "scale": (1.0, 1.0)}}
    described = DataInfo(("g", "r"), SIDE, unit="arbitrary", noise=(1.0, 1.0), classes=("a", "b"))
    method = build(section, info=described, rngs=nnx.Rngs(0))
    arrays = {
        "/".join(map(str, where)): np.array(value.get_value(), order="C")
        for where, value in nnx.to_flat_state(nnx.state(method))
    }
    return section, described, arrays
