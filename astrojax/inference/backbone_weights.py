# SPDX-License-Identifier: Apache-2.0
"""The backbone of a trained method under the names of torchvision or timm."""

from pathlib import Path
from typing import Any

from flax import nnx

from astrojax.errors import UserError
from astrojax.interop import torch
from astrojax.methods import Method
from astrojax.nn.backbones import ConvNeXt, ResNet, ViT
from astrojax.nn.backbones.vgg import VGG

# Class -> library, and an architecture whose naming rule is that of the class at any size.
_LIBRARIES = {
    ResNet: ("torchvision", "torchvision/resnet18"),
    ConvNeXt: ("torchvision", "torchvision/convnext_tiny"),
    VGG: ("torchvision", "torchvision/vgg16"),
    ViT: ("timm", "timm/vit_tiny_patch16_224"),
}
_PLACES = ("target_encoder", "encoder.backbone", "backbone")  # what `embed` uses, method by method


def save(method: Method, path: Path, *, library: str) -> str:
    """Writes the backbone's weights as safetensors.

    Args:
        method: The trained method.
        path: File to write, ending in `.safetensors`.
        library: "torchvision" (ResNet, ConvNeXt, VGG) or "timm" (ViT).

    Returns:
        What was written, in words.

    Raises:
        UserError: The method has no such backbone, or the file cannot be written.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"--out {path} has to end in .safetensors")
    module = find(method)
    kind = type(module).__name__
    if type(module) not in _LIBRARIES or _LIBRARIES[type(module)][0] != library:
        there = _LIBRARIES.get(type(module), ("no library", ""))[0]
        raise UserError(
            f"the backbone is a {kind}, whose weights {there} names, not {library}: "
            + (f"give --format {there}" if type(module) in _LIBRARIES else "export a bundle")
        )
    torch.save(module, path, arch=_LIBRARIES[type(module)][1])
    count = sum(v.size for v in nnx.to_flat_state(nnx.state(module)).leaves)
    return (
        f"{kind} with {count} weights under {library}'s names (strict=False where it has no head)"
    )


def find(method: Method) -> nnx.Module:
    """Returns the network that a method's `embed` begins with.

    Raises:
        UserError: It has none, as a method on magnitudes.
    """
    for place in _PLACES:
        module: Any = method
        for name in place.split("."):
            module = getattr(module, name, None)
        if isinstance(module, nnx.Module):
            return module
    raise UserError(f"{type(method).__name__} has no backbone of images: export a bundle")
