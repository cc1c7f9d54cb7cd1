# SPDX-License-Identifier: Apache-2.0
"""I-JEPA on gathered visible tokens beside masked attention: time of loss and gradient, one run.

python benchmarks/ijepa_tokens.py --width 192 --depth 6 --side 112 --batch 32

Masked attention takes all patches through the context encoder and the predictor, and hides the
others by their validity, as the gathered version hides its padding; both give the same loss. The
two are timed in turn, so that a busy machine slows both.
"""

import argparse
import importlib.util
import time
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx
from jax import random

from astrojax import methods as methods
from astrojax.config import plain
from astrojax.data.info import DataInfo

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "ijepa.py"


def make_method(*, width: int, depth: int, side: int, dtype: str) -> nnx.Module:
    """The method of `experiments/ijepa.py:paper` at another size, as many patches as its sides."""
    spec = importlib.util.spec_from_file_location("ijepa_experiment", EXPERIMENT)
    experiment = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(experiment)
    section = plain(experiment.get_config("paper").method)
    patches = (side // section["backbone"]["patch_size"]) ** 2
    section["backbone"] |= {"width": width, "depth": depth, "heads": 3, "dtype": dtype}
    section["predictor"] |= {"width": width, "heads": 3, "dtype": dtype}
    section["masks"] |= {"context_tokens": round(0.4 * patches), "min_context": patches // 10}
    section["view"]["crop"] = side
    info = DataInfo(bands=("g", "r", "z"), image_size=side)
    return methods.build(section, info=info, rngs=nnx.Rngs(0))


def masked(masks, patches: int):
    """The same masks with all patches as context and what is not visible invalid."""
    batch = masks.context.shape[0]
    row = jnp.arange(batch)[:, None]
    seen = jnp.zeros((batch, patches), bool).at[row, masks.context].max(masks.context_valid)
    everything = jnp.broadcast_to(jnp.arange(patches), (batch, patches))
    return masks._replace(context=everything, context_valid=seen)


def steps(method, *, batch: int, side: int):
    """{name: (compiled loss and gradient, arguments)}."""
    image = 255 * random.uniform(random.key(0), (batch, side, side, 3))
    masks = jax.jit(lambda key, x: method.masks(key, x))(random.key(1), image)
    graph, params, rest = nnx.split(method, nnx.Param, ...)
    variants = {"gathered": masks, "masked": masked(masks, method.encoder.grid**2)}

    # All that is not the program is an argument: XLA folds what depends on constants alone.
    @jax.jit
    @jax.value_and_grad
    def step(params, rest, image, masks):
        found = nnx.merge(graph, params, rest, copy=True).compare(image / 255, masks, key=None)
        error = jnp.mean((found.predicted - found.target) ** 2, axis=-1)
        return jnp.sum(masks.targets_valid * error) / jnp.sum(masks.targets_valid)

    arguments = {name: (params, rest, image, masks) for name, masks in variants.items()}
    return {k: (step.lower(*a).compile(), a) for k, a in arguments.items()}


def measure(method, *, batch: int, side: int, repeats: int) -> dict[str, tuple[float, float]]:
    """{name: (loss, best time in ms)} of the two formulations, timed in turn."""
    compiled = steps(method, batch=batch, side=side)
    losses, times = {}, {name: [] for name in compiled}
    for _ in range(repeats + 1):
        for name, (step, arguments) in compiled.items():
            start = time.perf_counter()
            loss, _ = jax.block_until_ready(step(*arguments))
            times[name].append(1e3 * (time.perf_counter() - start))
            losses[name] = float(loss)
    return {name: (losses[name], min(t[1:])) for name, t in times.items()}


def main():
    """Prints one line per formulation, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=5)
    a = parser.parse_args()
    method = make_method(width=a.width, depth=a.depth, side=a.side, dtype=a.dtype)
    found = measure(method, batch=a.batch, side=a.side, repeats=a.repeats)
    for name, (loss, ms) in found.items():
        print(f"{name:9s} loss {loss:.5f}  {ms:.1f} ms  {1e3 * a.batch / ms:.0f} images/s")
    ratio = found["masked"][1] / found["gathered"][1]
    print(f"gathered tokens are {ratio:.2f} times as fast as masked attention")


if __name__ == "__main__":
    main()
