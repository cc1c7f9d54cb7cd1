# SPDX-License-Identifier: Apache-2.0
"""The studies: each can be imported and says how it is run, and their tables are right."""

import csv
import importlib
import math
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "experiments" / "studies"
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "common")


@pytest.fixture
def study(monkeypatch):
    """Imports a study as a script finds its neighbours."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_gives_the_command(study, name):
    module = study(name)
    assert callable(module.main)
    assert f"python experiments/studies/{name}.py" in module.__doc__


def test_a_summary_has_mean_and_spread_of_each_kind_of_run(study, tmp_path):
    common = study("common")
    rows = [
        {"method": "a", "seed": 0, "split": "x1", "accuracy": 0.5},
        {"method": "a", "seed": 1, "split": "x2", "accuracy": 0.7, "probe": 1.0},
        {"method": "b", "seed": 0, "split": "x1", "accuracy": 0.2},
    ]
    a, b = common.summarise(rows, "method")
    assert (a["method"], a["runs"]) == ("a", 2)
    assert a["accuracy"] == pytest.approx(0.6)
    assert a["accuracy_std"] == pytest.approx(0.2 / math.sqrt(2))  # ddof 1
    assert a["probe"] == 1.0 and math.isnan(a["probe_std"]) and math.isnan(b["accuracy_std"])
    assert "split" not in a and "seed" not in a
    common.write_rows(tmp_path / "new" / "table.csv", rows)
    with (tmp_path / "new" / "table.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [r["probe"] for r in read] == ["", "1", ""]


def test_embeddings_of_another_program_are_scored_by_id(study):
    from astrojax.data.info import DataInfo
    from astrojax.data.source import ArraySource
    from astrojax.errors import UserError

    scored, label = study("score_embeddings"), np.array([0, 1, 2, -1] * 10)
    columns = {"image": np.zeros((40, 1, 1, 1)), "label": label, "id": np.arange(40)}
    source = ArraySource(columns, DataInfo(("r",), 1))
    embeddings = {str(i): np.eye(3)[max(k, 0)] for i, k in enumerate(label)}
    data = [scored.joined(embeddings, source, "train")] * 3
    assert len(data[0][0]) == 30  # those with a label
    found = scored.score(data, {"knn": {"k": (3,)}})
    assert found["linear_probe"]["accuracy"] == found["knn"]["accuracy"] == 1
    assert found["commonest_class"]["accuracy"] == pytest.approx(1 / 3)
    with pytest.raises(UserError, match="1 of 30 .* '4'"):
        scored.joined({k: v for k, v in embeddings.items() if k != "4"}, source, "train")


def test_a_mistake_is_one_line(study):
    from astrojax.errors import UserError

    def main():
        raise UserError("no such archive")

    with pytest.raises(SystemExit, match="error: no such archive"):
        study("common").run(main)
