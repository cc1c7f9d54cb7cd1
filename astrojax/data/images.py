# SPDX-License-Identifier: Apache-2.0
"""Sources whose stamps stay on disk: one is read, checked and cut when it is asked for."""

import collections
import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from astrojax.config import call
from astrojax.data import keys, pixels, split, validate
from astrojax.data.info import DataInfo, describe, measure_noise
from astrojax.data.keys import BadPixels, Paths
from astrojax.data.pictures import Unreadable
from astrojax.data.source import ChosenImages, Source, Subset
from astrojax.errors import UserError

SKIP = '; data.unreadable = "skip" leaves such files out'


@runtime_checkable
class Images(Protocol):
    """Stamps in a file: a picklable sequence of arrays [h w c] as they are stored."""

    def __len__(self) -> int:
        """Number of stamps."""

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        """Returns one stamp, in the dtype it is stored in."""

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""


class StoredSource:
    """Columns in memory, images read one at a time: the source behind every file format.

    What a pixel is follows from the unit, not from the type it is stored in: pictures ("display")
    come out as uint8, or as float32 in [0, 1] where some have 16 bits or are floats; everything
    else is float32 in its unit (float16 is cast after the read and before any arithmetic).

    Attributes:
        info: What the pixels are.
        columns: {name: values [n ...]}, `id` among them.
    """

    def __init__(
        self,
        images: Images,
        columns: Mapping[str, np.ndarray],
        info: DataInfo,
        *,
        cut: "Cut",
        dtype: np.dtype,
        bad_pixels: BadPixels,
    ):
        self.images, self.columns, self.info = images, dict(columns), info
        self.cut, self.dtype, self.bad_pixels = cut, dtype, bad_pixels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self._image(index), **{n: v[index] for n, v in self.columns.items()}}

    def column(self, name: str) -> np.ndarray:
        """Returns all values of one entry other than the image, [n ...]."""
        return self.columns[name]

    def _image(self, index: int) -> np.ndarray:
        image, clean = self.cut.read_checked(self.images, index)
        validate.side(image.shape, self.info.image_size, lambda: self.images.where(index))
        bad = 0 if clean else validate.count_bad(image)
        if bad and self.bad_pixels == "error":
            raise UserError(validate.bad_pixels_message([image], self.images.where(index)))
        if bad and self.bad_pixels == "mask":
            image = np.where(np.isfinite(image), image, np.zeros((), image.dtype))
        return pixels.cast(image, self.dtype, lambda: self.images.where(index))


@dataclasses.dataclass(frozen=True)
class Cut:
    """How stored stamps become those of a source.

    Attributes:
        bands: The bands, one plane each.
        unit: What the pixels are.
        crop: Side of the central square to cut, or None.
        resize: Side to resample pictures to after the cut, or None.
    """

    bands: tuple[str, ...]
    unit: str
    crop: int | None
    resize: int | None

    def read(self, images: Images, index: int) -> Shaped[np.ndarray, "h w c"]:
        """Returns one stamp, cut, its values by its unit and its fill values as NaN.

        Raises:
            Unreadable: Whatever reading it raised.
            UserError: It has another number of bands, or is smaller than the crop.
        """
        return self.read_checked(images, index)[0]

    def read_checked(self, images: Images, index: int) -> tuple[Shaped[np.ndarray, "h w c"], bool]:
        """Returns what `read` does, and whether all of the stored pixels are known to be good."""

        def where() -> str:
            return images.where(index)

        try:
            image = np.asarray(images[index])
        except UserError:
            raise
        except Exception as error:  # whatever a truncated record makes a library raise
            raise Unreadable(f"{where()} cannot be read: {error}") from error
        validate.stamp_shape(image.shape, self.bands, where)
        clean = pixels.is_clean(image)
        if not clean or image.dtype != np.float32:
            image = pixels.by_unit(image, self.unit, where)
            clean = clean and (image.dtype.kind != "f" or pixels.is_clean(image))
        picture = self.unit == "display"
        done = fit(image, crop=self.crop, resize=self.resize, picture=picture, where=where)
        return done, clean


def open_source(
    images: Images,
    columns: Mapping[str, np.ndarray],
    *,
    info: Mapping[str, Any],
    where: str,
    classes: Sequence[str] | None = None,
    crop: int | None = None,
    resize: int | None = None,
    bad_pixels: BadPixels = "error",
    unreadable: keys.Unreadable = "error",
    left_out: Mapping[str, int] | None = None,
    of_classes: np.ndarray | None = None,
) -> StoredSource:
    """Puts stamps and columns together, after checks of a sample of the stamps.

    Args:
        images: The stamps.
        columns: {name: values [n ...]}; without `id` the row number is the id.
        info: The config section that `describe` takes.
        where: What to call the data in messages.
        classes: Names of the labels.
        crop: Side of the central square to cut, or None.
        resize: Side to resample pictures to after the cut, or None.
        bad_pixels: "error", "mask" (NaN and infinite pixels become zero), or "keep" (for
            `astrojax.inference`, which flags such objects and damaged files).
        unreadable: "skip" reads every stamp now, and leaves out those that cannot be read.
        left_out: {reason: count} of what the reader left out.
        of_classes: Positions of the objects of the classes wanted; the others are not read.

    Raises:
        UserError: No stamps, wrong number of bands, too small for the crop, NaN or infinite pixels
            in the sample, or columns of another length.
    """
    if not len(images):
        raise UserError(f"{where} holds no stamps")
    columns = {"id": np.arange(len(images)), **columns}
    for name, values in columns.items():
        if len(values) != len(images):
            raise UserError(f"{where}: {len(values)} values of {name}, but {len(images)} stamps")
    validate.unique_ids(columns["id"], where)
    described = call(describe, info, path="data.info", image_size=0, classes=classes)
    cut = Cut(described["bands"], described["unit"], crop, resize)
    counts = dict(left_out or {})
    if of_classes is not None and len(of_classes) < len(images):
        counts["objects of other classes (data.others)"] = len(images) - len(of_classes)
        images, columns = _choose(images, columns, of_classes)
        if not len(images):
            raise UserError(f"{where} holds no object of the classes wanted")
    if unreadable == "skip":
        kept, lost = drop_unreadable(images, cut)
        counts |= lost
        images, columns = _choose(images, columns, kept)
    stamps = _sample(images, cut, bad_pixels, where)
    described["image_size"] = stamps[0].shape[0]
    if described["noise"] == "measure":
        described["noise"] = measure_noise(stamps)
    told = DataInfo(**described, left_out=tuple(counts.items()))
    dtype = pixels.common_dtype(stamps)
    return StoredSource(images, columns, told, cut=cut, dtype=dtype, bad_pixels=bad_pixels)


def _choose(
    images: Images, columns: dict[str, np.ndarray], rows: np.ndarray
) -> tuple[Images, dict[str, np.ndarray]]:
    return ChosenImages(images, rows), {name: values[rows] for name, values in columns.items()}


def _sample(images: Images, cut: Cut, bad_pixels: BadPixels, where: str) -> list[np.ndarray]:
    """Returns some stamps of one side, cut as they will be, after the checks of `open_source`."""
    stamps = readable(images, cut, bad_pixels)
    most = max(collections.Counter(s.shape for s in stamps.values()).items(), key=lambda p: p[1])[0]
    for index, stamp in list(stamps.items()):
        if bad_pixels != "keep":
            validate.side(stamp.shape, most[0], images.where(index))
        elif stamp.shape != most:
            del stamps[index]  # flagged when it is met
    first = next(iter(stamps))
    validate.side(most, most[0], images.where(first))
    found = list(stamps.values())
    pixels.check_pictures(found, cut.unit, where)
    bad = sum(map(validate.count_bad, found))
    if bad and bad_pixels == "error":
        raise UserError(validate.bad_pixels_message(found, where))
    if bad:
        done = "set to zero" if bad_pixels == "mask" else "kept"
        logging.warning(
            "%s: %d NaN or Inf pixels in %d sampled stamps are %s", where, bad, len(found), done
        )
    empty = [i for i, stamp in stamps.items() if stamp.dtype.kind == "f" and _empty(stamp)]
    if empty:
        logging.warning(
            "%s: %d of %d sampled stamps are zero in over a quarter of a band's pixels, e.g. %s",
            where,
            len(empty),
            len(stamps),
            images.where(empty[0]),
        )
    return found


def readable(images: Images, cut: Cut, bad_pixels: BadPixels) -> dict[int, np.ndarray]:
    """Returns {position: stamp} of a sample; with "keep", without those that cannot be read.

    Raises:
        UserError: A sampled stamp cannot be read; with "keep", none of them can.
    """
    found, message = {}, ""
    for index in sampled(len(images)):
        try:
            found[index] = cut.read(images, index)
        except UserError as error:
            if bad_pixels != "keep":
                raise
            message = str(error)
    if not found:
        count = len(sampled(len(images)))
        raise UserError(f"none of {count} sampled stamps can be read: {message}")
    return found


def sampled(size: int) -> list[int]:
    """Returns positions of `validate.SAMPLE` stamps, spread evenly."""
    return np.unique(np.linspace(0, size - 1, validate.SAMPLE).astype(int)).tolist()


def reopen(
    images: Images,
    columns: Mapping[str, np.ndarray],
    info: DataInfo,
    *,
    crop: int | None,
    resize: int | None,
) -> StoredSource:
    """Returns a source of stamps that were checked when they were converted."""
    cut = Cut(info.bands, info.unit, crop, resize)
    stamp = cut.read(images, 0)
    info = dataclasses.replace(info, image_size=stamp.shape[0])
    dtype = pixels.common_dtype([stamp])
    return StoredSource(images, columns, info, cut=cut, dtype=dtype, bad_pixels="error")


def split_paths(
    open_one: Callable[[str, str], Source],
    path: Paths,
    section: Mapping[str, Any] | None,
) -> dict[str, Source]:
    """Returns one path divided by `section`, or {"train": path, "validation": path, "test": path}.

    `open_one` gets a path and the name of its split; "all" if the path is to be divided.

    Raises:
        UserError: Both a division and separate paths; a path without a file; or, where the files
            name their objects, an object in two of them.
    """
    if isinstance(path, str):
        return split.apply(open_one(path, "all"), section)
    if section is not None:
        raise UserError("config key 'data.split' has to be None where data.path names each split")
    for name in path:
        validate.choice(name, split.NAMES, "data.path")
    found = {name: open_one(p, name) for name, p in path.items() if p is not None}
    seen: dict[str, Source] = {}
    for name, source in found.items():
        row_numbers = np.array_equal(source.column("id"), np.arange(len(source)))
        for other in () if row_numbers else seen:
            validate.disjoint(source, seen[other], (name, other), radius_arcsec=None)
        seen[name] = source
    return found


def with_thinning(
    names: Mapping[str, Any], label_thinning: int | None, split_name: str
) -> dict[str, Any]:
    """Returns column names, with `use_redshift_{f}` for the split that is trained on."""
    if label_thinning is None or split_name not in ("train", "all"):
        return dict(names)
    return {**names, "use_redshift": f"use_redshift_{label_thinning}"}


def thin_training(sources: dict[str, Source]) -> dict[str, Source]:
    """Hides redshifts of the training split where its `use_redshift` is not 1."""
    train = sources.get("train")
    stored: Source | None = train
    rows: slice | np.ndarray = slice(None)
    if isinstance(train, Subset):
        stored, rows = train.source, train.positions
    if isinstance(stored, StoredSource) and "use_redshift" in stored.columns:
        use = stored.columns.pop("use_redshift")[rows]
        redshift = stored.columns["redshift"].copy()
        redshift[rows] = np.where(use == 1, redshift[rows], np.nan)
        stored.columns["redshift"] = redshift
    return sources


def fit(
    image: Shaped[np.ndarray, "h w c"],
    *,
    crop: int | None,
    resize: int | None,
    picture: bool,
    where: Callable[[], str],
) -> Shaped[np.ndarray, "s t c"]:
    """Cuts the central square of side `crop`, then resamples a picture to side `resize`."""
    if crop is not None:
        validate.crop(min(image.shape[:2]), crop, where())
        image = central_crop(image, crop)
    if resize is None or image.shape[:2] == (resize, resize):
        return image
    if not picture:
        raise UserError("data.resize is for 8-bit images (resampling moves flux): use data.crop")
    from PIL import Image

    lanczos, side = Image.Resampling.LANCZOS, (resize, resize)
    if image.dtype == np.uint8 and image.shape[-1] == 3:
        return np.asarray(Image.fromarray(image).resize(side, lanczos))
    planes = [Image.fromarray(image[..., i]).resize(side, lanczos) for i in range(image.shape[-1])]
    return np.stack([np.asarray(p) for p in planes], -1)


def central_crop(
    image: Shaped[np.ndarray, "h w c"], crop: int | None
) -> Shaped[np.ndarray, "s t c"]:
    """Returns the central square of side `crop`; the whole image if that is None."""
    if crop is None:
        return image
    top, left = (image.shape[0] - crop) // 2, (image.shape[1] - crop) // 2
    return image[top : top + crop, left : left + crop]


def _empty(stamp: np.ndarray) -> bool:
    return bool(((stamp == 0).mean((0, 1)) > 0.25).any())


def drop_unreadable(images: Images, cut: Cut) -> tuple[np.ndarray, dict[str, int]]:
    """Returns positions of the stamps that can be read, and {reason: count} of the others.

    Every stamp is read once, now, because the number of examples has to be known; those that
    cannot be read, or are not of the size of most, are named and counted in a warning. Convert to
    TFDS to pay for that once.

    Raises:
        UserError: None can be read.
    """
    shapes: dict[int, tuple[int, ...]] = {}
    dropped, message = [], ""
    for index in range(len(images)):
        try:
            shapes[index] = cut.read(images, index).shape
        except UserError as error:
            dropped.append(images.where(index))
            message = str(error)
    if not shapes:
        raise UserError(f"none of {len(images)} stamps can be read: {message}")
    most = max(collections.Counter(shapes.values()).items(), key=lambda pair: pair[1])[0]
    other = [images.where(i) for i, shape in shapes.items() if shape != most]
    if dropped:
        tell("skipped %d of %d unreadable files: %s", dropped, len(images))
    if other:
        tell("skipped %d of %d images of another size than most: %s", other, len(images))
    lost = {"unreadable": len(dropped), "of another size": len(other)}
    kept = np.array([i for i, shape in shapes.items() if shape == most], int)
    return kept, {reason: count for reason, count in lost.items() if count}


def tell(text: str, names: Iterable[str], total: int) -> None:
    """Logs a warning with how many there are, of how many, and the first five names."""
    names = list(names)
    logging.warning(text, len(names), total, ", ".join(Path(n).name for n in names[:5]))
