# SPDX-License-Identifier: Apache-2.0
"""Clusters of a table of embeddings: found on a sample, given to every object block by block."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from astrojax.errors import UserError
from astrojax.evaluate import clustering, plots, projection, resampling
from astrojax.inference import fields, search, shards, writers
from astrojax.inference.fields import Field
from astrojax.inference.inputs import Opened
from astrojax.inference.stamp_pictures import Pictures

Method = Literal["kmeans", "hdbscan"]
Assign = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
_COMPONENTS = 20  # HDBSCAN's densities mean little in more dimensions


class Clusters(NamedTuple):
    """The cluster of every row of a table.

    Attributes:
        cluster: 0 for the largest, 1 for the next, ...; -1 for noise and rows with no embedding.
        distance: To the cluster's centre, in the units of the embedding; NaN for -1.
        probability: HDBSCAN's strength of membership in [0, 1]; None of k-means.
    """

    cluster: np.ndarray
    distance: np.ndarray
    probability: np.ndarray | None


def find(
    rows: search.Rows,
    *,
    method: Method,
    num_clusters: int,
    min_cluster_size: int,
    components: int | None,
    limit: int,
    seed: int,
) -> Clusters:
    """Finds clusters on a random sample of a table, and the cluster of every row.

    Args:
        rows: The table.
        method: "kmeans", or "hdbscan" (Campello et al. 2013), which chooses the number of clusters
            and leaves objects in sparse regions out. A row outside the sample gets the cluster of
            the sampled object that is nearest to it.
        num_clusters: Of k-means.
        min_cluster_size: Objects of the sample that make a cluster of HDBSCAN.
        components: Principal components that are kept first; None keeps all for k-means and 20 for
            HDBSCAN.
        limit: Most objects in the sample.
        seed: Seed of the sample and of k-means.

    Raises:
        UserError: The table has too few objects with an embedding.
    """
    there, sample = search.choose(rows, limit=limit, seed=seed)
    needed = num_clusters if method == "kmeans" else min_cluster_size
    if len(there) < needed:
        raise UserError(
            f"{rows.path} has {len(there)} objects with an embedding: too few for "
            + (f"--num-clusters {needed}" if method == "kmeans" else f"--min-cluster-size {needed}")
        )
    project = _projection(sample, components or (_COMPONENTS if method == "hdbscan" else None))
    reduced = project(sample)
    if method == "kmeans":
        assign = _kmeans(reduced, num_clusters, seed)
    else:
        assign = _hdbscan(reduced, min_cluster_size)
    parts = [_assigned(block, project, assign) for (block,) in rows.blocks("embedding")]
    cluster, distance, probability = (np.concatenate(p) for p in zip(*parts, strict=True))
    return Clusters(_by_size(cluster), distance, probability if method == "hdbscan" else None)


def _projection(
    sample: Float[np.ndarray, "n d"], components: int | None
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the projection on the sample's principal components; None keeps the embedding."""
    if components is None or components >= min(sample.shape):
        return lambda x: np.asarray(x, np.float32)
    from sklearn.decomposition import PCA

    fitted = PCA(components, svd_solver="covariance_eigh").fit(sample)
    return lambda x: fitted.transform(np.asarray(x, np.float64)).astype(np.float32)


def _kmeans(sample: Float[np.ndarray, "n d"], count: int, seed: int) -> Assign:
    from sklearn.cluster import KMeans

    model = KMeans(count, n_init=10, random_state=seed).fit(sample)

    def assign(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        distance = model.transform(x)
        return distance.argmin(axis=1), distance.min(axis=1), np.ones(len(x))

    return assign


def _hdbscan(sample: Float[np.ndarray, "n d"], min_cluster_size: int) -> Assign:
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import NearestNeighbors

    model = HDBSCAN(min_cluster_size=min_cluster_size, copy=True).fit(sample)
    label, strength = model.labels_, model.probabilities_
    found = np.unique(label[label >= 0])
    if not len(found):
        raise UserError(
            "HDBSCAN finds no cluster: lower --min-cluster-size, or give --method kmeans "
            "--num-clusters K"
        )
    centres = np.stack([np.average(sample[label == c], 0, strength[label == c]) for c in found])
    near = NearestNeighbors(n_neighbors=1).fit(sample)

    def assign(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place = near.kneighbors(x, return_distance=False)[:, 0]
        cluster = label[place]
        distance = np.linalg.norm(x - centres[cluster], axis=1)
        return cluster, np.where(cluster < 0, np.nan, distance), strength[place]

    return assign


def _assigned(
    block: np.ndarray, project: Callable[[np.ndarray], np.ndarray], assign: Assign
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns cluster, distance and probability of a block; rows with no embedding have none."""
    known = np.isfinite(block).all(axis=1)
    cluster = np.full(len(block), -1, np.int64)
    distance, probability = np.full((2, len(block)), np.nan, np.float32)
    if known.any():
        cluster[known], distance[known], probability[known] = assign(project(block[known]))
    return cluster, distance, probability


def _by_size(cluster: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Numbers clusters by their size, the largest first; -1 stays."""
    sizes = np.bincount(cluster[cluster >= 0])
    rank = np.empty(len(sizes) + 1, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    rank[-1] = -1
    return rank[cluster]


def sizes(found: Clusters) -> dict[str, list[Any]]:
    """Returns parallel columns: cluster, objects, fraction (of those with a cluster or noise)."""
    known = found.cluster >= 0
    if found.probability is not None:  # noise was looked at too
        known |= np.isfinite(found.probability)
    names, counts = np.unique(found.cluster[known], return_counts=True)
    order = np.argsort(names < 0, kind="stable")  # noise last
    columns: dict[str, list[Any]] = {
        "cluster": names[order].tolist(),
        "objects": counts[order].tolist(),
        "fraction": (counts[order] / max(known.sum(), 1)).tolist(),
    }
    distance = [
        np.nanmedian(found.distance[found.cluster == c]) if c >= 0 else np.nan
        for c in columns["cluster"]
    ]
    return columns | {"median_distance": [float(d) for d in distance]}


def read_labels(rows: search.Rows, name: str) -> Int[np.ndarray, " n"]:
    """Returns a column of classes as integers [n], -1 where there is none.

    Raises:
        UserError: The table has no such column, or no object has a class.
    """
    if name not in rows.names:
        raise UserError(f"{rows.path} has no column {name!r}; it has {', '.join(rows.names)}")
    values = rows.column(name)
    if values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        if (known != np.round(known)).any():
            raise UserError(f"the column {name!r} of {rows.path} holds numbers, no classes")
        label = np.where(np.isfinite(values), values, -1).astype(np.int64)
    elif values.dtype.kind in "biu":
        label = values.astype(np.int64)
    else:
        text = np.array(["" if v is None else str(v).strip() for v in values])
        classes, label = np.unique(text, return_inverse=True)
        label = np.where(classes[label] == "", -1, label)
    if not (label >= 0).any():
        raise UserError(f"no object of {rows.path} has a class in the column {name!r}")
    return label


def scores(
    found: Clusters, label: Int[np.ndarray, " n"], *, n_bootstrap: int, seed: int
) -> dict[str, float]:
    """Returns `clustering.scores` of the objects that have both, with bootstrap errors.

    Noise of HDBSCAN is left out of the scores; `scored` says how many objects counted.

    Raises:
        UserError: No object has both a cluster and a class.
    """
    both = (found.cluster >= 0) & (label >= 0)
    if not both.any():
        raise UserError("no object has both a cluster and a class: nothing to score")
    numbers = resampling.with_bootstrap_errors(
        clustering.scores, found.cluster[both], label[both], seed=seed, n_bootstrap=n_bootstrap
    )
    return {"scored": float(both.sum()), **numbers}


def members(
    found: Clusters, cluster: int, *, count: int, typical: bool, seed: int
) -> Int[np.ndarray, " k"]:
    """Returns rows of a cluster to look at.

    Args:
        found: The clusters.
        cluster: Which of them.
        count: Most rows.
        typical: Those nearest to the centre; else a random choice, which also shows the fringe.
        seed: Seed of the choice.
    """
    rows = np.flatnonzero(found.cluster == cluster)
    if typical:
        return rows[np.argsort(found.distance[rows], kind="stable")][:count]
    chosen = rows[projection.choose(len(rows), limit=count, seed=seed)]
    return chosen[np.argsort(found.distance[chosen], kind="stable")]


def write(
    found: Clusters, ids: Shaped[np.ndarray, " n"], out: Path, *, source: Path, command: str
) -> None:
    """Writes the table of clusters by id.

    Args:
        found: The clusters.
        ids: Object ids.
        out: The table; see `writers.check_output`.
        source: The table of embeddings, whose provenance goes along.
        command: The command line.

    Raises:
        UserError: It cannot be written.
    """
    columns = [
        fields.plain("id", ids),
        Field("cluster", found.cluster, "", "0 is the largest; -1 for none"),
        Field("cluster_distance", found.distance, "", "distance to the centre of the cluster"),
    ]
    if found.probability is not None:
        meaning = "strength of membership in the cluster"
        columns.append(Field("cluster_probability", found.probability, "", meaning))
    shards.write_table(columns, out, writers.derived(source, command=command, objects=len(ids)))


def write_sheets(
    found: Clusters,
    ids: Shaped[np.ndarray, " n"],
    opened: Opened,
    folder: Path,
    *,
    count: int,
    typical: bool,
    seed: int,
) -> None:
    """Writes a contact sheet of each cluster to a folder, `cluster_<number>.png`.

    Args:
        found: The clusters.
        ids: Object ids.
        opened: The images.
        folder: Where the sheets go.
        count: Most objects on a sheet.
        typical: Whether the objects nearest to the centre are shown, or random ones.
        seed: Seed of that choice.
    """
    pictures = Pictures(opened)
    total = found.cluster.max(initial=-1) + 1
    for cluster in range(total):
        rows = members(found, cluster, count=count, typical=typical, seed=seed)
        size = np.sum(found.cluster == cluster)
        plots.contact_sheet(
            pictures.rgb(ids[rows]),
            [f"{i}\n{d:.3g}" for i, d in zip(ids[rows], found.distance[rows], strict=True)],
            folder / f"cluster_{cluster:0{len(str(total - 1))}d}.png",
            per_row=5,
            title=f"Cluster {cluster}: {size} objects; distance to its centre",
        )


def folder_of(out: Path) -> Path:
    """Returns the folder for sheets and summary of a table of clusters: `<name>_sheets`."""
    return out.with_name(f"{out.stem}_sheets")
