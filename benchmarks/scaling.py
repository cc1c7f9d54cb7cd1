# SPDX-License-Identifier: Apache-2.0
"""What more devices cost: bytes moved by collectives, weak scaling, and a plan for 1,024 devices.

    python benchmarks/scaling.py bytes                      # compiled for 8 CPU devices
    python benchmarks/scaling.py bytes --topology v5e:2x4   # for 8 TPU chips: libtpu, but no TPU
    python benchmarks/scaling.py weak
    python benchmarks/scaling.py plan

Bytes are those of the results of all-reduce, all-gather, reduce-scatter, all-to-all and
collective-permute in the compiled step, those in loops counted as often as the loop runs. The least
is the gradients once, what the loss shares between images once (`shared`), and the moments of batch
norms, forward and backward.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

import jax  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402
from hlo_cost import Program  # noqa: E402
from throughput import experiment, random_source  # noqa: E402

from astrojax import distributed
from astrojax.training.run import Run

EXPERIMENTS = (
    "photoz_mlp",
    "photoz_supervised",
    "moco",
    "pita",
    "magnitudes",
    "ijepa",
    "lejepa",
    "self_classifier",
    "lensiam",
    "simsiam_lenses",
)

# Bytes per second and device, one way: what vendors state, of which collectives reach most.
NVLINK, INFINIBAND = 450e9, 50e9  # H100: NVLink 4; one 400 Gb/s adapter per GPU; 8 GPUs a node
TORUS, NETWORK = 200e9, 3.125e9  # TPU v5e: 4 links; two 100 Gb/s adapters for 8 chips
POD = 256  # v5e chips in one torus
PEAK = {"H100": 989e12, "TPU v5e": 197e12}  # bfloat16 FLOP/s
UTILISATION = 0.4  # of the peak, by the networks' arithmetic


def least(job: Run) -> dict[str, int]:
    """Bytes that a method cannot do without."""
    state, method = job.abstract_state(), job.keys.method
    b = job.keys.batch_size
    gradients = sum(x.size * 4 for x in jax.tree.leaves(state.params))
    moments = jax.tree.leaves(nnx.filter_state(state.rest, nnx.BatchStat))
    two_passes = method["name"] in ("simsiam", "self_classifier")
    norms = 2 * (2 if two_passes else 1) * sum(x.size * 4 for x in moments)
    shared = 0
    if method["name"] in ("moco", "pita"):
        shared = b * method["projection"][-1] * 4
    elif method["name"] in ("lejepa", "ijepa"):
        views = method.get("global_views", 1) + method.get("local_views", 0)
        shared = views * 2 * method["sigreg_points"] * method["sigreg_directions"] * 4
    elif method["name"] == "self_classifier":
        shared = 2 * b * job.method.directions.shape[1] * 4
    return {"gradients": gradients, "shared": shared, "norms": norms}


def prepared(name: str, variant: str, devices: Any = None) -> tuple[Run, dict[str, Any]]:
    """A run of an experiment on a few simulated images, and the shapes of its global batch."""
    config = experiment(name, variant) | {"monitor": None, "init": None}
    few = {"count": 4 * config["batch_size"], "validation": 32, "test": 32}
    config["data"] |= {k: v for k, v in few.items() if k in config["data"]}
    job = Run(config, None, devices)
    rows = [job.stream[i] for i in range(2)]
    host = {c: np.stack([r[c] for r in rows]) for c in job.method.columns}
    rows = distributed.batch_sharding(job.mesh)
    shapes = {
        k: jax.ShapeDtypeStruct(
            (job.keys.batch_size, *v.shape[1:]),
            jax.dtypes.canonicalize_dtype(v.dtype),
            sharding=rows,
        )
        for k, v in host.items()
    }
    return job, shapes


def report_bytes(names: list[str], variant: str, topology: str | None) -> None:
    """One line of JSON for each experiment."""
    devices = None
    if topology:
        from jax.experimental import topologies

        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # libtpu would ask the cloud what it is
        os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
        os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-8")
        devices = topologies.get_topology_desc(topology, "tpu").devices
    for name in names:
        job, shapes = prepared(name, variant, devices)
        moved = Program(
            job.step.lower(job.abstract_state(), shapes).compile().as_text()
        ).collectives()
        need = least(job)
        ratio = sum(moved.values()) / sum(need.values())
        told = {"experiment": name, "batch": job.keys.batch_size, **need, "moved": moved}
        print(json.dumps({**told, "ratio": round(ratio, 2)}), flush=True)


def weak(name: str, per_device: int, steps: int) -> None:
    """Step times with more devices and as many more images, each in fresh processes."""
    one = None
    for devices, processes in ((1, 1), (2, 1), (4, 1), (8, 1), (2, 2)):
        here = devices // processes
        flags = f"--xla_force_host_platform_device_count={here}"
        command = [
            sys.executable,
            __file__,
            "child",
            "--experiments",
            name,
            "--batch",
            str(per_device * devices),
            "--steps",
            str(steps),
            "--processes",
            str(processes),
        ]
        started = [
            subprocess.Popen(
                [*command, "--process", str(i)],
                env={**os.environ, "XLA_FLAGS": flags},
                stdout=subprocess.PIPE,
                text=True,
            )
            for i in range(processes)
        ]
        told = [json.loads(p.communicate()[0].splitlines()[-1]) for p in started]
        seconds = sum(t["cpu_ms"] for t in told)
        one = one or seconds
        print(
            json.dumps(
                {
                    "devices": devices,
                    "processes": processes,
                    "batch": per_device * devices,
                    "wall_ms": max(t["wall_ms"] for t in told),
                    "cpu_ms": round(seconds, 2),
                    "cpu_efficiency": round(one * devices / seconds, 3),
                    "dispatch_ms": max(t["dispatch_ms"] for t in told),
                }
            ),
            flush=True,
        )


def child(name: str, batch: int, steps: int, processes: int, process: int) -> None:
    """Medians over the steps of one process."""
    if processes > 1:
        distributed.initialize(coordinator="127.0.0.1:29876", processes=processes, process=process)
    config = experiment(name, "smoke") | {"monitor": None, "init": None, "batch_size": batch}
    config["data"] |= {"count": 4 * batch}
    job = Run(config)
    state, fixed = job.initial_state(), next(job.batches(0))
    wall, cpu, dispatch = [], [], []
    for _ in range(steps + 3):
        began, used = time.perf_counter(), time.process_time()
        state, logs = job.step(state, fixed)
        dispatch.append(time.perf_counter() - began)
        jax.block_until_ready(logs)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    named = {"wall_ms": wall, "cpu_ms": cpu, "dispatch_ms": dispatch}
    print(json.dumps({k: round(1e3 * float(np.median(v[3:])), 2) for k, v in named.items()}))


def plan(names: list[str], variant: str, stamp: int, bands: int, devices: int) -> None:
    """Predicted efficiency with many devices: computing over computing and then communicating."""
    for name in names:
        config = experiment(name, variant) | {"monitor": None, "init": None, "batch_size": 8}
        source = random_source(count=16, stamp=stamp, bands=bands, classes=10)
        job = Run(config, {"train": source}, jax.devices()[:1])
        batch = {c: np.stack([source[i][c] for i in range(8)]) for c in job.method.columns}
        batch = distributed.put_batch(job.mesh, batch)
        flops = job.step.lower(job.abstract_state(), batch).cost_analysis()["flops"] / 8
        size = sum(least(job).values())
        # Reduced in the node, an eighth of it over the adapters, and spread in the node again.
        nodes = devices // 8
        h100 = 2 * size * (7 / 8) / NVLINK + 2 * size / 8 * (nodes - 1) / nodes / INFINIBAND
        pods = max(devices // POD, 1)
        v5e = 2 * size / TORUS + 2 * size / POD * (pods - 1) / pods / NETWORK
        for kind, moving in (("H100", h100), ("TPU v5e", v5e)):
            for images in (16, 64, 256):
                computing = images * flops / (UTILISATION * PEAK[kind])
                print(
                    json.dumps(
                        {
                            "experiment": name,
                            "devices": f"{devices} {kind}",
                            "images_per_device": images,
                            "gflop_per_image": round(flops / 1e9, 3),
                            "megabytes": round(size / 1e6, 2),
                            "computing_ms": round(1e3 * computing, 3),
                            "moving_ms": round(1e3 * moving, 3),
                            "efficiency": round(computing / (computing + moving), 3),
                        }
                    )
                )


def main() -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("bytes", "weak", "plan", "child"))
    parser.add_argument("--experiments", nargs="+", default=None, help="names without .py")
    parser.add_argument("--variant", default=None, help="of the experiments")
    parser.add_argument("--topology", default=None, help="TPU to compile for, e.g. v5e:2x4")
    parser.add_argument("--batch", type=int, default=64, help="images per device (weak)")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--stamp", type=int, default=72, help="side of the stamps (plan)")
    parser.add_argument("--bands", type=int, default=4)
    parser.add_argument("--devices", type=int, default=1024)
    parser.add_argument("--processes", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--process", type=int, default=0, help=argparse.SUPPRESS)
    a = parser.parse_args()
    distributed.enable_compilation_cache()
    if a.what == "bytes":
        report_bytes(a.experiments or list(EXPERIMENTS), a.variant or "smoke", a.topology)
    elif a.what == "weak":
        weak((a.experiments or ["photoz_mlp"])[0], a.batch, a.steps)
    elif a.what == "plan":
        plan(a.experiments or ["pita"], a.variant or "paper", a.stamp, a.bands, a.devices)
    else:
        child(a.experiments[0], a.batch, a.steps, a.processes, a.process)


if __name__ == "__main__":
    main()
