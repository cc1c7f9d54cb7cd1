# SPDX-License-Identifier: Apache-2.0
"""Images per second of a whole training step, and of the input pipeline that feeds it.

    python benchmarks/throughput.py --method pita
    python benchmarks/throughput.py --method pita --variant paper --dtype bfloat16 --batch 1024
    python benchmarks/throughput.py --method pita --beside ../before

The step is the one of `python -m astrojax.main`: augmentation, networks, loss, gradients, update.
Its input is random numbers in the shapes of the experiment, already on the device; the pipeline is
measured alone, from memory to device. FLOPs are XLA's count for the compiled step.

`--beside` takes another checkout and times the steps of both in turn, as the load of a machine
changes by more than they differ: medians, and the median and quartiles of the paired ratios.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
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


ROOT = Path(__file__).resolve().parents[1]


def experiment(method: str, variant: str, root: Path = ROOT) -> dict[str, Any]:
    """The config of `experiments/<method>.py:<variant>` of a checkout, as a dict."""
    path = root / "experiments" / f"{method}.py"
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


class Prepared:
    """A compiled step with its state and a batch on the device.

    Args:
        arguments: The command line.
    """

    def __init__(self, arguments: argparse.Namespace):
        config = experiment(arguments.method, arguments.variant, arguments.root)
        config = set_dtype(config, arguments.dtype) if arguments.dtype else config
        self.size = config["batch_size"] = arguments.batch or config["batch_size"]
        config |= {"monitor": None, "init": None, "epochs": 100.0}
        source = random_source(
            count=2 * self.size,
            stamp=arguments.stamp,
            bands=arguments.bands,
            classes=arguments.classes,
        )
        self.job = Run(config, {"train": source})
        self.state = self.job.initial_state()
        rows = [source[i] for i in range(self.size)]
        host = {c: np.stack([r[c] for r in rows]) for c in self.job.method.columns}
        self.batch = distributed.put_batch(self.job.mesh, host)
        began = time.perf_counter()
        self.compiled = self.job.step.lower(self.state, self.batch).compile()
        self.compile_seconds = time.perf_counter() - began

    def step(self) -> Any:
        """Does a step; returns its logs, for which the caller may wait."""
        self.state, logs = self.compiled(self.state, self.batch)
        return logs


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns what the step and its input take."""
    run = Prepared(arguments)
    cost = run.compiled.cost_analysis()
    timed(run.step, 3)
    seconds = statistics.median(timed(run.step, arguments.repeats))
    began = time.perf_counter()
    for _ in range(arguments.repeats):
        logs = run.step()
    dispatch = (time.perf_counter() - began) / arguments.repeats
    jax.block_until_ready(logs)
    kind = jax.devices()[0].device_kind
    peak = next((v for k, v in PEAK_FLOPS.items() if k in kind), None)
    flops = cost.get("flops", float("nan")) if cost else float("nan")
    devices = run.job.mesh.size
    result = {
        "device": f"{devices} x {kind}",
        "batch": run.size,
        "step_ms": round(1e3 * seconds, 2),
        "images_per_second": round(run.size / seconds, 1),
        "compile_s": round(run.compile_seconds, 1),
        "gflop_per_image": round(flops / run.size / 1e9, 4),
        "tflop_per_s": round(flops / seconds / 1e12, 3),
        "fraction_of_peak": round(flops / seconds / peak / devices, 3) if peak else None,
        "asynchronous_dispatch_ms": round(1e3 * dispatch, 2),
        "memory_gib": round(run.compiled.memory_analysis().temp_size_in_bytes / 2**30, 2),
    }
    if importlib.util.find_spec("grain"):
        batches = run.job.batches(0)
        timed(lambda: next(batches), 3)
        waits = timed(lambda: next(batches), arguments.repeats)
        result["pipeline_images_per_second"] = round(run.size / statistics.median(waits), 1)
    return result


def serve(arguments: argparse.Namespace) -> None:
    """Does a step for each line of standard input; prints its seconds."""
    run = Prepared(arguments)
    timed(run.step, 2)
    print(run.compile_seconds, flush=True)
    for _ in sys.stdin:
        print(*timed(run.step, 1), flush=True)


def compare(arguments: argparse.Namespace, other: Path) -> dict[str, Any]:
    """Returns the seconds of a step of this checkout and of another, taken in turn."""
    workers = [_worker(root.resolve()) for root in (ROOT, other)]
    compiled = [float(_answer(worker)) for worker in workers]
    seconds: list[list[float]] = [[], []]
    for i in range(arguments.repeats):
        order = (0, 1) if i % 2 == 0 else (1, 0)
        for which in order:
            print(file=workers[which].stdin, flush=True)
            seconds[which].append(float(_answer(workers[which])))
    for worker in workers:
        worker.communicate()
    ratios = [a / b for a, b in zip(*seconds, strict=True)]
    quartiles = statistics.quantiles(ratios, n=4)
    return {
        "step_ms": [round(1e3 * statistics.median(s), 2) for s in seconds],
        "compile_s": [round(s, 1) for s in compiled],
        "ratio_of_medians": round(statistics.median(seconds[0]) / statistics.median(seconds[1]), 3),
        "paired_ratio_quartiles": [round(q, 3) for q in quartiles],
    }


def _worker(root: Path) -> subprocess.Popen:
    command = [sys.executable, __file__, *sys.argv[1:], "--root", str(root)]
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)


def _answer(worker: subprocess.Popen) -> str:
    line = worker.stdout.readline() if worker.stdout else ""
    if not line:
        raise SystemExit(f"{' '.join(map(str, worker.args))} failed")
    return line


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
    parser.add_argument("--beside", type=Path, default=None, help="another checkout to compare")
    parser.add_argument("--root", type=Path, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.beside and not arguments.root:
        print(json.dumps(compare(arguments, arguments.beside), indent=2))
        return
    distributed.enable_compilation_cache()
    if arguments.root:
        serve(arguments)
        return
    arguments.root = ROOT
    print(json.dumps(measure(arguments), indent=2))


if __name__ == "__main__":
    main()
