# SPDX-License-Identifier: Apache-2.0
"""What a linear model reads from a frozen representation.

Features are standardised by the training set; the strength of the L2 penalty is chosen on the
validation set; numbers are those of the test set. Constant features carry nothing and stay zero.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from astrojax.errors import UserError
from astrojax.evaluate import plots, quantities, resampling
from astrojax.evaluate.classification import confusion, majority_class_accuracy, metrics
from astrojax.evaluate.regression import metrics as regression_metrics
from astrojax.evaluate.regression import scatter_figure
from astrojax.evaluate.report import Figure, Section, Sheet
from astrojax.files import write_csv


class Probe(NamedTuple):
    """Predictions of a fitted probe for the test set.

    Attributes:
        predicted: Classes or values [n].
        probability: Class probabilities [n k] in ascending order of class; None in a regression.
        penalty: The penalty chosen on validation.
    """

    predicted: np.ndarray
    probability: np.ndarray | None
    penalty: float


def _standardised(*arrays: Float[np.ndarray, "_ d"]) -> list[Float[np.ndarray, "_ d"]]:
    """Returns all arrays, shifted and scaled by the mean and deviation of the first."""
    first = np.asarray(arrays[0], np.float64)
    if not all(np.isfinite(a).all() for a in arrays):
        raise UserError("a linear probe needs finite embeddings; some are NaN or Inf")
    mean, deviation = first.mean(axis=0), first.std(axis=0)
    scale = np.where(deviation > 1e-12 * (1 + np.abs(mean)), deviation, np.inf)
    return [(np.asarray(a, np.float64) - mean) / scale for a in arrays]


def classify(
    train_x: Float[np.ndarray, "n d"],
    train_y: Int[np.ndarray, " n"],
    val_x: Float[np.ndarray, "v d"],
    val_y: Int[np.ndarray, " v"],
    test_x: Float[np.ndarray, "b d"],
    *,
    penalties: tuple[float, ...],
    max_iterations: int,
) -> Probe:
    """Multinomial logistic regression: mean cross-entropy + penalty/2 * |weights|^2.

    Of the penalties the one with the smallest validation cross-entropy is taken: accuracy would be
    too coarse on a small validation set. Minimised by L-BFGS.

    Raises:
        UserError: The training set has one class only, embeddings are not finite, or there is no
            penalty.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(train_y)) < 2:
        raise UserError("a linear probe needs two classes or more in the training set")
    # Single precision halves the time and is far finer than the solver's stop.
    train_x, val_x, test_x = (x.astype(np.float32) for x in _standardised(train_x, val_x, test_x))
    model = LogisticRegression(max_iter=max_iterations, warm_start=True)
    best: tuple[float, Probe] | None = None
    # From strong to weak: each solution starts the next, which the weak ones need most.
    for penalty in sorted(penalties, reverse=True):
        model.set_params(C=1 / (penalty * len(train_y)))
        _quiet_fit(model, train_x, train_y)
        loss = _cross_entropy(model.predict_proba(val_x), model.classes_, val_y)
        if best is None or loss < best[0]:
            probability = model.predict_proba(test_x)
            best = (loss, Probe(model.classes_[probability.argmax(1)], probability, penalty))
    if best is None:
        raise UserError("a linear probe needs one penalty or more")
    return best[1]


def _quiet_fit(model: Any, x: np.ndarray, y: np.ndarray) -> None:
    """Fits without a warning at the iteration limit: stopping early is a choice of the config."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)


def _cross_entropy(probability: np.ndarray, classes: np.ndarray, label: np.ndarray) -> float:
    """Mean -log p of the true class; a class that training never saw has probability 1e-12."""
    place = np.searchsorted(classes, label).clip(0, len(classes) - 1)
    p = np.where(classes[place] == label, probability[np.arange(len(label)), place], 0.0)
    return float(-np.mean(np.log(np.maximum(p, 1e-12))))


def regress(
    train_x: Float[np.ndarray, "n d"],
    train_y: Float[np.ndarray, " n"],
    val_x: Float[np.ndarray, "v d"],
    val_y: Float[np.ndarray, " v"],
    test_x: Float[np.ndarray, "b d"],
    *,
    penalties: tuple[float, ...],
) -> Probe:
    """Ridge regression: mean squared error + penalty * |weights|^2 on standardised targets.

    Of the penalties the one with the smallest validation error is taken.

    Raises:
        UserError: Embeddings are not finite, or there is no penalty.
    """
    from sklearn.linear_model import Ridge

    train_x, val_x, test_x = _standardised(train_x, val_x, test_x)
    mean, scale = train_y.mean(), train_y.std() or 1.0
    target = (train_y - mean) / scale
    best: tuple[float, Probe] | None = None
    for penalty in penalties:
        model = Ridge(alpha=penalty * len(train_y), fit_intercept=False).fit(train_x, target)
        error = float(np.mean((model.predict(val_x) * scale + mean - val_y) ** 2))
        if best is None or error < best[0]:
            best = (error, Probe(model.predict(test_x) * scale + mean, None, penalty))
    if best is None:
        raise UserError("a linear probe needs one penalty or more")
    return best[1]


def subset(label: Int[np.ndarray, " n"], *, fraction: float, seed: int) -> Int[np.ndarray, " k"]:
    """Rows of a fraction of each class, at least one of each; larger fractions contain smaller."""
    rng, rows = np.random.default_rng(seed), []
    for c in np.unique(label):
        members = rng.permutation(np.flatnonzero(label == c))
        rows.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(rows))


def check(tables: dict[str, Any], sources: dict[str, Any], *, targets: tuple[str, ...]) -> None:
    """Raises `UserError` if there is nothing to probe for; needs no embedding."""
    names = ("train", "validation", "test")
    splits = quantities.require(tables, "linear_probe", *names)
    if not targets:
        quantities.require_labels(dict(zip(names, splits, strict=True)), "linear_probe")
    found = [
        quantities.pick(table, sources[split].info, targets, "linear_probe.targets")
        for split, table in zip(names, splits, strict=True)
    ]
    for name in found[0]:
        if min(np.isfinite(values[name]).sum() for values in found) < 2:
            raise UserError(
                f"linear probe target {name!r} has no finite values in one of the splits"
            )


def evaluate(
    tables: dict[str, Any],
    sources: dict[str, Any],
    out: Path,
    *,
    targets: tuple[str, ...] = (),
    penalties: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
    fractions: tuple[float, ...] = (),
    repeats: int = 5,
    max_iterations: int = 300,
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Section:
    """Probes the embedding for the classes, where there are labels, and for scalar columns.

    Args:
        tables: Split -> `embed.Table`; "train", "validation" and "test" are used.
        sources: Split -> data source.
        out: Folder for figures and tables.
        targets: Scalars to regress, e.g. "redshift"; vector columns stand for their components.
        penalties: L2 penalties to choose from on validation.
        fractions: Fractions of the training labels, e.g. (0.01, 0.1), to probe with besides all.
        repeats: Random subsets per fraction.
        max_iterations: Limit of L-BFGS.
        n_bootstrap: Bootstrap resamples.
        seed: Seed of subsets and bootstrap.

    Raises:
        UserError: There are no labels and no targets, or a target has no finite values.
    """
    check(tables, sources, targets=targets)
    splits = quantities.require(tables, "linear_probe", "train", "validation", "test")
    numbers: dict[str, float] = {}
    figures, sheets = [], []
    if all(quantities.labels(table) is not None for table in splits):
        data = quantities.labelled(splits)
        options: dict[str, Any] = {"penalties": penalties, "max_iterations": max_iterations}
        numbers, figure = _classes(data, sources["test"].info, out, options, n_bootstrap, seed)
        figures.append(figure)
        if fractions:
            curve = label_curve(data, fractions=fractions, repeats=repeats, seed=seed, **options)
            path = write_csv(out / "label_fractions.csv", curve)
            sheets.append(
                Sheet(path, f"Probe with few labels, mean and spread of {repeats} draws.")
            )
            path = _curve_figure(
                curve, numbers["majority_class_accuracy"], out / "label_fractions.png"
            )
            figures.append(Figure(path, "Probe accuracy against the number of training labels."))
    if targets:
        scored, figure = _values(splits, sources, out, targets, penalties, n_bootstrap, seed)
        numbers |= scored
        figures.append(figure)
    return Section("linear_probe", numbers, figures, "", sheets)


def label_curve(
    data: list[tuple[np.ndarray, np.ndarray]],
    *,
    fractions: tuple[float, ...],
    repeats: int,
    penalties: tuple[float, ...],
    max_iterations: int,
    seed: int,
) -> dict[str, list[float]]:
    """Test accuracy of probes on fractions of the training labels.

    The validation set is thinned by the same fraction: whoever has few labels has few to choose by.

    Returns:
        Parallel columns: fraction, labels, accuracy and balanced_accuracy with their standard
        deviations over the subsets (`_error`).
    """
    (train_x, train_y), (val_x, val_y), (test_x, test_y) = data
    curve: dict[str, list[float]] = {}
    for fraction in sorted(fractions):
        results = []
        for repeat in range(repeats if fraction < 1 else 1):
            rows = subset(train_y, fraction=fraction, seed=seed + repeat)
            few = subset(val_y, fraction=fraction, seed=seed + repeat)
            probe = classify(
                train_x[rows],
                train_y[rows],
                val_x[few],
                val_y[few],
                test_x,
                penalties=penalties,
                max_iterations=max_iterations,
            )
            results.append(metrics(probe.predicted, test_y))
        row = {"fraction": fraction, "labels": len(rows)}
        for name in results[0]:
            values = np.array([r[name] for r in results])
            row[name] = float(values.mean())
            row[f"{name}_error"] = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        for name, value in row.items():
            curve.setdefault(name, []).append(value)
    return curve


def _classes(
    data: list[tuple[np.ndarray, np.ndarray]],
    info: Any,
    out: Path,
    options: dict,
    n_bootstrap: int,
    seed: int,
) -> tuple[dict[str, float], Figure]:
    (train_x, train_y), (val_x, val_y), (test_x, test_y) = data
    probe = classify(train_x, train_y, val_x, val_y, test_x, **options)
    numbers = resampling.with_bootstrap_errors(
        metrics, probe.predicted, test_y, seed=seed, n_bootstrap=n_bootstrap
    )
    numbers["majority_class_accuracy"] = majority_class_accuracy(train_y, test_y)
    numbers["penalty"] = probe.penalty
    names = quantities.class_names(info, np.concatenate([train_y, test_y]))
    path = plots.matrix(
        confusion(probe.predicted, test_y, size=len(names)),
        out / "linear_probe.png",
        rows=names,
        columns=names,
        ylabel="true class",
        xlabel="predicted class",
    )
    return numbers, Figure(path, "Linear probe: true against predicted classes of the test set.")


def _values(
    splits: list[Any],
    sources: dict[str, Any],
    out: Path,
    targets: tuple[str, ...],
    penalties: tuple[float, ...],
    n_bootstrap: int,
    seed: int,
) -> tuple[dict[str, float], Figure]:
    info = sources["test"].info
    found = [quantities.pick(table, info, targets, "linear_probe.targets") for table in splits]
    numbers: dict[str, float] = {}
    pairs = {}
    for name in found[0]:
        known = [np.isfinite(values[name]) for values in found]
        x = [t.embedding[k] for t, k in zip(splits, known, strict=True)]
        y = [v[name][k] for v, k in zip(found, known, strict=True)]
        probe = regress(x[0], y[0], x[1], y[1], x[2], penalties=penalties)
        scores = resampling.with_bootstrap_errors(
            regression_metrics, probe.predicted, y[2], seed=seed, n_bootstrap=n_bootstrap
        )
        numbers |= {f"{name}_{k}": scores[k] for k in ("r2", "r2_error", "rmse", "rmse_error")}
        pairs[name] = (probe.predicted, y[2])
    figure = scatter_figure(pairs, out / "linear_probe_targets.png")
    return numbers, Figure(figure, "Linear probe: predicted against true values of the test set.")


def _curve_figure(curve: dict[str, list[float]], majority: float, path: Path) -> Path:
    canvas = plots.figure(5.2, 3.6)
    axes = canvas.subplots()
    for name in ("accuracy", "balanced_accuracy"):
        error = np.nan_to_num(curve[f"{name}_error"])
        axes.errorbar(
            curve["labels"],
            curve[name],
            error,
            marker="o",
            ms=4,
            lw=1.2,
            capsize=2,
            label=name.replace("_", " "),
        )
    axes.axhline(majority, color="0.5", ls=":", lw=1, label="commonest class")
    axes.set(xscale="log", xlabel="training labels", ylabel="test accuracy")
    axes.legend(fontsize=8, frameon=False)
    return plots.save(canvas, path)
