# SPDX-License-Identifier: Apache-2.0
"""A table of embeddings in three groups, as `astrojax embed` writes it, and its images."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

N, KINDS = 90, ("round", "edge-on", "<b>ring</b>")


@pytest.fixture
def groups(tmp_path):
    """(path of the table, class of each object); object g003 has no embedding."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(3), (40, 30, 20))
    y, x = np.mgrid[:12, :12] - 5.5
    shapes = [np.hypot(x, y) < 4, (abs(x) < 6) & (abs(y) < 2), abs(np.hypot(x, y) - 4) < 1]
    pixels = 9.0 * np.stack(shapes)[label][..., None] + rng.normal(size=(N, 12, 12, 3))
    ids = np.array([f"g{i:03d}" for i in range(N)])
    images = tmp_path / "images.npz"
    np.savez(images, images=pixels.astype(np.float32), ids=ids)
    info = {"bands": list("grz"), "unit": "arbitrary", "pixel_scale": None, "zero_point": None}
    section = {
        "name": "npz",
        "path": str(images),
        "columns": {"image": "images", "id": "ids"},
        "layout": "nhwc",
        "info": info | {"noise": None, "extinction": None},
    }
    embedding = np.eye(3, 8)[label] * 6 + rng.normal(size=(N, 8))
    embedding[3] = np.nan
    flat = pa.FixedSizeListArray.from_arrays(pa.array(embedding.astype(np.float32).ravel()), 8)
    kind = np.array(KINDS)[label].astype(object)
    kind[::7] = ""
    made = pa.table({"id": ids, "embedding": flat, "label": label, "kind": kind})
    told = {"data_section": json.dumps(section), "data_split": "train", "data": "images.npz"}
    path = tmp_path / "galaxies.parquet"
    pq.write_table(made.replace_schema_metadata({"astrojax": json.dumps(told)}), path)
    return path, label
