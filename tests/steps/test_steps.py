# SPDX-License-Identifier: Apache-2.0
"""Several training steps of each method are those of the authors' formulas in PyTorch.

Same weights, images, targets and draws, in float64; the other side is `tests/golden/steps.npz`,
made by `tests/golden/make_steps.py`. Compared are the loss of every step and, after the last, how
far every parameter, momentum copy, queue and batch statistic has moved.
"""

from pathlib import Path

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from astrojax import losses, methods
from astrojax.augment.block_masks import BlockMasks
from astrojax.data.info import DataInfo
from astrojax.nn.layers import NonTrainable
from astrojax.training import optim
from astrojax.training.recipes import parts
from astrojax.training.run import TrainState, make_step, split_state

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "steps.npz")
BLOCK = {"depths": (1, 1), "width": 4}
LINEAR = {"stretch": parts.linear_stretch(1.0, 1.0, 1.0)}

# Largest relative error of a loss, and of the displacement of a parameter: ten times what is found
# here, for other processors. It is not 1e-15, as pooled features, attention's logits and tables of
# positions are float32 also here, to 6e-8 each, and as steps carry it on: SGD at 0.3 for ten steps
# more than Adam at 1e-3. A wrong constant or order gives 1e-3 and more (the average of PITA's
# momentum encoder before the optimizer's step: 0.25), a ReLU that flips 1e-2.
TOLERANCE = {
    "pita": (2e-7, 5e-6),
    "ijepa": (1e-7, 1e-5),
    "lejepa": (1e-7, 5e-5),  # a bias before the batch norm, which only decay moves; others 3e-7
    "self_classifier": (1e-5, 5e-5),
    "magnitudes": (5e-7, 1e-6),
    "simsiam": (3e-6, 2e-5),  # two steps: then rounding grows, in the authors' code too
}


class Given(nnx.Module):
    """Gives prepared arrays in turn, whatever it is called with."""

    def __init__(self, draws):
        self.draws = nnx.data(jax.tree.map(NonTrainable, draws))
        self.calls = NonTrainable(jnp.zeros((), jnp.int32))

    def __call__(self, *_):
        i = self.calls[...]
        self.calls[...] = i + 1
        leaf = lambda x: isinstance(x, NonTrainable)  # noqa: E731
        return jax.tree.map(lambda x: x[...][i], self.draws, is_leaf=leaf)


def still(case):
    """A view that changes nothing; `Given` takes its place."""
    return parts.galaxy_view(cases.SHAPES[case][1], rotate=False, flip=False)


def pita(images):
    convnext = parts.convnext(depths=(1, 1), widths=(8, 12))
    section = {
        "backbone": convnext,
        "backbone_outputs": 10,
        "latent": (12, 8),
        "projection": (8, 6),
        "redshift_head": (8,),
        "redshift_components": 0,
        "color_head": (8,),
        "mlp_init": "torch_uniform",
        "queue_size": cases.QUEUE,
        "momentum": 0.9,
        "temperature": 0.1,
        "contrastive_weight": 0.25,
        "redshift_weight": 1.0,
        "color_weight": 1.0,
        "huber_delta": 0.15,
        "color_units": "log_flux",
        "color_offset": (0.0,) * 4,
        "enqueue_first": True,
        "test_time_augmentation": 1,
        "view": still("pita"),
        "stretch": parts.linear_stretch(*(1.0,) * 4),
    }
    schedule = {"name": "cosine_annealing", "half_period_epochs": 3.0}
    schedule |= {"peak_value": 1e-3, "end_value": 1e-7}
    adam = parts.adamw(weight_decay=1e-2, name="adam")
    views = {"view": images.reshape(-1, *images.shape[2:])}
    return section, parts.optim(adam, schedule, decay_bias_and_norm=True), views


def ijepa(images):
    vit = {"patch_size": 4, "width": 8, "depth": 2, "heads": 2}
    limits = {"target_scale": (0.25, 0.25), "target_aspect": (1.0, 1.0)}
    limits |= {"context_scale": (0.9, 1.0), "context_aspect": (1.0, 1.0)}
    section = {
        "backbone": parts.vit(**vit),
        "predictor": {
            "width": 12,
            "depth": 1,
            "heads": 3,
            "mlp_ratio": 4.0,
            "positions": "sincos",
            "activation": "gelu",
            "dropout": 0.0,
            "projections": True,
            "dtype": "float32",
            "remat": False,
        },
        "masks": {
            "sampling": "ijepa",
            "num_targets": 2,
            "context_tokens": 6,
            "min_context": 2,
            "brightness_biased": False,
            "targets_biased": False,
            **limits,
        },
        "error": "smooth_l1",
        "normalise_targets": True,
        "momentum_start": 0.9,
        "momentum_end": 1.0,
        "share_patches": False,
        "sigreg_weight": 0.0,
        "sigreg_directions": 1,
        "sigreg_t_max": 3.0,
        "sigreg_points": 17,
        "sigreg_n_scaled": True,
        "anomaly_draws": 1,
        "view": still("ijepa"),
        **LINEAR,
    }
    schedule = parts.cosine(peak_value=1e-3, warmup_epochs=2.0, init_value=2e-4)
    drawn = cases.masks()
    valid = {k: np.ones(v.shape, bool) for k, v in drawn.items()}
    masks = BlockMasks(drawn["context"], valid["context"], drawn["targets"], valid["targets"])
    given = {"view": images[:, 0], "masks": masks}
    return section, parts.optim(parts.adamw(weight_decay=(0.04, 0.4)), schedule), given


def lejepa(images):
    side = {"patch_size": 4, "width": 8, "depth": 2, "heads": 2}
    section = {
        "backbone": parts.vit(**side),
        "projector": (12, 6),
        "global_views": 2,
        "local_views": 2,
        "global_view": still("lejepa"),
        "local_view": still("lejepa"),
        "sigreg_weight": 0.05,
        "sigreg_directions": cases.DIRECTIONS[1],
        "sigreg_t_max": 3.0,
        "sigreg_points": 17,
        **LINEAR,
    }
    schedule = parts.cosine(peak_value=2e-3, warmup_epochs=2.0, init_value=2e-5, end_value=2e-6)
    steps, _, b, *pixels = images.shape
    rows = np.moveaxis(images, 1, 2)  # image by image
    given = {
        "view": rows[:, :, :2].reshape(steps, 2 * b, *pixels),
        "local": rows[:, :, 2:].reshape(steps, 2 * b, *pixels),
    }
    return section, parts.optim(parts.adamw(weight_decay=5e-2), schedule, **EVERYTHING), given


def self_classifier(images):
    section = {
        "version": {"name": "2021", "temperature": 0.3, "normalize_rows": True},
        "backbone": parts.resnet(stem="cifar", **BLOCK),
        "mlp": (8, 6),
        "mlp_norm": True,
        "classes": cases.CLASSES,
        "classifier": "fixed",
        "view": still("self_classifier"),
        "offset": (0.0,) * 3,
        **LINEAR,
    }
    schedule = parts.cosine(peak_value=0.3, warmup_epochs=0.0, end_value=0.003)
    views = {"view": images.reshape(-1, *images.shape[2:])}
    return section, parts.optim(parts.sgd(weight_decay=1e-6), schedule, **EVERYTHING), views


def magnitudes(images):
    section = {
        "backbone": parts.vgg(depths=(1, 1), widths=(6, 8), batch_norm=False),
        "hidden": 10,
        "negative_slope": 0.0,
        "max_norm": 1.2,
        "dropout": 0.0,
        "outputs": 3,
        "divisor": 30.0,
        "start": 18.0,
        "view": still("magnitudes"),
        **LINEAR,
    }
    schedule = {"name": "constant", "peak_value": 0.05}
    sgd = parts.sgd(weight_decay=0.0, nesterov=True)
    return section, parts.optim(sgd, schedule, **EVERYTHING), {"view": images[:, 0]}


def simsiam(images):
    section = {
        "backbone": parts.resnet(**BLOCK),
        "projector": (8, 8, 8),
        "predictor": 4,
        "heads": "lensiam",
        "simulator": None,
        "view": still("simsiam"),
        "resize": None,
        "offset": (0.0,),
        "stretch": parts.linear_stretch(1.0),
    }
    schedule = parts.cosine(peak_value=0.05, warmup_epochs=0.0, end_value=0.0)
    sgd = parts.optim(parts.sgd(weight_decay=5e-4), schedule, fixed_lr=("predictor",), **EVERYTHING)
    return section, sgd, {"view": images.reshape(-1, *images.shape[2:])}


EVERYTHING = {"decay_bias_and_norm": True, "clip_norm": None}
CASES = {f.__name__: f for f in (pita, ijepa, lejepa, self_classifier, magnitudes, simsiam)}


def named(method):
    """{name: (path, variable)} of all parameters, copies and statistics."""
    state = nnx.state(method, nnx.Any(nnx.Param, nnx.BatchStat, NonTrainable))
    leaves = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    return {
        ".".join(map(str, (*path[:-1], leaves.get(path[-1], path[-1])))): (path, variable)
        for path, variable in nnx.to_flat_state(state)
        if path[0] not in ("view", "local", "masks") and path[-1] != "position"
    }


def as_torch(path, x):
    """The array with PyTorch's order of axes."""
    if path[-1] != "kernel":
        return x
    return x.transpose((3, 2, 0, 1) if x.ndim == 4 else (1, 0))


def begin(method, case):
    """Gives every parameter, copy and statistic of an abstract method its first value."""
    for _, part in nnx.iter_modules(method):
        if hasattr(part, "dtype"):
            part.dtype = jnp.dtype("float64")
    first = {}
    for name, (path, variable) in named(method).items():
        shape = as_torch(path, np.empty(variable.shape)).shape
        first[path] = cases.weight(case, name, shape)
        if path[-1] == "kernel":
            first[path] = first[path].transpose((2, 3, 1, 0) if len(shape) == 4 else (1, 0))
    state = nnx.state(method)
    for path, variable in nnx.to_flat_state(state):
        zero = np.zeros(variable.shape, variable.dtype)  # the place in a queue
        variable.set_value(jnp.asarray(first.get(path, zero)))
    nnx.update(method, state)


def train(case, monkeypatch):
    """The method after all steps, and the loss of each."""
    images = cases.images(case)
    section, optimizer, given = CASES[case](images)
    section["name"] = case
    b, side, bands = cases.SHAPES[case]
    info = DataInfo(tuple("abcd"[:bands]), side)
    # Abstract, as its first values are replaced: each random one would be a program to compile.
    method = nnx.eval_shape(lambda: methods.build(section, info=info, rngs=nnx.Rngs(0)))
    begin(method, case)
    for name, draws in given.items():
        setattr(method, name, nnx.data(Given(jax.tree.map(jnp.asarray, draws))))
    directions = jnp.asarray(cases.directions())
    monkeypatch.setattr(losses, "random_directions", lambda *_: directions)
    columns = cases.catalogue(case)
    columns["magnitude"] = 23.9 - 2.5 * np.log10(columns["flux"])
    columns["image"] = images[:, 0]  # for their number: the views are given

    total = cases.STEPS[case]
    graph, params, rest = split_state(method)
    tx, _ = optim.bind_section(optimizer | {"clip_norm": None})(
        params=params, steps_per_epoch=1, total_steps=total
    )
    step = jax.jit(make_step(graph, tx, total, 1))
    zero = jnp.zeros((), jnp.int32)
    state = TrainState(zero, jax.random.key(0), params, rest, jax.jit(tx.init)(params), zero - 1)
    found = []
    for i in range(total):
        state, logs = step(state, jax.tree.map(lambda x: x[i], columns))  # noqa: B023
        found.append(float(logs["loss"]))
    return nnx.merge(graph, state.params, state.rest), found


@pytest.mark.parametrize("case", CASES)
def test_steps(case, monkeypatch):
    with jax.enable_x64(True):
        method, found = train(case, monkeypatch)
        ours = {k: as_torch(path, np.asarray(x[...])) for k, (path, x) in named(method).items()}
    golden = {k.removeprefix(f"{case}/"): GOLDEN[k] for k in GOLDEN if k.startswith(f"{case}/")}
    of_loss, of_displacement = TOLERANCE[case]
    np.testing.assert_allclose(found, golden.pop("losses"), rtol=of_loss)
    if "queue.keys" in golden:
        np.testing.assert_allclose(ours.pop("queue.keys"), golden.pop("queue.keys"), atol=1e-6)
    ours.pop("directions", None)
    moved = {f"moved/{k}": v - cases.weight(case, k, v.shape) for k, v in ours.items()}
    assert moved.keys() == golden.keys()
    worst = {}
    for name, expected in golden.items():
        error = moved[name] - expected
        if name.endswith("qkv.bias"):
            # A bias of all keys changes no attention: Adam scales the rounding of its gradient up.
            error, expected = (np.delete(x.reshape(3, -1), 1, axis=0) for x in (error, expected))
        worst[name] = np.linalg.norm(error) / np.linalg.norm(expected)
    assert max(worst.values()) < of_displacement, {k: v for k, v in worst.items() if v > 1e-6}
