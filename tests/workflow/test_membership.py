# SPDX-License-Identifier: Apache-2.0
"""Which objects a model was trained on, by id, and by images where ids only count rows."""

import numpy as np

from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.data.split import apply
from astrojax.inference import membership

INFO = DataInfo(bands=("g",), image_size=4, unit="nJy")
SPLIT = {"name": "id", "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}, "seed": 0}


def _source(ids, seed=0):
    images = np.random.default_rng(seed).normal(size=(len(ids), 4, 4, 1)).astype(np.float32)
    return ArraySource({"image": images, "id": np.asarray(ids)}, INFO)


def test_ids_are_found_whatever_their_type_and_order():
    whole = _source(np.arange(100, 160))
    splits = apply(whole, SPLIT)
    known = membership.of(splits)
    assert sum(len(v) for v in known.values()) == 60  # 8 bytes for each object, and no ids
    there = {int(i): k for k, source in splits.items() for i in source.column("id")}
    asked = _source([str(i) for i in range(159, 95, -1)], seed=1)
    found = membership.split_column(known, asked)
    assert found.tolist() == [there.get(i, "") for i in range(159, 95, -1)]


def test_row_numbers_of_other_images_are_not_taken_for_the_same_objects():
    whole = _source(np.arange(60))
    known = membership.of(apply(whole, SPLIT))
    assert set(membership.split_column(known, whole)) == {"train", "validation", "test"}
    assert set(membership.split_column(known, _source(np.arange(60), seed=1))) == {""}


def test_nothing_is_said_where_nothing_is_known():
    assert membership.split_column({}, _source([1, 2])) is None
    no_ids = ArraySource({"image": np.zeros((3, 4, 4, 1), np.float32)}, INFO)
    assert membership.split_column(membership.of({"train": _source([5, 7])}), no_ids) is None
