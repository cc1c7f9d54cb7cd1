# SPDX-License-Identifier: Apache-2.0
"""`astrojax explore`: from a table of embeddings to a page."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from astrojax.cli import explore

N = 30


@pytest.fixture
def table(tmp_path):
    """A table as `astrojax embed` writes it, of images in an NPZ file; one has no embedding."""
    rng = np.random.default_rng(0)
    images = tmp_path / "images.npz"
    np.savez(images, images=rng.normal(size=(N, 8, 8, 3)).astype(np.float32), ids=np.arange(N))
    info = {
        "bands": list("grz"),
        "pixel_scale": None,
        "unit": "arbitrary",
        "zero_point": None,
        "noise": None,
        "extinction": None,
    }
    section = {
        "name": "npz",
        "path": str(images),
        "columns": {"image": "images", "id": "ids"},
        "layout": "nhwc",
        "class_names": None,
        "classes": None,
        "others": "error",
        "sentinels": {},
        "info": info,
        "crop": None,
        "resize": None,
        "bad_pixels": "error",
        "split": None,
    }
    embedding = rng.normal(size=(N, 4)).astype(np.float32)
    embedding[3] = np.nan
    flat = pa.FixedSizeListArray.from_arrays(pa.array(embedding.ravel()), 4)
    made = pa.table(
        {
            "id": np.arange(N),
            "embedding": flat,
            "predicted_redshift": rng.uniform(0, 2, N).astype(np.float32),
            "predicted_class": ["spiral", "elliptical"] * (N // 2),
            "flag_edge": np.arange(N) % 2 == 0,
        }
    )
    told = {"data_section": json.dumps(section), "data_split": "train", "data": "images.npz"}
    path = tmp_path / "galaxies.parquet"
    pq.write_table(made.replace_schema_metadata({"astrojax": json.dumps(told)}), path)
    return path


def content(page):
    text = page.read_text().split('id="data">')[1].split("</script>")[0]
    return json.loads(text)


def test_every_object_with_an_embedding_is_on_the_page(table, tmp_path):
    out = tmp_path / "page.html"
    explore.main(["--table", str(table), "--method", "pca", "--out", str(out)])
    data = content(out)
    assert data["ids"] == [str(i) for i in range(N) if i != 3]
    kinds = {c["name"]: c.get("names") for c in data["columns"]}
    assert kinds["predicted_class"] == ["elliptical", "spiral"]
    assert kinds["predicted_redshift"] is None and "flag_edge" in kinds
    assert len(data["sheets"]) == 1 and data["side"] == 8


def test_a_limited_page_needs_no_images(table, tmp_path):
    (tmp_path / "images.npz").unlink()
    out = tmp_path / "page.html"
    flags = ["--table", str(table), "--method", "pca", "--out", str(out), "--limit", "10"]
    with pytest.raises(SystemExit) as stopped:
        explore.main(flags)
    assert stopped.value.code == 2 and not out.exists()
    explore.main([*flags, "--no-sheet"])
    assert len(content(out)["ids"]) == 10 and not content(out)["sheets"]


def test_a_page_is_not_replaced_unasked(table, tmp_path, capsys):
    out = tmp_path / "page.html"
    out.write_text("mine")
    with pytest.raises(SystemExit):
        explore.main(["--table", str(table), "--out", str(out)])
    assert "exists already" in capsys.readouterr().err and out.read_text() == "mine"
