# SPDX-License-Identifier: Apache-2.0
"""How a program behaves on the terminal: what it says, how it is stopped, how it ends."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from astrojax import errors, files
from astrojax.errors import UserError

_INTERRUPTED = "stopped; the same command goes on with what is left"
_NARRATORS = ("jax", "absl", "numexpr")  # they report what no user asked about


def start_log(*, times: bool = False) -> None:
    """Sends log messages to the terminal, one line each; `times` puts the time before them."""
    pattern = "%(asctime)s %(message)s" if times else "%(message)s"
    logging.basicConfig(level=logging.INFO, format=pattern, force=True)
    for name in _NARRATORS:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextlib.contextmanager
def ending(leave: Callable[[int, str], Any]) -> Iterator[None]:
    """Ends a command as all commands end: one line and a status instead of a traceback.

    A user's mistake and a disk that is full, read-only or lost give 2, Ctrl-C 130, SIGTERM 75.

    Args:
        leave: Ends the process with a status and a message; `errors.exit_process`, or what lets
            Python's own exit go on.
    """
    catch_signals()
    try:
        yield
    except UserError as error:
        leave(errors.USER_ERROR, str(error))
    except KeyboardInterrupt:
        leave(errors.INTERRUPTED, _INTERRUPTED)
    except Exception as error:
        if not files.disk_error(error):
            raise
        told = files.cannot_write(getattr(error, "filename", None), error)
        leave(errors.USER_ERROR, str(told))


def catch_signals() -> None:
    """Has SIGTERM and Ctrl-C end a command with a sentence; to be called before slow imports."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _preempted)
        signal.signal(signal.SIGINT, _interrupted)
        _listen()


def _interrupted(number: int, frame: FrameType | None) -> None:
    """Raises `KeyboardInterrupt`; ends the process where it is still importing.

    Modules written in C abort on an exception while they are imported, or swallow it.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            errors.exit_process(errors.INTERRUPTED, _INTERRUPTED)
        frame = frame.f_back
    raise KeyboardInterrupt


def _preempted(*_: Any) -> None:
    """Ends the process: outside the training loop nothing is to be saved."""
    errors.exit_process(errors.PREEMPTED, "stopped by SIGTERM; the same command goes on")


def _listen() -> None:
    """Has a second Ctrl-C end the process at once.

    A thread does it: the main one may sit in a compilation or in a collective, where Python's own
    handlers do not run.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    if before != -1:  # this thread is there already, or somebody else's
        signal.set_wakeup_fd(before)
        os.close(read)
        return os.close(write)

    def listen() -> None:
        pressed = 0
        while pressed < 2:
            pressed += os.read(read, 1) == bytes([signal.SIGINT])
        errors.exit_process(errors.INTERRUPTED, "stopped at once; what was finished is kept")

    threading.Thread(target=listen, name="second Ctrl-C", daemon=True).start()
