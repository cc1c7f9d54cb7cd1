# SPDX-License-Identifier: Apache-2.0
"""Opening a data set: the config section `data` becomes sources, one for each split."""

import contextlib
import glob
import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from astrojax.config import Bound, bind, call
from astrojax.data import readers
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
    if name not in reader_names():
        raise UserError(
            f"config key 'data.name' is {name!r}; readers are: {', '.join(reader_names())}"
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


def reader_names() -> list[str]:
    """Returns the names of the readers: the modules of `astrojax.data.readers`."""
    return sorted(module.name for module in pkgutil.iter_modules(readers.__path__))
