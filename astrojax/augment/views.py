# SPDX-License-Identifier: Apache-2.0
"""Makes functions (key, images) -> views from config sections."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from astrojax.augment import galaxy, natural
from astrojax.config import bind
from astrojax.errors import UserError


@runtime_checkable
class Stamps(Protocol):
    """What a view has to know of the images; a `DataInfo` has it."""

    @property
    def image_size(self) -> int:
        """Side of the square stamps, in pixels."""
        ...

    @property
    def noise(self) -> tuple[float, ...] | None:
        """Standard deviation of the sky noise per band, or None if it is not known."""
        ...


View = Callable[[PRNGKeyArray, Array], Float[Array, "b h w c"]]


def make(section: Mapping[str, Any], *, info: Stamps, path: str) -> View:
    """Binds a view's hyper-parameters; checks them against the data before anything is computed.

    Args:
        section: `name` is "galaxy" (keys of `augment.galaxy_view`, with `noise` as a multiple of
            the data's own sky noise per band) or "natural" (keys of `natural.natural_view`).
        info: The images.
        path: Where the section stands in the config, for messages.

    Raises:
        UserError: A key does not fit, stamps are smaller than the crop, or the sky noise is not
            known.
    """
    keys = {k: v for k, v in section.items() if k != "name"}
    if section.get("name") == "galaxy":
        fn: Callable[..., Array] = galaxy.galaxy_view
        keys["noise"] = _noise(keys.get("noise"), info, path)
    elif section.get("name") == "natural":
        fn = natural.natural_view
    else:
        raise UserError(
            f"config key '{path}.name' is {section.get('name')!r}; choose 'galaxy' or 'natural'"
        )
    keys = bind(fn, keys, path=path).arguments
    if info.image_size < keys["crop"]:
        raise UserError(
            f"stamps of {info.image_size} pixels are smaller than config key '{path}.crop', "
            f"{keys['crop']}"
        )
    return jax.named_scope("views")(functools.partial(fn, **keys))


def _noise(factor: Any, info: Stamps, path: str) -> tuple[float, ...] | None:
    """Returns the noise that is added, per band, from the multiple that the config asks for."""
    if isinstance(factor, bool) or not isinstance(factor, int | float):
        raise UserError(
            f"config key '{path}.noise' is {factor!r}; it has to be a number, the multiple of the "
            "data's sky noise (0 for none)"
        )
    if factor == 0:
        return None
    if info.noise is None:
        raise UserError(
            f"config key '{path}.noise' is {factor}, but the data state no sky noise per band"
        )
    return tuple(factor * sigma for sigma in info.noise)
