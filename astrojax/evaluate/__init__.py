# SPDX-License-Identifier: Apache-2.0
"""Evaluation: one file per task, pure functions of (embeddings, labels) and a section of a report.

A task is a module with a function `evaluate`, whose keyword arguments are the keys of the config
section `evaluate.<name>`, beside those that the running program knows (`RUNTIME`).
"""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

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


def check_tasks(
    tasks: Mapping[str, Bound], tables: Mapping[str, Any], sources: Mapping[str, Any]
) -> None:
    """Calls the function `check` of each task that has one, before anything is computed.

    Args:
        tasks: What `bind_tasks` returned.
        tables: Split -> table whose columns are those of the data, and whose predictions and
            embeddings have the right shapes alone.
        sources: Split -> data source.

    Raises:
        UserError: The data lack what a task scores.
    """
    for task in tasks.values():
        check = getattr(importlib.import_module(task.fn.__module__), "check", None)
        if check is not None:
            given = {"tables": tables, "sources": sources, **task.arguments}
            taken = inspect.signature(check).parameters
            check(**{key: value for key, value in given.items() if key in taken})


def _task(name: str) -> Any:
    try:
        return importlib.import_module(f"astrojax.evaluate.{name}").evaluate
    except (ModuleNotFoundError, AttributeError):
        raise UserError(f"config key 'evaluate.{name}' names no evaluation task") from None
