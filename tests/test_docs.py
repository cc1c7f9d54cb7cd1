# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows works: commands, data examples, the worked method."""

import argparse
import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
import shlex
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

import astrojax
from astrojax import cli, methods
from astrojax.config import plain
from astrojax.training.run import Run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = [
    path
    for folder in ("experiments", "astrojax/cli")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
FENCE = re.compile(r"^```python(?: title=\"(.+?)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A command of this project. It ends where its line of code does: at a backtick or another command.
COMMAND = re.compile(
    r"(?:(?:^ {4,}|`|&& )(?=astrojax [a-z])"
    r"|\b(?=python3? (?:-m astrojax(?! [A-Z])|experiments/|benchmarks/|tools/|tests/)))"
    r"(.+?)(?=`| && | &$| \| |  +#|$)"
)


def blocks(page):
    """[(file name or None, code)] of a page's Python blocks."""
    return [m.groups() for m in FENCE.finditer((ROOT / "docs" / page).read_text())]


def texts():
    """Every text that shows commands: pages, and the docstrings of experiments and commands."""
    for page in PAGES:
        yield page.stem, page.read_text()
    for path in PROGRAMS:
        yield path.stem, ast.get_docstring(ast.parse(path.read_text()), clean=False) or ""


def commands():
    """Every command that runs this project, as (words, whether it is whole)."""
    found = []
    for name, text in texts():
        for line in text.replace("\\\n", " ").splitlines():
            for m in COMMAND.finditer(line):
                words = shlex.split(m[1], comments=True)
                whole = line.count("`", 0, m.start(1)) % 2 == 0  # else it is named in a sentence
                found.append(pytest.param(words, whole, id=f"{name}: {' '.join(words)}"))
    return found


@pytest.mark.parametrize(("words", "whole"), commands())
def test_commands_exist_with_their_flags(words, whole):
    if words[0] == "astrojax":
        check_command(words[1], words[2:], whole)
    elif words[1:3] == ["-m", "astrojax.main"]:
        check_command("train", words[3:], whole)
    elif words[1:3] == ["-m", "astrojax"]:
        check_command(words[3], words[4:], whole)
    else:
        assert words[1] != "-m", f"there is no module {words[2]} to run"
        check_program(ROOT / words[1], words[2:])


def check_command(name, flags, whole):
    """The command's own parser takes the flags; one named in a sentence may leave out others."""
    assert name in cli.COMMANDS, f"there is no command 'astrojax {name}'"
    parser = cli.parser(name)
    parser.allow_abbrev = False
    if any(flag.startswith("--config") for flag in flags):
        assert "--config" in parser._option_string_actions, f"astrojax {name} has no --config"
        flags = check_experiment(flags)
    if not whole or "--help" in flags:
        for action in parser._actions:
            action.required = False
    parser.error = pytest.fail
    parser.parse_args([flag for flag in flags if flag != "--help"])


def check_program(source, flags):
    """The file reads the flags, or a file of this project that it imports from does."""
    text = "".join(path.read_text() for path in [source, *imported(source)])
    if any(flag.startswith("--config.") for flag in flags):
        assert '"--config"' in text, f"{source} reads no --config"
        flags = check_experiment(flags)
    for flag in flags:
        name = flag.split("=")[0].removeprefix("--")
        if flag.startswith("--") and name != "help":
            assert re.search(rf'"(--)?{name}"', text), f"{source} reads no {flag}"


def imported(source):
    """The files of this project that a file imports from; flags may be declared there."""
    found = re.findall(r"^ *from ([\w.]+) import ([\w, ]+)", source.read_text(), re.M)
    for module, names in found:
        parts = module.replace(".", "/")
        inside = [ROOT / parts / name.split()[0] for name in names.split(",")]
        for path in (*inside, ROOT / parts, source.parent / parts):
            if path.with_suffix(".py").is_file():
                yield path.with_suffix(".py")


def check_experiment(flags):
    """The experiment, its variant and the keys that are set; returns the other flags."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config")
    known, others = parser.parse_known_args(flags)
    keys = [flag for flag in others if flag.startswith("--config.")]
    if known.config:
        path, _, variant = known.config.partition(":")
        spec = importlib.util.spec_from_file_location("shown", written(path))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = module.get_config(variant)
    for key in keys:
        name, given, _ = key.partition("=")
        *parents, last = name.removeprefix("--config.").split(".")
        section = config
        for parent in parents:
            section = section[parent]
        exists = not isinstance(section, ConfigDict) or last in section
        assert given and exists, f"{known.config} has no {name}"
    return [flag for flag in others if flag not in keys]


def written(path):
    """The file itself, or, for the worked example, the block of its page in a cache folder."""
    if (ROOT / path).is_file():
        return ROOT / path
    shown = dict(blocks("new_method.md"))
    assert path in shown, f"there is no {path}"
    copy = ROOT / ".pytest_cache" / Path(path).name
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(shown[path])
    return copy


def test_every_reader_reads_what_its_example_wrote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page, scope = (ROOT / "docs" / "data.md").read_text(), {}
    for m in FENCE.finditer(page):
        line = page[: m.start(2)].count("\n")
        exec(compile("\n" * line + m[2], "docs/data.md", "exec"), scope)  # errors name the line


def test_the_worked_method_trains(experiment, open_data, tmp_path, monkeypatch):
    for name, code in blocks("new_method.md"):
        path = tmp_path / Path(name).parent.name / Path(name).name
        path.parent.mkdir()
        path.write_text(code)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path / "methods")])
    scope = {}
    exec((tmp_path / "experiments" / "barlow_twins.py").read_text(), scope)
    config = plain(scope["get_config"]())
    smoke = experiment("lejepa", "smoke")
    config |= {"data": smoke["data"], "epochs": 10.0, "batch_size": 64}
    config["method"]["view"]["crop"] = 24
    config["method"]["backbone"]["width"] = 8
    job = Run(config, open_data(config["data"]), jax.devices()[:1])
    state, batches = job.initial_state(), job.batches(0)
    losses = []
    for _ in range(20):
        state, logs = job.step(state, next(batches))
        losses.append(float(logs["loss"]))
    assert losses[-1] < 0.7 * losses[0]


def test_every_module_is_on_the_page_of_its_package():
    for module in pkgutil.walk_packages(astrojax.__path__, "astrojax."):
        if module.name in ("astrojax.main", "astrojax.__main__"):
            continue
        if not inspect.getmembers(importlib.import_module(module.name), defined_in(module.name)):
            continue
        package = module.name.split(".")[1]
        page = ROOT / "docs" / "api" / f"{package}.md"
        if not page.exists() and not module.ispkg and module.name.count(".") == 1:
            page = page.with_name("index.md")
        shown = page.read_text().splitlines()
        assert f"::: {module.name}" in shown, f"{page.name} does not show {module.name}"


def defined_in(module):
    """Says of a value whether it is a function or class of that module."""
    return lambda value: getattr(value, "__module__", None) == module


def test_what_the_api_pages_show_exists():
    for page in sorted((ROOT / "docs" / "api").glob("*.md")):
        for name in re.findall(r"^::: (.+)$", page.read_text(), re.MULTILINE):
            assert importlib.util.find_spec(name), f"{page.name} shows {name}, which is not there"


def test_diagrams_are_those_that_their_program_draws():
    spec = importlib.util.spec_from_file_location("diagrams", ROOT / "tools" / "diagrams.py")
    diagrams = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(diagrams)
    for name, drawing in (("step", diagrams.step()), ("layers", diagrams.layers())):
        assert (ROOT / "docs" / "figures" / f"{name}.svg").read_text(encoding="utf-8") == drawing
    drawn = set(re.findall(r"\w+", diagrams.layers()))
    assert {m.name for m in pkgutil.iter_modules(astrojax.__path__)} - drawn == {"__main__", "main"}
