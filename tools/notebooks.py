# SPDX-License-Identifier: Apache-2.0
"""Makes the notebooks in `colab/` from the `.py` files beside them.

    python tools/notebooks.py                  # writes every .ipynb, without outputs
    python tools/notebooks.py --check          # says which of them are not what this would write
    python tools/notebooks.py --execute pita   # runs one, as it is or with ASTROJAX_SMALL=1

A source is in the percent format. The first cell gets a badge that opens the notebook in Colab, and
the set-up cells of `colab/setup_cells.py` follow it. Needs jupytext; `--execute` nbclient and
ipykernel.
"""

import argparse
import sys
from pathlib import Path

import jupytext
import nbformat

ROOT = Path(__file__).parents[1]
COLAB = ROOT / "colab"
SETUP = COLAB / "setup_cells.py"
SOURCES = sorted(path for path in COLAB.glob("*.py") if path != SETUP)
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
OPEN = "https://colab.research.google.com/github/astrojax/astrojax/blob/main/colab"


def notebook(source: Path) -> nbformat.NotebookNode:
    """The notebook of a source, with badge and set-up cells and without outputs."""
    title, *cells = _cells(source)
    title.source += f"\n\n[![Open in Colab]({BADGE})]({OPEN}/{source.stem}.ipynb)"
    made = nbformat.v4.new_notebook(cells=[title, *_cells(SETUP), *cells])
    made.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "colab": {"provenance": [], "name": f"{source.stem}.ipynb"},
        "accelerator": "GPU",
    }
    for i, cell in enumerate(made.cells):
        cell.id = f"{source.stem}-{i}"  # not random, so that nothing changes without a cause
    return made


def written(made: nbformat.NotebookNode) -> str:
    """The text of an .ipynb file."""
    return nbformat.writes(made, indent=1) + "\n"


def execute(notebooks: list[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    """Runs notebooks one after the other in one kernel, in the repository's folder.

    What a notebook has defined is forgotten before the next, but imports stay loaded.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell raised an error; the message shows it.
    """
    from nbclient import NotebookClient

    cells = []
    for made in notebooks:
        cells += [nbformat.v4.new_code_cell("%reset -f"), *made.cells]
    joined = nbformat.v4.new_notebook(cells=cells, metadata=notebooks[0].metadata)
    client = NotebookClient(joined, timeout=3600, resources={"metadata": {"path": str(ROOT)}})
    return client.execute()


def _cells(path: Path) -> list[nbformat.NotebookNode]:
    text = path.read_text(encoding="utf-8").removeprefix("# SPDX-License-Identifier: Apache-2.0\n")
    return jupytext.reads(text, fmt="py:percent").cells


def main() -> None:
    """Parses the command line and writes, checks or executes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--execute", metavar="NAME")
    arguments = parser.parse_args()
    if arguments.execute:
        execute([notebook(COLAB / f"{arguments.execute}.py")])
        return
    stale = []
    for source in SOURCES:
        text, path = written(notebook(source)), source.with_suffix(".ipynb")
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.name)
        if not arguments.check:
            path.write_text(text, encoding="utf-8")
    if arguments.check and stale:
        sys.exit(f"{', '.join(stale)}: run python tools/notebooks.py")


if __name__ == "__main__":
    main()
