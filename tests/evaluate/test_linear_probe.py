# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from scipy.optimize import minimize

from astrojax.errors import UserError
from astrojax.evaluate import linear_probe

PENALTIES = (1e-3, 1e-1)


def blobs(n, rng, classes=3, d=4):
    label = rng.integers(0, classes, n)
    return rng.normal(size=(n, d)) + 2 * np.eye(classes, d)[label], label


def test_classifier_minimises_the_stated_objective():
    rng = np.random.default_rng(0)
    (x, y), (test, _) = blobs(60, rng, classes=2, d=2), blobs(20, rng, classes=2, d=2)
    found = linear_probe.classify(x, y, x, y, test, penalties=(0.1,), max_iterations=500)
    mean, scale = x.mean(0), x.std(0)
    z, sign = (x - mean) / scale, 2 * y - 1

    def objective(w):  # two classes: one weight vector, as scikit-learn has it
        return np.mean(np.log1p(np.exp(-sign * (z @ w[:2] + w[2])))) + 0.05 * w[:2] @ w[:2]

    w = minimize(objective, np.zeros(3), tol=1e-12).x
    expected = 1 / (1 + np.exp(-((test - mean) / scale @ w[:2] + w[2])))
    # Both solvers stop at a gradient of about 1e-4.
    np.testing.assert_allclose(found.probability[:, 1], expected, atol=2e-3)


def test_predictions_do_not_depend_on_units_of_features_or_dead_ones():
    rng = np.random.default_rng(1)
    (x, y), (v, w), (t, _) = blobs(90, rng), blobs(40, rng), blobs(30, rng)
    options = {"penalties": PENALTIES, "max_iterations": 200}
    first = linear_probe.classify(x, y, v, w, t, **options)
    scale, shift = np.array([1e-3, 1, 50, 7]), np.array([5, 0, -3, 1e2])
    x, v, t = (np.c_[a * scale + shift, np.full(len(a), 3.3)] for a in (x, v, t))
    second = linear_probe.classify(x, y, v, w, t, **options)
    np.testing.assert_allclose(first.probability, second.probability, atol=1e-3)  # solver's stop


def test_penalty_is_chosen_on_validation():
    rng = np.random.default_rng(2)
    x, v = rng.normal(size=(30, 25)), rng.normal(size=(200, 25))
    y, w = rng.integers(0, 2, 30), rng.integers(0, 2, 200)  # nothing to learn: shrink everything
    found = linear_probe.classify(x, y, v, w, v, penalties=(1e-4, 10.0), max_iterations=200)
    assert found.penalty == 10.0


def test_a_class_that_training_never_saw_is_survived():
    rng = np.random.default_rng(3)
    (x, y), (v, w) = blobs(60, rng), blobs(30, rng)
    found = linear_probe.classify(
        x[y < 2], y[y < 2], v, w, v, penalties=PENALTIES, max_iterations=50
    )
    assert set(found.predicted) <= {0, 1}


def test_one_class_is_an_error():
    x = np.zeros((5, 2))
    with pytest.raises(UserError, match="two classes"):
        linear_probe.classify(
            x, np.zeros(5, int), x, np.zeros(5, int), x, penalties=(1.0,), max_iterations=5
        )


@pytest.mark.parametrize("features", [5, 80])  # fewer and more than objects
def test_ridge_equals_the_normal_equations(features):
    rng = np.random.default_rng(4)
    x, t = rng.normal(size=(50, features)) * 3 + 1, rng.normal(size=(9, features))
    y = x @ rng.normal(size=features) + 2 + 0.1 * rng.normal(size=50)
    found = linear_probe.regress(x, y, x, y, t, penalties=(0.2,))
    z = (x - x.mean(0)) / x.std(0)
    w = np.linalg.solve(z.T @ z + 0.2 * 50 * np.eye(features), z.T @ (y - y.mean()))
    np.testing.assert_allclose(
        found.predicted, (t - x.mean(0)) / x.std(0) @ w + y.mean(), rtol=1e-8
    )


def test_ridge_recovers_a_linear_relation():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(200, 4))
    y = 3 * x[:, 0] - x[:, 2] + 7
    found = linear_probe.regress(
        x[:100], y[:100], x[100:150], y[100:150], x[150:], penalties=(1.0, 1e-9)
    )
    assert found.penalty == 1e-9
    np.testing.assert_allclose(found.predicted, y[150:], atol=1e-6)  # the penalty's own bias


def test_subsets_are_nested_and_keep_every_class():
    label = np.r_[np.zeros(200, int), np.ones(20, int), [2]]
    small = linear_probe.subset(label, fraction=0.05, seed=3)
    large = linear_probe.subset(label, fraction=0.5, seed=3)
    assert set(small) < set(large)
    assert np.bincount(label[small]).tolist() == [10, 1, 1]


def test_task_probes_classes_fractions_and_targets(world, tmp_path):
    section = linear_probe.evaluate(
        *world,
        tmp_path,
        targets=("redshift", "magnitude"),
        penalties=PENALTIES,
        fractions=(0.05, 1.0),
        repeats=2,
        max_iterations=100,
        n_bootstrap=10,
        seed=0,
    )
    m = section.metrics
    assert m["accuracy"] > 0.9 > m["majority_class_accuracy"]
    assert m["redshift_r2"] > 0.5 and "magnitude_F606W_rmse_error" in m
    assert (tmp_path / "label_fractions.csv").is_file() and len(section.figures) == 3
