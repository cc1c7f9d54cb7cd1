# SPDX-License-Identifier: Apache-2.0
"""Parquet shards with one row per object: images flattened to lists, or encoded, and columns.

Shards are memory-mapped and read one row group at a time; the newest stay in memory, up to half a
gigabyte. Rows drawn at random from larger files cost a whole row group each (measured: 60 stamps a
second instead of thousands), so convert those with `astrojax convert`.

Hugging Face `datasets` on local Parquet are read as they are, without that library: a folder as the
hub has it, images as {bytes, path} records or nested arrays, class names from the schema.
"""

import dataclasses
import glob
import json
import math
import os
import threading
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from astrojax.data import images, pictures, stated, untrusted, validate
from astrojax.data.arrow_rows import ArrowRows
from astrojax.data.classes import Encoder, indices
from astrojax.data.columns import read, standardise
from astrojax.data.keys import (
    MAX_BYTES,
    MAX_PIXELS,
    BadPixels,
    Classes,
    Columns,
    Layout,
    Others,
    Paths,
    Sentinels,
    Unreadable,
)
from astrojax.data.source import Source
from astrojax.data.split import NAMES
from astrojax.errors import UserError
from astrojax.files import reading

CACHE_BYTES = 512 << 20  # row groups kept in memory, per process


def load(
    *,
    path: Paths,
    columns: Columns,
    shape: tuple[int, ...] | None = None,
    layout: Layout = "nhwc",
    label_thinning: int | None = None,
    classes: Classes | None = None,
    others: Others = "error",
    sentinels: Sentinels | None = None,
    info: dict,
    crop: int | None = None,
    resize: int | None = None,
    bad_pixels: BadPixels = "error",
    unreadable: Unreadable = "error",
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    split: dict | None = None,
) -> dict[str, Source]:
    """Opens Parquet shards.

    Args:
        path: A file or glob to divide, one for each split, or a folder as the hub has it.
        columns: {standard name: column}; "image" is needed. See `astrojax.data.columns`.
        shape: Shape of a flattened or nested image in the order of `layout`; None: encoded.
        layout: "nchw" or "nhwc".
        label_thinning: f of `use_redshift_{f}`, which hides redshifts in training, or None.
        classes: Names of integer labels, or the classes wanted of text (as in `readers.npz`);
            None: those in Hugging Face's schema or in the file, or integers as they are.
        others: What of objects in other classes: "error", "drop" or "unlabelled".
        sentinels: {standard name: values that mean missing}.
        info: See `astrojax.data.info.describe`.
        crop: Side of the central square to cut, or None.
        resize: Side to resample pictures to, or None.
        bad_pixels: See `astrojax.data.keys`.
        unreadable: See `astrojax.data.keys`.
        max_pixels: See `astrojax.data.keys`.
        max_bytes: See `astrojax.data.keys`.
        split: See `astrojax.data.keys`.

    Raises:
        UserError: See `astrojax.data.validate`.
    """
    cuts: dict = {"crop": crop, "resize": resize, "bad_pixels": bad_pixels}
    cuts["unreadable"], dust = unreadable, info.get("extinction")
    encoders = Encoder(classes, others), Encoder(None, others)
    stored = Stored(shape, layout, len(info.get("bands", ())), max_pixels, max_bytes)

    def open_one(one: str, name: str) -> Source:
        files, where = _shards(one)
        names = images.with_thinning(columns, label_thinning, name)
        image = validate.key(names.get("image", "image"), available := _available(files), where)
        found = read(partial(_column, files), available, names, where=where)
        clean = standardise(found, sentinels=sentinels or {}, where=where, extinction=dust)
        label = _encoded(clean, class_names(files[0], names.get("label")), encoders, where)
        said = _stated(files[0], image)
        stamps = stated.chosen(ParquetImages(files, image, stored), said, info, where)
        return images.open_source(stamps, clean, info=info, where=where, **label, **cuts)

    return images.thin_training(images.split_paths(open_one, _paths(path), split))


def _paths(path: Paths) -> Paths:
    is_folder = isinstance(path, str) and os.path.isdir(path)
    return {**hub_splits(str(path))} if is_folder else path


def _encoded(
    columns: dict[str, np.ndarray],
    own: tuple[str, ...] | None,
    encoders: tuple[Encoder, Encoder],
    where: str,
) -> dict[str, Any]:
    """Encodes the label, if there is one; returns `classes` and `of_classes` of the source.

    Args:
        columns: Columns; the label is replaced.
        own: Names of the classes in the schema.
        encoders: Of labels with names, and of labels for which the config has the names.
        where: What to call the file.
    """
    if "label" not in columns:
        return {}
    encode, by_index = encoders
    classes, labels = encode.classes, indices(columns["label"])
    if labels is None:
        columns["label"], named, kept = encode(columns["label"], None, where)
    elif classes is not None and not _chosen(classes, own):
        columns["label"], named, kept = by_index(labels, _names(classes), where)
    elif own is not None:
        columns["label"], named, kept = encode(labels, own, where)
    else:
        columns["label"] = labels
        return {}
    return {"classes": named, "of_classes": kept}


def _chosen(classes: Classes, own: tuple[str, ...] | None) -> bool:
    """Returns whether classes are chosen among the file's own, not names for its indices."""
    members = [m for c in classes for m in (c[1] if isinstance(c, tuple) else (c,))]
    return own is not None and {str(m) for m in members} <= set(own)


def _names(classes: Classes) -> tuple[str, ...]:
    if any(isinstance(c, tuple) for c in classes):
        raise UserError("data.classes merges classes, but the labels are integers without names")
    return tuple(map(str, classes))


def hub_splits(folder: str) -> dict[str, str]:
    """Returns {split: glob of its shards} of a folder in the layout of the Hugging Face hub.

    Raises:
        UserError: No file in it is named after a split.
    """
    patterns = (
        {name: os.path.join(folder, *inner, f"{name}-*.parquet") for name in NAMES}
        for inner in ((), ("data",))
    )
    for pattern in patterns:
        found = {name: text for name, text in pattern.items() if glob.glob(text)}
        if found:
            return found
    raise UserError(
        f"folder {folder!r} has no train-*.parquet, validation-*.parquet or test-*.parquet: name "
        "the files with a glob, or each split with its own"
    )


def class_names(file: Path, column: str | None) -> tuple[str, ...] | None:
    """Names of the classes in the schema's Hugging Face metadata, or None if it has none."""
    import pyarrow.parquet as pq

    metadata = (pq.read_schema(file).metadata or {}).get(b"huggingface", b"{}")
    with reading(f"the metadata of {file}"):
        features = json.loads(metadata).get("info", {}).get("features", {})
        feature = features.get(column)
        labelled = isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        return tuple(map(str, feature["names"])) if labelled else None


def _shards(path: str) -> tuple[list[Path], str]:
    """Returns the files that match a pattern, and what to call them."""
    files = [Path(f) for f in sorted(glob.glob(os.path.expanduser(path)))]
    files = files or [validate.file(path)]
    return files, files[0].name if len(files) == 1 else f"{len(files)} shards of {path}"


def _stated(file: Path, image: str) -> dict[str, Any]:
    """Returns what the metadata of the schema or of the image column say of the pixels."""
    import pyarrow.parquet as pq

    schema = pq.read_schema(file)
    field = stated.from_attributes(schema.field(image).metadata or {})
    return stated.from_attributes(schema.metadata or {}) | field


def _available(files: list[Path]) -> list[str]:
    import pyarrow.lib
    import pyarrow.parquet as pq

    names = None
    for file in files:
        try:
            there = pq.read_schema(file).names
        except (OSError, pyarrow.lib.ArrowInvalid) as error:
            raise UserError(f"{file} is not a readable Parquet file ({error})") from None
        if names is not None and there != names:
            raise UserError(f"{file.name} has other columns than {files[0].name}")
        names = there
    return names or []


def _column(files: list[Path], name: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        untrusted.check_parquet(file, [name])
    parts = [pq.read_table(f, columns=[name], memory_map=True).column(0) for f in files]
    kinds = {part.type for part in parts}
    if len(kinds) > 1:  # shards that pandas wrote, each with its own guess
        table = pa.concat_tables([pa.table({name: p}) for p in parts], promote_options="permissive")
        return table.column(0)
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], kinds.pop())


@dataclasses.dataclass(frozen=True)
class Stored:
    """How images lie in a column; the keywords are those of `load`.

    Raises:
        UserError: The shape has too many pixels.
    """

    shape: tuple[int, ...] | None
    layout: Layout
    bands: int
    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        if self.shape is not None:
            sides = self.shape[-2:] if self.layout == "nchw" else self.shape[:2]
            pictures.check_size(sides, "config key 'data.shape'", self.max_pixels)


class ParquetImages:
    """The image column of some shards, read by row group."""

    def __init__(self, files: list[Path], name: str, stored: Stored):
        import pyarrow.parquet as pq

        self.files, self.name, self.stored = files, name, stored
        # Where each row group starts, over all shards, and which (shard, group) it is.
        self.groups: list[tuple[int, int]] = []
        sizes = [0]
        for i, file in enumerate(files):
            metadata = pq.read_metadata(file)
            for group in range(metadata.num_row_groups):
                self.groups.append((i, group))
                sizes.append(metadata.row_group(group).num_rows)
        self.starts = np.cumsum(sizes)
        self._forget()

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        group = int(np.searchsorted(self.starts, index, side="right")) - 1
        rows = self._group(group, index)
        value = rows.get(index - int(self.starts[group]))
        if value is None:
            raise pictures.Unreadable(f"{self.where(index)} has no image")
        if value.nbytes > self.stored.max_bytes:
            raise pictures.Unreadable(
                f"{self.where(index)} has {value.nbytes} bytes, more than data.max_bytes = "
                f"{self.stored.max_bytes}"
            )
        if self.stored.shape is not None:
            return self._reshape(value, index)
        if not value.nbytes:
            raise pictures.Unreadable(
                f"{self.where(index)} has the path of a picture and not its bytes: write the "
                "pictures into the file (`embed_external_files` of Hugging Face datasets)"
            )
        return pictures.decode(
            value.tobytes(),
            bands=self.stored.bands,
            where=self.where(index),
            max_pixels=self.stored.max_pixels,
        )

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return f"{self.files[0].parent.name}, Parquet row {index}"

    def _reshape(self, flat: np.ndarray, index: int) -> np.ndarray:
        shape = self.stored.shape or ()
        if flat.size != math.prod(shape):
            raise pictures.Unreadable(
                f"{self.where(index)}: {flat.size} pixels, but data.shape is {shape}"
            )
        image = flat.reshape(shape)
        if len(shape) == 2:
            return image[..., None]
        return image.transpose(1, 2, 0) if self.stored.layout == "nchw" else image

    def _group(self, group: int, index: int) -> "ArrowRows":
        import pyarrow.parquet as pq

        with self._lock:
            if group not in self._cache:
                shard, inner = self.groups[group]
                file = pq.ParquetFile(self.files[shard], memory_map=True)
                self._check_size(file.metadata.row_group(inner), index)
                column = file.read_row_group(inner, columns=[self.name]).column(0)
                self._cache[group] = ArrowRows(column)
                while len(self._cache) > 1 and self._bytes() > CACHE_BYTES:
                    self._cache.popitem(last=False)
            self._cache.move_to_end(group)
            return self._cache[group]

    def _check_size(self, group: Any, index: int) -> None:
        """Raises `Unreadable` if the rows of a group are too large on average; reads nothing."""
        columns = (group.column(i) for i in range(group.num_columns))
        mine = (c for c in columns if c.path_in_schema.split(".")[0] == self.name)
        size = sum(c.total_uncompressed_size for c in mine)
        if size > self.stored.max_bytes * max(group.num_rows, 1):
            raise pictures.Unreadable(
                f"{self.where(index)} has {size // max(group.num_rows, 1)} bytes, more than "
                f"data.max_bytes = {self.stored.max_bytes}"
            )

    def _bytes(self) -> int:
        return sum(group.nbytes for group in self._cache.values())

    def _forget(self) -> None:
        self._cache: OrderedDict[int, ArrowRows] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_cache", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()
