# SPDX-License-Identifier: Apache-2.0
"""A run that is killed and started again is the run that was not; `study.py` has more kills."""

import signal
import time

import harness
import numpy as np

from astrojax import errors
from astrojax.inference import bundle, evaluation, model
from astrojax.training import checkpoint, metric_log


def assert_same(run, undisturbed):
    assert harness.largest_difference(run.workdir, undisturbed.workdir) == 0  # the same bits
    assert harness.history(run.workdir) == harness.history(undisturbed.workdir)
    assert run.trained() == undisturbed.trained()


def test_every_example_is_seen_once_in_each_epoch(undisturbed):
    sequence = np.concatenate(undisturbed.trained())
    for epoch in sequence.reshape(20, 96):
        assert sorted(epoch) == list(range(96))


def test_kill_9_and_the_same_command_give_the_same_bits(undisturbed, data, tmp_path):
    run, rng = harness.Harness(tmp_path, data), np.random.default_rng(1)
    kills = [run.kill(rng, ahead=40) for _ in range(3)]
    harness.finish(run.start())
    assert len(run.starts()) > 2  # not all kills came before a first batch
    # Each start went on from the newest checkpoint that was complete.
    assert set(run.starts()) <= {0, *(k.checkpoint for k in kills)}
    assert_same(run, undisturbed)


def test_sigterm_saves_and_says_so_with_a_status_of_its_own(undisturbed, data, tmp_path):
    run = harness.Harness(tmp_path, data)
    process = run.start()
    run.wait_for_step(33, process)
    process.send_signal(signal.SIGTERM)
    assert "stopped by SIGTERM" in harness.finish(process, errors.PREEMPTED)
    saved = int(checkpoint.newest(run.workdir).name)
    assert saved == metric_log.read(run.workdir)[-1]["step"]  # nothing trained was lost
    harness.finish(run.start())
    assert run.starts() == [0, saved]
    assert_same(run, undisturbed)


def test_ctrl_c_saves_and_the_same_command_goes_on(undisturbed, data, tmp_path):
    run = harness.Harness(tmp_path, data)
    process = run.start()
    run.wait_for_step(33, process)
    process.send_signal(signal.SIGINT)
    told = harness.finish(process, errors.INTERRUPTED)
    assert "stopped by Ctrl-C" in told and "Traceback" not in told
    saved = int(checkpoint.newest(run.workdir).name)
    assert saved == metric_log.read(run.workdir)[-1]["step"]
    harness.finish(run.start())
    assert run.starts() == [0, saved]
    assert_same(run, undisturbed)


def test_sigterm_at_the_start_asks_for_another_start(data, tmp_path):
    run = harness.Harness(tmp_path, data)
    process = run.start()
    run.wait_for((run.workdir / "config.json").exists, True, process)
    process.send_signal(signal.SIGTERM)
    harness.finish(process, errors.PREEMPTED)


def test_readers_leave_a_run_that_trains_alone(undisturbed, data, tmp_path):
    run = harness.Harness(tmp_path, data)
    process = run.start()
    run.wait_for(run.newest, 15, process)
    folder = run.workdir / "checkpoints"
    while process.poll() is None and not list(folder.glob("*tmp*")):
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)  # while it writes a checkpoint, if that was fast enough
    before = sorted(p.name for p in folder.iterdir())
    saved = str(run.newest())
    evaluation.run(run.workdir)
    bundle.export(run.workdir, tmp_path / "bundle")
    assert model.open_model(str(run.workdir), None).card["checkpoint"] == f"checkpoints/{saved}"
    assert sorted(p.name for p in folder.iterdir()) == before
    process.send_signal(signal.SIGCONT)
    harness.finish(process)
    assert_same(run, undisturbed)
