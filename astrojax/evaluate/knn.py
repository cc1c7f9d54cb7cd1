# SPDX-License-Identifier: Apache-2.0
"""Weighted k-nearest-neighbour vote by cosine similarity (Wu et al. 2018, arXiv 1805.01978).

The bank stays in host memory and passes through the device in blocks; a running top-k is merged
block by block. So a million queries against a million embeddings of 512 numbers need one block of
similarities (`QUERY_BLOCK` x `BANK_BLOCK` numbers) and the answer, never the full matrix.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from astrojax.errors import UserError
from astrojax.evaluate import plots, quantities, resampling
from astrojax.evaluate.classification import metrics
from astrojax.evaluate.report import Figure, Section

QUERY_BLOCK = 8192
BANK_BLOCK = 16384
SHEET_QUERIES, SHEET_NEIGHBOURS = 8, 7


def neighbours(
    bank: Float[Array | np.ndarray, "n d"],
    queries: Float[Array | np.ndarray, "b d"],
    *,
    k: int,
    query_block: int = QUERY_BLOCK,
    bank_block: int = BANK_BLOCK,
) -> tuple[Int[np.ndarray, "b k"], Float[np.ndarray, "b k"]]:
    """Returns the k most similar bank rows of each query, most similar first.

    Args:
        bank: Embeddings to search, of any length; NumPy arrays are streamed from host memory.
        queries: Embeddings to search for.
        k: Number of neighbours.
        query_block: Queries on the device at a time.
        bank_block: Bank rows on the device at a time.

    Returns:
        Row numbers into the bank, and cosine similarities.

    Raises:
        UserError: The bank has fewer than k rows, or an embedding is not finite.
    """
    if k > len(bank):
        raise UserError(f"kNN with k={k} needs as many embeddings; the bank has {len(bank)}")
    for rows, size in ((bank, bank_block), (queries, query_block)):
        if not all(np.isfinite(block).all() for block in _blocks(rows, size)):
            raise UserError("kNN needs finite embeddings; some are NaN or Inf")
    parts = [_search(bank, q, k, bank_block) for q in _blocks(queries, query_block)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _blocks(rows: Array | np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), size):
        yield np.asarray(rows[start : start + size], np.float32)


def _search(
    bank: Array | np.ndarray, queries: np.ndarray, k: int, bank_block: int
) -> tuple[np.ndarray, np.ndarray]:
    size, start, asked = len(queries), 0, jnp.asarray(queries)
    best = (jnp.full((size, k), -jnp.inf), jnp.zeros((size, k), jnp.int32))
    for block in _blocks(bank, bank_block):
        best = _merge(best, asked, jnp.asarray(block), jnp.int32(start), k=k)
        # Blocks are handed over faster than they are used: waiting bounds how many are alive.
        jax.block_until_ready(best)
        start += len(block)
    return np.asarray(best[1]), np.asarray(best[0])


@partial(jax.jit, static_argnames="k", donate_argnums=0)
def _merge(
    best: tuple[Float[Array, "b k"], Int[Array, "b k"]],
    queries: Float[Array, "b d"],
    block: Float[Array, "n d"],
    start: Int[Array, ""],
    *,
    k: int,
) -> tuple[Float[Array, "b k"], Int[Array, "b k"]]:
    """Merges a block of the bank into the running top k; of equals the earlier row stays first."""
    # An accelerator's default would round the factors to ten bits and swap close neighbours.
    similarity = jnp.matmul(_unit(queries), _unit(block).T, precision=jax.lax.Precision.HIGHEST)
    near, place = jax.lax.top_k(similarity, min(k, block.shape[0]))
    merged = jnp.concatenate([best[0], near], axis=1)
    index = jnp.concatenate([best[1], place.astype(jnp.int32) + start], axis=1)
    merged, place = jax.lax.top_k(merged, k)
    return merged, jnp.take_along_axis(index, place, axis=1)


def _unit(rows: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """L2-normalised rows; a row of zeros stays zero."""
    return rows / jnp.maximum(jnp.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def weights(
    similarity: Float[np.ndarray, "b k"], *, temperature: float
) -> Float[np.ndarray, "b k"]:
    """exp(similarity / temperature) up to a factor per query, which no vote or mean depends on."""
    nearest = similarity.max(axis=1, keepdims=True)
    return np.exp((similarity - nearest) / temperature)


def predict(
    train_embeddings: Float[Array | np.ndarray, "n d"],
    train_labels: Int[Array | np.ndarray, " n"],
    test_embeddings: Float[Array | np.ndarray, "b d"],
    *,
    k: int,
    temperature: float,
) -> Int[Array, " b"]:
    """Returns the class with the largest sum of exp(cosine / temperature) among the k nearest.

    Args:
        train_embeddings: Embeddings with known classes; need not be normalised.
        train_labels: Their classes, any integers.
        test_embeddings: Embeddings to classify.
        k: Number of neighbours that vote.
        temperature: Softness of the vote.

    Returns:
        A class of `train_labels` per test embedding; of equal votes the smallest class.
    """
    index, similarity = neighbours(train_embeddings, test_embeddings, k=k)
    return jnp.asarray(_vote(np.asarray(train_labels)[index], similarity, temperature=temperature))


def _vote(
    labels: Int[np.ndarray, "b k"], similarity: Float[np.ndarray, "b k"], *, temperature: float
) -> Int[np.ndarray, " b"]:
    classes, label = np.unique(labels, return_inverse=True)
    row = np.arange(len(labels))[:, None] * len(classes)
    size = len(labels) * len(classes)
    weight = weights(similarity.astype(np.float64), temperature=temperature)
    votes = np.bincount((row + label.reshape(labels.shape)).ravel(), weight.ravel(), size)
    return classes[votes.reshape(len(labels), -1).argmax(axis=1)]


def choose_k(
    train: tuple[Shaped[np.ndarray, "n d"], Int[np.ndarray, " n"]],
    val: tuple[Shaped[np.ndarray, "b d"], Int[np.ndarray, " b"]],
    *,
    candidates: tuple[int, ...],
    temperature: float,
) -> int:
    """The number of neighbours with the best validation accuracy; of equals the smallest."""
    index, similarity = neighbours(train[0], val[0], k=max(candidates))
    accuracy = {
        k: np.mean(
            _vote(train[1][index[:, :k]], similarity[:, :k], temperature=temperature) == val[1]
        )
        for k in sorted(candidates)
    }
    return max(accuracy, key=accuracy.__getitem__)


def check(tables: dict[str, Any]) -> None:
    """Raises `UserError` if a split has no labels; needs no embedding."""
    names = ("train", "validation", "test")
    splits = quantities.require(tables, "knn", *names)
    quantities.require_labels(dict(zip(names, splits, strict=True)), "knn")


def evaluate(
    tables: dict[str, Any],
    sources: dict[str, Any],
    out: Path,
    *,
    k: tuple[int, ...] = (5, 10, 20, 50),
    temperature: float = 0.1,
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Section:
    """Classifies the test set by its neighbours in the training set.

    Args:
        tables: Split -> `embed.Table`; "train", "validation" and "test" are used.
        sources: Split -> data source.
        out: Folder for figures.
        k: Numbers of neighbours to try on the validation set.
        temperature: Softness of the vote.
        n_bootstrap: Bootstrap resamples.
        seed: Seed of the bootstrap and of the queries shown.

    Raises:
        UserError: A split has no labels.
    """
    check(tables)
    splits = quantities.require(tables, "knn", "train", "validation", "test")
    train, test = splits[0], splits[2]
    figures = [_neighbour_figure(train, test, sources, out, seed)]
    data = quantities.labelled(splits)
    chosen = choose_k(data[0], data[1], candidates=k, temperature=temperature)
    predicted = predict(*data[0], data[2][0], k=chosen, temperature=temperature)
    numbers = resampling.with_bootstrap_errors(
        metrics, np.asarray(predicted), data[2][1], seed=seed, n_bootstrap=n_bootstrap
    )
    text = f"Cosine vote with temperature {temperature}; k = {chosen}, chosen on validation."
    return Section("knn", numbers | {"k": float(chosen)}, figures, text)


def _neighbour_figure(
    train: Any, test: Any, sources: dict[str, Any], out: Path, seed: int
) -> Figure:
    """Returns some test objects, each followed by its nearest neighbours in the training set."""
    info, count = sources["test"].info, min(SHEET_NEIGHBOURS, len(train.embedding))
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(test.embedding))[:SHEET_QUERIES])
    index, similarity = neighbours(train.embedding, test.embedding[rows], k=count)
    found = quantities.stamps(train, sources["train"], index.ravel())
    asked = quantities.stamps(test, sources["test"], rows)
    images = np.concatenate([asked[:, None], found.reshape(len(rows), count, *asked.shape[1:])], 1)
    pictures = plots.rgb(images.reshape(-1, *asked.shape[1:]), info.bands, info.unit)
    captions = []
    for i, row in enumerate(rows):
        captions += [f"query {test.id[row]}", *(f"{s:.3f}" for s in similarity[i])]
    path = plots.contact_sheet(pictures, captions, out / "neighbours.png", per_row=count + 1)
    text = "Test objects (left) and their nearest neighbours in the training set, with the cosine."
    return Figure(path, text)
