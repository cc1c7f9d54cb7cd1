# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest

from astrojax.errors import UserError
from astrojax.evaluate import uncertainty
from astrojax.inference.table import Table
from astrojax.nn import mixture

SIZES = {"validation": 400, "test": 1500}
LEVELS = (0.68, 0.9)


def table(size, seed, *, stretch=1.0, point=False):
    """Truths drawn from the densities that the table states, whose sigmas are then stretched."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet((4, 1), size)
    means = np.stack([rng.uniform(0.2, 2, size), rng.uniform(0.2, 2, size)], axis=1)
    sigmas = rng.uniform(0.02, 0.2, (size, 2))
    picked = (rng.random(size) > weights[:, 0]).astype(int)
    z = rng.normal(means[np.arange(size), picked], sigmas[np.arange(size), picked])
    z[::9] = np.nan
    stated = mixture.Mixture(weights, means, stretch * sigmas)
    parts = {f"redshift_{k}": np.float32(v) for k, v in stated._asdict().items()}
    centre = np.asarray(mixture.quantile(stated, np.array([0.5])))[:, 0]
    found = {"redshift": centre}
    if not point:
        found |= {"redshift_sigma": np.asarray(mixture.deviation(stated)), **parts}
    ids = np.array([f"g{seed}_{i}" for i in range(size)])
    return Table(ids, np.zeros((size, 1), np.float32), found, {"redshift": np.float32(z)})


def score(out, **settings):
    tables = {split: table(n, i, **settings) for i, (split, n) in enumerate(SIZES.items())}
    section = uncertainty.evaluate(tables, out, levels=LEVELS, n_bootstrap=20, seed=0)
    return section, tables


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    out = tmp_path_factory.mktemp("calibrated")
    return *score(out), out


def sigma(level, sizes):
    """Binomial error of a share, of the test set and, for conformal ones, of calibration."""
    return np.sqrt(sum(level * (1 - level) / n for n in sizes))


def test_densities_that_tell_the_truth_pass(calibrated):
    numbers = calibrated[0].metrics
    size = numbers["objects"]
    assert size == np.isfinite(calibrated[1]["test"].columns["redshift"]).sum()
    # 1.63 / sqrt(n) is the 1% point of the Kolmogorov-Smirnov statistic.
    assert numbers["pit_ks"] < 1.63 / np.sqrt(size) and numbers["pit_outlier_fraction"] < 0.005
    for level in LEVELS:
        assert abs(numbers[f"coverage_{100 * level:g}"] - level) < 3 * sigma(level, [size])


def test_densities_that_are_too_narrow_do_not(calibrated, tmp_path):
    narrow, _ = score(tmp_path, stretch=0.5)
    assert narrow.metrics["pit_ks"] > 3 * calibrated[0].metrics["pit_ks"]
    assert narrow.metrics["coverage_68"] < 0.6
    assert narrow.metrics["crps"] > calibrated[0].metrics["crps"]


@pytest.mark.parametrize("settings", [{"stretch": 0.5}, {"point": True}])
def test_conformal_intervals_hold_whatever_the_model_says(tmp_path, settings):
    section, _ = score(tmp_path, **settings)
    sizes = [section.metrics["objects"], section.metrics["calibration_objects"]]
    for level in LEVELS:
        held = section.metrics[f"conformal_coverage_{100 * level:g}"]
        assert abs(held - level) < 3 * sigma(level, sizes)
    assert ("crps" in section.metrics) == ("point" not in settings)


def test_conformal_factor_is_the_score_of_its_rank():
    scores = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 8.0, 7.0, 6.0])
    assert uncertainty.conformal_factor(scores, 0.5) == 5.0  # rank ceil(10 * 0.5)
    assert uncertainty.conformal_factor(scores, 0.9) == 9.0
    with pytest.raises(UserError, match="need 19 validation objects .* there are 9"):
        uncertainty.conformal_factor(scores, 0.95)
    with pytest.raises(UserError, match="levels' has 95; choose between 0 and 1"):
        uncertainty.conformal_factor(scores, 95)


def test_figures_are_written(calibrated):
    assert [f.path.name for f in calibrated[0].figures] == ["photoz_pit.png", "photoz_coverage.png"]
    assert all(f.path.stat().st_size > 5000 for f in calibrated[0].figures)


def test_densities_can_be_read_with_qp(calibrated):
    qp = pytest.importorskip("qp", reason="qp-prob is not installed")
    section, tables, out = calibrated
    assert uncertainty.PDF_FILE in section.text
    read = qp.read(str(out / uncertainty.PDF_FILE))
    known = np.isfinite(tables["test"].columns["redshift"])
    assert read.npdf == known.sum()
    assert list(read.ancil["id"][:3]) == tables["test"].id[known][:3].tolist()
    stated = mixture.read({k: v[known] for k, v in tables["test"].predictions.items()}, "redshift")
    grid = np.linspace(0, 2, 7)
    ours = mixture.cdf(stated, np.broadcast_to(grid, (read.npdf, 7)))
    np.testing.assert_allclose(read.cdf(grid), ours, atol=1e-5)  # float32


def test_without_qp_one_line_says_what_to_install(calibrated, tmp_path, monkeypatch):
    monkeypatch.setattr(uncertainty.importlib.util, "find_spec", lambda name: None)
    section, _ = score(tmp_path)
    assert "pip install qp-prob" in section.text


def test_a_method_without_redshifts_is_named(calibrated, tmp_path):
    bare = {s: Table(t.id, t.embedding, {}, t.columns) for s, t in calibrated[1].items()}
    with pytest.raises(UserError, match="needs predicted redshifts"):
        uncertainty.evaluate(bare, tmp_path, levels=LEVELS, n_bootstrap=2, seed=0)
    unknown = {"redshift": np.full(SIZES["test"], np.nan)}
    blind = calibrated[1] | {"test": dataclasses.replace(calibrated[1]["test"], columns=unknown)}
    with pytest.raises(
        UserError, match="needs values of 'redshift' and no object of the test split"
    ):
        uncertainty.evaluate(blind, tmp_path, levels=LEVELS, n_bootstrap=2, seed=0)
