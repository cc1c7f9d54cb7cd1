# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from astropy.io import fits

from astrojax.data.open import open_sources
from astrojax.errors import UserError


def header(scale=0.2, ra=150.0, unit=None):
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": ra,
        "CRVAL2": 2.0,
        "CRPIX1": 4.5,
        "CRPIX2": 4.5,
        "CD1_1": -scale / 3600,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": scale / 3600,
    }
    return fits.Header({**cards, **({"BUNIT": unit} if unit else {})})


@pytest.fixture
def stamps(rng):
    return {f"obj{i}": rng.normal(0, 1, (3, 8, 8)).astype(np.float32) for i in range(3)}


@pytest.fixture
def section(info):
    def make(path, **changes):
        return {
            "name": "fits",
            "path": str(path),
            "hdus": 0,
            "unreadable": "error",
            "zero_points": None,
            "info": info("g", "r", "i", pixel_scale=None),
            "crop": None,
            "bad_pixels": "error",
            "split": None,
            **changes,
        }

    return make


def _write(folder, stamps, layout, header=header, **kwargs):
    folder.mkdir(exist_ok=True)
    for name, stamp in stamps.items():
        if layout == "cube":
            fits.PrimaryHDU(stamp, header(**kwargs)).writeto(folder / f"{name}.fits")
        elif layout == "extensions":
            planes = [fits.ImageHDU(p, header(**kwargs), name=b) for b, p in zip("GRI", stamp)]  # noqa: B905
            fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(folder / f"{name}.fits")
        else:
            for band, plane in zip("gri", stamp, strict=True):
                fits.PrimaryHDU(plane, header(**kwargs)).writeto(folder / f"{name}_{band}.fits.gz")
    return folder


@pytest.mark.parametrize(
    ("layout", "pattern", "hdus"),
    [
        ("cube", "{id}.fits", 0),
        ("extensions", "{id}.fits", ("G", "R", "I")),
        ("extensions", "{id}.fits", (1, 2, 3)),
        ("files", "{id}_{band}.fits.gz", 0),
    ],
)
def test_three_layouts_give_the_same_stamps(tmp_path, stamps, section, layout, pattern, hdus):
    folder = _write(tmp_path / "cut", stamps, layout)
    source = open_sources(section(folder / pattern, hdus=hdus))["train"]
    assert list(source.column("id")) == list(stamps)
    for i, stamp in enumerate(stamps.values()):
        image = source[i]["image"]
        assert image.dtype == np.dtype("float32") and image.dtype.isnative
        np.testing.assert_array_equal(image, stamp.transpose(1, 2, 0))
    assert abs(source.info.pixel_scale - 0.2) < 1e-6  # from the WCS


def test_unit_from_the_header_and_zero_points_per_band(tmp_path, stamps, section, info):
    folder = _write(tmp_path / "cut", stamps, "cube", unit="nanomaggy")
    said = section(folder / "{id}.fits", info=info("g", "r", "i", unit="header", pixel_scale=0.2))
    assert open_sources(said)["train"].info.unit == "nanomaggies"
    assert open_sources(said)["train"].info.zero_point == 22.5
    with pytest.raises(UserError, match="unit is 'nanomaggy', and data.info.unit is 'microjansky'"):
        open_sources(section(folder / "{id}.fits"))
    with pytest.raises(
        UserError, match="zero point 22.5, and data.zero_points says 23.9 of band g"
    ):
        open_sources(section(folder / "{id}.fits", zero_points=(23.9, 22.5, 30.0)))
    folder = _write(tmp_path / "counts", stamps, "cube", unit="adu")
    scaled = open_sources(section(folder / "{id}.fits", zero_points=(23.9, 22.5, 30.0)))["train"]
    expected = stamps["obj1"].transpose(1, 2, 0) * 10 ** (0.4 * (23.9 - np.array([23.9, 22.5, 30])))
    np.testing.assert_allclose(scaled[1]["image"], expected, rtol=1e-6)  # float32


def test_missing_unit_is_asked_for(tmp_path, stamps, section, info):
    folder = _write(tmp_path / "cut", stamps, "cube")
    with pytest.raises(UserError, match="no BUNIT: set data.info.unit to one of microjansky"):
        open_sources(section(folder / "{id}.fits", info=info("g", "r", "i", unit="header")))


def test_a_unit_that_some_bands_lack_is_asked_for(tmp_path, stamps, section, info):
    folder = _write(tmp_path / "cut", stamps, "files", unit="nanomaggy")
    fits.setval(folder / "obj1_r.fits.gz", "BUNIT", value="")
    said = section(folder / "{id}_{band}.fits.gz", info=info("g", "r", "i", unit="header"))
    with pytest.raises(UserError, match="give nanomaggy and no BUNIT: set data.info.unit"):
        open_sources(said)


def test_bands_on_different_grids(tmp_path, stamps, section):
    folder = _write(tmp_path / "cut", stamps, "files")
    shifted = header(ra=150.0 + 0.5 / 3600)
    file = folder / "obj1_r.fits.gz"
    fits.PrimaryHDU(stamps["obj1"][1], shifted).writeto(file, overwrite=True)
    with pytest.raises(UserError, match="obj1_g.*bands g and r have different WCS"):
        open_sources(section(folder / "{id}_{band}.fits.gz"))
    fits.PrimaryHDU(stamps["obj1"][1, :6, :6], header()).writeto(file, overwrite=True)
    with pytest.raises(UserError, match=r"band r has \(6, 6\) pixels, band g has \(8, 8\)"):
        open_sources(section(folder / "{id}_{band}.fits.gz"))
    file.unlink()
    with pytest.raises(UserError, match="1 objects have no file of band r, e.g. 'obj1'"):
        open_sources(section(folder / "{id}_{band}.fits.gz"))


def test_the_same_wcs_in_other_cards_is_the_same(tmp_path, stamps, section):
    folder = _write(tmp_path / "cut", stamps, "files")
    other = header()
    for card in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        del other[card]
    other["CDELT1"], other["CDELT2"] = -0.2 / 3600, 0.2 / 3600
    file = folder / "obj0_i.fits.gz"
    fits.PrimaryHDU(stamps["obj0"][2], other).writeto(file, overwrite=True)
    assert len(open_sources(section(folder / "{id}_{band}.fits.gz"))["train"]) == 3


def test_a_truncated_file_is_named_or_skipped(tmp_path, stamps, section, caplog):
    folder = _write(tmp_path / "cut", stamps, "cube")
    file = folder / "obj2.fits"
    file.write_bytes(file.read_bytes()[:3100])
    with pytest.raises(UserError, match="obj2.fits cannot be read"):
        open_sources(section(folder / "{id}.fits"))
    source = open_sources(section(folder / "{id}.fits", unreadable="skip"))["train"]
    assert list(source.column("id")) == ["obj0", "obj1"]
    assert "skipped 1 of 3 unreadable files: obj2.fits" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "{id}.fit"}, "no file matches"),
        ({"path": "obj0.fits"}, "has no {id}"),
        ({"hdus": 4}, "has no HDU 4"),
        ({"hdus": (0, 0)}, "2 HDUs for 3 bands"),
        ({"zero_points": (25.0,)}, "1 values, not 3"),
        ({"crop": 10}, "8 px, smaller than the crop of 10"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, stamps, section, changes, message):
    folder = _write(tmp_path / "cut", stamps, "cube")
    path = folder / changes.pop("path", "{id}.fits")
    with pytest.raises(UserError, match=message):
        open_sources(section(path, **changes))


def test_real_cutouts(real_data, section, info, caplog):
    folder = real_data / "fits_cutouts"
    grz = section(
        folder / "decals_grz" / "{id}.fits.gz",
        crop=128,
        unreadable="skip",
        info=info("g", "r", "z", unit="nanomaggies", pixel_scale=None, noise="measure"),
    )
    source = open_sources(grz)["train"]
    assert len(source) == 5 and "example_incomplete" in caplog.text
    assert "zero in over a quarter of a band's pixels" in caplog.text  # example_bad_pix
    with pytest.raises(UserError, match="example_incomplete.fits.gz cannot be read"):
        open_sources({**grz, "unreadable": "error"})
    hst = section(
        folder / "hst_cosmos_f814w" / "{id}.fits.gz",
        info=info("F814W", unit="header", zero_point=25.94, pixel_scale=None),
    )
    source = open_sources(hst)["train"]
    assert source.info.unit == "electrons" and abs(source.info.pixel_scale - 0.03) < 1e-4
