# SPDX-License-Identifier: Apache-2.0
"""The data that a model is applied to: `--data` and `--set`, opened and compared with its card.

The section follows from the path as `astrojax.data.section` says; every object is kept, whatever
its state, and labels are not needed.
"""

import dataclasses
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from astrojax.config import plain
from astrojax.data import detect, stated, validate
from astrojax.data import section as section_of
from astrojax.data.info import DataInfo
from astrojax.data.open import hinted, open_sources
from astrojax.data.source import Source
from astrojax.errors import UserError
from astrojax.inference import flags
from astrojax.inference.array_model import ArrayModel
from astrojax.training import checkpoint

_SAMPLE = 64  # images compared with the statistics on the card


@dataclasses.dataclass(frozen=True)
class Opened:
    """A data set that was opened.

    Attributes:
        source: Its images and columns.
        section: The config section that opens it again.
        split: Which of its splits it is.
        text: What it is, in words.
    """

    source: Source
    section: dict[str, Any]
    split: str
    text: str

    @property
    def names(self) -> list[str]:
        """Its columns: all entries but the image."""
        return [name for name in flags.first_readable(self.source) if name != "image"]


def open_data(
    data: str | None,
    settings: Sequence[str],
    *,
    split: str | None,
    as_trained: bool,
    workdir: str | None,
    model: ArrayModel,
) -> Opened:
    """Opens what a command is to be applied to.

    Args:
        data: A file, a folder, a pattern of FITS files or the name of a reader; None for the
            run's own data.
        settings: "key=value" of the reader, or of what the pixels are.
        split: Which split of the data; None for "test" of a run's own, the only one otherwise.
        as_trained: The user says that the images are what the model's card says.
        workdir: The run, where `data` is None.
        model: The model that the data are for.

    Raises:
        UserError: No such data, something about them that is not said, or a key that is wrong.
    """
    changes = section_of.parse(settings)
    if data is None:
        if workdir is None:
            raise UserError("say which images: --data FILE or FOLDER; a bundle has none of its own")
        section = own_section(workdir)
        for key, value in changes.items():
            section_of.put(section, key, value)
        return reopen(section, split or "test", f"{split or 'test'} split of {workdir}")
    section = _section(data, changes, split, as_trained, model)
    split = None if section["name"] == "tfds" else split
    opened = reopen(section, split, data)
    if as_trained and opened.source.info.pixel_scale is None and model.info.pixel_scale:
        # FITS files without a WCS, which would have told better.
        section.get("cutouts", section)["info"]["pixel_scale"] = model.info.pixel_scale
        opened = reopen(section, split, data)
    return opened


def reopen(section: dict[str, Any], split: str | None, text: str) -> Opened:
    """Opens a data section.

    Raises:
        UserError: It cannot be opened, or has no such split.
    """
    try:
        sources = open_sources(plain(section))
    except UserError as error:
        raise UserError(hinted(str(error))) from None
    if split is None and len(sources) > 1:
        raise UserError(f"{text} has the splits {', '.join(sources)}: choose one with --split")
    split = split or next(iter(sources))
    source = sources[validate.key(split, sources, f"{text}: --split")]
    return Opened(source, section, split, f"{text}: {len(source)} images")


def compare(model: ArrayModel, opened: Opened) -> None:
    """Refuses data that the model is not for; see `ArrayModel.check`.

    Raises:
        UserError: A difference between the card and the images, which it names.
    """
    source, known = opened.source, {}
    for name in ("zero_point", "pixel_scale"):
        # What was not known of the training images cannot differ.
        model_value, value = getattr(model.info, name), getattr(source.info, name)
        known[name] = model_value if model_value is None or value is None else value
    validate.same_data(model.info, dataclasses.replace(source.info, **known))
    if model.info.pixel_scale is not None and source.info.pixel_scale is None:
        raise UserError(
            f"the images do not say how large a pixel is: add --set pixel_scale=ARCSEC (the model "
            f"was trained with {model.info.pixel_scale:g})"
        )
    rows = np.unique(np.linspace(0, len(source) - 1, _SAMPLE).astype(int))
    images = []
    for row in rows.tolist():
        try:
            image = np.asarray(source[row]["image"])
        except Exception:  # whatever reading one object raises
            continue  # flagged later
        if np.isfinite(image).all() and image.shape[:2] == (source.info.image_size,) * 2:
            images.append(image)
    if not images:
        return logging.warning("no sampled image is whole: they are not compared with the model's")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        model.check(np.stack(images), None)
    for warning in told:
        logging.warning("%s", warning.message)


def own_section(workdir: str) -> dict[str, Any]:
    """Returns a run's data section as inference wants it: all objects, whatever their state."""
    section = checkpoint.read_config(workdir)["data"]
    for key in ("labels", "oversample", "cache_in_memory"):
        section.pop(key, None)
    for part in (section, section.get("cutouts", {})):
        if "bad_pixels" in part:
            part["bad_pixels"] = "keep"
    return section


def _section(
    data: str, changes: dict[str, Any], split: str | None, as_trained: bool, model: ArrayModel
) -> dict[str, Any]:
    """Returns the data section of files that have none yet."""
    deredden = changes.pop("deredden", model.card["dereddened"])

    def describe(said: dict[str, Any], reader: str) -> dict[str, Any]:
        folder = os.path.abspath(os.path.expanduser(str(changes.get("path", data))))
        return _describe(said, reader, as_trained, model.info, folder)

    def test(found: dict[str, Any]) -> dict[str, Any]:
        return {"test": _tfds_split(found, split)}

    section = section_of.build(
        data,
        changes,
        describe=describe,
        inputs=model.method.inputs,
        every_column=False,
        splits=test,
    )
    for part in (section, section.get("cutouts", {})):
        if "bad_pixels" in detect.parameters(part.get("name", "catalogue")):
            part.setdefault("bad_pixels", "keep")
    if deredden:
        section["deredden"] = True
        if section["name"] != "tfds":  # which was converted with its columns and its extinction
            _check_ebv(section)
            section.get("cutouts", section)["info"]["extinction"] = model.info.extinction
    return section


def _describe(
    said: dict[str, Any], reader: str, as_trained: bool, trained: DataInfo, folder: str
) -> dict[str, Any]:
    """Returns the section `data.info`: what the user and the files say; nothing is guessed.

    Args:
        said: What is said.
        reader: Name of the reader; FITS files may have the unit and the scale in their headers.
        as_trained: Whether what is not said is that of the training images.
        trained: The training images.
        folder: Where the images are.

    Raises:
        UserError: Bands or unit are not said.
    """
    like = f"bands {','.join(trained.bands)}, {trained.unit}"
    if trained.pixel_scale is not None:
        like += f", {trained.pixel_scale:g} arcsec per pixel"
    info = {"zero_point": None, "pixel_scale": None, "noise": None, "extinction": None} | said
    if as_trained:
        for name in ("bands", "unit"):
            info.setdefault(name, getattr(trained, name))
        if info["zero_point"] is None and info["unit"] == trained.unit:
            info["zero_point"] = trained.zero_point
        if info["pixel_scale"] is None and reader != "fits":  # a WCS tells better
            info["pixel_scale"] = trained.pixel_scale
        return info
    if reader == "fits":
        info.setdefault("unit", "header")
    elif reader == "folder" and os.path.isdir(folder):
        found = stated.by_pictures(folder)
        if found.get("bands", trained.bands) != trained.bands:
            found.pop("bands")  # the model's bands are other channels, or have other names
        info = found | info
    stated.require(info, f", or --as-trained if they are like the model's training images ({like})")
    return info


def _check_ebv(section: Mapping[str, Any]) -> None:
    if "ebv" not in section.get("columns", {}):
        raise UserError(
            "the model was trained on dereddened images: name the column of E(B-V) with --set "
            "columns.ebv=NAME, or say --set deredden=false if these are dereddened already"
        )


def _tfds_split(section: Mapping[str, Any], split: str | None) -> str:
    if split is not None:
        return split
    there = detect.tfds_splits(section)
    if len(there) > 1:
        raise UserError(
            f"{section['dataset']} has the splits {', '.join(there)}: choose one with --split"
        )
    return there[0]
