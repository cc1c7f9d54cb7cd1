# SPDX-License-Identifier: Apache-2.0
"""Recipes: fitted to the data, checked before compute, written out whole."""

import json

import numpy as np
import pytest

import astrojax
from astrojax.errors import UserError
from astrojax.inference import evaluation, workflow
from astrojax.inference.bundle import load
from astrojax.inference.model import bundle_of
from astrojax.training import checkpoint, loop, preflight
from astrojax.training.recipes import whole
from astrojax.training.recipes.pretraining import RECIPES
from astrojax.training.settings import resolve


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"pita", "magnitudes"}))
@pytest.mark.parametrize("size", ["small", "large"])
def test_a_recipe_is_a_whole_config_that_fits_the_data(data, name, size):
    settings = resolve(whole.build(name, data, size=size), data_is_open=True)
    method = settings.keys.method
    view = method.get("view") or method["global_view"]
    assert 16 <= view["crop"] <= data.info.image_size
    assert len(method["stretch"]["scale"]) == len(data.info.bands)
    assert settings.keys.batch_size <= len(data["train"])


def test_recipes_of_fluxes_say_what_they_need(data):
    for name in ("pita", "magnitudes"):
        with pytest.raises(UserError, match="--set columns"):
            whole.build(name, data)


def test_a_run_keeps_its_arrays_and_its_bundle_describes_them(pretrained, data, survey):
    config = json.loads((pretrained / "config.json").read_text())
    assert config["data"]["path"] == str(pretrained / "arrays.h5")
    assert config["method"]["backbone"]["width"] == 8 and config["epochs"] == 0.5
    model = load(bundle_of(pretrained))
    assert model.info.bands == ("g", "r") and model.info.unit == "nanomaggies"
    assert model.info.pixel_scale == 0.2 and model.info.noise == data.info.noise
    assert model.card["trained_on"].startswith(f"{len(data['train'])} images")
    embedding = model.embed(survey[0][:3])
    assert embedding.shape[0] == 3 and np.isfinite(embedding).all()
    table = model.embed(data["validation"])
    assert set(table["split"]) == {"validation"} and len(table) == len(data["validation"])


def test_the_same_arrays_are_the_same_data_to_a_run_that_goes_on(data, tmp_path):
    kept = []
    for _ in range(2):
        section = workflow.stored(data, tmp_path).section
        kept.append((section, (tmp_path / "arrays.h5").stat().st_mtime_ns))
    assert kept[0] == kept[1]
    there = dict(astrojax.open_data(tmp_path / "arrays.h5", split="column:split_of_arrays"))
    both = [np.ma.asarray(d["train"].column("merging"), float) for d in (there, data)]
    known = [np.isfinite(values.filled(np.nan)) for values in both]
    np.testing.assert_array_equal(*known)


def test_unknown_keys_and_recipes_are_named(data, tmp_path):
    with pytest.raises(UserError, match="no key 'epoch'; did you mean 'epochs'"):
        astrojax.train("simsiam", data=data, workdir=tmp_path / "a", epoch=3.0)
    with pytest.raises(UserError, match="no experiment file 'simsam'|did you mean"):
        astrojax.train("simsam", data=data, workdir=tmp_path / "a")
    with pytest.raises(UserError, match="needs data: --data WHERE"):
        astrojax.train("simsiam", workdir=tmp_path / "a")
    with pytest.raises(UserError, match="at least 8 are needed"):
        few = astrojax.open_data(np.ones((6, 20, 20, 1)), bands=("g",), unit="nJy", split="none")
        astrojax.train("simsiam", data=few, workdir=tmp_path / "a")


ABSENT = {
    "size": {"linear_probe": {"targets": ("size",)}},
    "magnitude_F160W": {"projection": {"columns_shown": ("magnitude_F160W",), "method": "pca"}},
    "merger": {"anomaly": {"anomalous": ("merger",)}},
    "classification": {"classification": {}},
    "photoz": {"photoz": {}},
    "multilabel": {"multilabel": {"targets": ("dusty",)}},
    "votes": {"votes": {"targets": ("bar_yes", "bar_no"), "questions": (2,)}},
    "regression": {"regression": {"targets": ("flat",)}},
    "template_fit": {"template_fit": {"survey": "candels"}},
    "uncertainty": {"uncertainty": {}},
}


@pytest.mark.parametrize("name", ABSENT)
def test_an_evaluation_that_the_data_lack_stops_before_the_first_step(data, small, tmp_path, name):
    config = whole.build("simsiam", data, epochs=0.5)
    workflow.change(config, small | {"evaluate": ABSENT[name]})
    with pytest.raises(UserError, match=name):
        loop.train(config, tmp_path / "run", dict(data))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_check_says_what_the_evaluation_and_the_monitor_lack(pretrained, data, small):
    config = whole.build("simsiam", workflow.stored(data, pretrained), epochs=0.5)
    workflow.change(config, small | {"evaluate": ABSENT["size"]})
    with pytest.raises(UserError, match="'size'"):
        preflight.run(config)
    monitor = {"every_epochs": 1.0, "examples": 8, "knn_label": "label"}
    monitor |= {"collapse": "warn", "patience": None}
    workflow.change(config, {"evaluate": {}, "monitor": monitor})
    with pytest.raises(UserError, match="knn_label' names 'label', which the data lack"):
        preflight.run(config)


def test_a_run_without_a_step_does_not_block_its_folder(data, small, tmp_path):
    bad = small | {"evaluate": ABSENT["merger"]}
    with pytest.raises(UserError, match="merger"):
        astrojax.train("simsiam", data=data, workdir=tmp_path, epochs=0.5, **bad)
    config = whole.build("simsiam", data, epochs=0.25)  # another config in the same folder
    workflow.change(config, small)
    assert loop.train(config, tmp_path, dict(data))


def test_a_changed_evaluation_of_a_finished_run_is_made(pretrained):
    config = checkpoint.read_config(pretrained)
    assert not workflow.finish(config, pretrained)
    asked = {"clustering": {"clusters": 2, "n_bootstrap": 5, "seed": 0}}
    assert workflow.finish({**config, "evaluate": asked}, pretrained)
    numbers = json.loads((pretrained / evaluation.FOLDER / "metrics.json").read_text())
    assert "kmeans_count" in numbers["clustering"]
    with pytest.raises(UserError, match="merger"):
        workflow.finish({**config, "evaluate": ABSENT["merger"]}, pretrained)
    assert not evaluation.done(pretrained)  # the results of before are not taken for these
    assert workflow.finish(config, pretrained)
