# SPDX-License-Identifier: Apache-2.0
"""One training step of ResNet-18, batch norm in train mode, is PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from astrojax.interop import torch as torch_weights

torch = pytest.importorskip("torch", reason="PyTorch, the optional extra, is not installed")


class Block(torch.nn.Module):
    """torchvision's BasicBlock."""

    def __init__(self, bands, width, stride):
        super().__init__()
        conv, norm = torch.nn.Conv2d, torch.nn.BatchNorm2d
        self.conv1, self.bn1 = conv(bands, width, 3, stride, 1, bias=False), norm(width)
        self.conv2, self.bn2 = conv(width, width, 3, 1, 1, bias=False), norm(width)
        self.downsample = None
        if stride != 1:
            self.downsample = torch.nn.Sequential(
                conv(bands, width, 1, stride, bias=False), norm(width)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet18(torch.nn.Module):
    """torchvision's resnet18."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = torch.nn.Conv2d(3, 64, 7, 2, 3, bias=False), torch.nn.BatchNorm2d(64)
        widths = (64, 64, 128, 256, 512)
        for i in range(1, 5):
            first = Block(widths[i - 1], widths[i], 1 if i == 1 else 2)
            layer = torch.nn.Sequential(first, Block(widths[i], widths[i], 1))
            setattr(self, f"layer{i}", layer)
        self.fc = torch.nn.Linear(512, 10)

    def forward(self, x):
        x = torch.nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))


def arrays(module):
    return {k: v.detach().numpy().copy() for k, v in module.state_dict().items()}


def in_float64(module):
    """The module with all variables and computations in float64."""
    for _, part in nnx.iter_modules(module):
        if hasattr(part, "dtype"):
            part.dtype = jnp.dtype("float64")
    nnx.update(module, jax.tree.map(lambda x: x.astype("float64"), nnx.state(module)))
    return module


def test_one_step():
    # In float32 both differ from float64 by 2%: ReLUs near zero flip. In float64 they do not.
    torch.manual_seed(0)
    theirs = ResNet18().double().train()
    rng = np.random.default_rng(0)
    image, target = rng.standard_normal((4, 64, 64, 3)), rng.integers(0, 10, 4)
    start = arrays(theirs)
    objective = torch.nn.functional.cross_entropy(
        theirs(torch.tensor(image.transpose(0, 3, 1, 2))), torch.tensor(target)
    )
    objective.backward()

    @jax.jit
    def step(params, rest, image):
        def loss(params):
            module = nnx.merge(graph, params, rest, copy=True)
            log_p = jax.nn.log_softmax(module(image, train=True))
            return -log_p[jnp.arange(4), target].mean(), nnx.state(module, nnx.BatchStat)

        return jax.value_and_grad(loss, has_aux=True)(params)

    with jax.enable_x64(True):
        ours = in_float64(torch_weights.load(start, arch="torchvision/resnet18"))
        graph, params, rest = nnx.split(ours, nnx.Param, ...)
        (value, stats), gradients = step(params, rest, jnp.asarray(image))
        changed = nnx.merge(graph, gradients, stats)
        found = torch_weights.state_dict(changed, arch="torchvision/resnet18")

    # Weights were loaded, and features are pooled, in float32.
    np.testing.assert_allclose(value, objective.item(), rtol=1e-6)
    for name, p in theirs.named_parameters():
        error = np.linalg.norm(found[name] - p.grad.numpy()) / np.linalg.norm(p.grad.numpy())
        assert error < 1e-5, name
    for name, expected in arrays(theirs).items():
        if name.endswith("running_mean"):
            np.testing.assert_allclose(found[name], expected, atol=1e-6)
        if name.endswith("running_var"):
            np.testing.assert_allclose(found[name], expected, rtol=1e-6)
