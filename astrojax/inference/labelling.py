# SPDX-License-Identifier: Apache-2.0
"""Labels given by hand: the order in which the next one helps most, and a classifier of them.

Active learning on frozen embeddings: a logistic regression is fitted to the labels so far, in
seconds, and the objects that it is least sure of are shown next (margin sampling, Scheffer et al.
2001). Before there are labels of two classes the most typical object of each of many clusters is
shown, the largest cluster first (Hacohen et al. 2022): what is uncertain says little so early.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Shaped

from astrojax.errors import UserError
from astrojax.inference import fields, search, shards, writers
from astrojax.inference.fields import Field
from astrojax.inference.label_file import LabelFile

Order = Literal["uncertainty", "diversity", "neighbors"]
_CLUSTERS, _SAMPLE = 100, 20_000  # of the order by diversity
_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # of the head: mean cross-entropy + penalty/2 |weights|^2
_FEW = 0.1  # penalty where a class has one label, so that nothing can be held out
_FOLDS = 5


class Head:
    """A logistic regression from embeddings to classes, fitted to labels by hand.

    Attributes:
        classes: Indices of the classes that have labels, ascending.
        labels: How many labels it was fitted to.
        accuracy: Of the labelled objects, each held out once; None where a class has one label.
        model: The fitted pipeline of scikit-learn.
    """

    def __init__(
        self,
        embedding: Float[np.ndarray, "n d"],
        rows: Int[np.ndarray, " m"],
        label: Int[np.ndarray, " m"],
        *,
        seed: int,
    ):
        """Fits.

        Args:
            embedding: All objects, whose mean and deviation scale the features.
            rows: Labelled rows.
            label: Their classes.
            seed: Seed of the folds.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(embedding)
        x = scaler.transform(embedding[rows])
        penalty, self.accuracy = _choose_penalty(x, label, seed)
        self.model = LogisticRegression(C=1 / (penalty * len(label)), max_iter=500)
        self.model.fit(x, label)
        self._scaler, self.labels = scaler, len(label)
        self.classes: np.ndarray = self.model.classes_

    def probability(self, embedding: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Returns the probability of each of `classes`."""
        return self.model.predict_proba(self._scaler.transform(embedding))


def _choose_penalty(x: np.ndarray, label: np.ndarray, seed: int) -> tuple[float, float | None]:
    """Returns the penalty of the lowest cross-entropy of held-out labels, and their accuracy."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    smallest = min(Counter(label.tolist()).values())
    if smallest < 2:
        return _FEW, None
    folds = StratifiedKFold(min(_FOLDS, smallest), shuffle=True, random_state=seed)
    place = np.searchsorted(np.unique(label), label)
    best: tuple[float, float, float] | None = None
    for penalty in _PENALTIES:
        model = LogisticRegression(C=1 / (penalty * len(label)), max_iter=200)
        p = cross_val_predict(model, x, label, cv=folds, method="predict_proba")
        loss = -np.log(np.maximum(p[np.arange(len(label)), place], 1e-12)).mean()
        if best is None or loss < best[0]:
            best = (float(loss), penalty, float((p.argmax(axis=1) == place).mean()))
    assert best is not None
    return best[1:]


def by_uncertainty(probability: Float[np.ndarray, "n k"]) -> Int[np.ndarray, " n"]:
    """Returns rows by the margin of the two most probable classes, the smallest first."""
    top = np.sort(probability, axis=1)
    return np.argsort(top[:, -1] - top[:, -2], kind="stable")


def by_diversity(embedding: Float[np.ndarray, "n d"], *, seed: int) -> Int[np.ndarray, " n"]:
    """Returns rows so that every stretch of the order is spread over the embedding.

    The object nearest to the centre of each cluster (k-means, 100 or one for ten objects), the
    largest first, then in rounds a random other one of each cluster.
    """
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(seed)
    sample = embedding[rng.permutation(len(embedding))[:_SAMPLE]]
    model = KMeans(min(_CLUSTERS, 1 + len(sample) // 10), n_init=1, random_state=seed).fit(sample)
    distance = model.transform(embedding)
    cluster, nearest = distance.argmin(axis=1), distance.min(axis=1)
    turn = rng.permuted(np.arange(1, len(embedding) + 1)).astype(np.float64)
    for c in np.unique(cluster):
        members = np.flatnonzero(cluster == c)
        turn[members[nearest[members].argmin()]] = 0
        turn[members[np.argsort(turn[members])]] = np.arange(len(members))
    sizes = np.bincount(cluster)
    return np.lexsort((-sizes[cluster], turn))


def by_similarity(
    embedding: Float[np.ndarray, "n d"], examples: Float[np.ndarray, "m d"]
) -> Int[np.ndarray, " n"]:
    """Returns rows by the cosine to the most similar of some examples, the highest first."""
    from sklearn.preprocessing import normalize

    cosine = normalize(embedding) @ normalize(examples).T
    return np.argsort(-cosine.max(axis=1), kind="stable")


class Labelling:
    """Objects, their labels so far, and which to show next.

    Args:
        ids: Object ids as text, [n].
        embedding: Their embeddings, finite.
        file: Where labels are kept.
        classes: Names of the classes.
        order: "uncertainty", "diversity" or "neighbors".
        examples: Embeddings of the examples of "neighbors".
        refit_every: Labels after which the head is fitted again; 0 for never.
        seed: Seed of clusters and folds.
    """

    def __init__(
        self,
        ids: Shaped[np.ndarray, " n"],
        embedding: Float[np.ndarray, "n d"],
        file: LabelFile,
        *,
        classes: tuple[str, ...],
        order: Order,
        examples: Float[np.ndarray, "m d"] | None = None,
        refit_every: int = 10,
        seed: int = 0,
    ):
        self.ids, self.embedding, self.file, self.classes = ids, embedding, file, classes
        self.order_name, self.refit_every, self.seed = order, refit_every, seed
        self.place = {key: row for row, key in enumerate(ids.tolist())}
        self.known = file.labels()
        self.head: Head | None = None
        self.probability: np.ndarray | None = None
        self._back: list[str] = []  # objects whose label was taken back: they come first
        if order == "neighbors":
            assert examples is not None
            self._order = by_similarity(embedding, examples)
        else:
            self._order = by_diversity(embedding, seed=seed)
        if self.can_fit():
            self.refit()

    def next(self, count: int) -> list[str]:
        """Returns ids of the objects to show next, at most `count`; fewer when all are done."""
        first = [key for key in reversed(self._back) if key not in self.known]
        found = first[:count]
        for row in self._order:
            if len(found) >= count:
                break
            key = str(self.ids[row])
            if key not in self.known and key not in first:
                found.append(key)
        return found

    def add(self, key: str, label: str) -> None:
        """Records a label, or "" for an object that is skipped; fits the head when it is time.

        What was recorded before is kept, so that a request that is sent twice counts once.

        Raises:
            UserError: There is no such object or class, the object has another label, or the file
                cannot be written.
        """
        if key not in self.place or (label and label not in self.classes):
            raise UserError(f"there is no object {key!r} or no class {label!r}")
        if key in self.known:
            if self.known[key] != label:
                raise UserError(f"{key} is labelled already: undo that first")
            return
        self.file.add(key, label)
        self.known[key] = label
        new = sum(map(bool, self.known.values())) - (self.head.labels if self.head else 0)
        if label and self.refit_every and new >= self.refit_every and self.can_fit():
            self.refit()

    def undo(self) -> str | None:
        """Takes the last label or skip back and returns the object's id; None where there is none.

        Raises:
            UserError: The file cannot be written.
        """
        entry = self.file.undo()
        if entry is None:
            return None
        self.known = self.file.labels()
        if entry.id in self.place:
            self._back.append(entry.id)
        return entry.id

    def counts(self) -> dict[str, int]:
        """Returns how many objects have each class."""
        found = Counter(self.known.values())
        return {name: found[name] for name in self.classes}

    def labelled(self) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
        """Returns rows and class indices of the labelled objects."""
        pairs = [
            (self.place[key], self.classes.index(label))
            for key, label in self.known.items()
            if label and key in self.place
        ]
        both = np.array(pairs, np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def can_fit(self) -> bool:
        """Returns whether two classes have labels."""
        return len(np.unique(self.labelled()[1])) > 1

    def refit(self) -> Head:
        """Fits the head to all labels, and orders the objects anew.

        Raises:
            UserError: Fewer than two classes have labels.
        """
        if not self.can_fit():
            raise UserError("a classifier needs labels of two classes or more: label some more")
        self.head = Head(self.embedding, *self.labelled(), seed=self.seed)
        self.probability = self.head.probability(self.embedding)
        if self.order_name == "uncertainty":
            self._order = by_uncertainty(self.probability)
        return self.head

    def guess(self, key: str) -> dict[str, float]:
        """Returns the head's probabilities of an object by class name; empty without a head."""
        if self.head is None or self.probability is None:
            return {}
        p = self.probability[self.place[key]]
        return {self.classes[c]: float(v) for c, v in zip(self.head.classes, p, strict=True)}

    def status(self) -> dict[str, Any]:
        """Returns numbers to show: objects, counts, and what the head is worth."""
        head = self.head
        return {
            "total": len(self.ids),
            "counts": self.counts(),
            "skipped": sum(label == "" for label in self.known.values()),
            "labelled": sum(map(bool, self.known.values())),
            "head": head and {"labels": head.labels, "accuracy": head.accuracy},
        }


def begin(
    rows: search.Rows,
    file: LabelFile,
    *,
    classes: tuple[str, ...],
    order: Order,
    examples: Sequence[str],
    limit: int,
    refit_every: int,
    seed: int,
) -> Labelling:
    """Returns the labelling of a table; what its file has already is part of it.

    Args:
        rows: The table; objects without an embedding are left out.
        file: The labels.
        classes: Names of the classes.
        order: See `Labelling`.
        examples: Ids of the examples of "neighbors".
        limit: Most objects to show, a random choice; those that have labels are always there.
        refit_every: See `Labelling`.
        seed: Seed of the choice and of `Labelling`.

    Raises:
        UserError: An example is not in the table, or the table has no embedding.
    """
    if (order == "neighbors") != bool(examples):
        raise UserError("--example ID says whose neighbours --order neighbors shows: give both")
    like = search.vectors(rows, search.find(rows, examples)) if examples else None
    chosen, embedding = search.choose(rows, limit=limit, seed=seed)
    if len(chosen) < 2:
        raise UserError(f"{rows.path} has {len(chosen)} objects with an embedding: too few")
    ids = rows.column("id").astype(str)
    place = {key: row for row, key in enumerate(ids.tolist())}
    labels = file.labels()
    absent = [key for key in labels if key not in place]
    if absent:
        logging.warning(
            "%d labels of %s are of objects that %s lacks, e.g. %s: they are kept and not used",
            *(len(absent), file.path, rows.path, absent[0]),
        )
    wanted = np.array([place[key] for key in labels if key in place], np.int64)
    beside = np.setdiff1d(wanted, chosen)
    if len(beside):
        chosen = np.concatenate([chosen, beside])
        embedding = np.concatenate([embedding, search.vectors(rows, beside)])
    return Labelling(
        ids[chosen],
        embedding.astype(np.float32),
        file,
        classes=classes,
        order=order,
        examples=like,
        refit_every=refit_every,
        seed=seed,
    )


def write_predictions(work: Labelling, rows: search.Rows, out: Path, *, command: str) -> None:
    """Writes the class of every object of a table by the head, and the labels given by hand.

    Args:
        work: The labelling; its head is fitted.
        rows: The whole table.
        out: The table to write; see `writers.check_output`.
        command: The command line.

    Raises:
        UserError: It cannot be written.
    """
    assert work.head is not None
    names = [work.classes[c] for c in work.head.classes]
    parts = []
    for (block,) in rows.blocks("embedding"):
        known = np.isfinite(block).all(axis=1)
        p = np.full((len(block), len(names)), np.nan, np.float32)
        if known.any():
            p[known] = work.head.probability(block[known])
        parts.append(p)
    probability, ids = np.concatenate(parts), rows.column("id")
    best = np.where(np.isnan(probability[:, 0]), -1, probability.argmax(axis=1))
    hand = np.array([work.known.get(str(key), "") for key in ids.tolist()])
    columns = [
        fields.plain("id", ids),
        Field("label", hand, "", "class given by hand; empty for none"),
        Field("predicted_class", np.array([*names, ""])[best], "", "most probable class"),
        *fields.of_classes(names, probability),
    ]
    shards.write_table(columns, out, writers.derived(rows.path, command=command, objects=len(ids)))
