# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

import astrojax
from astrojax.config import plain
from astrojax.data.info import DataInfo
from astrojax.errors import UserError
from astrojax.inference.embedder import embed
from astrojax.inference.evaluation import restore
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
        "card.json", "config.json", "model.safetensors", "reference.safetensors",
    ]  # fmt: skip
    assert json.loads((bundle / "card.json").read_text())["data"]["unit"] == "nanomaggies"


def test_a_bundle_knows_what_its_training_images_look_like(bundle, images):
    model = astrojax.load(bundle)
    known = model.distance(model.embed(images))
    assert model.card["outside"]["threshold"] > 0 and not model.outside(known).all()
    far = model.embed(images) * 100 + 100
    assert model.outside(model.distance(far)).all()
    far[0] = np.nan
    assert np.isnan(model.distance(far)[0]) and not model.outside(model.distance(far))[0]


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


def test_a_bundle_of_another_config_names_the_array(bundle, tmp_path):
    import shutil

    other = shutil.copytree(bundle, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["method"]["neck"] = [16, 12]
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="the config needs"):
        astrojax.load(other)
