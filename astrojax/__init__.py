# SPDX-License-Identifier: Apache-2.0
"""Self-supervised and semi-supervised learning on astronomical images, in JAX and Flax.

`astrojax.load(folder)` opens a trained model, `astrojax.export(run, folder)` makes one.
"""

from typing import Any

# The function, and not the package of the same name, is what `astrojax.export` is.
from astrojax.export import export as export

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load":  # on demand: the command line's --help imports nothing heavy
        from astrojax.inference.bundle import load

        return load
    raise AttributeError(f"module 'astrojax' has no attribute {name!r}")
