# SPDX-License-Identifier: Apache-2.0
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from astrojax.errors import UserError
from astrojax.training import optim

PARAMS = {"body": {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}, "head": {"w": jnp.ones((2, 1))}}
SGD = {"name": "sgd", "weight_decay": 0.1, "momentum": 0.0, "nesterov": False}
FLAT = {"name": "constant", "peak_value": 0.5}


def build(**changes):
    keys = {
        "optimizer": SGD,
        "schedule": FLAT,
        "decay_bias_and_norm": False,
        "fixed_lr": (),
        "frozen": (),
        "clip_norm": None,
        "accumulate": 1,
        "skip_nonfinite": 0,
    } | changes
    return optim.bind_section(keys)(params=PARAMS, steps_per_epoch=10, total_steps=100)


def after(tx, gradients, steps=1):
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(steps):
        updates, state = tx.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
    return params


ZEROS = jax.tree.map(jnp.zeros_like, PARAMS)
ONES = jax.tree.map(jnp.ones_like, PARAMS)


def test_weight_decay_spares_vectors_unless_told():
    spared, _ = build()
    params = after(spared, ZEROS)
    np.testing.assert_allclose(params["body"]["w"], 0.95, rtol=1e-6)
    np.testing.assert_array_equal(params["body"]["b"], 1)
    everything, _ = build(decay_bias_and_norm=True)
    np.testing.assert_allclose(after(everything, ZEROS)["body"]["b"], 0.95, rtol=1e-6)


def test_frozen_parts_stay_and_constant_parts_keep_the_peak_rate():
    plain = {**SGD, "weight_decay": 0.0}
    ramp = {
        "name": "cosine",
        "peak_value": 0.5,
        "warmup_epochs": 5.0,
        "init_value": 0.0,
        "end_value": 0.0,
    }
    tx, _ = build(optimizer=plain, schedule=ramp, frozen=("body",), fixed_lr=("head",))
    params = after(tx, ONES)
    np.testing.assert_array_equal(params["body"]["w"], 1)
    np.testing.assert_allclose(params["head"]["w"], 0.5)
    tx, _ = build(optimizer=plain, schedule=ramp)
    np.testing.assert_array_equal(after(tx, ONES)["head"]["w"], 1)  # warm-up begins at 0


def test_unknown_part_is_named():
    with pytest.raises(UserError, match="names 'neck'; the method has: body, head"):
        build(frozen=("neck",))


def test_accumulation_averages_gradients():
    tx, _ = build(optimizer={**SGD, "weight_decay": 0.0}, accumulate=2)
    params = PARAMS
    state = tx.init(params)
    for scale in (0.0, 2.0):
        updates, state = tx.update(jax.tree.map(lambda x, s=scale: s * x, ONES), state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params["body"]["w"], 0.5)


def test_cosine_wave_rises_again_as_the_authors_scheduler_does():
    wave = {
        "name": "cosine_annealing",
        "peak_value": 1.0,
        "end_value": 0.0,
        "half_period_epochs": 2.0,
    }
    _, curve = build(schedule=wave)
    np.testing.assert_allclose([curve(0), curve(20), curve(40)], [1, 0, 1], atol=1e-6)


def test_warmup_then_cosine():
    ramp = {
        "name": "cosine",
        "peak_value": 0.4,
        "warmup_epochs": 2.0,
        "init_value": 0.0,
        "end_value": 0.04,
    }
    _, curve = build(schedule=ramp)
    # Steps 10 (half of the ramp), 20 (its top), 60 (half of the cosine), 100 (the end).
    np.testing.assert_allclose(
        [curve(10), curve(20), curve(60), curve(100)], [0.2, 0.4, 0.22, 0.04], rtol=1e-5
    )


def test_coupled_adam_equals_torch():
    torch = pytest.importorskip("torch")
    tx, _ = build(
        optimizer={"name": "adam", "weight_decay": 0.1, "b1": 0.9, "b2": 0.999},
        decay_bias_and_norm=True,
    )
    weight = torch.ones(2, 2, requires_grad=True)
    other = torch.optim.Adam([weight], lr=0.5, weight_decay=0.1)
    for _ in range(3):
        weight.grad = torch.ones(2, 2)
        other.step()
    # Three float32 steps of length 0.5: rounding in the bias corrections, 1e-5 of a step each.
    ours = after(tx, ONES, 3)["body"]["w"]
    np.testing.assert_allclose(ours, weight.detach().numpy(), atol=3e-5)


def test_weight_decay_goes_from_one_number_to_another_as_a_cosine():
    tx, _ = build(
        optimizer={"name": "adamw", "weight_decay": (0.04, 0.4), "b1": 0.9, "b2": 0.999},
        schedule={"name": "constant", "peak_value": 1.0},
    )
    params, state, seen = PARAMS, tx.init(PARAMS), []
    for _ in range(100):
        updates, state = tx.update(ZEROS, state, params)
        seen.append(-float(updates["head"]["w"][0, 0] / params["head"]["w"][0, 0]))
    # I-JEPA's CosineWDSchedule counts before it is used: 1 to T of T.
    expected = 0.4 - 0.36 * 0.5 * (1 + np.cos(np.pi * np.arange(1, 101) / 100))
    np.testing.assert_allclose(seen, expected, rtol=1e-5)
    with pytest.raises(UserError, match="weight_decay"):
        build(optimizer={"name": "adamw", "weight_decay": (0.1,), "b1": 0.9, "b2": 0.999})


def test_larc_is_momentum_on_gradients_scaled_layer_by_layer():
    ramp = {"name": "cosine", "peak_value": 2.0, "warmup_epochs": 1.0}
    larc = {"name": "larc", "weight_decay": 0.1, "momentum": 0.9, "trust": 0.01}
    tx, curve = build(optimizer=larc, schedule={**ramp, "init_value": 0.5, "end_value": 0.0})
    rng = np.random.default_rng(0)
    params, state = PARAMS, tx.init(PARAMS)
    p, b = np.ones((2, 2)), np.ones(2)
    memory = {"p": 0.0, "b": 0.0}
    for step in range(5):
        g, slope = rng.standard_normal((2, 2)), rng.standard_normal(2)
        given = {"body": {"w": jnp.asarray(g), "b": jnp.asarray(slope)}, "head": ZEROS["head"]}
        updates, state = tx.update(given, state, params)
        params = optax.apply_updates(params, updates)
        # apex: LARC(SGD(momentum), clip=False); no trust ratio and no decay for biases.
        length = np.linalg.norm(p)
        ratio = 0.01 * length / (np.linalg.norm(g) + 0.1 * length + 1e-8)
        memory["p"] = 0.9 * memory["p"] + ratio * (g + 0.1 * p)
        memory["b"] = 0.9 * memory["b"] + slope
        p, b = p - float(curve(step)) * memory["p"], b - float(curve(step)) * memory["b"]
        np.testing.assert_allclose(params["body"]["w"], p, rtol=1e-5)
        np.testing.assert_allclose(params["body"]["b"], b, rtol=1e-5)
    np.testing.assert_array_equal(params["head"]["w"], 1)  # a gradient of zero: nothing, as there


def test_the_logged_rate_is_that_of_the_update_a_step_belongs_to():
    ramp = {"name": "cosine", "peak_value": 1.0, "warmup_epochs": 5.0}
    _, curve = build(schedule={**ramp, "init_value": 0.0, "end_value": 0.0}, accumulate=2)
    np.testing.assert_allclose(
        [curve(0), curve(1), curve(2), curve(50)], [0, 0, 0.04, 1], rtol=1e-5
    )
