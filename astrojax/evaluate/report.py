# SPDX-License-Identifier: Apache-2.0
"""What an evaluation leaves behind: metrics.json, one self-contained report.html, a printed table.

A number `x` may have its error beside it under the name `x_error`; the two are shown as one.
"""

import base64
import csv
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from astrojax.evaluate import pages
from astrojax.files import write_text

SHEET_ROWS = 40  # more of a CSV than anyone reads in a browser stays in the file


@dataclasses.dataclass(frozen=True)
class Figure:
    """A PNG on disk, and what it shows."""

    path: Path
    caption: str


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A CSV on disk, and what it holds."""

    path: Path
    caption: str


@dataclasses.dataclass(frozen=True)
class Link:
    """A page on disk, in the report's folder, and what it is."""

    path: Path
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """The outcome of one evaluation task.

    Attributes:
        title: The task's name in the config, and its key in `metrics.json`.
        metrics: Its numbers.
        figures: Its figures.
        text: What a reader needs to know beside them.
        sheets: Its tables.
        links: Its own pages.
    """

    title: str
    metrics: dict[str, float]
    figures: list[Figure] = dataclasses.field(default_factory=list)
    text: str = ""
    sheets: list[Sheet] = dataclasses.field(default_factory=list)
    links: list[Link] = dataclasses.field(default_factory=list)


def write(
    out: Path, sections: Sequence[Section], config: Mapping[str, Any], cost: Mapping[str, Any]
) -> str:
    """Writes `metrics.json` and `report.html` and returns the table to print.

    Args:
        out: Folder, made if it is not there.
        sections: Outcomes of the tasks; their titles are the keys of `metrics.json`.
        config: The run's config as plain values.
        cost: What the run took, e.g. {"hardware": ..., "seconds": ...}.

    Returns:
        The numbers of all sections as a table for the terminal.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    numbers = {section.title: _finite(section.metrics) for section in sections}
    text = json.dumps(numbers | {"cost": dict(cost)}, indent=2, default=str)
    write_text(out / "report.html", page(sections, config, cost))
    write_text(out / "metrics.json", text + "\n")  # last: it says that the evaluation is complete
    return table(sections)


def table(sections: Sequence[Section]) -> str:
    """Returns the numbers of all sections as text with aligned columns."""
    from rich.console import Console
    from rich.table import Table

    grid = Table("evaluation", "metric", "value")
    for section in sections:
        rows = paired(section.metrics)
        for i, (name, value) in enumerate(rows):
            title = section.title if i == 0 else ""
            grid.add_row(title, name, value, end_section=i == len(rows) - 1)
    # Without markup: names of classes may have brackets.
    console = Console(width=100, color_system=None, force_terminal=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(grid)
    return capture.get()


def paired(metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """(name, "value ± error") of each number; two digits of the error decide how many are shown."""
    rows = []
    for name, value in metrics.items():
        if name.endswith("_error") and name.removesuffix("_error") in metrics:
            continue
        rows.append((name.replace("_", " "), _number(value, metrics.get(f"{name}_error"))))
    return rows


def page(sections: Sequence[Section], config: Mapping[str, Any], cost: Mapping[str, Any]) -> str:
    """Returns one HTML page with its images inside: nothing is fetched when it is opened."""
    name, data = (config.get(k, {}).get("name", "") for k in ("method", "data"))
    return pages.render(
        "report",
        title=f"{name} on {data}" if name and data else "astrojax evaluation",
        sections=[
            {
                "id": section.title,
                "heading": section.title.replace("_", " "),
                "text": section.text,
                "metrics": paired(section.metrics),
                "links": [(Path(link.path).name, link.caption) for link in section.links],
                "figures": [(encoded(figure.path), figure.caption) for figure in section.figures],
                "sheets": [_sheet(sheet) for sheet in section.sheets],
            }
            for section in sections
        ],
        cost=list(cost.items()),
        settings=json.dumps(config, indent=2, default=str),
    )


def encoded(path: Path) -> str:
    """Returns a file as base64, to stand in a page."""
    return base64.b64encode(Path(path).read_bytes()).decode()


def _sheet(sheet: Sheet) -> dict[str, Any]:
    """Returns the header, the first rows and the caption of a CSV."""
    csv.field_size_limit(2**31 - 1)  # an id may be long
    with open(sheet.path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    more = len(rows) - SHEET_ROWS
    note = f"; the first {SHEET_ROWS} of {len(rows)} rows" if more > 0 else ""
    shown = [name for name in header if name.removesuffix("_error") not in set(header) - {name}]
    return {
        "header": [name.replace("_", " ") for name in shown],
        "rows": [_cells(dict(zip(header, row, strict=True)), shown) for row in rows[:SHEET_ROWS]],
        "caption": f"{sheet.caption} ({Path(sheet.path).name}{note})",
    }


def _cells(row: Mapping[str, str], shown: Sequence[str]) -> list[str]:
    """Returns the cells of a row; a number and its error are one."""
    errors = {name: row.get(f"{name}_error", "") for name in shown}
    return [_number(float(row[n]), float(errors[n])) if errors[n] else row[n] for n in shown]


def _number(value: float, error: float | None) -> str:
    if not math.isfinite(value):
        return "undefined"
    if error is None or not math.isfinite(error) or error == 0:
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    # JSON has no NaN: a reader in another language would reject the file.
    return {n: float(v) if math.isfinite(v) else None for n, v in metrics.items()}
