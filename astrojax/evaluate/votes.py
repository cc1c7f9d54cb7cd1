# SPDX-License-Identifier: Apache-2.0
"""Scores of predicted fractions of volunteers' votes, question by question."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from astrojax.errors import UserError
from astrojax.evaluate import quantities, regression, resampling
from astrojax.evaluate.report import Figure, Section


def metrics(
    predicted: Float[np.ndarray, "n k"], votes: Float[np.ndarray, "n k"]
) -> dict[str, float]:
    """Mean absolute error of the fractions, and how often the commonest answer is right."""
    fraction = votes / votes.sum(1, keepdims=True)
    return {
        "fraction_mae": float(np.abs(predicted - fraction).mean()),
        "accuracy": float(np.mean(predicted.argmax(1) == fraction.argmax(1))),
    }


def check(tables: dict[str, Any], *, targets: tuple[str, ...], questions: tuple[int, ...]) -> None:
    """Raises `UserError` if votes are not predicted or not known; needs no embedding."""
    (table,) = quantities.require(tables, "votes", "test")
    missing = [n for n in targets if n not in table.columns]
    missing += [n for n in targets if f"{n}_fraction" not in table.predictions]
    if missing or sum(questions) != len(targets):
        raise UserError(f"evaluation 'votes' lacks {', '.join(missing) or 'a question'}")
    quantities.require_values({"test": table}, targets, "votes", least=2)


def evaluate(
    tables: dict[str, Any],
    out: Path,
    *,
    targets: tuple[str, ...],
    questions: tuple[int, ...],
    n_bootstrap: int = 200,
    seed: int = 0,
) -> Section:
    """Scores `predictions["<name>_fraction"]` against the votes of the test set.

    Args:
        tables: Split -> `embed.Table`; "test" is used.
        out: Folder for figures.
        targets: Columns of counts, question by question.
        questions: Numbers of answers of each question.
        n_bootstrap: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Raises:
        UserError: A column is missing, or nobody answered a question.
    """
    check(tables, targets=targets, questions=questions)
    (table,) = quantities.require(tables, "votes", "test")
    numbers: dict[str, float] = {}
    pairs: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    first = 0
    for size in questions:
        names, first = targets[first : first + size], first + size
        votes = np.stack([quantities.numbers(table.columns[n]) for n in names], 1)
        predicted = np.stack([np.asarray(table.predictions[f"{n}_fraction"]) for n in names], 1)
        known = np.isfinite(votes).all(1) & (np.nan_to_num(votes).sum(1) > 0)
        known &= np.isfinite(predicted).all(1)
        question = names[0].rpartition("_")[0] or names[0]
        if known.sum() < 2:
            raise UserError(f"nobody answered the question {question!r} in the test set")
        scores = resampling.with_bootstrap_errors(
            metrics, predicted[known], votes[known], seed=seed, n_bootstrap=n_bootstrap
        )
        numbers |= {f"{question}_{key}": value for key, value in scores.items()}
        fraction = votes[known] / votes[known].sum(1, keepdims=True)
        pairs |= {n: (predicted[known][:, i], fraction[:, i]) for i, n in enumerate(names)}
    path = regression.scatter_figure(pairs, out / "votes.png")
    return Section("votes", numbers, [Figure(path, "Predicted against true fractions of votes.")])
