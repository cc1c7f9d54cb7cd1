# SPDX-License-Identifier: Apache-2.0
"""Variants of an experiment."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from astrojax.errors import UserError

Change = Callable[[ConfigDict], None]


def choose(variants: Mapping[str, Any], variant: str, file: str) -> Any:
    """Returns the entry of a variant.

    Raises:
        UserError: The experiment has no such variant.
    """
    if variant not in variants:
        known, which = [name for name in variants if name], "it has"
        if len(known) > 12:
            known, which = difflib.get_close_matches(variant, known, 6, 0.0), "the nearest are"
        raise UserError(
            f"experiments/{Path(file).name} has no variant {variant!r}; {which} {', '.join(known)}"
        )
    return variants[variant]


def apply(config: ConfigDict, changes: Iterable[Change]) -> ConfigDict:
    """Returns the config after the changes of a variant, made in order."""
    for change in changes:
        change(config)
    return config
