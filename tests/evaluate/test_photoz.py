# SPDX-License-Identifier: Apache-2.0
import csv

import numpy as np
import pytest

from astrojax.errors import UserError
from astrojax.evaluate import photoz, resampling


def test_metrics_of_five_objects_worked_by_hand():
    z_ref = np.array([0.0, 1.0, 1.0, 3.0, 1.0])
    delta = np.array([0.0, 0.02, -0.04, 0.10, 0.50])
    found = photoz.metrics(z_ref + delta * (1 + z_ref), z_ref)
    # Sorted delta: -0.04 0 0.02 0.10 0.50; |delta - 0.02| sorted: 0 0.02 0.06 0.08 0.48.
    expected = {
        "bias": 0.58 / 5,
        "nmad": 1.4826 * 0.06,
        "outlier_fraction": 1 / 5,
        "outlier_fraction_005": 2 / 5,
        "median_bias": 0.02,
        "sigma_iqr": 0.10 / 1.349,
        "outlier_fraction_lsst": 1 / 5,  # max(0.06, 3 * 0.0741) = 0.222
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name  # float64 rounding


def test_bias_is_positive_where_predictions_are_too_high():
    assert photoz.metrics(np.array([1.2, 1.3]), np.array([1.0, 1.0]))["bias"] > 0


def test_lsst_outlier_cut_is_never_below_006():
    z = np.ones(100)
    pred = z.copy()
    pred[:3] += 2 * 0.05  # beyond 3 sigma (sigma is 0), below 0.06
    pred[3] += 2 * 0.07
    assert photoz.metrics(pred, z)["outlier_fraction_lsst"] == pytest.approx(0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_redshifts_that_are_not_finite_are_an_error(bad):
    with pytest.raises(UserError, match="1 of 2 objects"):
        photoz.metrics(np.array([0.5, bad]), np.array([0.5, 0.5]))


def test_bootstrap_error_of_the_bias_is_sigma_over_root_n():
    rng = np.random.default_rng(0)
    z = rng.uniform(0, 2, 400)
    pred = z + 0.03 * (1 + z) * rng.normal(size=400)
    found = resampling.bootstrap(photoz.metrics, pred, z, seed=1, n_bootstrap=400)
    assert found == resampling.bootstrap(photoz.metrics, pred, z, seed=1, n_bootstrap=400)
    # The standard deviation of 400 draws is itself uncertain by 1 / sqrt(800) = 3.5%.
    assert found["bias"] == pytest.approx(0.03 / 20, rel=0.15)


def test_bins_are_half_open_and_partition_the_sample():
    rng = np.random.default_rng(0)
    z = np.repeat([0.0, 0.5, 1.0], 10)
    bins = photoz.binned(
        z + 0.01 * rng.normal(size=30), z, z, edges=(0.0, 0.5, 1.0, 2.0, 3.0), seed=0, n_bootstrap=5
    )
    assert bins["lower"] == [0.0, 0.5, 1.0]  # the empty last bin is left out
    assert bins["objects"] == [10, 10, 10]


def test_task_scores_objects_with_a_redshift_and_writes_bins(world, tmp_path):
    tables, sources = world
    section = photoz.evaluate(
        tables,
        sources,
        tmp_path,
        magnitude="magnitude_F160W",
        magnitude_edges=(16.0, 21.0, 26.0),
        redshift_edges=(0.0, 1.0, 4.0),
        n_bootstrap=10,
        seed=0,
    )
    known = np.isfinite(tables["test"].columns["redshift"])
    assert section.metrics["objects"] == known.sum() < len(known)
    assert section.metrics["nmad_error"] > 0
    rows = list(csv.DictReader(open(tmp_path / "photoz_by_magnitude_F160W.csv")))
    assert sum(int(r["objects"]) for r in rows) == known.sum()
    assert all(f.path.is_file() for f in section.figures) and len(section.figures) == 3


def test_unknown_magnitude_is_named_with_what_there_is(world, tmp_path):
    with pytest.raises(UserError, match="magnitude_H.*magnitude_F160W"):
        photoz.evaluate(
            *world,
            tmp_path,
            magnitude="magnitude_H",
            magnitude_edges=(),
            redshift_edges=(),
            n_bootstrap=2,
            seed=0,
        )
