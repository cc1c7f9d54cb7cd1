# SPDX-License-Identifier: Apache-2.0
"""What an evaluation leaves behind: metrics.json, one self-contained report.html, a printed table.

A number `x` may have its error beside it under the name `x_error`; the two are shown as one.
"""

import base64
import csv
import dataclasses
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """Writes parallel columns as CSV, whole or not at all; floats with six significant digits."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([f"{v:.6g}" if _is_float(v) else v for v in row])
    write_text(path, text.getvalue())
    return path


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
    console = Console(width=100, color_system=None, force_terminal=False)
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
    title = _e(f"{name} on {data}" if name and data else "astrojax evaluation")
    parts = [_HEAD.replace("TITLE", title)]
    links = (f'<a href="#{_e(s.title)}">{_heading(s)}</a>' for s in sections)
    parts.append(f"<nav>{' · '.join(links)}</nav>")
    for section in sections:
        parts.append(f'<section id="{_e(section.title)}"><h2>{_heading(section)}</h2>')
        if section.text:
            parts.append(f"<p>{_e(section.text)}</p>")
        if section.metrics:
            parts.append(_rows(("metric", "value"), paired(section.metrics)))
        parts += [
            f'<p><a href="{_e(Path(k.path).name)}">{_e(k.caption)}</a></p>' for k in section.links
        ]
        parts += [_image(figure) for figure in section.figures]
        parts += [_sheet(sheet) for sheet in section.sheets]
        parts.append("</section>")
    parts.append("<section><h2>Cost</h2>" + _rows(("what", "value"), list(cost.items())))
    settings = json.dumps(config, indent=2, default=str)
    parts.append(f"<details><summary>Configuration</summary><pre>{_e(settings)}</pre></details>")
    parts.append("</section></body></html>\n")
    return "\n".join(parts)


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>TITLE</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; border-bottom: 1px solid #d0d7de;
     margin-top: 2rem }
table { border-collapse: collapse; margin: .8rem 0; font-size: .9rem }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #eaeef2 }
td { font-variant-numeric: tabular-nums } div.wide { overflow-x: auto }
figure { margin: 1.2rem 0 } img { max-width: 100% } figcaption { color: #57606a; font-size: .9rem }
pre { background: #f6f8fa; padding: .8rem; overflow-x: auto; font-size: .8rem }
</style></head><body><h1>TITLE</h1>"""


def _heading(section: Section) -> str:
    return _e(section.title.replace("_", " "))


def _image(figure: Figure) -> str:
    data = base64.b64encode(Path(figure.path).read_bytes()).decode()
    caption = _e(figure.caption)
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _sheet(sheet: Sheet) -> str:
    with open(sheet.path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    more = len(rows) - SHEET_ROWS
    note = f"; the first {SHEET_ROWS} of {len(rows)} rows" if more > 0 else ""
    shown = [name for name in header if name.removesuffix("_error") not in set(header) - {name}]
    body = _rows(
        [name.replace("_", " ") for name in shown],
        [_cells(dict(zip(header, row, strict=True)), shown) for row in rows[:SHEET_ROWS]],
    )
    caption = f"{sheet.caption} ({Path(sheet.path).name}{note})"
    return f'<div class="wide">{body}</div><p><small>{_e(caption)}</small></p>'


def _cells(row: Mapping[str, str], shown: Sequence[str]) -> list[str]:
    """Returns the cells of a row; a number and its error are one."""
    errors = {name: row.get(f"{name}_error", "") for name in shown}
    return [_number(float(row[n]), float(errors[n])) if errors[n] else row[n] for n in shown]


def _rows(header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{_e(cell)}</th>" for cell in header)
    body = ("<tr>" + "".join(f"<td>{_e(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{''.join(body)}</table>"


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


def _is_float(value: Any) -> bool:
    # NumPy's float32 is no Python float, but formats as one.
    return isinstance(value, float) or type(value).__name__.startswith("float")


def _e(value: Any) -> str:
    return html.escape(str(value), quote=True)
