# SPDX-License-Identifier: Apache-2.0
"""The model of a command: a bundle, or a run, of which a bundle is made at first use."""

import contextlib
import json
import logging
import os
import shutil
from pathlib import Path

from astrojax import files
from astrojax.errors import UserError
from astrojax.inference import bundle
from astrojax.training import checkpoint

FOLDER = "bundle"  # in a run's folder


def open_model(workdir: str | None, folder: str | None) -> bundle.Model:
    """Returns the model in a bundle, or that of a run's best or newest checkpoint.

    A run's bundle is kept in `<run>/bundle`, and made again when the run has another checkpoint;
    for that, and only for that, the run's training data are opened.

    Args:
        workdir: A run, or None.
        folder: A bundle, or its address on the hub, or None.

    Raises:
        UserError: Neither or both are given, or there is no such model.
    """
    if folder is not None and workdir is None:
        return bundle.load(folder)
    if workdir is None or folder is not None:
        raise UserError("say which model: --workdir RUN or --model BUNDLE, one of the two")
    return bundle.load(bundle_of(workdir))


def bundle_of(workdir: str | Path) -> Path:
    """Returns `<run>/bundle`, made first, or again, where it is not of the run's checkpoint.

    Raises:
        UserError: There is no trained run, or its data are not there to make the bundle.
    """
    run = Path(workdir)
    checkpoint.read_config(run)
    kept = run / FOLDER
    # Two first uses of a run make its bundle one after the other. Where nobody can write, what is
    # there is read without a lock.
    writable = os.access(run, os.W_OK)
    with files.lock(kept, wait=True) if writable else contextlib.nullcontext():
        if _checkpoint(kept) != bundle.checkpoint_name(run):
            _make(run, kept)
    return kept


def _make(run: Path, kept: Path) -> None:
    logging.info("making %s of %s", kept, bundle.checkpoint_name(run))
    try:
        if kept.exists():
            shutil.rmtree(kept)
        bundle.write(run, kept)
    except (UserError, OSError) as error:
        told = error if isinstance(error, UserError) else files.cannot_write(kept, error)
        raise UserError(
            f"{told} (a run's training data and folder are needed once, to make its bundle; "
            "where they are, `astrojax export` makes one for --model)"
        ) from None


def _checkpoint(folder: Path) -> str | None:
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        return card.get("checkpoint")
    except (OSError, ValueError, AttributeError):  # none, or a damaged one, is made again
        return None
