# SPDX-License-Identifier: Apache-2.0
"""The notebooks are what their sources say, and run."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# It meets every command; `python tools/notebooks.py --execute NAME` runs the others, each a minute.
EXECUTED = ("your_own_cutouts",)


@pytest.fixture(scope="module")
def notebooks():
    path = ROOT / "tools" / "notebooks.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_made_from_their_sources(notebooks):
    names = {path.stem for path in notebooks.SOURCES}
    assert names == {path.stem for path in (ROOT / "colab").glob("*.ipynb")}
    for source in notebooks.SOURCES:
        text = source.with_suffix(".ipynb").read_text(encoding="utf-8")
        assert text == notebooks.written(notebooks.notebook(source)), (
            "run python tools/notebooks.py"
        )


def test_each_opens_in_colab_and_has_no_outputs(notebooks):
    for source in notebooks.SOURCES:
        cells = json.loads(source.with_suffix(".ipynb").read_text())["cells"]
        assert f"/colab/{source.stem}.ipynb)" in "".join(cells[0]["source"])
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code)


def test_they_run(notebooks, monkeypatch):
    monkeypatch.setenv("ASTROJAX_SMALL", "1")
    # One device: programs for the eight of the other tests take longer to compile.
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    made = [notebooks.notebook(notebooks.COLAB / f"{name}.py") for name in EXECUTED]
    ran = notebooks.execute(made)
    shown = [o for c in ran.cells if c.cell_type == "code" for o in c.outputs]
    assert sum("image/png" in o.get("data", {}) for o in shown) >= 2
