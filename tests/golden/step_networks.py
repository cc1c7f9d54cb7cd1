# SPDX-License-Identifier: Apache-2.0
"""Tiny networks in PyTorch for `make_steps.py`; their layers bear the package's names."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


class MLP(nn.Module):
    """Linear layers; batch norm and an activation between them."""

    def __init__(self, *widths, norm=False, last_norm=False, slope=0.0, bias=True):
        super().__init__()
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        normed = [norm] * (len(pairs) - 1) + [last_norm]
        self.linears = nn.ModuleList(
            nn.Linear(i, o, bias=bias or not n) for (i, o), n in zip(pairs, normed, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(o) if n else nn.Identity()
            for (_, o), n in zip(pairs, normed, strict=True)
        )
        self.slope = slope

    def forward(self, x):
        for i, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            x = norm(linear(x))
            if i < len(self.linears) - 1:
                x = F.leaky_relu(x, self.slope)
        return x


class ConvNorm(nn.Module):
    def __init__(self, bands, width, size, stride):
        super().__init__()
        self.conv = nn.Conv2d(bands, width, size, stride, size // 2, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return self.norm(self.conv(x))


class Residual(nn.Module):
    def __init__(self, bands, width, stride):
        super().__init__()
        self.layers = nn.ModuleList(
            [ConvNorm(bands, width, 3, stride), ConvNorm(width, width, 3, 1)]
        )
        self.shortcut = ConvNorm(bands, width, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        return (self.layers[1](self.layers[0](x).relu()) + self.shortcut(x)).relu()


class ResNet(nn.Module):
    """Two stages of one block each; a 7x7 stem with max-pool, or a 3x3 one."""

    def __init__(self, bands, width, *, cifar):
        super().__init__()
        self.stem = ConvNorm(bands, width, *((3, 1) if cifar else (7, 2)))
        self.stages = nn.ModuleList(
            [
                nn.ModuleList([Residual(width, width, 1)]),
                nn.ModuleList([Residual(width, 2 * width, 2)]),
            ]
        )
        self.cifar = cifar

    def forward(self, x):
        x = self.stem(x).relu()
        x = x if self.cifar else F.max_pool2d(x, 3, 2, 1)
        for stage in self.stages:
            x = stage[0](x)
        return x.mean((2, 3))


class Inverted(nn.Module):
    """ConvNeXt's block."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, 1, 7, 7))
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand, self.reduce = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.layer_scale = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        y = F.conv2d(x, self.weight, self.bias, padding=3, groups=len(self.bias))
        y = self.reduce(F.gelu(self.expand(self.norm(y.permute(0, 2, 3, 1)))))
        return x + (y * self.layer_scale).permute(0, 3, 1, 2)


def norm_bands(norm, x):
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Downsample(nn.Module):
    def __init__(self, width, features):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.conv = nn.Conv2d(width, features, 2, 2)

    def forward(self, x):
        return self.conv(norm_bands(self.norm, x))


class ConvNeXt(nn.Module):
    def __init__(self, bands, widths, outputs):
        super().__init__()
        self.stem = nn.Conv2d(bands, widths[0], 4, 4)
        self.stem_norm = nn.LayerNorm(widths[0], eps=1e-6)
        self.stages = nn.ModuleList(nn.ModuleList([Inverted(w)]) for w in widths)
        self.downsamples = nn.ModuleList([Downsample(*widths)])
        self.norm = nn.LayerNorm(widths[1], eps=1e-6)
        self.head = nn.Linear(widths[1], outputs)

    def forward(self, x):
        x = self.stages[0][0](norm_bands(self.stem_norm, self.stem(x)))
        x = self.stages[1][0](self.downsamples[0](x))
        return self.head(self.norm(x.mean((2, 3))))


class Attention(nn.Module):
    """A transformer's block, norms first."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.reduce = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, n, d = x.shape
        parts = self.qkv(self.norm_1(x)).reshape(b, n, 3, self.heads, d // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d)
        x = x + self.projection(y)
        return x + self.reduce(F.gelu(self.expand(self.norm_2(x))))


def sincos(grid, width):
    """Half of the features for the column, half for the row; sines, then cosines."""
    omega = 1 / 10000 ** (torch.arange(width // 4) / (width / 4))
    line = torch.outer(torch.arange(grid, dtype=omega.dtype), omega)
    line = torch.cat([line.sin(), line.cos()], 1)
    row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    return torch.cat([line[column.flatten()], line[row.flatten()]], 1)


class ViT(nn.Module):
    def __init__(self, bands, width, heads, grid, depth=2):
        super().__init__()
        self.patch = nn.Conv2d(bands, width, 4, 4)
        self.blocks = nn.ModuleList(Attention(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.grid = sincos(grid, width)

    def forward(self, image, kept=None):
        x = self.patch(image).flatten(2).transpose(1, 2) + self.grid
        if kept is not None:
            x = taken(x, kept)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def taken(x, index):
    return torch.gather(x, 1, index[..., None].expand(-1, -1, x.shape[-1]))


class VGG(nn.Module):
    def __init__(self, bands, widths):
        super().__init__()
        stages = []
        for i, o in zip((bands, *widths[:-1]), widths, strict=True):
            stage = nn.Module()
            stage.convs = nn.ModuleList([nn.Conv2d(i, o, 3, padding=1)])
            stages.append(stage)
        self.stages = nn.ModuleList(stages)

    def forward(self, x):
        for stage in self.stages:
            x = F.max_pool2d(stage.convs[0](x).relu(), 2)
        return x.mean((2, 3))
