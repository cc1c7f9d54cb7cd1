# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning: every kind of target and scheme, from runs, bundles and published weights."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import astrojax
from astrojax import config as binding
from astrojax.errors import UserError
from astrojax.inference import starts, workflow
from astrojax.inference.model import bundle_of
from astrojax.interop import torch
from astrojax.nn.backbones import resnet
from astrojax.training import targets
from astrojax.training.recipes import finetuning
from astrojax.training.run import Run

QUICK = {"batch_size": 16, "epochs": 0.25, "monitor": None}


def _built(pretrained, data, target, task=None, **options):
    """Returns the run that fine-tuning would train, on open data, and its target."""
    data, found = finetuning.find_target(data, target, task)
    start = starts.open_start(pretrained, data, arch=None, stem="mean")
    options = {"scheme": "gradual", "epochs": 5.0} | options
    config = finetuning.build(start, data, found, **options)
    return Run(config, dict(data)), found


TARGETS = {
    "classes": (("kind",), None, {"label", "class_probability"}),
    "labels": (("merging", "dusty"), None, {"merging_probability", "dusty_probability"}),
    "votes": (("bar_yes", "bar_no"), "votes", {"bar_yes_fraction", "bar_no_fraction"}),
    "number": (("radius",), None, {"radius", "radius_sigma"}),
    "numbers": (("radius", "flat"), None, {"radius", "flat", "radius_sigma", "flat_sigma"}),
    "redshift": (("z",), "redshift", {"redshift", "redshift_sigma"}),
}


@pytest.mark.parametrize("name", TARGETS)
def test_every_kind_of_target_has_a_loss_and_an_evaluation(pretrained, data, name):
    target, task, predicted = TARGETS[name]
    job, _ = _built(pretrained, data, target, task)
    targets.check(job)  # data and method have all that the evaluation will ask for
    assert job.keys.evaluate
    batch = next(job.batches(0))
    state, logs = job.step(job.initial_state(), batch)
    assert np.isfinite(float(logs["loss"])) and float(logs["gradient_norm"]) > 0
    found = job.method_at(state).predict(batch["image"])
    assert predicted <= set(found)


def test_schemes_train_what_they_say(pretrained, survey, pixels):
    split = {"name": "stratified", "column": "dusty", "seed": 0}
    split["fractions"] = {"train": 0.6, "validation": 0.2, "test": 0.2}
    data = astrojax.open_data(survey[0], catalogue=survey[1], split=split, **pixels)
    schemes = {
        name: _built(pretrained, data, ("kind",), scheme=name)[0].keys
        for name in finetuning.SCHEMES
    }
    assert schemes["head"].optim["frozen"] == ("backbone",)
    assert not schemes["head"].method["train_backbone"]
    assert schemes["gradual"].optim["thaw_epochs"] == {"backbone": 1.0}
    assert schemes["full"].optim["layer_decay"] == {"backbone": 0.75}
    assert schemes["scratch"].init is None and schemes["full"].init is not None
    # Looks while the head alone is trained do not count.
    assert {n: keys.monitor["patience"] - 5 for n, keys in schemes.items()} == {
        "head": 0,
        "gradual": 2,
        "full": 0,
        "scratch": 0,
    }
    half = _built(pretrained, data, ("kind",), layer_decay=0.5)[0].keys
    assert half.optim["layer_decay"] == {"backbone": 0.5}


def test_class_weights_are_the_inverse_of_the_share(pretrained, data):
    job, _ = _built(pretrained, data, ("kind",), balanced=True)
    label = np.asarray(job.sources["train"].column("label"))
    share = np.bincount(label[label >= 0]) / (label >= 0).sum()
    np.testing.assert_allclose(job.method.class_weights, 1 / (2 * share), rtol=1e-6)


def test_bands_are_matched_by_name_and_units_compared(pretrained, survey, pixels):
    images, columns = survey
    turned = pixels | {"bands": ("r", "g")}
    other = astrojax.open_data(images[..., ::-1], catalogue=columns, **turned)
    same = astrojax.open_data(images, catalogue=columns, **pixels)
    batch = jnp.asarray(images[:8])
    jobs = [_built(pretrained, d, ("flat",))[0] for d in (same, other)]
    methods = [job.method_at(job.initial_state()) for job in jobs]
    first, second = methods[0].embed(batch), methods[1].embed(batch[..., ::-1])
    np.testing.assert_allclose(first, second, rtol=2e-4, atol=2e-4)
    jansky = astrojax.open_data(images, catalogue=columns, **pixels | {"unit": "nJy"})
    with pytest.raises(UserError, match="in nJy.* trained on nanomaggies: add --set convert="):
        _built(pretrained, jansky, ("flat",))
    # More bands than the network knows: the new one begins with the mean.
    three = np.concatenate([images, images[..., :1]], -1)
    wide = astrojax.open_data(three, catalogue=columns, **pixels | {"bands": ("g", "r", "i")})
    assert np.isfinite(float(_built(pretrained, wide, ("flat",))[0].initial_state().step))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("kond", "the data has no 'kond': did you mean 'kind'"),
        ("one", "all .* labelled training examples are 'x': at least two classes"),
        ("none", "no training example has a class in column 'none'"),
        ("empty", "no training example has a value of 'empty'"),
        ("kind,merging", "classes are one column|not of numbers"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_one_sentence(
    pretrained, survey, pixels, target, message
):
    images, columns = survey
    count = len(images)
    columns = columns | {"one": np.array(["x"] * count), "none": np.array([""] * count)}
    columns["empty"] = np.full(count, np.nan)
    data = astrojax.open_data(images, catalogue=columns, **pixels)
    with pytest.raises(UserError, match=message) as told:
        _built(pretrained, data, tuple(target.split(",")))
    assert "\n" not in str(told.value)


@pytest.fixture(scope="module")
def classifier(pretrained, data, tmp_path_factory):
    """Returns the folder of a classifier that was fine-tuned from the run's bundle."""
    folder = tmp_path_factory.mktemp("runs") / "kinds"
    bundle = bundle_of(pretrained)
    options = {"target": "kind", "workdir": folder, "scheme": "head", "compare": False}
    astrojax.finetune(str(bundle), data, **options, **QUICK)
    return folder


def test_predictions_are_joined_by_id_and_say_what_was_trained_on(classifier, data, survey):
    model = astrojax.load(classifier / "bundle")
    table = model.predict(data["test"])
    ids = [str(i) for i in data["test"].column("id")]
    assert list(table["id"]) == ids and set(table["split"]) == {"test"}
    assert set(table["predicted_class"]) <= {"red", "blue"}
    columns = survey[1]
    rows = [columns["id"].tolist().index(i) for i in ids]
    np.testing.assert_allclose(table["flat"], columns["flat"][rows])
    assert table["ood_score"].description
    arrays = model.predict(survey[0][:4])
    assert arrays["class_probability"].shape == (4, 2)
    with pytest.raises(UserError, match="say which split: one of data\\['train'\\]"):
        model.predict(data)


def test_objects_that_were_never_seen_have_no_split(classifier, survey, pixels):
    images, columns = survey
    renamed = columns | {"id": np.array([f"new{i}" for i in range(len(images))])}
    renamed["id"][5] = columns["id"][5]
    others = astrojax.open_data(images, catalogue=renamed, split="none", **pixels)
    table = astrojax.load(classifier / "bundle").predict(others["train"])
    assert [bool(side) for side in table["split"]] == [i == 5 for i in range(len(images))]


def test_the_evaluation_has_errors_and_figures(classifier):
    numbers = json.loads((classifier / "evaluation" / "metrics.json").read_text())
    assert (
        "accuracy_error" in numbers["classification"] or "accuracy_std" in numbers["classification"]
    )
    for name in ("confusion.png", "reliability.png"):
        assert (classifier / "evaluation" / name).is_file()


def test_comparison_trains_the_head_and_the_network_afresh(pretrained, data, tmp_path):
    folder = tmp_path / "compared"
    options = {"target": "flat", "workdir": folder, "scheme": "full", "compare": True}
    astrojax.finetune(pretrained, data, **options, **QUICK)
    table = json.loads((folder / "comparison.json").read_text())
    assert set(table) == {"full", "head", "scratch"}
    assert all("regression" in numbers for numbers in table.values())


def test_published_weights_for_any_number_of_bands(data, survey, pixels, tmp_path, caplog):
    section = resnet.SIZES["18"] | {"stem": "imagenet", "zero_init_residual": False}
    keys = {"dtype": "float32", "remat": False, "bands": 3, "num_classes": None}
    from flax import nnx

    module = resnet.ResNet(**section, **keys, rngs=nnx.Rngs(0))
    torch.save(module, tmp_path / "net.safetensors", arch="torchvision/resnet18")
    with caplog.at_level("INFO"):
        start = starts.open_start(tmp_path / "net.safetensors", data, arch=None, stem="repeat")
    assert start.init["arch"] == "torchvision/resnet18"
    assert "each of the 2 bands begins with in turn one of those" in caplog.text
    found, target = finetuning.find_target(data, ("flat",), None)
    job = Run(finetuning.build(start, found, target, scheme="head", epochs=1.0), dict(found))
    state = job.initial_state()
    kernel = np.asarray(job.method_at(state).backbone.stem.conv.kernel[...])
    wanted = np.asarray(module.stem.conv.kernel[...])[:, :, :2] * (3 / 2)
    np.testing.assert_allclose(kernel, wanted, rtol=1e-5)
    with pytest.raises(UserError, match="arch is for a file of weights"):
        starts.open_start(str(tmp_path), data, arch="torchvision/resnet18", stem="mean")


def test_what_was_said_of_the_pixels_holds_for_the_same_files(tmp_path, survey, small):
    np.savez(tmp_path / "a.npz", images=survey[0], id=survey[1]["id"])
    said = {"bands": ("g", "r"), "unit": "nanomaggies"}
    data = astrojax.open_data(tmp_path / "a.npz", **said)
    astrojax.train("simsiam", data=data, workdir=tmp_path / "run", epochs=0.2, **small)
    again = workflow.said_before(str(tmp_path / "run"), str(tmp_path / "a.npz"))
    assert again["bands"] == ("g", "r") and again["unit"] == "nanomaggies"
    assert astrojax.open_data(tmp_path / "a.npz", **again).info == data.info
    assert workflow.said_before(str(tmp_path / "run"), str(tmp_path)) == {}
    assert binding.plain(again) == again
