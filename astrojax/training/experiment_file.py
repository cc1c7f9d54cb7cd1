# SPDX-License-Identifier: Apache-2.0
"""Experiments: Python files with `get_config(variant)`, as `--config FILE:VARIANT` names them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astrojax.errors import UserError


def load(config: str, keys: Sequence[str] = ()) -> Any:
    """Returns the config of an experiment with keys changed by `--config.KEY=VALUE`.

    Raises:
        UserError: There is no such file or key, or a value has the wrong type.
    """
    from absl import flags
    from ml_collections import config_flags

    path = config.partition(":")[0]
    if not Path(path).is_file():
        raise UserError(f"there is no experiment file {path!r}")
    values = flags.FlagValues()
    holder = config_flags.DEFINE_config_file("config", flag_values=values)
    try:
        values(["astrojax", f"--config={config}", *keys])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: {_sentence(error)}") from error
    except flags.Error as error:
        raise UserError(_sentence(error)) from error
    return holder.value


def _sentence(error: BaseException) -> str:
    """Returns the last line of a library's message, which says what is wrong."""
    text = str(error).replace("\\n", "\n").replace("\\'", "'")
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith("Pass --help")]
    if kept and "Error: " in kept[-1]:  # a config file that raised: its message alone
        return kept[-1].partition("Error: ")[2]
    return " ".join(kept).strip('"')
