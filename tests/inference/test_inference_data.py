# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
import shutil

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from astrojax.cli import embed
from astrojax.data.images import central_crop
from astrojax.data.readers import tfds
from astrojax.data.source import ArraySource
from astrojax.errors import UserError
from astrojax.inference import flags, inputs, model

SAID = ("bands=g,r", "unit=nanomaggies", "pixel_scale=0.2")


@pytest.fixture
def opens(model):
    """`opens(data, *settings)` opens data for the model and compares them with its card."""

    def run(data, *settings, as_trained=False, split=None, workdir=None, card=model):
        opened = inputs.open_data(
            None if data is None else str(data),
            settings,
            split=split,
            as_trained=as_trained,
            workdir=workdir,
            model=card,
        )
        inputs.compare(card, opened)
        return opened

    return run


def test_the_run_s_own_test_split(opens, run):
    opened = opens(None, workdir=str(run))
    assert opened.split == "test" and set(opened.names) == {"id", "label"}
    assert len(opens(None, workdir=str(run), split="train").source) > len(opened.source)
    with pytest.raises(UserError, match="--split has no 'tests': did you mean 'test'"):
        opens(None, workdir=str(run), split="tests")
    with pytest.raises(UserError, match="say which images: --data"):
        opens(None)


def test_kinds_of_data_are_recognised(opens, tmp_path, images, stamps, cutouts):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pixels = images[0][:12]
    np.savez(tmp_path / "a.npz", image=pixels)
    rows = [p.transpose(2, 0, 1).ravel() for p in pixels]
    pq.write_table(pa.table({"image": rows, "object_id": np.arange(12)}), tmp_path / "a.parquet")
    folder = tmp_path / "arrays"
    folder.mkdir()
    for i, image in enumerate(pixels):
        np.save(folder / f"c{i}.npy", image)
    made = {
        "npz": opens(tmp_path / "a.npz", *SAID),
        "parquet": opens(tmp_path / "a.parquet", *SAID, "shape=2,20,20", "layout=nchw"),
        "folder": opens(folder, *SAID),
        "fits": opens(cutouts, "bands=g,r"),  # unit and scale from the headers
        "hdf5": opens("hdf5", f"path={stamps}", *SAID),
    }
    for name, opened in made.items():
        assert opened.section["name"] == name
        place = list(map(str, opened.source.column("id"))).index(
            {"fits": "c1", "folder": "c1", "hdf5": "s001"}.get(name, "1")
        )
        np.testing.assert_array_equal(opened.source[place]["image"], pixels[1])
    with pytest.raises(UserError, match="what shape has an image"):
        opens(tmp_path / "a.parquet", *SAID)
    tfds.convert({"train": made["npz"].source}, tmp_path / "sets", "own")
    for path in (tmp_path / "sets", tmp_path / "sets" / "own"):
        converted = opens(path)
        assert converted.section["name"] == "tfds" and len(converted.source) == 12
    again = inputs.reopen(json.loads(json.dumps(made["fits"].section)), "train", "again")
    assert len(again.source) == 12


def test_a_folder_as_the_hub_has_it(opens, tmp_path, images):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "data").mkdir()
    rows = [p.transpose(2, 0, 1).ravel() for p in images[0][:12]]
    for split, part in {"train": slice(8), "test": slice(8, 12)}.items():
        table = pa.table({"image": rows[part], "object_id": np.arange(12)[part]})
        pq.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    opened = opens(tmp_path, *SAID, "shape=2,20,20", "layout=nchw", split="test")
    assert opened.source.column("id").tolist() == [8, 9, 10, 11]
    np.testing.assert_array_equal(opened.source[0]["image"], images[0][8])


def test_bands_in_extensions_and_files(opens, tmp_path, images, caplog):
    for name in ("named", "numbered", "files"):
        (tmp_path / name).mkdir()
    for i, image in enumerate(images[0][:3]):
        planes = image.transpose(2, 0, 1)
        g, r = (fits.ImageHDU(p, name=b) for p, b in zip(planes, "gr", strict=True))
        fits.HDUList([fits.PrimaryHDU(), r, g]).writeto(tmp_path / "named" / f"c{i}.fits")
        hdus = [fits.PrimaryHDU(), *map(fits.ImageHDU, planes)]
        fits.HDUList(hdus).writeto(tmp_path / "numbered" / f"c{i}.fits")
        for band, plane in zip("gr", planes, strict=True):
            fits.PrimaryHDU(plane).writeto(tmp_path / "files" / f"c{i}_{band}.fits")
    for path in ("named", "numbered", "files/{id}_{band}.fits"):
        opened = opens(tmp_path / path, *SAID)
        np.testing.assert_array_equal(opened.source[2]["image"], images[0][2])
    (tmp_path / "files" / "c1_r.fits").unlink()
    opened = opens(tmp_path / "files" / "{id}_{band}.fits", *SAID)  # the others are embedded
    assert "1 objects have no file of band r, e.g. 'c1'" in caplog.text
    seen = flags.Inspected(opened.source, crop=16, names=(), spread=(1.0, 1.0))
    assert [seen[i][flags.UNREADABLE] for i in range(3)] == [False, True, False]
    with pytest.raises(UserError, match="which HDUs are the bands g, r.*--set hdus"):
        opens(tmp_path / "files", *SAID)


def test_catalogues_and_cutouts_that_do_not_match(opens, cutouts, tmp_path):
    table = Table.read(tmp_path / "cat.fits")
    table["ID"][0], table["RA"] = "x", table["RA"] / 15
    table["RA"].unit = None
    table.write(tmp_path / "hours.fits")
    joined = ("bands=g,r", f"catalogue={tmp_path / 'hours.fits'}")
    with pytest.raises(UserError, match="looks like hours; set data.position_unit"):
        opens(cutouts, *joined)
    with pytest.raises(UserError, match="1 objects have no cutout, 1 cutouts have no object"):
        opens(cutouts, *joined, "position_unit=hourangle")
    opened = opens(cutouts, *joined, "position_unit=hourangle", "unmatched=drop")
    assert len(opened.source) == 11
    np.testing.assert_allclose(opened.source.column("ra"), 150 + np.arange(1, 12) / 60)
    on_sky = opens(cutouts, *joined, "position_unit=hourangle", "match=sky")
    assert "x" in on_sky.source.column("id")


def test_what_is_not_said_is_asked_for(opens, stamps, tmp_path, cutouts, images):
    cases = {
        (): "bands and the unit of the images are not said.*--as-trained.*g,r, nanomaggies, 0.2",
        ("bands=g,r",): "unit of the images is not said: add --set unit=",
        SAID[:2]: "how large a pixel is: add --set pixel_scale",
        ("bands=g,r", "unit=counts"): "zero_point' is needed: what magnitude is one counts",
        (*SAID, "columns.image=imgs"): "did you mean 'images'",
        (*SAID, "layot=nchw"): "did you mean 'layout'",
        ("bands",): "--set bands is not key=value",
    }
    for settings, message in cases.items():
        with pytest.raises(UserError, match=message):
            opens(stamps, *settings)
    for file in cutouts.iterdir():
        fits.delval(file, "BUNIT")
    with pytest.raises(UserError, match="FITS headers give no BUNIT"):
        opens(cutouts, "bands=g,r")
    assert opens(cutouts, as_trained=True).source.info.unit == "nanomaggies"
    assert opens(stamps, as_trained=True).source.info.pixel_scale == 0.2
    with pytest.raises(UserError, match="zero_point' is needed: what magnitude is one counts"):
        opens(stamps, "unit=counts", as_trained=True)
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["images"] = images[0][:, :2].transpose(0, 3, 2, 1)  # [n 2 20 2]
    with pytest.raises(UserError, match="which axis are the 2 bands"):
        opens(tmp_path / "odd.h5", *SAID)
    with pytest.raises(UserError, match="nothing tells what kind of data"):
        (tmp_path / "a.dat").write_text("")
        opens(tmp_path / "a.dat")


def test_images_that_the_card_does_not_fit(opens, stamps, tmp_path, images):
    with pytest.raises(UserError, match="unit nanomaggies against microjansky"):
        opens(stamps, "bands=g,r", "unit=microjansky", "pixel_scale=0.2")
    with pytest.raises(UserError, match=r"bands \('g', 'r'\) against \('r', 'g'\)"):
        opens(stamps, "bands=r,g", *SAID[1:])
    with pytest.raises(UserError, match="pixel_scale 0.2 against 0.3"):
        opens(stamps, *SAID[:2], "pixel_scale=0.3")
    np.savez(tmp_path / "small.npz", images=images[0][:, :12, :12])
    with pytest.raises(UserError, match="12 x 12 pixels; this model needs at least 16 x 16"):
        opens(tmp_path / "small.npz", *SAID)


def test_pixels_in_another_unit_are_warned_of(opens, tmp_path, images, caplog):
    np.savez(tmp_path / "a.npz", images=images[0] * 1000)
    opens(tmp_path / "a.npz", *SAID)
    assert "is the unit nanomaggies" in caplog.text


def test_a_model_of_dereddened_images_needs_the_reddening(opens, model, tmp_path, images):
    info = dataclasses.replace(model.info, extinction=(3.0, 2.0))
    card = {**model.card, "dereddened": True, "data": info.to_json()}
    dusty = type(model)(model.method, card, model.reference, model.hash)
    np.savez(tmp_path / "a.npz", images=images[0])
    with pytest.raises(UserError, match="name the column of E.B-V. with --set columns.ebv"):
        opens(tmp_path / "a.npz", *SAID, card=dusty)
    corrected = opens(tmp_path / "a.npz", *SAID, "deredden=false", card=dusty)
    np.testing.assert_array_equal(corrected.source[0]["image"], images[0][0])
    np.savez(tmp_path / "b.npz", images=images[0], ebv=np.full(len(images[0]), 0.1))
    found = opens(tmp_path / "b.npz", *SAID, card=dusty).source[0]["image"]
    expected = images[0][0] * 10 ** (0.4 * np.array([3.0, 2.0]) * 0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # float32


def test_damaged_and_odd_files_are_flagged(cutouts, opens, caplog):
    damaged, odd = cutouts / "c2.fits", cutouts / "c5.fits"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    fits.PrimaryHDU(np.zeros((2, 18, 18), np.float32)).writeto(odd, overwrite=True)
    opened = opens(cutouts, as_trained=True)
    seen = flags.Inspected(opened.source, crop=16, names=(), spread=(1.0, 1.0))
    found = {str(i): seen[k][flags.UNREADABLE] for k, i in enumerate(opened.source.column("id"))}
    assert [name for name, bad in found.items() if bad] == ["c2", "c5"]
    assert "18 x 18 px, not 20 x 20" in caplog.text and "c2.fits cannot be read" in caplog.text
    source = ArraySource({"image": np.empty(3, object)}, opened.source.info)
    source.columns["image"][:] = [np.ones((20, 20, 2), np.float32)] * 3
    source.columns["image"][1] = np.ones((18, 18, 2), np.float32)
    inspected = flags.Inspected(source, crop=16, names=(), spread=(1.0, 1.0))
    assert [inspected[i][flags.UNREADABLE] for i in range(3)] == [False, True, False]
    source.columns["image"][2] = np.full((20, 20, 2), 1e30, np.float32)
    assert [inspected[i][flags.ABSURD] for i in range(3)] == [False, False, True]


def test_what_is_not_finite_is_never_inside(run):
    opened = model.open_model(str(run), None)
    threshold = opened.card["outside"]["threshold"]
    distance = np.array([np.nan, np.inf, threshold, threshold / 2])
    assert opened.outside(distance).tolist() == [True, True, False, False]
    results = {"": np.array([[1.0, np.nan], [0, 0], [0, 0]]), "z": np.array([0, np.inf, 0])}
    assert flags.not_finite({**results, "label": np.arange(3)}).tolist() == [True, True, False]


def test_where_an_image_ends():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(9, 9, 2)).astype(np.float32)
    assert not flags.ends_inside(image, picture=False)
    image[:, 8, 1] = 3
    assert flags.ends_inside(image, picture=False)
    assert not flags.ends_inside(central_crop(image, 5), picture=False)
    dark = rng.integers(0, 99, (9, 9, 3)).astype(np.uint8)
    dark[0, :, 2] = 0  # one dark line of blue is a dark sky
    assert not flags.ends_inside(dark, picture=True)
    dark[0] = 0
    assert flags.ends_inside(dark, picture=True)


def test_a_run_s_bundle_follows_its_checkpoint(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "run")
    card = json.loads((other / "bundle" / "card.json").read_text())
    (other / "bundle" / "card.json").write_text(json.dumps(card | {"checkpoint": "best/1"}))
    made = model.open_model(str(other), None)
    assert made.card["checkpoint"] == card["checkpoint"]
    with pytest.raises(UserError, match="--workdir RUN or --model BUNDLE"):
        model.open_model(None, None)
    with pytest.raises(UserError, match="holds no run"):
        model.open_model(str(tmp_path), None)


def test_a_bundle_without_a_reference_goes_without_its_flag(run, stamps, tmp_path):
    old = shutil.copytree(run / "bundle", tmp_path / "old")
    (old / "reference.safetensors").unlink()
    embed.main(
        [
            "--model",
            str(old),
            "--data",
            stamps,
            "--as-trained",
            "--out",
            str(tmp_path / "t.parquet"),
        ]
    )
    names = Table.read(tmp_path / "t.parquet").colnames
    assert "flag_edge" in names and "flag_out_of_distribution" not in names
