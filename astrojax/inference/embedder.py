# SPDX-License-Identifier: Apache-2.0
"""From a trained method and a data set to one table: ids, embeddings, predictions, columns."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from flax import nnx

from astrojax import distributed
from astrojax.data.batching import ordered_batches
from astrojax.data.source import Source
from astrojax.inference.table import Table
from astrojax.methods import Method


def embed(method: Method, source: Source, *, batch_size: int, threads: int, mesh: Any) -> Table:
    """Embeds every example of a source, in order, on all devices of a mesh.

    Args:
        method: The trained method; its `embed` and `predict` are applied in evaluation mode.
        source: The images, with their columns.
        batch_size: Images at a time, rounded up to a multiple of the devices.
        threads: Threads that read images.
        mesh: Mesh from `sharding.make_mesh`.
    """
    size = min(batch_size, len(source))
    return Embedder(method, mesh=mesh, batch_size=size).table(source, threads=threads)


class Embedder:
    """A method compiled for batches of one size on all devices of a mesh.

    Args:
        method: The trained method, applied in evaluation mode.
        mesh: Mesh from `sharding.make_mesh`.
        batch_size: Images at a time, rounded up to a multiple of the devices.
        predictions: Whether the heads are applied as well.
    """

    def __init__(self, method: Method, *, mesh: Any, batch_size: int, predictions: bool = True):
        graph, state = nnx.split(method)
        self.inputs, self.mesh = method.inputs, mesh
        self.batch_size = -(-batch_size // mesh.size) * mesh.size
        self._state = distributed.put_state(mesh, state)

        @functools.partial(jax.jit, out_shardings=distributed.replicated(mesh))
        def apply(state: Any, batch: dict[str, jax.Array]) -> dict[str, jax.Array]:
            bound = nnx.merge(graph, state)
            inputs = [batch[name] for name in self.inputs]
            heads = bound.predict(*inputs) if predictions else {}
            return {"": bound.embed(*inputs), **heads}

        self._apply = apply

    def __call__(
        self, source: Source, *, threads: int, beside: tuple[str, ...] = ()
    ) -> Iterator[dict[str, np.ndarray]]:
        """Every example in order, batch by batch: the embedding under "", and the predictions.

        The next batch is on its way while one is handed out, so memory does not depend on the
        length of the source.

        Args:
            source: The images, with their columns.
            threads: Threads that read images.
            beside: Entries of the examples to hand out with the results.
        """
        waiting: tuple[dict[str, jax.Array], int, dict[str, np.ndarray]] | None = None
        columns = (*self.inputs, *beside)
        batches = ordered_batches(
            source,
            columns=columns,
            batch_size=self.batch_size,
            threads=threads,
            rows=distributed.local_rows(self.mesh, self.batch_size),
        )
        for batch, count in batches:
            seen = {name: batch.pop(name)[:count] for name in beside}
            result = self._apply(self._state, distributed.put_batch(self.mesh, batch))
            distributed.block_until_ready(result)
            if waiting:
                yield _fetch(*waiting)
            waiting = (result, count, seen)
        if waiting:
            yield _fetch(*waiting)

    def table(self, source: Source, *, threads: int) -> Table:
        """Returns every example, with its columns; `threads` read images."""
        parts = list(self(source, threads=threads))
        joined = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        columns = {n: source.column(n) for n in source[0] if n != "image"}
        ids = columns.pop("id", np.arange(len(source)))
        return Table(ids, joined.pop(""), joined, columns)


def _fetch(
    result: dict[str, jax.Array], count: int, seen: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    return {name: np.asarray(value)[:count] for name, value in result.items()} | seen
