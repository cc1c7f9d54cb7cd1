# SPDX-License-Identifier: Apache-2.0
"""What a method is, and how a config becomes one: the only indirection in the package."""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from astrojax.config import Bound, bind
from astrojax.data.info import DataInfo
from astrojax.data.source import Source
from astrojax.errors import UserError

Batch = Mapping[str, Array]


class Method(nnx.Module):
    """A training objective with its networks; one subclass per file in `astrojax/methods`.

    The training step splits a method into `nnx.Param` (trained by gradients) and everything else
    (batch statistics, `layers.NonTrainable`), which `loss` and `after_update` change in place.
    """

    columns: tuple[str, ...] = ("image",)
    """Entries that a batch must have; some methods need others with other keys."""

    encoder_part: ClassVar[str] = "backbone"
    """Path of the backbone that is worth fine-tuning, as `init.parts` names it."""

    inputs: ClassVar[tuple[str, ...]] = ("image",)
    """Entries that `embed` and `predict` take, in this order."""

    def check(self, source: Source) -> None:
        """Raises `UserError` if a training split does not suit the method."""

    def known_targets(self, source: Source) -> Bool[np.ndarray, " n"]:
        """Returns which examples have a target that the loss learns from: all, without labels."""
        return np.ones(len(source), bool)

    def loss(
        self, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The loss of a global batch, and what to log beside it."""
        raise NotImplementedError

    def after_update(self, progress: Float[Array, ""]) -> None:
        """Changes non-gradient state after the optimizer step.

        `progress` is the number of earlier updates over that of all: 0 at the first one.
        """

    def embed(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b d"]:
        """The representation of raw images, in evaluation mode."""
        raise NotImplementedError

    def validation_loss(self, batch: Batch) -> Float[Array, " b"]:
        """The loss of each example in evaluation mode, for early stopping where a run asks."""
        raise NotImplementedError(f"{type(self).__name__} has no validation loss")

    def predict(self, image: Shaped[Array, "b h w c"]) -> dict[str, Float[Array, "b ..."]]:
        """What the method's heads say of raw images; empty for a method without heads."""
        return {}


def bind_section(section: Mapping[str, Any]) -> Bound:
    """Returns the method that the config section `method` names, with its keys.

    Calling it with `info` and `rngs` makes the method for the data that `info` describes.

    Raises:
        UserError: There is no such method, or a key does not fit its constructor.
    """
    return bind(find(section), section, path="method", runtime=("info", "rngs"))


def build(section: Mapping[str, Any], *, info: DataInfo, rngs: nnx.Rngs) -> Method:
    """Makes the method that the config section names, for data described by `info`.

    Raises:
        UserError: There is no such method, or a key does not fit its constructor.
    """
    return bind_section(section)(info=info, rngs=rngs)


def find(section: Mapping[str, Any]) -> type[Method]:
    """The one `Method` subclass in `astrojax/methods/<name>.py`."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__))
    name = section.get("name")
    if name not in names:
        raise UserError(f"config key 'method.name' is {name!r}; methods are: {', '.join(names)}")
    module = importlib.import_module(f"astrojax.methods.{name}")
    (found,) = (
        c
        for _, c in inspect.getmembers(module, inspect.isclass)
        if issubclass(c, Method) and c.__module__ == module.__name__
    )
    return found
