# SPDX-License-Identifier: Apache-2.0
"""`python -m astrojax.evaluate --workdir runs/pita`: redoes an evaluation from the checkpoint.

With `--config experiments/lejepa.py:galaxy_zoo --config.data.path=galaxy_zoo.npz`, the data and the
evaluation tasks are those of that experiment, and the results are in
`runs/.../evaluation_lejepa_galaxy_zoo`: a run that was trained without labels is scored on others.
"""

import sys
from pathlib import Path

from absl import app, flags

from astrojax import main as command
from astrojax import terminal
from astrojax.errors import UserError


def main(argv: list[str]) -> None:
    """Evaluates the run named by the flags."""
    if len(argv) > 1:
        raise UserError(f"{argv[1]!r} is no flag; name the run as --workdir {argv[1]}")
    if flags.FLAGS.workdir is None:
        raise UserError("say which run, e.g. --workdir runs/pita")
    terminal.start_log()
    from astrojax import sharding
    from astrojax.evaluate import run as evaluation

    sharding.setup()
    workdir, other = Path(flags.FLAGS.workdir), flags.FLAGS.config
    if other is None:
        evaluation.run(workdir)
    else:
        name = f"{evaluation.FOLDER}_{Path(command.default_workdir()).name}"
        evaluation.run(workdir, other=other, folder=name)


if __name__ == "__main__":
    try:
        app.run(main, flags_parser=command.parse)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
