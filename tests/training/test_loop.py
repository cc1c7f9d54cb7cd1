# SPDX-License-Identifier: Apache-2.0
"""The loop as a user meets it: finished, resumed, stopped, given nonsense."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.errors import UserError
from astrojax.training import checkpoint, loop, metric_log
from astrojax.training.run import Run

ROOT = Path(__file__).parents[2]


def command(workdir, *overrides):
    return program("train", workdir, "--config=experiments/photoz_mlp.py:smoke", *overrides)


def program(name, workdir, *more):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    return subprocess.Popen(
        [sys.executable, "-m", "astrojax", name, f"--workdir={workdir}", *more],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process, status=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, f"{out}\n{err}"
    return out, err


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "undisturbed"
    finish(command(workdir))
    return workdir


def test_a_finished_run_says_where_its_results_are(undisturbed):
    before = sorted((p, p.stat().st_mtime_ns) for p in undisturbed.rglob("*") if p.is_file())
    out, _ = finish(command(undisturbed))
    assert "is finished" in out and str(undisturbed / "evaluation" / "report.html") in out
    after = sorted((p, p.stat().st_mtime_ns) for p in undisturbed.rglob("*") if p.is_file())
    assert [b for b in before if b[0].name != "config.json"] == [
        a for a in after if a[0].name != "config.json"
    ]


def test_results_are_where_the_readme_says(undisturbed):
    found = {p.name for p in (undisturbed / "evaluation").iterdir()}
    assert {"metrics.json", "report.html", "photoz.png", "test.parquet"} <= found
    numbers = json.loads((undisturbed / "evaluation" / "metrics.json").read_text())
    assert {"bias", "nmad", "outlier_fraction"} <= numbers["photoz"].keys()


def test_a_folder_of_another_config_is_not_touched(undisturbed):
    _, err = finish(command(undisturbed, "--config.seed=5"), status=2)
    assert "holds a run of another config ('seed' is 0 there and 5 now)" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--config.epoch=3", "epochs"),
        ("--config.epochs=three", "three"),
        ("--config.batch_size=100000", "more than the 160 training examples"),
        ("--config.fsdp=3", "has to divide the 1 devices"),
        ("--processes=2", "need --coordinator host:port"),
        ("--config.data.survey=sdss", "'data.survey' is 'sdss'; it has to be 'candels'"),
        ("--config.workdir=x", "workdir"),
    ],
)
def test_a_user_s_mistake_is_one_sentence(tmp_path, override, message):
    _, err = finish(command(tmp_path / "run", override), status=2)
    assert message in err and "Traceback" not in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--check", "is no flag of `astrojax evaluate`"),
        ("--processes=2", "need --coordinator host:port"),
    ],
)
def test_evaluation_uses_every_flag_or_refuses_it(tmp_path, flag, message):
    _, err = finish(program("evaluate", tmp_path, flag), status=2)
    assert message in err and len(err.strip().splitlines()) == 1


def toy_config(experiment, **changes):
    config = experiment("photoz_mlp", "smoke")
    return {**config, "epochs": 4.0, "batch_size": 16, "evaluate": {}, **changes}


def toy_sources(bad=None):
    rng = np.random.default_rng(0)
    magnitude = rng.normal(24, 1, (64, 4)).astype(np.float32)
    z = (magnitude[:, 0] - magnitude[:, 3] + 3).astype(np.float32)
    if bad is not None:
        z[bad] = np.inf
    columns = {"image": np.zeros((64, 2, 2, 4), np.float32), "magnitude": magnitude, "redshift": z}
    return {"train": ArraySource(columns, DataInfo(("a", "b", "c", "d"), 2))}


def test_nan_stops_the_run_names_the_step_and_keeps_the_last_good_checkpoint(
    experiment, tmp_path, monkeypatch
):
    from astrojax.training import optim

    real = optim.build

    def poisoned(**keys):
        tx, curve = real(**keys)

        def update(grads, state, params=None):
            count = state[1] if isinstance(state, tuple) else state
            updates, inner = tx.update(grads, count_free(state), params)
            bad = jax.numpy.where(count == 9, jax.numpy.nan, 1.0)
            return jax.tree.map(lambda u: u * bad, updates), (inner, count + 1)

        def count_free(state):
            return state[0]

        init = lambda p: (tx.init(p), jax.numpy.zeros((), jax.numpy.int32))  # noqa: E731
        return type(tx)(init, update), curve

    monkeypatch.setattr(optim, "build", poisoned)
    poisoned.__signature__ = __import__("inspect").signature(real)
    poisoned.__annotations__ = real.__annotations__
    config = toy_config(experiment, log_every=4, checkpoint_every=4)
    with pytest.raises(UserError, match="NaN or infinite at step 10"):
        loop.train(config, tmp_path / "run", toy_sources())
    assert checkpoint.newest(tmp_path / "run").name == "8"


def test_skipped_updates_are_counted(experiment, tmp_path):
    config = toy_config(experiment, log_every=1)
    config["optim"] = {**config["optim"], "skip_nonfinite": 1000}
    sources = toy_sources()
    sources["train"].columns["magnitude"][3] = 3e38  # overflows in the first layer
    loop.train(config, tmp_path / "run", sources)
    assert metric_log.read(tmp_path / "run")[-1]["skipped_updates"] >= 1


def test_a_read_only_folder_is_one_sentence(experiment, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        loop.train(toy_config(experiment), tmp_path / "file" / "run", toy_sources())


def test_a_damaged_newest_checkpoint_is_skipped(experiment, tmp_path, caplog):
    config = toy_config(experiment, checkpoint_every=4, keep=3)
    loop.train(config, tmp_path / "run", toy_sources())
    newest = checkpoint.newest(tmp_path / "run")
    for path in (newest / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    job = Run(config, toy_sources())
    saved = checkpoint.Checkpoints(tmp_path / "run" / "checkpoints", keep=3)
    state, _ = saved.restore(job.abstract_state())
    assert int(state.step) == 12 and "damaged" in caplog.text
    assert (tmp_path / "run" / "damaged_checkpoints_16" / "state").is_dir()  # nothing is deleted
    saved.save(16, state, {})
    saved.close()
    assert checkpoint.newest(tmp_path / "run").name == "16"


def test_a_missing_column_is_named(experiment):
    sources = toy_sources()
    del sources["train"].columns["redshift"]
    with pytest.raises(UserError, match="needs redshift, which the data lack"):
        Run(toy_config(experiment), sources)


def test_data_that_changed_since_the_run_began_are_noticed(experiment, tmp_path):
    config = toy_config(experiment)
    loop.train(config, tmp_path / "run", toy_sources())
    (tmp_path / "run" / "finished.json").unlink()
    told = json.loads((tmp_path / "run" / "data.json").read_text())
    assert set(told["splits"]) >= {"train"}
    changed = toy_sources()
    train = changed["train"]
    changed["train"] = ArraySource({**train.columns, "id": np.arange(len(train)) + 7}, train.info)
    with pytest.raises(UserError, match="the data of .* have changed .*the ids of the train"):
        loop.train(config, tmp_path / "run", changed)
    (tmp_path / "run" / "data.json").unlink()
    assert loop.train(config, tmp_path / "run", changed)


def test_a_run_that_saved_nothing_does_not_hold_its_folder(experiment, tmp_path):
    checkpoint.write_config(tmp_path / "run", toy_config(experiment, epochs=9.0))
    assert loop.train(toy_config(experiment, epochs=1.0), tmp_path / "run", toy_sources())
