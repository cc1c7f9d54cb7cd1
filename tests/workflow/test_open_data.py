# SPDX-License-Identifier: Apache-2.0
"""`open_data`: any files or arrays are data to train on, and what is wrong is one sentence."""

import h5py
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

import astrojax
from astrojax.data import section
from astrojax.errors import UserError


def _ids(data):
    return {split: set(np.asarray(source.column("id")).tolist()) for split, source in data.items()}


@pytest.mark.parametrize("kind", ["numpy", "jax", "masked", "list"])
@pytest.mark.parametrize("table", [dict, pd.DataFrame, Table])
def test_arrays_and_tables_in_memory_are_data(survey, pixels, kind, table):
    images, columns = survey
    given = {
        "numpy": images,
        "jax": jnp.asarray(images),
        "masked": np.ma.masked_array(images, np.zeros(images.shape, bool)),
        "list": images.tolist(),
    }[kind]
    data = astrojax.open_data(given, catalogue=table(columns), **pixels)
    assert {k: len(v) for k, v in data.items()}.keys() == {"train", "validation", "test"}
    assert sum(map(len, data.values())) == len(images)
    place = {name: i for i, name in enumerate(columns["id"])}
    example = data["test"][0]
    row = place[str(example["id"])]
    np.testing.assert_array_equal(example["image"], images[row])
    assert example["kind"] == columns["kind"][row]
    assert data.info.bands == ("g", "r") and data.info.noise is not None


def test_a_masked_pixel_is_a_bad_pixel(survey, pixels):
    images, columns = survey
    mask = np.zeros(images.shape, bool)
    mask[3, 2, 2, 0] = True
    masked = np.ma.masked_array(images, mask)
    with pytest.raises(UserError, match="1 NaN or Inf pixels"):
        astrojax.open_data(masked, catalogue=columns, **pixels)
    data = astrojax.open_data(masked, catalogue=columns, bad_pixels="mask", **pixels)
    found = [x["image"] for s in data.values() for x in s if str(x["id"]) == "g3"]
    assert found[0][2, 2, 0] == 0


@pytest.fixture
def files(survey, tmp_path):
    """Returns the survey in files of each kind, and the ids there."""
    images, columns = survey
    images = images[:40]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["id"] = images, [i.encode() for i in columns["id"][:40]]
        file.attrs["bands"], file.attrs["unit"] = ["g", "r"], "nanomaggies"
    np.savez(tmp_path / "a.npz", images=images, id=columns["id"][:40])
    for folder in ("cubes", "bands", "pictures"):
        (tmp_path / folder).mkdir()
    for name, image in zip(columns["id"][:40], images, strict=True):
        planes = image.transpose(2, 0, 1)
        header = fits.Header({"BUNIT": "nanomaggy"})
        fits.PrimaryHDU(planes, header).writeto(tmp_path / "cubes" / f"{name}.fits")
        for band, plane in zip("gr", planes, strict=True):
            fits.PrimaryHDU(plane, header).writeto(tmp_path / "bands" / f"{name}_{band}.fits")
        grey = np.uint8(np.clip(image[..., :1] * 60, 0, 255)).repeat(3, -1)
        Image.fromarray(grey + np.uint8([[[0, 1, 2]]])).save(tmp_path / "pictures" / f"{name}.png")
    pd.DataFrame({k: v[:40] for k, v in columns.items()}).to_csv(tmp_path / "a.csv", index=False)
    return tmp_path


def test_files_say_what_they_can_and_the_user_the_rest(files, survey):
    said = {"bands": ("g", "r"), "unit": "nanomaggies"}
    opened = [
        astrojax.open_data(files / "a.h5"),
        astrojax.open_data(files / "a.npz", **said),
        astrojax.open_data(files / "cubes", bands=("g", "r")),
        astrojax.open_data(f"{files}/bands/{{id}}_{{band}}.fits", bands=("g", "r")),
        astrojax.open_data(files / "pictures"),
    ]
    for data in opened:
        assert _ids(data) == _ids(opened[0])  # the split goes by the id, whatever holds it
    assert {data.info.unit for data in opened[:4]} == {"nanomaggies"}
    assert opened[4].info.bands == ("red", "green", "blue")
    assert opened[4].info.unit == "display"
    joined = astrojax.open_data(files / "cubes", bands=("g", "r"), catalogue=files / "a.csv")
    named = {"columns": {"redshift": "z"}, "catalogue": files / "a.csv", "bands": ("g", "r")}
    assert {"id", "redshift", "kind"} <= set(
        astrojax.open_data(files / "cubes", **named)["train"][0]
    )
    example = joined["train"][0]
    row = survey[1]["id"].tolist().index(example["id"])
    assert example["flat"] == pytest.approx(survey[1]["flat"][row])


def test_data_are_divided_as_asked(survey, pixels):
    images, columns = survey
    fold = np.arange(len(images)) % 5
    columns = columns | {
        "side": np.array(["train", "val", "test", "train"])[np.arange(len(images)) % 4],
        "fold": fold,
        "ra": np.linspace(10, 30, len(images)),
        "dec": np.zeros(len(images)),
    }

    def divided(split):
        return astrojax.open_data(images, catalogue=columns, split=split, **pixels)

    sizes = {k: len(v) / len(images) for k, v in divided(None).items()}
    assert sizes["train"] == pytest.approx(0.8, abs=0.1)
    assert _ids(divided("id")) == _ids(divided(None))
    sides = _ids(divided("column:side"))
    assert sides["validation"] == set(columns["id"][columns["side"] == "val"].tolist())
    folds = divided({"name": "column", "column": "fold", "validation": ("3",), "test": ("4",)})
    assert _ids(folds)["test"] == set(columns["id"][fold == 4].tolist())
    for source in divided("stratified:dusty").values():
        share = np.mean(source.column("dusty"))
        assert share == pytest.approx(columns["dusty"].mean(), abs=0.1)
    sky = divided("sky")
    assert sum(map(len, sky.values())) == len(images)
    assert list(divided("none")) == ["train"]


def test_splits_are_said_on_the_command_line(survey, tmp_path):
    images, columns = survey
    fold = np.arange(len(images)) % 5
    np.savez(tmp_path / "a.npz", images=images, fold=fold, **columns)

    def divided(*settings):
        said = section.parse(["bands=g,r", "unit=nJy", *settings])
        return _ids(astrojax.open_data(tmp_path / "a.npz", **said))

    folds = divided("split=column:fold", "split.validation=3", "split.test=4,2")
    for side, named in (("train", (0, 1)), ("validation", (3,)), ("test", (2, 4))):
        assert folds[side] == set(columns["id"][np.isin(fold, named)].tolist())
    alike = [divided("split=stratified:merging", f"split.seed={seed}") for seed in (0, 0, 1)]
    assert alike[0] == alike[1] != alike[2]
    assert list(divided("split=none")) == ["train"]
    with pytest.raises(UserError, match="add --set split.validation=A --set split.test=B"):
        divided("split=column:fold")


def test_folders_of_splits_stay_so(files):
    for split in ("train", "val", "test"):
        for kind in ("a", "b"):
            (files / "divided" / split / kind).mkdir(parents=True)
    names = sorted((files / "pictures").iterdir())
    for i, file in enumerate(names[:24]):
        split, kind = ("train", "train", "val", "test")[i % 4], "ab"[i // 4 % 2]
        (files / "divided" / split / kind / file.name).write_bytes(file.read_bytes())
    data = astrojax.open_data(files / "divided")
    assert {k: len(v) for k, v in data.items()} == {"train": 12, "validation": 6, "test": 6}
    assert data.info.classes == ("a", "b")


def test_mistakes_are_one_sentence_with_the_remedy(files, survey, pixels):
    images, columns = survey
    pd.DataFrame({"id": ["x1", "x2"], "kind": ["a", "b"]}).to_csv(files / "others.csv")
    small = fits.PrimaryHDU(images[0, :10, :10].transpose(2, 0, 1), fits.Header({"BUNIT": "Jy"}))
    (files / "sizes").mkdir()
    for i in range(12):
        cube = images[i].transpose(2, 0, 1)
        fits.PrimaryHDU(cube, small.header).writeto(files / "sizes" / f"s{i}.fits")
    small.writeto(files / "sizes" / "s12.fits")
    gr = {"bands": ("g", "r")}
    cases = [
        ("a.npz", {}, "bands and the unit of the images are not said: add --set bands"),
        ("a.npz", gr, "the unit of the images is not said: add --set unit="),
        ("cubes", {}, "the bands of the images are not said"),
        ("a.h5", {"bands": ("g", "r", "i")}, "names i: name some of the file's"),
        (
            "a.npz",
            {"bands": ("g", "r", "i"), "unit": "nJy"},
            "have no axis of 3 bands: name them all",
        ),
        ("cubes", gr | {"unit": "Jy"}, "nanomagg.*Jy"),
        ("cubes", gr | {"catalogue": str(files / "others.csv")}, "no object.*cutout|id"),
        ("sizes", gr, "not 20 x 20: set data.crop"),
        ("a.h5", {"layot": "nchw"}, "did you mean 'layout'"),
        ("nothing.h5", {}, "no file"),
    ]
    for where, settings, message in cases:
        with pytest.raises(UserError, match=message) as told:
            astrojax.open_data(files / where, **settings)
        assert "\n" not in str(told.value)
    with pytest.raises(UserError, match="96 values of id, but 4 stamps"):
        astrojax.open_data(images[:4], catalogue=columns, **pixels)
    with pytest.raises(UserError, match=r"have to be numbers \[n, h, w, bands\]"):
        astrojax.open_data(np.zeros(5), **pixels)
    with pytest.raises(UserError, match="takes no layout"):
        astrojax.open_data(images, layout="nchw", **pixels)
