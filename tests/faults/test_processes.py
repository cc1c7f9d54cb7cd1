# SPDX-License-Identifier: Apache-2.0
"""Processes on this machine that train as one, as those of a cluster do."""

import os
import signal
import subprocess
import sys
import time

import harness
import numpy as np
import pytest

from astrojax import errors
from astrojax.training import checkpoint, metric_log

ABORTED = -signal.SIGABRT  # JAX's own watch over its coordinator was faster than ours


def test_a_lost_process_ends_the_others_and_more_of_them_go_on(undisturbed, data, tmp_path):
    run = harness.Harness(tmp_path, data)
    first, second = run.start_together(2)
    run.wait_for_step(35, first)  # the save at 30 has waited for that at 15 to be complete
    second.send_signal(signal.SIGKILL)
    began = time.monotonic()
    out, err = first.communicate(timeout=harness.LIMIT)
    assert time.monotonic() - began < 30
    assert first.returncode in (errors.LOST, ABORTED), f"{out}\n{err}"
    assert "another process of this run has gone" in err or "another task died" in err
    second.communicate()

    four = run.start_together(4)
    told = [harness.finish(process) for process in four]
    assert "of 4 process(es), resumed at step" in told[0]
    # Other partial sums of the gradient, for 120 steps.
    assert harness.largest_difference(run.workdir, undisturbed.workdir) < 1e-5
    # The two read halves of each batch, the four read quarters; together each example once.
    start = int(told[0].split("resumed at step ")[1].split()[0])
    rows = [
        [r["ids"] for r in run.read(i) if r["start"] == start and r["step"] <= 120]
        for i in range(4)
    ]
    np.testing.assert_array_equal(np.concatenate(rows, axis=1), undisturbed.trained()[start:])


def test_ctrl_c_of_one_process_saves_and_stops_all(data, tmp_path):
    asked = 1  # that of process 0 is known to all others at once
    run = harness.Harness(tmp_path, data, "--stall-after=60")
    processes = run.start_together(2)
    run.wait_for_step(20, processes[0])
    processes[asked].send_signal(signal.SIGINT)
    told = [
        harness.finish(process, errors.INTERRUPTED if i == asked else errors.PREEMPTED)
        for i, process in enumerate(processes)
    ]
    assert "stopped by Ctrl-C" in told[asked] and "stopped by SIGTERM" in told[1 - asked]
    saved = int(checkpoint.newest(run.workdir).name)
    assert saved == metric_log.read(run.workdir)[-1]["step"]  # nothing trained was lost


def test_the_second_ctrl_c_ends_at_once(data, tmp_path):
    run = harness.Harness(tmp_path, data)
    process = run.start(block_at=9)  # so that there is no step after which it could stop
    run.wait_for_step(6, process)
    time.sleep(1)  # until it waits
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert "at once" in harness.finish(process, errors.INTERRUPTED)
    assert time.monotonic() - began < 5


def test_ctrl_c_ends_a_command_that_still_imports(tmp_path):
    # As a module in C may do: the exception never comes out of it.
    text = "import os\ntry:\n    os.kill(os.getpid(), 2)\nexcept BaseException:\n    pass\n"
    (tmp_path / "swallows.py").write_text(text)
    code = "from astrojax.cli import terminal; terminal.catch_signals(); import swallows"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == errors.INTERRUPTED and "Traceback" not in ended.stderr
