# SPDX-License-Identifier: Apache-2.0
"""Losses against the authors' numbers, against naive loops, and at the edges."""

import contextlib
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astrojax import losses

GOLDEN = np.load(Path(__file__).parent / "golden" / "losses.npz")

# float64: both sides round at 1e-16 and sum up to a few thousand terms, 1e-6 is far above that.
# float32: 1e-7 rounding, amplified by 1/temperature <= 20 and by cancelling sums to some 1e-5.
TOLERANCE = {"float64": 1e-6, "float32": 1e-4}


@contextlib.contextmanager
def precision(dtype):
    with jax.enable_x64(dtype == "float64"):
        yield


def case(name, dtype):
    fields = {k.split("/")[1]: GOLDEN[k] for k in GOLDEN.files if k.startswith(name + "/")}
    assert fields, name
    return {k: jnp.asarray(v, dtype) if v.ndim else v.item() for k, v in fields.items()}


def check(value, expected, tolerance):
    """The largest error relative to the largest expected number."""
    value, expected = np.asarray(value, np.float64), np.asarray(expected, np.float64)
    assert value.shape == expected.shape
    scale = np.abs(expected).max()
    assert np.abs(value - expected).max() <= tolerance * (scale if scale > 0 else 1.0)


@pytest.fixture(params=["float64", "float32"])
def dtype(request):
    with precision(request.param):
        yield request.param


def golden_call(name, c):
    """The loss as a function of what the reference differentiates, and the reference's answers."""
    family = name.rsplit("_", 1)[0]
    if family == "info_nce":
        loss = partial(losses.info_nce, temperature=c["temperature"])
        return lambda q: loss(q, c["key"], c["queue"]), (c["query"],), c["loss"], ["grad_query"]
    if family == "redshift":
        loss = partial(losses.masked_huber, delta=c["delta"])
        return lambda z: loss(z, c["z_ref"], c["mask"]), (c["z_pred"],), c["loss"], ["grad_pred"]
    if family == "epps_pulley":
        loss = partial(losses.epps_pulley, t_max=c["t_max"], num_points=c["n_points"])
        return lambda x: loss(x).sum(), (c["x"],), c["statistic"].sum(), ["grad_x"]
    if family == "sigreg":
        return (
            lambda x: losses.sigreg(x, c["directions"]),
            (c["embeddings"],),
            c["statistic_mean"],
            ["grad"],
        )
    if family == "self_classifier_alg1":
        loss = partial(
            losses.self_classifier, temperature=c["temperature"], normalize_rows=c["row_l1"]
        )
        return loss, (c["logits_1"], c["logits_2"]), c["loss"], ["grad_1", "grad_2"]
    if family == "self_classifier_eccv":
        loss = partial(
            losses.self_classifier_multiview,
            row_temperature=c["row_tau"],
            column_temperature=c["col_tau"],
            num_global_views=c["num_global_views"],
            eps=c["eps"],
        )
        return loss, (c["logits"],), c["loss"], ["grad"]
    assert family == "simsiam"
    return (
        lambda p_1, p_2: losses.simsiam(p_1, p_2, c["z_1"], c["z_2"]),
        (c["p_1"], c["p_2"]),
        c["loss"],
        ["grad_p_1", "grad_p_2"],
    )


DIFFERENTIATED = ("info_nce", "redshift", "epps_pulley", "sigreg", "self_classifier", "simsiam")
CASES = sorted({k.split("/")[0] for k in GOLDEN.files if k.startswith(DIFFERENTIATED)})


@pytest.mark.parametrize("name", CASES)
def test_golden_value_and_gradient(name, dtype):
    c = case(name, dtype)
    loss, arguments, expected, gradients = golden_call(name, c)
    wrt = tuple(range(len(arguments)))
    value, gradient = jax.jit(jax.value_and_grad(loss, argnums=wrt))(*arguments)
    assert value.dtype == dtype
    check(value, expected, TOLERANCE[dtype])
    for got, field in zip(gradient, gradients, strict=True):
        check(got, c[field], TOLERANCE[dtype])


@pytest.mark.parametrize("name", [f"epps_pulley_{i}" for i in range(4)])
def test_golden_epps_pulley_per_column(name, dtype):
    c = case(name, dtype)
    statistic = partial(losses.epps_pulley, t_max=c["t_max"], num_points=c["n_points"])
    got = jax.jit(statistic)(c["x"])
    check(got, c["statistic"], TOLERANCE[dtype])


@pytest.mark.parametrize("name", ["sigreg_0", "sigreg_1"])
def test_golden_lejepa(name, dtype):
    c = case(name, dtype)

    @jax.jit
    def both(z):
        weights = (c["lejepa_lambda"], 0.0)
        return [losses.lejepa(z, c["directions"], sigreg_weight=w) for w in weights]

    whole, invariance = both(c["embeddings"])
    check(whole, c["lejepa_loss"], TOLERANCE[dtype])
    check(invariance, c["invariance"], TOLERANCE[dtype])


@pytest.mark.parametrize("name", ["color_0", "color_1"])
def test_golden_colors(name, dtype):
    c = case(name, dtype)
    got = losses.mean_squared_error(c["pred"], c["target"])
    check(got, c["loss_mean"], TOLERANCE[dtype])
    check(got * c["pred"].shape[1], c["loss_paper"], TOLERANCE[dtype])


# Naive twins: loops over Python floats, written from the papers' formulas.


def naive_info_nce(query, key, queue, temperature):
    def cosine(a, b):
        return sum(a * b) / np.sqrt(sum(a * a) * sum(b * b))

    total = 0.0
    for q, k in zip(query, key, strict=True):
        positive = np.exp(cosine(q, k) / temperature)
        negative = sum(np.exp(cosine(q, u) / temperature) for u in queue)
        total -= np.log(positive / (positive + negative))
    return total / len(query)


def naive_huber(pred, target, mask, delta):
    terms = []
    for p, t, m in zip(pred, target, mask, strict=True):
        if m:
            e = abs(p - t)
            terms.append(e * e / 2 if e <= delta else delta * (e - delta / 2))
    return sum(terms) / len(terms) if terms else 0.0


def naive_mean(pred, target, power):
    pairs = list(zip(pred.ravel(), target.ravel(), strict=True))
    return sum(abs(p - t) ** power for p, t in pairs) / len(pairs)


def naive_epps_pulley(x, t_max, num_points):
    out = []
    for column in x.T:
        integral, step = 0.0, t_max / (num_points - 1)
        for i in range(num_points):
            t = i * step
            ecf = sum(np.exp(1j * t * value) for value in column) / len(column)
            end = 0.5 if i in (0, num_points - 1) else 1.0
            integral += 2 * end * step * abs(ecf - np.exp(-t * t / 2)) ** 2 * np.exp(-t * t / 2)
        out.append(len(column) * integral)
    return np.array(out)


def naive_sigreg(embeddings, directions, t_max, num_points):
    per_view = [naive_epps_pulley(z @ directions, t_max, num_points) for z in embeddings]
    return np.mean(per_view)


def naive_invariance(embeddings, num_global_views):
    total, (views, samples, dim) = 0.0, embeddings.shape
    for n in range(samples):
        centre = sum(embeddings[v, n] for v in range(num_global_views)) / num_global_views
        total += sum(sum((embeddings[v, n] - centre) ** 2) for v in range(views))
    return total / (views * samples * dim)


def naive_softmax(values):
    e = [np.exp(value) for value in values]
    return np.array(e) / sum(e)


def naive_self_classifier(logits_1, logits_2, temperature, normalize_rows):
    def one_way(predicting, targeting):
        (samples, classes), total = predicting.shape, 0.0
        q = np.array([naive_softmax(column) for column in targeting.T / temperature]).T
        for n in range(samples):
            p = naive_softmax(predicting[n] / temperature)
            row = q[n] / sum(q[n]) if normalize_rows else q[n]
            total -= sum(row[k] * np.log(p[k]) for k in range(classes))
        return total / samples

    return (one_way(logits_1, logits_2) + one_way(logits_2, logits_1)) / 2


def naive_multiview(logits, row_temperature, column_temperature, num_global_views, eps):
    heads, views, samples, classes = logits.shape
    total = []
    for h in range(heads):
        for i in range(views):
            for j in range(views):
                if i == j or (i >= num_global_views and j >= num_global_views):
                    continue
                q = np.array([naive_softmax(x) for x in logits[h, i].T / column_temperature]).T
                p = np.array([naive_softmax(x) for x in logits[h, j] / row_temperature])
                value = 0.0
                for n in range(samples):
                    for k in range(classes):
                        prior = samples / classes * p[n, k] / max(sum(p[:, k]), eps)
                        value -= q[n, k] / max(sum(q[n]), eps) * np.log(prior + eps)
                total.append(value / samples)
    return np.mean(total)


def naive_simsiam(p_1, p_2, z_1, z_2):
    def minus_cosine(a, b):
        pairs = zip(a, b, strict=True)
        return -np.mean([sum(x * y) / np.sqrt(sum(x * x) * sum(y * y)) for x, y in pairs])

    return (minus_cosine(p_1, z_2) + minus_cosine(p_2, z_1)) / 2


R = np.random.default_rng(3)
A, B = R.normal(size=(6, 5)), R.normal(size=(6, 5))
QUEUE, MASK = R.normal(size=(9, 5)), np.array([1, 0, 1, 1, 0, 1])
VIEWS, UNIT = R.normal(size=(3, 6, 5)), np.linalg.qr(R.normal(size=(5, 5)))[0]
LOGITS = R.normal(size=(2, 4, 6, 5))
KNOTS = {"t_max": 4.0, "num_points": 9}
ALG1 = {"temperature": 0.3, "normalize_rows": True}
ALG1_PLAIN = {"temperature": 0.3, "normalize_rows": False}
MULTI = {"row_temperature": 0.2, "column_temperature": 0.1, "num_global_views": 2, "eps": 1e-8}
INVARIANCE = {"sigreg_weight": 0.0, "num_global_views": 2}
TWINS = {
    "info_nce": (losses.info_nce, naive_info_nce, (A, B, QUEUE), {"temperature": 0.2}),
    "masked_huber": (losses.masked_huber, naive_huber, (A[:, 0], B[:, 0], MASK), {"delta": 0.5}),
    "squared": (losses.mean_squared_error, partial(naive_mean, power=2), (A, B), {}),
    "absolute": (losses.mean_absolute_error, partial(naive_mean, power=1), (A, B), {}),
    "epps_pulley": (losses.epps_pulley, naive_epps_pulley, (A,), KNOTS),
    "sigreg": (losses.sigreg, naive_sigreg, (VIEWS, UNIT), KNOTS),
    "lejepa": (
        partial(losses.lejepa, **INVARIANCE),
        lambda views, _: naive_invariance(views, 2),
        (VIEWS, UNIT),
        {},
    ),
    "self_classifier": (losses.self_classifier, naive_self_classifier, (A, B), ALG1),
    "self_classifier_plain": (losses.self_classifier, naive_self_classifier, (A, B), ALG1_PLAIN),
    "multiview": (losses.self_classifier_multiview, naive_multiview, (LOGITS,), MULTI),
    "simsiam": (losses.simsiam, naive_simsiam, (A, B, QUEUE[:6], QUEUE[3:]), {}),
}


@pytest.mark.parametrize("name", TWINS)
def test_naive_twin(name, dtype):
    loss, naive, arguments, hyper = TWINS[name]
    arrays = [jnp.asarray(a, dtype if a.dtype == float else None) for a in arguments]
    got = jax.jit(partial(loss, **hyper))(*arrays)
    check(got, naive(*arguments, **hyper), TOLERANCE[dtype])


@pytest.mark.parametrize("name", TWINS)
def test_vmap(name):
    loss, naive, arguments, hyper = TWINS[name]
    both = [np.stack([a, a[::-1]]) for a in arguments]
    arrays = [jnp.asarray(a, jnp.float32 if a.dtype == float else None) for a in both]
    got = jax.jit(jax.vmap(partial(loss, **hyper)))(*arrays)
    want = [naive(*(a[i] for a in both), **hyper) for i in range(2)]
    check(got, np.stack(want), TOLERANCE["float32"])


@pytest.mark.parametrize("name", TWINS)
def test_bfloat16_is_computed_in_float32(name):
    """Only the inputs are rounded: the loss of the rounded inputs is as exact as in float32."""
    loss, naive, arguments, hyper = TWINS[name]
    half = [jnp.asarray(a, jnp.bfloat16 if a.dtype == float else None) for a in arguments]
    got = jax.jit(partial(loss, **hyper))(*half)
    assert got.dtype == jnp.float32
    rounded = [np.asarray(a, a.dtype if a.dtype == int else float) for a in half]
    check(got, naive(*rounded, **hyper), TOLERANCE["float32"])


ONE = R.normal(size=(1, 3))
EDGES = {
    "zero": np.zeros((4, 3)),
    "one": ONE,
    "same": np.tile(ONE, (4, 1)),
    "large": 1e4 * R.normal(size=(4, 3)),
    "huge": 1e15 * R.normal(size=(4, 3)),
}
UNIT_3 = jnp.asarray(UNIT[:3, :4] / np.linalg.norm(UNIT[:3, :4], axis=0), jnp.float32)


def edge_arguments(name, x):
    """The loss's arguments, all made of x [b d]."""
    other = x[::-1]
    return {
        "info_nce": lambda: (x, other, x),
        "masked_huber": lambda: (x[:, 0], other[:, 0], jnp.ones(len(x), jnp.int32)),
        "epps_pulley": lambda: (x,),
        "sigreg": lambda: (jnp.stack([x, other]), UNIT_3),
        "lejepa": lambda: (jnp.stack([x, other]), UNIT_3),
        "multiview": lambda: (jnp.stack([x, other, x])[None],),
        "simsiam": lambda: (x, other, other, x),
    }.get(name, lambda: (x, other))()


@pytest.mark.parametrize("name", TWINS)
def test_edges_have_finite_values_and_gradients(name):
    loss, _, _, hyper = TWINS[name]
    scalar = jax.jit(jax.value_and_grad(lambda x: jnp.sum(loss(*edge_arguments(name, x), **hyper))))
    for edge, x in EDGES.items():
        value, gradient = scalar(jnp.asarray(x, jnp.float32))
        assert np.isfinite(value), edge
        assert np.isfinite(gradient).all(), edge


def test_huber_without_labels_is_zero_and_ignores_nan_targets():
    pred, target = jnp.array([1.0, 2.0, 3.0]), jnp.array([jnp.nan, 2.5, jnp.nan])
    loss = jax.value_and_grad(partial(losses.masked_huber, delta=0.15))
    value, gradient = loss(pred, target, jnp.zeros(3))
    assert value == 0.0
    np.testing.assert_array_equal(gradient, np.zeros(3))
    value, gradient = loss(pred, target, jnp.array([False, True, False]))
    np.testing.assert_allclose(value, 0.15 * (0.5 - 0.075), rtol=1e-6)  # float32 rounding
    np.testing.assert_allclose(gradient, [0.0, -0.15, 0.0], rtol=1e-6)


def test_collapse_costs_what_the_statistic_says():
    """Equal embeddings score about 0.4 n, Gaussian ones about 1."""
    directions = losses.random_directions(jax.random.key(0), 16, 64)
    gaussian = jax.random.normal(jax.random.key(1), (1, 512, 16))
    sigreg = jax.jit(losses.sigreg)
    assert 0.38 * 512 < sigreg(jnp.zeros((1, 512, 16)), directions) < 0.42 * 512
    # Mean 1.05; the 64 directions share 16 dimensions, so the mean scatters by some 0.2.
    assert 0.5 < sigreg(gaussian, directions) < 1.7


def test_self_classifier_gradient_flows_through_the_target():
    """Stopping it, as other clustering losses do, would give another gradient."""
    a, b = jnp.asarray(A, jnp.float32), jnp.asarray(B, jnp.float32)

    def one_way(target, predicting):
        q = jax.nn.softmax(jax.nn.log_softmax(target / 0.3, axis=0), axis=1)
        return -jnp.mean(jnp.sum(q * jax.nn.log_softmax(predicting / 0.3, axis=1), axis=1)) / 2

    whole = jax.jit(jax.grad(partial(losses.self_classifier, **ALG1), argnums=1))(a, b)
    gradients = jax.jit(jax.grad(one_way, argnums=(0, 1)))
    row, column = gradients(a, b)[1], gradients(b, a)[0]
    np.testing.assert_allclose(whole, row + column, atol=1e-6)  # float32 rounding of values < 1
    assert np.abs(column).max() > 0.1 * np.abs(row).max()


def test_no_gradient_reaches_the_simsiam_target():
    gradient = jax.grad(losses.simsiam, argnums=(2, 3))(*(jnp.asarray(A),) * 4)
    assert all((g == 0).all() for g in gradient)


def test_random_directions_are_unit_columns_and_isotropic():
    directions = losses.random_directions(jax.random.key(0), 8, 4096)
    assert directions.shape == (8, 4096)
    np.testing.assert_allclose(jnp.linalg.norm(directions, axis=0), 1.0, rtol=1e-5)  # float32
    covariance = directions @ directions.T / 4096
    # Scatter of a mean of 4096 products with standard deviation <= 0.15: 0.0024; four of them.
    np.testing.assert_allclose(covariance, np.eye(8) / 8, atol=0.01)
    assert (directions != losses.random_directions(jax.random.key(1), 8, 4096)).all()


def test_sigreg_memory_does_not_grow_with_the_knots():
    def peak(num_points):
        loss = jax.grad(partial(losses.sigreg, num_points=num_points))
        shapes = [jax.ShapeDtypeStruct(s, jnp.float32) for s in [(1, 256, 16), (16, 256)]]
        return jax.jit(loss).lower(*shapes).compile().memory_analysis().temp_size_in_bytes

    projections = 256 * 256 * 4
    assert peak(65) < peak(5) + projections
    assert peak(65) < 12 * projections  # the scan's carries, doubled, and the projections
