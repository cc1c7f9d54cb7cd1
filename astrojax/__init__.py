# SPDX-License-Identifier: Apache-2.0
"""Self-supervised and semi-supervised learning on astronomical images, in JAX and Flax.

`astrojax.load(folder)` opens a trained model, `astrojax.export(run, folder)` makes one.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in ("load", "export"):  # on demand: the command line's --help imports nothing heavy
        from astrojax import bundle

        return getattr(bundle, name)
    raise AttributeError(f"module 'astrojax' has no attribute {name!r}")
