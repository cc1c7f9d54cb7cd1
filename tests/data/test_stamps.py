# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from astrojax.data import mosaic
from astrojax.data.open import open_sources
from astrojax.errors import UserError


@pytest.fixture
def field(tmp_path, rng):
    """Two tile-compressed mosaics of 90 x 70 px, a star at each position, and a catalogue."""
    x, y = rng.uniform(0, 70, 40), rng.uniform(0, 90, 40)
    files, images = {}, []
    for band, counts in (("r", 1.0), ("Ks", 500.0)):
        image = rng.normal(0, 0.01 * counts, (90, 70)).astype(np.float32)
        image[
            np.floor(y + 0.5).astype(int).clip(0, 89), np.floor(x + 0.5).astype(int).clip(0, 69)
        ] = counts
        files[band] = str(tmp_path / f"{band}.fits")
        fits.HDUList(
            [
                fits.PrimaryHDU(),
                fits.CompImageHDU(image, compression_type="GZIP_1", quantize_level=0),
            ]
        ).writeto(files[band])
        images.append(image)
    flux = np.tile([1.0, 500.0], (40, 1))
    np.savez(tmp_path / "cat.npz", x=x, y=y, bands=["Ks", "r"], flux=flux[:, ::-1], size=x)
    return files, images, x, y, tmp_path


def test_stamps_are_centred_calibrated_and_readable(field, info):
    files, images, x, y, tmp_path = field
    columns = mosaic.read_columns(
        str(tmp_path / "cat.npz"), ("r", "Ks"), x="x", y="y", flux="flux", extra=["size"]
    )
    out = tmp_path / "s.h5"
    result = mosaic.cut(files, [23.9, 30.0], columns, out, size=9, dtype="float32")
    inside = (np.floor(x + 0.5) >= 4) & (np.floor(x + 0.5) < 66)
    inside &= (np.floor(y + 0.5) >= 4) & (np.floor(y + 0.5) < 86)
    assert result["written"] == inside.sum() and result["at_edge"] == (~inside).sum()
    section = {
        "name": "hdf5",
        "path": str(out),
        "layout": "nchw",
        "label_thinning": None,
        "columns": {"image": "images", "id": "id", "flux": "flux", "size": "size"},
        "sentinels": {},
        "info": info("r", "Ks"),
        "crop": None,
        "bad_pixels": "error",
        "split": None,
    }
    source = open_sources(section)["train"]
    scale = np.float32([1.0, 10 ** (0.4 * (23.9 - 30.0))])
    for i in range(len(source)):
        row = int(source[i]["id"])
        across, down = int(np.floor(x[row] + 0.5)), int(np.floor(y[row] + 0.5))
        window = np.s_[down - 4 : down + 5, across - 4 : across + 5]
        expected = np.stack([image[window] for image in images], -1) * scale
        np.testing.assert_allclose(source[i]["image"], expected, rtol=1e-6)  # float32
        np.testing.assert_allclose(source[i]["image"][4, 4], source[i]["flux"], rtol=1e-6)
    # The median deviation of 81 pixels a stamp, averaged over 30: a few per cent.
    np.testing.assert_allclose(result["noise"], 0.01 * np.array([1, 500]) * scale, rtol=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 200}, "no stamp of 200 px"),
        ({"files": {"r": "missing.fits"}}, "no file 'missing.fits'"),
        ({"zero_points": [0.0, 0.0], "dtype": "float16"}, "overflow float16"),
    ],
)
def test_what_cannot_be_cut_is_one_sentence(field, change, message):
    files, _, x, y, tmp_path = field
    settings = {
        "files": files,
        "zero_points": [23.9, 30.0],
        "size": 9,
        "dtype": "float32",
        **change,
    }
    with pytest.raises(UserError, match=message):
        mosaic.cut(
            settings["files"],
            settings["zero_points"],
            {"x": x, "y": y},
            tmp_path / "s.h5",
            size=settings["size"],
            dtype=settings["dtype"],
        )
    assert not (tmp_path / "s.h5").exists()


def test_mosaics_of_other_shapes_and_existing_files_are_refused(field):
    files, images, x, y, tmp_path = field
    fits.PrimaryHDU(images[0][:50]).writeto(tmp_path / "small.fits")
    both = {**files, "g": str(tmp_path / "small.fits")}
    with pytest.raises(UserError, match=r"band g has \(50, 70\) pixels"):
        mosaic.cut(both, [0, 0, 0], {"x": x, "y": y}, tmp_path / "s.h5", size=9, dtype="float32")
    (tmp_path / "s.h5").touch()
    with pytest.raises(UserError, match="exists already"):
        mosaic.cut(files, [0, 0], {"x": x, "y": y}, tmp_path / "s.h5", size=9, dtype="float32")


def test_command(field):
    files, _, _, _, tmp_path = field
    command = [sys.executable, "-m", "astrojax", "stamps", "--size", "9", "--out"]
    command += [str(tmp_path / "s.h5"), "--catalogue", str(tmp_path / "cat.npz"), "--flux", "flux"]
    command += [f"--image={band}={file}" for band, file in files.items()]
    bad = subprocess.run([*command, "--zero-points", "0"], capture_output=True, text=True)
    assert bad.returncode == 2 and bad.stderr == "error: 1 zero points for 2 bands\n"
    good = subprocess.run([*command, "--zero-points", "23.9,30"], capture_output=True, text=True)
    assert good.returncode == 0 and "bands=('r', 'Ks')" in good.stdout
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["images"].shape[1:] == (2, 9, 9) and len(file["flux"]) == len(file["images"])


def test_real_field_fluxes_agree_with_the_catalogue(real_data, tmp_path):
    folder = real_data / "kids_viking"
    files = {"r": str(folder / "r.fits"), "Ks": str(folder / "Ks.fits")}
    columns = mosaic.read_columns(
        str(folder / "catalogue.npz"), tuple(files), x="x", y="y", flux="flux_r5px", extra=[]
    )
    some = {name: values[600:700] for name, values in columns.items()}
    mosaic.cut(files, [0.0, 30.0], some, tmp_path / "s.h5", size=32, dtype="float32")
    with h5py.File(tmp_path / "s.h5") as file:
        images, flux, x, y = (file[n][:] for n in ("images", "flux", "x", "y"))
    down, across = np.mgrid[:32, :32]
    left, top = np.floor(x - 15), np.floor(y - 15)
    far = np.hypot(across - (x - left)[:, None, None], down - (y - top)[:, None, None])
    measured = (images * (far < 5)[:, None]).sum((2, 3))
    bright = flux[:, 0] > np.median(flux[:, 0])
    # Whole pixels against an exact circle, no local background: a few per cent.
    np.testing.assert_allclose(np.median(measured[bright] / flux[bright], 0), 1, atol=0.05)


def test_positions_on_the_sky_and_the_pixel_scale_come_from_the_wcs(tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [359.999, 60]
    wcs.wcs.crpix, wcs.wcs.cdelt = [20, 20], [-0.2 / 3600, 0.2 / 3600]
    x, y = np.array([10.0, 25.0, 0.0]), np.array([12.0, 30.0, 5.0])
    image = np.zeros((40, 40), np.float32)
    image[y.astype(int), x.astype(int)] = 1
    header = wcs.to_header()
    header["BUNIT"] = "uJy"
    fits.PrimaryHDU(image, header).writeto(tmp_path / "r.fits")
    ra, dec = wcs.wcs_pix2world(np.stack([x, y], -1), 0).T
    ra, dec = [*ra, (180 + ra[0]) % 360, np.nan], [*dec, -dec[0], 1.0]  # the far side, and nowhere
    Table({"id": list("abcde"), "RAJ": ra, "DEJ": dec}).write(tmp_path / "t.ecsv")
    keys = {"x": "x", "y": "y", "flux": None, "extra": []}
    columns = mosaic.read_columns(str(tmp_path / "t.ecsv"), ("r",), sky=("RAJ", "DEJ"), **keys)
    files, out = {"r": str(tmp_path / "r.fits")}, tmp_path / "s.h5"
    result = mosaic.cut(files, [23.9], columns, out, size=5, dtype="float32")
    assert result["written"] == 2 and result["pixel_scale"] == pytest.approx(0.2)
    with h5py.File(out) as file:
        assert file["images"][:, 0, 2, 2].tolist() == [1, 1] and file["id"].asstr()[1] == "b"
        assert file.attrs["pixel_scale"] == pytest.approx(0.2)
    left = (tmp_path / "s_left_out.csv").read_text().splitlines()
    nowhere = "no position on the mosaic"
    assert left == ["id,reason", "c,near an edge", f"d,{nowhere}", f"e,{nowhere}"]
    with pytest.raises(UserError, match="means the zero point 23.9, and --zero-points says 31.4"):
        mosaic.cut(files, [31.4], columns, tmp_path / "n.h5", size=5, dtype="float32")
    with pytest.raises(UserError, match="no columns 'x' and 'y'.*--ra and --dec"):
        mosaic.read_columns(str(tmp_path / "t.ecsv"), ("r",), **keys)
