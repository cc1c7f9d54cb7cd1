# SPDX-License-Identifier: Apache-2.0
import io
import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from astrojax.data.open import open_sources
from astrojax.data.readers import parquet
from astrojax.errors import UserError


@pytest.fixture
def shards(tmp_path, rng):
    """Two shards of 25 and 15 galaxies in row groups of 10."""
    images = rng.normal(0, 1, (40, 4, 6, 6)).astype(np.float32)
    z = rng.uniform(0, 3, 40)
    for name, rows in (("a", slice(0, 25)), ("b", slice(25, 40))):
        table = pa.table(
            {
                "galaxy": [f"g{i}" for i in range(40)][rows],
                "image": list(images[rows].reshape(-1, 144)),
                "z": z[rows],
                "use_redshift_2": (np.arange(40) % 2)[rows],
                "flux": list(images[rows].sum((2, 3))),
                "f_g": images[rows, 0].sum((1, 2)),
                "f_r": images[rows, 1].sum((1, 2)),
            }
        )
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=10)
    return str(tmp_path / "*.parquet"), images, z


@pytest.fixture
def section(info):
    def make(path, **changes):
        return {
            "name": "parquet",
            "path": path,
            "layout": "nchw",
            "shape": (4, 6, 6),
            "columns": {"image": "image", "id": "galaxy", "redshift": "z", "flux": "flux"},
            "label_thinning": None,
            "classes": None,
            "sentinels": {},
            "info": info(*"griz"),
            "crop": None,
            "resize": None,
            "bad_pixels": "error",
            "split": None,
            **changes,
        }

    return make


def test_rows_of_all_shards_in_any_order(shards, section):
    path, images, z = shards
    source = open_sources(section(path))["train"]
    source = pickle.loads(pickle.dumps(source))
    assert len(source) == 40
    for row in np.random.default_rng(0).permutation(40).tolist():
        np.testing.assert_array_equal(source[row]["image"], images[row].transpose(1, 2, 0))
        assert source[row]["id"] == f"g{row}"
    np.testing.assert_allclose(source.column("redshift"), z, rtol=1e-6)  # float32
    np.testing.assert_array_equal(source.column("flux"), images.sum((2, 3)))


def test_fluxes_from_a_column_per_band_and_thinned_labels(shards, section):
    path, images, _ = shards
    columns = {"image": "image", "redshift": "z", "flux": ("f_g", "f_r")}
    source = open_sources(section(path, columns=columns, label_thinning=2))["train"]
    np.testing.assert_array_equal(source.column("flux"), images[:, :2].sum((2, 3)))
    assert (np.isfinite(source.column("redshift")) == np.arange(40) % 2).all()


def test_row_groups_in_memory_are_bounded(shards, section, monkeypatch):
    path, images, _ = shards
    monkeypatch.setattr(parquet, "CACHE_BYTES", 2 * images[:10].nbytes + 1000)
    keys = {k: v for k, v in section(path).items() if k != "name"}
    source = parquet.load(**keys)["train"]
    for row in [*range(40), 0]:
        np.testing.assert_array_equal(source[row]["image"], images[row].transpose(1, 2, 0))
        assert len(source.images._cache) <= 3  # the last of the five is half as large


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (4, 5, 6)}, "144 pixels, but data.shape"),
        ({"columns": {"image": "image", "redshift": "redshift"}}, "has no 'redshift'"),
        ({"path": "/nowhere/*.parquet"}, "no file"),
    ],
)
def test_what_does_not_fit_is_one_sentence(shards, section, changes, message):
    with pytest.raises(UserError, match=message):
        open_sources(section(**{"path": shards[0], **changes}))


def test_shards_with_other_columns_and_files_that_are_none(shards, section, tmp_path):
    (tmp_path / "c.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        open_sources(section(shards[0]))
    pq.write_table(pa.table({"image": [[0.0]]}), tmp_path / "c.parquet")
    with pytest.raises(UserError, match="c.parquet has other columns than a.parquet"):
        open_sources(section(shards[0]))


def test_hugging_face_image_records(tmp_path, section, display):
    pictures = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), np.uint8)
    records = []
    for picture in pictures:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        records.append({"bytes": buffer.getvalue(), "path": None})
    pq.write_table(pa.table({"image": records, "label": [1, 0, 1]}), tmp_path / "hf.parquet")
    wanted = section(
        str(tmp_path / "hf.parquet"),
        shape=None,
        columns={"image": "image", "label": "label"},
        classes=("spiral", "elliptical"),
        info=display("r", "g", "b"),
    )
    source = open_sources(wanted)["train"]
    np.testing.assert_array_equal(source[2]["image"], pictures[2])
    assert source.info.classes == ("spiral", "elliptical") and list(source.column("label")) == [
        1,
        0,
        1,
    ]
    with pytest.raises(UserError, match="labels 1 are outside the list of 1 classes"):
        open_sources({**wanted, "classes": ("spiral",)})


@pytest.fixture
def hub_folder(tmp_path):
    """What `datasets` 5 leaves on the hub: shards by split, features in the schema's metadata."""
    rng = np.random.default_rng(0)
    features = {
        "image": {"shape": [2, 4, 4], "dtype": "float32", "_type": "Array3D"},
        "label": {"names": ["star", "galaxy"], "_type": "ClassLabel"},
        "objid": {"dtype": "string", "_type": "Value"},
    }
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    (tmp_path / "data").mkdir()
    cubes = {}
    for name, count in (("train", 3), ("test", 2)):
        cubes[name] = rng.normal(size=(count, 2, 4, 4)).astype(np.float32)
        columns = {
            "image": cubes[name].tolist(),
            "label": np.arange(count) % 2,
            "objid": [f"{name}{i}" for i in range(count)],
        }
        table = pa.table(columns).replace_schema_metadata(metadata)
        pq.write_table(table, tmp_path / "data" / f"{name}-00000-of-00001.parquet")
    return tmp_path, cubes


def test_a_folder_of_the_hub_gives_splits_nested_arrays_and_class_names(hub_folder, section, info):
    folder, cubes = hub_folder
    columns = {"image": "image", "label": "label", "id": "objid"}
    wanted = section(str(folder), shape=(2, 4, 4), columns=columns, info=info("g", "r"))
    sources = open_sources(wanted)
    assert set(sources) == {"train", "test"} and sources["test"].info.classes == ("star", "galaxy")
    np.testing.assert_array_equal(sources["test"][1]["image"], cubes["test"][1].transpose(1, 2, 0))
    assert sources["train"].column("label").tolist() == [0, 1, 0]
    assert sources["train"][2]["id"] == "train2"
    renamed = open_sources(wanted | {"classes": ("point", "extended")})
    assert renamed["train"].info.classes == ("point", "extended")


def test_a_folder_without_splits_is_named(tmp_path, section):
    with pytest.raises(UserError, match=r"has no train-\*.parquet"):
        open_sources(section(str(tmp_path)))
