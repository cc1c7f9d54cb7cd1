# SPDX-License-Identifier: Apache-2.0
"""Makes `steps.npz`: several training steps of each method by the authors' formulas, in PyTorch.

    python tests/golden/make_steps.py tests/golden/steps.npz     # needs torch; about 10 s on a CPU

It imports nothing of the package. Networks, losses and updates are written anew here from the
papers and from what the authors' released code computes (`README.md` beside this file says which),
in float64, with PyTorch's own layers and optimizers. Layers bear the package's names, so that one
rule turns weights of one side into those of the other.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

sys.path.append(str(Path(__file__).parents[1] / "steps"))
import cases  # noqa: E402
from step_networks import MLP, VGG, Attention, ConvNeXt, ResNet, ViT, sincos, taken  # noqa: E402

torch.set_default_dtype(torch.float64)


def start(case, module):
    """Gives every parameter and statistic its first value."""
    with torch.no_grad():
        for name, x in module.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                x.copy_(torch.tensor(cases.weight(case, name, tuple(x.shape))))
    return module.train()


def views(case):
    """Views of each step, [v b c h w]."""
    return torch.tensor(cases.images(case), dtype=torch.float64).permute(0, 1, 2, 5, 3, 4)


def set_rate(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate


def warmup_cosine(step, total, warmup, first, peak, last):
    """The rate of an update that `step` others precede."""
    if step < warmup:
        return first + (peak - first) * step / warmup
    return last + 0.5 * (peak - last) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def average(slow, fast, decay):
    with torch.no_grad():
        for s, f in zip(slow.parameters(), fast.parameters(), strict=True):
            s.mul_(decay).add_(f, alpha=1 - decay)


def result(losses, module, **more):
    """What is kept: the losses, and how far everything moved from its first value."""
    kept = {"losses": np.array(losses)}
    for name, x in module.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            kept[f"moved/{name}"] = x.numpy() - module.first[name]
    return kept | more


def remember(module):
    module.first = {k: v.numpy().copy() for k, v in module.state_dict().items()}
    return module


def pita(before=False):
    """Momentum encoder after the optimizer's step; with `before`, where the authors have it."""
    net = nn.Module()
    for name in ("encoder", "momentum_encoder"):
        part = nn.Module()
        part.backbone, part.mlp = ConvNeXt(4, (8, 12), 10), MLP(10, 12, 8)
        part.head = MLP(8, 8, 6)
        setattr(net, name, part)
    net.redshift, net.color = MLP(8, 8, 1), MLP(8, 8, 4)
    net = remember(start("pita", net))
    queue = torch.tensor(cases.weight("pita", "queue.keys", (cases.QUEUE, 6)))
    slow = list(net.momentum_encoder.parameters())
    trained = [p for n, p in net.named_parameters() if not n.startswith("momentum")]
    optimizer = torch.optim.Adam(trained, lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3, eta_min=1e-7)
    columns, losses, place = cases.catalogue("pita"), [], 0
    for step, image in enumerate(views("pita")):
        latent = net.encoder.mlp(net.encoder.backbone(image[0]))
        query = F.normalize(net.encoder.head(latent))
        with torch.no_grad():
            other = net.momentum_encoder
            key = F.normalize(other.head(other.mlp(other.backbone(image[1]))))
            if before:
                average(other, net.encoder, 0.9)
        queue[(place + torch.arange(len(key))) % len(queue)] = key
        place = (place + len(key)) % len(queue)
        logits = torch.cat([(query * key).sum(1, keepdim=True), query @ queue.T], 1) / 0.1
        loss = 0.25 * F.cross_entropy(logits, torch.zeros(len(key), dtype=torch.long))
        redshift = torch.tensor(columns["redshift"][step])
        known = redshift >= 0
        predicted = net.redshift(latent)[:, 0]
        loss = loss + F.huber_loss(predicted[known], redshift[known], delta=0.15)
        log_flux = torch.tensor(np.log10(columns["flux"][step]))
        target = torch.cat([log_flux[:, 1:] - log_flux[:, :-1], log_flux[:, 1:2]], 1)
        loss = loss + F.mse_loss(net.color(latent), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if not before:
            average(net.momentum_encoder, net.encoder, 0.9)
    assert all(p.grad is None for p in slow)
    return result(losses, net, **{"queue.keys": queue.numpy()})


def ijepa():
    """The rate of an update counts those before it; the authors' is one step ahead."""
    net, width, total = nn.Module(), 8, 5
    net.encoder, net.target_encoder = (ViT(3, width, 2, cases.GRID) for _ in range(2))
    net.predictor = nn.Module()
    net.predictor.enter, net.predictor.leave = nn.Linear(width, 12), nn.Linear(12, width)
    net.predictor.mask_token = nn.Parameter(torch.zeros(1, 1, 12))
    net.predictor.blocks = nn.ModuleList([Attention(12, 3)])
    net.predictor.norm = nn.LayerNorm(12, eps=1e-6)
    net = remember(start("ijepa", net))
    table = sincos(cases.GRID, 12).expand(4, -1, -1)
    named = [(n, p) for n, p in net.named_parameters() if not n.startswith("target")]
    plain = [p for n, p in named if p.ndim == 1 or "bias" in n]
    matrices = [p for n, p in named if not (p.ndim == 1 or "bias" in n)]
    optimizer = torch.optim.AdamW([{"params": matrices}, {"params": plain, "weight_decay": 0.0}])
    masks, losses = cases.masks(), []
    for step, image in enumerate(views("ijepa")):
        set_rate(optimizer, warmup_cosine(step, total, 2, 2e-4, 1e-3, 1e-6))
        done = (step + 1) / total
        decay = 0.4 + 0.5 * (0.04 - 0.4) * (1 + math.cos(math.pi * done))
        optimizer.param_groups[0]["weight_decay"] = decay
        context = torch.tensor(masks["context"][step])
        with torch.no_grad():
            target = F.layer_norm(net.target_encoder(image[0]), (width,))
        own = net.predictor
        seen = own.enter(net.encoder(image[0], context)) + taken(table, context)
        loss = 0.0
        for block in torch.tensor(masks["targets"][step]).unbind(1):
            x = torch.cat([seen, own.mask_token + taken(table, block)], 1)
            x = own.leave(own.norm(own.blocks[0](x))[:, -block.shape[1] :])
            loss = loss + F.smooth_l1_loss(x, taken(target, block)) / cases.BLOCKS
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average(net.target_encoder, net.encoder, 0.9 + (1.0 - 0.9) * step / total)
        losses.append(loss.item())
    return result(losses, net)


def sigreg(z, directions, points=17, t_max=3.0):
    """LeJEPA's Algorithm 1 for one view: trapezoids on [0, t_max], doubled, times N."""
    t = torch.linspace(0, t_max, points)
    weight = torch.full((points,), 2 * t_max / (points - 1))
    weight[[0, -1]] /= 2
    normal = torch.exp(-(t**2) / 2)
    angle = (z @ directions)[..., None] * t
    error = (angle.cos().mean(0) - normal) ** 2 + angle.sin().mean(0) ** 2
    return (error @ (weight * normal) * len(z)).mean()


def lejepa():
    """Two global and two local views, all in one pass, as in the authors' minimal script.

    Layers before a batch norm are without bias here too: the norm takes it off.
    """
    net, total = nn.Module(), 6
    net.backbone = ViT(3, 8, 2, 2)
    net.projector = MLP(8, 12, 6, norm=True, bias=False)
    net = remember(start("lejepa", net))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=5e-2)
    directions, losses = torch.tensor(cases.directions()), []
    for step, image in enumerate(views("lejepa")):
        set_rate(optimizer, warmup_cosine(step, total, 2, 2e-5, 2e-3, 2e-6))
        v, b = image.shape[:2]
        # Of one size: one pass of the backbone or two give the same, there is no norm over images.
        x = net.backbone(image.transpose(0, 1).reshape(b * v, *image.shape[2:])).mean(1)
        z = net.projector(x).reshape(b, v, -1).transpose(0, 1)
        invariance = (z - z[:2].mean(0)).square().mean()
        gaussian = torch.stack([sigreg(one, directions) for one in z]).mean()
        loss = 0.05 * gaussian + (1 - 0.05) * invariance
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return result(losses, net)


def self_classifier():
    """The first version on CIFAR, whose rows of q are made to sum to 1."""
    net, total, tau = nn.Module(), 10, 0.3
    net.backbone = ResNet(3, 4, cifar=True)
    # The authors' layers have biases before a norm, which nothing depends on.
    net.mlp = MLP(8, 8, 6, norm=True, slope=0.01, bias=False)
    net = remember(start("self_classifier", net))
    rows = torch.tensor(cases.weight("self_classifier", "directions", (sum(cases.CLASSES), 6)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9, weight_decay=1e-6)
    losses = []
    for step, image in enumerate(views("self_classifier")):
        set_rate(optimizer, warmup_cosine(step, total, 0, 0.0, 0.3, 0.003))
        z = [F.normalize(net.mlp(net.backbone(x))) for x in image]  # one pass for each view
        loss = 0.0
        for head in rows.split(cases.CLASSES):
            a, b = (one @ head.T / tau for one in z)
            for target, logits in ((a, b), (b, a)):
                q = F.normalize(target.softmax(0), p=1, dim=1)
                cross = -(q * logits.log_softmax(1)).sum(1).mean()
                loss = loss + cross / 2 / len(cases.CLASSES)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return result(losses, net)


def magnitudes():
    """Keras' order: the norms of a unit's weights are cut after each update."""
    net = nn.Module()
    net.backbone = VGG(3, (6, 8))
    net.hidden, net.output = nn.Linear(8, 10), nn.Linear(10, 3)
    net = remember(start("magnitudes", net))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    flux, losses = cases.catalogue("magnitudes")["flux"], []
    for step, image in enumerate(views("magnitudes")):
        target = torch.tensor(23.9 - 2.5 * np.log10(flux[step])) / 30
        y = net.output(net.hidden(net.backbone(image[0])).relu()).clamp(0, 1)
        loss = (y - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():  # weights are [units inputs]
            length = net.hidden.weight.norm(dim=1, keepdim=True)
            net.hidden.weight.mul_(torch.clamp(1.2 / length, max=1))
        losses.append(loss.item())
    return result(losses, net)


def simsiam():
    """LenSiam's heads; the predictor keeps its rate."""
    net = nn.Module()
    net.backbone = ResNet(1, 4, cifar=False)
    net.projector = MLP(8, 8, 8, 8, norm=True, last_norm=True)
    net.predictor = MLP(8, 4, 8, norm=True)
    net = remember(start("simsiam", net))
    groups = [{"params": m.parameters()} for m in (net.backbone, net.projector, net.predictor)]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, weight_decay=5e-4)
    losses = []
    for step, image in enumerate(views("simsiam")):
        for group in optimizer.param_groups[:2]:
            group["lr"] = warmup_cosine(step, 2, 0, 0.0, 0.05, 0.0)
        z = [net.projector(net.backbone(x)) for x in image]
        p = [net.predictor(x) for x in z]
        pairs = ((p[0], z[1]), (p[1], z[0]))
        loss = -sum(F.cosine_similarity(a, b.detach()).mean() for a, b in pairs) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return result(losses, net)


def main(path):
    made = {
        "pita": pita(),
        "ijepa": ijepa(),
        "lejepa": lejepa(),
        "self_classifier": self_classifier(),
        "magnitudes": magnitudes(),
        "simsiam": simsiam(),
    }
    np.savez_compressed(
        path, **{f"{c}/{k}": v for c, kept in made.items() for k, v in kept.items()}
    )
    theirs = pita(before=True)
    for part in ("moved/encoder", "moved/momentum_encoder"):
        pairs = [(theirs[k], v) for k, v in made["pita"].items() if k.startswith(part)]
        apart = np.sqrt(sum(np.sum((a - b) ** 2) for a, b in pairs))
        moved = np.sqrt(sum(np.sum(b**2) for _, b in pairs))
        print(
            f"PITA, the average before the optimizer's step: {part} differs by {apart / moved:.1e}"
        )


if __name__ == "__main__":
    main(sys.argv[1])
