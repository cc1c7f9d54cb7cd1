# SPDX-License-Identifier: Apache-2.0
"""Devices, meshes and shardings: the only file that knows about them.

The training step is written for one global batch. Its inputs carry a `NamedSharding` over a mesh
with the axes "data" and "fsdp", and the compiler inserts the collectives. Batches are split over
both axes; parameters, optimizer state and momentum copies over "fsdp" alone, where it is more
than 1.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from astrojax.errors import UserError

T = TypeVar("T")
_LARGE = 2**14  # leaves with fewer elements are cheaper to replicate than to gather


def setup() -> None:
    """Prepares a process: switches on the compilation cache, in the user's cache folder.

    JAX_COMPILATION_CACHE_DIR, where set, says otherwise.
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(root) / "astrojax" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def make_mesh(*, fsdp: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of devices, all if none are given; `fsdp` of them share a copy of the parameters.

    Raises:
        UserError: `fsdp` does not divide the number of devices.
    """
    count = len(devices or jax.devices())
    if fsdp < 1 or count % fsdp:
        raise UserError(f"config key 'fsdp' is {fsdp}; it has to divide the {count} devices")
    return jax.make_mesh(
        (count // fsdp, fsdp),
        ("data", "fsdp"),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=devices,
    )


def check_batch(mesh: Mesh, batch_size: int, examples: int) -> None:
    """Raises `UserError` unless the global batch fits the devices and the data."""
    if batch_size % mesh.size or batch_size < 1:
        low = max(batch_size // mesh.size, 1) * mesh.size
        raise UserError(
            f"config key 'batch_size' is {batch_size}, not a multiple of the {mesh.size} devices; "
            f"use {low} or {low + mesh.size}"
        )
    if batch_size > examples:
        raise UserError(
            f"config key 'batch_size' is {batch_size}, more than the {examples} training examples"
        )


def put_batch(mesh: Mesh, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """This process's part of a batch as part of global arrays split over all devices."""
    sharding = NamedSharding(mesh, PartitionSpec(("data", "fsdp")))
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


def state_shardings(mesh: Mesh, abstract: T) -> T:
    """A sharding for every leaf: the longest axis that "fsdp" divides, else replicated."""
    size = mesh.shape["fsdp"]

    def leaf(x: Any) -> NamedSharding:
        axes = [i for i, n in enumerate(x.shape) if n % size == 0]
        if size == 1 or not axes or np.prod(x.shape) < _LARGE:
            return NamedSharding(mesh, PartitionSpec())
        longest = max(axes, key=lambda i: x.shape[i])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, "fsdp"))

    return jax.tree.map(leaf, abstract)


def put_state(mesh: Mesh, state: T) -> T:
    """Places a host or single-device state, equal on every process, on the mesh."""
    return jax.device_put(state, state_shardings(mesh, state))
