# SPDX-License-Identifier: Apache-2.0
"""Clusters against classes: NMI, AMI, ARI, matched accuracies, and what the clusters look like."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from astrojax.evaluate import plots, quantities, resampling
from astrojax.evaluate.report import Figure, Section, Sheet
from astrojax.files import write_csv

GRID_CLUSTERS, GRID_SAMPLES = 9, 9


def scores(cluster: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Agreement of clusters with classes; none depends on how either is numbered.

    Returns:
        nmi: mutual information over the arithmetic mean of the entropies. ami: the same adjusted
        for chance. ari: adjusted Rand index. accuracy_hungarian: each class gets at most one
        cluster, by the best matching; objects of clusters left over count as wrong.
        accuracy_many_to_one: each cluster counts for its commonest class (rises with the number of
        clusters).
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn import metrics as sk

    counts = contingency(cluster, label)
    matched = counts[linear_sum_assignment(counts, maximize=True)].sum()
    return {
        # Scikit-learn before 0.22 took the geometric mean: the choice is written out.
        "nmi": float(sk.normalized_mutual_info_score(label, cluster, average_method="arithmetic")),
        "ami": float(sk.adjusted_mutual_info_score(label, cluster, average_method="arithmetic")),
        "ari": float(sk.adjusted_rand_score(label, cluster)),
        "accuracy_hungarian": float(matched / len(label)),
        "accuracy_many_to_one": float(counts.max(axis=1).sum() / len(label)),
    }


def contingency(
    cluster: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"]
) -> Int[np.ndarray, "k c"]:
    """Counts of the clusters (rows) and classes (columns) that occur, in ascending order."""
    from sklearn.metrics.cluster import contingency_matrix

    return contingency_matrix(cluster, label)


def kmeans(
    fit: Float[np.ndarray, "n d"], embedding: Float[np.ndarray, "b d"], *, clusters: int, seed: int
) -> Int[np.ndarray, " b"]:
    """k-means clusters of `embedding`, with centres found on `fit`; the baseline of the methods."""
    from sklearn.cluster import KMeans

    model = KMeans(clusters, n_init=10, random_state=seed).fit(np.asarray(fit, np.float32))
    return model.predict(np.asarray(embedding, np.float32)).astype(np.int64)


def entropy(probability: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """-sum p log p of each row, in nats; 0 for a certain prediction, log k for a flat one."""
    p = np.asarray(probability, np.float64)
    return -np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=1)


def lowest_entropy_clusters(
    probability: Float[np.ndarray, "n k"], *, least: int
) -> Int[np.ndarray, " c"]:
    """Clusters with at least `least` objects, the surest predictions (mean entropy) first."""
    cluster = probability.argmax(axis=1)
    sizes = np.bincount(cluster, minlength=probability.shape[1])
    total = np.bincount(cluster, entropy(probability), minlength=probability.shape[1])
    mean = total / np.maximum(sizes, 1)
    order = np.argsort(mean, kind="stable")
    return order[sizes[order] >= least]


def sample_grid(table: Any, source: Any, probability: Float[np.ndarray, "n k"], path: Path) -> Path:
    """Draws one row per cluster, lowest entropy first, of its members with the lowest entropy."""
    cluster, uncertainty = probability.argmax(axis=1), entropy(probability)
    rows, captions = [], []
    chosen = lowest_entropy_clusters(probability, least=GRID_SAMPLES)
    if not len(chosen):
        chosen = lowest_entropy_clusters(probability, least=1)
    for c in chosen[:GRID_CLUSTERS]:
        members = np.flatnonzero(cluster == c)
        shown = members[np.argsort(uncertainty[members], kind="stable")][:GRID_SAMPLES]
        # Short clusters are filled with their last member, so that rows stay aligned.
        rows += [*shown, *[shown[-1]] * (GRID_SAMPLES - len(shown))]
        captions += [f"cluster {c}: {uncertainty[members].mean():.2f}"]
        captions += [""] * (GRID_SAMPLES - 1)
    info = source.info
    pictures = plots.rgb(quantities.stamps(table, source, np.asarray(rows)), info.bands, info.unit)
    return plots.contact_sheet(pictures, captions, path, per_row=GRID_SAMPLES)


def check(tables: dict[str, Any]) -> None:
    """Raises `UserError` if a split is not there."""
    quantities.require(tables, "clustering", "train", "test")


def evaluate(
    tables: dict[str, Any],
    sources: dict[str, Any],
    out: Path,
    *,
    clusters: int,
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Section:
    """Scores the method's own clusters, where it has them, and k-means on its embedding.

    The clusters of all test objects are written to `clusters.csv`, with labels or without.

    Args:
        tables: Split -> `embed.Table`; k-means is fitted on "train", "test" is scored.
        sources: Split -> data source.
        out: Folder for figures and the table.
        clusters: Number of k-means clusters; 0 leaves k-means out.
        n_bootstrap: Bootstrap resamples.
        seed: Seed of k-means and the bootstrap.
    """
    train, test = quantities.require(tables, "clustering", "train", "test")
    info, label = sources["test"].info, quantities.labels(test)
    found: dict[str, np.ndarray] = {}
    listed: dict[str, Any] = {"id": list(test.id)}
    probability = test.predictions.get("class_probability")
    if probability is not None:
        probability = np.asarray(probability)
        found["cluster"] = probability.argmax(axis=1)
        listed |= {"cluster": found["cluster"], "probability": probability.max(axis=1)}
        listed["entropy"] = entropy(probability)
    if clusters:
        found["kmeans"] = kmeans(train.embedding, test.embedding, clusters=clusters, seed=seed)
        listed["kmeans"] = found["kmeans"]
    sheet = Sheet(write_csv(out / "clusters.csv", listed), "Cluster of every test object.")
    numbers: dict[str, float] = {}
    figures, notes = [], []
    if label is None:
        notes.append("No agreement with classes is given: the objects have no labels.")
    for name, cluster in found.items():
        numbers[f"{name}_count"] = float(len(np.unique(cluster)))
        if numbers[f"{name}_count"] == 1:
            notes.append(f"All test objects fall in one {name}: the representation has collapsed.")
        if label is not None:
            scored = _against(name, cluster, label, info, out, n_bootstrap, seed)
            numbers |= scored[0]
            figures.append(scored[1])
    if probability is not None:
        path = sample_grid(test, sources["test"], probability, out / "clusters.png")
        caption = (
            "The surest clusters and members; after the colon the cluster's mean entropy (nats)."
        )
        figures.append(Figure(path, caption))
    return Section("clustering", numbers, figures, " ".join(notes), [sheet])


def _against(
    name: str,
    cluster: np.ndarray,
    label: np.ndarray,
    info: Any,
    out: Path,
    n_bootstrap: int,
    seed: int,
) -> tuple[dict[str, float], Figure]:
    """Scores with bootstrap errors, and the matrix of clusters (by commonest class) and classes."""
    names = quantities.class_names(info, label)
    cluster, label = cluster[label >= 0], label[label >= 0]
    numbers = resampling.with_bootstrap_errors(
        scores, cluster, label, seed=seed, n_bootstrap=n_bootstrap
    )
    counts = contingency(cluster, label)
    order = np.lexsort((-counts.max(axis=1), counts.argmax(axis=1)))
    path = plots.matrix(
        counts[order],
        out / f"{name}_classes.png",
        rows=[str(c) for c in np.unique(cluster)[order]],
        columns=[names[c] for c in np.unique(label)],
        ylabel="cluster",
        xlabel="true class",
    )
    kind = "k-means clusters" if name == "kmeans" else "The method's clusters"
    return (
        {f"{name}_{key}": value for key, value in numbers.items()},
        Figure(path, f"{kind} against classes, sorted by the commonest class."),
    )
