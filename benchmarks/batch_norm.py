# SPDX-License-Identifier: Apache-2.0
"""What the second pass of batch norm costs, and what it saves.

python benchmarks/batch_norm.py

Prints the largest error of the output where a feature's mean is 1 to 10,000 times its spread, with
the variance as a mean of squared differences (two passes over the data, as the package does it) and
as a mean square less a squared mean (one pass); and the time of value and gradient of a ResNet-18
of half width, 64 images of 64 pixels, either way: the shortest of alternating runs.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from astrojax.nn.backbones.resnet import SIZES, ResNet
from astrojax.nn.layers import BatchNorm, batch_norm

PASSES = {"two passes": False, "one pass": True}


def error(fast: bool, ratio: float) -> float:
    """The largest error of a normalised value."""
    rng = np.random.default_rng(0)
    x = np.float32(ratio + rng.standard_normal((64, 32, 32, 4)))
    norm = batch_norm(4, rngs=nnx.Rngs(0))
    norm.use_fast_variance = fast
    exact = np.float64(x)
    exact = (exact - exact.mean((0, 1, 2))) / np.sqrt(exact.var((0, 1, 2)) + 1e-5)
    return float(np.abs(np.asarray(norm(jnp.asarray(x), use_running_average=False)) - exact).max())


def make_step(fast: bool):
    """A jitted value and gradient, and its argument."""
    network = {"bands": 3, "stem": "imagenet", "num_classes": None, "zero_init_residual": False}
    net = ResNet(
        **SIZES["18"] | {"width": 32}, **network, dtype="float32", remat=False, rngs=nnx.Rngs(0)
    )
    for _, part in nnx.iter_modules(net):
        if isinstance(part, BatchNorm):
            part.use_fast_variance = fast
    graph, params, rest = nnx.split(net, nnx.Param, ...)
    image = jax.random.normal(jax.random.key(0), (64, 64, 64, 3))

    def loss(params):
        return jnp.mean(nnx.merge(graph, params, rest, copy=True)(image, train=True) ** 2)

    return jax.jit(jax.value_and_grad(loss)), params


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    for ratio in (1.0, 100.0, 1000.0, 10_000.0):
        found = "   ".join(f"{name} {error(fast, ratio):.1e}" for name, fast in PASSES.items())
        print(f"mean / spread {ratio:6.0f}   largest error: {found}")
    steps = {name: make_step(fast) for name, fast in PASSES.items()}
    best = dict.fromkeys(PASSES, np.inf)
    for _ in range(args.runs + 1):  # the first compiles
        for name, (step, params) in steps.items():
            start = time.process_time()
            jax.block_until_ready(step(params))
            best[name] = min(best[name], time.process_time() - start)
    for name, seconds in best.items():
        print(f"{name}: {seconds:.3f} s of processor time")


if __name__ == "__main__":
    main()
