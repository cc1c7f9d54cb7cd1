# SPDX-License-Identifier: Apache-2.0
import json
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

import astrojax
from astrojax.cli import COMMANDS, anomalies, embed, main, predict, similar
from astrojax.cli import export as exporting
from astrojax.inference import stream
from astrojax.inference.table import Table as Embedded

SAID = ("--set", "bands=g,r", "--set", "unit=nanomaggies", "--set", "pixel_scale=0.2")


@pytest.fixture(scope="module")
def table(run, stamps, tmp_path_factory):
    """Predictions of the unlabelled stamps, with embeddings, as Parquet."""
    out = tmp_path_factory.mktemp("table") / "t.parquet"
    predict.main(
        [
            "--workdir",
            str(run),
            "--data",
            stamps,
            *SAID,
            "--out",
            str(out),
            "--chunk",
            "16",
            "--batch-size",
            "16",
            "--with-embedding",
            "--set",
            "columns.redshift=zspec",
        ]
    )
    return out


def test_predictions_of_unlabelled_stamps(table, images):
    found = Table.read(table)
    assert len(found) == 60 and found["id"][1] == "s001"
    right = np.array(found["predicted_label"])[8:] == images[1][8:]
    assert right.mean() > 0.9
    names = np.array(["round", "long"])
    assert (found["predicted_class"][8:] == names[found["predicted_label"][8:]]).all()
    both = found["predicted_class_probability_round"] + found["predicted_class_probability_long"]
    np.testing.assert_allclose(both[8:], 1, atol=1e-6)  # float32
    np.testing.assert_allclose(found["redshift"], np.linspace(0, 1, 60), atol=1e-6)


def test_objects_with_bad_images_are_kept_and_flagged(table):
    found = Table.read(table)
    assert np.flatnonzero(found["flag_bad_pixels"]).tolist() == [3]
    assert np.flatnonzero(found["flag_edge"]).tolist() == [5]
    assert found["flag_out_of_distribution"][7] and found["flag_out_of_distribution"].mean() < 0.2
    assert found["ood_score"][7] == np.nanmax(found["ood_score"])
    assert not found["flag_unreadable"].any()
    empty = np.isnan(found["embedding"]).all(axis=1)
    assert np.flatnonzero(empty).tolist() == [3]
    assert found["predicted_label"][3] == -1 and found["predicted_class"][3] == ""
    assert np.isnan(found["predicted_class_probability_long"][3])


def test_the_table_says_what_made_it_and_the_package_reads_it(table, run):
    meta = Table.read(table).meta
    card = json.loads((run / "bundle" / "card.json").read_text())
    assert meta["config_hash"] == card["config_hash"] and meta["astrojax"] == astrojax.__version__
    assert meta["command"].startswith("astrojax predict --workdir")
    assert meta["objects"] == 60 and "stamps.h5" in meta["data"]
    read = Embedded.load(table)
    assert read.embedding.shape == (60, 16) and set(read.predictions) >= {"label", "class"}
    assert {"redshift", "flag_edge"} <= set(read.columns)


def test_a_folder_of_fits_and_a_catalogue_as_a_fits_table(run, cutouts, tmp_path):
    catalogue = ["--set", f"catalogue={tmp_path / 'cat.fits'}", "--set", "bands=g,r"]
    folder = ["--workdir", str(run), "--data", str(cutouts), *catalogue]
    embed.main([*folder, "--set", "columns.magnitude=MAG_R", "--out", str(tmp_path / "t.fits")])
    found = Table.read(tmp_path / "t.fits")
    assert str(found["ra"].unit) == "deg" and str(found["magnitude"].unit) == "mag"
    assert found["id"][2] == "c10" or "c2" in found["id"]
    np.testing.assert_allclose(found["ra"], 150 + np.arange(12) / 60)
    assert found["embedding"].shape == (12, 16) and found["flag_edge"].dtype == bool
    with fits.open(tmp_path / "t.fits") as opened:
        assert opened[1].header["NOBJECT"] == 12 and "cutouts" in opened[1].header["DATADESC"]
        opened.verify("exception")
    embed.main([*folder, "--out", str(tmp_path / "t.ecsv"), "--chunk", "5", "--batch-size", "5"])
    text = Table.read(tmp_path / "t.ecsv")
    np.testing.assert_allclose(text["embedding"], found["embedding"], atol=1e-5)
    assert str(text["dec"].unit) == "deg" and text.meta["objects"] == 12


def test_the_same_command_goes_on_after_a_kill(run, stamps, tmp_path, monkeypatch, fails):
    out = tmp_path / "t.parquet"
    command = [
        "--workdir",
        str(run),
        "--data",
        stamps,
        *SAID,
        "--chunk",
        "16",
        "--batch-size",
        "16",
        "--out",
        str(out),
    ]
    made, original = [], stream._fields

    def killed(*arguments):
        made.append(arguments[3]["id"][0])
        if len(made) == 3:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(stream, "_fields", killed)
    with pytest.raises(SystemExit, match="130"):
        embed.main(command)
    assert not out.exists()
    other = fails(embed, *command, "--bad-pixels", "zero")
    assert "unfinished table with another contents" in other
    embed.main(command)
    assert [str(i) for i in made] == ["s000", "s016", "s032", "s032", "s048"]
    whole = Table.read(out)
    assert whole["id"].tolist() == [f"s{i:03d}" for i in range(60)]
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]
    assert "exists already" in fails(embed, *command)
    embed.main([*command, "--overwrite", "--bad-pixels", "zero"])
    again = Table.read(out)
    assert np.isfinite(again["embedding"]).all() and again["flag_bad_pixels"][3]


def test_similar_objects_and_a_sheet(table, stamps, tmp_path, fails, images):
    out = tmp_path / "s.csv"
    asked = ["--table", str(table), "--id", "s010", "s011", "-n", "8", "--out", str(out)]
    similar.main([*asked, "--data", stamps])
    found = Table.read(out)
    assert len(found) == 18 and found["id"][0] == "s010" and found["rank"][9] == 0
    assert (np.diff(found["cosine"][1:9]) <= 0).all() and "s003" not in found["id"]
    same = [images[1][int(name[1:])] == images[1][10] for name in found["id"][1:9]]
    assert np.mean(same) > 0.6
    assert (tmp_path / "s.png").stat().st_size > 10_000
    assert "exists already" in fails(similar, "--table", table, "--id", "s010", "--out", out)
    line = fails(similar, "--table", table, "--id", "s10", "--out", tmp_path / "n.csv")
    assert "no object with id 's10' (near: s010" in line
    asked = ["--id", "s003", "--out", tmp_path / "n.csv", "--no-sheet"]
    line = fails(similar, "--table", table, *asked)
    assert "has no embedding" in line


def test_anomalies_are_ranked(table, stamps, tmp_path):
    for by in ("knn_distance", "mahalanobis"):
        out = tmp_path / f"{by}.csv"
        asked = ["--table", str(table), "--by", by, "-k", "5", "--out", str(out)]
        anomalies.main([*asked, "--data", stamps])
        found = Table.read(out)
        assert found["id"][0] == "s007" and len(found) == 59  # one has no embedding
    assert (tmp_path / "mahalanobis.png").exists()


def test_images_elsewhere_are_said(table, stamps, run, tmp_path, fails):
    asked = ["--table", str(table), "--id", "s010", "--out", str(tmp_path / "n.csv")]
    line = fails(similar, *asked)
    assert f"give --data '{stamps}', else --no-sheet" in line
    assert "no file" in fails(similar, *asked, "--data", tmp_path / "none.h5")
    similar.main([*asked, "--data", stamps])
    assert (tmp_path / "n.png").exists()
    out = tmp_path / "own.parquet"  # of a run's own data, which the run's folder says again
    embed.main(["--workdir", str(run), "--out", str(out)])
    first = str(Table.read(out)["id"][0])
    asked = ["--table", str(out), "--id", first, "--out", str(tmp_path / "o.csv")]
    assert "give --data" in fails(similar, *asked)
    similar.main([*asked, "--data", str(run)])
    assert (tmp_path / "o.png").exists()


def test_export_as_bundle_and_for_torchvision(run, tmp_path, fails):
    from safetensors.numpy import load_file

    exporting.main(["--workdir", str(run), "--out", str(tmp_path / "bundle")])
    assert astrojax.load(tmp_path / "bundle").info.bands == ("g", "r")
    file = tmp_path / "backbone.safetensors"
    exporting.main(["--workdir", str(run), "--format", "torchvision", "--out", str(file)])
    assert load_file(file)["features.0.weight"].shape[1] == 2
    line = fails(exporting, "--workdir", run, "--format", "timm", "--out", tmp_path / "x")
    assert "has to end in .safetensors" in line
    other = tmp_path / "x.safetensors"
    line = fails(exporting, "--workdir", run, "--format", "timm", "--out", other)
    assert "the backbone is a VGG" in line and "--format torchvision" in line


def test_a_name_means_one_thing():
    assert callable(astrojax.export) and callable(astrojax.load)
    assert {"export", "load"} <= set(dir(astrojax))


def test_the_command_line_lists_its_commands(capsys):
    main([])
    listed = capsys.readouterr().out
    assert all(f"\n  {name} " in listed for name in COMMANDS)
    with pytest.raises(SystemExit, match="2"):
        main(["pedict"])
    assert "did you mean 'predict'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_imports_nothing_heavy(name):
    code = "import sys\nfrom astrojax.cli import main\ntry:\n    main([sys.argv[1], '--help'])\n"
    code += "except SystemExit:\n    pass\nassert 'jax' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert f"astrojax {name}" in done.stdout and "warning" not in done.stderr.lower()
