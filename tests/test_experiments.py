# SPDX-License-Identifier: Apache-2.0
"""Every experiment's config is whole, and every `:smoke` runs as a user would run it."""

import json
import re
from pathlib import Path

import pytest

from astrojax.inference import evaluation
from astrojax.training import loop
from astrojax.training.settings import resolve

ROOT = Path(__file__).parents[1]
NAMES = sorted(p.stem for p in (ROOT / "experiments").glob("*.py"))
SMOKES = [n for n in NAMES if re.search(r'"smoke"', (ROOT / "experiments" / f"{n}.py").read_text())]


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_read(experiment, name):
    config = experiment(name)
    resolve(config)


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_gives_the_command(name):
    text = (ROOT / "experiments" / f"{name}.py").read_text()
    assert f"python -m astrojax.main --config experiments/{name}.py" in text


@pytest.mark.parametrize("name", SMOKES)
def test_smoke_trains_and_reports(experiment, open_data, name, tmp_path):
    config = experiment(name, "smoke")
    sources = open_data(config["data"])
    assert loop.train(config, tmp_path / "run", sources)
    evaluation.run(tmp_path / "run", sources)
    found = json.loads((tmp_path / "run" / "evaluation" / "metrics.json").read_text())
    assert set(config["evaluate"]) <= set(found)
    page = (tmp_path / "run" / "evaluation" / "report.html").read_text()
    assert "data:image/png;base64" in page and "http://" not in page and 'src="http' not in page
