# SPDX-License-Identifier: Apache-2.0
"""What `train`, `evaluate` and `convert` share: the experiment, its keys, and several processes."""

import argparse
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from astrojax import errors
from astrojax.cli import terminal
from astrojax.errors import UserError


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """Returns a parser that knows `--config`; its help is the module's docstring."""
    made = argparse.ArgumentParser(
        prog=f"astrojax {name}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "--config",
        metavar="FILE[:VARIANT]",
        help="an experiment, optionally with a variant: experiments/pita.py:smoke; its keys are "
        "set as --config.KEY=VALUE",
    )
    return made


def add_processes(made: argparse.ArgumentParser) -> None:
    """Adds the flags of several processes that work together."""
    group = made.add_argument_group("several processes")
    add = group.add_argument
    add("--coordinator", metavar="HOST:PORT", help="process 0 of several; or 'auto'")
    add("--processes", type=int, metavar="N", help="how many processes work together")
    add("--process", type=int, metavar="I", help="which of them this is, counted from 0")
    add(
        "--stall-after",
        type=float,
        default=1800.0,
        metavar="SECONDS",
        help="wait for data or devices after which the run ends (default 1800)",
    )


def parse(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the flags; `experiment` of the result is the config, or None without `--config`.

    Raises:
        UserError: There is no such flag, file or key, or a value has the wrong type.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    keys = [a for a in given if a.startswith("--config.")]
    parsed, rest = made.parse_known_args([a for a in given if a not in keys])
    if rest:
        raise UserError(
            f"{rest[0]!r} is no flag of `{made.prog}`, whose --help lists them; keys of the "
            "experiment are set as --config.key=value"
        )
    from astrojax.training import experiment_file

    if not hasattr(parsed, "config"):
        parsed.config = None
    parsed.keys = [key.removeprefix("--config.") for key in keys]
    parsed.experiment = experiment_file.load(parsed.config, keys) if parsed.config else None
    if (
        keys
        and not parsed.config
        and not getattr(parsed, "recipe", getattr(parsed, "source", None))
    ):
        raise UserError(f"{keys[0]} needs --config FILE")
    return parsed


def default_workdir(config: str) -> str:
    """Returns runs/<experiment>, with the variant after an underscore."""
    path, _, variant = config.partition(":")
    return f"runs/{Path(path).stem}{'_' if variant else ''}{variant}"


def run(
    work: Callable[[argparse.Namespace], None],
    made: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
) -> None:
    """Parses and works; a user's mistake is one line and status 2, not a traceback."""
    with terminal.ending(errors.exit_process):
        parsed = parse(made, arguments)
        run_distributed(work, parsed)


def run_distributed(work: Callable[[argparse.Namespace], None], given: argparse.Namespace) -> None:
    """Does the work, as one of several processes where the flags or a launcher say so."""
    terminal.start_log()
    from astrojax import distributed, files

    distributed.start_watchdog(given.stall_after)
    distributed.enable_compilation_cache()
    distributed.initialize(
        coordinator=given.coordinator, processes=given.processes, process=given.process
    )
    if not distributed.is_main():
        logging.getLogger().setLevel(logging.WARNING)
    try:
        work(given)
    except Exception as error:
        if not distributed.is_multiprocess():
            raise
        if isinstance(error, UserError) or files.disk_error(error):
            raise
        if distributed.lost_process(error):
            distributed.exit_lost_process(str(error))
        traceback.print_exc()
        errors.exit_process(1, "this process failed, and with it the run")
