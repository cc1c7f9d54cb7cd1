# SPDX-License-Identifier: Apache-2.0
"""Magnitudes as a pretext, and what carries weights from it to another task."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.data.transforms.composite import Composite
from astrojax.data.transforms.exclude import exclude
from astrojax.data.transforms.labels import thin_labels
from astrojax.errors import UserError
from astrojax.methods import build
from astrojax.simulate.rgb import lupton
from astrojax.training import checkpoint, initialise, loop
from astrojax.training.run import Run

INFO = DataInfo(bands=("red", "green", "blue"), image_size=16, catalogue_bands=("u", "g", "r", "z"))
VGG = {
    "name": "vgg",
    "depths": (1, 1),
    "widths": (4, 6),
    "batch_norm": False,
    "grid": 1,
    "hidden": (),
    "dropout": 0.0,
    "dtype": "float32",
    "remat": False,
}
VIEW = {
    "name": "galaxy",
    "crop": 16,
    "rotate": False,
    "flip": False,
    "zoom": (1.0, 1.0),
    "shift": 0.0,
    "noise": 0.0,
    "blur": None,
}
STRETCH = {"name": "linear", "scale": (1.0, 1.0, 1.0)}


def magnitudes(info=INFO, **changes):
    section = {
        "name": "magnitudes",
        "backbone": VGG,
        "hidden": 8,
        "negative_slope": 0.0,
        "max_norm": 2.0,
        "dropout": 0.0,
        "outputs": 4,
        "divisor": 30.0,
        "start": 18.0,
        "view": VIEW,
        "stretch": STRETCH,
        **changes,
    }
    return build(section, info=info, rngs=nnx.Rngs(0))


def supervised(info=INFO, **changes):
    section = {
        "name": "supervised",
        "backbone": VGG,
        "backbone_outputs": None,
        "neck": (),
        "head": (8,),
        "mlp_init": "lecun_normal",
        "target": "label",
        "outputs": 3,
        "error": "cross_entropy",
        "huber_delta": 1.0,
        "target_offset": (0.0,),
        "target_scale": (1.0,),
        "class_weights": None,
        "dropout": 0.5,
        "max_norm": 0.5,
        "train_backbone": True,
        "test_time_augmentation": 1,
        "view": VIEW,
        "stretch": STRETCH,
        **changes,
    }
    return build(section, info=info, rngs=nnx.Rngs(1))


@pytest.fixture(scope="module")
def images():
    return jnp.asarray(np.random.default_rng(0).normal(size=(6, 16, 16, 3)), jnp.float32)


def source(images, magnitude, **columns):
    return ArraySource({"image": np.asarray(images), "magnitude": magnitude, **columns}, INFO)


def test_loss_is_the_mean_over_what_was_measured(images):
    magnitude = np.random.default_rng(1).uniform(14, 21, (6, 4)).astype(np.float32)
    magnitude[0, 0], magnitude[1, 1], magnitude[2, 2] = np.nan, -99, 99
    magnitude[3] = np.nan  # an object without any magnitude
    method, batch = magnitudes(), {"image": images, "magnitude": jnp.asarray(magnitude)}
    loss, logs = method.loss(batch, jax.random.key(0))
    predicted = np.asarray(method.predict(images)["magnitude"])
    total, count = 0.0, 0
    for i in range(6):
        for band in range(4):
            m = magnitude[i, band]
            if np.isfinite(m) and 0 < m < 30:
                total, count = total + abs(predicted[i, band] - m) / 30, count + 1
    assert count == 17
    np.testing.assert_allclose(float(loss), total / count, rtol=1e-5)  # float32
    np.testing.assert_allclose(float(logs["mae_mag"]), 30 * total / count, rtol=1e-5)
    per_object = method.validation_loss(batch)
    assert np.isfinite(per_object).all() and float(per_object[3]) == 0


def test_missing_magnitudes_do_not_poison_the_gradient(images):
    graph, params, rest = nnx.split(magnitudes(), nnx.Param, ...)
    magnitude = jnp.full((6, 4), jnp.nan)

    def objective(params):
        batch = {"image": images, "magnitude": magnitude}
        return nnx.merge(graph, params, rest, copy=True).loss(batch, jax.random.key(0))[0]

    loss, gradient = jax.value_and_grad(objective)(params)
    assert float(loss) == 0
    assert all(float(jnp.abs(g).max()) == 0 for g in jax.tree.leaves(gradient))


def test_outputs_begin_within_the_range_and_never_leave_it(images):
    predicted = magnitudes().predict(images)["magnitude"]
    np.testing.assert_allclose(predicted, 18, atol=1)  # small initial weights
    method = magnitudes()
    method.output.bias[...] = jnp.array([-5.0, 0.5, 1.5, 9.0])
    predicted = np.asarray(method.predict(images)["magnitude"])
    assert (predicted[:, 0] == 0).all() and (predicted[:, 2:] == 30).all()


def test_max_norm_is_a_projection_per_output_unit():
    method = magnitudes(max_norm=1.0)
    kernel = np.random.default_rng(2).normal(size=(6, 8)).astype(np.float32)
    kernel[:, 0] = 0.1
    method.hidden.kernel[...] = jnp.asarray(kernel)
    before = np.asarray(method.output.kernel[...])
    method.after_update(jnp.float32(0.5))
    after = np.asarray(method.hidden.kernel[...])
    for unit in range(8):
        norm = np.sqrt(sum(kernel[i, unit] ** 2 for i in range(6)))
        np.testing.assert_allclose(after[:, unit], kernel[:, unit] * min(1, 1 / norm), rtol=1e-6)
    assert np.linalg.norm(kernel, axis=0).max() > 1  # there was something to project
    np.testing.assert_array_equal(method.output.kernel[...], before)


def test_leaky_slope_lets_a_silent_unit_learn(images):
    method = magnitudes(negative_slope=0.3)
    method.hidden.bias[...] = jnp.full(8, -100.0)
    assert float(method.embed(images).max()) < 0
    method = magnitudes()
    method.hidden.bias[...] = jnp.full(8, -100.0)
    assert float(jnp.abs(method.embed(images)).max()) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m[:, :3], "the data have 3 magnitudes per object"),
        (lambda m: 10 ** (0.4 * (30 - m)), "fluxes, or a sentinel"),
        (lambda m: np.where(np.arange(4) == 2, 99, m), "no training example has a magnitude in r"),
        (lambda m: m * np.nan, "all magnitudes are missing"),
    ],
)
def test_data_that_do_not_suit_are_one_sentence(images, change, message):
    good = np.random.default_rng(1).uniform(14, 21, (6, 4))
    magnitudes().check(source(images, good))
    with pytest.raises(UserError, match=message):
        magnitudes().check(source(images, change(good)))


def test_a_start_outside_the_live_range_is_refused():
    with pytest.raises(UserError, match="method.start"):
        magnitudes(start=30.0)


def test_balanced_weights_and_absent_classes(images):
    label = np.array([0, 0, 0, 1, 2, -1])
    method = supervised(class_weights="balanced")
    method.check(source(images, np.zeros((6, 4)), label=label))
    np.testing.assert_allclose(method.class_weights, [5 / 9, 5 / 3, 5 / 3])
    with pytest.raises(UserError, match="no training example of class 3"):
        supervised(outputs=4).check(source(images, np.zeros((6, 4)), label=label))
    with pytest.raises(UserError, match="no training example of class 2"):
        supervised().check(source(images, np.zeros((6, 4)), label=np.minimum(label, 1)))
    with pytest.raises(UserError, match="'balanced' or a tuple of float or None"):
        supervised(class_weights="equal")


def test_composite_is_the_picture_of_the_means_of_bands():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 40, (3, 8, 8, 4)).astype(np.float32)
    info = dataclasses.replace(INFO, bands=("u", "g", "r", "z"), catalogue_bands=None)
    flux = ArraySource({"image": image, "id": np.arange(3)}, info)
    channels = (("red", ("r", "z")), ("green", ("g",)), ("blue", ("u",)))
    made = Composite(source=flux, channels=channels, stretch=10.0, q=8.0, minimum=0.0)
    expected = lupton(
        jnp.stack([image[1, ..., 2:].mean(-1), image[1, ..., 1], image[1, ..., 0]], -1),
        stretch=10.0,
        q=8.0,
    )
    difference = made[1]["image"].astype(int) - np.asarray(expected).astype(int)
    assert np.abs(difference).max() <= 1  # the mean as a matrix product rounds otherwise
    assert made.info.bands == ("red", "green", "blue")
    assert made.info.catalogue_bands == ("u", "g", "r", "z") and made.info.unit == "display"
    with pytest.raises(UserError, match="has no 'y'"):
        bad = (("red", ("y",)), *channels[1:])
        Composite(source=flux, channels=bad, stretch=10.0, q=8.0, minimum=0.0)


def test_labelled_objects_leave_the_pool_by_id_and_by_position(images):
    ra = np.arange(6.0)
    pool = source(images, np.zeros((6, 4)), id=np.arange(6), ra=ra, dec=ra)
    near = np.array([4.0 + 0.5 / 3600, 40.0])
    labelled = ArraySource({"id": np.array([1, 77]), "ra": near, "dec": near}, INFO)
    keys = {"sources": {"train": pool}, "others": [labelled]}
    left = exclude(**keys, radius_arcsec=1.0, found="drop")["train"]
    assert list(left.column("id")) == [0, 2, 3, 5]
    with pytest.raises(UserError, match="leakage: 2 of 6 train objects"):
        exclude(**keys, radius_arcsec=1.0, found="error")
    assert len(exclude(**keys, radius_arcsec=None, found="drop")["train"]) == 5


def test_few_labels_are_nested_and_cover_every_class(images):
    label = np.repeat([0, 1, 2], [2, 97, 1])
    data = ArraySource(
        {"image": np.zeros((100, 2, 2, 3)), "id": np.arange(100), "label": label}, INFO
    )
    before = set()
    for count in (3, 10, 50):
        few = thin_labels(data, column="label", count=count, drop_unlabelled=True, seed=1)
        ids = set(few.column("id").tolist())
        assert len(ids) == count and before < ids and set(few.column("label")) == {0, 1, 2}
        before = ids


def test_published_weights_fill_the_backbone(tmp_path, images):
    """Made-up weights under torchvision's names and shapes, with the classifier of the file."""
    from safetensors.numpy import save_file

    vgg11 = {**VGG, "depths": (1, 1, 2, 2, 2), "widths": (64, 128, 256, 512, 512)}
    info = dataclasses.replace(INFO, image_size=32)
    view = {**VIEW, "crop": 32}
    method = supervised(info, backbone=vgg11, view=view)
    rng, state, place = np.random.default_rng(0), {}, 0
    inputs = (3, *vgg11["widths"][:-1])
    for i, o, depth in zip(inputs, vgg11["widths"], vgg11["depths"], strict=True):
        for bands in (i, *[o] * (depth - 1)):
            shape = (o, bands, 3, 3)
            weight = rng.normal(size=shape) * np.sqrt(2 / (9 * bands))
            state[f"features.{place}.weight"] = weight.astype(np.float32)
            state[f"features.{place}.bias"] = np.zeros(o, np.float32)
            place += 2
        place += 1
    state["classifier.6.bias"] = np.zeros(1000, np.float32)
    save_file(state, tmp_path / "v.safetensors")
    section = {
        "name": "torch",
        "path": str(tmp_path / "v.safetensors"),
        "arch": "torchvision/vgg11",
        "part": "backbone",
        "stem": None,
    }
    initialise.bind_section(section)(method=method)
    first = method.backbone.stages[0].convs[0].kernel[...]
    np.testing.assert_array_equal(first, state["features.0.weight"].transpose(2, 3, 1, 0))
    grey = supervised(
        dataclasses.replace(info, bands=("V",)),
        backbone=vgg11,
        view=view,
        stretch={"name": "linear", "scale": (1.0,)},
    )
    initialise.bind_section({**section, "stem": "mean"})(method=grey)
    x = jnp.resize(images, (2, 32, 32, 1))
    np.testing.assert_allclose(
        grey.embed(x),
        method.embed(jnp.repeat(x, 3, -1)),
        rtol=1e-3,
        atol=1e-4,  # float32 sums
    )
    with pytest.raises(UserError, match="other layers than 'backbone'"):
        initialise.bind_section(section)(method=supervised())
    with pytest.raises(UserError, match="'init.name' is 'keras'; choose from run, bundle, torch"):
        initialise.bind_section({**section, "name": "keras"})(method=method)


def test_two_stages_of_fine_tuning_start_from_the_pretext(tmp_path, experiment, open_data):
    configs = [experiment("magnitudes", "smoke")]
    configs += [experiment("transfer", f"{scheme}_smoke") for scheme in ("top", "finetune")]
    for config in configs:
        config["method"]["backbone"]["batch_norm"] = True
    pretext, top, tune = configs
    loop.train({**pretext, "epochs": 0.5}, tmp_path / "pretext", open_data(pretext["data"]))
    top["init"]["workdir"] = str(tmp_path / "pretext")
    data = open_data(top["data"])
    loop.train({**top, "epochs": 0.5}, tmp_path / "top", data)
    begun, trained = (checkpoint.restore_variables(tmp_path / n) for n in ("pretext", "top"))
    frozen = [n for n in begun if n.startswith("backbone/")]
    assert len(frozen) > 10
    for name in frozen:  # neither gradients nor batch statistics touch it
        np.testing.assert_array_equal(begun[name], trained[name])
    tune["init"]["workdir"] = str(tmp_path / "top")
    job = Run(tune, data)
    state = job.initial_state()
    head = job.method_at(state).head.linears[1].kernel[...]
    np.testing.assert_array_equal(head, trained["head/linears/1/kernel"])
    state, _ = job.step(state, next(job.batches(0)))
    moved = job.method_at(state).backbone.stages[0].convs[0].kernel[...]
    assert np.abs(moved - begun["backbone/stages/0/convs/0/kernel"]).max() > 0


def test_a_mixture_head_learns_the_scatter_of_a_number(images):
    target = jnp.array([0.2, 0.4, 0.6, 0.8, 1.0, jnp.nan])
    method = supervised(
        target="redshift", error="mixture", outputs=2, target_offset=(0.5,), target_scale=(2.0,)
    )
    method.check(source(images, np.zeros((6, 4)), redshift=np.asarray(target)))
    batch = {"image": images, "redshift": target}
    found = method.predict(images)
    assert found["redshift_weights"].shape == (6, 2) and found["redshift"].shape == (6,)
    cost = method.validation_loss(batch)
    scaled = -jnp.log(
        (
            found["redshift_weights"]
            * jax.scipy.stats.norm.pdf(
                target[:, None], found["redshift_means"], found["redshift_sigmas"]
            )
        ).sum(-1)
    )
    # In units of the scaled target, whose density is twice (the scale) as high.
    np.testing.assert_allclose(cost[:5], scaled[:5] - np.log(2.0), rtol=1e-4)  # float32
    assert cost[5] == 0
    with pytest.raises(UserError, match="has 4 numbers per object"):
        method.check(source(images, np.zeros((6, 4)), redshift=np.zeros((6, 4))))
