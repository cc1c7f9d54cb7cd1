# SPDX-License-Identifier: Apache-2.0
"""The shape of the package: what imports what, lengths, and names."""

import ast
import builtins
import dis
import graphlib
import importlib
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "astrojax"
FILES = sorted(PACKAGE.rglob("*.py"))

MODULES, PACKAGES = 8, 10  # at most so many at the top level
FILE_LINES, FUNCTION_LINES = 400, 60


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("astrojax", cache_dir=None)


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layers():
    """The layers of the contract in pyproject.toml, lowest first."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = contract["contracts"]
    return [[name.strip() for name in layer.split("|")] for layer in contract["layers"][::-1]]


def test_no_layer_imports_a_higher_one():
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert command, "pip install -e '.[test]' installs lint-imports"
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stdout.split("Broken contracts")[-1] + done.stderr, pytrace=False)


def test_the_contract_has_every_layer_in_its_order():
    order = (
        "errors config files distributed losses simulate nn interop augment data methods evaluate "
        "training inference cli"
    ).split()
    *lower, top = layers()
    assert [name for (name,) in lower] == order
    assert sorted(top) == ["__main__", "main"]


def test_every_file_is_in_the_graph(graph):
    assert {module_of(path) for path in FILES} == graph.modules


def test_no_modules_import_each_other_in_a_circle(graph):
    imports = {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    imports["astrojax"] = set()  # its names are imported when they are first used
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"imported, importer, ...: {' <- '.join(error.args[1])}")


def test_the_top_level_is_small():
    modules = [p.stem for p in PACKAGE.glob("*.py") if p.stem != "__init__"]
    packages = [p.parent.name for p in PACKAGE.glob("*/__init__.py")]
    assert len(modules) <= MODULES, modules
    assert len(packages) <= PACKAGES, packages


def test_no_file_name_means_two_things():
    names = Counter(p.name for p in FILES if p.name != "__init__.py")
    twice = [name for name, count in names.items() if count > 1]
    assert not twice, [str(p.relative_to(ROOT)) for p in FILES if p.name in twice]


def test_files_are_short():
    lines = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in FILES}
    assert not {name: n for name, n in lines.items() if n > FILE_LINES}


def test_functions_are_short():
    long = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long[f"{path.relative_to(PACKAGE)}:{node.name}"] = lines
    assert not long


def test_the_formatter_skips_no_line():
    mark = "# fmt" + ": skip"
    folders = [PACKAGE, *(ROOT / name for name in ("tests", "experiments", "benchmarks", "tools"))]
    marked = [p for folder in folders for p in folder.rglob("*.py") if mark in p.read_text()]
    assert not marked


def _code_objects(code):
    yield code
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            yield from _code_objects(constant)


def test_every_global_name_exists():
    """No linter says so here: it takes the axes in `Float[Array, "b h w"]` for names."""
    missing = []
    for path in FILES:
        if path.name == "__main__.py":
            continue
        module = importlib.import_module(module_of(path))
        known = vars(module).keys() | vars(builtins).keys()
        for code in _code_objects(compile(path.read_text(), path, "exec")):
            used = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
            missing += [f"{path.relative_to(ROOT)}: {name}" for name in used - known]
    assert not missing
