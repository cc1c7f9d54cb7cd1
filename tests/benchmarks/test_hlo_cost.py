# SPDX-License-Identifier: Apache-2.0
"""What is read from the text of compiled programs, and one step compiled for a TPU without one."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"

_spec = importlib.util.spec_from_file_location("hlo_cost", FOLDER / "hlo_cost.py")
hlo_cost = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hlo_cost)


def _line(name: str, cycles: int, scopes: str) -> str:
    estimate = f'backend_config={{"window_config":{{"estimated_cycles":"{cycles}"}}}}'
    return f'  %{name} = bf16[8] fusion(%x), metadata={{op_name="jit(step)/{scopes}"}}, {estimate}'


TEXT = "\n".join(
    [
        "%body (p: s32[]) -> s32[] {",
        _line("fusion.1", 100, "jvp(forward)/while/body/dot_general"),
        "  %all-reduce.1 = bf16[4,8]{1,0} all-reduce(%x), to_apply=%add",
        "}",
        "%condition (p: s32[]) -> pred[] {",
        "  %bound = s32[] constant(6)",
        "  ROOT %lt.1 = pred[] compare(%i, %bound), direction=LT",
        "}",
        "%cheap (p: f32[]) -> f32[] {",
        _line("fusion.2", 1, "update/mul"),
        "}",
        "%dear (p: f32[]) -> f32[] {",
        _line("fusion.3", 7, "update/mul"),
        "}",
        "ENTRY %main (p: f32[]) -> f32[] {",
        _line("fusion.4", 30, "jvp(forward)/views/gather"),
        "  %while.1 = s32[] while(%t), condition=%condition, body=%body",
        '  %while.2 = s32[] while(%t), body=%body, config={"known_trip_count":{"n":"2"}}',
        "  %c = f32[] conditional(%i, %a, %b), branch_computations={%cheap, %dear}",
        _line("copy.5", 20, "transpose(jvp(forward))/dot_general"),
        '  %copy.6 = f32[8] copy(%x), config={"estimated_cycles":"3"}',
        "  ROOT %ag = (f32[2], f32[16]) all-gather-start(%x), dimensions={0}",
        "}",
    ]
)


def test_loops_count_as_often_as_they_run():
    program = hlo_cost.Program(TEXT)
    parts = {"views": 30, "forward": 800, "backward": 20, "update": 7, "rest": 3}
    assert program.cycles() == {**parts, "total": 860}
    assert program.collectives() == {"all-reduce": 8 * 64, "all-gather": 64}


def test_matrix_flops_count_loops_and_the_least_form():
    def step(x, w):
        def body(x, w):
            return x @ w, None

        x, _ = jax.lax.scan(body, x, w)
        image = x.reshape(1, 4, 4, 4)
        kernel = jnp.ones((3, 3, 1, 4))
        convolved = jax.lax.conv_general_dilated(
            image,
            kernel,
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=4,
        )
        twice = jax.lax.platform_dependent(x, cpu=lambda x: x @ (x.T @ x), default=lambda x: x @ x)
        return convolved, twice

    jaxpr = jax.make_jaxpr(step)(jnp.ones((8, 8)), jnp.ones((5, 8, 8)))
    product = 2 * 8**3
    assert hlo_cost.matrix_flops(jaxpr) == 5 * product + 2 * 64 * 9 + product


def test_a_training_step_compiles_for_a_tpu():
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu is not installed: pip install 'astrojax[tpu-compile]'")
    program = FOLDER / "tpu_compile.py"
    command = [sys.executable, program, "--experiment", "photoz_mlp:smoke", "--batch", "8"]
    path = os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*map(str, command), "--side", "32"],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[0])
    assert found["million_cycles"]["total"] > 0
    assert found["million_cycles"]["update"] > 0
