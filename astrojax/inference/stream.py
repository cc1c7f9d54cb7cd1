# SPDX-License-Identifier: Apache-2.0
"""A model applied to a data set of any length: batches in, a table of results out.

Memory holds a few batches and one part of the table, whatever the number of objects; beside them
the data set's own columns, such as ids.
"""

import dataclasses
import datetime
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import astrojax
from astrojax import distributed
from astrojax.data import fingerprint, validate
from astrojax.data.source import Source, Subset
from astrojax.errors import UserError
from astrojax.inference import fields, flags, membership, table_metadata, writers
from astrojax.inference.array_model import ArrayModel, check_heads
from astrojax.inference.embedder import Embedder
from astrojax.inference.flags import Inspected
from astrojax.inference.inputs import Opened, compare
from astrojax.inference.shards import DATA, Parts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a table is to hold, and how it is made.

    Attributes:
        embedding: Whether it has the embeddings.
        predictions: Whether it has what the heads say.
        bad_pixels: "null" leaves results of images with such pixels empty; "zero" sets the pixels
            to zero, as `data.bad_pixels = "mask"` does in training. Both flag the object.
        batch_size: Images at a time on all devices.
        threads: Threads that read images.
        chunk: Objects in a part, which is what a command that was killed may lose.
    """

    embedding: bool
    predictions: bool
    bad_pixels: str
    batch_size: int
    threads: int
    chunk: int


def run(
    model: ArrayModel, opened: Opened, out: Path, wanted: Wanted, *, command: str, overwrite: bool
) -> Path:
    """Makes the table, or goes on where an earlier start of the same command was stopped.

    Args:
        model: The model, whose card was compared with the data (`door.compare`).
        opened: The data.
        out: The table; see `tables.check_output`.
        wanted: What it holds.
        command: The command line, for the table's metadata.
        overwrite: Whether unfinished parts of another table of this name are removed.

    Raises:
        UserError: The model has no heads and nothing but predictions is wanted, no image of a
            whole part can be read, or the table cannot be written.
    """
    columns = {name: opened.source.column(name) for name in opened.names}
    columns.setdefault("id", np.arange(len(opened.source)))
    validate.unique_ids(columns["id"], opened.text)
    sides = membership.split_column(model.splits, opened.source)
    writers.check_columns(columns, out)
    identity = _identity(model, opened, wanted)
    parts = Parts(out, identity, restart=overwrite)
    total, begun = len(opened.source), parts.rows
    if model.reference is None:
        logging.warning(
            "the bundle has no reference, so no flag_out_of_distribution: export the run again"
        )
    if begun:
        logging.info("%s: going on after %d of %d objects", out, begun, total)
    if begun < total:
        rest = Subset(opened.source, np.arange(begun, total))
        with Progress(total, begun) as progress:
            for batch in _parts(model, rest, wanted, progress):
                rows = slice(parts.rows, parts.rows + len(batch[""]))
                beside = {name: values[rows] for name, values in columns.items()}
                part = None if sides is None else sides[rows]
                parts.add(_fields(model, opened.source, wanted, beside, part, batch))
    parts.check(columns["id"])
    meta = _provenance(model, opened, out, command)
    writers.write(parts.files(), out, meta, count=total, remove=parts.folder)
    return out


def in_memory(model: ArrayModel, source: Source, *, embedding: bool, predictions: bool) -> Any:
    """Returns the table of a source as an astropy table, whose columns have units and meanings.

    Args:
        model: The model.
        source: The images, with their columns.
        embedding: Whether the table has the embeddings.
        predictions: Whether it has what the heads say.

    Raises:
        UserError: The images are not what the model was trained on, or the model has no heads.
    """
    from astropy.table import Column, MaskedColumn, Table

    if predictions:
        check_heads(model)
    opened = Opened(source, {}, "", f"{len(source)} images")
    compare(model, opened)
    columns = {name: source.column(name) for name in opened.names}
    columns.setdefault("id", np.arange(len(source)))
    wanted = Wanted(
        embedding=embedding,
        predictions=predictions,
        bad_pixels="null",
        batch_size=256,
        threads=4,
        chunk=max(len(source), 1),
    )
    with Progress(len(source), 0) as progress:
        (results,) = _parts(model, source, wanted, progress)
    made = Table()
    sides = membership.split_column(model.splits, source)
    for field in _fields(model, source, wanted, columns, sides, results):
        kind = MaskedColumn if np.ma.isMaskedArray(field.values) else Column
        made[field.name] = kind(field.values, unit=field.unit or None, description=field.meaning)
    return made


def _parts(
    model: ArrayModel, source: Source, wanted: Wanted, progress: "Progress"
) -> Iterator[dict[str, np.ndarray]]:
    """Results of `wanted.chunk` objects at a time."""
    mesh = distributed.make_mesh(fsdp=1)
    apply = Embedder(
        model.method,
        mesh=mesh,
        batch_size=min(wanted.batch_size, len(source)),
        predictions=wanted.predictions,
    )
    names = tuple(name for name in model.method.inputs if name != "image")
    inspected = Inspected(
        source, crop=model.card["crop"], names=names, spread=model.card["pixel_spread"]
    )
    held: list[dict[str, np.ndarray]] = []
    count = 0
    for batch in apply(inspected, threads=wanted.threads, beside=(*flags.SEEN, flags.ABSURD)):
        held.append(batch)
        count += len(batch[""])
        progress.add(len(batch[""]))
        if count >= wanted.chunk:
            yield _joined(held)
            held, count = [], 0
    if held:
        yield _joined(held)


def _joined(batches: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    whole = {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
    if len(whole[""]) >= validate.SAMPLE and whole[flags.UNREADABLE].all():
        raise UserError(
            f"not one of {len(whole[''])} images in a row could be read: mend the data and give "
            "the same command again; what was finished is kept"
        )
    return whole


def _fields(
    model: ArrayModel,
    source: Source,
    wanted: Wanted,
    columns: Mapping[str, np.ndarray],
    sides: np.ndarray | None,
    results: Mapping[str, np.ndarray],
) -> list[fields.Field]:
    """Returns the columns of one part, in the order they have in the table."""
    seen = {name: results[name] for name in flags.SEEN}
    empty = seen[flags.UNREADABLE].copy()
    if wanted.bad_pixels == "null" and "image" in model.method.inputs:
        empty |= seen[flags.BAD_PIXELS]
    network = {k: v for k, v in results.items() if k not in (*flags.SEEN, flags.ABSURD)}
    wrong = flags.not_finite(network) & ~seen[flags.UNREADABLE]
    found = fields.without_values(network, np.flatnonzero(empty))
    embedding = np.asarray(found.pop(""), np.float32)
    made = [fields.plain("id", columns["id"])]
    beside = fields.of_data({k: v for k, v in columns.items() if k != "id"}, source.info)
    own = [] if sides is None else [fields.plain("split", sides)]
    own += fields.of_predictions(found, model.info)
    if model.reference is not None:
        distance = model.distance(embedding)
        seen[flags.OUTSIDE] = model.outside(distance) | results[flags.ABSURD]
        own.append(fields.plain("ood_score", distance.astype(np.float32)))
    own += fields.of_flags({**seen, flags.NOT_FINITE: wrong})
    own += [fields.plain("embedding", embedding)] if wanted.embedding else []
    return [*made, *fields.distinct(beside, own)]


def _identity(model: ArrayModel, opened: Opened, wanted: Wanted) -> dict[str, Any]:
    """Returns what the rows of a table depend on."""
    contents = dataclasses.asdict(wanted)
    for name in ("batch_size", "threads", "chunk"):  # how it is made, not what
        del contents[name]
    return {
        "astrojax version": astrojax.__version__,
        "model": model.hash,
        "data": json.dumps([opened.section, opened.split], sort_keys=True),
        "contents": contents,
        "chunk": wanted.chunk,
        DATA: fingerprint.of({opened.split: opened.source}, opened.section),
    }


def _provenance(model: ArrayModel, opened: Opened, out: Path, command: str) -> dict[str, str | int]:
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)  # FITS dates are UTC
    return {
        "model": f"{type(model.method).__name__}, trained on {model.card['trained_on']}",
        "model_hash": model.hash,
        "config_hash": model.card.get("config_hash", ""),
        "checkpoint": model.card.get("checkpoint", ""),
        "astrojax": astrojax.__version__,
        "command": command,
        "date": now.isoformat(timespec="seconds"),
        "objects": len(opened.source),
        "data": opened.text,
        "data_section": table_metadata.describe(opened.section, opened.split, out.parent),
        "data_split": opened.split,
    }


class Progress:
    """How far a command is: a bar in a terminal, log lines elsewhere.

    Args:
        total: Objects in all.
        begun: Objects that an earlier start finished.
    """

    def __init__(self, total: int, begun: int):
        import time

        from rich.console import Console
        from rich.progress import MofNCompleteColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self.total, self.begun, self.done, self.clock = total, begun, begun, time.monotonic
        self.start = self.told = self.clock()
        console = Console(stderr=True)
        columns = (*Bars.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        self.bars = Bars(*columns, console=console) if console.is_terminal else None

    def __enter__(self) -> "Progress":
        if self.bars:
            self.bars.start()
            self.task = self.bars.add_task("objects", total=self.total, completed=self.begun)
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bars:
            self.bars.stop()

    def add(self, count: int) -> None:
        """Tells that so many more objects are done; log lines come every ten seconds at most."""
        self.done += count
        now = self.clock()
        if self.bars:
            self.bars.update(self.task, completed=self.done)
        elif now - self.told > 10 or self.done == self.total:
            rate = (self.done - self.begun) / max(now - self.start, 1e-9)
            logging.info(
                "%d of %d objects, %.0f a second, %.1f min left",
                self.done,
                self.total,
                rate,
                (self.total - self.done) / rate / 60,
            )
            self.told = now
