# SPDX-License-Identifier: Apache-2.0
"""What a program says of itself on the terminal."""

import logging

_NARRATORS = ("jax", "absl", "numexpr")  # they report what no user asked about


def start_log(*, times: bool = False) -> None:
    """Sends log messages to the terminal, one line each; `times` puts the time before them."""
    pattern = "%(asctime)s %(message)s" if times else "%(message)s"
    logging.basicConfig(level=logging.INFO, format=pattern, force=True)
    for name in _NARRATORS:
        logging.getLogger(name).setLevel(logging.WARNING)
