# SPDX-License-Identifier: Apache-2.0
"""The model of a command: a bundle, or a run, of which a bundle is made at first use."""

import json
import logging
import shutil
from pathlib import Path

from astrojax.errors import UserError
from astrojax.inference import bundle
from astrojax.methods import Method
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
    if kept.exists() and _checkpoint(kept) != bundle.checkpoint_name(run):
        shutil.rmtree(kept)
    if not kept.exists():
        logging.info("making %s of %s", kept, bundle.checkpoint_name(run))
        try:
            bundle.export(run, kept)
        except UserError as error:
            raise UserError(
                f"{error} (a run's training data and folder are needed once, to make its bundle; "
                "where they are, `astrojax export` makes one for --model)"
            ) from None
    return kept


def _checkpoint(folder: Path) -> str | None:
    card = folder / "card.json"
    return json.loads(card.read_text(encoding="utf-8")).get("checkpoint") if card.exists() else None


def check_heads(model: bundle.Model) -> None:
    """Raises `UserError` if a model has no heads, and so predicts nothing."""
    if type(model.method).predict is Method.predict:
        raise UserError(
            f"{type(model.method).__name__} has no heads, so it predicts nothing: embed the images "
            "with astrojax embed"
        )
