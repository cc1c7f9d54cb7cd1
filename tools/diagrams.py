# SPDX-License-Identifier: Apache-2.0
"""Draws the two diagrams of the documentation.

    python tools/diagrams.py

writes `docs/figures/step.svg`, one training step, and `docs/figures/layers.svg`, the layers of the
package.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
INK, FAINT, PAPER = "#1b1f3b", "#5b6078", "#ffffff"
BLUE, GREEN, YELLOW, RED, GREY = "#e3eafc", "#e1f3e6", "#fdf3d3", "#fbe3e0", "#f1f2f6"
FONT = "font-family='system-ui, Segoe UI, Helvetica, Arial, sans-serif'"
CODE = "font-family='ui-monospace, Consolas, Menlo, monospace'"


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = 13,
    color: str = INK,
    anchor: str = "middle",
    bold: bool = False,
    code: bool = False,
) -> str:
    """Returns one line of text whose baseline is at y."""
    weight = " font-weight='600'" if bold else ""
    return (
        f"<text x='{x:g}' y='{y:g}' font-size='{size:g}' fill='{color}' text-anchor='{anchor}'"
        f"{weight} {CODE if code else FONT}>{escape(words)}</text>"
    )


def frame(
    x: float, y: float, width: float, height: float, fill: str, *, dashed: bool = False
) -> str:
    """Returns a rectangle with round corners."""
    dash = " stroke-dasharray='6 4'" if dashed else ""
    return (
        f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='8' fill='{fill}' "
        f"stroke='{FAINT}'{dash}/>"
    )


def box(
    x: float, y: float, width: float, height: float, title: str, lines: Sequence[str], fill: str
) -> str:
    """Returns a rectangle with a title and lines of text, centered in it."""
    middle, step = x + width / 2, 17
    top = y + height / 2 - step * len(lines) / 2 + 5
    rows = [text(middle, top, title, size=14, bold=True)]
    rows += [
        text(middle, top + step * i, line, size=12, color=FAINT)
        for i, line in enumerate(lines, start=1)
    ]
    return frame(x, y, width, height, fill) + "".join(rows)


def arrow(*points: tuple[float, float]) -> str:
    """Returns a line through the points, with a head at the last."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f"<polyline points='{path}' fill='none' stroke='{INK}' marker-end='url(#head)'/>"


def svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    """Returns the whole drawing."""
    head = (
        "<defs><marker id='head' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='8' "
        f"markerHeight='8' orient='auto'><path d='M0,0 L10,5 L0,10 z' fill='{INK}'/></marker>"
        "</defs>"
    )
    paper = f"<rect width='{width}' height='{height}' rx='10' fill='{PAPER}'/>"
    lines = "\n".join((f"<title>{escape(title)}</title>", head, paper, *parts))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' "
        f"width='{width}' height='{height}' role='img'>\n{lines}\n</svg>\n"
    )


def step() -> str:
    """Returns the diagram of one training step."""
    parts = [
        box(20, 24, 190, 76, "source", ["source[i]: one example", "data/readers"], GREEN),
        box(270, 24, 220, 76, "batching", ["shuffled by seed and step", "data/batching.py"], GREEN),
        box(
            550,
            24,
            290,
            76,
            "global batch",
            ["image [b h w c], redshift [b], ...", "rows divided among the devices"],
            GREEN,
        ),
        arrow((210, 62), (270, 62)),
        arrow((490, 62), (550, 62)),
        frame(20, 140, 820, 296, GREY, dashed=True),
        text(430, 164, "step(state, batch) -> state, logs", code=True),
        text(824, 164, "compiled once; training/run.py", size=12, color=FAINT, anchor="end"),
        frame(36, 180, 788, 112, PAPER),
        text(430, 202, "method.loss(batch, key)", code=True),
        text(808, 202, "methods/pita.py and its like", size=12, color=FAINT, anchor="end"),
        box(52, 214, 220, 64, "views", ["augment: turned, shifted, noisy"], YELLOW),
        box(320, 214, 220, 64, "networks", ["nn: backbone, heads"], YELLOW),
        box(588, 214, 220, 64, "loss", ["losses: one number, and logs"], YELLOW),
        arrow((272, 246), (320, 246)),
        arrow((540, 246), (588, 246)),
        arrow((695, 100), (695, 118), (162, 118), (162, 214)),
        box(
            588, 328, 220, 84, "gradients", ["of every nnx.Param,", "summed over the devices"], BLUE
        ),
        box(320, 328, 220, 84, "update", ["optax, training/optim.py:", "parameters change"], BLUE),
        box(
            52,
            328,
            220,
            84,
            "after_update",
            ["moving averages, queues:", "NonTrainable changes"],
            BLUE,
        ),
        arrow((698, 278), (698, 328)),
        arrow((588, 370), (540, 370)),
        arrow((320, 370), (272, 370)),
        box(
            20,
            476,
            480,
            76,
            "state",
            [
                "step, key, parameters, everything else, optimizer state",
                "saved as a checkpoint; the next step begins with it",
            ],
            RED,
        ),
        box(
            550,
            476,
            290,
            76,
            "log",
            [
                "loss, gradient norm, the method's logs",
                "the host waits here and at checkpoints",
            ],
            RED,
        ),
        arrow((162, 412), (162, 476)),
        arrow((808, 246), (832, 246), (832, 456), (695, 456), (695, 476)),
        arrow((20, 514), (8, 514), (8, 246), (36, 246)),
    ]
    return svg(860, 572, "One training step", parts)


LAYERS = (
    ("cli", "one file per command: its flags, and one call into the library", RED),
    ("inference", "run -> table, bundle, evaluation, search", BLUE),
    ("training", "the loop, the step, optimizers, checkpoints, monitor", BLUE),
    ("evaluate", "functions of a table: metrics, figures, report", BLUE),
    ("methods", "one file per method: paper, equation, class", YELLOW),
    ("", "", GREEN),
    ("distributed · files · config · errors", "used by all", GREY),
)
LIBRARY = (
    ("data", "sources"),
    ("augment", "views"),
    ("interop", "weights"),
    ("nn", "networks"),
    ("simulate", "galaxies, lenses"),
    ("losses", "numbers"),
)


def layers() -> str:
    """Returns the diagram of the layers: each imports from those below, in a row to the right."""
    width, height, gap, left = 700, 54, 12, 60
    parts, y = [], 20
    for name, what, fill in LAYERS:
        if name:
            parts.append(box(left, y, width, height, name, [what], fill))
        else:
            each = (width - gap * (len(LIBRARY) - 1)) / len(LIBRARY)
            for i, (module, kind) in enumerate(LIBRARY):
                x = left + i * (each + gap)
                parts.append(box(x, y, each, height, module, [kind], fill))
        y += height + gap
    parts.append(arrow((32, 30), (32, y - gap - 10)))
    parts.append(
        f"<g transform='rotate(-90 22 {y / 2:g})'>"
        + text(22, y / 2, "imports", size=12, color=FAINT)
        + "</g>"
    )
    return svg(left + width + 20, y + 8, "The layers of the package, the lowest last", parts)


def main() -> None:
    """Writes the files."""
    for name, drawing in (("step", step()), ("layers", layers())):
        path = FIGURES / f"{name}.svg"
        path.write_text(drawing, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
