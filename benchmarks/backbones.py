# SPDX-License-Identifier: Apache-2.0
"""Images per second of the backbones, against PyTorch where it is installed.

    python benchmarks/backbones.py [case ...]

Prints one line per case: compile time of the training step, forward and forward+backward images/s
of JAX and of PyTorch, and their ratios. The two are timed in turn within one process, as the load
of a machine changes by more than they differ; medians of `REPEATS` passes. On 2 CPU cores PyTorch's
forward+backward was ahead by 2.0 (ResNet-18, CIFAR), 1.7 (ResNet-50), 1.45 (VGG16), 1.9 (ConvNeXt
atto; 2.5 with the small stem), 1.2 to 1.5 (tiny), 1.1 (ViT-Ti 64/8) and 1.2 (ViT-Ti 224/16);
ViT-S 64/8 was 0.9.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from astrojax.nn import backbones
from astrojax.nn.backbones import convnext, resnet, vgg, vit

REPEATS = 5

_NETWORK = {"dtype": "float32", "remat": False}
_RESNET = {"name": "resnet", "zero_init_residual": False, **_NETWORK}
_CONVNEXT = {"name": "convnext", "drop_path": 0.0, "layer_scale": 1e-6, **_NETWORK}
_VIT = {
    "name": "vit",
    "positions": "learned",
    "class_token": True,
    "pool": "class",
    "activation": "gelu",
    "dropout": 0.0,
    "drop_path": 0.0,
    **_NETWORK,
}

# name: (section, image side, batch)
CASES = {
    "resnet18-cifar": ({**_RESNET, **resnet.SIZES["18"], "stem": "cifar"}, 32, 32),
    "resnet50": ({**_RESNET, **resnet.SIZES["50"], "stem": "imagenet"}, 64, 32),
    "convnext-atto": (
        {**_CONVNEXT, **convnext.SIZES["atto"], "stem_size": 4, "stem_stride": 4},
        64,
        64,
    ),
    "convnext-atto-stem2": (
        {**_CONVNEXT, **convnext.SIZES["atto"], "stem_size": 2, "stem_stride": 2},
        64,
        32,
    ),
    "convnext-tiny": (
        {**_CONVNEXT, **convnext.SIZES["tiny"], "stem_size": 4, "stem_stride": 4},
        64,
        32,
    ),
    "vgg16": (
        {
            "name": "vgg",
            **vgg.SIZES["16"],
            "batch_norm": False,
            "grid": 1,
            "hidden": (),
            "dropout": 0.0,
            **_NETWORK,
        },
        32,
        32,
    ),
    "vit-tiny-64/8": ({**_VIT, **vit.SIZES["tiny"], "patch_size": 8}, 64, 64),
    "vit-tiny-224/16": ({**_VIT, **vit.SIZES["tiny"], "patch_size": 16}, 224, 16),
    "vit-small-64/8": ({**_VIT, **vit.SIZES["small"], "patch_size": 8}, 64, 32),
}


def jax_passes(section: dict, side: int, batch: int):
    """Forward and forward+backward as calls without arguments, and the latter's compile seconds."""
    make = nnx.jit(
        lambda: backbones.build(section, bands=3, image_size=side, num_classes=10, rngs=nnx.Rngs(0))
    )
    graph, params, rest = nnx.split(make(), nnx.Param, ...)
    image = jnp.asarray(np.random.default_rng(0).standard_normal((batch, side, side, 3)), "float32")

    def forward(params, rest, image):
        return nnx.merge(graph, params, rest)(image)

    def backward(params, rest, image):
        def loss(params):
            module = nnx.merge(graph, params, rest, copy=True)
            return module(image, train=True).mean(), nnx.state(module, nnx.BatchStat)

        return jax.value_and_grad(loss, has_aux=True)(params)

    compiled = []
    for fn in (forward, backward):
        lowered = jax.jit(fn).lower(params, rest, image)
        start = time.perf_counter()
        compiled.append(lowered.compile())
        seconds = time.perf_counter() - start
    return [lambda f=f: jax.block_until_ready(f(params, rest, image)) for f in compiled], seconds


def torch_passes(section: dict, side: int, batch: int):
    """The same two calls in PyTorch, channels last, or None where PyTorch is not installed."""
    try:
        import torch
    except ImportError:
        return None
    module = torch_network(section, side).to(memory_format=torch.channels_last)
    image = torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)

    def forward():
        with torch.no_grad():
            return module.eval()(image)

    def backward():
        module.train().zero_grad()
        module(image).mean().backward()

    return [forward, backward]


def torch_network(section: dict, side: int):
    """A backbone with a classifier of ten classes in PyTorch, a `Sequential` of its layers."""
    from torch import nn

    make = {
        "resnet": _torch_resnet,
        "convnext": _torch_convnext,
        "vgg": _torch_vgg,
        "vit": _torch_vit,
    }
    return make[section["name"]](nn, section, side)


def _torch_resnet(nn, section, side):
    class Block(nn.Module):
        def __init__(self, bands, layers):
            super().__init__()
            body = []
            for i, o, k, s in layers:
                conv = nn.Conv2d(i, o, k, s, k // 2, bias=False)
                body += [conv, nn.BatchNorm2d(o), nn.ReLU(inplace=True)]
            self.body = nn.Sequential(*body[:-1])
            stride = max(s for _, _, _, s in layers)
            self.shortcut = nn.Identity()
            if stride > 1 or layers[-1][1] != bands:
                conv = nn.Conv2d(bands, layers[-1][1], 1, stride, bias=False)
                self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(layers[-1][1]))

        def forward(self, x):
            return (self.body(x) + self.shortcut(x)).relu()

    cifar, width = section["stem"] == "cifar", section["width"]
    stem = nn.Conv2d(3, width, *((3, 1, 1) if cifar else (7, 2, 3)), bias=False)
    parts = [stem, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    parts += [] if cifar else [nn.MaxPool2d(3, 2, 1)]
    features = width
    for i, depth in enumerate(section["depths"]):
        w = width * 2**i
        for j in range(depth):
            s = 2 if i and not j else 1
            if section["block"] == "basic":
                layers = [(features, w, 3, s), (w, w, 3, 1)]
            else:
                layers = [(features, w, 1, 1), (w, w, 3, s), (w, 4 * w, 1, 1)]
            parts.append(Block(features, layers))
            features = layers[-1][1]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 10))


def _torch_convnext(nn, section, side):
    class Norm(nn.LayerNorm):
        def forward(self, x):
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    class Block(nn.Module):
        def __init__(self, w):
            super().__init__()
            self.conv = nn.Conv2d(w, w, 7, 1, 3, groups=w)
            self.mlp = nn.Sequential(
                nn.LayerNorm(w), nn.Linear(w, 4 * w), nn.GELU(), nn.Linear(4 * w, w)
            )
            self.scale = nn.Parameter(nn.LayerNorm(w).weight.detach())  # ones

        def forward(self, x):
            y = self.scale * self.mlp(self.conv(x).permute(0, 2, 3, 1))
            return x + y.permute(0, 3, 1, 2)

    widths = section["widths"]
    parts = [nn.Conv2d(3, widths[0], section["stem_size"], section["stem_stride"]), Norm(widths[0])]
    for i, (w, depth) in enumerate(zip(widths, section["depths"], strict=True)):
        parts += [Norm(widths[i - 1]), nn.Conv2d(widths[i - 1], w, 2, 2)] if i else []
        parts += [Block(w) for _ in range(depth)]
    return nn.Sequential(
        *parts,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LayerNorm(widths[-1]),
        nn.Linear(widths[-1], 10),
    )


def _torch_vgg(nn, section, side):
    parts, bands = [], 3
    for w, depth in zip(section["widths"], section["depths"], strict=True):
        for _ in range(depth):
            parts += [nn.Conv2d(bands, w, 3, 1, 1), nn.ReLU(inplace=True)]
            bands = w
        parts.append(nn.MaxPool2d(2))
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(bands, 10))


def _torch_vit(nn, section, side):
    d, patch, heads = section["width"], section["patch_size"], section["heads"]

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.qkv, self.out = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.mlp = nn.Sequential(
                nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d)
            )

        def forward(self, x):
            b, n, _ = x.shape
            q, k, v = self.qkv(self.norm(x)).view(b, n, 3, heads, d // heads).unbind(2)
            y = nn.functional.scaled_dot_product_attention(
                q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
            )
            x = x + self.out(y.transpose(1, 2).reshape(b, n, d))
            return x + self.mlp(x)

    class Embed(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch = nn.Conv2d(3, d, patch, patch)
            self.positions = nn.Parameter(nn.Embedding((side // patch) ** 2 + 1, d).weight.detach())

        def forward(self, image):
            x = self.patch(image).flatten(2).transpose(1, 2)
            x = nn.functional.pad(x, (0, 0, 1, 0))  # a zero class token, then its position
            return x + self.positions

    class First(nn.Module):
        def forward(self, x):
            return x[:, 0]

    blocks = [Block() for _ in range(section["depth"])]
    return nn.Sequential(Embed(), *blocks, nn.LayerNorm(d), First(), nn.Linear(d, 10))


def rates(passes, batch: int) -> list[float]:
    """Images per second of each pass: calls in turn, medians."""
    for call in passes:
        call()
    times = [[] for _ in passes]
    for _ in range(REPEATS):
        for call, found in zip(passes, times, strict=True):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
    return [batch / statistics.median(t) for t in times]


def main() -> None:
    """Runs the cases named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(CASES)}; default all")
    chosen = parser.parse_args().cases or list(CASES)
    unknown = [name for name in chosen if name not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; cases are: {', '.join(CASES)}")
    print("case                  compile  JAX fwd     f+b  torch fwd     f+b  torch/JAX")
    for name in chosen:
        section, side, batch = CASES[name]
        ours, seconds = jax_passes(section, side, batch)
        theirs = torch_passes(section, side, batch)
        found = rates(ours + (theirs or []), batch)
        line = f"{name:20} {seconds:7.1f}s {found[0]:8.1f} {found[1]:7.1f}"
        if theirs:
            ratios = f"{found[2] / found[0]:.2f} {found[3] / found[1]:.2f}"
            line += f" {found[2]:10.1f} {found[3]:7.1f}  {ratios}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
