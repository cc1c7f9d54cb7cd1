# SPDX-License-Identifier: Apache-2.0
"""`astrojax cluster`: classes of a table that nobody labelled."""

import json

import numpy as np
from astropy.table import Table

from astrojax.cli import cluster


def test_kmeans_finds_the_groups_and_shows_each(groups, tmp_path, capsys):
    table, label = groups
    out = tmp_path / "clusters.parquet"
    flags = ["--table", str(table), "--out", str(out), "--num-clusters", "3", "-n", "6"]
    cluster.main(flags)
    found = Table.read(out)
    assert found["id"][1] == "g001" and found["cluster"][3] == -1
    assert np.isnan(found["cluster_distance"][3])
    known = np.arange(len(label)) != 3
    # Clusters are numbered by size, as the groups are: 40, 30 and 20 objects.
    assert (found["cluster"][known] == label[known]).mean() > 0.95
    folder = tmp_path / "clusters_sheets"
    assert sorted(p.name for p in folder.glob("*.png")) == [f"cluster_{i}.png" for i in range(3)]
    sizes = Table.read(folder / "sizes.csv")
    assert sizes["objects"].sum() == 89 and (np.diff(sizes["objects"]) <= 0).all()
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["ari"] > 0.9 and scores["scored"] == 89 and "ari_error" in scores
    assert "against label" in capsys.readouterr().out
    assert found.meta["data"] == "images.npz" and found.meta["command"].startswith("astrojax clu")


def test_hdbscan_leaves_noise_out_and_takes_names_as_classes(groups, tmp_path, fails):
    table, label = groups
    out = tmp_path / "c.fits"
    flags = ["--table", table, "--out", out, "--method", "hdbscan", "--no-sheet"]
    cluster.main(list(map(str, [*flags, "--min-cluster-size", 8, "--label", "kind"])))
    found = Table.read(out)
    assert set(np.unique(found["cluster"])) == {-1, 0, 1, 2}
    inside = found["cluster"] >= 0
    assert (found["cluster_probability"][inside] > 0).all()
    scores = json.loads((tmp_path / "c_sheets" / "scores.json").read_text())
    assert scores["scored"] < inside.sum() and scores["ari"] > 0.9
    again = [*flags, "--overwrite"]
    assert "no column 'colour'" in fails(cluster, *again, "--label", "colour")
    assert "lower --min-cluster-size" in fails(cluster, *again, "--min-cluster-size", 60)
    assert "too few for --min-cluster-size 99" in fails(cluster, *again, "--min-cluster-size", 99)


def test_what_exists_stays_and_numbers_are_no_classes(groups, tmp_path, fails):
    table, _ = groups
    (tmp_path / "c_sheets").mkdir()
    line = fails(cluster, "--table", table, "--out", tmp_path / "c.ecsv")
    assert "c_sheets exists already" in line
    line = fails(cluster, "--table", table, "--out", tmp_path / "d.parquet", "--num-clusters", 90)
    assert "89 objects with an embedding: too few for --num-clusters 90" in line


def test_objects_outside_the_sample_get_a_cluster(groups, tmp_path):
    table, label = groups
    for method, extra in (("kmeans", ["--num-clusters", "3"]), ("hdbscan", [])):
        out = tmp_path / f"{method}.parquet"
        flags = ["--table", str(table), "--out", str(out), "--method", method, "--no-sheet"]
        flags += ["--limit", "60", "--min-cluster-size", "6", "--components", "3", *extra]
        cluster.main(flags)
        found = np.asarray(Table.read(out)["cluster"])
        agrees = found[found >= 0] == label[found >= 0]
        assert agrees.mean() > 0.9 and len(agrees) > 60
