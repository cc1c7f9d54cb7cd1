# SPDX-License-Identifier: Apache-2.0
"""Columns as other people's files have them, through every reader."""

import bz2
import gzip
import json
import lzma

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astrojax.data import mosaic
from astrojax.data.classes import encode_labels
from astrojax.data.columns import read, standardise
from astrojax.data.native import to_native
from astrojax.data.open import open_sources
from astrojax.data.tables import read_table
from astrojax.errors import UserError
from astrojax.inference import fields, fits_table, writers
from astrojax.inference.shards import Parts

N = 4
BIG = 4873215000000000001


def _npz(path, columns):
    np.savez(path, images=np.zeros((N, 4, 4, 1), np.float32), **columns)


def _hdf5(path, columns):
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((N, 4, 4, 1), np.float32)
        for name, values in columns.items():
            text = np.asarray(values).dtype.kind in "UO"
            kind = h5py.string_dtype() if text else None
            file.create_dataset(name, data=values.astype(object) if text else values, dtype=kind)


def _parquet(path, columns):
    images = pa.array(list(np.zeros((N, 16), np.float32)))
    pq.write_table(
        pa.table({"images": images, **{k: pa.array(v) for k, v in columns.items()}}), path
    )


FILES = {"npz": _npz, "hdf5": _hdf5, "parquet": _parquet}


@pytest.fixture
def opened(tmp_path, info):
    def make(reader, columns, names, bands=("r",), **changes):
        path = tmp_path / f"file.{reader}"
        FILES[reader](path, columns)
        section = {"name": reader, "path": str(path), "layout": "nhwc", "info": info(*bands)}
        section |= {"columns": {"image": "images", **names}, **changes}
        section |= {"shape": (4, 4, 1)} if reader == "parquet" else {}
        return open_sources(section)["train"]

    return make


@pytest.mark.parametrize("reader", FILES)
def test_columns_keep_precision_byte_order_and_ids(opened, reader):
    order = ">" if reader != "parquet" else "="
    columns = {
        "objid": (BIG + np.arange(N)).astype(f"{order}i8"),
        "mjd": (58849.123456789 + np.arange(N)).astype(f"{order}f8"),
        "tile": np.array([2**64 - 1 - i for i in range(N)], f"{order}u8"),
        "name": np.array(["é", "007", "12E3", "nan"]),
        "oid": np.arange(N, dtype=f"{order}i4"),
    }
    source = opened(
        reader, columns, {"id": "objid", "mjd": "mjd", "tile": "tile", "name": "name", "oid": "oid"}
    )
    assert source.column("id").tolist() == columns["objid"].tolist()
    for name in ("mjd", "tile", "name", "oid"):
        found = source.column(name)
        assert found.tolist() == columns[name].tolist() and found.dtype.isnative
    assert source.column("mjd").dtype == np.float64


@pytest.mark.parametrize("reader", FILES)
@pytest.mark.parametrize(
    ("values", "classes", "labels"),
    [
        (np.array(["b", "", "a", "nan"]), ("a", "b"), [1, -1, 0, -1]),
        (np.array(["b", "N/A", "a", "None"]), ("a", "b"), [1, -1, 0, -1]),
        (np.array([1.0, np.nan, 0.0, 1.0]), None, [1, -1, 0, 1]),
        (np.array([1, -99, 0, 1]), None, [1, -1, 0, 1]),
    ],
)
def test_a_missing_label_is_no_class(opened, reader, values, classes, labels):
    source = opened(reader, {"kind": values}, {"label": "kind"}, sentinels={"label": -99})
    assert source.column("label").tolist() == labels
    numbers = ("0", "1") if reader == "npz" else None
    assert source.info.classes == (classes or numbers)


@pytest.mark.parametrize("reader", FILES)
def test_what_cannot_be_a_column_is_one_sentence_if_it_is_asked_for(opened, reader):
    columns = {"c": np.zeros(N)}
    if reader == "parquet":
        columns["c"] = pa.array([[1], [1, 2], [], None])
    elif reader == "npz":
        columns["c"] = np.zeros(N, complex)
    else:
        columns["c"] = np.zeros(N, complex)
    assert len(opened(reader, columns, {})) == N
    with pytest.raises(UserError, match="column 'c' holds"):
        opened(reader, columns, {"mine": "c"})


@pytest.mark.parametrize("reader", FILES)
def test_floating_point_ids_are_exact_or_refused(opened, reader):
    assert opened(reader, {"i": np.arange(4.0)}, {"id": "i"}).column("id").dtype == np.int64
    with pytest.raises(UserError, match="ids in i are floating-point"):
        opened(reader, {"i": BIG + np.arange(4) * 1e6}, {"id": "i"})


def test_a_file_of_python_objects_is_one_sentence(opened):
    with pytest.raises(UserError, match="'ids' is an array of Python objects"):
        opened("npz", {"ids": np.array(["a", "b", None, 1], object)}, {"id": "ids"})


def test_nulls_of_parquet(opened):
    columns = {
        "i": pa.array([BIG, None, 3, 4]),
        "t": pa.array(["x", None, "", "N"]),
        "label": pa.array([0, None, 1, 1]),
        "d": pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0]), pa.array(["u", "v"])),
    }
    names = {"i": "i", "t": "t", "d": "d", "label": "label"}
    source = opened("parquet", columns, names, classes=("star", "galaxy"))
    assert source.column("i").tolist() == [BIG, None, 3, 4]
    assert source.column("t").tolist() == ["x", None, "", "N"]
    assert source.column("d").tolist() == ["u", "v", None, "u"]
    assert source.column("label").tolist() == [0, -1, 1, 1]
    with pytest.raises(UserError, match="1 rows have no id, the first is row 1"):
        opened("parquet", columns, {"id": "t2", **names} | {"id": "i"})


def test_records_and_latin_letters_in_hdf5(tmp_path, info):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["images"] = np.zeros((2, 1, 4, 4), np.float32)
        kind = [("id", "i8"), ("name", "S5")]
        file["group/table"] = np.array([(7, "café".encode("latin-1")), (8, b"x")], kind)
    names = {"image": "images", "id": "group/table/id", "name": "group/table/name"}
    section = {"name": "hdf5", "path": str(tmp_path / "f.h5"), "layout": "nchw", "columns": names}
    source = open_sources({**section, "info": info("r")})["train"]
    assert source.column("id").tolist() == [7, 8] and source.column("name").tolist() == [
        "café",
        "x",
    ]
    assert read_table(tmp_path / "f.h5").column("name").tolist() == ["café", "x"]


def test_splits_in_files_of_their_own_share_their_classes(tmp_path, info):
    for split, kinds in {"train": "abca", "test": "ccab", "validation": "ccca"}.items():
        _hdf5(
            tmp_path / f"{split}.h5", {"kind": np.array(list(kinds)), "i": np.array([*split[:4]])}
        )
    paths = {s: str(tmp_path / f"{s}.h5") for s in ("train", "validation", "test")}
    section = {"name": "hdf5", "path": paths, "layout": "nhwc", "info": info("r")}
    opened = open_sources({**section, "columns": {"image": "images", "label": "kind"}})
    assert opened["validation"].column("label").tolist() == [2, 2, 2, 0]
    assert opened["test"].info.classes == ("a", "b", "c")


def test_what_a_file_says_of_its_bands_and_unit_is_compared(tmp_path, info):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["images"] = np.arange(4, dtype=np.float32)[None, :, None, None] * np.ones((2, 1, 4, 4))
        file.attrs.update(bands=["u", "g", "r", "i"], unit="nanomaggies")
    section = {"name": "hdf5", "path": str(tmp_path / "f.h5"), "layout": "nchw"}
    section["columns"] = {"image": "images"}
    with pytest.raises(
        UserError, match="its unit is 'nanomaggies', and data.info.unit is 'microjansky'"
    ):
        open_sources({**section, "info": info("u", "g", "r", "i")})
    with pytest.raises(UserError, match="names z"):
        open_sources({**section, "info": info("r", "z", unit="nanomaggies")})
    source = open_sources({**section, "info": info("r", "u", unit="nanomaggies")})["train"]
    assert source[0]["image"][0, 0].tolist() == [2, 0]


TEXTS = {
    "plain.csv": b"id,ra,n,k\n007,1.5,3,a\n12E3,,NULL,\nnan,+2.5,4,N/A\n",
    "mark.csv": b"\xef\xbb\xbfid,ra,n,k\n007,1.5,3,a\n12E3,,NULL,\nnan,2.5,4,N/A\n",
    "semicolon.csv": b"id;ra;n;k\n007;1,5;3;a\n12E3;;;\nnan;2,5;4;\n",
    "tab.txt": b"id\tra\tn\tk\n007\t1.5\t3\ta\n12E3\t\tN/A\t\nnan\t2.5\t4\t\n",
    "quoted.csv": b'# prose, of old\n# id,ra,"n",k\n007,1.5,3,a\n12E3,,--,\nnan,2.5,4,\n',
    "index.csv": b",id,ra,n,k\n0,007,1.5,3,a\n1,12E3,,,\n2,nan,2.5,4,\n",
    "utf16.csv": "id,ra,n,k\n007,1.5,3,a\n12E3,,,\nnan,2.5,4,\n".encode("utf-16"),
    "mac.csv": b"id,ra,n,k\r007,1.5,3,a\r12E3,,,\rnan,2.5,4,\r",
    "blanks.txt": b"#id ra n k\n007 1.5D+0 3 a\n12E3 nan -- --\nnan 2.5 4 NULL\n",
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("pack", [None, gzip, bz2, lzma])
def test_dialects_of_text(tmp_path, name, pack):
    suffix = {None: "", gzip: ".gz", bz2: ".bz2", lzma: ".xz"}[pack]
    data = TEXTS[name] if pack is None else pack.compress(TEXTS[name])
    (tmp_path / (name + suffix)).write_bytes(data)
    table = read_table(tmp_path / (name + suffix))
    assert table.ids("id").tolist() == ["007", "12E3", "nan"]
    np.testing.assert_array_equal(table.column("ra"), [1.5, np.nan, 2.5])
    assert table.column("n").tolist() == [3, None, 4] and table.column("n").dtype.kind == "i"
    assert table.column("k").tolist() == ["a", None, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "t.csv is empty"),
        (b"# a\n", "has no rows, only comments"),
        (b"a,b\n", "has no rows"),
        (b"1,2\n3,4\n", "holds numbers, not the names"),
        (b"a,b\n1,2\n3,4,5\n", "lines differ from the 2 columns a, b"),
        (b"\x00\x01", "no table of a format that is known"),
    ],
)
def test_a_text_that_is_no_table_is_one_sentence(tmp_path, text, message):
    (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(UserError, match=message):
        read_table(tmp_path / "t.csv")


def test_tables_with_types_and_several_of_them(tmp_path):
    table = Table({"id": [BIG, 2], "z": MaskedColumn([0.5, 9.0], mask=[0, 1])})
    table["n"] = MaskedColumn([1, 2], mask=[0, 1])
    table.write(tmp_path / "t.vot", format="votable")
    table.write(tmp_path / "t.ecsv")
    hdus = [fits.PrimaryHDU(), fits.table_to_hdu(Table({"x": [1]})), fits.table_to_hdu(table)]
    hdus[2].name = "OBJECTS"
    fits.HDUList(hdus).writeto(tmp_path / "t.fits")
    for name, hdu in (("t.vot", None), ("t.ecsv", None), ("t.fits", "objects"), ("t.fits", 2)):
        found = read_table(tmp_path / name, hdu)
        assert found.ids("id").tolist() == [BIG, 2] and found.column("n").tolist() == [1, None]
        np.testing.assert_array_equal(found.column("z"), [0.5, np.nan])
    with pytest.raises(UserError, match="has no table 'stars'"):
        read_table(tmp_path / "t.fits", "stars")


KINDS = {
    "i": (st.integers(-(2**63) + 1, 2**63 - 1), pa.int64()),
    "u": (st.integers(0, 2**64 - 2), pa.uint64()),
    "f": (st.floats(allow_nan=False), pa.float64()),
    "b": (st.booleans(), pa.bool_()),
    "t": (st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=5), pa.string()),
}
FORMS = {
    "arrow": lambda values, kind: pa.chunked_array([pa.array(values, kind)]),
    "pandas": lambda values, kind: pd.Series(values, dtype=pd.ArrowDtype(kind)),
    "objects": lambda values, kind: np.array([*values, None], object)[:-1],
    "masked": lambda values, kind: np.ma.MaskedArray(
        np.array([0 if v is None else v for v in values], kind.to_pandas_dtype()),
        [v is None for v in values],
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_form_of_a_column_gives_the_same_values(form, kind, data):
    one, arrow = KINDS[kind]
    values = data.draw(st.lists(st.none() | one, min_size=1, max_size=6))
    if form == "masked" and kind == "t":
        return
    found = to_native(FORMS[form](values, arrow), "x")
    if all(v is None for v in values) and form == "objects":
        assert np.isnan(found).all()
    elif kind == "f":
        np.testing.assert_array_equal(found, [np.nan if v is None else v for v in values])
    else:
        assert [v if v is None else type(v)(v) for v in found.tolist()] == values
    assert found.dtype.isnative


def _written(tmp_path, columns, suffix):
    out = tmp_path / f"t{suffix}"
    parts = Parts(out, {"a": 1}, restart=True)
    for rows in (slice(0, 1), slice(1, None)):
        parts.add([fields.Field(k, v[rows], "uJy" * (k == "f"), "é") for k, v in columns.items()])
    meta = {"model": "é", "objects": len(columns["id"])}
    writers.write(parts.files(), out, meta, count=len(columns["id"]), remove=parts.folder)
    return Table.read(out)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("suffix", writers.SUFFIXES)
def test_written_tables_read_back_the_same(tmp_path, suffix, data):
    size = data.draw(st.integers(2, 5))
    columns = {"id": np.array([f"#{i}é" for i in range(size)])}
    for kind in "iufb":
        one, arrow = KINDS[kind]
        one = st.integers(0, 2**53) if suffix == ".parquet" and kind in "iu" else one
        values = data.draw(st.lists(st.none() | one, min_size=size, max_size=size))
        columns[kind] = to_native(pa.array(values, arrow), kind)
    found = _written(tmp_path, columns, suffix)
    ids = to_native(found["id"], "id")
    ids = fits_table.unescape(ids) if suffix == ".fits" else ids
    assert ids.tolist() == columns["id"].tolist() and str(found["f"].unit) == "uJy"
    np.testing.assert_array_equal(to_native(found["f"], "f"), columns["f"])
    for kind in "ib" + "u" * (suffix == ".ecsv"):
        read_back, values = to_native(found[kind], kind).tolist(), columns[kind].tolist()
        assert [None if v != v else v for v in read_back] == values  # astropy's Parquet has NaN


def test_integers_above_2_63_and_ids_that_fits_would_make_one(tmp_path):
    columns = {"id": np.array(["a", "a ", "é"]), "u": np.array([1, 2**64 - 1, 2**63], np.uint64)}
    columns |= {"Z": np.arange(3), "z": np.arange(3) + 10, "t": to_native(["N", None, "x"], "t")}
    found = _written(tmp_path, columns, ".fits")
    assert found["u"].tolist() == columns["u"].tolist() and found["z_2"].tolist() == [10, 11, 12]
    assert len(set(found["id"])) == 3
    assert fits_table.unescape(np.array(found["id"], str)).tolist() == columns["id"].tolist()
    assert found["t"].tolist() in (["N", None, "x"], ["N", "", "x"])
    with pytest.raises(UserError, match="differ in blanks at their ends"):
        writers.check_columns(columns, tmp_path / "t.ecsv")
    parquet = _written(tmp_path, columns, ".parquet")
    assert len(parquet) == 3
    assert pq.read_table(tmp_path / "t.parquet")["t"].to_pylist() == ["N", None, "x"]


def test_columns_that_share_a_name_are_told_apart(caplog):
    data = [fields.Field("flag_edge", np.zeros(2)), fields.Field("x", np.zeros(2))]
    own = [fields.Field(n, np.zeros(2)) for n in ("flag_edge", "embedding", "p_Z_", "p_Z_")]
    names = [field.name for field in fields.distinct(data, own)]
    assert names == ["data_flag_edge", "x", "flag_edge", "embedding", "p_Z_", "p_Z__2"]
    assert "flag_edge as data_flag_edge" in caplog.text


def test_sentinels_and_misspelt_names():
    columns = {"n": np.array([1, -99, 3]), "z": np.array([0.5, -9.0, 1.0])}
    found = standardise(columns, sentinels={"n": -99.0, "z": (-9.0,)}, where="f")
    assert found["n"].tolist() == [1, None, 3] and np.isnan(found["z"][1])
    assert list(read(columns.__getitem__, columns, {"oid": "n"}, where="f")) == ["oid"]
    with pytest.raises(UserError, match="did you mean 'label'"):
        read(columns.__getitem__, columns, {"labels": "n"}, where="f")
    t_type = encode_labels(
        np.array([-1, -5, 3]), names=None, classes=None, others="error", where="f"
    )
    assert t_type[1] == ("-5", "-1", "3")


def test_what_a_join_leaves_out_is_counted(tmp_path, info):
    _npz(tmp_path / "s.npz", {"ids": np.array(["1", "2", "3", "4"])})
    (tmp_path / "t.csv").write_text("id,z\n1,0.5\n2,\n,0.7\n9,0.1\n3,8\n")
    cutouts = {"name": "npz", "path": str(tmp_path / "s.npz"), "info": info("r")}
    cutouts["columns"] = {"image": "images", "id": "ids"}
    section = {"name": "catalogue", "table": str(tmp_path / "t.csv"), "cutouts": cutouts}
    section |= {"columns": {"id": "id", "redshift": "z"}, "unmatched": "drop"}
    source = open_sources({**section, "select": {"z": (0.0, 5.0)}})["train"]
    assert json.loads(json.dumps(dict(source.info.left_out))) == {
        "rows outside data.select": 2,
        "rows without an id": 1,
        "rows of the catalogue without a cutout": 1,
        "cutouts without a row in the catalogue": 3,
    }


def test_stamps_keep_the_ids_of_the_catalogue(tmp_path, caplog):
    fits.PrimaryHDU(np.ones((20, 20), np.float32)).writeto(tmp_path / "r.fits")
    table = {"id": ["é7", "b", "c"], "x": [10.0, 0.0, np.nan], "y": [10.0] * 3, "z": [1, 2, 3]}
    made = Table(table)
    made["z"] = MaskedColumn(made["z"], mask=[True, False, False])
    made.write(tmp_path / "t.ecsv")
    columns = mosaic.read_columns(
        str(tmp_path / "t.ecsv"), ("r",), x="x", y="y", flux=None, extra=["z"]
    )
    files, out = {"r": str(tmp_path / "r.fits")}, tmp_path / "s.h5"
    mosaic.cut(files, [23.9], columns, out, size=4, dtype="float32")
    with h5py.File(out) as file:
        assert file["id"].asstr()[:].tolist() == ["é7"] and np.isnan(file["z"][0])
    left = (tmp_path / "s_left_out.csv").read_text().split()
    assert left == ["id,reason", "b,near", "an", "edge", "c,no", "position"]
    for wrong, message in (
        ({"images": np.zeros(3)}, "rename"),
        ({"id": np.zeros(3, int)}, "more than"),
    ):
        with pytest.raises(UserError, match=message):
            mosaic.cut(files, [23.9], columns | wrong, tmp_path / "n.h5", size=4, dtype="float32")
    assert not list(tmp_path.glob(".*partial*"))
