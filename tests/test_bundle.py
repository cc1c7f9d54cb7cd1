# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

import astrojax
from astrojax import train
from astrojax.data.pipeline import DataInfo
from astrojax.errors import UserError
from astrojax.evaluate.embed import embed
from astrojax.evaluate.run import restore


@pytest.fixture(scope="module")
def trained(tmp_path_factory, experiment, open_data):
    workdir = tmp_path_factory.mktemp("bundle") / "run"
    config = experiment("pita", "smoke") | {"batch_size": 32, "epochs": 0.5}
    sources = open_data(config["data"])
    train.run(config, workdir, sources)
    job = train.Run(config, sources)
    return workdir, job, job.method_at(restore(job, workdir))


@pytest.fixture(scope="module")
def bundle(trained):
    return astrojax.export(trained[0], trained[0].parent / "bundle")


@pytest.fixture(scope="module")
def images(trained):
    source = trained[1].sources["test"]
    return np.stack([source[i]["image"] for i in range(8)])


def test_a_bundle_gives_the_run_s_embeddings_without_its_config(trained, bundle, images):
    _, job, method = trained
    expected = embed(method, job.sources["test"], batch_size=8, threads=0, mesh=job.mesh)
    model = astrojax.load(bundle)
    # The same weights in the same program; batches of another size change float32 rounding.
    np.testing.assert_allclose(model.embed(images), expected.embedding[:8], atol=1e-5)
    assert set(model.predict(images)) == {"redshift", "colour"}


def test_nothing_in_a_bundle_is_a_pickle(bundle):
    assert sorted(p.name for p in bundle.iterdir()) == [
        "card.json", "config.json", "model.safetensors", "reference.safetensors",
    ]  # fmt: skip
    assert json.loads((bundle / "card.json").read_text())["data"]["unit"] == "microjansky"


def test_a_bundle_knows_what_its_training_images_look_like(bundle, images):
    model = astrojax.load(bundle)
    known = model.distance(model.embed(images))
    assert model.card["outside"]["threshold"] > 0 and not model.outside(known).all()
    far = model.embed(images) * 100
    assert model.outside(model.distance(far)).all()
    far[0] = np.nan
    assert np.isnan(model.distance(far)[0]) and not model.outside(model.distance(far))[0]


def test_images_that_do_not_match_the_card(bundle, images):
    model = astrojax.load(bundle)
    with pytest.raises(UserError, match="F606W, F814W, F125W, F160W"):
        model.embed(images[..., :3])
    with pytest.raises(UserError, match="at least 24 x 24"):
        model.embed(images[:, :10, :10])
    with pytest.raises(UserError, match="NaN"):
        model.embed(images * np.nan)
    with pytest.raises(UserError, match="unit microjansky against nanomaggies"):
        model.embed(images, info=DataInfo(model.info.bands, 40, 0.06, "nanomaggies", 22.5))
    with pytest.warns(UserWarning, match="is the unit microjansky"):
        model.embed(images * 1000)


def test_a_folder_that_is_no_bundle_and_one_that_exists(bundle, trained, tmp_path):
    with pytest.raises(UserError, match="has no model.safetensors"):
        astrojax.load(tmp_path)
    with pytest.raises(UserError, match="exists already"):
        astrojax.export(trained[0], bundle)


def test_a_bundle_of_another_config_names_the_array(bundle, tmp_path):
    import shutil

    other = shutil.copytree(bundle, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["method"]["latent"] = [16, 12]
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="the config needs"):
        astrojax.load(other)
