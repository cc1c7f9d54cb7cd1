# SPDX-License-Identifier: Apache-2.0
"""From a data source to global device batches: the one way that data takes into a training step.

A source is random-access. Its order is a pure function of (seed, position): epochs are shuffled
one after another and laid end to end, so every example appears once per epoch, and step `s` with
global batch `B` holds positions `s B ... (s + 1) B - 1` whatever the number of devices or hosts.
The step counter is therefore the iterator's whole state; it is saved with every checkpoint.
"""

import dataclasses
import glob
import importlib
import importlib.util
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from astrojax import faults
from astrojax.config import call
from astrojax.errors import UserError


@dataclasses.dataclass(frozen=True)
class DataInfo:
    """What the pixels are; saved with a model, compared when a model meets new images.

    Attributes:
        bands: Band names, in the order of the last image axis.
        image_size: Side of the square stamps, in pixels.
        pixel_scale: Arcseconds per pixel, or None if unknown or not constant.
        unit: Physical unit of a pixel value, e.g. "microjansky"; "display" for 8-bit composites.
        zero_point: AB magnitude of one unit of flux, or None.
        noise: Standard deviation of the sky noise per pixel, one per band in `unit`, or None.
        extinction: R_b = A_b / E(B-V), one per band, or None.
        classes: Names of the integer labels, or None.
        catalogue_bands: Bands of flux and magnitude columns where they are not those of the image,
            as for a colour composite; None where they are.
    """

    bands: tuple[str, ...]
    image_size: int
    pixel_scale: float | None = None
    unit: str = "unknown"
    zero_point: float | None = None
    noise: tuple[float, ...] | None = None
    extinction: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None
    catalogue_bands: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain dict that `from_json` turns back into an equal object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "DataInfo":
        """The inverse of `to_json`, also after a round trip through JSON text."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


@runtime_checkable
class Source(Protocol):
    """A random-access set of examples."""

    info: DataInfo

    def __len__(self) -> int:
        """Number of examples."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One example: `image` [h w c] and scalars or short vectors."""

    def column(self, name: str) -> np.ndarray:
        """All values of one entry other than the image, [n ...].

        Raises:
            KeyError: There is no such entry.
        """


class ArraySource:
    """A source held in memory: arrays that run parallel, one of them `image` [n h w c]."""

    def __init__(self, columns: Mapping[str, np.ndarray], info: DataInfo):
        sizes = {name: len(values) for name, values in columns.items()}
        if len(set(sizes.values())) != 1:
            raise UserError(f"arrays of one data set differ in length: {sizes}")
        self.columns = dict(columns)
        self.info = info

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: values[index] for name, values in self.columns.items()}

    def column(self, name: str) -> np.ndarray:
        """All values of one entry, [n ...]."""
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
        """All values of one entry, [n ...]."""
        return self.source.column(name)[self.positions]


class Dereddened:
    """A source whose pixels are corrected for Galactic dust: x 10^(0.4 R_b E(B-V)), in float32.

    Raises:
        UserError: The data have no `ebv`, or no R_b is known for their bands.
    """

    def __init__(self, source: Source):
        self.source, self.info = source, source.info
        if source.info.extinction is None:
            raise UserError("config key 'data.deredden' is on, but the data state no R_b per band")
        if "ebv" not in source[0]:
            raise UserError("config key 'data.deredden' is on, but the data have no ebv")
        self.coefficients = 0.4 * np.log(10) * np.asarray(source.info.extinction)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = dict(self.source[index])
        factor = np.exp(self.coefficients * float(example["ebv"])).astype(np.float32)
        return {**example, "image": example["image"].astype(np.float32) * factor}

    def column(self, name: str) -> np.ndarray:
        """All values of one entry, [n ...]."""
        return self.source.column(name)


class WithColumns:
    """A source with columns added or replaced."""

    def __init__(self, source: Source, columns: Mapping[str, np.ndarray]):
        self.source, self.info, self.columns = source, source.info, dict(columns)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.source[index], **{n: v[index] for n, v in self.columns.items()}}

    def column(self, name: str) -> np.ndarray:
        """All values of one entry, [n ...]."""
        return self.columns[name] if name in self.columns else self.source.column(name)


def with_magnitudes(source: Source, *, deredden: bool) -> Source:
    """Adds `magnitude` [n c], AB, to data that have `flux` in the pixels' unit and lack it.

    A magnitude is NaN where the flux is not positive; dereddening subtracts R_b E(B-V).
    """
    info = source.info
    if info.zero_point is None or _has(source, "magnitude") or not _has(source, "flux"):
        return source
    flux = np.asarray(source.column("flux"), np.float64)
    magnitude = info.zero_point - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
    if deredden:
        magnitude -= np.asarray(info.extinction) * np.asarray(source.column("ebv"))[:, None]
    return WithColumns(source, {"magnitude": magnitude.astype(np.float32)})


def _has(source: Source, name: str) -> bool:
    """Whether there is a column; no image is read for it, the first may be damaged."""
    try:
        source.column(name)
    except KeyError:
        return False
    return True


def hold(source: Source) -> ArraySource:
    """A source read once, by several threads, and kept in memory with its images.

    Worth it where decoding or drawing an image takes longer than a step needs it for.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        images = list(pool.map(lambda i: source[i]["image"], range(len(source))))
    names = [name for name in source[0] if name != "image"]
    columns = {name: np.asarray(source.column(name)) for name in names}
    return ArraySource({"image": np.stack(images), **columns}, source.info)


def load(section: Mapping[str, Any]) -> dict[str, Source]:
    """Opens the data set that the config section names: {"train", "validation", "test"}.

    Args:
        section: `name` is a module of `astrojax.data`. Eight keys hold for every kind of data:
            `fetch` says where the file is to be had if `path` is not there, `convert` is a unit to
            bring pixels and fluxes to (see `units.Converted`),
            `exclude` has the keys of `exclude.apply`, `deredden` wraps its splits in
            `Dereddened`, `composite` has the keys of `composite.Composite`, `hold` keeps the
            images in memory, `labels` has the keys of `labels.thin_labels`, and `oversample`, which
            the training loop reads, those of `labels.oversample`. The others are those of the
            module's `load`.

    Raises:
        UserError: There is no such kind of source, or its own checks fail.
    """
    name = section.get("name")
    try:
        module = importlib.import_module(f"astrojax.data.{name}")
        loader = module.load
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("astrojax"):
            raise
        raise UserError(
            f"config key 'data.name' is {name!r}; kinds of data are: {', '.join(kinds())}"
        ) from None
    path = section.get("path")
    if section.get("fetch") and isinstance(path, str) and not glob.glob(path):
        raise UserError(f"there is no {path!r}: {section['fetch']}")
    common = ("fetch", "convert", "oversample", "exclude", "deredden", "composite", "hold",
              "labels")  # fmt: skip
    sources = call(loader, {k: v for k, v in section.items() if k not in common}, path="data")
    if section.get("exclude"):
        from astrojax.data.exclude import apply

        sources = call(apply, section["exclude"], path="data.exclude", sources=sources)
    if section.get("convert"):
        from astrojax.data.units import Converted

        sources = {k: Converted(source, section["convert"]) for k, source in sources.items()}
    deredden = bool(section.get("deredden"))
    if deredden:
        sources = {split: Dereddened(source) for split, source in sources.items()}
    sources = {k: with_magnitudes(source, deredden=deredden) for k, source in sources.items()}
    if section.get("composite"):
        from astrojax.data.composite import Composite

        keys, at = section["composite"], "data.composite"
        sources = {k: call(Composite, keys, path=at, source=s) for k, s in sources.items()}
    if section.get("hold"):
        sources = {split: hold(source) for split, source in sources.items()}
    if section.get("labels"):
        from astrojax.data.labels import thin_labels

        train = sources["train"]
        sources["train"] = call(thin_labels, section["labels"], path="data.labels", source=train)
    return sources


def kinds() -> list[str]:
    """Names of the readers: the modules of `astrojax.data` that have a `load`."""
    import pkgutil

    from astrojax import data

    found = []
    for module in pkgutil.iter_modules(data.__path__):
        spec = importlib.util.find_spec(f"astrojax.data.{module.name}")
        with open(spec.origin, encoding="utf-8") as file:
            if "\ndef load(" in file.read() and module.name != "pipeline":
                found.append(module.name)
    return sorted(found)


def read(source: Source, index: int) -> dict[str, Any]:
    """One example.

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


class _Readable:
    """A source whose examples are read by `read`."""

    def __init__(self, source: Source):
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return read(self.source, index)


class _Shard:
    """This process's rows of the batches of an endless global sequence, one after another."""

    def __init__(self, sequence: Any, columns: tuple[str, ...], batch: int, rows: np.ndarray):
        self.sequence, self.columns, self.batch, self.rows = sequence, columns, batch, rows

    def __len__(self) -> int:
        return len(self.sequence) // self.batch * len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        step, row = divmod(index, len(self.rows))
        example = self.sequence[step * self.batch + int(self.rows[row])]
        return {name: example[name] for name in self.columns}


def local_batches(
    source: Source,
    *,
    columns: tuple[str, ...],
    batch_size: int,
    seed: int,
    start: int,
    threads: int,
    rows: np.ndarray | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Endless shuffled batches of host arrays, beginning with that of step `start`.

    Args:
        source: Where examples come from.
        columns: Which entries to batch.
        batch_size: Global batch size.
        seed: Seed of the order.
        start: Number of steps already taken.
        threads: Threads that read and decode; 0 reads in the caller, best for arrays in memory.
        rows: Which rows of the global batch this process reads and yields; None for all.
    """
    import grain

    rows = np.arange(batch_size) if rows is None else rows
    order = grain.MapDataset.source(_Readable(source)).seed(seed).shuffle()
    shard = _Shard(order.repeat(reseed_each_epoch=True), columns, batch_size, rows)
    batches = grain.MapDataset.source(shard).batch(len(rows), drop_remainder=True)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 if threads else 0)
    iterator = iter(batches.to_iter_dataset(options))
    iterator.set_state({"next_index": start})
    return iterator


def ordered_batches(
    source: Source,
    *,
    columns: tuple[str, ...],
    batch_size: int,
    threads: int,
    rows: np.ndarray | None = None,
) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Each example once and in order, in batches padded to `batch_size`, with their true sizes.

    `rows` are those of every batch that this process reads and yields; None for all.
    """
    from concurrent.futures import ThreadPoolExecutor

    rows = np.arange(batch_size) if rows is None else rows
    last = len(source) - 1

    def batch(start: int) -> tuple[dict[str, np.ndarray], int]:
        wanted = [min(start + int(row), last) for row in rows]
        found = {i: read(source, i) for i in dict.fromkeys(wanted)}
        count = min(batch_size, len(source) - start)
        return {c: np.stack([found[i][c] for i in wanted]) for c in columns}, count

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        waiting: deque = deque()
        for start in range(0, len(source), batch_size):
            waiting.append(pool.submit(batch, start))
            if len(waiting) > max(threads, 1):
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())


def _result(future: Any) -> Any:
    with faults.waiting("the images to embed"):
        return future.result()


def prefetch(batches: Iterator[Any], put: Callable[[Any], Any], *, ahead: int = 2) -> Iterator[Any]:
    """Puts batches on the devices `ahead` of their use, so that transfers overlap with compute."""
    queue = deque(put(batch) for batch in itertools.islice(batches, ahead))
    while queue:
        yield queue.popleft()
        queue.extend(put(batch) for batch in itertools.islice(batches, 1))
