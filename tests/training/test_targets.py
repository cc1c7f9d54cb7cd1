# SPDX-License-Identifier: Apache-2.0
"""A run that has nothing to learn, to stop by or to score ends before it begins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.errors import UserError
from astrojax.training import loop, preflight, targets
from astrojax.training.run import Run

N = 64


@pytest.fixture(scope="module")
def config(experiment):
    made = {**experiment("photoz_mlp", "smoke"), "batch_size": 16, "epochs": 1.0}
    return made | {"evaluate": {}, "monitor": None}


def sources(**changes):
    """Three splits of magnitudes, redshifts and classes, of which some columns are replaced."""
    rng = np.random.default_rng(0)
    found = {}
    for split in ("train", "validation", "test"):
        columns = {
            "id": np.arange(N),
            "image": np.zeros((N, 2, 2, 4), np.float32),
            "magnitude": rng.normal(24, 1, (N, 4)).astype(np.float32),
            "redshift": rng.uniform(0, 2, N).astype(np.float32),
            "label": rng.integers(0, 2, N),
        }
        columns |= changes.get(split, {})
        info = DataInfo(("a", "b", "c", "d"), 2, classes=("round", "long"))
        found[split] = ArraySource({k: v for k, v in columns.items() if v is not None}, info)
    return found


NO_Z, NO_LABEL = np.full(N, np.nan, np.float32), np.full(N, -1)


def stopping(**changes):
    return {"monitor": {"every_epochs": 1.0, "examples": 32, "collapse": "warn", **changes}}


SCORED = {"n_bootstrap": 2, "seed": 0}
CASES = {
    "no redshift": ({}, {"train": {"redshift": NO_Z}}, "no training example has what method"),
    "early stopping": (
        stopping(knn_label=None, patience=2),
        {"validation": {"redshift": NO_Z}},
        "'monitor.patience' .* none has a target",
    ),
    "kNN of a column that is not there": (
        stopping(knn_label="kind", patience=None),
        {},
        "'monitor.knn_label' names 'kind', which the data lack",
    ),
    "kNN without labels": (
        stopping(knn_label="label", patience=None),
        {"validation": {"label": NO_LABEL}},
        "32 validation examples that are looked at none has a label",
    ),
    "kNN of numbers": (
        stopping(knn_label="redshift", patience=None),
        {},
        "'redshift', which has no integer classes",
    ),
    "photoz": ({"evaluate": {"photoz": {}}}, {"test": {"redshift": NO_Z}}, "'photoz' needs values"),
    "uncertainty": (
        {"evaluate": {"uncertainty": {}}},
        {"validation": {"redshift": None}},
        "'uncertainty' needs values of 'redshift'",
    ),
    "knn": ({"evaluate": {"knn": {}}}, {"test": {"label": NO_LABEL}}, "'knn' needs labels"),
    "linear probe": (
        {"evaluate": {"linear_probe": {}}},
        {"train": {"label": None}, "validation": {"label": None}, "test": {"label": None}},
        "'linear_probe' needs labels",
    ),
    "linear probe of a value": (
        {"evaluate": {"linear_probe": {"targets": ("redshift",)}}},
        {"test": {"redshift": NO_Z}},
        "target 'redshift' has no finite values",
    ),
    "classification": ({"evaluate": {"classification": {}}}, {}, "needs predicted classes"),
    "regression": (
        {"evaluate": {"regression": {"targets": ("magnitude",)}}},
        {},
        "which the method does not predict; it predicts: redshift",
    ),
    "anomaly": (
        {"evaluate": {"anomaly": {"anomalous": ("lens",)}}},
        {},
        "names 'lens', and the data set has the classes: round, long",
    ),
    "anomaly that no object is": (
        {"evaluate": {"anomaly": {"anomalous": ("long",)}}},
        {"test": {"label": np.zeros(N, int)}},
        "the test split has no such object",
    ),
    "a split that is not there": (
        {"evaluate": {"template_fit": {"survey": "candels"}}},
        {},
        "'template_fit' needs values of 'flux'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_has_no_valid_target_is_refused_before_training(config, case):
    keys, changes, message = CASES[case]
    with pytest.raises(UserError, match=message):
        targets.check(Run({**config, **keys}, sources(**changes)))


def test_the_check_and_the_start_refuse_the_same(config, tmp_path, monkeypatch):
    data = sources(train={"redshift": NO_Z})
    with pytest.raises(UserError, match="no training example has"):
        loop.train(config, tmp_path / "run", data)
    assert not (tmp_path / "run" / "config.json").exists()
    monkeypatch.setattr(preflight, "Run", lambda config: Run(config, data))
    with pytest.raises(UserError, match="no training example has"):
        preflight.run(config)


def test_what_is_complete_passes(config):
    keys = stopping(knn_label="label", patience=2)
    tasks = {"photoz": {}, "knn": {}, "linear_probe": {"targets": ("redshift",)}}
    tasks |= {"anomaly": {"anomalous": ("long",)}, "regression": {"targets": ("redshift",)}}
    targets.check(Run({**config, **keys, "evaluate": tasks}, sources()))


def test_redshifts_just_below_zero_are_learnt_from(config):
    z = np.full(N, -0.01, np.float32)
    method = Run(config, sources(train={"redshift": z})).method
    assert method.known_targets(sources(train={"redshift": z})["train"]).all()
    batch = {"magnitude": jnp.full((2, 4), 24.0), "redshift": jnp.array([-0.01, jnp.nan])}
    loss, _ = method.loss(batch, jax.random.key(0))
    assert loss > 0 and method.validation_loss(batch)[1] == 0


def test_the_validation_loss_is_that_of_the_labelled(config):
    z = NO_Z.copy()
    z[:8] = 0.5
    job = Run(
        {**config, **stopping(knn_label=None, patience=2)}, sources(validation={"redshift": z})
    )
    watch = job.settings.monitor(job=job, workdir=None, state=None)
    state, known = job.initial_state(), watch.known
    part = watch.parts["validation"]
    batch = {n: jnp.stack([part[i][n] for i in range(32)]) for n in ("magnitude", "redshift")}
    each = np.asarray(job.method_at(state).validation_loss(batch))
    assert 0 < known.sum() < 32
    assert watch._loss(state) == pytest.approx(each[known].mean(), rel=1e-5)


def test_a_validation_loss_that_is_not_finite_names_the_example(config, monkeypatch):
    job = Run({**config, **stopping(knn_label=None, patience=2)}, sources())
    watch = job.settings.monitor(job=job, workdir=None, state=None)
    monkeypatch.setattr(watch, "_losses", lambda *_: np.where(np.arange(16) == 3, np.inf, 1.0))
    first = watch.parts["validation"][3]["id"]
    with pytest.raises(UserError, match=f"2 of 32 examples is not finite, the first is {first}:"):
        watch._loss(job.initial_state())
