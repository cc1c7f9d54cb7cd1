# SPDX-License-Identifier: Apache-2.0
"""A run: a config made concrete, and its training step, a pure function of pytrees.

step(state, batch) -> state, logs
`- method.loss, optax update, method.after_update
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from astrojax import distributed
from astrojax.config import call
from astrojax.data import batching
from astrojax.data.open import open_sources
from astrojax.data.source import Source
from astrojax.data.transforms.labels import oversample
from astrojax.errors import UserError
from astrojax.methods import Method
from astrojax.training import initialise
from astrojax.training.settings import Settings, resolve


class TrainState(NamedTuple):
    """Everything a run needs to go on; a pytree."""

    step: jax.Array
    key: jax.Array
    params: nnx.State
    rest: nnx.State
    opt_state: optax.OptState
    first_bad: jax.Array  # first step whose loss or gradient was not finite, or -1


def split_state(method: Method) -> tuple[nnx.GraphDef, nnx.State, nnx.State]:
    """Returns the structure of a method, what gradients train, and everything else."""
    graph, *states = nnx.split(method, nnx.Param, ...)
    return graph, states[0], states[1]


def make_step(
    graph: nnx.GraphDef, tx: optax.GradientTransformation, total_steps: int, accumulate: int
) -> Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, dict[str, jax.Array]]]:
    """Returns the training step of a method, not yet jitted.

    Of `accumulate` steps the last one updates the parameters, and what follows from them.
    """

    def settle(step: jax.Array, params: nnx.State, rest: nnx.State) -> tuple:
        method = nnx.merge(graph, params, rest, copy=True)
        method.after_update((step // accumulate) / max(total_steps // accumulate, 1))
        return split_state(method)[1:]

    def step(state: TrainState, batch: dict[str, jax.Array]):
        key = jax.random.fold_in(state.key, state.step)

        def objective(params: nnx.State):
            method = nnx.merge(graph, params, state.rest, copy=True)
            with jax.named_scope("forward"):
                loss, logs = method.loss(batch, key)
            return loss, (logs, nnx.state(method, nnx.Not(nnx.Param)))

        (loss, (logs, rest)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        with jax.named_scope("update"):
            updates, opt_state = tx.update(grads, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
            if accumulate == 1:
                params, rest = settle(state.step, params, rest)
            else:
                params, rest = jax.lax.cond(
                    (state.step + 1) % accumulate == 0,
                    settle,
                    lambda _, *same: same,
                    *(state.step, params, rest),
                )

        # A skipped update (optim.skip_nonfinite) is zero; one let through shows what went wrong.
        fine = jnp.isfinite(optax.global_norm(updates))
        skipped = optax.tree_utils.tree_get(opt_state, "total_notfinite")
        if skipped is None:
            fine &= jnp.isfinite(loss)
        else:
            logs = {**logs, "skipped_updates": skipped}
        first_bad = jnp.where((state.first_bad < 0) & ~fine, state.step + 1, state.first_bad)
        new = TrainState(state.step + 1, state.key, params, rest, opt_state, first_bad)
        return new, {"loss": loss, "gradient_norm": optax.global_norm(grads), **logs}

    return step


class Run:
    """A config made concrete: data, method, optimizer, mesh, compiled step and first state.

    Args:
        config: The whole config, or the `Settings` that it was resolved to.
        sources: Opened data, or None to open what the config names.
        devices: Devices to use, or None for all.

    Raises:
        UserError: Something in the config or the data does not fit; nothing was computed yet.
    """

    def __init__(
        self,
        config: Any,
        sources: dict[str, Source] | None = None,
        devices: Sequence[jax.Device] | None = None,
    ):
        given = isinstance(config, Settings)
        self.settings = config if given else resolve(config, data_is_open=sources is not None)
        self.keys = s = self.settings.keys
        self.mesh = distributed.make_mesh(fsdp=s.fsdp, devices=devices)
        self.sources = open_sources(s.data) if sources is None else sources
        train = self.sources["train"]
        distributed.check_batch(self.mesh, s.batch_size, len(train))
        again = s.data.get("oversample")
        self.stream = train
        if again:
            self.stream = call(oversample, again, path="data.oversample", source=train)
        self.steps_per_epoch = len(self.stream) / s.batch_size
        self.total_steps = max(round(s.epochs * self.steps_per_epoch), 1)
        self.method = self.settings.method(info=train.info, rngs=nnx.Rngs(s.seed))
        missing = [c for c in self.method.columns if c not in train[0]]
        if missing:
            raise UserError(
                f"method {s.method['name']!r} needs {', '.join(missing)}, which the data lack; "
                f"they have {', '.join(train[0])}"
            )
        self.method.check(train)
        self.graph, params, rest = split_state(self.method)
        self.tx, self.schedule = self.settings.optim(
            params=params, steps_per_epoch=self.steps_per_epoch, total_steps=self.total_steps
        )
        self._initial = (params, rest)
        # Outputs stay where a restored state would be put, so that resuming gives the same bits.
        shardings = jax.tree.map(lambda x: x.sharding, self.abstract_state())
        accumulate = self.settings.optim.arguments["accumulate"]
        step = make_step(self.graph, self.tx, self.total_steps, accumulate)
        self.step = jax.jit(
            distributed.with_mesh(self.mesh, step),
            donate_argnums=0,
            out_shardings=(shardings, distributed.replicated(self.mesh)),
        )

    def initial_state(self) -> TrainState:
        """Returns the state before the first step, on the mesh."""
        params, rest = self._initial
        if self.settings.init is not None:
            initialise.apply(self.settings.init, self.method, self.sources["train"].info)
            _, params, rest = split_state(self.method)
        zero = jnp.zeros((), jnp.int32)
        key = jax.random.key(self.keys.seed)
        state = TrainState(zero, key, params, rest, self.tx.init(params), zero - 1)
        return distributed.put_state(self.mesh, jax.tree.map(jnp.array, state))

    def abstract_state(self) -> TrainState:
        """Returns shapes, types and shardings of the state, without its values."""
        params, rest = self._initial
        zero = jnp.zeros((), jnp.int32)
        abstract = jax.eval_shape(
            lambda p, r: TrainState(zero, jax.random.key(0), p, r, self.tx.init(p), zero),
            params,
            rest,
        )
        return jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
            abstract,
            distributed.state_shardings(self.mesh, abstract),
        )

    def batches(self, start: int) -> Iterator[dict[str, jax.Array]]:
        """Returns global batches on the devices, from that of step `start` on."""
        local = batching.local_batches(
            self.stream,
            columns=self.method.columns,
            batch_size=self.keys.batch_size,
            seed=self.keys.seed,
            start=start,
            threads=self.keys.threads,
            rows=distributed.local_rows(self.mesh, self.keys.batch_size),
        )
        return batching.prefetch(local, lambda batch: distributed.put_batch(self.mesh, batch))

    def method_at(self, state: TrainState) -> Method:
        """Returns the method with the weights of a state."""
        return nnx.merge(self.graph, state.params, state.rest, copy=True)
