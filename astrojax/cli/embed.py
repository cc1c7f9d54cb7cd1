# SPDX-License-Identifier: Apache-2.0
r"""Embeds images with a trained model: one row per object, with id, flags and embedding.

    astrojax embed --workdir runs/lejepa --out test.parquet
    astrojax embed --model BUNDLE --data cutouts/ --set bands=g,r,z \
        --set unit=nanomaggies --set catalogue=cat.fits --out galaxies.parquet

Labels are not needed. An image with NaN pixels is kept and flagged, its embedding is empty. Memory
does not grow with the number of objects, all devices are used, and a command that was killed goes
on where it was when it is given again.

Columns: id, the data's own columns, ood_score (kNN distance from the training images in
the embedding), flag_bad_pixels, flag_edge, flag_unreadable, flag_out_of_distribution, embedding.
The table's metadata say which model, data and command made it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from astrojax.cli import options

if TYPE_CHECKING:
    from astrojax.inference.bundle import Model
    from astrojax.inference.inputs import Opened


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = options.parser("embed", __doc__)
    options.add_model(made)
    options.add_data(made)
    options.add_table(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options.run(_embed, parser(), "embed", arguments)


def _embed(given: argparse.Namespace, command: str) -> None:
    make(given, command, embedding=True, predictions=False)


def open_for(trained: "Model", given: argparse.Namespace) -> "Opened":
    """Returns the data of `cli.add_data`, compared with what the model was trained on."""
    from astrojax.inference import inputs

    opened = inputs.open_data(
        given.data,
        given.settings,
        split=given.split,
        as_trained=given.as_trained,
        workdir=given.workdir,
        model=trained,
    )
    inputs.compare(trained, opened)
    return opened


def make(given: argparse.Namespace, command: str, *, embedding: bool, predictions: bool) -> None:
    """Makes the table that the options ask for.

    Args:
        given: Options of `cli.add_model`, `add_data` and `add_table`.
        command: The command line, for the table's metadata.
        embedding: Whether the table has the embeddings.
        predictions: Whether it has the predictions.
    """
    from astrojax.inference import writers

    out = writers.check_output(given.out)
    with writers.new_files(out, overwrite=given.overwrite):
        _write(given, out, command, embedding=embedding, predictions=predictions)


def _write(
    given: argparse.Namespace, out: Path, command: str, *, embedding: bool, predictions: bool
) -> None:
    from astrojax.inference import model, stream
    from astrojax.inference.array_model import check_heads

    trained = model.open_model(given.workdir, given.model)
    if predictions:
        check_heads(trained)
    opened = open_for(trained, given)
    wanted = stream.Wanted(
        embedding=embedding,
        predictions=predictions,
        bad_pixels=given.bad_pixels,
        batch_size=given.batch_size,
        threads=given.threads,
        chunk=given.chunk,
    )
    stream.run(trained, opened, out, wanted, command=command, overwrite=given.overwrite)
    print(f"{out}: {opened.text}")
