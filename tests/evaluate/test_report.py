# SPDX-License-Identifier: Apache-2.0
"""What is shown: report, plots, and the named scalars of a table."""

import html.parser
import json

import numpy as np
import pytest

from astrojax.data.info import DataInfo
from astrojax.data.source import ArraySource
from astrojax.errors import UserError
from astrojax.evaluate import plots, quantities, report
from astrojax.files import write_csv
from astrojax.inference.table import Table


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.sources += [v for k, v in attrs if k in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def sections(folder):
    path = plots.loss_curves([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}], folder / "a.png")
    sheet = write_csv(folder / "a.csv", {"id": ["<x>"], "score": [np.float32(0.123456789)]})
    first = report.Section(
        "photoz",
        {"nmad": 0.05123, "nmad_error": 0.0012, "bias": float("nan")},
        [report.Figure(path, "a <b> figure")],
        "text & more",
        [report.Sheet(sheet, "a sheet")],
    )
    return [first, report.Section("knn", {"accuracy": 0.9})]


def test_report_is_self_contained_and_escaped(tmp_path):
    report.write(tmp_path, sections(tmp_path), {"name": "<script>"}, {"seconds": 12})
    page = (tmp_path / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert sum(s.startswith("data:image/png;base64,") for s in links.sources) == 1
    assert all(s.startswith(("data:", "#")) for s in links.sources) and "<script" not in page
    for shown in ("0.0512 ± 0.0012", "undefined", "a <b> figure", "<x>", "0.123457", "seconds"):
        assert shown in links.text, shown


def test_metrics_are_valid_json_nested_by_task(tmp_path):
    report.write(tmp_path, sections(tmp_path), {}, {"seconds": 12})
    found = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert found["photoz"] == {"nmad": 0.05123, "nmad_error": 0.0012, "bias": None}
    assert found["knn"] == {"accuracy": 0.9} and found["cost"] == {"seconds": 12}
    assert not list(tmp_path.glob(".metrics*"))  # nothing half-written is left


def test_printed_table_has_every_number(tmp_path):
    text = report.write(tmp_path, sections(tmp_path), {}, {})
    assert "0.0512 ± 0.0012" in text and "accuracy" in text and "nmad error" not in text


@pytest.mark.parametrize(
    "bands", [("g",), ("g", "r"), ("g", "r", "z"), tuple("ugriz") + tuple("YJHK")]
)
def test_display_is_in_range_whatever_the_bands(bands):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 16, 16, len(bands))).astype(np.float32)
    images[0, 8, 8] = np.nan
    shown = plots.rgb(images, bands, "count")
    assert shown.shape == (3, 16, 16, 3) and shown.min() >= 0 and shown.max() <= 1


def test_the_reddest_band_is_shown_red_and_the_first_row_at_the_bottom():
    images = np.random.default_rng(0).normal(size=(1, 16, 16, 4)).astype(np.float32)
    images[0, 4, 8, 3] = images[0, 12, 8, 0] = 500
    shown = plots.rgb(images, tuple("abcd"), "count")[0]
    assert shown[15 - 4, 8].argmax() == 0 and shown[15 - 12, 8].argmax() == 2


def test_eight_bit_pictures_are_shown_as_they_are():
    info = DataInfo(bands=("r", "g", "b"), image_size=2, unit="display")
    pixels = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    source = ArraySource({"image": pixels, "id": np.array([5])}, info)
    table = Table(np.array([5]), np.zeros((1, 2), np.float32), {}, {})
    shown = plots.rgb(quantities.stamps(table, source, np.array([0])), info.bands, info.unit)
    np.testing.assert_allclose(shown, pixels / 255, atol=1e-7)


def test_stamps_are_found_by_id_not_by_row(world):
    tables, sources = world
    table = tables["test"]
    rows = np.array([3, 0])
    turned = Table(table.id[::-1], table.embedding[::-1], {}, {})
    found = quantities.stamps(turned, sources["test"], len(table.id) - 1 - rows)
    np.testing.assert_array_equal(found, sources["test"].columns["image"][rows])
    with pytest.raises(UserError, match="'tr0000'"):
        quantities.stamps(tables["train"], sources["test"], np.array([0]))


def test_scalars_have_magnitudes_of_fluxes_and_colors():
    info = DataInfo(bands=("g", "r"), image_size=8, zero_point=23.9)
    flux = np.array([[1.0, 10.0], [-1.0, 100.0]])
    table = Table(np.arange(2), np.zeros((2, 3)), {"z": np.array([[0.1], [0.2]])}, {"flux": flux})
    found = quantities.scalars(table, info)
    np.testing.assert_allclose(found["magnitude_r"], [21.4, 18.9])
    np.testing.assert_allclose(found["color_g_r"], [2.5, np.nan])
    np.testing.assert_allclose(found["predicted_z_0"], [0.1, 0.2])


def test_loss_curves_need_no_validation(tmp_path):
    records = [{"step": s, "loss": 1.0 / s, "validation_loss": 2.0 / s} for s in range(1, 9)]
    assert plots.loss_curves(records, tmp_path / "both.png").stat().st_size > 5000


def test_a_number_of_a_sheet_stands_with_its_error(tmp_path):
    columns = {"lower": [0.5], "nmad": [0.05123], "nmad_error": [0.0012], "my_error": [3]}
    sheet = report.Sheet(write_csv(tmp_path / "bins.csv", columns), "Bins.")
    report.write(tmp_path, [report.Section("photoz", {}, sheets=[sheet])], {}, {})
    links = Links()
    links.feed((tmp_path / "report.html").read_text())
    assert "0.0512 ± 0.0012" in links.text and "Bins. (bins.csv)" in links.text
    assert "nmad error" not in links.text and "my error" in links.text
