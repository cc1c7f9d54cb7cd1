# SPDX-License-Identifier: Apache-2.0
"""Peak memory and time of SIGReg's value and gradient, beside the formula written out.

python benchmarks/sigreg_memory.py --samples 512 --dim 256 --directions 1024 --knots 17
"""

import argparse
import time

import jax
import jax.numpy as jnp

from astrojax import losses


def written_out(embeddings, directions, *, t_max=3.0, num_points=17):
    """The same number from an array [v n k num_points]."""
    t = jnp.linspace(0.0, t_max, num_points)
    target = jnp.exp(-0.5 * t**2)
    phase = jnp.einsum("vnd,dk->vnk", embeddings, directions, precision="highest")[..., None] * t
    real, imaginary = jnp.cos(phase).mean(1), jnp.sin(phase).mean(1)
    distance = ((real - target) ** 2 + imaginary**2) * target
    return embeddings.shape[1] * jnp.mean(2.0 * jnp.trapezoid(distance, t, axis=-1))


def measure(loss, embeddings, directions, knots):
    """Value, temporary memory in MB and the best of five times in ms."""
    step = jax.value_and_grad(lambda e, d: loss(e, d, num_points=knots))
    step = jax.jit(step).lower(embeddings, directions).compile()
    value, _ = jax.block_until_ready(step(embeddings, directions))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(step(embeddings, directions))
        times.append(time.perf_counter() - start)
    return float(value), step.memory_analysis().temp_size_in_bytes / 1e6, 1e3 * min(times)


def main():
    """Prints one line per formulation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--directions", type=int, default=1024)
    parser.add_argument("--knots", type=int, default=17)
    a = parser.parse_args()
    embeddings = jax.random.normal(jax.random.key(0), (1, a.samples, a.dim))
    directions = losses.random_directions(jax.random.key(1), a.dim, a.directions)
    print(f"projections: {a.samples * a.directions * 4 / 1e6:.1f} MB")
    for name, loss in {"astrojax": losses.sigreg, "written out": written_out}.items():
        value, memory, ms = measure(loss, embeddings, directions, a.knots)
        print(f"{name:12s} value {value:.5f}  temporary memory {memory:.1f} MB  {ms:.1f} ms")


if __name__ == "__main__":
    main()
