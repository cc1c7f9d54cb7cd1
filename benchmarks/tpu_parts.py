# SPDX-License-Identifier: Apache-2.0
"""What a TPU's compiler says of the forms of single layers: cycles forward and backward.

    pip install -e ".[tpu-compile]"
    python benchmarks/tpu_parts.py [PART ...]

Parts are small beside a training step, so that a form is chosen in minutes; `tpu_compile.py` has
the steps. Each is compiled for one chip of a v5e, in bfloat16.
"""

import argparse
import functools
import json
import time
from collections.abc import Callable
from typing import Any

from tpu_compile import CLOCK, chips  # first, as it sets what libtpu reads

# isort: split
import jax
import jax.numpy as jnp
from hlo_cost import Program

from astrojax.nn.backbones import blocks, depthwise
from astrojax.nn.layers import dropout

Part = tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]


def _mlp(activation: Callable, x: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    return activation(x @ a) @ b


def _dropped(x: jax.Array, a: jax.Array) -> jax.Array:
    return dropout(jax.nn.relu(x @ a), 0.1, jax.random.key(0))


def _parts() -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for images, side, width in ((128, 16, 96), (128, 4, 384), (192, 24, 96), (64, 56, 96)):
        shapes = ((images, side, side, width), (7, 7, 1, width))
        for form in (depthwise.grouped, depthwise.whole):
            if form is depthwise.grouped or side < 56:
                parts[f"depthwise-{side}-{form.__name__}"] = (form, shapes)
    mlp = ((32768, 96), (96, 384), (384, 96))
    exact = functools.partial(jax.nn.gelu, approximate=False)
    forms = {"erf": blocks.gelu, "erfc": exact, "tanh": jax.nn.gelu}
    parts |= {f"mlp-gelu-{k}": (functools.partial(_mlp, f), mlp) for k, f in forms.items()}
    return parts | {"mlp-relu-dropout": (_dropped, ((256, 120, 384), (384, 1536)))}


def measure(fn: Callable, shapes: tuple[tuple[int, ...], ...]) -> dict[str, float]:
    """Compiles value and gradients; returns million cycles, ms and CPU seconds of compilation."""
    chip = jax.sharding.SingleDeviceSharding(chips("v5e:2x2")[0])

    def both(cotangent: jax.Array, *arguments: jax.Array) -> Any:
        value, pull = jax.vjp(fn, *arguments)
        return value, pull(cotangent)

    arguments = [jax.ShapeDtypeStruct(s, jnp.bfloat16, sharding=chip) for s in shapes]
    out = jax.eval_shape(fn, *arguments)
    cotangent = jax.ShapeDtypeStruct(out.shape, out.dtype, sharding=chip)
    began = time.process_time()
    compiled = jax.jit(both).lower(cotangent, *arguments).compile()
    seconds = time.process_time() - began
    cycles = Program(compiled.as_text()).cycles()["total"]
    found = {"million_cycles": cycles / 1e6, "ms": 1e3 * cycles / CLOCK, "compile_cpu_s": seconds}
    return {k: round(v, 3) for k, v in found.items()}


def main() -> None:
    """Parses the command line; prints a line of JSON for each part."""
    parts = _parts()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; default all")
    chosen = parser.parse_args().parts or list(parts)
    unknown = [name for name in chosen if name not in parts]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; parts are: {', '.join(parts)}")
    for name in chosen:
        print(json.dumps({"part": name, **measure(*parts[name])}), flush=True)


if __name__ == "__main__":
    main()
