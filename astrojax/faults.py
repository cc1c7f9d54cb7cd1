# SPDX-License-Identifier: Apache-2.0
"""How a run ends that cannot go on: exit statuses, and a watchdog against waiting for ever."""

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator

USER_ERROR = 2  # a mistake that starting again does not mend
LOST = 69  # another process has gone (EX_UNAVAILABLE): start all of them again
STALLED = 74  # nothing came for too long (EX_IOERR): look at what the message names
PREEMPTED = 75  # SIGTERM: saved, start the same command again (EX_TEMPFAIL)

_waits: dict[object, tuple[str, float, float]] = {}


@contextlib.contextmanager
def waiting(what: str, *, at_most: float = math.inf) -> Iterator[None]:
    """Says what the program waits for meanwhile, for the watchdog's message.

    Args:
        what: Completes "waited for".
        at_most: Seconds; where the watchdog's own limit is lower, that one holds.
    """
    token = object()
    _waits[token] = (what, time.monotonic(), at_most)
    try:
        yield
    finally:
        del _waits[token]


def watch(seconds: float) -> None:
    """Starts the watchdog: a single wait of more than this many seconds ends the process.

    It ends it from a thread of its own and without cleaning up, because the main thread may sit
    in a read or a collective that no exception reaches.
    """

    def look() -> None:
        while True:
            time.sleep(min(seconds / 4, 5.0))
            now = time.monotonic()
            for what, since, at_most in list(_waits.values()):
                if now - since > min(seconds, at_most):
                    leave(
                        STALLED,
                        f"nothing came for {min(seconds, at_most):g} s (see --stall_after); waited "
                        f"for {what}. The same command goes on from the last checkpoint",
                    )

    threading.Thread(target=look, name="watchdog", daemon=True).start()


def leave_lost(why: str) -> None:
    """Ends a process whose run has lost another one."""
    leave(
        LOST,
        f"another process of this run has gone ({why.splitlines()[0][:200]}); start all of them "
        "again with the same command, and the run goes on from its last checkpoint",
    )


def leave(status: int, message: str) -> None:
    """Prints the message and ends the process at once, whatever its threads do.

    Python's own exit would wait for the other processes of a run, which may wait for this one.
    """
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)
