# SPDX-License-Identifier: Apache-2.0
"""Images per second of the `:paper` steps written in PyTorch, where PyTorch is installed.

    python benchmarks/torch_steps.py --experiment pita lejepa ijepa self_classifier

The networks, losses and updates of the papers, in bfloat16 autocast and channels last as their
authors run them; views are not among it, as theirs are made by the processes that load the data.
Inputs are random numbers on the device. Each step is compiled with `--compile`.
"""

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

# experiment: images in a batch of its `:paper` (Self-Classifier: `:cifar10`)
BATCH = {"pita": 1024, "lejepa": 256, "ijepa": 256, "self_classifier": 256}
DIRECTIONS, KNOTS, QUEUE = 1024, 17, 60_000


def network(case: str, side: int, bands: int = 3) -> Any:
    """Returns the network of a case of `backbones.py` without its classifier."""
    import torch
    from backbones import CASES, torch_network

    net = torch_network(CASES[case][0], side)[:-1]
    if bands != 3:
        first = net[0]
        net[0] = torch.nn.Conv2d(bands, first.out_channels, first.kernel_size, first.stride)
    return net


def mlp(*widths: int, norm: bool = False) -> Any:
    """Returns linear layers with ReLU, and batch norm if asked for, between them."""
    from torch import nn

    layers: list[Any] = []
    for i, o in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(i, o), *([nn.BatchNorm1d(o)] if norm else []), nn.ReLU()]
    return nn.Sequential(*layers[: -2 if norm else -1])


def pita(batch: int, device: str) -> tuple[Any, Callable[[], Any]]:
    """Returns the parameters and the loss of PITA: contrast with a queue, redshift and color."""
    import copy

    import torch
    import torch.nn.functional as F  # noqa: N812

    encoder = torch.nn.Sequential(network("convnext-tiny", 64, 4), mlp(768, 512, 128))
    heads = torch.nn.ModuleList([mlp(128, 64), mlp(128, 256, 128, 128, 128, 128, 64, 5)])
    slow = copy.deepcopy(torch.nn.ModuleList([encoder, heads[0]])).requires_grad_(False)
    fast = torch.nn.ModuleList([encoder, heads[0]]).to(device)
    parts = torch.nn.ModuleList([encoder, heads]).to(device)
    slow.to(device)
    queue = F.normalize(torch.randn(QUEUE, 64, device=device))
    views = [_images(batch, 4, 64, device) for _ in range(2)]
    target = torch.randn(batch, 5, device=device)

    def loss() -> Any:
        with torch.no_grad():
            for s, f in zip(slow.parameters(), fast.parameters(), strict=True):
                s.lerp_(f, 0.001)
            key = F.normalize(slow[1](slow[0](views[1])).float())
        latent = encoder(views[0])
        query = F.normalize(heads[0](latent).float())
        logits = torch.cat([(query * key).sum(1, keepdim=True), query @ queue.T], 1) / 0.1
        contrast = F.cross_entropy(logits, torch.zeros(batch, dtype=torch.long, device=device))
        queue.copy_(torch.cat([key, queue])[:QUEUE])
        return 0.0025 * contrast + F.huber_loss(heads[1](latent).float(), target)

    return parts.parameters(), loss


def lejepa(batch: int, device: str) -> tuple[Any, Callable[[], Any]]:
    """Returns the parameters and the loss of LeJEPA on 2 views of 224 and 6 of 96 pixels."""
    import torch

    net = torch.nn.Sequential(
        network("convnext-tiny", 224), mlp(768, 2048, 2048, 64, norm=True)
    ).to(device)
    views = [_images(2 * batch, 3, 224, device), _images(6 * batch, 3, 96, device)]
    t = torch.linspace(0, 3, KNOTS, device=device)
    window = torch.exp(-0.5 * t**2)

    def loss() -> Any:
        z = torch.cat([net(v).float().view(-1, batch, 64) for v in views])
        directions = torch.nn.functional.normalize(
            torch.randn(64, DIRECTIONS, device=device), dim=0
        )
        x = (z @ directions)[..., None] * t
        error = (x.cos().mean(1) - window) ** 2 + x.sin().mean(1) ** 2
        sigreg = 2 * batch * torch.trapezoid(error * window, t).mean()
        return 0.05 * sigreg + 0.95 * (z - z[:2].mean(0)).square().mean()

    return net.parameters(), loss


def ijepa(batch: int, device: str) -> tuple[Any, Callable[[], Any]]:
    """Returns the parameters and the loss of AstroJEPA (model 4): 80 and 4 x 40 tokens."""
    import copy

    import torch
    from torch import nn

    def transformer(depth: int) -> Any:
        layer = nn.TransformerEncoderLayer(384, 6, 1536, 0.1, batch_first=True, norm_first=True)
        norm = nn.LayerNorm(384)
        return nn.TransformerEncoder(layer, depth, norm, enable_nested_tensor=False).to(device)

    patch = nn.Conv2d(3, 384, 16, 16).to(device)
    encoder, predictor = transformer(8), transformer(6)
    slow = copy.deepcopy(encoder).requires_grad_(False)
    images = _images(batch, 3, 224, device)
    shown = torch.rand(batch, 196, device=device).topk(80).indices[..., None].expand(-1, -1, 384)
    wanted = torch.rand(batch, 4, 196, device=device).topk(40).indices

    def loss() -> Any:
        with torch.no_grad():
            for s, f in zip(slow.parameters(), encoder.parameters(), strict=True):
                s.lerp_(f, 0.001)
            target = slow(patch(images).flatten(2).transpose(1, 2)).float()
        tokens = patch(images).flatten(2).transpose(1, 2)
        context = encoder(tokens.gather(1, shown))
        asked = context.new_zeros(4 * batch, 40, 384)
        seen = torch.cat([context.repeat_interleave(4, 0), asked], 1)
        found = predictor(seen)[:, -40:].float().reshape(batch, 160, 384)
        place = wanted.reshape(batch, 160, 1).expand(-1, -1, 384)
        return (found - target.gather(1, place)).square().mean()

    parts = nn.ModuleList([patch, encoder, predictor])
    return parts.parameters(), loss


def self_classifier(batch: int, device: str) -> tuple[Any, Callable[[], Any]]:
    """Returns the parameters and the loss of Self-Classifier on two views of 32 pixels."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    net = torch.nn.Sequential(network("resnet18-cifar", 32), mlp(512, 256, 256, 64, norm=True))
    net.to(device)
    classes = F.normalize(torch.randn(900, 64, device=device))
    views = [_images(batch, 3, 32, device) for _ in range(2)]

    def loss() -> Any:
        a, b = (F.normalize(net(v).float()) @ classes.T for v in views)
        pairs = [(y.view(batch, 30, 30) / 0.3) for y in (a, b)]

        def one(p: Any, q: Any) -> Any:
            column = F.softmax(q, 0)
            column = column / column.sum(2, keepdim=True)
            row = F.log_softmax(p, 2) - F.log_softmax(p, 2).logsumexp(0)
            return -(column * row).sum(2).mean()

        return 0.5 * (one(*pairs) + one(*pairs[::-1]))

    return net.parameters(), loss


def _images(count: int, bands: int, side: int, device: str) -> Any:
    import torch

    images = torch.randn(count, bands, side, side, device=device)
    return images.to(memory_format=torch.channels_last)


STEPS = {"pita": pita, "lejepa": lejepa, "ijepa": ijepa, "self_classifier": self_classifier}


def measure(name: str, batch: int, repeats: int, compiled: bool) -> dict[str, Any]:
    """Returns images per second of a step: loss, gradients and update by AdamW."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    parameters, loss = STEPS[name](batch, device)
    parameters = list(parameters)
    optimizer = torch.optim.AdamW(parameters, 1e-4, fused=device == "cuda")
    forward = torch.compile(loss) if compiled else loss

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            value = forward()
        value.backward()
        optimizer.step()
        value.item()  # waits for the device

    seconds = []
    for _ in range(3 + repeats):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    middle = statistics.median(seconds[3:])
    result = {"torch": torch.__version__, "experiment": name, "device": device, "batch": batch}
    return result | {"step_ms": round(1e3 * middle, 2), "images_per_second": round(batch / middle)}


def main() -> None:
    """Parses the command line; prints a line of JSON for each experiment."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experiment", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--batch", type=int, default=None, help="images; the paper's if not given")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--compile", action="store_true", help="compile the losses")
    given = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        print(json.dumps({"skipped": "PyTorch is not installed"}))
        return
    for name in given.experiment:
        batch = given.batch or BATCH[name]
        print(json.dumps(measure(name, batch, given.repeats, given.compile)), flush=True)


if __name__ == "__main__":
    main()
