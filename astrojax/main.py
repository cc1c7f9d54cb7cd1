# SPDX-License-Identifier: Apache-2.0
"""`python -m astrojax.main --config experiments/pita.py`: trains, evaluates, says where it is."""

import logging
import traceback
from collections.abc import Callable
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

from astrojax import distributed, errors
from astrojax.cli import terminal
from astrojax.errors import UserError

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "An experiment, optionally with a variant: experiments/pita.py:smoke"
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the run; runs/<experiment>[_<variant>] if not given"
)
_CHECK = flags.DEFINE_bool(
    "check", False, "Look at data, model, memory and time of one step; train and write nothing"
)
_STALL_AFTER = flags.DEFINE_float(
    "stall_after", 1800.0, "Seconds after which a wait for data or devices ends the run"
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "host:port of process 0, where several train together; or 'auto'"
)
_PROCESSES = flags.DEFINE_integer("processes", None, "How many processes train together")
_PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, counted from 0")


def main(argv: list[str]) -> None:
    """Runs the experiment named by the flags."""
    if len(argv) > 1:
        raise UserError(f"{argv[1]!r} is no flag; keys are set as --config.key=value")
    if _CONFIG.value is None:
        raise UserError("say what to run, e.g. --config experiments/pita.py")
    together(_run)


def together(work: Callable[[], None]) -> None:
    """Does the work, as one of several processes where the flags or a launcher say so."""
    terminal.start_log()

    distributed.start_watchdog(_STALL_AFTER.value)
    distributed.enable_compilation_cache()
    distributed.initialize(
        coordinator=_COORDINATOR.value, processes=_PROCESSES.value, process=_PROCESS.value
    )
    if not distributed.is_main():
        logging.getLogger().setLevel(logging.WARNING)
    try:
        work()
    except Exception as error:
        if not distributed.is_multiprocess():
            raise
        if isinstance(error, UserError):
            errors.exit_process(errors.USER_ERROR, str(error))
        if distributed.lost_process(error):
            distributed.exit_lost_process(str(error))
        traceback.print_exc()
        errors.exit_process(1, "this process failed, and with it the run")


def _run() -> None:
    """Checks, or trains and evaluates, what the flags say."""
    from astrojax.inference import evaluation as evaluation
    from astrojax.training import loop

    if _CHECK.value:
        from astrojax.training import preflight

        return preflight.run(_CONFIG.value)
    workdir = Path(_WORKDIR.value or default_workdir())
    if loop.train(_CONFIG.value, workdir) or not evaluation.done(workdir):
        evaluation.run(workdir)
    elif distributed.is_main():
        print(f"{workdir} is finished; remove it, or give another --workdir, to train again.")
        print(evaluation.summary(workdir))


def default_workdir() -> str:
    """runs/<experiment>, with the variant after an underscore."""
    path, _, variant = str(flags.FLAGS["config"].config_filename).partition(":")
    return f"runs/{Path(path).stem}{'_' if variant else ''}{variant}"


def parse(argv: list[str]) -> list[str]:
    """Parses the flags; what is wrong with a config file or an override is one sentence."""
    given = [a.partition("=")[2] or b for a, b in zip(argv, [*argv[1:], ""], strict=True)
             if a.lstrip("-").partition("=")[0] == "config"]  # fmt: skip
    path = given[-1].partition(":")[0] if given else None
    if path and not Path(path).is_file():
        raise UserError(f"there is no experiment file {path!r}")
    try:
        return flags.FLAGS(argv)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {_sentence(error)}") from error
    except flags.Error as error:
        raise UserError(_sentence(error)) from error


def _sentence(error: BaseException) -> str:
    """The last line of a library's message, which says what is wrong."""
    text = str(error).replace("\\n", "\n").replace("\\'", "'")
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line and not line.startswith("Pass --help")]
    if told and "Error: " in told[-1]:  # a config file that raised: its message alone
        return told[-1].partition("Error: ")[2]
    return " ".join(told).strip('"')


def cli(program: Callable[[list[str]], None] = main) -> None:
    """The entry point: a user's mistake is one line and status 2, not a traceback."""
    try:
        app.run(program, flags_parser=parse)
    except UserError as error:
        errors.exit_process(errors.USER_ERROR, str(error))


if __name__ == "__main__":
    cli()
