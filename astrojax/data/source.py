# SPDX-License-Identifier: Apache-2.0
"""Sources of examples: the protocol, arrays in memory, and views of other sources."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Shaped

from astrojax.data.info import DataInfo
from astrojax.data.native import missing_values
from astrojax.errors import UserError


@runtime_checkable
class Source(Protocol):
    """A random-access set of examples."""

    info: DataInfo

    def __len__(self) -> int:
        """Number of examples."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Returns one example: `image` [h w c] and scalars or short vectors."""

    def column(self, name: str) -> np.ndarray:
        """Returns all values of one entry other than the image, [n ...].

        Raises:
            KeyError: There is no such entry.
        """


class ArraySource:
    """A source held in memory: arrays that run parallel, one of them `image` [n h w c].

    Images of uint8 that are no pictures (unit "display") come out as float32, since networks
    divide pictures of 8 bits by 255.
    """

    def __init__(self, columns: Mapping[str, np.ndarray], info: DataInfo):
        sizes = {name: len(values) for name, values in columns.items()}
        if len(set(sizes.values())) != 1:
            raise UserError(f"arrays of one data set differ in length: {sizes}")
        self.columns = dict(columns)
        self.info = info

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = {name: values[index] for name, values in self.columns.items()}
        image = example.get("image")
        if self.info.unit != "display" and getattr(image, "dtype", None) == np.uint8:
            example["image"] = np.asarray(image, np.float32)
        return example

    def column(self, name: str) -> np.ndarray:
        """Returns all values of one entry, [n ...]."""
        return self.columns[name]


class Subset:
    """The examples of a source at the given positions, in the given order."""

    def __init__(self, source: Source, positions: np.ndarray):
        self.source, self.positions, self.info = source, np.asarray(positions), source.info

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.source[int(self.positions[index])]

    def column(self, name: str) -> np.ndarray:
        """Returns all values of one entry, [n ...]."""
        return self.source.column(name)[self.positions]


class ChosenImages:
    """Some of the stamps of a file."""

    def __init__(self, images: Any, rows: np.ndarray):
        self.images, self.rows = images, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.images[int(self.rows[index])]

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return self.images.where(int(self.rows[index]))


class WithColumns:
    """A source with columns added or replaced."""

    def __init__(self, source: Source, columns: Mapping[str, np.ndarray]):
        self.source, self.info, self.columns = source, source.info, dict(columns)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.source[index], **{n: v[index] for n, v in self.columns.items()}}

    def column(self, name: str) -> np.ndarray:
        """Returns all values of one entry, [n ...]."""
        return self.columns[name] if name in self.columns else self.source.column(name)


def read_example(source: Source, index: int) -> dict[str, Any]:
    """Returns one example.

    Raises:
        UserError: It cannot be read; the message names it.
    """
    try:
        return source[index]
    except UserError:
        raise
    except Exception as error:  # whatever a truncated record makes a reader raise
        raise UserError(
            f"example {index} of the data cannot be read: {type(error).__name__}: {error}"
        ) from error


def has_column(source: Source, name: str) -> bool:
    """Returns whether there is a column; no image is read for it, the first may be damaged."""
    try:
        source.column(name)
    except KeyError:
        return False
    return True


def has_label(values: Shaped[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Returns which labels are known: finite numbers, integer classes that are not negative."""
    known = ~missing_values(values)
    plain = np.ma.getdata(values)
    return known & (plain >= 0) if plain.dtype.kind in "iu" else known & np.isfinite(plain)


def cache_in_memory(source: Source) -> ArraySource:
    """Returns a source read once, by several threads, and kept in memory with its images.

    Worth it where decoding or drawing an image takes longer than a step needs it for.
    """
    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda i: source[i]["image"], range(len(source))))
    names = [name for name in source[0] if name != "image"]
    columns = {name: source.column(name) for name in names}
    return ArraySource({"image": np.stack(images), **columns}, source.info)
