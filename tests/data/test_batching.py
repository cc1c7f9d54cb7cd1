# SPDX-License-Identifier: Apache-2.0
import itertools

import numpy as np
import pytest

from astrojax.data import batching
from astrojax.data.info import DataInfo
from astrojax.data.open import open_sources
from astrojax.data.source import ArraySource
from astrojax.data.transforms import deredden
from astrojax.data.transforms.labels import oversample, thin_labels
from astrojax.errors import UserError


@pytest.fixture(scope="module")
def source():
    n = 50
    z = np.where(np.arange(n) % 3 == 0, np.arange(n) / 10, np.nan).astype(np.float32)
    image = np.ones((n, 4, 4, 2), np.float16)
    info = DataInfo(("g", "r"), 4, extinction=(3.0, 2.0))
    columns = {"image": image, "id": np.arange(n), "redshift": z, "ebv": np.full(n, 0.5)}
    return ArraySource(columns, info)


def ids(source, *, start=0, rows=None, threads=0, steps=20):
    batches = batching.local_batches(
        source, columns=("id",), batch_size=8, seed=1, start=start, threads=threads, rows=rows
    )
    return [b["id"] for b in itertools.islice(batches, steps)]


def test_every_example_once_per_epoch_in_a_new_order(source):
    sequence = np.concatenate(ids(source))
    first, second = sequence[:50], sequence[50:100]
    assert sorted(first) == sorted(second) == list(range(50))
    assert list(first) != list(second)


@pytest.mark.parametrize("threads", [0, 2])
def test_starting_at_a_step_continues_the_same_sequence(source, threads):
    np.testing.assert_array_equal(ids(source)[13:], ids(source, start=13, threads=threads, steps=7))


@pytest.mark.parametrize("of", [2, 4])
def test_processes_together_read_the_global_batch(source, of):
    parts = [ids(source, rows=rows) for rows in np.split(np.arange(8), of)]
    for step, whole in enumerate(ids(source)):
        np.testing.assert_array_equal(np.concatenate([p[step] for p in parts]), whole)


def test_ordered_batches_pad_the_last_one(source):
    batches = list(batching.ordered_batches(source, columns=("id",), batch_size=16, threads=2))
    assert [count for _, count in batches] == [16, 16, 16, 2]
    np.testing.assert_array_equal(
        np.concatenate([b["id"][:count] for b, count in batches]), np.arange(50)
    )


def test_dereddening_is_done_in_float32(source):
    image = deredden.Dereddened(source)[0]["image"]
    assert image.dtype == np.float32
    np.testing.assert_allclose(image[0, 0], 10 ** (0.4 * 0.5 * np.array([3.0, 2.0])), rtol=1e-6)


def test_dereddening_needs_ebv(source):
    bare = ArraySource({"image": source.columns["image"]}, source.info)
    with pytest.raises(UserError, match="no ebv"):
        deredden.Dereddened(bare)


def test_thinned_labels_are_nested(source):
    def kept(count):
        thinned = thin_labels(source, column="redshift", count=count, drop_unlabelled=False, seed=3)
        assert len(thinned) == 50
        return set(np.flatnonzero(np.isfinite(thinned.column("redshift"))))

    assert kept(4) < kept(9) < kept(None) and len(kept(4)) == 4
    only = thin_labels(source, column="redshift", count=4, drop_unlabelled=True, seed=3)
    assert set(only.column("id")) == kept(4)
    with pytest.raises(UserError, match="only 17 training examples"):
        kept(18)


def test_unknown_kind_of_data_lists_the_kinds():
    with pytest.raises(UserError, match="readers are: .*survey"):
        open_sources({"name": "surevy"})


def test_oversampling_repeats_the_labelled_alone(source):
    often = oversample(source, column="redshift", times=3)
    ids, counts = np.unique(often.column("id"), return_counts=True)
    labelled = np.isfinite(source.column("redshift"))
    np.testing.assert_array_equal(ids, np.arange(50))
    np.testing.assert_array_equal(counts, np.where(labelled, 3, 1))
    with pytest.raises(UserError, match="at least 1"):
        oversample(source, column="redshift", times=0)
