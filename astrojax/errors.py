# SPDX-License-Identifier: Apache-2.0
"""The exception for a user's mistake, and the exit statuses of the commands."""

import os
import sys
from typing import NoReturn

USER_ERROR = 2  # a mistake that starting again does not mend
LOST = 69  # another process has gone (EX_UNAVAILABLE): start all of them again
STALLED = 74  # nothing came for too long (EX_IOERR): look at what the message names
INTERRUPTED = 130  # Ctrl-C, as a shell reports it
PREEMPTED = 75  # SIGTERM: saved, start the same command again (EX_TEMPFAIL)


class UserError(ValueError):
    """A user's mistake, told in one sentence that names the thing and the remedy.

    The command line prints the sentence without a traceback and exits with status 2.
    """


def printable(text: str) -> str:
    """Returns text for a terminal or a figure: control characters are escaped, lines are kept.

    Names in files of strangers can hold sequences that move a terminal's cursor or recolor it.
    """
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def exit_process(status: int, message: str) -> NoReturn:
    """Prints the message and ends the process at once, whatever its threads do.

    Python's own exit would wait for the other processes of a run, which may wait for this one.
    """
    print(f"error: {printable(message)}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)
