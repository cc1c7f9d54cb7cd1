# SPDX-License-Identifier: Apache-2.0
"""Which objects are unlike the rest: three scores, a ranked list, and how well it finds known ones.

Scores rise with strangeness: the mean distance to the nearest neighbours in the training set, the
Mahalanobis distance from its Gaussian (shrunk covariance, Ledoit & Wolf 2004), and whatever score
the method itself gives (`predictions["anomaly_score"]`, e.g. a JEPA's prediction error).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from astrojax.errors import UserError
from astrojax.evaluate import plots, quantities, resampling
from astrojax.evaluate.report import Figure, Section, Sheet
from astrojax.files import write_csv

SHEET_OBJECTS = 25


def knn_distance(
    bank: Float[np.ndarray, "n d"], queries: Float[np.ndarray, "b d"], *, k: int
) -> Float[np.ndarray, " b"]:
    """Returns mean Euclidean distance to the k nearest bank rows, axes standardised by the bank."""
    from sklearn.neighbors import NearestNeighbors

    if k > len(bank):
        raise UserError(f"kNN distance with k={k} needs as many objects; there are {len(bank)}")
    mean, deviation = bank.mean(axis=0), bank.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1.0)
    search = NearestNeighbors(n_neighbors=k).fit((bank - mean) / deviation)
    distance, _ = search.kneighbors((queries - mean) / deviation)
    return distance.mean(axis=1).astype(np.float64)


def mahalanobis(
    bank: Float[np.ndarray, "n d"], queries: Float[np.ndarray, "b d"]
) -> Float[np.ndarray, " b"]:
    """Distance from the bank's mean in units of its Ledoit-Wolf covariance."""
    return gaussian(bank)(queries)


def gaussian(bank: Float[np.ndarray, "n d"]) -> Callable[[np.ndarray], np.ndarray]:
    """Returns `mahalanobis` with its covariance fitted once, for queries that come in blocks."""
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(bank.astype(np.float64))
    return lambda queries: np.sqrt(fitted.mahalanobis(queries.astype(np.float64)))


def detection(
    score: Float[np.ndarray, " n"], anomalous: Bool[np.ndarray, " n"]
) -> dict[str, float]:
    """Average precision and area under the ROC curve; NaN where only one kind is present.

    A score that knows nothing has an average precision of the anomalies' fraction, and 0.5.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    if anomalous.all() or not anomalous.any():
        return {"average_precision": float("nan"), "roc_auc": float("nan")}
    return {
        "average_precision": float(average_precision_score(anomalous, score)),
        "roc_auc": float(roc_auc_score(anomalous, score)),
    }


def check(tables: dict[str, Any], sources: dict[str, Any], *, anomalous: tuple[str, ...]) -> None:
    """Raises `UserError` if a class that is named is not in the data; needs no embedding."""
    _, test = quantities.require(tables, "anomaly", "train", "test")
    _truth(quantities.labels(test), sources["test"].info, anomalous)


def evaluate(
    tables: dict[str, Any],
    sources: dict[str, Any],
    out: Path,
    *,
    k: int = 10,
    anomalous: tuple[str, ...] = (),
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Section:
    """Ranks the test objects by each score; writes `anomalies.csv` and a sheet of the top 25.

    Args:
        tables: Split -> `embed.Table`; "train" is what is normal, "test" is ranked.
        sources: Split -> data source.
        out: Folder for figures and the table.
        k: Neighbours of the kNN distance.
        anomalous: Names of the classes that count as anomalies; () where none are known.
        n_bootstrap: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Raises:
        UserError: A named class is not in the data set's class list.
    """
    train, test = quantities.require(tables, "anomaly", "train", "test")
    source, label = sources["test"], quantities.labels(test)
    truth = _truth(label, source.info, anomalous)
    score = {
        "knn_distance": knn_distance(train.embedding, test.embedding, k=k),
        "mahalanobis": mahalanobis(train.embedding, test.embedding),
    }
    if "anomaly_score" in test.predictions:
        score = {"method": np.asarray(test.predictions["anomaly_score"], np.float64)} | score
    names = None if label is None else np.array([*quantities.class_names(source.info, label), ""])
    sheet = _ranking(test, score, None if names is None else names[label], out)
    numbers: dict[str, float] = {}
    figures = []
    for name, values in score.items():
        figures.append(
            _top(test, source, name, values, None if names is None else names[label], out)
        )
        if truth is not None:
            scored = resampling.with_bootstrap_errors(
                detection, values, truth, seed=seed, n_bootstrap=n_bootstrap
            )
            numbers |= {f"{name}_{key}": value for key, value in scored.items()}
    text = "No class is named as anomalous: objects are ranked and the ranking is not scored."
    if truth is not None:
        numbers["anomalous_fraction"] = float(truth.mean())
        figures.append(Figure(curves_figure(score, truth, out / "anomaly_curves.png"), _CURVES))
        text = f"Anomalies are the classes {', '.join(anomalous)}: {truth.sum()} of {len(truth)}."
    return Section("anomaly", numbers, figures, text, [sheet])


_CURVES = "Precision against recall (left; dotted: chance) and the ROC curve (right)."


def _truth(label: np.ndarray | None, info: Any, anomalous: tuple[str, ...]) -> np.ndarray | None:
    if not anomalous:
        return None
    unknown = [name for name in anomalous if name not in (info.classes or ())]
    if unknown or label is None:
        raise UserError(
            f"config key 'anomaly.anomalous' names {unknown[0] if unknown else anomalous[0]!r}, "
            f"and the data set has the classes: {', '.join(info.classes or ()) or 'none'}"
        )
    truth = np.isin(label, [info.classes.index(name) for name in anomalous])
    if truth.all() or not truth.any():
        kind = "other" if truth.all() else "such"
        raise UserError(
            f"config key 'anomaly.anomalous' names {', '.join(anomalous)}, and the test split has "
            f"no {kind} object, so no ranking can be scored"
        )
    return truth


def _ranking(
    table: Any, score: dict[str, np.ndarray], names: np.ndarray | None, out: Path
) -> Sheet:
    """Returns all objects, the strangest by the first score first."""
    first = next(iter(score))
    order = np.argsort(-score[first], kind="stable")
    ranked: dict[str, Any] = {"rank": range(1, len(order) + 1), "id": np.asarray(table.id)[order]}
    ranked |= {name: values[order] for name, values in score.items()}
    if names is not None:
        ranked["class"] = names[order]
    path = write_csv(out / "anomalies.csv", ranked)
    return Sheet(path, f"Test objects ranked by {first.replace('_', ' ')}.")


def _top(
    table: Any, source: Any, name: str, values: np.ndarray, names: np.ndarray | None, out: Path
) -> Figure:
    rows = np.argsort(-values, kind="stable")[:SHEET_OBJECTS]
    info = source.info
    pictures = plots.rgb(quantities.stamps(table, source, rows), info.bands, info.unit)
    captions = [f"{table.id[r]}" + ("" if names is None else f"\n{names[r]}") for r in rows]
    path = plots.contact_sheet(pictures, captions, out / f"anomalies_{name}.png", per_row=5)
    score = "the method's own score" if name == "method" else name.replace("_", " ")
    return Figure(path, f"The {len(rows)} strangest test objects by {score}, strangest first.")


def curves_figure(
    score: dict[str, Float[np.ndarray, " n"]], truth: Bool[np.ndarray, " n"], path: Path
) -> Path:
    """Draws precision-recall and ROC curves of each score."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    canvas = plots.figure(8.4, 3.8)
    left, right = canvas.subplots(1, 2)
    for name, values in score.items():
        label = plots.plain_text(name.replace("_", " "))
        precision, recall, _ = precision_recall_curve(truth, values)
        left.plot(recall, precision, lw=1.3, label=label)
        false, true, _ = roc_curve(truth, values)
        right.plot(false, true, lw=1.3, label=label)
    left.axhline(truth.mean(), color="0.5", ls=":", lw=1)
    right.plot([0, 1], [0, 1], color="0.5", ls=":", lw=1)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    right.set(
        xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.02)
    )
    right.legend(fontsize=8, frameon=False, loc="lower right")
    return plots.save(canvas, path)
