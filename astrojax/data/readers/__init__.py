# SPDX-License-Identifier: Apache-2.0
"""Readers: one file for each kind of data, each with a function `load`."""

import pkgutil


def names() -> list[str]:
    """Returns the names of the readers: the modules of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))
