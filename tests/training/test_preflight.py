# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.errors import UserError
from astrojax.training import preflight
from astrojax.training.run import Run


@pytest.fixture(scope="module")
def sources():
    rng = np.random.default_rng(0)
    z = rng.uniform(0, 2, 64).astype(np.float32)
    z[:16] = np.nan
    image = np.zeros((64, 2, 2, 4), np.float32)
    image[3, 0, 0, 0] = np.nan
    train = {
        "id": np.arange(64),
        "image": image,
        "magnitude": rng.normal(24, 1, (64, 4)).astype(np.float32),
        "redshift": z,
        "ra": np.linspace(10, 11, 64),
        "dec": np.zeros(64),
    }
    test = {name: values[48:] for name, values in train.items()}
    test["id"] = np.full(16, 50)
    test["ra"] = np.append(test["ra"][:4] + 0.5 / 3600, np.linspace(20, 21, 12))
    info = DataInfo(("a", "b", "c", "d"), 2)
    return {"train": ArraySource(train, info), "test": ArraySource(test, info)}


@pytest.fixture(scope="module")
def config(experiment):
    return {**experiment("photoz_mlp", "smoke"), "batch_size": 16, "evaluate": {}}


def test_data_are_counted(sources):
    told = preflight.data(sources)
    assert told["train"].startswith("64 examples of 2 x 2 px, 4 bands (a, b, c, d), float32")
    assert told["train pixels"] == "1 NaN or Inf in 64 stamps read"
    assert told["train redshift"].startswith("75.0% have it (48)")
    assert told["train ids"] == "0 duplicated" and told["test ids"] == "15 duplicated"
    assert told["train and test"] == "share 1 ids and 4 places on the sky (within 1 arcsec)"


def test_classes_are_counted():
    values = np.array([0, 0, 2, -1])
    assert preflight._coverage(values, ("a", "b", "c")) == "75.0% have it (3), 2 of 3 classes"


def test_cost_is_that_of_the_model(sources, config):
    job = Run(config, sources)
    size = sum(x.size for x in preflight.jax.tree.leaves(job.abstract_state().params))
    assert preflight.model(job)["parameters"] == f"{size:,} in photometry"
    told = preflight.step(job)
    # Forward and backward of the matrix products alone: 6 operations per weight and example.
    assert float(told["FLOPs"].split()[0]) > 0.5 * 6 * size * 16
    assert told["devices"].startswith("8 x ") and told["batch"] == "16, 2 per device"
    assert f"{job.total_steps} steps" in told["run"]


def test_check_prints_a_card_and_writes_nothing(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    preflight.run(config)
    out = capsys.readouterr().out
    assert all(f"\n{title}\n" in out for title in ("data", "model", "step"))
    assert not list(tmp_path.iterdir())


def test_what_would_stop_the_run_stops_the_check(config):
    with pytest.raises(UserError, match="not a multiple of the 8 devices"):
        preflight.run({**config, "batch_size": 12})
