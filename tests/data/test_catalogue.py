# SPDX-License-Identifier: Apache-2.0
import csv

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from astrojax.data.open import open_sources
from astrojax.errors import UserError

N = 12


@pytest.fixture
def cutouts(tmp_path, rng, info):
    """Eight-pixel FITS stamps a0 ... a11, a minute of arc apart."""
    folder = tmp_path / "cutouts"
    folder.mkdir()
    for i in range(N):
        cards = {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": 150 + i / 60,
            "CRVAL2": 2.0,
            "CRPIX1": 4.5,
            "CRPIX2": 4.5,
            "CDELT1": -5e-5,
            "CDELT2": 5e-5,
        }
        image = np.full((8, 8), i, np.float32)
        fits.PrimaryHDU(image, fits.Header(cards)).writeto(folder / f"a{i}.fits")
    return {
        "name": "fits",
        "path": str(folder / "{id}.fits"),
        "hdus": 0,
        "unreadable": "error",
        "zero_points": None,
        "info": info("r", pixel_scale=None),
        "crop": None,
        "bad_pixels": "error",
        "split": None,
    }


@pytest.fixture
def table(rng):
    return Table(
        {
            "ID": [f"a{i}" for i in range(N)],
            "RAJ2000": 150 + np.arange(N) / 60 + rng.normal(0, 0.1 / 3600, N),
            "DEJ2000": 2 + rng.normal(0, 0.1 / 3600, N),
            "g_auto": np.where(np.arange(N) == 3, 99.0, rng.uniform(15, 20, N)),
            "r_auto": rng.uniform(15, 20, N),
            "r_err": np.linspace(0.01, 0.2, N),
            "class": np.where(np.arange(N) % 2, "GALAXY", "STAR"),
        }
    )


@pytest.fixture
def section(cutouts, tmp_path):
    def make(path, **changes):
        columns = {
            "id": "ID",
            "ra": "RAJ2000",
            "dec": "DEJ2000",
            "magnitude": ("g_auto", "r_auto"),
            "label": "class",
        }
        return {
            "name": "catalogue",
            "table": str(path),
            "cutouts": cutouts,
            "columns": columns,
            "match": "id",
            "radius_arcsec": 1.0,
            "position_unit": None,
            "unmatched": "error",
            "unmatched_file": str(tmp_path / "unmatched.csv"),
            "select": {},
            "classes": None,
            "others": "error",
            "sentinels": {"magnitude": (99.0, -99.0)},
            "split": None,
            **changes,
        }

    return make


def _splus(table, path):
    """Comments, then a commented header line, then columns with blanks."""
    with open(path, "w") as file:
        file.write(
            "# S-PLUS like catalogue\n# magnitudes are AB\n# " + " ".join(table.colnames) + "\n"
        )
        for row in table:
            file.write(" ".join(map(str, row)) + "\n")


def _csv_with_comments(table, path):
    table.write(path, format="ascii.csv")
    path.write_text("# a comment, with commas\n" + path.read_text())


def _sextractor(table, path):
    with open(path, "w") as file:
        for number, name in enumerate(table.colnames, 1):
            file.write(f"# {number:3d} {name:15s} A column\n")
        for row in table:
            file.write(" ".join(map(str, row)) + "\n")


WRITERS = {
    "t.fits": lambda t, p: t.write(p),
    "t.parquet": lambda t, p: _parquet(t, p),
    "t.ecsv": lambda t, p: t.write(p),
    "t.csv": _csv_with_comments,
    "splus.cat": _splus,
    "plain.txt": lambda t, p: t.write(p, format="ascii.basic"),
    "sex.cat": _sextractor,
}


def _parquet(table, path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({n: np.asarray(table[n]).tolist() for n in table.colnames}), path)


@pytest.mark.parametrize("file", WRITERS)
def test_every_table_format_gives_the_same_rows(tmp_path, table, section, file):
    WRITERS[file](table, tmp_path / file)
    source = open_sources(section(tmp_path / file))["train"]
    assert len(source) == N and source.info.classes == ("GALAXY", "STAR")
    assert source[5]["image"][0, 0, 0] == 5 and source[5]["id"] == "a5"
    assert source[5]["label"] == 0
    magnitude = source.column("magnitude")
    assert (
        magnitude.shape == (N, 2) and np.isnan(magnitude[3, 0]) and np.isnan(magnitude).sum() == 1
    )
    np.testing.assert_allclose(source.column("ra"), table["RAJ2000"], atol=1e-9)


def test_sky_match_finds_what_ids_do_not(tmp_path, table, section):
    table["ID"] = np.arange(N)
    order = np.random.default_rng(0).permutation(N)
    table[order].write(tmp_path / "t.fits")
    source = open_sources(section(tmp_path / "t.fits", match="sky"))["train"]
    assert len(source) == N
    assert [int(source[i]["image"][0, 0, 0]) for i in range(N)] == order.tolist()
    assert list(source.column("id")) == order.tolist()


def test_sky_match_gives_a_cutout_to_the_nearest_of_two_objects(tmp_path, table, section):
    table.add_row(table[4])
    table["ID"][N] = "b4"
    table["RAJ2000"][N] += 0.5 / 3600
    table.write(tmp_path / "t.fits")
    wanted = section(tmp_path / "t.fits", match="sky", unmatched="drop")
    assert list(open_sources(wanted)["train"].column("id")) == [f"a{i}" for i in range(N)]


def test_unmatched_are_counted_written_and_dropped_on_request(tmp_path, table, section, caplog):
    table["ID"][2], table["ID"][7] = "b2", "b7"
    table[:10].write(tmp_path / "t.fits")
    with pytest.raises(UserError, match="2 objects have no cutout, 4 cutouts have no object"):
        open_sources(section(tmp_path / "t.fits"))
    rows = list(csv.reader(open(tmp_path / "unmatched.csv")))
    assert ["b2", "cutout"] in rows and ["a11", "object"] in rows and len(rows) == 7
    source = open_sources(section(tmp_path / "t.fits", unmatched="drop"))["train"]
    assert len(source) == 8 and "2 objects have no cutout" in caplog.text
    assert [int(source[i]["image"][0, 0, 0]) for i in range(8)] == [0, 1, 3, 4, 5, 6, 8, 9]


def test_selection_and_split(tmp_path, table, section):
    table.write(tmp_path / "t.fits")
    fractions = {"train": 0.5, "test": 0.5}
    wanted = section(
        tmp_path / "t.fits",
        select={"r_err": (0.0, 0.1)},
        unmatched="drop",
        split={"name": "sky", "fractions": fractions, "seed": 3, "cell": 0.01, "link": 1.0},
    )
    sources = open_sources(wanted)
    assert sum(map(len, sources.values())) == (table["r_err"] <= 0.1).sum()


def test_masked_values_are_missing(tmp_path, table, section):
    table["g_auto"] = MaskedColumn(table["g_auto"], mask=np.arange(N) == 5)
    table.write(tmp_path / "t.ecsv")
    magnitude = open_sources(section(tmp_path / "t.ecsv"))["train"].column("magnitude")
    assert np.isnan(magnitude[[3, 5], 0]).all() and np.isnan(magnitude).sum() == 2


def test_hours_are_not_degrees(tmp_path, table, section):
    table["RAJ2000"] /= 15
    table.write(tmp_path / "t.csv", format="ascii.csv")
    wanted = section(tmp_path / "t.csv", match="sky")
    with pytest.raises(UserError, match="right ascensions are hours"):
        open_sources(wanted)
    assert len(open_sources({**wanted, "position_unit": "hourangle"})["train"]) == N
    table["RAJ2000"].unit = "hourangle"
    table.write(tmp_path / "t.ecsv")
    assert len(open_sources(section(tmp_path / "t.ecsv", match="sky"))["train"]) == N
    table["RAJ2000"] = np.linspace(0.1, 23.9, N)
    table["RAJ2000"].unit = None
    table.write(tmp_path / "all_sky.ecsv")
    with pytest.raises(UserError, match="looks like hours; set data.position_unit"):
        open_sources(section(tmp_path / "all_sky.ecsv"))


def test_small_right_ascensions_have_to_agree_with_the_cutouts(tmp_path, table, section, cutouts):
    table["RAJ2000"] /= 15  # ten hours: degrees for all that the table says
    table.write(tmp_path / "t.fits")
    with pytest.raises(UserError, match="looks like hours; set data.position_unit"):
        open_sources(section(tmp_path / "t.fits"))
    source = open_sources(section(tmp_path / "t.fits", position_unit="hourangle"))["train"]
    np.testing.assert_allclose(source.column("ra"), 150 + np.arange(N) / 60, atol=0.01)
    for i in range(N):  # ten degrees, and cutouts there
        fits.setval(cutouts["path"].replace("{id}", f"a{i}"), "CRVAL1", value=table["RAJ2000"][i])
    assert len(open_sources(section(tmp_path / "t.fits"))["train"]) == N


def _change(**columns):
    def change(table):
        for name, values in columns.items():
            table[name] = values

    return change


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (_change(ID=["a1"] * N), {}, "1 ids occur more than once, e.g. a1"),
        (_change(r_auto=np.geomspace(0.01, 4, N)), {}, "fluxes, or a sentinel"),
        (_change(g_auto=[99.0] * N, r_auto=[-99.0] * N), {}, "missing .* in all bands"),
        (_change(RAJ2000=np.full(N, 1e4)), {}, "positions are not degrees"),
        (_change(DEJ2000=["+02:00:00"] * N), {}, "dec is text"),
        (_change(ID=[f"c{i}" for i in range(N)]), {}, "no id of t.fits .e.g. c0. is the id"),
        (_change(), {"columns": {"id": "ID", "redshift": "g_auto_mag"}}, "'g_auto'"),
        (_change(), {"columns": {"id": "id"}}, "did you mean 'ID'"),
        (_change(), {"select": {"r_er": (0, 1)}}, "did you mean 'r_err'"),
        (_change(), {"select": {"r_err": (5.0, 6.0)}}, "leaves none of 12 rows"),
        (_change(), {"classes": ("GALAXY",)}, "6 objects are outside the class list"),
        (_change(), {"sentinels": {"mag": (99.0,)}}, "data.sentinels: the data has no 'mag'"),
    ],
)
def test_a_catalogue_that_is_wrong_is_one_sentence(
    tmp_path, table, section, change, settings, message
):
    change(table)
    table.write(tmp_path / "t.fits")
    if "columns" in settings:
        settings = {**settings, "sentinels": {}}
    with pytest.raises(UserError, match=message):
        open_sources(section(tmp_path / "t.fits", **settings))


def test_a_file_that_is_no_table(tmp_path, section):
    (tmp_path / "t.fits").write_bytes(b"nothing of the sort")
    with pytest.raises(UserError, match="cannot be read as a table"):
        open_sources(section(tmp_path / "t.fits"))
