# SPDX-License-Identifier: Apache-2.0
"""Self-supervised and semi-supervised learning on astronomical images, in JAX and Flax.

`astrojax.load(folder)` opens a trained model, `astrojax.export(run, folder)` writes one. Both are
imported when they are first used, so that `import astrojax` imports nothing heavy.
"""

from typing import Any

__version__ = "0.2.0"
__all__ = ["export", "load"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from astrojax.inference import bundle

        return getattr(bundle, name)
    raise AttributeError(f"module 'astrojax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
