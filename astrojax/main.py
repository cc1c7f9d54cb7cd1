# SPDX-License-Identifier: Apache-2.0
"""`python -m astrojax.main --config experiments/pita.py`: trains, evaluates, says where it is."""

import logging
import sys
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from astrojax.errors import UserError

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "An experiment, optionally with a variant: experiments/pita.py:smoke"
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run; runs/<experiment>[_<variant>] if not given"
)


def main(argv: list[str]) -> None:
    """Runs the experiment named by the flags."""
    del argv
    if _CONFIG.value is None:
        raise UserError("say what to run, e.g. --config experiments/pita.py")
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    for noisy in ("jax", "absl"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    from astrojax import sharding, train
    from astrojax.evaluate import run as evaluation

    sharding.setup()
    workdir = Path(_WORKDIR.value or default_workdir())
    if train.run(_CONFIG.value, workdir) or not evaluation.done(workdir):
        evaluation.run(workdir)
    else:
        print(f"{workdir} is finished.")
        print(evaluation.summary(workdir))


def default_workdir() -> str:
    """runs/<experiment>, with the variant after an underscore."""
    path, _, variant = str(flags.FLAGS["config"].config_filename).partition(":")
    return f"runs/{Path(path).stem}{'_' if variant else ''}{variant}"


def cli() -> None:
    """The entry point: a user's mistake is one line and status 2, not a traceback."""
    try:
        app.run(main)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    cli()
