# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from astrojax.errors import UserError
from astrojax.evaluate import knn

GOLDEN = Path(__file__).parents[1] / "golden" / "losses.npz"


@pytest.mark.parametrize("case", ["knn_20", "knn_200"])
def test_votes_equal_the_reference(case):
    data = np.load(GOLDEN)
    field = {f: data[f"{case}/{f}"] for f in ("train", "test", "train_labels", "k", "temperature")}
    found = knn.predict(
        field["train"],
        field["train_labels"],
        field["test"],
        k=int(field["k"]),
        temperature=float(field["temperature"]),
    )
    np.testing.assert_array_equal(np.asarray(found), data[f"{case}/predictions"])


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("blocks", [(7, 11), (64, 5), (1000, 1000)])
def test_blocks_give_what_the_full_matrix_gives(blocks):
    rng = np.random.default_rng(0)
    bank, queries = rng.normal(size=(103, 6)), rng.normal(size=(50, 6))
    index, similarity = knn.neighbours(
        bank, queries, k=9, query_block=blocks[0], bank_block=blocks[1]
    )
    full = unit(queries) @ unit(bank).T
    order = np.argsort(-full, axis=1, kind="stable")[:, :9]
    np.testing.assert_array_equal(index, order)
    # float32 against float64 dot products of six terms of order one.
    np.testing.assert_allclose(similarity, np.take_along_axis(full, order, 1), atol=1e-6)


def test_of_equal_neighbours_the_first_is_named_in_any_blocks():
    bank = np.tile([[1.0, 0.0]], (8, 1))
    index, _ = knn.neighbours(bank, bank[:1], k=5, query_block=4, bank_block=3)
    np.testing.assert_array_equal(index, [[0, 1, 2, 3, 4]])


def test_vote_equals_a_loop():
    rng = np.random.default_rng(1)
    bank, label, queries = (
        rng.normal(size=(60, 4)),
        rng.choice([2, 5, 9], 60),
        rng.normal(size=(20, 4)),
    )
    found = np.asarray(knn.predict(bank, label, queries, k=7, temperature=0.3))
    for i, query in enumerate(unit(queries)):
        cosine = unit(bank) @ query
        votes = {}
        for j in np.argsort(-cosine)[:7]:
            votes[label[j]] = votes.get(label[j], 0) + np.exp(cosine[j] / 0.3)
        assert found[i] == max(votes, key=votes.get)


def test_a_tiny_temperature_is_the_nearest_neighbour():
    rng = np.random.default_rng(2)
    bank, label, queries = rng.normal(size=(40, 4)), np.arange(40), rng.normal(size=(9, 4))
    nearest = np.argmax(unit(queries) @ unit(bank).T, axis=1)
    found = knn.predict(bank, label, queries, k=20, temperature=1e-4)  # exp(1 / T) overflows
    np.testing.assert_array_equal(np.asarray(found), nearest)


def test_vote_ignores_the_length_of_embeddings():
    rng = np.random.default_rng(3)
    bank, label, queries = rng.normal(size=(50, 4)), rng.integers(0, 3, 50), rng.normal(size=(9, 4))
    scale = rng.uniform(0.1, 10, (50, 1))
    first = knn.predict(bank, label, queries, k=5, temperature=0.1)
    np.testing.assert_array_equal(
        first, knn.predict(bank * scale, label, queries, k=5, temperature=0.1)
    )


def test_number_of_neighbours_is_chosen_on_validation():
    # Three identical points per class, the first mislabelled: one neighbour errs, three do not.
    base = np.eye(10)
    bank, label = np.repeat(base, 3, 0), np.repeat(np.arange(10), 3)
    label[::3] = (label[::3] + 1) % 10
    chosen = knn.choose_k((bank, label), (base, np.arange(10)), candidates=(1, 3), temperature=0.1)
    assert chosen == 3


def test_too_many_neighbours_and_nan_are_named():
    with pytest.raises(UserError, match="k=9 .* has 5"):
        knn.neighbours(np.eye(5), np.eye(5), k=9)
    with pytest.raises(UserError, match="NaN"):
        knn.neighbours(np.full((5, 2), np.nan), np.eye(2), k=1)


def test_task_beats_the_majority_and_shows_neighbours(world, tmp_path):
    section = knn.evaluate(*world, tmp_path, k=(5, 20), temperature=0.07, n_bootstrap=10, seed=0)
    assert section.metrics["accuracy"] > 0.9  # the classes of `world` lie 4 sigma apart
    assert section.metrics["k"] in (5, 20)
    assert section.figures[0].path.is_file()
