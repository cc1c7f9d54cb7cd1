# SPDX-License-Identifier: Apache-2.0
"""Lens pairs in FITS, the challenge's layout, and simulated lenses as a source."""

import dataclasses

import jax
import numpy as np
import pytest
from astropy.io import fits

from astrojax.config import call
from astrojax.data.readers import lens, lens_challenge, lens_fits
from astrojax.errors import UserError
from astrojax.simulate.lens.deflection import Lens
from astrojax.simulate.lens.lens_scene import HST, LENSIAM
from astrojax.simulate.lens.simulator import build, simulator

TINY = dataclasses.replace(HST, stamp=20, pixel_scale=0.25, supersampling=1, psf_size=5)
LENS = Lens(*np.float32([1.2, 0.1, -0.2, 0.03, -0.04, 1.9, 0.05, -0.06]))


@pytest.fixture(scope="module")
def sim():
    return simulator(LENSIAM, TINY)


@pytest.fixture(scope="module")
def folder(sim, tmp_path_factory):
    path = tmp_path_factory.mktemp("pairs")
    lens_fits.write_folder(path, sim, count=6, seed=3, block=4)
    return path


def open_folder(path, **changes):
    keys = {"members": "pair", "pixel_scale": 0.25, "bad_pixels": "error", "split": None}
    return lens_fits.load(path=str(path), **(keys | changes))


def test_a_pair_survives_the_round_trip(tmp_path):
    pair = np.random.default_rng(0).normal(size=(2, 11, 13, 1)).astype(np.float32)
    lens_fits.write_pair(tmp_path / "a.fits", pair, LENS)
    pixels = lens_fits.read_pixels(tmp_path / "a.fits")
    assert lens_fits.read_parameters(tmp_path / "a.fits") == LENS
    np.testing.assert_array_equal(pixels, np.moveaxis(pair[..., 0], 0, -1))
    header = fits.getheader(tmp_path / "a.fits")
    # NAXIS1 is the member: what NumPy shows as (11, 13, 2).
    assert (header["NAXIS1"], header["NAXIS2"], header["NAXIS3"]) == (2, 13, 11)
    assert header["theta_E"] == 1.2
    with pytest.raises(UserError, match="exists"):
        lens_fits.write_pair(tmp_path / "a.fits", pair, LENS)


def test_a_folder_holds_what_the_simulator_drew(sim, folder):
    source = open_folder(folder)["train"]
    drawn = lens.simulate(sim, 3, np.arange(6), pairs=True)
    assert len(source) == 6 and source.info.image_size == 20
    example = source[4]
    assert example["id"] == "pair_000004" and example["image"].shape == (20, 20, 2)
    np.testing.assert_array_equal(example["image"][..., 1], drawn["image"][4, 1, ..., 0])
    for name in Lens._fields:
        np.testing.assert_array_equal(source.column(name), drawn[name])


def test_members_stay_on_one_side_of_the_split(folder):
    fractions = {"train": 0.5, "test": 0.5}
    parts = open_folder(
        folder, members="both", split={"name": "id", "fractions": fractions, "seed": 1}
    )
    assert sum(len(part) for part in parts.values()) == 12
    train, test = (set(parts[name].column("pair").tolist()) for name in ("train", "test"))
    assert not train & test
    part = parts["train"]
    assert part[1]["image"].shape == (20, 20, 1) and part[1]["id"] == f"{part[0]['id'][:-1]}2"
    assert part[0]["theta_E"] == part[1]["theta_E"]
    whole = open_folder(folder)["train"][int(part.column("pair")[0])]["image"]
    np.testing.assert_array_equal(part[1]["image"][..., 0], whole[..., 1])


def test_files_that_are_no_pairs_are_named(tmp_path):
    pair = np.ones((2, 20, 20, 1), np.float32)
    path = tmp_path / "pair.fits"
    header = fits.Header({"THETA_E": 1.2, "E1": 0.1, "GAMMA": 2.0})
    fits.PrimaryHDU(np.moveaxis(pair[..., 0], 0, -1), header).writeto(path)
    missing = "pair.fits lacks the header cards e2, center_x, center_y, gamma1, gamma2"
    with pytest.raises(UserError, match=missing):
        open_folder(tmp_path)

    def rewritten(pixels, lens):
        path.unlink()
        lens_fits.write_pair(path, pixels, lens)

    bad = pair.copy()
    bad[1, 3, 3] = np.nan
    rewritten(bad, LENS)
    with pytest.raises(UserError, match="1 NaN"):
        open_folder(tmp_path)
    assert open_folder(tmp_path, bad_pixels="mask")["train"][0]["image"][3, 3, 1] == 0
    rewritten(pair, LENS._replace(gamma=np.float32(3.5)))
    with pytest.raises(UserError, match="gamma"):
        open_folder(tmp_path)
    rewritten(pair, LENS._replace(theta_E=np.float32(2.6)))
    with pytest.raises(UserError, match="stamp reaches"):
        open_folder(tmp_path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match="cannot be read"):
        open_folder(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="no .fits"):
        open_folder(tmp_path)


def challenge(tmp_path, bands=("VIS", "J", "H"), count=8):
    rng = np.random.default_rng(0)
    images = {}
    for band in bands:
        (tmp_path / f"EUC_{band}").mkdir()
        side = 20 if band == "VIS" else 8
        for i in range(200001, 200001 + count):
            images[band, i] = rng.normal(size=(side, side)).astype(np.float32) * 1e-10
            fits.PrimaryHDU(images[band, i]).writeto(
                tmp_path / f"EUC_{band}" / f"imageEUC_{band}-{i}.fits"
            )
    rows = [
        f"{k},{200001 + k},{0.5 + k},{1e-11 * k},{k % 3},{'' if k == 2 else 20 + k}"
        for k in range(count + 1)
    ]
    text = [
        "# made by, someone",
        "# columns: ID, z_lens",
        ",ID,z_lens,ein_area,n_source_im,mag_lens",
    ]
    (tmp_path / "catalog.csv").write_text("\n".join(text + rows) + "\n")
    return images


def open_challenge(path, **changes):
    keys = {"bands": ("J", "H"), "factors": (1e9, 2e9), "missing": "drop"}
    keys |= {"path": str(path), "catalogue": str(path / "catalog.csv")}
    return call(lens_challenge.load, keys | changes, path="data")


def test_the_challenge_layout(tmp_path):
    images = challenge(tmp_path)
    source = open_challenge(tmp_path)["train"]
    assert len(source) == 8  # the ninth row has no files
    assert source[3]["id"] == 200004 and source.info.pixel_scale == 0.3
    np.testing.assert_allclose(source[3]["image"][..., 1], images["H", 200004] * 2e9, rtol=1e-6)
    # A critical curve of 3e-11 sr is a circle of 206265 sqrt(3e-11 / pi) arcsec.
    assert source[3]["theta_E"] == pytest.approx(206265 * np.sqrt(3e-11 / np.pi), rel=1e-5)
    assert source[0]["theta_E"] == 0 and np.isnan(source.column("mag_lens")[2])
    assert source[3]["redshift"] == pytest.approx(3.5)
    lenses = open_challenge(tmp_path, select={"ein_area": (1e-13, 1.0), "n_source_im": (1, 99)})
    np.testing.assert_array_equal(
        lenses["train"].column("id"), [200002, 200003, 200005, 200006, 200008]
    )
    sharp = open_challenge(tmp_path, bands=("VIS",), factors=(1e9,), crop=16)["train"]
    assert sharp[0]["image"].shape == (16, 16, 1) and sharp.info.pixel_scale == 0.1


def test_what_the_challenge_reader_refuses(tmp_path):
    challenge(tmp_path, bands=("J",), count=2)
    one = {"bands": ("J",), "factors": (1.0,)}
    for changes, words in [
        ({"missing": "error"}, "200003"),
        ({"select": {"mag_lense": (0, 1)}}, "did you mean 'mag_lens'"),
        ({"select": {"ein_area": (1.0, 2.0)}}, "leaves none of 3"),
        ({"bands": ("K",)}, "data.bands"),
        ({"bands": ("VIS", "J"), "factors": (1.0, 1.0)}, "VIS cannot be mixed"),
        ({"bands": ("H",)}, "EUC_H"),
    ]:
        with pytest.raises(UserError, match=words):
            open_challenge(tmp_path, **(one | changes))


def test_simulated_lenses_are_a_function_of_seed_and_index(sim):
    keys = {"population": vars(LENSIAM), "observation": vars(TINY), "psfs": None, "stamps": None}
    sources = lens.load(count=40, validation=4, test=6, seed=2, **keys)
    assert {name: len(s) for name, s in sources.items()} == {
        "train": 30,
        "validation": 4,
        "test": 6,
    }
    example = sources["test"][0]
    assert example["id"] == 34 and example["image"].shape == (20, 20, 1)
    alone = lens.simulate(sim, 2, np.array([34]))
    np.testing.assert_array_equal(alone["image"][0], example["image"])
    assert alone["theta_E"][0] == example["theta_E"]
    assert np.abs(lens.simulate(sim, 5, np.array([34]))["theta_E"] - alone["theta_E"]) > 0
    with pytest.raises(UserError, match="leaves none"):
        lens.load(count=10, validation=4, test=6, seed=2, **keys)


def test_files_of_psfs_and_sources(tmp_path):
    keys = {"count": 2, "validation": 0, "test": 1, "seed": 0, "observation": vars(TINY)}
    one = np.zeros((1, 5, 5), np.float32)
    one[0, 2, 2] = 3.0
    np.save(tmp_path / "psf.npy", one)
    axis = np.arange(50) - 24.5
    blob = np.exp(-0.5 * (axis[:, None] ** 2 + axis**2) / 16)[None].astype(np.float32)
    np.save(tmp_path / "stamps.npy", blob)
    population = vars(LENSIAM) | {"stamp_fraction": 0.75}
    files = {"psfs": str(tmp_path / "psf.npy"), "stamps": str(tmp_path / "stamps.npy")}
    source = lens.load(population=population, **keys, **files)["train"]
    assert np.isfinite(source[0]["image"]).all()
    sections = {"population": population, "observation": vars(TINY)}
    np.testing.assert_array_equal(build(**sections, **files).psfs, one / 3)
    with pytest.raises(UserError, match="no file"):
        lens.load(population=population, **keys, **(files | {"psfs": "missing.npy"}))
    (tmp_path / "psf.npy").write_text("hello")
    with pytest.raises(UserError, match="no .npy array"):
        lens.load(population=population, **keys, **files)


def test_real_galaxies_serve_as_sources(real_data):
    from astrojax.simulate.lens import lens_light

    files = sorted((real_data / "fits_cutouts").glob("hst_cosmos_*/*images*.fits*"))
    if not files:
        pytest.skip("no COSMOS galaxies in the real data")
    stamps = []
    with fits.open(files[0]) as opened:
        for hdu in opened:
            if hdu.data is not None and min(hdu.data.shape) >= 50:
                h, w = hdu.data.shape
                top, left = h // 2 - 25, w // 2 - 25
                stamps.append(hdu.data[top : top + 50, left : left + 50].astype(np.float32))
    kept = lens_light.check_stamps(np.stack(stamps), min_size=50, max_offset=0.1)
    np.testing.assert_allclose(kept.sum((1, 2)), 1, rtol=1e-4)
    observed = dataclasses.replace(TINY, noise=(1e-4, 1e-4))
    population = dataclasses.replace(LENSIAM, stamp_fraction=1.0)
    drawn = simulator(population, observed, stamps=np.stack(stamps))
    image = jax.jit(drawn.image)(jax.random.key(0), LENS)
    assert np.isfinite(image).all()
