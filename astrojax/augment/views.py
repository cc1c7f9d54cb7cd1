# SPDX-License-Identifier: Apache-2.0
"""From a config section to a view maker: a function (key, images) -> views."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array, Float, PRNGKeyArray

from astrojax.augment import galaxy, natural
from astrojax.config import bind
from astrojax.data.info import DataInfo
from astrojax.errors import UserError

View = Callable[[PRNGKeyArray, Array], Float[Array, "b h w c"]]


def make(section: Mapping[str, Any], *, info: DataInfo, path: str) -> View:
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
        fn = galaxy.galaxy_view
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
    return functools.partial(fn, **keys)


def _noise(factor: Any, info: DataInfo, path: str) -> tuple[float, ...] | None:
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
