# SPDX-License-Identifier: Apache-2.0
import io
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest
from PIL import Image

from astrojax.data import batching
from astrojax.data.info import DataInfo
from astrojax.data.open import open_sources
from astrojax.data.readers import tfds
from astrojax.data.source import ArraySource
from astrojax.data.split import split_hash
from astrojax.errors import UserError


@pytest.fixture
def sources():
    def make(n, image_type=np.float32):
        rng = np.random.default_rng(n)
        columns = {
            "id": np.array([f"g{n}-{i}" for i in range(n)]),
            "image": rng.integers(0, 255, (n, 6, 6, 4)).astype(image_type),
            "redshift": np.where(np.arange(n) % 2, np.nan, 0.5).astype(np.float32),
            "flux": rng.normal(size=(n, 4)).astype(np.float32),
            "label": np.arange(n) % 3 - 1,
            "ra": rng.uniform(0, 360, n),
            "edge": np.arange(n) % 2 == 0,
        }
        info = DataInfo(
            bands=tuple("griz"),
            image_size=6,
            unit="microjansky" if image_type == np.float32 else "display",
            zero_point=23.9 if image_type == np.float32 else None,
            noise=(1.0, 2.0, 3.0, 4.0),
            classes=("a", "b"),
        )
        return ArraySource(columns, info)

    return make


def _section(directory, **changes):
    base = {"name": "tfds", "directory": str(directory), "dataset": "survey", "crop": None}
    return {**base, "resize": None, "splits": {"train": "train", "test": "test"}, **changes}


@pytest.mark.parametrize("image_type", [np.float32, np.uint8])
def test_a_converted_source_is_the_source(tmp_path, sources, image_type):
    made = {"train": sources(30, image_type), "test": sources(7, image_type)}
    path = tfds.convert(made, tmp_path, "survey")
    assert list(path.glob("*.array_record*")) and not (tmp_path / "downloads").exists()
    read = open_sources(_section(tmp_path))
    read = pickle.loads(pickle.dumps(read))
    for name, source in made.items():
        assert read[name].info == source.info and len(read[name]) == len(source)
        for i in range(len(source)):
            got = read[name][i]
            # The loader adds magnitudes to fluxes; a conversion keeps what the source has.
            assert set(got) - {"magnitude"} == set(source[i]) and got["image"].dtype == image_type
            for key, value in source[i].items():
                np.testing.assert_array_equal(got[key], value)
        for key in set(source.columns) - {"image"}:
            np.testing.assert_array_equal(read[name].column(key), source.column(key))
    assert split_hash(read) == split_hash(made)


def test_records_themselves_hold_every_column(tmp_path, sources):
    import tensorflow_datasets

    path = tfds.convert({"train": sources(5)}, tmp_path, "survey")
    record = tensorflow_datasets.builder_from_directory(path).as_data_source("train")[3]
    assert record["id"].decode() == "g5-3" and record["label"] == -1
    np.testing.assert_array_equal(record["flux"], sources(5).columns["flux"][3])


def test_parts_of_a_split_and_a_crop(tmp_path, sources):
    tfds.convert({"train": sources(20)}, tmp_path, "survey")
    splits = {"train": "train[:75%]", "validation": "train[75%:]"}
    read = open_sources(_section(tmp_path, splits=splits, crop=4))
    assert list(read["train"].column("id")) == [f"g20-{i}" for i in range(15)]
    assert list(read["validation"].column("id")) == [f"g20-{i}" for i in range(15, 20)]
    expected = sources(20).columns["image"][16, 1:5, 1:5]
    np.testing.assert_array_equal(read["validation"][1]["image"], expected)
    assert read["train"].info.image_size == 4


def test_training_batches_come_from_it(tmp_path, sources):
    tfds.convert({"train": sources(16)}, tmp_path, "survey")
    source = open_sources(_section(tmp_path, splits={"train": "train"}))["train"]
    batches = batching.local_batches(
        source, columns=("image", "flux"), batch_size=8, seed=0, start=0, threads=2
    )
    first, second = next(batches), next(batches)
    assert first["image"].shape == (8, 6, 6, 4)
    both = np.concatenate([first["flux"], second["flux"]])
    np.testing.assert_array_equal(np.sort(both, 0), np.sort(source.column("flux"), 0))


def test_nothing_is_overwritten_and_half_a_conversion_is_noticed(tmp_path, sources):
    path = tfds.convert({"train": sources(4)}, tmp_path, "survey")
    with pytest.raises(UserError, match="exists already"):
        tfds.convert({"train": sources(4)}, tmp_path, "survey")
    (path / "astrojax.json").unlink()
    with pytest.raises(UserError, match="not converted completely"):
        open_sources(_section(tmp_path, splits={"train": "train"}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "cifar10"}, "run `tfds build cifar10"),
        ({"dataset": "surveys"}, "there is: survey.*astrojax convert"),
        ({"splits": {"train": "training"}}, "did you mean 'train'"),
        ({"splits": {"train": "train[:x%]"}}, "is no TFDS split"),
        ({"splits": {"trian": "train"}}, "data.splits"),
    ],
)
def test_what_is_not_there_is_one_sentence(tmp_path, sources, changes, message):
    tfds.convert({"train": sources(4)}, tmp_path, "survey")
    with pytest.raises(UserError, match=message):
        open_sources(_section(tmp_path, **changes))


def test_a_data_set_prepared_by_tfds_itself(tmp_path):
    """A stand-in with CIFAR-10's name and features, as `tfds build` would leave it."""
    import tensorflow_datasets

    pictures = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), np.uint8)

    class Cifar10(tensorflow_datasets.core.GeneratorBasedBuilder, skip_registration=True):
        name = "cifar10"
        VERSION = tensorflow_datasets.core.Version("3.0.2")

        def _info(self):
            features = tensorflow_datasets.features
            described = {
                "id": features.Text(),
                "image": features.Image(shape=(32, 32, 3)),
                "label": features.ClassLabel(names=["cat", "dog"]),
            }
            return tensorflow_datasets.core.DatasetInfo(
                builder=self, features=features.FeaturesDict(described)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i, picture in enumerate(pictures):
                encoded = io.BytesIO()
                Image.fromarray(picture).save(encoded, "PNG")
                encoded.seek(0)
                yield i, {"id": f"train_{i}", "image": encoded, "label": i % 2}

    Cifar10.__module__ = "astrojax.data.readers.tfds"  # TFDS looks for the builder's package
    Cifar10(data_dir=str(tmp_path), file_format="array_record").download_and_prepare(
        download_dir=str(tmp_path / "scratch")
    )
    section = _section(tmp_path, dataset="cifar10", splits={"train": "train"}, resize=16)
    source = open_sources(section)["train"]
    assert source.info.classes == ("cat", "dog") and source[0]["image"].shape == (16, 16, 3)
    numbers = [int(name.removeprefix("train_")) for name in source.column("id")]
    assert sorted(numbers) == list(range(6))
    assert [n % 2 for n in numbers] == list(source.column("label"))
    whole = open_sources({**section, "resize": None})["train"]
    np.testing.assert_array_equal(whole[2]["image"], pictures[numbers[2]])


def test_command_converts_what_an_experiment_reads(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["images"] = np.ones((10, 1, 4, 4), np.float16)
    (tmp_path / "experiment.py").write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config(variant=''):\n"
        "    info = dict(bands=('r',), pixel_scale=None, unit='microjansky', zero_point=None,\n"
        "                noise=None, extinction=None)\n"
        "    return ConfigDict({'data': dict(name='hdf5', path='missing.h5', layout='nchw',\n"
        "        columns={'image': 'images'}, label_thinning=None, sentinels={}, info=info,\n"
        "        crop=None, bad_pixels='error', split=None)})\n"
    )
    command = [
        sys.executable,
        "-m",
        "astrojax",
        "convert",
        "--config",
        str(tmp_path / "experiment.py"),
        "--out",
        str(tmp_path / "out"),
        "--dataset",
        "survey",
    ]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert failed.returncode == 2 and "error: no file 'missing.h5'" in failed.stderr
    assert "Traceback" not in failed.stderr
    command.append(f"--config.data.path={tmp_path / 's.h5'}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "train: 10 examples" in done.stdout, done.stderr
    printed = done.stdout.split("data = ")[1]
    section = eval(printed)  # the section that the command prints is the one that reads it
    np.testing.assert_array_equal(open_sources(section)["train"][9]["image"], np.ones((4, 4, 1)))
