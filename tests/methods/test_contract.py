# SPDX-License-Identifier: Apache-2.0
"""The contract that every method keeps, on the smoke variant of its experiment."""

import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from astrojax import distributed, methods
from astrojax.nn.layers import NonTrainable
from astrojax.training.run import Run

CASES = {
    "pita": "pita",
    "moco": "moco",
    "photometry": "photoz_mlp",
    "supervised": "photoz_supervised",
    "ijepa": "ijepa",
    "lejepa": "lejepa",
    "self_classifier": "self_classifier",
    "simsiam": "lensiam",
    "magnitudes": "magnitudes",
}


@pytest.fixture(scope="module", params=CASES, ids=list(CASES))
def job(request, experiment, open_data):
    config = experiment(CASES[request.param], "smoke") | {"monitor": None, "init": None}
    return Run(config, open_data(config["data"]), jax.devices()[:1])


@pytest.fixture(scope="module")
def batch(job):
    return next(job.batches(0))


@pytest.fixture(scope="module")
def compiled(job):
    """The first three steps on one device, compiled once: [(state, logs), ...]."""
    return run_steps(job, 3)


def run_steps(job, count, state=None):
    state = job.initial_state() if state is None else state
    batches, results = job.batches(int(state.step)), []
    for _ in range(count):
        state, logs = job.step(jax.tree.map(jnp.copy, state), next(batches))
        results.append((state, logs))
    return results


def leaves(tree):
    return [
        np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
        for x in jax.tree.leaves(tree)
    ]


def test_every_method_has_a_case():
    assert {m.name for m in pkgutil.iter_modules(methods.__path__)} == set(CASES)


def test_loss_is_finite_and_parameters_change(job, compiled):
    before, after = job.initial_state(), compiled[-1][0]
    assert np.isfinite(float(compiled[-1][1]["loss"])) and int(after.first_bad) == -1
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(leaves(before.params), leaves(after.params), strict=True)
    ]
    assert np.mean(moved) > 0.95  # a parameter may wait for its first gradient (zero-scale norms)


def test_gradients_reach_every_parameter(job, batch):
    state = job.initial_state()

    @jax.jit
    def gradients(params, key):
        def objective(params):
            return nnx.merge(job.graph, params, state.rest, copy=True).loss(batch, key)[0]

        return jax.grad(objective)(params)

    found = jax.tree.map(jnp.abs, gradients(state.params, jax.random.key(1)))
    silent = [
        "/".join(map(str, path)) for path, g in nnx.to_flat_state(found) if float(g[...].max()) == 0
    ]
    assert not [s for s in silent if not may_be_silent(s)], silent


def may_be_silent(path):
    """A bias before a norm or a softmax over its axis has no effect, hence no gradient."""
    return path.endswith("bias")


def test_what_gradients_do_not_train_is_no_parameter(job):
    state = job.initial_state()
    momentum = nnx.to_flat_state(nnx.filter_state(state.rest, NonTrainable))
    trained = {path for path, _ in nnx.to_flat_state(state.params)}
    assert not trained & {path for path, _ in momentum}


def test_compiled_equals_eager(job, compiled, batch):
    state = job.initial_state()
    method = job.method_at(state)
    loss, _ = method.loss(batch, jax.random.fold_in(state.key, 0))
    # Another order of float32 sums; the largest networks add up a few thousand terms.
    np.testing.assert_allclose(float(loss), float(compiled[0][1]["loss"]), rtol=2e-4)


def test_eight_devices_equal_one(job, compiled):
    many = Run(job.settings.to_json(), job.sources, jax.devices()[:8])
    results = run_steps(many, 3)
    for (_, logs), (_, reference) in zip(results, compiled, strict=True):
        # float32 sums over another number of partial sums.
        np.testing.assert_allclose(float(logs["loss"]), float(reference["loss"]), rtol=1e-3)
    state, one = results[-1][0], compiled[-1][0]
    for a, b in zip(leaves(state.params), leaves(one.params), strict=True):
        assert_close_relative(a, b)
    for a, b in zip(leaves(state.rest), leaves(one.rest), strict=True):
        assert_close_relative(a, b)


def assert_close_relative(a, b):
    """Relative norm of the difference: single entries near zero have no relative meaning."""
    difference = np.linalg.norm((a - b).astype(np.float64))
    assert difference <= 2e-3 * max(np.linalg.norm(b.astype(np.float64)), 1e-2)


def test_resuming_is_bit_exact(job, compiled):
    again = run_steps(job, 1, state=compiled[1][0])[0][0]
    for a, b in zip(leaves(again), leaves(compiled[2][0]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_loss_falls(job):
    results = run_steps(job, 25)
    values = [float(logs["loss"]) for _, logs in results]
    assert np.mean(values[-5:]) < np.mean(values[:5])


def test_embeddings_do_not_depend_on_the_batch(job, compiled):
    method = job.method_at(compiled[-1][0])
    source = job.sources["test"]
    inputs = [np.stack([source[i][c] for i in range(4)]) for c in method.inputs]
    embed = jax.jit(method.embed)
    whole, single = embed(*inputs), embed(*(x[:1] for x in inputs))
    assert whole.shape[0] == 4 and whole.ndim == 2
    np.testing.assert_allclose(whole[:1], single, rtol=1e-3, atol=1e-4)  # other matmul blocking


def test_momentum_copies_follow_the_formula(job, compiled):
    method = job.method_at(compiled[0][0])
    copies = [n for n in vars(method) if n.startswith("momentum_")]
    if not copies:
        pytest.skip("the method has no momentum copy of this form")
    for name in copies:
        slow = dict(nnx.to_flat_state(nnx.state(getattr(method, name), NonTrainable)))
        start = dict(
            nnx.to_flat_state(
                nnx.state(getattr(job.method_at(job.initial_state()), name), NonTrainable)
            )
        )
        fast = dict(
            nnx.to_flat_state(nnx.state(getattr(method, name.removeprefix("momentum_")), nnx.Param))
        )
        decay = method.decay
        for path, value in slow.items():
            expected = decay * start[path][...] + (1 - decay) * fast[path][...]
            np.testing.assert_allclose(value[...], expected, rtol=1e-5, atol=1e-6)


def test_mesh_is_of_the_devices_given(job):
    assert job.mesh.size == 1 and distributed.make_mesh(fsdp=2).shape["fsdp"] == 2
