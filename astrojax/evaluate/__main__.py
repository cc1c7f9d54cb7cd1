# SPDX-License-Identifier: Apache-2.0
"""`python -m astrojax.evaluate --workdir runs/pita`: redoes an evaluation from the checkpoint."""

import argparse
import logging
import sys
from pathlib import Path

from astrojax.errors import UserError


def main() -> None:
    """Parses the command line and evaluates."""
    parser = argparse.ArgumentParser(prog="python -m astrojax.evaluate", description=__doc__)
    parser.add_argument("--workdir", type=Path, required=True, help="folder of a trained run")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        from astrojax.evaluate.run import run

        run(arguments.workdir)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
