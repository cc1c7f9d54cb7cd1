# SPDX-License-Identifier: Apache-2.0
"""A table says where its images are; it cannot open, write or run anything else."""

import json

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astrojax.errors import UserError
from astrojax.inference import contact_sheet, table_metadata

INFO = {"bands": ["g", "r"], "pixel_scale": None, "unit": "arbitrary"}


def section(path, **keys):
    columns = {"image": "images", "id": "ids"}
    return {
        "name": "hdf5",
        "path": path,
        "columns": columns,
        "layout": "nhwc",
        "info": INFO,
        **keys,
    }


@pytest.fixture
def opens(tmp_path):
    """`opens(section)` opens the images of a table beside which `stamps.h5` lies."""
    shared = tmp_path / "shared"
    shared.mkdir()
    with h5py.File(shared / "stamps.h5", "w") as file:
        file["images"] = np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype("f4")
        file["ids"] = np.arange(4)

    def run(told, data=None, catalogue=None):
        text = told if isinstance(told, str) else json.dumps(told)
        meta = {"data_section": text, "data_split": "train", "data": "stamps"}
        table = pa.table({"id": np.arange(4)})
        path = shared / "t.parquet"
        pq.write_table(table.replace_schema_metadata({"astrojax": json.dumps(meta)}), path)
        return contact_sheet.images_of(path, data, catalogue)

    return run


def test_images_in_the_folder_of_the_table_are_found(opens, tmp_path):
    kept = table_metadata.describe(
        section(
            str(tmp_path / "shared" / "stamps.h5"), split=None, fetch="curl", bad_pixels="keep"
        ),
        "train",
        tmp_path / "shared",
    )
    told = json.loads(kept)
    assert told["path"] == "stamps.h5" and "fetch" not in told and told["bad_pixels"] == "keep"
    assert len(opens(kept).source) == 4
    # Where they lie elsewhere, the table says where, and the user has to agree.
    elsewhere = (tmp_path / "shared" / "stamps.h5").rename(tmp_path / "moved.h5")
    kept = table_metadata.describe(section(str(elsewhere)), "train", tmp_path / "shared")
    with pytest.raises(UserError, match=f"give --data '{elsewhere}', else --no-sheet"):
        opens(kept)
    assert len(opens(kept, data=str(elsewhere)).source) == 4


def test_a_file_for_each_split(opens, tmp_path):
    paths = {"train": str(tmp_path / "shared" / "stamps.h5"), "test": "/elsewhere/x.h5"}
    kept = table_metadata.describe(section(paths), "train", tmp_path / "shared")
    assert json.loads(kept)["path"] == {"train": "stamps.h5"}
    assert len(opens(kept).source) == 4
    assert len(opens(kept, data=paths["train"]).source) == 4


def test_a_catalogue_is_kept_only_where_it_is_needed(tmp_path):
    joined = {"name": "catalogue", "table": "/elsewhere/cat.fits", "cutouts": section("s.h5")}
    joined |= {"columns": {"id": "ID"}, "match": "id", "unmatched_file": "~/.bashrc"}
    kept = json.loads(table_metadata.describe(joined, "train", tmp_path))
    assert kept["name"] == "hdf5"
    kept = json.loads(table_metadata.describe(joined | {"match": "sky"}, "train", tmp_path))
    assert kept["table"] == "/elsewhere/cat.fits" and "unmatched_file" not in kept
    given = table_metadata.located(
        tmp_path / "t.parquet", kept, images={"path": "/a.h5"}, catalogue="/b.fits"
    )
    assert given["table"] == "/b.fits" and given["cutouts"]["path"] == "/a.h5"
    with pytest.raises(UserError, match="give --catalogue '/elsewhere/cat.fits'"):
        table_metadata.located(
            tmp_path / "t.parquet", kept, images={"path": "/a.h5"}, catalogue=None
        )


JOINED = {"name": "catalogue", "table": "c.csv", "cutouts": section("stamps.h5"), "columns": {}}


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (section("/etc/passwd"), "opens nothing outside of its own folder"),
        (section("../stamps.h5"), "opens nothing outside"),
        (section("x*/../../stamps.h5"), "opens nothing outside"),
        (section({"train": "../a.h5"}), "opens nothing outside"),
        (section("stamps.h5", follow_links=True), "sets the key 'follow_links'"),
        (section("stamps.h5", fetch="x"), "sets the key 'fetch'"),
        (section("stamps.h5", exclude={"data": section("/a.h5")}), "sets the key 'exclude'"),
        (section("stamps.h5", cutouts=section("/a.h5")), "sets the key 'cutouts'"),
        (JOINED | {"unmatched_file": "x.csv"}, "sets the key 'unmatched_file'"),
        (JOINED | {"table": "/etc/passwd"}, "give --catalogue '/etc/passwd'"),
        (JOINED | {"cutouts": JOINED}, "names the reader 'catalogue'"),
        ({"name": "os"}, "names the reader 'os'"),
        ({"name": ["hdf5"]}, "reader"),
        ({"name": "lens", "psfs": "/etc/x.npy"}, "names the reader 'lens'"),
        ({"name": "tfds", "directory": ".", "dataset": "../x", "splits": {}}, "no name of a TFDS"),
        (
            {"name": "fits", "path": "{band}/{id}.fits", "info": INFO | {"bands": ["../.."]}},
            "no name of a band",
        ),
        (section("stamps.h5", crop=10**9), "4096 px at most"),
        (section("stamps.h5", columns=7), "data.columns"),
        ([1], "names the reader"),
        ("{", "the metadata of .* cannot be read"),
        ("[" * 100_000, "the metadata of .* cannot be read"),
    ],
)
def test_what_a_table_may_not_say(opens, told, message):
    with pytest.raises(UserError, match=message):
        opens(told)


def test_links_that_leave_the_folder(opens, tmp_path):
    (tmp_path / "shared" / "stamps.h5").rename(tmp_path / "other.h5")
    (tmp_path / "shared" / "stamps.h5").symlink_to(tmp_path / "other.h5")
    with pytest.raises(UserError, match="opens nothing outside"):
        opens(section("stamps.h5"))
    (tmp_path / "shared" / "pictures").mkdir()
    (tmp_path / "shared" / "pictures" / "a.png").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match=r"a\.png leads out of the folder"):
        opens({"name": "folder", "path": "pictures", "info": INFO})
