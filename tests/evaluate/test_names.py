# SPDX-License-Identifier: Apache-2.0
"""Texts from data, whatever they are, in figures, reports, CSV and the terminal."""

import csv
import re

import numpy as np
import pytest

from astrojax.errors import printable
from astrojax.evaluate import plots, quantities, report
from astrojax.files import write_csv

ODD = [
    r"$\frac$",
    "a$b",
    "$$",
    "\\",
    "\\$",
    "\x00\x1b[31m",
    "\udc80",
    "\u202e",
    "</script>",
    "[/red]",
    "{{ 1 }}",
]
ODD += ["", "_x", "%s", "x" * 200_000]


def test_any_text_fits_into_every_figure(tmp_path):
    n = len(ODD)
    pictures = np.zeros((n, 2, 2, 3))
    plots.contact_sheet(pictures, ODD, tmp_path / "a.png", per_row=n, title=ODD[0])
    counts = np.eye(n, dtype=int)
    plots.matrix(counts, tmp_path / "b.png", rows=ODD, columns=ODD, ylabel="y", xlabel="x")
    plane = np.random.default_rng(0).normal(size=(n, 2))
    panels = {quantities.describe(name): plane[:, 0] for name in ODD[:4]}
    plots.plane_panels(
        plane, panels, tmp_path / "c.png", axes_name="PCA", label=np.arange(n), names=ODD
    )
    records = [{"step": s, **dict.fromkeys(ODD[:4], 1.0 / s)} for s in (1, 2)]
    plots.loss_curves(records, tmp_path / "d.png")


def test_the_text_of_a_figure_is_that_of_the_data():
    assert plots.plain_text("a$b$c") == r"a\$b\$c" and plots.plain_text(7) == "7"
    assert quantities.describe("redshift") == "redshift $z$"
    assert quantities.describe("predicted_$x$") == r"predicted \$x\$"
    assert len(plots.plain_text("$" * 1000)) <= 100


def test_reports_of_odd_names(tmp_path):
    sheet = report.Sheet(write_csv(tmp_path / "a.csv", {"id": ODD}), "<b>")
    section = report.Section("<img src=x>", dict.fromkeys(ODD, 1.0), text="{{ 1 }}", sheets=[sheet])
    text = report.write(tmp_path, [section], {"<i>": "</pre>"}, {"<u>": "<script>"})
    assert "[/red]" in text
    page = (tmp_path / "report.html").read_text()
    tags = set(re.findall(r"<(\w+)", page))
    assert not tags & {"img", "script", "b", "i", "u"} and "{{ 1 }}" in page
    assert "default-src 'none'; script-src 'none'" in page and not re.search(r"<[^>]* on\w+=", page)


@pytest.mark.parametrize("text", ["=1+1", "+a", "-a", "@a", "\ta", "\ra", "\na", "＝1", "-1-1"])
def test_formulas_in_csv_are_text(tmp_path, text):
    path = write_csv(tmp_path / "a.csv", {"id": [text], text: [np.str_(text)]})
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [["id", f"'{text}"], [f"'{text}", f"'{text}"]]


def test_numbers_in_csv_are_numbers(tmp_path):
    columns = {"x": [-1.5, np.float32(-0.25)], "n": [-3, np.int64(-4)], "t": ["-12.5", "+1e-5"]}
    path = write_csv(tmp_path / "a.csv", columns)
    assert path.read_text().splitlines() == ["x,n,t", "-1.5,-3,-12.5", "-0.25,-4,+1e-5"]


def test_a_terminal_gets_no_control_characters():
    assert printable("a\x1b[31m\x00é\n") == "a\\x1b[31m\\x00é\n"
