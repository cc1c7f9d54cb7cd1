# SPDX-License-Identifier: Apache-2.0
"""The embedding in two dimensions, colored by what is known, with cutouts laid over the plane.

How ordered a picture is lies in the eye; the number beside it is the kNN R2: how well the mean of
an object's neighbours, in the embedding and in the plane, tells each quantity.
"""

import importlib.util
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from astrojax.errors import UserError
from astrojax.evaluate import plots, quantities
from astrojax.evaluate.regression import metrics
from astrojax.evaluate.report import Figure, Section

PlaneMethod = Literal["pca", "tsne", "umap"]
Method = Literal["pca", "tsne", "umap", "auto"]
NAMES = {"pca": "principal component", "tsne": "t-SNE", "umap": "UMAP"}


def plane(
    embedding: Float[np.ndarray, "n d"],
    *,
    method: PlaneMethod,
    perplexity: float,
    neighbors: int,
    seed: int,
) -> Float[np.ndarray, "n 2"]:
    """Coordinates in two dimensions.

    Args:
        embedding: Points.
        method: "pca", "tsne" (van der Maaten & Hinton 2008) or "umap" (McInnes et al. 2018).
        perplexity: Of t-SNE; at most a third of the points.
        neighbors: Of UMAP.
        seed: Seed of the random start.

    Raises:
        UserError: UMAP is asked for and not installed.
    """
    if method == "pca":
        from sklearn.decomposition import PCA

        return PCA(2, random_state=seed).fit_transform(embedding)
    if method == "tsne":
        from sklearn.manifold import TSNE

        limit = min(perplexity, (len(embedding) - 1) / 3)
        return TSNE(2, perplexity=limit, init="pca", random_state=seed).fit_transform(embedding)
    if importlib.util.find_spec("umap") is None:
        raise UserError("UMAP is not installed: pip install 'astrojax[umap]', or set 'tsne'")
    from umap import UMAP

    return UMAP(n_neighbors=neighbors, random_state=seed, n_jobs=1).fit_transform(embedding)


def choose(count: int, *, limit: int, seed: int) -> Int[np.ndarray, " n"]:
    """Returns at most `limit` of `count` rows, a random choice, in their order."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:limit])


def project(
    embedding: Float[np.ndarray, "n d"],
    *,
    method: Method,
    perplexity: float,
    neighbors: int,
    seed: int,
) -> tuple[Float[np.ndarray, "n 2"], str]:
    """The plane of an embedding and its name; method "auto": UMAP where installed, else t-SNE."""
    best: PlaneMethod = "umap" if importlib.util.find_spec("umap") else "tsne"
    chosen: PlaneMethod = best if method == "auto" else method
    points = plane(
        np.asarray(embedding, np.float64),
        method=chosen,
        perplexity=perplexity,
        neighbors=neighbors,
        seed=seed,
    )
    return np.asarray(points, np.float64), NAMES[chosen]


def structure(
    points: Float[np.ndarray, "n d"], values: Float[np.ndarray, " n"], *, k: int
) -> float:
    """R2 of the mean value of each point's k nearest others (Euclidean, leave-one-out).

    1: neighbours tell the value exactly; 0 or below: they tell nothing. NaN where fewer than k + 1
    values are finite or all are equal.
    """
    from sklearn.neighbors import NearestNeighbors

    known = np.isfinite(values)
    points, values = points[known], values[known]
    if len(values) <= k:
        return float("nan")
    # Without queries scikit-learn leaves each point out of its own neighbours.
    near = NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)
    return metrics(values[near].mean(axis=1), values)["r2"]


def mosaic_cells(
    points: Float[np.ndarray, "n 2"], *, side: int
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, "k 2"]]:
    """Rows of one point per occupied cell of a side x side grid, and the cells (column, row).

    The point nearest to the middle of its cell stands for it. The grid spans the central 98% of
    each axis, so that a few stragglers do not shrink everything else to a corner.
    """
    low, high = np.percentile(points, (1, 99), axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0) * side
    inside = np.flatnonzero(((scaled >= 0) & (scaled < side)).all(axis=1))
    cell = scaled[inside].astype(np.int64)
    distance = np.square(scaled[inside] - cell - 0.5).sum(axis=1)
    order = np.argsort(distance, kind="stable")
    _, first = np.unique(cell[order] @ np.array([1, side]), return_index=True)
    chosen = order[first]
    return inside[chosen], cell[chosen]


def mosaic_figure(
    pictures: Float[np.ndarray, "k h w 3"],
    cells: Int[np.ndarray, "k 2"],
    path: Path,
    *,
    side: int,
    axes_name: str,
) -> Path:
    """Pictures in the cells of the plane they come from; empty cells are left white."""
    height, width = pictures.shape[1:3]
    canvas = np.ones((side * height, side * width, 3), np.float32)
    for picture, (column, row) in zip(pictures, cells, strict=True):
        top, left = (side - 1 - row) * height, column * width
        canvas[top : top + height, left : left + width] = picture
    figure = plots.figure(8.0, 8.0)
    axes = figure.subplots()
    axes.imshow(canvas, interpolation="antialiased")
    axes.set(xlabel=f"{axes_name} 1", ylabel=f"{axes_name} 2", xticks=[], yticks=[])
    return plots.save(figure, path)


def check(
    tables: dict[str, Any], sources: dict[str, Any], *, columns_shown: tuple[str, ...]
) -> None:
    """Raises `UserError` if the test split, or a scalar to color by, is not there."""
    (table,), info = quantities.require(tables, "projection", "test"), sources["test"].info
    quantities.pick(table, info, columns_shown, "projection.columns_shown")


def evaluate(
    tables: dict[str, Any],
    sources: dict[str, Any],
    out: Path,
    *,
    method: Method = "auto",
    columns_shown: tuple[str, ...] = (),
    perplexity: float = 30.0,
    neighbors: int = 15,
    limit: int = 1000,
    mosaic: int = 12,
    k: int = 10,
    seed: int = 0,
) -> Section:
    """Draws the test embedding in two dimensions and measures how ordered it is.

    Args:
        tables: Split -> `embed.Table`; "test" is used.
        sources: Split -> data source.
        out: Folder for figures.
        method: "pca", "tsne", "umap", or "auto": UMAP where it is installed, else t-SNE.
        columns_shown: Scalars to color by, e.g. "redshift", "predicted_redshift",
            "magnitude_F160W", "color_F125W_F160W"; classes are always shown where there are labels.
        perplexity: Of t-SNE.
        neighbors: Of UMAP.
        limit: Most objects drawn, a random choice of them.
        mosaic: Cells along a side of the cutout mosaic; 0 for none.
        k: Neighbours of the kNN R2.
        seed: Seed of the choice and the projection.
    """
    (table,), source = quantities.require(tables, "projection", "test"), sources["test"]
    rows = choose(len(table.embedding), limit=limit, seed=seed)
    embedding = np.asarray(table.embedding, np.float64)[rows]
    points, name = project(
        embedding, method=method, perplexity=perplexity, neighbors=neighbors, seed=seed
    )
    numbers, panels = {}, {}
    shown = quantities.pick(table, source.info, columns_shown, "projection.columns_shown")
    for column, values in shown.items():
        panels[quantities.describe(column)] = values[rows]
        numbers[f"{column}_knn_r2"] = structure(embedding, values[rows], k=k)
        numbers[f"{column}_knn_r2_plane"] = structure(points, values[rows], k=k)
    label, figures = quantities.labels(table), []
    if panels or label is not None:
        path = plots.plane_panels(
            points,
            panels,
            out / "projection.png",
            axes_name=name,
            label=None if label is None else label[rows],
            names=() if label is None else quantities.class_names(source.info, label),
        )
        figures.append(Figure(path, f"{len(rows)} test objects in the plane of {name}."))
    if mosaic:
        figures.append(_mosaic(table, source, rows, points, out, mosaic, name))
    text = f"kNN R2: how well the mean of the {k} nearest objects tells each quantity (1: exactly)."
    return Section("projection", numbers, figures, text)


def _mosaic(
    table: Any,
    source: Any,
    rows: np.ndarray,
    points: np.ndarray,
    out: Path,
    side: int,
    axes_name: str,
) -> Figure:
    """Returns the cutouts of one object per cell of the plane, as a figure."""
    chosen, cells = mosaic_cells(points, side=side)
    images = quantities.stamps(table, source, rows[chosen])
    pictures = plots.rgb(images, source.info.bands, source.info.unit)
    path = mosaic_figure(pictures, cells, out / "mosaic.png", side=side, axes_name=axes_name)
    return Figure(path, "Cutouts laid over the same plane, one object per cell.")
