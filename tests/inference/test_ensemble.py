# SPDX-License-Identifier: Apache-2.0
import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from astrojax import errors, losses
from astrojax.cli import evaluate
from astrojax.errors import UserError
from astrojax.inference import ensemble
from astrojax.inference import evaluation as evaluation
from astrojax.inference.table import Table
from astrojax.nn import mixture
from astrojax.training import loop


@pytest.fixture(scope="module")
def runs(tmp_path_factory, experiment, open_data):
    """A run with a mixture head and one with a point estimate, as a user would make them."""
    folder = tmp_path_factory.mktemp("runs")
    config, density = experiment("photoz_mlp", "smoke"), experiment("photoz_mlp", "density")
    for seed, components in enumerate((3, 0)):
        mine = config | {"seed": seed, "epochs": 4.0, "evaluate": dict(config["evaluate"])}
        mine["method"] = config["method"] | {"redshift_components": components}
        mine["monitor"] = density["monitor"] | {"every_epochs": 2.0} if components else None
        del mine["evaluate"]["template_fit"]
        sources = open_data(config["data"])
        assert loop.train(mine, folder / str(seed), sources)
        evaluation.run(folder / str(seed), sources)
    return folder


def test_a_run_with_a_mixture_head_is_stopped_by_its_likelihood(runs):
    lines = [json.loads(line) for line in open(runs / "0" / "metrics.jsonl")]
    seen = [line["validation_loss"] for line in lines if "validation_loss" in line]
    table = Table.load(runs / "0" / "evaluation" / "validation.parquet")
    found = mixture.read(table.predictions, "redshift")
    parts = (np.log(found.weights), found.means, found.sigmas, table.columns["redshift"])
    cost = losses.mixture_nll(*map(jnp.asarray, parts))
    # The run is scored at its best weights; float32, and densities written as weights.
    assert min(seen) == pytest.approx(float(cost.mean()), rel=1e-3)


def test_a_run_with_a_mixture_head_reports_its_densities(runs):
    numbers = json.loads((runs / "0" / "evaluation" / "metrics.json").read_text())["uncertainty"]
    assert 0 <= numbers["coverage_68"] <= 1 and numbers["crps"] > 0
    found = Table.load(runs / "0" / "evaluation" / "test.parquet").predictions
    assert found["redshift_weights"].shape == (len(found["redshift"]), 3)
    np.testing.assert_allclose(found["redshift_weights"].sum(1), 1, rtol=1e-5)  # float32
    plain = json.loads((runs / "1" / "evaluation" / "metrics.json").read_text())["uncertainty"]
    assert "crps" not in plain and plain["conformal_half_width_68"] > 0


def test_the_ensemble_of_runs_is_scored_by_its_command(runs, tmp_path, capsys, monkeypatch):
    def exit_process(status, message):  # the true one would end the tests
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(status)

    monkeypatch.setattr(errors, "exit_process", exit_process)
    members = [str(runs / name) for name in "01"]
    evaluate.main(["--workdir", *members, "--out", str(tmp_path / "all")])
    assert "report.html" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "all" / "metrics.json").read_text())
    assert {"photoz", "uncertainty"} <= set(numbers) and numbers["uncertainty"]["crps"] > 0
    with pytest.raises(SystemExit, match="2"):
        evaluate.main(["--workdir", *members, "--out", str(tmp_path / "all")])
    assert "exists already" in capsys.readouterr().err


def table(z, density=None, prefix="g"):
    found = {"redshift": z} if density is None else mixture.summary(density, "redshift")
    found = {name: np.asarray(value) for name, value in found.items()}
    ids = np.array([f"{prefix}{i}" for i in range(len(z))])
    return Table(ids, np.ones((len(z), 2)), found, {})


def test_members_are_averaged_as_densities():
    one = mixture.Mixture(np.array([[0.5, 0.5]]), np.array([[0.2, 0.8]]), np.array([[0.1, 0.1]]))
    two = one._replace(means=one.means + 1)
    pooled = mixture.read(
        ensemble.combine([table([0.5], one), table([1.5], two)]).predictions, "redshift"
    )
    x = np.array([[0.3, 1.0, 1.9]])
    halves = (mixture.cdf(one, x) + mixture.cdf(two, x)) / 2
    np.testing.assert_allclose(mixture.cdf(pooled, x), halves, atol=1e-6)  # float32


def test_point_estimates_are_as_uncertain_as_they_disagree():
    points = np.array([[0.9, 1.0, 1.1], [2.0, 2.0, 2.0]])
    found = ensemble.combine([table(z) for z in points.T])
    np.testing.assert_allclose(found.predictions["redshift"], [1.0, 2.0], atol=1e-5)
    # The Gaussians' own variance 0.1^2 and that of their centres, 0.1^2 * 2 / 3.
    assert found.predictions["redshift_sigma"][0] == pytest.approx(0.1 * np.sqrt(5 / 3), rel=1e-4)
    assert found.predictions["redshift_sigma"][1] == pytest.approx(mixture.SIGMA_FLOOR, rel=1e-4)
    assert found.embedding.shape == (2, 6)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([table([1.0])], "at least two runs"),
        ([table([1.0]), table([1.0], prefix="h")], "other objects than each other"),
        ([table([1.0]), Table(np.array(["g0"]), np.ones((1, 2)), {}, {})], "predicts no redshift"),
    ],
)
def test_what_cannot_be_combined_is_said(members, message):
    with pytest.raises(UserError, match=message):
        ensemble.combine(members)
