# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from astrojax.data import sky, split
from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.errors import UserError

FRACTIONS = {"train": 0.7, "validation": 0.1, "test": 0.2}


def test_by_id_meets_the_fractions_and_ignores_company_and_order():
    ids = np.array([f"galaxy-{i}" for i in range(20000)])
    sides = split.by_id(ids, fractions=FRACTIONS, seed=1)
    for name, fraction in FRACTIONS.items():
        # Five standard deviations of a binomial count.
        margin = 5 * np.sqrt(fraction * (1 - fraction) / len(ids))
        assert abs((sides == name).mean() - fraction) < margin
    some = np.arange(0, 20000, 7)[::-1]
    assert (split.by_id(ids[some], fractions=FRACTIONS, seed=1) == sides[some]).all()
    assert (split.by_id(ids, fractions=FRACTIONS, seed=2) != sides).mean() > 0.3


def test_by_id_is_the_same_on_every_machine_and_for_int_and_text():
    numbers = np.arange(12)
    sides = split.by_id(numbers, fractions={"train": 0.5, "test": 0.5}, seed=0)
    assert (
        sides == split.by_id(numbers.astype(str), fractions={"test": 0.5, "train": 0.5}, seed=0)
    ).all()
    # Written down once: a change of the hash would silently move everyone's test set.
    assert "".join(s[1] for s in sides) == "ereeerrerrer"


def test_by_sky_parts_no_pair_closer_than_the_link(rng):
    ra, dec = rng.uniform(359, 361, 4000) % 360, rng.uniform(-61, -59, 4000)
    twin_ra = (ra + rng.normal(0, 0.2 / 3600, 4000)) % 360
    twin_dec = dec + rng.normal(0, 0.2 / 3600, 4000)
    sides = split.by_sky(
        np.concatenate([ra, twin_ra]),
        np.concatenate([dec, twin_dec]),
        fractions=FRACTIONS,
        seed=0,
        cell=0.1,
        link=5.0,
    )
    assert (sides[:4000] == sides[4000:]).all()
    assert abs((sides == "train").mean() - 0.7) < 0.1  # about 200 cells


def test_by_sky_keeps_a_cell_together():
    ra, dec = np.array([10.01, 10.02, 190.0]), np.array([0.01, 0.02, 45.0])
    for seed in range(20):
        sides = split.by_sky(ra, dec, fractions=FRACTIONS, seed=seed, cell=0.5, link=1.0)
        assert sides[0] == sides[1]


def test_by_label_holds_out_labelled_objects_alone():
    redshift = np.where(np.arange(2000) % 5 == 0, 1.0, np.nan).astype(np.float32)
    columns = {"id": np.arange(2000), "image": np.zeros((2000, 2, 2, 1), np.float32)}
    source = ArraySource(columns | {"redshift": redshift}, DataInfo(bands=("r",), image_size=2))
    section = {"name": "label", "column": "redshift", "fractions": FRACTIONS, "seed": 0}
    parts = split.apply(source, section)
    for name, fraction in FRACTIONS.items():
        labelled = np.isfinite(parts[name].column("redshift"))
        assert labelled.all() or name == "train"
        # 400 labels: five standard deviations of a binomial count.
        assert abs(labelled.sum() / 400 - fraction) < 5 * np.sqrt(fraction * (1 - fraction) / 400)
    assert len(parts["train"]) == 1600 + np.isfinite(parts["train"].column("redshift")).sum()
    with pytest.raises(UserError, match="zspec"):
        split.apply(source, section | {"column": "zspec"})
    with pytest.raises(UserError, match="train"):
        split.apply(source, section | {"fractions": {"test": 1.0}})


def _source(n=200):
    columns = {"id": np.arange(n), "image": np.zeros((n, 2, 2, 1), np.float32)}
    return ArraySource(columns, DataInfo(bands=("r",), image_size=2))


def test_apply_covers_all_once_and_hash_follows_the_sides():
    section = {"name": "id", "fractions": FRACTIONS, "seed": 0}
    sources = split.apply(_source(), section)
    assert list(sources) == ["train", "validation", "test"]
    together = np.concatenate([s.column("id") for s in sources.values()])
    assert sorted(together) == list(range(200))
    same = split.split_hash(split.apply(_source(), section))
    other = split.split_hash(split.apply(_source(), {**section, "seed": 5}))
    assert split.split_hash(sources) == same != other


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "id", "fractions": {"train": 0.7, "test": 0.7}, "seed": 0}, "adds up to 1.4"),
        ({"name": "id", "fractions": {"train": 0.7, "tset": 0.3}, "seed": 0}, "'tset'"),
        ({"name": "radec", "fractions": FRACTIONS, "seed": 0}, "id or sky"),
        ({"name": "sky", "fractions": FRACTIONS, "seed": 0, "cell": 1.0, "link": 1.0}, "'ra'"),
        ({"name": "id", "fractions": FRACTIONS}, "data.split.seed"),
    ],
)
def test_a_split_that_cannot_be_is_one_sentence(section, message):
    with pytest.raises(UserError, match=message):
        split.apply(_source(), section)


def test_nearest_measures_on_the_sphere():
    one = np.array([359.9999]), np.array([60.0])
    many = np.array([0.0001, 180.0]), np.array([60.0, 60.0])
    index, distance = sky.nearest(*one, *many)
    assert index[0] == 0
    # 0.0002 degrees of right ascension at declination 60; the chord is exact to rounding.
    np.testing.assert_allclose(distance, 0.0002 * 3600 * 0.5, rtol=1e-6)
