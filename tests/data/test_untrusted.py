# SPDX-License-Identifier: Apache-2.0
"""Files of strangers: nothing but themselves is opened, imported or believed."""

import io
import json
import os
import sys
import zipfile

import h5py
import numpy as np
import pytest
from PIL import Image

from astrojax.data import detect, pictures, untrusted
from astrojax.data.info import DataInfo
from astrojax.data.open import open_sources
from astrojax.data.readers import tfds
from astrojax.data.source import ArraySource
from astrojax.errors import UserError

INFO = {"bands": ("g", "r"), "pixel_scale": None, "unit": "arbitrary"}


@pytest.fixture
def linked(tmp_path):
    """An HDF5 file whose datasets are in another file, each in its own way."""
    pixels = np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype("f4")
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["images"], file["ids"] = pixels, np.arange(4)
    pixels.tofile(tmp_path / "raw")
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file["images"], file["ids"] = pixels, np.arange(4)
        file["external"] = h5py.ExternalLink(str(tmp_path / "own.h5"), "/images")
        layout = h5py.VirtualLayout(shape=pixels.shape, dtype="f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "own.h5"), "images", shape=pixels.shape)
        file.create_virtual_dataset("virtual", layout)
        raw = [(str(tmp_path / "raw"), 0, pixels.nbytes)]
        file.create_dataset("storage", pixels.shape, "f4", external=raw)
        file.create_group("group")["inner"] = h5py.SoftLink("/external")
        file["soft"], file["through"] = h5py.SoftLink("images"), h5py.SoftLink("/group/inner")
        file["circle"] = h5py.SoftLink("/circle")
    return tmp_path / "linked.h5"


def opened_hdf5(path, image, **keys):
    section = {"name": "hdf5", "path": str(path), "columns": {"image": image}, "layout": "nhwc"}
    return open_sources({**section, "info": INFO, **keys})["train"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("external", "an external link"),
        ("through", "an external link"),
        ("virtual", "a virtual data set"),
        ("storage", "external storage"),
        ("circle", "leads in a circle"),
        ("group", "not a dataset|did you mean .group.inner"),
    ],
)
def test_parts_of_an_hdf5_file_in_other_files_are_refused(linked, name, kind):
    with pytest.raises(UserError, match=kind):
        opened_hdf5(linked, name)
    with pytest.raises(UserError, match=kind):
        opened_hdf5(linked, "images", columns={"image": "images", "redshift": name})
    if kind.startswith(("an", "a ", "external")):
        assert len(opened_hdf5(linked, name, follow_links=True)) == 4


def test_links_within_a_file_are_followed(linked):
    np.testing.assert_array_equal(
        opened_hdf5(linked, "soft")[2]["image"], opened_hdf5(linked, "images")[2]["image"]
    )
    with untrusted.open_hdf5(linked) as file:
        assert set(untrusted.hdf5_shapes(file)) == {"images", "ids", "soft"}
    assert detect.look("hdf5", str(linked), ("g", "r"), {})["columns"]["image"] == "images"


@pytest.fixture
def converted(tmp_path):
    source = ArraySource({"image": np.zeros((3, 8, 8, 2), "f4"), "id": np.arange(3)}, info())
    return tfds.convert({"train": source}, tmp_path / "sets", "own")


def info():
    return DataInfo(("g", "r"), 8, unit="arbitrary")


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def opened_tfds(path):
    keys = {"directory": str(path.parents[1]), "dataset": "own", "splits": {"train": "train"}}
    return open_sources({"name": "tfds", **keys})["train"]


@pytest.mark.parametrize("key", ["pythonClassName", "python_class_name", "type"])
def test_a_tfds_folder_imports_nothing(converted, monkeypatch, key):
    (converted / "evil_features.py").write_text("raise SystemExit('run')\n")
    monkeypatch.syspath_prepend(str(converted))
    text = (converted / "features.json").read_text().replace("pythonClassName", key)
    name = "tensorflow_datasets.core.features.tensor_feature.Tensor"
    (converted / "features.json").write_text(text.replace(name, "evil_features.Tensor"))
    with pytest.raises(UserError, match="class evil_features.Tensor, which is not imported"):
        opened_tfds(converted)
    with pytest.raises(UserError, match="not imported"):
        detect.tfds_splits({"directory": str(converted.parents[1]), "dataset": "own"})
    assert "evil_features" not in sys.modules


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("dataset_info.json", "{DATASET}-", "../../x-", "filepathTemplate"),
        ("dataset_info.json", '"own"', '"../own"', "name '../own'"),
        ("dataset_info.json", '"array_record"', '"tfrecord"', "cannot be read"),
        ("features.json", "{", "[", "cannot be read"),
        ("features.json", "dimensions", "dimension", "cannot be read"),
        ("astrojax.json", '"bands"', '"band"', "did you mean 'bands'"),
        ("astrojax.json", '"image_size": 8', '"image_size": "8"', "card.data.image_size"),
        ("astrojax.json", '"noise": null', '"noise": [1.0]', "1 values for 2 bands"),
    ],
)
def test_a_tfds_folder_that_says_something_else(converted, file, old, new, message):
    assert len(opened_tfds(converted)) == 3
    change(converted / file, old, new)
    with pytest.raises(UserError, match=message):
        opened_tfds(converted)


@pytest.mark.parametrize("kind", ["EPS", "PPM", "GIF", "PDF", "ICO"])
def test_only_listed_picture_formats_are_decoded(kind, monkeypatch):
    monkeypatch.setattr(os, "system", None)
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, kind)
    with pytest.raises(UserError, match="x.png"):
        pictures.decode(data.getvalue(), bands=3, where="x.png")


def npz(path, header, data=b"", **members):
    """An NPZ archive with one array `images` of any header."""
    text = repr(header).encode().ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("images.npy", array)
    return path


def opened_npz(path):
    section = {"name": "npz", "path": str(path), "columns": {"image": "images"}, "info": INFO}
    return open_sources(section)["train"]


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ((10**12, 8, 8, 2), "<f4", "announces .* GiB in one piece"),
        ((4, 8, 8, 2), "<f4", "fewer bytes than its header says"),
        ((4, 8, 8, 2), "|O", "cannot be read|fewer bytes"),
        ((-1, 8), "<f4", "cannot be read"),
        ((4, "8"), "<f4", "cannot be read"),
    ],
)
def test_an_array_that_is_announced_and_not_there(tmp_path, shape, kind, message):
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    with pytest.raises(UserError, match=message):
        opened_npz(npz(tmp_path / "a.npz", header))


def test_huge_hdf5_datasets_take_no_memory(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", (4, 10**6, 10**6, 2), "f4", chunks=(1, 8, 8, 2))
        file.create_dataset("ids", (10**15,), "i8", chunks=(8,))
        file["small"] = np.zeros((4, 8, 8, 2), "f4")
    with pytest.raises(UserError, match="a stamp of images has 1000000 x 1000000 pixels"):
        opened_hdf5(tmp_path / "a.h5", "images")
    with pytest.raises(UserError, match="/ids announces"):
        opened_hdf5(tmp_path / "a.h5", "small", columns={"image": "small", "id": "ids"})


def test_a_huge_parquet_column_is_not_read(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": np.zeros(1000), "b": ["x"] * 1000}), tmp_path / "a.parquet")
    untrusted.check_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(os, "sysconf", lambda name: 70)
    untrusted.check_parquet(tmp_path / "a.parquet", [])
    with pytest.raises(UserError, match="announces"):
        untrusted.check_parquet(tmp_path / "a.parquet", ["a"])


def test_the_description_of_the_pixels_is_checked():
    said = info().to_json()
    assert DataInfo.from_json(json.loads(json.dumps(said))) == info()
    for change in ({"image_size": 10**9}, {"bands": []}, {"bands": "gr"}, {"other": 1}):
        with pytest.raises(UserError):
            DataInfo.from_json(said | change)
