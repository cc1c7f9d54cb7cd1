# SPDX-License-Identifier: Apache-2.0
"""Processes on this machine that train as one, as those of a cluster do."""

import signal
import time

import harness
import numpy as np

from astrojax import errors

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
