# SPDX-License-Identifier: Apache-2.0
"""What a TPU's compiler says of training steps, without a TPU: cycles, memory, bytes moved.

    pip install -e ".[tpu-compile]"
    python benchmarks/tpu_compile.py --experiment pita:paper --batch 128
    python benchmarks/tpu_compile.py --all
    python benchmarks/tpu_compile.py --experiment pita:paper --topology v5e:2x2 v5e:4x4 v5e:16x16

libtpu compiles on any Linux machine for chips that it is told of. The step is that of
`python -m astrojax.main` on made-up shapes: no data are opened. `--batch` counts images per chip.
Cycles are the compiler's own, of its fusions; collectives have none, so that their bytes stand
beside them. The share of peak takes FLOPs of matrix products and convolutions alone.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# libtpu would ask the cloud what machine this is.
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # no chip is taken, so none is shared

import jax  # noqa: E402
import numpy as np  # noqa: E402
from hlo_cost import PARTS, Program, matrix_flops  # noqa: E402
from jax.experimental import topologies  # noqa: E402
from throughput import experiment  # noqa: E402

from astrojax import distributed  # noqa: E402
from astrojax.data.info import DataInfo  # noqa: E402
from astrojax.data.source import ArraySource  # noqa: E402
from astrojax.training.run import Run  # noqa: E402

CLOCK, PEAK_FLOPS = 0.94e9, 197e12  # TPU v5e: cycles per second (assumed), bfloat16 FLOP/s
TORUS = 200e9  # bytes per second and chip between the chips of a v5e

# Images per chip, side, bands and type of the stamps.
EXPERIMENTS: dict[str, tuple[int, int, int, str]] = {
    "pita:paper": (128, 108, 4, "float32"),
    "lejepa:paper": (32, 256, 3, "uint8"),
    "ijepa:paper": (64, 256, 3, "uint8"),
    "self_classifier:cifar10": (256, 32, 3, "uint8"),
    "magnitudes:": (64, 32, 3, "uint8"),
    "moco:": (128, 64, 4, "float32"),
    "photoz_supervised:": (128, 64, 4, "float32"),
    "simsiam_lenses:paper": (32, 64, 3, "uint8"),
}


def chips(topology: str) -> list[Any]:
    """Returns the described devices of e.g. `v5e:2x2`; four chips, 2x2, are one host.

    Raises:
        RuntimeError: libtpu is not installed.
    """
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    shape = tuple(int(n) for n in topology.split(":")[1].split("x"))
    bounds = tuple(min(n, 2) for n in shape) + (1,)
    described = topologies.get_topology_desc(
        platform="tpu",
        topology_name=topology,
        chip_config_name="default",
        chips_per_host_bounds=bounds,
        num_slices=1,
    )
    return list(described.devices)


def made_up(count: int, side: int, bands: int, kind: str) -> ArraySource:
    """Returns `count` times the same example with every column, in the memory of one."""
    one = {
        "image": np.zeros((1, side, side, bands), kind),
        "redshift": np.zeros(1, np.float32),
        "magnitude": np.full((1, 12 if bands == 3 else bands), 20.0, np.float32),
        "label": np.zeros(1, np.int32),
        "id": np.array(["0"]),
    }
    columns = {k: np.broadcast_to(v, (count, *v.shape[1:])) for k, v in one.items()}
    info = DataInfo(
        tuple(f"b{i}" for i in range(bands)),
        side,
        noise=(1.0,) * bands,
        catalogue_bands=tuple(f"m{i}" for i in range(12)) if bands == 3 else None,
    )
    return ArraySource(columns, info)


def lowered(name: str, images: tuple[int, int, int, str], devices: Any) -> tuple[Any, int]:
    """Returns the lowered step of `experiment:variant` on these devices, and its FLOPs."""
    per_chip, side, bands, kind = images
    batch = per_chip * len(devices)
    config = experiment(*name.split(":")) | {"monitor": None, "init": None, "epochs": 100.0}
    config |= {"batch_size": batch, "evaluate": {}}
    job = Run(config, {"train": made_up(4 * batch, side, bands, kind)}, devices)
    rows = distributed.batch_sharding(job.mesh)
    shapes = {
        k: jax.ShapeDtypeStruct(
            (batch, *np.shape(v)), jax.dtypes.canonicalize_dtype(np.asarray(v).dtype), sharding=rows
        )
        for k, v in job.stream[0].items()
        if k in job.method.columns
    }
    traced = job.step.trace(job.abstract_state(), shapes)
    return traced.lower(), matrix_flops(traced.jaxpr)


def measure(
    name: str, images: tuple[int, int, int, str], topology: str, text: Path | None = None
) -> dict[str, Any]:
    """Compiles a step and returns what the program says of itself, per chip.

    Args:
        name: `experiment:variant`.
        images: Images per chip, their side, bands and type.
        topology: e.g. `v5e:2x2`; `v5e:1x1` stands for one of its chips.
        text: File for the text of the program.
    """
    one = topology == "v5e:1x1"
    devices = chips("v5e:2x2")[:1] if one else chips(topology)
    step, flops = lowered(name, images, devices)
    wall, cpu = time.perf_counter(), time.process_time()
    compiled = step.compile()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    program = Program(compiled.as_text())
    if text is not None:
        text.write_text(compiled.as_text())
    cycles, moved = program.cycles(), program.collectives()
    memory = compiled.memory_analysis()
    seconds = cycles["total"] / CLOCK
    return {
        "experiment": name,
        "topology": topology,
        "batch_per_chip": images[0],
        "compile_s": round(wall, 1),
        "compile_cpu_s": round(cpu, 1),
        "million_cycles": {k: round(v / 1e6, 3) for k, v in cycles.items()},
        "share_of_peak": round(flops / len(devices) / seconds / PEAK_FLOPS, 4),
        "gflop_per_image": round(flops / images[0] / len(devices) / 1e9, 3),
        "memory_gb": round(
            (
                memory.argument_size_in_bytes
                + memory.output_size_in_bytes
                - memory.alias_size_in_bytes
                + memory.temp_size_in_bytes
            )
            / 1e9,
            3,
        ),
        "collective_mb": {k: round(v / 1e6, 3) for k, v in moved.items()},
        "step_ms": round(1e3 * seconds, 2),
        "collective_ms": round(2e3 * sum(moved.values()) / TORUS, 3),
        "heaviest": _heaviest(program),
    }


def _heaviest(program: Program, count: int = 12) -> list[str]:
    found = sorted(program.instructions(), key=lambda i: -i.cycles * i.times)[:count]
    return [f"{i.cycles * i.times / 1e6:.2f} {i.part} {i.name} {i.op_name[-90:]}" for i in found]


def table(results: list[dict[str, Any]]) -> str:
    """Returns the results as a Markdown table."""
    head = ["experiment", "chips", "batch a chip", "compile, s (CPU s)", "Mcycles", *PARTS]
    head += ["share of peak", "GB", "MB moved"]
    rows = [head, ["---"] * len(head)]
    for r in results:
        cycles = r["million_cycles"]
        rows.append(
            [
                r["experiment"],
                r["topology"],
                str(r["batch_per_chip"]),
                f"{r['compile_s']:.0f} ({r['compile_cpu_s']:.0f})",
                f"{cycles['total']:.2f}",
                *(f"{100 * cycles[p] / cycles['total']:.0f}%" for p in PARTS),
                f"{100 * r['share_of_peak']:.1f}%",
                f"{r['memory_gb']:.2f}",
                f"{sum(r['collective_mb'].values()):.1f}",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Parses the command line; prints a line of JSON for each program, then the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--experiment", nargs="+", default=[], help="e.g. pita:paper")
    parser.add_argument("--all", action="store_true", help=", ".join(EXPERIMENTS))
    parser.add_argument("--topology", nargs="+", default=["v5e:1x1"], help="e.g. v5e:2x2")
    parser.add_argument("--batch", type=int, default=None, help="images per chip")
    parser.add_argument("--side", type=int, default=None, help="side of the stamps in pixels")
    parser.add_argument("--bands", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None, help="file for the results")
    parser.add_argument("--text", type=Path, default=None, help="file for the (last) program")
    a = parser.parse_args()
    names = list(EXPERIMENTS) if a.all else a.experiment
    if not names:
        parser.error("give --experiment or --all")
    results = []
    for name in names:
        name = name if ":" in name else f"{name}:"
        batch, side, bands, kind = EXPERIMENTS.get(name, (128, 64, 4, "float32"))
        images = (a.batch or batch, a.side or side, a.bands or bands, kind)
        for topology in a.topology:
            results.append(measure(name, images, topology, a.text))
            print(json.dumps(results[-1]), flush=True)
    if a.json:
        a.json.write_text(json.dumps(results, indent=1))
    print(table(results), file=sys.stderr)


if __name__ == "__main__":
    main()
