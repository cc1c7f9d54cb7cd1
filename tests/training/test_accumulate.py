# SPDX-License-Identifier: Apache-2.0
"""Gradients of several batches for one update: what moves once per update, and what per batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from astrojax.methods import Method
from astrojax.nn import layers
from astrojax.training import optim
from astrojax.training.run import TrainState, make_step, split_state

RATE, DECAY = 0.5, 0.9


class Toy(Method):
    """A weight, its moving average, and a queue of what the average makes of the batches."""

    def __init__(self):
        self.online = nnx.Linear(1, 1, use_bias=False, rngs=nnx.Rngs(0))
        self.slow = layers.ema_copy(self.online)
        self.queue = layers.Queue(size=4, width=1, rngs=nnx.Rngs(1))
        self.seen = layers.NonTrainable(jnp.zeros(()))

    def loss(self, batch, key):
        self.queue.push(self.slow(batch["x"]))
        return jnp.mean(self.online(batch["x"])), {}

    def after_update(self, progress):
        layers.ema_update(self.slow, self.online, DECAY)
        self.seen[...] = progress


@pytest.mark.parametrize("accumulate", [1, 3])
def test_what_follows_an_update_happens_once_per_update(accumulate):
    method, total = Toy(), 12
    graph, params, rest = split_state(method)
    keys = {"optimizer": {"name": "sgd", "weight_decay": 0.0, "momentum": 0.0, "nesterov": False}}
    keys |= {"schedule": {"name": "constant", "peak_value": RATE}, "accumulate": accumulate}
    keys |= {"decay_bias_and_norm": True, "fixed_lr": (), "frozen": (), "clip_norm": None}
    tx, _ = optim.bind_section(keys | {"skip_nonfinite": 0})(
        params=params, steps_per_epoch=total, total_steps=total
    )
    step = jax.jit(make_step(graph, tx, total, accumulate))
    zero = jnp.zeros((), jnp.int32)
    state = TrainState(zero, jax.random.key(0), params, rest, tx.init(params), zero - 1)
    weight = slow = float(params["online"]["kernel"][...][0, 0])
    queue, gradients = list(np.asarray(rest["queue"]["keys"][...])[:, 0]), []
    for i in range(total):
        x = float(i % 5 + 1)
        state, _ = step(state, {"x": jnp.full((1, 1), x)})
        # Every batch's key enters, from the average as it is in all batches of one update.
        queue[i % 4] = slow * x
        gradients.append(x)
        if len(gradients) == accumulate:
            weight -= RATE * np.mean(gradients)
            slow = DECAY * slow + (1 - DECAY) * weight
            gradients = []
        found = nnx.merge(graph, state.params, state.rest)
        np.testing.assert_allclose(found.online.kernel[...], [[weight]], rtol=1e-5)
        np.testing.assert_allclose(found.slow.kernel[...], [[slow]], rtol=1e-5)
        np.testing.assert_allclose(found.queue.keys[...][:, 0], queue, rtol=1e-5)
        update = (i + 1) // accumulate  # that were made
        assert float(found.seen[...]) == pytest.approx(max(update - 1, 0) * accumulate / total)
