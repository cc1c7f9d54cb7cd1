# SPDX-License-Identifier: Apache-2.0
"""Devices, processes, meshes and shardings: the only file that knows about them.

The training step is written for one global batch. Its inputs carry a `NamedSharding` over a mesh
with the axes "data" and "fsdp", and the compiler inserts the collectives. Batches are split over
both axes; parameters, optimizer state and momentum copies over "fsdp" alone, where it is more
than 1.

Where several processes run, each reads its own rows of every batch; process 0 alone writes what is
not a checkpoint. On CPUs their collectives go through Gloo, which JAX brings along.
"""

import contextlib
import functools
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from astrojax.errors import LOST, STALLED, UserError, exit_process

T = TypeVar("T")
_LARGE = 2**14  # leaves with fewer elements are cheaper to replicate than to gather
_COUNTS = ("OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS")
_RANKS = ("OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
_waits: dict[object, tuple[str, float, float]] = {}
_MEETING, _DAY = 5 * 60.0, 24 * 60 * 60  # seconds


def enable_compilation_cache() -> None:
    """Prepares a process: switches on the compilation cache, in the user's cache folder.

    JAX_COMPILATION_CACHE_DIR, where set, says otherwise; JAX_ENABLE_COMPILATION_CACHE=false leaves
    it off.
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(root) / "astrojax" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def initialize(*, coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Makes this process one of several that train together, before any other use of JAX.

    Under Slurm's `srun`, Open MPI 4's `mpirun` or GKE's TPU jobs nothing has to be said.

    Args:
        coordinator: "host:port" of process 0; "auto" has JAX ask the cluster, as on Cloud TPU pods
            outside GKE; None joins only where a launcher started several processes.
        processes: Their number; None where a launcher's variables say it.
        process: Which one this is, from 0; None likewise.

    Raises:
        UserError: The numbers do not fit, or no cluster is found. If the others do not come within
            five minutes, the watchdog ends the process.
    """
    counted = next((os.environ[n] for n in _COUNTS if n in os.environ), None)
    ranked = next((os.environ[n] for n in _RANKS if n in os.environ), None)
    if coordinator is None:
        if processes is not None or process is not None:
            raise UserError("--processes and --process need --coordinator host:port")
        srun = "SLURM_STEP_NODELIST" in os.environ or _COUNTS[0] in os.environ
        pod = "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
        if not (pod or (srun and int(counted or 1) > 1)):
            return
    elif coordinator != "auto":
        processes = int(counted or 0) if processes is None else processes
        process = int(ranked or -1) if process is None else process
        if not 0 <= process < processes or ":" not in coordinator:
            raise UserError(
                f"--coordinator {coordinator} --processes {processes} --process {process}: give "
                "host:port of process 0, their number, and which one this is, counted from 0"
            )
    number = f"{processes} " if processes else ""
    meeting = f"all {number}processes to come to {coordinator or 'the first of them'}"
    try:
        with waiting(meeting, at_most=_MEETING):
            jax.distributed.initialize(
                None if coordinator == "auto" else coordinator,
                processes,
                process,
                # JAX would abort after its own limit, with a stack trace in place of a sentence.
                initialization_timeout=_DAY,
                # Process 0 scores while the others wait; their heartbeats tell that all are there.
                shutdown_timeout_seconds=_DAY,
            )
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"the processes did not find each other ({str(error).splitlines()[0][:200]}); see "
            "--coordinator, --processes and --process in docs/clusters.md"
        ) from error


def leave_together() -> None:
    """Waits until all processes have come here, and ends their connection.

    A process that ends while others still need it takes them with it: JAX aborts those.
    """
    if is_multiprocess():
        with waiting("the other processes to stop too"):
            jax.distributed.shutdown()


def is_main() -> bool:
    """Returns whether this process writes the config, the log and the report."""
    return jax.process_index() == 0


def only_main(held: AbstractContextManager[T]) -> AbstractContextManager[T | None]:
    """Returns a context for process 0, and an empty one for the others."""
    return held if is_main() else contextlib.nullcontext()


def is_multiprocess() -> bool:
    """Returns whether other processes take part in every step."""
    return jax.process_count() > 1


def block_until_ready(tree: Any) -> None:
    """Waits for a step's results where running ahead of the devices is not safe.

    Two processes of two CPU devices each hung in 4 of 4 runs when several steps were in flight,
    and in none of 4 when each was waited for (JAX 0.10.2): steps that are queued on several
    devices of a process may reach Gloo in different orders on different processes.
    """
    if is_multiprocess() and jax.default_backend() == "cpu":
        jax.block_until_ready(tree)


def preemption_requested(step: int) -> bool:
    """Returns True on every process if any of them got SIGTERM: all save after this step."""
    return multihost_utils.reached_preemption_sync_point(step)


def lost_process(error: BaseException) -> bool:
    """Returns whether an error of JAX means that another process has gone."""
    signs = ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "heartbeat", "barrier")
    return is_multiprocess() and any(sign in str(error) for sign in signs)


def all_processes(good: bool) -> bool:
    """Returns True if `good` is True on every process; all have to call it."""
    if not is_multiprocess():
        return good
    return bool(np.all(multihost_utils.process_allgather(np.array(good))))


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


def local_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """Returns which rows of a global batch this process reads, ascending."""
    pieces = batch_sharding(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size)[piece] for piece in pieces]))


def put_batch(mesh: Mesh, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """This process's rows of a batch as part of global arrays split over all devices."""
    sharding = batch_sharding(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of a batch: its rows divided among all devices."""
    return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array that every device has whole."""
    return NamedSharding(mesh, PartitionSpec())


def with_mesh(mesh: Mesh, fn: Callable) -> Callable:
    """Returns the function, traced so that `shard_map_rows` in it knows the mesh."""

    @functools.wraps(fn)
    def traced(*arguments: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return fn(*arguments)

    return traced


def shard_map_rows(fn: Callable) -> Callable:
    """Returns a function of arrays [b ...] that every device applies to its own rows.

    For what treats rows alone and the partitioner would gather all the same: it replicates FFTs.
    """
    if jax.sharding.get_abstract_mesh().empty:  # called outside a training step
        return fn
    rows = PartitionSpec(("data", "fsdp"))
    return jax.shard_map(fn, in_specs=rows, out_specs=rows, check_vma=False)


def state_shardings(mesh: Mesh, abstract: T) -> T:
    """Returns a sharding for every leaf: the longest axis that "fsdp" divides, else replicated."""
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
    shardings = state_shardings(mesh, state)
    return (
        jax.tree.map(_spread, state, shardings)
        if is_multiprocess()
        else jax.device_put(state, shardings)
    )


def _spread(x: jax.Array, sharding: NamedSharding) -> jax.Array:
    """Returns a local array as a global one."""
    if not x.is_fully_addressable:  # on the mesh already
        return jax.device_put(x, sharding)
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = _spread(jax.random.key_data(x), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
    host = np.asarray(x)
    return jax.make_array_from_callback(x.shape, sharding, lambda index: host[index])


def fully_replicated(mesh: Mesh, tree: T) -> T:
    """Returns arrays that this process can compute with alone; all processes have to call it."""
    if not is_multiprocess():
        return tree
    whole = jax.jit(lambda x: x, out_shardings=replicated(mesh))(tree)
    return jax.tree.map(lambda x: x.addressable_data(0), whole)


@contextlib.contextmanager
def waiting(what: str, *, at_most: float = math.inf) -> Iterator[None]:
    """Says what the program waits for meanwhile, for the watchdog's message.

    Args:
        what: Completes "waited for".
        at_most: Seconds; where the watchdog's own limit is lower, that one holds.
    """
    token = object()
    _waits[token] = (what, time.monotonic(), at_most)
    try:
        yield
    finally:
        del _waits[token]


def start_watchdog(seconds: float) -> None:
    """Starts the watchdog: a single wait of more than this many seconds ends the process.

    It ends it from a thread of its own and without cleaning up, because the main thread may sit
    in a read or a collective that no exception reaches.
    """

    def look() -> None:
        while True:
            time.sleep(min(seconds / 4, 5.0))
            now = time.monotonic()
            for what, since, at_most in list(_waits.values()):
                if now - since > min(seconds, at_most):
                    exit_process(
                        STALLED,
                        f"nothing came for {min(seconds, at_most):g} s (see --stall-after); waited "
                        f"for {what}. The same command goes on from the last checkpoint",
                    )

    threading.Thread(target=look, name="watchdog", daemon=True).start()


def exit_lost_process(why: str) -> None:
    """Ends a process whose run has lost another one."""
    exit_process(
        LOST,
        f"another process of this run has gone ({why.splitlines()[0][:200]}); start all of them "
        "again with the same command, and the run goes on from its last checkpoint",
    )
