# SPDX-License-Identifier: Apache-2.0
"""SIGTERM and Ctrl-C during training: the step that runs is finished and saved first."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from astrojax import distributed, errors


class StopSignals:
    """Notes SIGTERM and Ctrl-C while it is entered, and says what the loop should do.

    A second Ctrl-C ends the process at once. With several processes JAX listens for SIGTERM, so
    that all of them stop after the same step; Ctrl-C is passed on as SIGTERM. Outside the main
    thread, where Python takes no signals, nothing is noted.

    Attributes:
        asked: "SIGTERM" or "Ctrl-C", what has come so far; None if nothing has.
    """

    def __init__(self) -> None:
        self.asked: str | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            handled = [signal.SIGINT] + [signal.SIGTERM] * (not distributed.is_multiprocess())
            self._previous = {number: signal.signal(number, self._note) for number in handled}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            self.asked = "SIGTERM"
            return
        if self.asked == "Ctrl-C":
            errors.exit_process(errors.INTERRUPTED, "stopped at once; the last checkpoint is kept")
        self.asked = "Ctrl-C"
        print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr, flush=True)
        if distributed.is_multiprocess():
            os.kill(os.getpid(), signal.SIGTERM)

    def stop(self) -> None:
        """Ends the training, after its state is saved; with several processes, on all of them.

        Raises:
            SystemExit: With status 75, after SIGTERM: the job is to be started again.
            KeyboardInterrupt: After Ctrl-C.
        """
        distributed.leave_together()
        if self.asked == "Ctrl-C":
            raise KeyboardInterrupt
        raise SystemExit(errors.PREEMPTED)
