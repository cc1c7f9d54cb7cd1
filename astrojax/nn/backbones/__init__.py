# SPDX-License-Identifier: Apache-2.0
"""Backbones: networks from images [b h w c] with any number of bands to features.

All have `width` (the feature size), `features(image)`, and `backbone(image)`, which gives logits if
built with `num_classes` and pooled features otherwise. `train=True` makes batch norms use, and
track, batch statistics; a `key` turns dropout and stochastic depth on.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from flax import nnx

from astrojax.config import bind
from astrojax.errors import UserError
from astrojax.nn.backbones.convnext import ConvNeXt
from astrojax.nn.backbones.resnet import ResNet
from astrojax.nn.backbones.vgg import VGG
from astrojax.nn.backbones.vit import ViT

Backbone = ConvNeXt | ResNet | VGG | ViT

BACKBONES: dict[str, type[Backbone]] = {
    "convnext": ConvNeXt,
    "resnet": ResNet,
    "vgg": VGG,
    "vit": ViT,
}


def build(
    section: Mapping[str, Any],
    *,
    bands: int,
    image_size: int,
    num_classes: int | None,
    rngs: nnx.Rngs,
    path: str = "method.backbone",
) -> Backbone:
    """Makes the backbone that a config section names.

    Args:
        section: {"name": "convnext", ...} with the constructor's other keys.
        bands: Bands of the images.
        image_size: Side of the images in pixels; a ViT is made for it, the others take any.
        num_classes: Outputs of a classifier; None for features.
        rngs: Keys for the initial weights.
        path: Where the section stands in the config, for messages.

    Raises:
        UserError: There is no such backbone, or a key does not fit its constructor.
    """
    name = section.get("name")
    if name not in BACKBONES:
        raise UserError(
            f"config key '{path}.name' is {name!r}; backbones are: {', '.join(BACKBONES)}"
        )
    cls = BACKBONES[name]
    runtime: dict[str, Any] = {
        "bands": bands,
        "image_size": image_size,
        "num_classes": num_classes,
        "rngs": rngs,
    }
    taken = inspect.signature(cls.__init__).parameters  # nnx hides it behind its metaclass
    runtime = {k: v for k, v in runtime.items() if k in taken}
    bound = bind(cls.__init__, section, path=path, runtime=tuple(runtime))
    return cls(**bound.arguments, **runtime)
