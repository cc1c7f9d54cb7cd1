# SPDX-License-Identifier: Apache-2.0
"""The same run on other devices: the same bits where nothing changes, else the same numbers."""

import itertools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from astrojax import distributed
from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.errors import UserError
from astrojax.training import checkpoint
from astrojax.training.run import Run


@pytest.fixture(scope="module")
def setting(experiment):
    """The photometry MLP, with a layer large enough to be divided; `test_methods.py` has all."""
    config = {**experiment("photoz_mlp", "smoke"), "batch_size": 16, "evaluate": {}}
    config["method"] = {**config["method"], "hidden": (128, 128)}
    rng = np.random.default_rng(0)
    magnitude = rng.normal(24, 1, (96, 4)).astype(np.float32)
    z = np.abs(magnitude[:, 0] - magnitude[:, 3])
    columns = {"image": np.zeros((96, 2, 2, 4), np.float32), "magnitude": magnitude, "redshift": z}
    return config, {"train": ArraySource(columns, DataInfo(("a", "b", "c", "d"), 2))}


def steps(setting, devices, count, fsdp=1, state=None):
    config, sources = setting
    job = Run({**config, "fsdp": fsdp}, sources, jax.devices()[:devices])
    state = job.initial_state() if state is None else state(job)
    for batch in itertools.islice(job.batches(int(state.step)), count):
        state, _ = job.step(state, batch)
    return job, state


def numbers(state):
    return [np.asarray(x) for x in jax.tree.leaves((state.params, state.rest))]


@pytest.mark.parametrize(("devices", "fsdp"), [(8, 1), (8, 2)])
def test_the_same_topology_gives_the_same_bits(setting, devices, fsdp):
    first, second = (steps(setting, devices, 4, fsdp)[1] for _ in range(2))
    for a, b in zip(numbers(first), numbers(second), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("before", "after"), [((1, 1), (8, 1)), ((8, 1), (2, 2)), ((8, 4), (4, 1))]
)
def test_a_run_goes_on_with_other_devices(setting, tmp_path, before, after):
    _, whole = steps(setting, 1, 6)
    _, half = steps(setting, before[0], 3, before[1])
    saved = checkpoint.Checkpoints(tmp_path, keep=1)
    saved.save(3, half, {})
    saved.close()

    def restored(job):
        again = checkpoint.Checkpoints(tmp_path, keep=1)
        return again.restore(job.abstract_state())[0]

    job, state = steps(setting, after[0], 3, after[1], restored)
    assert int(state.step) == 6 and job.mesh.shape["fsdp"] == after[1]
    for a, b in zip(numbers(state), numbers(whole), strict=True):
        # float32 sums in another order, through six steps of AdamW.
        assert np.linalg.norm(a - b) <= 1e-4 * max(np.linalg.norm(b), 1e-2)


def test_fsdp_divides_what_is_large(setting):
    mesh = distributed.make_mesh(fsdp=2)
    state = {"large": jnp.zeros((3, 256, 128)), "small": jnp.zeros((4, 4))}
    placed = distributed.put_state(mesh, state)
    assert placed["large"].sharding.shard_shape((3, 256, 128)) == (3, 128, 128)
    assert placed["small"].sharding.is_fully_replicated


def test_one_process_reads_every_row(setting):
    np.testing.assert_array_equal(
        distributed.local_rows(distributed.make_mesh(fsdp=2), 16), range(16)
    )


def test_rows_are_drawn_where_they_are():
    mesh = distributed.make_mesh(fsdp=1)
    rows = distributed.put_batch(mesh, {"x": np.arange(16 * 8, dtype=np.float32).reshape(16, 8)})[
        "x"
    ]

    def spectrum(x):
        return distributed.shard_map_rows(lambda part: jnp.abs(jnp.fft.rfft(part)))(x)

    step = jax.jit(distributed.with_mesh(mesh, spectrum))
    np.testing.assert_allclose(step(rows), spectrum(np.asarray(rows)), rtol=1e-4, atol=1e-4)
    assert "all-gather" not in step.lower(rows).compile().as_text()
    assert "all-gather" in jax.jit(spectrum).lower(rows).compile().as_text()  # why it is there


@pytest.mark.parametrize(
    "given",
    [
        {"coordinator": "localhost", "processes": 2, "process": 0},
        {"coordinator": "localhost:1", "processes": 2, "process": 2},
        {"coordinator": "localhost:1", "processes": None, "process": None},
        {"coordinator": "localhost:1", "processes": 2, "process": None},
        {"coordinator": None, "processes": 2, "process": 0},
    ],
)
def test_processes_that_do_not_fit_are_told(given, monkeypatch):
    for name in ("OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="--coordinator"):
        distributed.initialize(**given)


def test_launchers_are_recognised(monkeypatch):
    called = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a, **k: called.append(a))
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "3")
    nothing = {"coordinator": None, "processes": None, "process": None}
    distributed.initialize(**nothing)  # in a batch script, outside of srun
    assert not called
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[1-4]")
    distributed.initialize(**nothing)
    distributed.initialize(**{**nothing, "coordinator": "node1:1234"})
    assert called == [(None, None, None), ("node1:1234", 4, 3)]


def test_compiled_programs_are_kept_in_the_users_cache_folder(monkeypatch, tmp_path):
    before = jax.config.jax_compilation_cache_dir
    try:
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        distributed.enable_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "xdg" / "astrojax" / "xla")
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        distributed.enable_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / ".cache/astrojax/xla")
        jax.config.update("jax_compilation_cache_dir", "chosen")
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "chosen")
        distributed.enable_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == "chosen"
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_one_variable_turns_the_compilation_cache_off(tmp_path, enabled):
    code = (
        "import jax; from astrojax import distributed; distributed.enable_compilation_cache(); "
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0); "
        "jax.jit(lambda x: x + 1)(1.0)"
    )
    chosen = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_ENABLE_COMPILATION_CACHE": enabled}
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **chosen}, check=True)
    assert bool(list(tmp_path.iterdir())) == (enabled == "true")
