# SPDX-License-Identifier: Apache-2.0
"""The notebooks are what their sources say, and run."""

import ast
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

from astrojax import cli
from astrojax.data import section
from astrojax.data.open import open_data
from astrojax.errors import UserError
from astrojax.inference import starts, workflow
from astrojax.training.recipes import finetuning

ROOT = Path(__file__).parents[1]
# It meets the commands of a survey; `python tools/notebooks.py --execute NAME` runs the others.
EXECUTED = ("own_survey",)


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


@pytest.fixture(scope="module")
def ran(notebooks, tmp_path_factory):
    """Returns the cells of notebooks that have run, and the folder of what they wrote."""
    folder = tmp_path_factory.mktemp("notebooks")
    made = [notebooks.notebook(notebooks.COLAB / f"{name}.py") for name in EXECUTED]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASTROJAX_SMALL", "1")
        patch.setenv("TMPDIR", str(folder))
        # One device: programs for the eight of the other tests take longer to compile.
        patch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
        return notebooks.execute(made).cells, folder


def test_they_run(ran):
    shown = [o for c in ran[0] if c.cell_type == "code" for o in c.outputs]
    assert sum("image/png" in o.get("data", {}) for o in shown) >= 2


@pytest.fixture
def survey(ran, monkeypatch):
    """Goes to the folder of the notebook `own_survey`, and returns the text of its page."""
    (folder,) = ran[1].glob("*/own_survey")
    monkeypatch.chdir(folder)
    return (ROOT / "docs" / "own_survey.md").read_text()


def _commands(page):
    """Returns the words of each command that stands on lines of its own."""
    lines = page.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("    astrojax ")]


def test_the_page_of_ones_own_survey_shows_what_its_notebook_runs(survey):
    tree = ast.parse((ROOT / "colab" / "own_survey.py").read_text())
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    runs = [c.args[0].value for c in calls if getattr(c.func, "id", "") == "run"]
    for words in _commands(survey)[:4]:  # the three, and the preview
        assert any(set(words) <= set(shlex.split(run)) for run in runs), words
    for call in calls:  # leaves out `**TINY`
        call.keywords = [k for k in call.keywords if k.arg]
    there = {ast.dump(statement) for statement in tree.body}
    (code,) = re.findall(r"^```python\n(.+?)^```", survey, re.MULTILINE | re.DOTALL)
    for statement in ast.parse(code).body:
        assert ast.dump(statement) in there, ast.unparse(statement)


def test_every_target_of_the_page_can_be_trained(survey):
    found = {}
    for words in _commands(survey):
        if words[1:3] != ["finetune", "runs/pretrained"] or "catalogue=labels.csv" in words:
            continue
        given = cli.parser("finetune").parse_args(words[2:])
        said = workflow.said_before(given.source, given.data) | section.parse(given.settings)
        data = open_data(given.data, **said)
        names = tuple(given.target.split(","))
        data, target = finetuning.find_target(data, names, given.task)
        start = starts.open_start(given.source, data, arch=None, stem="mean")
        config = finetuning.build(start, data, target, scheme=given.scheme)
        assert config.evaluate and config.method.outputs == target.outputs
        found[given.target] = target.task
    assert found == {
        "CLASS": "classes",
        "SPIRAL,MERGER": "labels",
        "SHAPE_SMOOTH,SHAPE_DISC,SHAPE_OTHER": "votes",
        "SIZE": "number",
        "SIZE,MAG_R": "number",
        "redshift": "redshift",
    }


def test_every_split_of_the_page_divides(survey):
    given = re.findall(r"^\| `(--set split.+?)` \|", survey, re.MULTILINE)
    assert len(given) == 8
    for flags in given:
        settings = section.parse([word for word in shlex.split(flags) if word != "--set"])
        said = {"bands": ("g", "r", "i"), "catalogue": "catalogue.fits"}
        data = open_data("cutouts/", **said, **settings)
        assert len(data) == (1 if "none" in flags else 3), flags
        assert sum(map(len, data.values())) == len(list(Path("cutouts").iterdir()))


def test_mistakes_are_told_as_the_page_says(survey):
    table = survey.partition("## Mistakes")[2]
    first, second, *_ = re.findall(r"^\| .+? \| `(.+?)`", table, re.MULTILINE)
    with pytest.raises(UserError) as told:
        open_data("cutouts/")
    assert str(told.value).startswith(first)
    chosen = section.parse(["bands=g,r,i", "catalogue=catalogue.fits", 'select={"SIZE": [0, 3.4]}'])
    data = open_data("cutouts/", **chosen)
    assert max(source.column("SIZE").max() for source in data.values()) <= 3.4
    with pytest.raises(UserError) as told:
        finetuning.find_target(data, ("CLAS",), None)
    assert str(told.value).startswith(second)
