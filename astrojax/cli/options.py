# SPDX-License-Identifier: Apache-2.0
"""What the command lines share: options, messages, and one line for a user's mistake."""

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from astrojax import errors
from astrojax.cli import terminal

_WHERE = (
    "HDF5, NPZ or Parquet file; folder of FITS cutouts, pictures, class folders or Parquet shards; "
    "TFDS folder; pattern as 'cutouts/{id}_{band}.fits'; or a reader's name with --set path=..."
)
_SET = (
    "what the pixels are (bands=g,r,z unit=nanomaggies zero_point=25 pixel_scale=0.26), "
    "catalogue=FILE to join one, or any key of the reader (hdus=1, crop=64, "
    "columns.redshift=ZSPEC, match=sky, ...); repeat it for each"
)


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """Returns a parser whose help is the module's docstring."""
    return argparse.ArgumentParser(
        prog=f"astrojax {name}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_model(options: argparse.ArgumentParser) -> None:
    """Adds `--workdir` and `--model`."""
    group = options.add_argument_group("the model, one of the two")
    group.add_argument(
        "--workdir",
        metavar="RUN",
        help="folder of a trained run; its bundle is made at first use and kept in RUN/bundle",
    )
    group.add_argument(
        "--model",
        metavar="BUNDLE",
        help="folder that `astrojax export` wrote, or hf://owner/name[@revision] on the hub",
    )


def add_data(options: argparse.ArgumentParser) -> None:
    """Adds `--data`, `--set`, `--split` and `--as-trained`."""
    group = options.add_argument_group("the data")
    group.add_argument(
        "--data",
        metavar="WHERE",
        help=_WHERE + "; the run's own data if not given",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help=_SET,
    )
    group.add_argument("--split", help="split of the data; of a run's own data 'test' if not given")
    group.add_argument(
        "--as-trained",
        action="store_true",
        help="I say that bands, unit, zero "
        "point and pixel scale are those of the model's training images where the "
        "files do not tell",
    )


def add_training_data(options: argparse.ArgumentParser) -> None:
    """Adds `--data` and `--set` of a command that trains."""
    group = options.add_argument_group("your data")
    group.add_argument("--data", metavar="WHERE", help=_WHERE)
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help=_SET + "; split=id (default), sky, stratified:COLUMN, column:COLUMN or none",
    )


def add_length(options: argparse.ArgumentParser) -> None:
    """Adds how large and how long a training is."""
    group = options.add_argument_group("size and length")
    group.add_argument(
        "--size",
        choices=("small", "base", "large"),
        default="small",
        help="small suits a laptop (default), base one accelerator, large several",
    )
    group.add_argument("--epochs", type=float, metavar="N", help="passes over the training data")
    if options.prog.endswith("train"):
        group.add_argument("--minutes", type=float, metavar="M", help="time, instead of --epochs")


def add_trackers(options: argparse.ArgumentParser) -> None:
    """Adds which trackers are told the metrics."""
    options.add_argument(
        "--track",
        action="append",
        choices=("wandb", "mlflow"),
        help="tell the metrics to Weights & Biases or MLflow too, which their environment "
        "variables set up; repeat it for both",
    )


def add_table(options: argparse.ArgumentParser) -> None:
    """Adds what decides how a table is made and written."""
    group = options.add_argument_group("the table")
    group.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="table to write: .parquet, .fits (TOPCAT), .ecsv or .vot (VOTable)",
    )
    group.add_argument("--overwrite", action="store_true", help="replace the table if it exists")
    group.add_argument(
        "--bad-pixels",
        choices=("null", "zero"),
        default="null",
        help="images "
        "with NaN or infinite pixels are flagged and have no results ('null', the "
        "default), or have those pixels set to zero, as data.bad_pixels='mask' "
        "does in training ('zero')",
    )
    group.add_argument(
        "--batch-size",
        type=positive,
        default=256,
        metavar="N",
        help="images at a time on all devices (default 256)",
    )
    group.add_argument(
        "--threads",
        type=positive,
        default=4,
        metavar="N",
        help="threads that read images (default 4)",
    )
    group.add_argument(
        "--chunk",
        type=positive,
        default=8192,
        metavar="N",
        help="objects in a "
        "part; a command that is killed goes on after the last finished part when "
        "it is given again (default 8192)",
    )


def add_listing(options: argparse.ArgumentParser, out: str) -> None:
    """Adds where a list of objects of a table goes, and its contact sheet."""
    add = options.add_argument
    add(
        "--out",
        default=out,
        metavar="FILE.csv",
        help=f"list to write; the sheet is the same with .png (default {out})",
    )
    add("--overwrite", action="store_true", help="replace list and sheet if they exist")
    add("--no-sheet", action="store_true", help="write no contact sheet: the images are not needed")
    add_images(options)


def add_images(options: argparse.ArgumentParser) -> None:
    """Adds where the images of a table are, which it says itself only of its own folder."""
    add = options.add_argument
    add(
        "--data",
        metavar="WHERE",
        help="where the images of the table are, if not in its own folder: their file, folder or "
        "pattern, or the run whose data they are",
    )
    add(
        "--catalogue",
        metavar="FILE",
        help="the catalogue that they were matched with on the sky, if not in its own folder",
    )


def positive(text: str) -> int:
    """Returns a positive whole number."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def run(
    main: Callable[[Any, str], None],
    options: argparse.ArgumentParser,
    name: str,
    arguments: Sequence[str] | None = None,
) -> None:
    """Parses and runs; a user's mistake is one line and status 2, not a traceback.

    Args:
        main: Takes the parsed options and the command line as one string.
        options: The parser.
        name: The command, `astrojax <name>`.
        arguments: Arguments of the command line, or None for those of the process.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    parsed = options.parse_args(given)
    terminal.start_log()
    with terminal.ending(_leave):
        from astrojax import distributed

        distributed.enable_compilation_cache()
        main(parsed, f"astrojax {name} {shlex.join(given)}")


def _leave(status: int, message: str) -> None:
    prefix = "error: " if status == errors.USER_ERROR else ""
    print(f"{prefix}{errors.printable(message)}", file=sys.stderr)
    sys.exit(status)
