# SPDX-License-Identifier: Apache-2.0
"""How PyTorch names and lays out the weights that astrojax's modules hold.

A name rule turns the path of a variable, with PyTorch's word for its last part
("stages.0.1.layers.0.conv.weight"), into the name it has in a state dict.
"""

import dataclasses
import re
from collections.abc import Callable

import numpy as np
from flax import nnx

from astrojax.nn.backbones.vgg import VGG

Rule = Callable[[str], str]

_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One variable of a module and its place in a state dict.

    Attributes:
        name: Its name in the state dict.
        variable: The module's variable.
        layout: "kernel", "scale" (ConvNeXt's layer scale) or "same".
        cells: For the linear layer that reads flattened feature maps, their grid; else 0.
    """

    name: str
    variable: nnx.Variable
    layout: str
    cells: int = 0

    def shape(self) -> tuple[int, ...]:
        """The shape in the state dict."""
        return self.to_torch(np.broadcast_to(np.int8(0), self.variable.shape)).shape

    def to_torch(self, x: np.ndarray) -> np.ndarray:
        """From astrojax's layout to PyTorch's: [h w i o] is [o i h w], [i o] is [o i]."""
        if self.layout == "scale":
            return x[:, None, None]
        if self.layout != "kernel":
            return x
        if self.cells:  # maps are flattened pixels first here, channels first there
            return (
                x.reshape(self.cells, self.cells, -1, x.shape[1])
                .transpose(3, 2, 0, 1)
                .reshape(x.shape[1], -1)
            )
        return x.transpose(3, 2, 0, 1) if x.ndim == 4 else x.T

    def from_torch(self, x: np.ndarray) -> np.ndarray:
        """From PyTorch's layout to astrojax's."""
        if self.layout == "scale":
            return x[:, 0, 0]
        if self.layout != "kernel":
            return x
        if self.cells:
            return (
                x.reshape(x.shape[0], -1, self.cells, self.cells)
                .transpose(2, 3, 1, 0)
                .reshape(-1, x.shape[0])
            )
        return x.transpose(2, 3, 1, 0) if x.ndim == 4 else x.T


def entries(module: nnx.Module, rule: Rule) -> list[Entry]:
    """All variables of a module with the names that `rule` gives them."""
    found = []
    for path, variable in nnx.to_flat_state(nnx.state(module)):
        leaf = str(path[-1])
        words = [str(p) for p in path[:-1]] + [_LEAVES.get(leaf, leaf)]
        layout = {"kernel": "kernel", "layer_scale": "scale"}.get(leaf, "same")
        cells = 0
        if isinstance(module, VGG) and words == [*_first_linear(module), "weight"]:
            cells = module.grid
        found.append(Entry(rule(".".join(words)), variable, layout, cells))
    return found


def _first_linear(module: VGG) -> list[str]:
    return ["hidden", "0"] if module.hidden else ["head"]


def substitute(*rules: tuple[str, str | Callable[[re.Match], str]]) -> Rule:
    """A rule from (pattern, replacement) pairs, of which the first that matches is applied."""

    def rule(path: str) -> str:
        for pattern, replacement in rules:
            name, count = re.subn(f"^{pattern}", replacement, path)
            if count:
                return name
        return path

    return rule


def within(**parts: tuple[str, Rule]) -> Rule:
    """A rule for a module of parts: {attribute: (prefix in the state dict, rule of the part)}."""

    def rule(path: str) -> str:
        attribute, _, rest = path.partition(".")
        prefix, inner = parts[attribute]
        return prefix + inner(rest)

    return rule


resnet = substitute(
    (r"stem\.conv\.", "conv1."),
    (r"stem\.norm\.", "bn1."),
    (r"stages\.(\d+)\.(\d+)\.layers\.(\d+)\.conv\.", lambda m: _in_block(m, "conv")),
    (r"stages\.(\d+)\.(\d+)\.layers\.(\d+)\.norm\.", lambda m: _in_block(m, "bn")),
    (r"stages\.(\d+)\.(\d+)\.shortcut\.conv\.", lambda m: _in_block(m, "downsample.0")),
    (r"stages\.(\d+)\.(\d+)\.shortcut\.norm\.", lambda m: _in_block(m, "downsample.1")),
    (r"head\.", "fc."),
)
"""torchvision's ResNet."""


def _in_block(match: re.Match, layer: str) -> str:
    stage, block, *inner = match.groups()
    number = str(int(inner[0]) + 1) if inner else ""
    return f"layer{int(stage) + 1}.{block}.{layer}{number}."


convnext = substitute(
    (r"stem\.", "features.0.0."),
    (r"stem_norm\.", "features.0.1."),
    (r"stages\.(\d+)\.(\d+)\.layer_scale", lambda m: f"features.{_odd(m)}.{m[2]}.layer_scale"),
    (r"stages\.(\d+)\.(\d+)\.norm\.", lambda m: f"features.{_odd(m)}.{m[2]}.block.2."),
    (r"stages\.(\d+)\.(\d+)\.expand\.", lambda m: f"features.{_odd(m)}.{m[2]}.block.3."),
    (r"stages\.(\d+)\.(\d+)\.reduce\.", lambda m: f"features.{_odd(m)}.{m[2]}.block.5."),
    (r"stages\.(\d+)\.(\d+)\.", lambda m: f"features.{_odd(m)}.{m[2]}.block.0."),
    (r"downsamples\.(\d+)\.norm\.", lambda m: f"features.{_odd(m) + 1}.0."),
    (r"downsamples\.(\d+)\.conv\.", lambda m: f"features.{_odd(m) + 1}.1."),
    (r"norm\.", "classifier.0."),
    (r"head\.", "classifier.2."),
)
"""torchvision's ConvNeXt."""


def _odd(match: re.Match) -> int:
    return 2 * int(match[1]) + 1


vit = substitute(
    (r"class_token$", "cls_token"),
    (r"positions$", "pos_embed"),
    (r"patch\.", "patch_embed.proj."),
    (r"(blocks\.\d+\.)norm_", r"\1norm"),
    (r"(blocks\.\d+\.)qkv\.", r"\1attn.qkv."),
    (r"(blocks\.\d+\.)projection\.", r"\1attn.proj."),
    (r"(blocks\.\d+\.)expand\.", r"\1mlp.fc1."),
    (r"(blocks\.\d+\.)reduce\.", r"\1mlp.fc2."),
)
"""timm's VisionTransformer."""


def vgg(module: nnx.Module) -> Rule:
    """Torchvision's VGG, whose layers are numbered with the ReLUs and pools between them."""
    assert isinstance(module, VGG)
    rules: list[tuple[str, str]] = []
    number = 0
    for i, stage in enumerate(module.stages):
        for j, norm in enumerate(stage.norms):
            rules.append((rf"stages\.{i}\.convs\.{j}\.", f"features.{number}."))
            rules.append((rf"stages\.{i}\.norms\.{j}\.", f"features.{number + 1}."))
            number += 2 if norm is None else 3
        number += 1
    rules += [(rf"hidden\.{i}\.", f"classifier.{3 * i}.") for i in range(len(module.hidden))]
    return substitute(*rules, (r"head\.", f"classifier.{3 * len(module.hidden)}."))


def mlp(step: int, first: str = "") -> Rule:
    """`layers.MLP` as an `nn.Sequential` in which linear layers stand `step` apart."""
    return substitute(
        (r"linears\.(\d+)\.", lambda m: f"{first}{step * int(m[1])}."),
        (r"norms\.(\d+)\.", lambda m: f"{first}{step * int(m[1]) + 1}."),
    )


lensiam_projector = substitute(
    (r"linears\.(\d+)\.", lambda m: f"layer{int(m[1]) + 1}.0."),
    (r"norms\.(\d+)\.", lambda m: f"layer{int(m[1]) + 1}.1."),
)
"""LenSiam's projector: every linear layer in an `nn.Sequential` with its norm."""

lensiam_predictor = substitute(
    (r"linears\.0\.", "layer1.0."), (r"norms\.0\.", "layer1.1."), (r"linears\.1\.", "layer2.")
)
"""LenSiam's predictor, whose last linear layer stands alone."""
