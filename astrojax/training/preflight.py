# SPDX-License-Identifier: Apache-2.0
"""`astrojax train --config ... --check`: what a run would meet, before it is started.

Opens the data, builds the method, compiles one step for the devices that are there, runs it a few
times on weights that are thrown away, and prints a card. Nothing is trained and nothing is written.
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from astrojax import distributed
from astrojax.data import sky, validate
from astrojax.data.source import Source, read_example
from astrojax.training import targets
from astrojax.training.run import Run

_SAMPLE = 512  # stamps per split whose pixels are read
_SAME_OBJECT = 1.0  # arcsec
_STEPS = 3


def run(config: Any) -> None:
    """Prints the card of a config.

    Raises:
        UserError: What would stop the run, before or at its first step.
    """
    job = Run(config)
    targets.check(job)
    card = {"data": data(job.sources), "model": model(job), "step": step(job)}
    if not distributed.is_main():
        return
    for title, lines in card.items():
        print(f"\n{title}")
        for name, told in lines.items():
            print(f"  {name:<22}{told}")


def data(sources: Mapping[str, Source]) -> dict[str, str]:
    """Returns counts, pixels, labels and duplicates of every split, and what splits share."""
    lines: dict[str, str] = {}
    for name, source in sources.items():
        lines |= {name if not k else f"{name} {k}": v for k, v in _split(source).items()}
    for first, second in itertools.combinations(sources, 2):
        lines[f"{first} and {second}"] = _shared(sources[first], sources[second])
    return lines


def _split(source: Source) -> dict[str, str]:
    rows = np.unique(np.linspace(0, len(source) - 1, _SAMPLE).astype(int)) if len(source) else None
    if rows is None:
        return {"": "empty"}
    images = [np.asarray(read_example(source, int(i))["image"]) for i in rows]
    info, shape = source.info, images[0].shape
    size = f"{shape[0]} x {shape[1]} px, {len(info.bands)} bands ({', '.join(info.bands)})"
    bad = sum(map(validate.count_bad, images))
    lines = {
        "": f"{len(source)} examples of {size}, {images[0].dtype}, {info.unit}",
        "pixels": f"{bad} NaN or Inf in {len(images)} stamps read",
    }
    if info.left_out:
        lines["left out"] = "; ".join(f"{count} {reason}" for reason, count in info.left_out)
    example = source[0]
    if "id" in example:
        ids = np.asarray(source.column("id"))
        lines["ids"] = f"{len(ids) - len(np.unique(ids))} duplicated"
    for name in ("redshift", "label", "magnitude"):
        if name in example:
            lines[name] = _coverage(source.column(name), info.classes)
    return lines


def _coverage(values: np.ndarray, classes: tuple[str, ...] | None) -> str:
    if np.issubdtype(values.dtype, np.integer):
        values = np.ma.filled(values, -1)
        known = values >= 0
        of = f" of {len(classes)}" if classes else ""
        extra = f", {len(np.unique(values[known]))}{of} classes"
    else:
        known = np.isfinite(values.reshape(len(values), -1)).all(1)
        low, high = (np.min(values[known]), np.max(values[known])) if known.any() else (0, 0)
        extra = f", {low:.4g} to {high:.4g}" if known.any() else ""
    return f"{np.mean(known):.1%} have it ({np.sum(known)}){extra}"


def _shared(first: Source, second: Source) -> str:
    """Returns what two splits have in common, by id and by position."""
    if not len(first) or not len(second):
        return "nothing in common: one is empty"
    told, columns = [], set(first[0]) & set(second[0])
    if "id" in columns:
        shared = np.isin(np.asarray(first.column("id"), str), np.asarray(second.column("id"), str))
        told.append(f"{np.sum(shared)} ids")
    if {"ra", "dec"} <= columns:
        places = [np.asarray(s.column(n)) for s in (first, second) for n in ("ra", "dec")]
        near = np.sum(sky.nearest(*places)[1] <= _SAME_OBJECT)
        told.append(f"{near} places on the sky (within {_SAME_OBJECT:g} arcsec)")
    return f"share {' and '.join(told)}" if told else "cannot be compared: no ids, no positions"


def model(job: Run) -> dict[str, str]:
    """Returns parameters, and the size of a checkpoint."""
    state = job.abstract_state()
    trained = sum(x.size for x in jax.tree.leaves(state.params))
    size = sum(_bytes(x) for x in jax.tree.leaves(state))
    keep = job.keys.keep
    return {
        "parameters": f"{trained:,} in {job.keys.method['name']}",
        "checkpoint": f"{_size(size)} before compression; {keep} kept, {_size(keep * size)}",
    }


def step(job: Run) -> dict[str, str]:
    """Returns FLOPs, memory and time of one step, and of the run."""
    batches, state = job.batches(0), job.initial_state()
    batch = next(batches)
    began = time.perf_counter()
    compiled = job.step.lower(state, batch).compile()
    compiling = time.perf_counter() - began
    held = [state]

    def once() -> None:
        held[0], logs = compiled(held[0], batch)
        jax.block_until_ready(logs)

    seconds, reading = _median(once), _median(lambda: next(batches))
    mesh, s = job.mesh, job.keys
    flops = (compiled.cost_analysis() or {}).get("flops", float("nan"))
    needed = predicted_bytes(compiled)
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    there = f" of {_size(limit)}" if limit else ""
    hours = job.total_steps * max(seconds, reading) / 3600
    kind = jax.devices()[0].device_kind
    return {
        "devices": f"{mesh.size} x {kind}, {jax.process_count()} process(es), fsdp {s.fsdp}",
        "batch": f"{s.batch_size}, {s.batch_size // mesh.size} per device",
        "FLOPs": f"{flops * mesh.size:.3g} per step (XLA's count)",
        "memory": f"{_size(needed)}{there} per device (XLA's plan)",
        "compilation": f"{compiling:.1f} s",
        "time": f"{1e3 * seconds:.3g} ms per step, {1e3 * reading:.3g} ms to read its batch",
        "run": f"{job.total_steps} steps, {hours:.2g} h, evaluation not counted",
    }


def seconds_per_step(job: Run) -> float:
    """Returns the time of a training step, or of reading its batch where that takes longer."""
    batches, held = job.batches(0), [job.initial_state()]

    def once() -> None:
        held[0], logs = job.step(held[0], next(batches))
        jax.block_until_ready(logs)

    return _median(once)


def predicted_bytes(compiled: Any) -> int:
    """Bytes that a compiled step needs on each device: state, batch, results, intermediates."""
    plan = compiled.memory_analysis()
    kept = plan.argument_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
    return kept + plan.temp_size_in_bytes + plan.generated_code_size_in_bytes


def _median(fn: Callable[[], Any]) -> float:
    """Returns seconds of a call, after one that is not counted."""
    fn()
    seconds = []
    for _ in range(_STEPS):
        began = time.perf_counter()
        fn()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _bytes(x: Any) -> int:
    key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
    return x.size * (8 if key else x.dtype.itemsize)


def _size(count: float) -> str:
    power = min(int(math.log2(max(count, 1))) // 10, 4)
    return f"{count / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
