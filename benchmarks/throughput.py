# SPDX-License-Identifier: Apache-2.0
"""Images per second of a whole training step, and of the input pipeline that feeds it.

    python benchmarks/throughput.py --method pita
    python benchmarks/throughput.py --method pita --variant paper --dtype bfloat16 --batch 1024

The step is the one of `python -m astrojax.main`: augmentation, networks, loss, gradients, update.
Its input is random numbers in the shapes of the experiment, already on the device; the pipeline is
measured alone, from memory to device. FLOPs are XLA's count for the compiled step.
"""

import argparse
import importlib.util
import json
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from astrojax import distributed
from astrojax.config import plain
from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.training.run import Run

PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "TPU v5 lite": 197e12}  # bf16, dense


def experiment(method: str, variant: str) -> dict[str, Any]:
    """The config of `experiments/<method>.py:<variant>` as a dict."""
    path = Path(__file__).parents[1] / "experiments" / f"{method}.py"
    spec = importlib.util.spec_from_file_location(method, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return plain(module.get_config(variant))


def random_source(*, count: int, stamp: int, bands: int, classes: int) -> ArraySource:
    """Made-up examples with every column that a method may ask for."""
    rng = np.random.default_rng(0)
    columns = {
        "image": rng.normal(size=(count, stamp, stamp, bands)).astype(np.float32),
        "redshift": rng.uniform(0, 3, count).astype(np.float32),
        "magnitude": rng.normal(24, 1, (count, bands)).astype(np.float32),
        "label": rng.integers(0, classes, count),
    }
    info = DataInfo(tuple(f"b{i}" for i in range(bands)), stamp, noise=(1.0,) * bands)
    return ArraySource(columns, info)


def set_dtype(tree: Any, dtype: str) -> Any:
    """The config with every `dtype` key replaced."""
    if isinstance(tree, dict):
        return {k: dtype if k == "dtype" else set_dtype(v, dtype) for k, v in tree.items()}
    return tree


def timed(fn: Any, repeats: int) -> list[float]:
    """Seconds of each call, waiting for its result."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(fn())
        seconds.append(time.perf_counter() - began)
    return seconds


def main() -> None:
    """Parses the command line, measures, prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--method", required=True, help="an experiment's name, e.g. pita")
    parser.add_argument("--variant", default="", help="its variant, e.g. paper")
    parser.add_argument("--dtype", default=None, help="compute type, e.g. bfloat16")
    parser.add_argument("--batch", type=int, default=None, help="global batch size")
    parser.add_argument("--stamp", type=int, default=72, help="side of the stamps in pixels")
    parser.add_argument("--bands", type=int, default=4)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    distributed.enable_compilation_cache()
    config = experiment(arguments.method, arguments.variant)
    config = set_dtype(config, arguments.dtype) if arguments.dtype else config
    size = config["batch_size"] = arguments.batch or config["batch_size"]
    config |= {"monitor": None, "init": None, "epochs": 100.0}
    source = random_source(
        count=2 * size, stamp=arguments.stamp, bands=arguments.bands, classes=arguments.classes
    )
    job = Run(config, {"train": source})
    state = job.initial_state()
    rows = [source[i] for i in range(size)]
    host = {c: np.stack([r[c] for r in rows]) for c in job.method.columns}
    batch = distributed.put_batch(job.mesh, host)

    began = time.perf_counter()
    compiled = job.step.lower(state, batch).compile()
    compile_seconds = time.perf_counter() - began
    cost = compiled.cost_analysis()
    held = [state]

    def step() -> Any:
        held[0], logs = compiled(held[0], batch)
        return logs

    timed(step, 3)
    seconds = statistics.median(timed(step, arguments.repeats))
    began = time.perf_counter()
    for _ in range(arguments.repeats):
        held[0], logs = compiled(held[0], batch)
    dispatch = (time.perf_counter() - began) / arguments.repeats
    jax.block_until_ready(logs)
    kind = jax.devices()[0].device_kind
    peak = next((v for k, v in PEAK_FLOPS.items() if k in kind), None)
    flops = cost.get("flops", float("nan")) if cost else float("nan")
    result = {
        "device": f"{job.mesh.size} x {kind}",
        "batch": size,
        "step_ms": round(1e3 * seconds, 2),
        "images_per_second": round(size / seconds, 1),
        "compile_s": round(compile_seconds, 1),
        "gflop_per_image": round(flops / size / 1e9, 4),
        "tflop_per_s": round(flops / seconds / 1e12, 3),
        "fraction_of_peak": round(flops / seconds / peak / job.mesh.size, 3) if peak else None,
        "asynchronous_dispatch_ms": round(1e3 * dispatch, 2),
        "memory_gib": round(compiled.memory_analysis().temp_size_in_bytes / 2**30, 2),
    }
    if importlib.util.find_spec("grain"):
        batches = job.batches(0)
        timed(lambda: next(batches), 3)
        waits = timed(lambda: next(batches), arguments.repeats)
        result["pipeline_images_per_second"] = round(size / statistics.median(waits), 1)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
