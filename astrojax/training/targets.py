# SPDX-License-Identifier: Apache-2.0
"""Whether there is anything to learn, to stop by and to score: known before a run begins."""

import dataclasses
from typing import Any

import jax
import numpy as np

from astrojax import evaluate
from astrojax.data.source import Source
from astrojax.errors import UserError
from astrojax.training.run import Run


@dataclasses.dataclass(frozen=True)
class Unembedded:
    """The table of a split before anything is computed: its columns, and shapes of predictions.

    Attributes:
        id: Object ids, [n].
        columns: The data's own entries other than the image, {name: [n] or [n k]}.
        predictions: Zeros in the shapes of what the method predicts.
    """

    id: np.ndarray
    columns: dict[str, np.ndarray]
    predictions: dict[str, np.ndarray]


def check(job: Run) -> None:
    """Refuses a run whose loss, early stopping, kNN score or evaluation has no valid target.

    Raises:
        UserError: Of what is learnt, watched or scored, no object has a value.
    """
    method, train = job.method, job.sources["train"]
    if not np.asarray(method.known_targets(train)).any():
        raise UserError(
            f"no training example has what method {job.keys.method['name']!r} learns from "
            f"({', '.join(c for c in method.columns if c not in method.inputs)}): name the column "
            "in data.columns, or look at data.sentinels and data.split"
        )
    if job.keys.monitor is not None:
        job.settings.monitor(job=job, workdir=None, state=None)
    check_tasks(job)


def check_tasks(job: Run) -> None:
    """Raises `UserError` if the data lack what an evaluation task of a run scores."""
    tasks = evaluate.bind_tasks(job.keys.evaluate)
    if not tasks:
        return
    tables = {
        split: _unembedded(job, source) for split, source in job.sources.items() if len(source)
    }
    evaluate.check_tasks(tasks, tables, job.sources)


def _unembedded(job: Run, source: Source) -> Unembedded:
    example = source[0]
    columns = {name: source.column(name) for name in example if name != "image"}
    inputs = []
    for name in job.method.inputs:
        value = np.asarray(example[name])
        inputs.append(jax.ShapeDtypeStruct((1, *value.shape), value.dtype))
    shapes: dict[str, Any] = jax.eval_shape(job.method.predict, *inputs)
    predictions = {
        name: np.broadcast_to(np.zeros((), s.dtype), (len(source), *s.shape[1:]))
        for name, s in shapes.items()
    }
    return Unembedded(columns.pop("id", np.arange(len(source))), columns, predictions)
