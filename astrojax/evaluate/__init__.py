# SPDX-License-Identifier: Apache-2.0
"""Evaluation: one file per task, pure functions of (embeddings, labels) and a section of a report.

A task is a module with a function `evaluate`, whose keyword arguments are the keys of the config
section `evaluate.<name>`, beside those that the running program knows (`RUNTIME`).
"""

import importlib
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


def _task(name: str) -> Any:
    try:
        return importlib.import_module(f"astrojax.evaluate.{name}").evaluate
    except (ModuleNotFoundError, AttributeError):
        raise UserError(f"config key 'evaluate.{name}' names no evaluation task") from None
