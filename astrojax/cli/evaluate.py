# SPDX-License-Identifier: Apache-2.0
"""`astrojax evaluate --workdir runs/pita`: redoes an evaluation from the checkpoint.

With `--config experiments/lejepa.py:galaxy_zoo --config.data.path=galaxy_zoo.npz`, the data and the
evaluation tasks are those of that experiment, and the results are in
`runs/.../evaluation_lejepa_galaxy_zoo`: a run that was trained without labels is scored on others.
"""

from pathlib import Path

from absl import flags

from astrojax import main as command
from astrojax.errors import UserError


def main(argv: list[str]) -> None:
    """Evaluates the run named by the flags."""
    if len(argv) > 1:
        raise UserError(f"{argv[1]!r} is no flag; name the run as --workdir {argv[1]}")
    if flags.FLAGS.workdir is None:
        raise UserError("say which run, e.g. --workdir runs/pita")
    if flags.FLAGS.check:
        raise UserError("--check is for training: python -m astrojax.main --check --config ...")
    command.together(_run)


def _run() -> None:
    """Redoes the run's own evaluation, or that of the experiment in --config."""
    from astrojax.inference import evaluation as evaluation

    workdir, other = Path(flags.FLAGS.workdir), flags.FLAGS.config
    if other is None:
        evaluation.run(workdir)
    else:
        name = f"{evaluation.FOLDER}_{Path(command.default_workdir()).name}"
        evaluation.run(workdir, other=other, folder=name)


if __name__ == "__main__":
    command.cli(main)
