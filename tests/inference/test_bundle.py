# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import astrojax
from astrojax.config import plain
from astrojax.data.info import DataInfo
from astrojax.errors import UserError
from astrojax.inference.embedder import embed
from astrojax.inference.evaluation import restore
from astrojax.training import bundle_hashes
from astrojax.training.checkpoint import read_config
from astrojax.training.run import Run


@pytest.fixture(scope="module")
def trained(run):
    job = Run(plain(read_config(run)))
    return job, job.method_at(restore(job, run))


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return astrojax.export(run, tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def images(trained):
    source = trained[0].sources["test"]
    return np.stack([source[i]["image"] for i in range(8)])


def test_a_bundle_gives_the_run_s_embeddings_without_its_config(trained, bundle, images):
    job, method = trained
    expected = embed(method, job.sources["test"], batch_size=8, threads=0, mesh=job.mesh)
    model = astrojax.load(bundle)
    # The same weights in the same program; batches of another size change float32 rounding.
    np.testing.assert_allclose(model.embed(images), expected.embedding[:8], atol=1e-5)
    assert set(model.predict(images)) == {"label", "class_probability"}


def test_nothing_in_a_bundle_is_a_pickle(bundle):
    assert sorted(p.name for p in bundle.iterdir()) == [
        "card.json",
        "config.json",
        "model.safetensors",
        "reference.safetensors",
        "splits.safetensors",
    ]
    assert json.loads((bundle / "card.json").read_text())["data"]["unit"] == "nanomaggies"


def test_a_bundle_knows_what_its_training_images_look_like(bundle, images):
    model = astrojax.load(bundle)
    known = model.distance(model.embed(images))
    assert model.card["outside"]["threshold"] > 0 and not model.outside(known).all()
    far = model.embed(images) * 100 + 100
    assert model.outside(model.distance(far)).all()
    far[0] = np.nan
    assert np.isnan(model.distance(far)[0]) and model.outside(model.distance(far))[0]


def test_images_that_do_not_match_the_card(bundle, images):
    model = astrojax.load(bundle)
    with pytest.raises(UserError, match="the bands g, r"):
        model.embed(images[..., :1])
    with pytest.raises(UserError, match="at least 16 x 16"):
        model.embed(images[:, :10, :10])
    with pytest.raises(UserError, match="NaN"):
        model.embed(images * np.nan)
    with pytest.raises(UserError, match="unit nanomaggies against microjansky"):
        model.embed(images, info=DataInfo(model.info.bands, 20, 0.2, "microjansky", 23.9))
    with pytest.warns(UserWarning, match="is the unit nanomaggies"):
        model.embed(images * 1000)


def test_a_folder_that_is_no_bundle_and_one_that_exists(bundle, run, tmp_path):
    with pytest.raises(UserError, match="has no model.safetensors"):
        astrojax.load(tmp_path)
    with pytest.raises(UserError, match="exists already"):
        astrojax.export(run, bundle)


def rewritten(bundle, folder, name, change):
    """A copy of a bundle with one file changed, whose card has the new hash."""
    other = shutil.copytree(bundle, folder / "other")
    change(other / name)
    card = json.loads((other / "card.json").read_text())
    card["sha256"][name] = hashlib.sha256((other / name).read_bytes()).hexdigest()
    (other / "card.json").write_text(json.dumps(bundle_hashes.sealed(card)))
    return other


def test_a_bundle_of_another_config_names_the_array(bundle, tmp_path):
    def change(path):
        config = json.loads(path.read_text())
        config["method"]["neck"] = [16, 12]
        path.write_text(json.dumps(config))

    with pytest.raises(UserError, match="the config needs"):
        astrojax.load(rewritten(bundle, tmp_path, "config.json", change))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda x: x.astype(np.float16), "has the type float16"),
        (lambda x: np.full_like(x, np.nan), "values that are not finite"),
        (lambda x: x[..., :0], "the config needs"),
    ],
)
def test_arrays_that_do_not_fit_are_named(bundle, tmp_path, edit, message):
    def change(path):
        arrays = load_file(path)
        name = max(arrays, key=lambda n: arrays[n].size)
        save_file({**arrays, name: np.ascontiguousarray(edit(arrays[name]))}, path)

    with pytest.raises(UserError, match=message):
        astrojax.load(rewritten(bundle, tmp_path, "model.safetensors", change))


def test_a_changed_card_and_a_later_format_are_noticed(bundle, tmp_path):
    card = json.loads((bundle / "card.json").read_text())
    spread = [2 * v for v in card["pixel_spread"]]
    for change, message in (
        (card | {"pixel_spread": spread}, "card.json is not as it was written"),
        (bundle_hashes.sealed(card | {"format": 2}), "a bundle of format 2"),
    ):
        other = shutil.copytree(bundle, tmp_path / "other", dirs_exist_ok=True)
        (other / "card.json").write_text(json.dumps(change))
        with pytest.raises(UserError, match=message):
            astrojax.load(other)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "reference.safetensors"])
def test_a_flipped_bit_is_noticed(bundle, tmp_path, name):
    other = shutil.copytree(bundle, tmp_path / "other")
    data = bytearray((other / name).read_bytes())
    data[len(data) // 2] ^= 1
    (other / name).write_bytes(data)
    with pytest.raises(UserError, match=f"{name} is not the file that its card describes"):
        astrojax.load(other)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "card.json is damaged"), ("{}", "made by astrojax 0.1")]
)
def test_a_damaged_or_old_card_is_one_sentence(bundle, tmp_path, text, message):
    other = shutil.copytree(bundle, tmp_path / "other")
    (other / "card.json").write_text(text)
    with pytest.raises(UserError, match=message):
        astrojax.load(other)
