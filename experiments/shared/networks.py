# SPDX-License-Identifier: Apache-2.0
"""Sections `backbone`."""

from typing import Any

_NETWORK = {"dtype": "float32", "remat": False}


def resnet(*, depths: tuple[int, ...], **changed: Any) -> dict[str, Any]:
    """Returns a residual network, half as wide as a ResNet-18 unless changed."""
    fixed = {"block": "basic", "stem": "imagenet", "width": 32, "zero_init_residual": False}
    return {"name": "resnet", "depths": depths, **fixed, **_NETWORK, **changed}


def convnext(*, depths: tuple[int, ...], widths: tuple[int, ...], **changed: Any) -> dict[str, Any]:
    """Returns a ConvNeXt."""
    fixed = {"stem_size": 4, "stem_stride": 4, "drop_path": 0.0, "layer_scale": 1.0}
    return {"name": "convnext", "depths": depths, "widths": widths, **fixed, **_NETWORK, **changed}


def vgg(*, depths: tuple[int, ...], widths: tuple[int, ...], **changed: Any) -> dict[str, Any]:
    """Returns a VGG without layers of its own above the convolutions."""
    fixed = {"batch_norm": True, "grid": 1, "hidden": (), "dropout": 0.0}
    return {"name": "vgg", "depths": depths, "widths": widths, **fixed, **_NETWORK, **changed}


def vit(**changed: Any) -> dict[str, Any]:
    """Returns a vision transformer of 96 features in patches of 8 pixels."""
    size = {"patch_size": 8, "width": 96, "depth": 4, "heads": 3, "mlp_ratio": 4.0}
    fixed = {"positions": "sincos", "class_token": False, "pool": "mean", "activation": "gelu"}
    fixed |= {"dropout": 0.0, "drop_path": 0.0}
    return {"name": "vit", **size, **fixed, **_NETWORK, **changed}
