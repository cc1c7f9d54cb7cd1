# SPDX-License-Identifier: Apache-2.0
"""Bytes of valid files changed at random: the reader gives one sentence, or a value."""

import shutil

import openers
import pytest
import valid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# {opener: (what it opens, the file that is changed)}; the commands, which compile, are in `run.py`.
FUZZED = {
    "weights": ("a.safetensors", "a.safetensors"),
    "npz": ("a.npz", "a.npz"),
    "hdf5": ("a.h5", "a.h5"),
    "encoded": ("a.parquet", "a.parquet"),
    "fits": (".", "a.fits"),
    "catalogue": ("c.csv", "c.csv"),
    "rows": ("t.parquet", "t.parquet"),
    "rows_fits": ("t.fits", "t.fits"),
    "card": ("bundle", "bundle/card.json"),
    "config": ("bundle", "bundle/config.json"),
    "model": ("bundle", "bundle/model.safetensors"),
    "tfds": ("sets/own", "sets/own/1.0.0/dataset_info.json"),
}
BASES = {"rows": "similar", "rows_fits": "anomalies"}
BASES |= dict.fromkeys(("card", "config", "model"), "bundle")


def rows(path):
    """All that the commands read of a table before they compute."""
    from astrojax.inference import contact_sheet, search

    found = search.Rows(path)
    names = [name for name in found.names if name != "embedding"]
    for _ in found.blocks("id", "embedding", *names):
        pass
    contact_sheet.images_of(path, None)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "base"
    valid.write_all(folder)
    return folder


changes = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(b"")),
    st.tuples(st.just("put"), st.floats(0, 1), st.binary(min_size=1, max_size=16)),
    st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=16)),
    st.tuples(
        st.just("flip"), st.floats(0, 1), st.sampled_from([bytes([1 << i]) for i in range(8)])
    ),
)


def changed(data, change):
    how, where, new = change
    at = int(where * (len(data) - 1))
    if how == "cut":
        return data[:at]
    if how == "flip":
        new = bytes([data[at] ^ new[0]])
    return data[:at] + new + data[at + (0 if how == "insert" else len(new)) :]


@pytest.mark.parametrize("name", list(FUZZED))
def test_changed_bytes(base, tmp_path, name):
    target, file = FUZZED[name]
    shutil.copytree(base / BASES.get(name, name), tmp_path / "x")
    original = (tmp_path / "x" / file).read_bytes()
    opener = rows if name.startswith("rows") else openers.OPENERS[BASES.get(name, name)]

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(changes, min_size=1, max_size=3))
    def try_one(several):
        data = original
        for change in several:
            data = changed(data, change) if data else data
        (tmp_path / "x" / file).write_bytes(data)
        result, text = openers.outcome_of(opener, tmp_path / "x" / target)
        assert result != "traceback", text

    try_one()
