# SPDX-License-Identifier: Apache-2.0
"""The one command for a day with an accelerator: what it runs exists, and it can be resumed."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = "benchmarks/accelerator_day.sh"


def run(*flags):
    command = ["bash", PROGRAM, *map(str, flags)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("flags", [(), ("--smoke",)])
def test_what_it_runs_exists(flags, experiment):
    lines = run("--list", *flags).stdout.splitlines()
    assert len(lines) >= 12
    for line in lines:
        _, python, *words = shlex.split(line)
        assert python == "python"
        if words[0] == "-m":
            path, _, variant = words[words.index("--config") + 1].partition(":")
            experiment(Path(path).stem, variant)
            continue
        text = (ROOT / words[0]).read_text()
        for flag in words[1:]:
            if flag.startswith("--"):
                assert f'"{flag}"' in text, f"{words[0]} reads no {flag}"
        if "--method" in words:
            name, variant = (words[words.index(f) + 1] for f in ("--method", "--variant"))
            experiment(name, variant)


def test_started_again_it_leaves_out_what_is_done(tmp_path):
    flags = ("--out", tmp_path, "--smoke", "--only", "torch_self_classifier")
    first = run(*flags)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "torch_self_classifier: done\n" in first.stdout
    assert re.search(r"images_per_second|not installed", first.stdout)
    assert run(*flags).stdout == "torch_self_classifier: done before\n"


def test_without_time_left_it_says_how_to_go_on(tmp_path):
    done = run("--out", tmp_path, "--minutes", "0", "--only", "survey")
    assert done.returncode == 0
    assert "survey: no time left, start again with the same --out" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_flag_that_there_is_not_is_named():
    done = run("--outt", "x")
    assert done.returncode == 2
    assert "no flag --outt" in done.stderr
