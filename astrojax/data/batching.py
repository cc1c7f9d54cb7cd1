# SPDX-License-Identifier: Apache-2.0
"""Batches of a source, shuffled without end for training or once in order for inference (Grain).

A source is random-access. Its order is a pure function of (seed, position): epochs are shuffled
one after another and laid end to end, so every example appears once per epoch, and step `s` with
global batch `B` holds positions `s B ... (s + 1) B - 1` whatever the number of devices or hosts.
The step counter is therefore the iterator's whole state; it is saved with every checkpoint.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from astrojax import distributed
from astrojax.data.source import Source, read_example


class _Readable:
    """A source whose examples are read by `read_example`."""

    def __init__(self, source: Source):
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return read_example(self.source, index)


class _Shard:
    """This process's rows of the batches of an endless global sequence, one after another."""

    def __init__(self, sequence: Any, columns: tuple[str, ...], batch: int, rows: np.ndarray):
        self.sequence, self.columns, self.batch, self.rows = sequence, columns, batch, rows

    def __len__(self) -> int:
        return len(self.sequence) // self.batch * len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        step, row = divmod(index, len(self.rows))
        example = self.sequence[step * self.batch + int(self.rows[row])]
        return {name: _network_input(example[name]) for name in self.columns}


def _network_input(value: Any) -> Any:
    """Returns an entry as a network reads it: float64 in float32, missing integers as -1."""
    if value is np.ma.masked:
        return -1
    return np.float32(value) if getattr(value, "dtype", None) == np.float64 else value


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
    rows = np.arange(batch_size) if rows is None else rows
    last = len(source) - 1

    def batch(start: int) -> tuple[dict[str, np.ndarray], int]:
        wanted = [min(start + int(row), last) for row in rows]
        found = {i: read_example(source, i) for i in dict.fromkeys(wanted)}
        count = min(batch_size, len(source) - start)
        return {c: np.stack([_network_input(found[i][c]) for i in wanted]) for c in columns}, count

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        waiting: deque = deque()
        for start in range(0, len(source), batch_size):
            waiting.append(pool.submit(batch, start))
            if len(waiting) > max(threads, 1):
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())


def _result(future: Any) -> Any:
    with distributed.waiting("the images to embed"):
        return future.result()


def prefetch(batches: Iterator[Any], put: Callable[[Any], Any], *, ahead: int = 2) -> Iterator[Any]:
    """Puts batches on the devices `ahead` of their use, so that transfers overlap with compute."""
    queue = deque(put(batch) for batch in itertools.islice(batches, ahead))
    while queue:
        yield queue.popleft()
        queue.extend(put(batch) for batch in itertools.islice(batches, 1))
