# SPDX-License-Identifier: Apache-2.0
"""The data of a command: `--data` and `--set`, as a section that `astrojax.data` opens.

    --data cutouts/ --set bands=g,r,z --set unit=nanomaggies
    --data "cutouts/{id}_{band}.fits" --set bands=g,r,z --set catalogue=cat.fits
    --data stamps.h5 --set layout=nchw --set columns.redshift=zspec
    --data hdf5 --set path=stamps.h5 ...        (any reader of `astrojax.data` by its name)

The reader follows from what the path is (`kinds.py`). Labels are not needed. What the pixels are,
`bands`, `unit`, `zero_point` and `pixel_scale`, is read from the files where they say it, and
asked for where they do not.
"""

import dataclasses
import json
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from astrojax.config import plain
from astrojax.data import detect, validate
from astrojax.data.info import DataInfo
from astrojax.data.open import open_sources
from astrojax.data.source import Source
from astrojax.errors import UserError
from astrojax.inference import flags
from astrojax.inference.bundle import Model
from astrojax.training import checkpoint

_PIXELS = ("bands", "unit", "zero_point", "pixel_scale", "noise", "extinction")
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
    model: Model,
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
    changes = dict(map(_setting, settings))
    if data is None:
        if workdir is None:
            raise UserError("say which images: --data FILE or FOLDER; a bundle has none of its own")
        section = _own(workdir)
        for key, value in changes.items():
            _put(section, key, value)
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
        hint = ""
        if "data." in str(error):
            hint = " (data.KEY and data.info.KEY are given as --set KEY=VALUE)"
        raise UserError(f"{error}{hint}") from None
    if split is None and len(sources) > 1:
        raise UserError(f"{text} has the splits {', '.join(sources)}: choose one with --split")
    split = split or next(iter(sources))
    source = sources[validate.key(split, sources, f"{text}: --split")]
    return Opened(source, section, split, f"{text}: {len(source)} images")


def compare(model: Model, opened: Opened) -> None:
    """Refuses data that the model is not for; see `Model.check`.

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


def _own(workdir: str) -> dict[str, Any]:
    """Returns a run's data section as inference wants it: all objects, whatever their state."""
    section = checkpoint.read_config(workdir)["data"]
    for key in ("labels", "oversample", "cache_in_memory"):
        section.pop(key, None)
    for part in (section, section.get("cutouts", {})):
        if "bad_pixels" in part:
            part["bad_pixels"] = "keep"
    return section


def _section(
    data: str, changes: dict[str, Any], split: str | None, as_trained: bool, model: Model
) -> dict[str, Any]:
    """Returns the data section of files that have none yet."""
    pixels = {name: changes.pop(name) for name in _PIXELS if name in changes}
    if "bands" in pixels:
        bands = pixels["bands"]
        pixels["bands"] = tuple(map(str, bands if isinstance(bands, tuple) else (bands,)))
    deredden = changes.pop("deredden", model.card["dereddened"])
    catalogue = changes.pop("catalogue", changes.pop("table", None))
    name, path = detect.recognise(data, changes)
    section: dict[str, Any] = {"name": name}
    if "info" in detect.parameters(name):
        said = detect.stated(path) if name == "hdf5" and path else {}
        section["info"] = _describe(said | pixels, name, as_trained, model.info)
    section |= detect.look(name, path, section.get("info", {}).get("bands", ()), changes)
    if name == "tfds":
        section["splits"] = {"test": _tfds_split(section, split)}
    keys = dict(changes)
    if catalogue is not None:
        outer = [k for k in keys if detect.belongs_to_catalogue(k)]
        joined = detect.catalogue(str(catalogue), section, model.method.inputs)
        for key in outer:
            _put(joined, key, keys.pop(key))
        section = joined
    for key, value in keys.items():
        _put(section["cutouts"] if catalogue is not None else section, key, value)
    if deredden:
        section["deredden"] = True
        if name != "tfds":  # which was converted with its columns and its extinction
            _check_ebv(section)
            section.get("cutouts", section)["info"]["extinction"] = model.info.extinction
    return section


def _describe(
    said: dict[str, Any], reader: str, as_trained: bool, trained: DataInfo
) -> dict[str, Any]:
    """Returns the section `data.info`: what the user and the files say; nothing is guessed.

    Args:
        said: What is said.
        reader: Name of the reader; FITS files may have the unit and the scale in their headers.
        as_trained: Whether what is not said is that of the training images.
        trained: The training images.

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
    for name, example in (("bands", "g,r,z"), ("unit", "nanomaggies")):
        if name not in info:
            raise UserError(
                f"the {name} of the images {'are' if name == 'bands' else 'is'} not said: add "
                f"--set {name}={example}, or --as-trained if they are like the model's training "
                f"images ({like})"
            )
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


def _setting(text: str) -> tuple[str, Any]:
    """("a.b", value) of "a.b=value"; values are JSON, text, or several of them with commas."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UserError(f"--set {text} is not key=value")
    return key.strip(), _value(value.strip())


def _value(text: str) -> Any:
    try:
        return plain(json.loads(text))
    except ValueError:
        pass
    if "," in text and not text.startswith(("{", "[")):
        return tuple(_value(part.strip()) for part in text.split(",") if part.strip())
    return {"none": None, "true": True, "false": False}.get(text.lower(), text)


def _put(section: dict[str, Any], key: str, value: Any) -> None:
    """Sets a key, `a.b` in a nested section; paths become absolute, so that they stay true."""
    *outer, last = key.split(".")
    for name in outer:
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise UserError(f"--set {key}: {name!r} is no section")
    if key in ("path", "table", "directory") and isinstance(value, str):
        value = os.path.abspath(os.path.expanduser(value))
    section[last] = value
