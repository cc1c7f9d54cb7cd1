# SPDX-License-Identifier: Apache-2.0
"""Trackers beside TensorBoard: offline, and never the reason that a run ends."""

import logging

import pytest

from astrojax.errors import UserError
from astrojax.training import metric_log, trackers

CONFIG = {"seed": 0, "method": {"name": "simsiam", "predictor": 8}}


def _write(names, workdir):
    others = trackers.start(names, workdir, CONFIG)
    writer = metric_log.Writer(workdir, from_step=0, others=others)
    writer.write(1, {"loss": 2.0})
    writer.write(2, {"loss": 1.0})
    writer.close()


def test_mlflow_keeps_config_and_metrics_in_the_folder_of_the_run(tmp_path, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # which the tracker sets, undone here
    run = tmp_path / "run"
    run.mkdir()
    _write(("mlflow",), run)
    _write(("mlflow",), run)  # goes on in the same record
    client = tracking.MlflowClient((run / "mlruns").as_uri())
    (experiment,) = [e for e in client.search_experiments() if e.name == "astrojax"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.data.metrics["loss"] == 1.0 and found.info.status == "FINISHED"
    assert found.data.params["method.name"] == "simsiam" and found.info.run_name == "run"


def test_wandb_offline_keeps_all_in_the_folder_of_the_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = tmp_path / "run"
    run.mkdir()
    _write(("wandb",), run)
    assert list(run.glob("wandb/offline-run-*/run-*.wandb"))


def test_a_tracker_that_fails_does_not_end_the_run(tmp_path, caplog, monkeypatch):
    class Away:
        calls = 0

        def __init__(self, workdir, config):
            """Starts."""

        def write(self, step, values):
            Away.calls += 1
            raise ConnectionError("the server is away")

        def close(self):
            raise ConnectionError("the server is away")

    monkeypatch.setattr(trackers, "_Wandb", Away)
    with caplog.at_level(logging.WARNING):
        _write(("wandb",), tmp_path)
    assert len(metric_log.read(tmp_path)) == 2 and Away.calls == 1
    assert caplog.text.count("wandb failed, and is told no more of this run") == 1


def test_a_tracker_that_is_not_installed_is_said_at_start(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'astrojax\[wandb\]'"):
        trackers.check(("wandb",))
