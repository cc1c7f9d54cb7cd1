# SPDX-License-Identifier: Apache-2.0
"""Self-supervised and semi-supervised learning on astronomical images, in JAX and Flax.

    data = astrojax.open_data("stamps.h5", bands=("u", "g", "r", "i"), unit="microjansky")
    run = astrojax.train("lejepa", data=data, workdir="runs/pretrained")
    model = astrojax.finetune("runs/pretrained", data, target="label", workdir="runs/classes")

`astrojax.load(folder)` opens a trained model, `astrojax.export(run, folder)` writes one. All are
imported when they are first used, so that `import astrojax` imports nothing heavy.
"""

import importlib
from typing import Any

__version__ = "0.2.0"
_HOMES = {
    "open_data": "astrojax.data.open",
    "train": "astrojax.inference.workflow",
    "finetune": "astrojax.inference.workflow",
    "load": "astrojax.inference.bundle",
    "export": "astrojax.inference.bundle",
}
__all__ = ["export", "finetune", "load", "open_data", "train"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'astrojax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
