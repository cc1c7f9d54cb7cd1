# SPDX-License-Identifier: Apache-2.0
"""Classification, regression, anomaly and projection: numbers by hand, then the tasks."""

import csv
import dataclasses

import numpy as np
import pytest

from astrojax.config import call
from astrojax.errors import UserError
from astrojax.evaluate import anomaly, classification, projection, regression, resampling


def test_balanced_accuracy_is_the_mean_recall():
    label, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 0, 1])
    found = classification.metrics(predicted, label)
    assert found == pytest.approx({"accuracy": 5 / 6, "balanced_accuracy": 0.75})
    assert classification.majority_class_accuracy(np.array([1, 1, 0]), label) == pytest.approx(
        1 / 3
    )
    np.testing.assert_array_equal(
        classification.confusion(predicted, label, size=2), [[4, 0], [1, 1]]
    )


def test_regression_metrics_by_hand():
    found = regression.metrics(np.array([1.0, 2.0, 6.0]), np.array([1.0, 3.0, 5.0]))
    assert found == pytest.approx(
        {"r2": 1 - 2 / 8, "rmse": np.sqrt(2 / 3), "mae": 2 / 3, "bias": 0}
    )
    assert np.isnan(regression.metrics(np.ones(3), np.ones(3))["r2"])


def test_bootstrap_draws_the_same_rows_of_all_arrays():
    x = np.arange(50.0)
    found = resampling.bootstrap(
        lambda a, b: {"gap": float(np.sum(a - b))}, x, x, seed=0, n_bootstrap=20
    )
    assert found["gap"] == 0


def test_mahalanobis_undoes_a_linear_map():
    rng = np.random.default_rng(0)
    bank, queries = rng.normal(size=(4000, 3)), rng.normal(size=(20, 3)) * 3
    mixed = np.array([[2.0, 0.5, 0], [0, 1, 0.3], [0, 0, 3]])
    found = anomaly.mahalanobis(bank @ mixed, queries @ mixed)
    # Sampling error of 4,000 objects and the shrinkage leave a few per cent.
    np.testing.assert_allclose(found, np.linalg.norm(queries, axis=1), rtol=0.08)


def test_knn_distance_equals_a_loop():
    rng = np.random.default_rng(1)
    bank, queries = rng.normal(size=(30, 3)) * [1, 5, 0.1] + 2, rng.normal(size=(6, 3))
    found = anomaly.knn_distance(bank, queries, k=4)
    for q, value in zip(queries, found, strict=True):
        distance = np.sqrt((((bank - q) / bank.std(0)) ** 2).sum(1))
        assert value == pytest.approx(np.sort(distance)[:4].mean(), rel=1e-9)


def test_average_precision_of_a_ranking_by_hand():
    found = anomaly.detection(np.array([4.0, 3, 2, 1]), np.array([True, False, True, False]))
    # Hits at ranks 1 and 3: (1 / 1 + 2 / 3) / 2; three of the four pairs are in order.
    assert found == pytest.approx({"average_precision": 5 / 6, "roc_auc": 3 / 4})
    assert np.isnan(anomaly.detection(np.ones(2), np.zeros(2, bool))["roc_auc"])


def test_structure_is_high_for_a_coordinate_and_nothing_for_noise():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(400, 2))
    assert projection.structure(points, points[:, 0], k=5) > 0.9
    assert projection.structure(points, rng.normal(size=400), k=5) < 0.1
    some = np.where(np.arange(400) < 390, np.nan, 1.0)
    assert np.isnan(projection.structure(points, some, k=10))


def test_structure_leaves_each_point_out():
    points = np.arange(6.0)[:, None]
    values = np.array([0.0, 10, 0, 10, 0, 10])
    near = np.array([10, 0, 10, 0, 10, 0])  # the nearest other point has the other value
    expected = 1 - np.sum((near - values) ** 2) / np.sum((values - 5) ** 2)
    assert projection.structure(points, values, k=1) == pytest.approx(expected)


def test_mosaic_takes_the_point_nearest_to_the_middle_of_its_cell():
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 41)), -1).reshape(-1, 2)
    rows, cells = projection.mosaic_cells(grid, side=4)
    assert len(rows) == 16 == len({tuple(c) for c in cells})
    low, high = np.percentile(grid, (1, 99), axis=0)
    middle = low + (cells + 0.5) / 4 * (high - low)
    assert np.abs(grid[rows] - middle).max() <= 0.5 / 40 + 1e-9  # half a grid step


def test_pca_plane_keeps_the_two_widest_directions():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 4)) * [10, 0.1, 5, 0.1]
    found = projection.plane(x, method="pca", perplexity=5.0, neighbors=5, seed=0)
    assert abs(np.corrcoef(found[:, 0], x[:, 0])[0, 1]) > 0.99
    assert abs(np.corrcoef(found[:, 1], x[:, 2])[0, 1]) > 0.99


def test_unknown_projection_is_named():
    with pytest.raises(UserError, match="'evaluate.projection.method' is 'lle'.*'pca' or 'tsne'"):
        call(projection.evaluate, {"method": "lle"}, path="evaluate.projection", tables={})


def test_classification_task(world, tmp_path):
    section = classification.evaluate(*world, tmp_path, n_bootstrap=10, seed=0)
    assert section.metrics["accuracy"] > section.metrics["majority_class_accuracy"]
    assert section.figures[0].path.is_file()


def test_label_outside_the_class_list_is_named(world, tmp_path):
    tables, sources = world
    label = tables["test"].columns["label"].copy()
    label[0] = 7
    test = dataclasses.replace(tables["test"], columns={**tables["test"].columns, "label": label})
    with pytest.raises(UserError, match="label 7 lies outside the 3 classes"):
        classification.evaluate({**tables, "test": test}, sources, tmp_path, n_bootstrap=2, seed=0)


def test_regression_task_stands_beside_the_catalogue_uncertainty(world, tmp_path):
    section = regression.evaluate(*world, tmp_path, targets=("magnitude",), n_bootstrap=10, seed=0)
    assert section.metrics["magnitude_F160W_rmse"] == pytest.approx(0.1, rel=0.25)  # 160 draws
    assert section.metrics["magnitude_F160W_catalogue_uncertainty"] == pytest.approx(0.05)
    with pytest.raises(UserError, match="'label', which the method does not predict"):
        regression.evaluate(*world, tmp_path, targets=("label",), n_bootstrap=2, seed=0)


def test_anomaly_task_ranks_ids_and_scores_named_classes(world, tmp_path):
    section = anomaly.evaluate(*world, tmp_path, k=5, anomalous=("merger",), n_bootstrap=10, seed=0)
    assert section.metrics["method_roc_auc"] > 0.9  # `world` puts mergers 5 sigma away
    rows = list(csv.DictReader(open(tmp_path / "anomalies.csv")))
    score = [float(r["method"]) for r in rows]
    assert score == sorted(score, reverse=True)
    assert sorted(r["id"] for r in rows) == sorted(world[0]["test"].id)
    assert rows[0]["class"] == "merger"
    assert len(section.figures) == 4 and all(f.path.is_file() for f in section.figures)


def test_anomaly_task_without_known_anomalies_only_ranks(world, tmp_path):
    section = anomaly.evaluate(*world, tmp_path, k=5, anomalous=(), n_bootstrap=2, seed=0)
    assert not section.metrics and "not scored" in section.text
    with pytest.raises(UserError, match="'nova'"):
        anomaly.evaluate(*world, tmp_path, k=5, anomalous=("nova",), n_bootstrap=2, seed=0)


def test_projection_task_measures_order_and_draws_it(world, tmp_path):
    section = projection.evaluate(
        *world,
        tmp_path,
        method="tsne",
        columns_shown=("redshift", "color_F125W_F160W"),
        perplexity=10.0,
        neighbors=10,
        limit=100,
        mosaic=5,
        k=5,
        seed=0,
    )
    assert section.metrics["redshift_knn_r2"] > 0.3  # one of `world`'s axes is the redshift
    assert [f.path.name for f in section.figures] == ["projection.png", "mosaic.png"]
    assert all(f.path.is_file() for f in section.figures)


def test_a_missing_split_is_named(world, tmp_path):
    tables, sources = world
    with pytest.raises(UserError, match="'anomaly' needs .* no train"):
        anomaly.evaluate(
            {"test": tables["test"]}, sources, tmp_path, k=5, anomalous=(), n_bootstrap=2, seed=0
        )
