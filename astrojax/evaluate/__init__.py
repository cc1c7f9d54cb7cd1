# SPDX-License-Identifier: Apache-2.0
"""Evaluation: one file per task, pure functions of (embeddings, labels) and a section of a report.

A task is a module with a function `evaluate`, whose keyword arguments are the keys of the config
section `evaluate.<name>`, beside those that the running program knows (`RUNTIME`). A function
`check` beside it takes some of them, and raises what `evaluate` would raise of the columns, classes
and predictions that are not there.
"""

import importlib
import inspect
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
from flax import nnx

from astrojax.config import Bound, bind
from astrojax.errors import UserError

RUNTIME = ("tables", "sources", "out", "model")


def bind_tasks(section: Mapping[str, Any]) -> dict[str, Bound]:
    """Returns the tasks that the config section `evaluate` names, with their keys.

    Raises:
        UserError: There is no such task, or a key does not fit it.
    """
    return {
        name: bind(_task(name), keys, path=f"evaluate.{name}", runtime=RUNTIME)
        for name, keys in section.items()
    }


def _task(name: str) -> Any:
    try:
        return importlib.import_module(f"astrojax.evaluate.{name}").evaluate
    except (ModuleNotFoundError, AttributeError):
        raise UserError(f"config key 'evaluate.{name}' names no evaluation task") from None


def check_tasks(tasks: Mapping[str, Bound], sources: Mapping[str, Any], model: Any) -> None:
    """Raises before a run what its evaluation would raise after it: what data or method lack.

    Args:
        tasks: What `bind_tasks` returned.
        sources: Split -> data source.
        model: The method; only the shapes of its predictions are asked for.

    Raises:
        UserError: A split, column, class or prediction that a task names is not there.
    """
    if not tasks:
        return
    tables = {split: _expected(source, model) for split, source in sources.items() if len(source)}
    for task in tasks.values():
        check = getattr(importlib.import_module(task.fn.__module__), "check", None)
        if check is not None:
            known = {"tables": tables, "sources": sources, "model": model, **task.arguments}
            check(**{k: v for k, v in known.items() if k in inspect.signature(check).parameters})


def _expected(source: Any, model: Any) -> SimpleNamespace:
    """Returns the table of a split as it will be, with zeros for what the model will say."""
    example = source[0]
    inputs = [np.asarray(example[name])[None] for name in model.inputs]
    graph, state = nnx.split(model)
    shapes = jax.eval_shape(
        lambda state, *images: nnx.merge(graph, state).predict(*images), state, *inputs
    )
    zeros = {
        name: np.broadcast_to(np.zeros((), shape.dtype), (len(source), *shape.shape[1:]))
        for name, shape in shapes.items()
    }
    columns = {name: source.column(name) for name in example if name not in ("image", "id")}
    return SimpleNamespace(predictions=zeros, columns=columns)
