# SPDX-License-Identifier: Apache-2.0
"""Tables as astropy, pandas and TOPCAT's library (STIL) read them: all the same values."""

import csv
import io
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from astrojax.data.native import to_native
from astrojax.inference import fields, fits_table, writers
from astrojax.inference.shards import Parts

BIG = 2**62 + 1
ROWS = {  # what each column holds, None where a value is missing
    "id": ["#1é", "007", "a b"],
    "i": [5, None, BIG],
    "f": [1.5, None, np.inf],
    "b": [True, False, True],
    "t": ["N", None, 'é"q,'],
}


@pytest.fixture(scope="module", params=writers.SUFFIXES)
def table(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("tables") / f"t{request.param}"
    columns = {name: to_native(values, name) for name, values in ROWS.items()}
    columns["u"] = np.array([2**64 - 2, 1, 2**63], np.uint64)
    parts = Parts(out, {"a": 1}, restart=True)
    parts.add([fields.Field(k, v, "uJy" * (k == "f"), "é") for k, v in columns.items()])
    writers.write(parts.files(), out, {"model": "é"}, count=3, remove=parts.folder)
    return out


def plain(name, values, suffix):
    values = to_native(values, name)
    if suffix == ".fits" and values.dtype.kind == "U":
        values = np.ma.MaskedArray(
            fits_table.unescape(np.ma.getdata(values)), np.ma.getmaskarray(values)
        )
    return [None if v != v or v == "" else v for v in values.tolist()]


def test_astropy_reads_the_same_values(table):
    found = Table.read(table)
    for name, values in ROWS.items():
        if table.suffix == ".parquet" and name in "it":
            continue  # of Parquet astropy reads nulls as NaN, and as "None" in text
        assert plain(name, found[name], table.suffix) == values
    assert [int(v) for v in found["u"]] == [2**64 - 2, 1, 2**63]
    assert str(found["f"].unit) == "uJy"


def test_pandas_reads_the_same_values(table):
    if table.suffix == ".parquet":
        found = pd.read_parquet(table, dtype_backend="pyarrow")
    elif table.suffix == ".ecsv":
        found = pd.read_csv(table, comment="#", dtype={"id": str, "i": "Int64"}, sep=r"\s+")
        found["id"] = Table.read(table)["id"]  # a blank in quotes after a '#' is ECSV's own
    else:
        pytest.skip("pandas reads no such table")
    for name, values in ROWS.items():
        assert plain(name, found[name], table.suffix) == values


@pytest.mark.skipif(shutil.which("stilts") is None, reason="STIL is not installed (stilts)")
def test_topcat_reads_the_same_values(table):
    kind = {".fits": "fits", ".vot": "votable"}.get(table.suffix)
    if kind is None:
        pytest.skip("not every STIL reads such a table")
    command = ["stilts", "tpipe", f"in={table}", f"ifmt={kind}", "omode=out", "ofmt=csv", "out=-"]
    text = subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    for name, values in ROWS.items():
        of = {"i": int, "f": float, "b": lambda v: v == "true"}.get(name, str)
        found = [None if row[name] == "" else of(row[name]) for row in rows]
        if table.suffix == ".fits" and of is str:
            found = [v if v is None else str(fits_table.unescape(np.array([v]))[0]) for v in found]
        assert found == values
    assert [int(row["u"]) for row in rows] == [2**64 - 2, 1, 2**63]
