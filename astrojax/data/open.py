# SPDX-License-Identifier: Apache-2.0
"""Opening a data set: a path, arrays in memory or the config section `data` become sources.

data = open_data("stamps.h5", bands=("u", "g", "r", "i"), unit="microjansky")
data["train"], data.info, data.section
"""

import contextlib
import functools
import glob
import importlib
import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

from astrojax.config import Bound, bind, call, plain
from astrojax.data import arrays, detect, readers, stated
from astrojax.data import section as section_of
from astrojax.data.info import DataInfo
from astrojax.data.source import Source, cache_in_memory
from astrojax.data.transforms.deredden import Dereddened, with_magnitudes
from astrojax.errors import UserError
from astrojax.files import reading

# Keys that hold for every reader, in the order in which they are applied.
COMMON = (
    "fetch",
    "exclude",
    "convert",
    "deredden",
    "composite",
    "cache_in_memory",
    "labels",
    "oversample",
)


class Dataset(Mapping[str, Source]):
    """The splits of a data set: a mapping of "train", "validation" and "test" to sources.

    Attributes:
        section: The config section `data` that opens it again; None for arrays in memory, of which
            a run keeps a copy.
        info: What the pixels are.
    """

    def __init__(self, sources: Mapping[str, Source], section: dict[str, Any] | None):
        self._sources, self.section = dict(sources), section
        self.info: DataInfo = next(iter(self._sources.values())).info

    def __getitem__(self, split: str) -> Source:
        return self._sources[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def renamed(self, standard: str, column: str) -> "Dataset":
        """Returns the same data whose column `column` is called `standard`; `label` holds classes.

        Raises:
            UserError: What is in the column cannot be that.
        """
        if standard == column:
            return self
        if self.section is None:
            return Dataset(arrays.renamed(self, standard, column), None)
        section = section_of.renamed(self.section, standard, column)
        return Dataset(open_sources(section), section)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {len(source)}" for name, source in self.items())
        side, bands = self.info.image_size, ",".join(self.info.bands)
        return f"<Dataset {sizes}; {side} x {side} px, bands {bands}, {self.info.unit}>"


def open_data(data: Any, **settings: Any) -> Dataset:
    """Opens any file, folder, pattern or arrays as a data set to train on.

    Args:
        data: An HDF5, NPZ or Parquet file; a folder of FITS cutouts, of pictures, or of folders of
            pictures for each class; a TFDS folder; a pattern such as "cutouts/{id}_{band}.fits";
            the name of a reader; or images [n h w c] in memory.
        **settings: What the files do not say: `bands`, `unit`, `zero_point` (AB magnitude of one
            unit), `pixel_scale` (arcsec), `catalogue` (a table to join; beside arrays, the table
            that runs parallel to them), `columns` ({standard name: the file's name}), `crop`,
            `resize`, `bad_pixels`, and any other key of the reader, `{"a.b": ...}` that of a
            section. `split` is "id" (the default: 0.8 for training, 0.1 for validation, 0.1 for
            the test, by a hash of the id), "sky", "stratified:COLUMN", "column:COLUMN", "none", or
            a dict of the keys of `astrojax.data.split`; files that are divided already stay so.

    Raises:
        UserError: No such data, or something about them that is not said, or is wrong.
    """
    if not isinstance(data, str | os.PathLike):
        return Dataset(arrays.open_arrays(data, describe=_describe, **settings), None)
    section = section_of_path(os.fspath(data), plain(settings))
    try:
        return Dataset(open_sources(section), section)
    except UserError as error:
        raise UserError(hinted(str(error))) from None


def hinted(message: str) -> str:
    """Returns a message about a key of the section `data`, with how the key is said."""
    told = " (data.KEY and data.info.KEY are given as --set KEY=VALUE, or KEY=VALUE in Python)"
    return message + told if "data." in message else message


def section_of_path(data: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the section `data` of files to train on; see `open_data`.

    Raises:
        UserError: No such data, or something about them that is not said.
    """
    keys = dict(settings)
    common = {k: keys.pop(k) for k in COMMON if k in keys}
    wanted = {k: keys.pop(k) for k in list(keys) if k.split(".")[0] == "split"}
    folder = os.path.abspath(os.path.expanduser(str(keys.get("path", data))))
    describe = functools.partial(_describe, folder=folder)
    section = section_of.build(
        data, keys, describe=describe, every_column=True, splits=detect.tfds_parts
    )
    if section["name"] == "catalogue" and "unmatched" not in keys:
        section["unmatched"] = "drop"
    return section_of.divided(section, _split(wanted)) | common


def _split(wanted: Mapping[str, Any]) -> Any:
    """Returns one value of `split` and `split.KEY`."""
    value = wanted.get("split")
    inner = {k.partition(".")[2]: v for k, v in wanted.items() if "." in k}
    if not inner:
        return value
    named = {"name": value} if isinstance(value, str) else value or {}
    return {**named, **inner}


def _describe(said: dict[str, Any], reader: str, *, folder: str = "") -> dict[str, Any]:
    """Returns the section `data.info`: what the user and the files say; nothing is guessed."""
    if reader == "fits":
        said = {"unit": "header", **said}
    elif reader == "folder" and os.path.isdir(folder):
        found = stated.by_pictures(folder)
        if "bands" in found and "bands" not in said:
            text = ",".join(found["bands"])
            logging.info("the bands of the pictures are called %s (--set bands=... else)", text)
        said = found | said
    stated.require(
        said, " (unit=display for color composites of 8 bits); in Python bands=..., unit=..."
    )
    noise = None if said["unit"] == "display" else "measure"
    return {"zero_point": None, "pixel_scale": None, "noise": noise, "extinction": None} | said


def open_sources(section: Mapping[str, Any]) -> dict[str, Source]:
    """Opens the data set that the config section names: {"train", "validation", "test"}.

    Args:
        section: `name` is a module of `astrojax.data.readers`. Eight keys hold for every reader:
            `fetch` says where the file is to be had if `path` is not there, `exclude` has the keys
            of `exclude.exclude` and `data`, the section of the other data; `convert` is a unit to
            bring pixels and fluxes to (see `flux_unit.Converted`), `deredden` wraps its splits in
            `Dereddened`, `composite` has the keys of `composite.Composite`, `cache_in_memory`
            keeps the images in memory, `labels` has the keys of `labels.thin_labels`, and
            `oversample`, which the training loop reads, those of `labels.oversample`. The others
            are those of the reader's `load`.

    Raises:
        UserError: There is no such reader, or its own checks fail.
    """
    section, loader = _bound(section)
    path = section.get("path")
    if section.get("fetch") and isinstance(path, str) and not glob.glob(path):
        raise UserError(f"there is no {path!r}: {section['fetch']}")
    opened = {}
    if "cutouts" in section:
        opened["cutouts"] = _only(open_sources(section["cutouts"]))
    place = next((section[k] for k in ("table", "path", "directory") if section.get(k)), None)
    # What a reader of files raises comes of a damaged file; of a simulation, of an error in it.
    with reading(place) if isinstance(place, str) else contextlib.nullcontext():
        sources = loader(**opened)
    return _transformed(sources, section)


def resolve_section(section: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the section with the defaults of its reader; opens nothing.

    Raises:
        UserError: There is no such reader, or a key does not fit it.
    """
    resolved, _ = _bound(section)
    if "cutouts" in resolved:
        resolved["cutouts"] = resolve_section(resolved["cutouts"])
    return resolved


def _bound(section: Mapping[str, Any]) -> tuple[dict[str, Any], Bound]:
    """Returns the resolved section, and the reader's `load` with its keys."""
    name = section.get("name")
    if name not in readers.names():
        raise UserError(
            f"config key 'data.name' is {name!r}; readers are: {', '.join(readers.names())}"
        )
    loader = importlib.import_module(f"astrojax.data.readers.{name}").load
    common = {k: v for k, v in section.items() if k in ("name", "cutouts", *COMMON)}
    keys = {k: v for k, v in section.items() if k not in common}
    if name == "catalogue" and "cutouts" not in common:
        raise UserError("config key 'data.cutouts' is missing: set it in the experiment")
    bound = bind(loader, keys, path="data", runtime=("cutouts",) if "cutouts" in common else ())
    return {**common, **bound.arguments}, bound


def _only(sources: dict[str, Source]) -> Source:
    if len(sources) != 1:
        raise UserError(
            "data.cutouts has to be one split (set its split to None): data.split divides"
        )
    return next(iter(sources.values()))


def _transformed(sources: dict[str, Source], section: Mapping[str, Any]) -> dict[str, Source]:
    """Applies the keys that hold for every reader."""
    if section.get("exclude"):
        from astrojax.data.transforms.exclude import exclude

        keys = dict(section["exclude"])
        if "data" not in keys:
            raise UserError("config key 'data.exclude.data' is missing: set it in the experiment")
        others = list(open_sources(keys.pop("data")).values())
        sources = call(exclude, keys, path="data.exclude", sources=sources, others=others)
    if section.get("convert"):
        from astrojax.data.transforms.flux_unit import Converted

        sources = {k: Converted(source, section["convert"]) for k, source in sources.items()}
    deredden = bool(section.get("deredden"))
    if deredden:
        sources = {split: Dereddened(source) for split, source in sources.items()}
    sources = {k: with_magnitudes(source, deredden=deredden) for k, source in sources.items()}
    if section.get("composite"):
        from astrojax.data.transforms.composite import Composite  # brings JAX along

        keys, at = section["composite"], "data.composite"
        sources = {k: call(Composite, keys, path=at, source=s) for k, s in sources.items()}
    if section.get("cache_in_memory"):
        sources = {split: cache_in_memory(source) for split, source in sources.items()}
    if section.get("labels"):
        from astrojax.data.transforms.labels import thin_labels

        train = sources["train"]
        sources["train"] = call(thin_labels, section["labels"], path="data.labels", source=train)
    return sources
