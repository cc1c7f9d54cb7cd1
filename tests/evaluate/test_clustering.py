# SPDX-License-Identifier: Apache-2.0
import csv
import dataclasses
import itertools

import numpy as np
import pytest

from astrojax.evaluate import clustering


def mutual_information(a, b):
    total = 0.0
    for i, j in itertools.product(set(a), set(b)):
        joint = np.mean((a == i) & (b == j))
        if joint > 0:
            total += joint * np.log(joint / (np.mean(a == i) * np.mean(b == j)))
    return total


def test_nmi_is_over_the_arithmetic_mean_of_entropies():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 200)
    cluster = np.where(rng.random(200) < 0.7, label, rng.integers(0, 5, 200))
    mean = (mutual_information(label, label) + mutual_information(cluster, cluster)) / 2
    expected = mutual_information(label, cluster) / mean
    assert clustering.scores(cluster, label)["nmi"] == pytest.approx(expected, abs=1e-10)


def test_hungarian_accuracy_equals_the_best_of_all_matchings():
    rng = np.random.default_rng(1)
    label, cluster = rng.integers(0, 3, 80), rng.integers(0, 4, 80)
    best = max(
        np.mean(
            [
                dict(zip(p, range(3), strict=True)).get(c) == y
                for c, y in zip(cluster, label, strict=True)
            ]
        )
        for p in itertools.permutations(range(4), 3)
    )
    assert clustering.scores(cluster, label)["accuracy_hungarian"] == pytest.approx(best)


def test_many_to_one_lets_clusters_share_a_class():
    found = clustering.scores(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 0, 1, 0]))
    assert found["accuracy_many_to_one"] == pytest.approx(5 / 6)
    assert found["accuracy_hungarian"] == pytest.approx(3 / 6)


def test_scores_do_not_depend_on_how_clusters_are_numbered():
    rng = np.random.default_rng(2)
    label, cluster = rng.integers(0, 4, 150), rng.integers(0, 6, 150)
    first = clustering.scores(cluster, label)
    other = clustering.scores(np.array([40, 3, 11, 7, 0, 5])[cluster], 3 - label)
    assert first == pytest.approx(other, abs=1e-12)  # sums in another order


def test_chance_scores_zero_when_adjusted_and_perfect_scores_one():
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, 5000)
    chance = clustering.scores(rng.integers(0, 30, 5000), label)
    assert abs(chance["ami"]) < 0.005 and abs(chance["ari"]) < 0.005  # about 1 / 5000 each
    assert chance["nmi"] > chance["ami"]  # why AMI is quoted for many clusters
    assert set(clustering.scores(label, label).values()) == {1.0}


def test_entropy_is_zero_when_certain_and_log_k_when_flat():
    found = clustering.entropy(np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]]))
    np.testing.assert_allclose(found, [0, np.log(4), np.log(2)], atol=1e-12)


def test_surest_cluster_comes_first_and_small_ones_are_left_out():
    sure, unsure, lonely = [0.05, 0.9, 0.05], [0.6, 0.2, 0.2], [0.0, 0.0, 1.0]
    probability = np.array([unsure] * 3 + [sure] * 3 + [lonely])
    np.testing.assert_array_equal(clustering.lowest_entropy_clusters(probability, least=2), [1, 0])


def test_task_scores_own_clusters_and_kmeans(world, tmp_path):
    section = clustering.evaluate(*world, tmp_path, clusters=3, n_bootstrap=3, seed=0)
    assert section.metrics["cluster_nmi"] > 0.6 and section.metrics["kmeans_nmi_error"] > 0
    assert len(section.figures) == 3 and all(f.path.is_file() for f in section.figures)


def without_labels(tables):
    return {
        s: dataclasses.replace(t, columns={k: v for k, v in t.columns.items() if k != "label"})
        for s, t in tables.items()
    }


def test_clusters_are_written_without_labels_and_the_gap_is_explained(world, tmp_path):
    tables, sources = world
    section = clustering.evaluate(
        without_labels(tables), sources, tmp_path, clusters=2, n_bootstrap=3, seed=0
    )
    assert "no labels" in section.text and not any("nmi" in name for name in section.metrics)
    rows = list(csv.DictReader(open(tmp_path / "clusters.csv")))
    assert [r["id"] for r in rows] == tables["test"].id.tolist()
    assert {r["kmeans"] for r in rows} == {"0", "1"}


def test_one_cluster_is_reported_as_collapse(world, tmp_path):
    tables, sources = world
    flat = np.tile([[0.9, 0.05, 0.05]], (len(tables["test"].id), 1))
    test = dataclasses.replace(tables["test"], predictions={"class_probability": flat})
    section = clustering.evaluate(
        {**tables, "test": test}, sources, tmp_path, clusters=0, n_bootstrap=3, seed=0
    )
    assert "collapsed" in section.text and section.metrics["cluster_count"] == 1
