# SPDX-License-Identifier: Apache-2.0
"""Images as other people have them, through every reader: the right values, or one sentence."""

import io
import struct
import warnings
import zlib

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from astrojax.data.open import open_sources
from astrojax.errors import UserError

S, N = 4, 5  # pixels of a side, and objects


def stamps(dtype=np.float32, bands=1):
    values = np.arange(N * S * S * bands, dtype=np.int64).reshape(N, S, S, bands) % 200
    return values.astype(dtype)


# --- arrays: one writer for each reader, images [n h w c] -> section


def _npz(path, images):
    np.savez(path / "f.npz", images=images, ids=np.arange(len(images)))
    return {"name": "npz", "path": str(path / "f.npz"), "columns": {"image": "images", "id": "ids"}}


def _hdf5(path, images):
    with h5py.File(path / "f.h5", "w") as file:
        file["images"] = images
    return {
        "name": "hdf5",
        "path": str(path / "f.h5"),
        "columns": {"image": "images"},
        "layout": "nhwc",
    }


def _parquet(path, images):
    rows = [None if i is None else i.ravel() for i in images]
    pq.write_table(pa.table({"image": pa.array(rows)}), path / "f.parquet", row_group_size=2)
    section = {"name": "parquet", "path": str(path / "f.parquet"), "layout": "nhwc"}
    return section | {"columns": {"image": "image"}, "shape": images[0].shape}


def _fits(path, images, **cards):
    for i, image in enumerate(images):
        hdu = fits.PrimaryHDU(np.moveaxis(image, -1, 0))
        hdu.header.update(cards)
        hdu.writeto(path / f"{i}.fits")
    return {"name": "fits", "path": str(path / "{id}.fits")}


def _npy(path, images):
    for i, image in enumerate(images):
        np.save(path / f"{i}.npy", image)
    return {"name": "folder", "path": str(path)}


ARRAYS = {"npz": _npz, "hdf5": _hdf5, "parquet": _parquet, "fits": _fits, "npy": _npy}


@pytest.fixture
def opened(tmp_path, info):
    def make(section, bands=1, **changes):
        of_pixels = {k: changes.pop(k) for k in list(changes) if k in ("unit", "pixel_scale")}
        said = info(*"rgb"[:bands], **{"pixel_scale": None, **of_pixels})
        return open_sources({**section, "info": said, **changes})["train"]

    return make


def images_of(source):
    return np.stack([source[i]["image"] for i in range(len(source))])


@pytest.mark.parametrize("reader", ARRAYS)
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f2", "f4", "f8", "bool"])
def test_values_follow_the_unit_and_not_the_type(opened, tmp_path, reader, dtype):
    if reader == "fits" and dtype in ("f2", "bool"):
        return  # FITS has no such type
    images = stamps(dtype)
    found = images_of(opened(ARRAYS[reader](tmp_path, images)))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, images.astype(np.float32))


@pytest.mark.parametrize("reader", ["npz", "hdf5", "parquet", "npy"])
@pytest.mark.parametrize(("dtype", "white"), [("u1", 255), ("u2", 65535), ("i2", 255), ("f4", 1)])
def test_pictures_have_one_meaning_in_every_type(opened, tmp_path, reader, dtype, white):
    images = (stamps("f8", 3) / 200 * white).astype(dtype)
    found = images_of(opened(ARRAYS[reader](tmp_path, images), bands=3, unit="display"))
    scale = 255 if found.dtype == np.uint8 else 1
    np.testing.assert_allclose(found / scale, images / white, atol=1e-7)


@pytest.mark.parametrize("reader", ["npz", "hdf5", "npy"])
@pytest.mark.parametrize("dtype", ["c8", [("r", "f4"), ("g", "f4")]])
def test_what_is_no_real_number_is_refused(opened, tmp_path, reader, dtype):
    with pytest.raises(UserError, match="complex numbers|records|name one in it"):
        opened(ARRAYS[reader](tmp_path, np.zeros((N, S, S, 1), dtype)))


@pytest.mark.parametrize("reader", ARRAYS)
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e20])
def test_fill_values_are_bad_pixels(opened, tmp_path, reader, value):
    images = stamps()
    images[2, 1, 1] = value
    section = ARRAYS[reader](tmp_path, images)
    with pytest.raises(UserError, match="1 NaN or Inf pixels"):
        opened(section)
    assert opened(section, bad_pixels="mask")[2]["image"][1, 1] == 0
    kept = opened(section, bad_pixels="keep")
    assert not np.isfinite(kept[2]["image"][1, 1]) and np.isfinite(kept[1]["image"]).all()


@pytest.mark.parametrize("reader", ["fits", "npy", "parquet"])
@pytest.mark.parametrize("wrong", ["size", "bands", "missing"])
def test_one_bad_object_does_not_stop_the_others(opened, tmp_path, reader, wrong, caplog):
    images = list(stamps())
    images[3] = {"size": np.zeros((S + 2, S, 1), "f4"), "bands": np.zeros((S, S, 2), "f4")}.get(
        wrong, images[3]
    )
    section = ARRAYS[reader](tmp_path, images)
    if wrong == "missing" and reader == "parquet":
        _parquet(tmp_path, [*images[:3], None, images[4]])
    elif wrong == "missing":
        file = tmp_path / ("3.fits" if reader == "fits" else "3.npy")
        file.unlink()
        file.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError):
        images_of(opened(section))
    source = opened(section, unreadable="skip")
    assert len(source) == N - 1 and np.isfinite(images_of(source)).all()
    assert sum(count for _, count in source.info.left_out) == 1
    kept = opened(section, bad_pixels="keep")
    assert len(kept) == N and kept[4]["image"].shape == (S, S, 1)
    with pytest.raises(UserError):
        kept[3]


# --- pictures


def png16(values):
    """A PNG of 16 bits, which Pillow cannot write in color."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, channels = values.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows))
    return data + chunk(b"IEND", b"")


def encoded(values, kind="png", **keys):
    stream = io.BytesIO()
    values = values[..., 0] if values.shape[-1] == 1 else values
    Image.fromarray(values).save(stream, kind, **keys)
    return stream.getvalue()


def bomb():
    """A PNG of 50,000 x 50,000 pixels in a few bytes."""
    small = bytearray(encoded(np.zeros((1, 1, 3), np.uint8)))
    small[16:24] = struct.pack(">II", 50_000, 50_000)
    small[29:33] = struct.pack(">I", zlib.crc32(bytes(small[12:29])))
    return bytes(small)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    return encoded(COLOR, "png", exif=exif)


NOISE = np.random.default_rng(0).integers(0, 255, (S, S, 3), np.uint8)
COLOR = np.arange(S * S * 3, dtype=np.uint8).reshape(S, S, 3) * 5
ALPHA = np.concatenate([COLOR, np.tile(np.uint8([[0], [51], [255], [255]]), (S, 1, 1))], -1)
DEEP = (COLOR.astype(np.uint16) << 8) + 7
OVER_BLACK = np.rint(COLOR * (ALPHA[..., 3:] / 255)).astype(np.uint8)
PICTURES = {
    "png": (encoded(COLOR), COLOR),
    "webp": (encoded(COLOR, "webp", lossless=True), COLOR),
    "bmp": (encoded(COLOR, "bmp"), COLOR),
    "tiff": (encoded(COLOR, "tiff"), COLOR),
    "16 bits": (png16(DEEP), DEEP / np.float32(65535)),
    "alpha": (encoded(ALPHA), OVER_BLACK),
    "EXIF": (turned(), np.rot90(COLOR, -1)),
    "bomb": (bomb(), "pixels"),
    "truncated": (encoded(NOISE)[:-60], "cannot be read|truncated"),
    "empty": (b"", "is no JPEG|and not its bytes|lies at bytes"),
    "text": (b"<html>not found</html>", "is no JPEG"),
    "grey": (encoded(COLOR[..., :1]), "is grey"),
}


def _folder(path, files):
    for i, data in enumerate(files):
        (path / f"{i}.png").write_bytes(data)
    return {"name": "folder", "path": str(path)}


def _blob(path, files):
    offsets = np.cumsum([0, *map(len, files)])
    np.savez(path / "f.npz", blob=np.frombuffer(b"".join(files), np.uint8), offsets=offsets)
    return {"name": "npz", "path": str(path / "f.npz"), "columns": {"image": "blob"}}


def _records(path, files):
    rows = [{"bytes": data, "path": f"{i}.png"} for i, data in enumerate(files)]
    pq.write_table(pa.table({"image": rows}), path / "f.parquet")
    section = {"name": "parquet", "path": str(path / "f.parquet")}
    return section | {"columns": {"image": "image"}}


ENCODED = {"folder": _folder, "npz": _blob, "parquet": _records}


@pytest.mark.parametrize("reader", ENCODED)
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_its_file_means_or_one_sentence(opened, tmp_path, reader, name):
    data, wanted = PICTURES[name]
    section = ENCODED[reader](tmp_path, [encoded(COLOR), data, encoded(COLOR)])
    if isinstance(wanted, str):
        with pytest.raises(UserError, match=wanted):
            images_of(opened(section, bands=3, unit="display"))
        assert len(opened(section, bands=3, unit="display", unreadable="skip")) == 2
        kept = opened(section, bands=3, unit="display", bad_pixels="keep")
        assert len(kept) == 3 and kept[2]["image"].shape == (S, S, 3)
        return
    found = opened(section, bands=3, unit="display")[1]["image"]
    scale = 255 if found.dtype == np.uint8 else 1
    white = 255 if wanted.dtype == np.uint8 else 1
    np.testing.assert_allclose(found / scale, wanted / white, atol=1e-6)


@pytest.mark.parametrize("reader", ENCODED)
@pytest.mark.parametrize("bits", [8, 16])
def test_grey_of_8_and_16_bits_has_one_white(opened, tmp_path, reader, bits):
    values = np.full((S, S, 1), 2**bits - 1, f"u{bits // 8}")
    section = ENCODED[reader](tmp_path, [png16(values) if bits == 16 else encoded(values)] * 2)
    image = opened(section, unit="display")[0]["image"]
    assert image.max() == (255 if image.dtype == np.uint8 else 1)


# --- FITS


def _one_fits(path, data, **cards):
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(cards)
    hdu.writeto(path)


@pytest.mark.parametrize(
    ("unit", "factor", "scale"),
    [
        ("nJy", 1e-3, None),
        ("Jy", 1e6, None),
        ("1e-29 erg / (s cm2 Hz)", 1.0, None),
        ("nanomaggy", 10 ** (0.4 * 1.4), None),
        ("MJy/sr", 1e12 * (0.5 * np.pi / 180 / 3600) ** 2, 0.5),
    ],
)
def test_units_of_flux_are_those_of_astropy(opened, tmp_path, unit, factor, scale):
    section = _fits(tmp_path, stamps(), BUNIT=unit)
    with pytest.raises(UserError, match="BUNIT .*(?s:.*)says that its unit"):
        opened(section, pixel_scale=scale, unit="electrons" if factor != 1.0 else "nanomaggies")
    source = opened(section, unit="header", pixel_scale=scale, convert="microjansky")
    np.testing.assert_allclose(source[1]["image"], stamps()[1] * np.float32(factor), rtol=1e-4)
    assert source.info.zero_point == pytest.approx(23.9)


def test_a_brightness_needs_the_size_of_a_pixel(opened, tmp_path):
    with pytest.raises(UserError, match="pixel_scale"):
        opened(_fits(tmp_path, stamps(), BUNIT="MJy/sr"), unit="header")


WCS = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 2.0, "CRPIX1": 2.0}
WCS |= {"CRPIX2": 2.0, "CDELT1": -0.101 / 3600, "CDELT2": 0.101 / 3600}


@pytest.mark.parametrize(
    ("cards", "said", "message"),
    [
        ({"BUNIT": "nJy"}, {"zero_points": (26.15,)}, "31.4.*26.15"),
        (WCS, {"pixel_scale": 0.2}, "0.101.*0.2"),
        ({"BUNIT": "furlong"}, {"unit": "header"}, "furlong"),
        ({}, {"unit": "header"}, "no BUNIT"),
    ],
)
def test_a_conflict_shows_both_sides(opened, tmp_path, cards, said, message):
    with pytest.raises(UserError, match=f"(?s){message}"):
        opened(_fits(tmp_path, stamps(), **cards), **said)


def test_zero_points_are_compared_in_magnitudes(opened, tmp_path):
    np.savez(tmp_path / "f.npz", images=stamps(), zero_point=25.94, unit="electrons")
    section = {"name": "npz", "path": str(tmp_path / "f.npz"), "columns": {"image": "images"}}
    info = {"bands": ("r",), "pixel_scale": None, "unit": "electrons"}
    assert open_sources({**section, "info": {**info, "zero_point": 25.945}})
    with pytest.raises(UserError, match="25.94.*26.15"):
        open_sources({**section, "info": {**info, "zero_point": 26.15}})


@pytest.mark.parametrize(
    "cards", [{"BANDS": "grz"}, {"FILTERS": "g, r, z"}, {"BAND0": "g", "BAND1": "r", "BAND2": "z"}]
)
def test_bands_of_a_cube_are_chosen_by_name(tmp_path, info, cards):
    images = stamps(bands=3)
    section = _fits(tmp_path, images, **cards)
    source = open_sources({**section, "info": info("z", "g", pixel_scale=None)})["train"]
    np.testing.assert_array_equal(images_of(source), images[..., [2, 0]])
    with pytest.raises(UserError, match="its bands are g, r, z, .* names u"):
        open_sources({**section, "info": info("u", "g", "r", pixel_scale=None)})


def _corrupt_tiles(path):
    noise = np.random.default_rng(0).integers(0, 9999, (64, 64)).astype(np.int32)
    fits.CompImageHDU(noise, compression_type="RICE_1").writeto(path)
    data = bytearray(path.read_bytes())
    data[-2880 - 2880 : -2880] = b"\xff" * 2880
    path.write_bytes(data)


def _card(path, name, value):
    """Writes a header card that no library would write."""
    _one_fits(path, np.zeros((S, S), np.float32))
    data = path.read_bytes()
    at = data.index(name.ljust(8).encode() + b"=")
    path.write_bytes(data[:at] + f"{name:8s}= {value:>20s}".encode() + data[at + 30 :])


DAMAGED = {
    "cut": lambda path: path.write_bytes((path.parent / "0.fits").read_bytes()[:2900]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("<html>404</html>"),
    "NAXIS": lambda path: _card(path, "NAXIS1", "1000000000"),
    "BITPIX": lambda path: _card(path, "BITPIX", "17"),
    "folder": lambda path: path.mkdir(),
    "table": lambda path: fits.HDUList(
        [fits.PrimaryHDU(), fits.BinTableHDU(np.zeros(2, [("a", "f4")]))]
    ).writeto(path),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_fits_file_is_skipped_or_flagged(opened, tmp_path, damage):
    section = _fits(tmp_path, stamps())
    (tmp_path / "2.fits").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        DAMAGED[damage](tmp_path / "2.fits")
        with pytest.raises(UserError):
            images_of(opened(section))
        assert len(opened(section, unreadable="skip")) == N - 1
        kept = opened(section, bad_pixels="keep")
        with pytest.raises(UserError):
            kept[2]
    assert len(kept) == N and kept[4]["image"].shape == (S, S, 1)


def test_corrupt_tiles_are_skipped(opened, tmp_path):
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 9999, (64, 64)).astype(np.int32)
        fits.CompImageHDU(noise, compression_type="RICE_1").writeto(tmp_path / f"{i}.fits")
    (tmp_path / "1.fits").unlink()
    _corrupt_tiles(tmp_path / "1.fits")
    section = {"name": "fits", "path": str(tmp_path / "{id}.fits"), "hdus": 1}
    assert len(opened(section, unreadable="skip")) in (2, 3)  # CFITSIO may decode what is there
    assert len(opened(section, bad_pixels="keep")) == 3


# --- folders


def test_everything_left_out_of_a_folder_is_counted(opened, tmp_path, caplog):
    data, elsewhere = encoded(COLOR), tmp_path / "elsewhere"
    root = tmp_path / "root"
    for folder in (root / "a", root / ".ipynb_checkpoints", root / "empty", elsewhere):
        folder.mkdir(parents=True)
    (root / "linked").symlink_to(elsewhere)
    for file in (root / "a/1.png", elsewhere / "2.png", root / ".ipynb_checkpoints/1.png"):
        file.write_bytes(data)
    (root / "a/3.tif").write_bytes(encoded(COLOR, "tiff"))
    (root / "a/._1.png").write_bytes(b"AppleDouble")
    (root / "a/notes.txt").write_text("x")
    (root / "stray.png").write_bytes(data)
    source = opened({"name": "folder", "path": str(root)}, bands=3, unit="display")
    assert source.info.classes == ("a", "linked")
    assert sorted(source.column("id")) == ["1", "2", "3"]
    assert dict(source.info.left_out) == {
        "hidden files and folders": 2,
        "files ending in .txt": 1,
        "files beside the class folders": 1,
        "class folders without a picture": 1,
    }
    assert all(name in caplog.text for name in ("._1.png", "stray.png", "empty", "notes.txt"))


def test_a_folder_as_image_folder_has_it_is_split(opened, tmp_path, display):
    for i, split in enumerate(("train", "val", "test")):
        for kind in ("spiral", "round"):
            (tmp_path / split / kind).mkdir(parents=True)
            (tmp_path / split / kind / f"{kind}{i}.png").write_bytes(encoded(COLOR))
    section = {"name": "folder", "path": str(tmp_path), "info": display(*"rgb")}
    sources = open_sources(section)
    assert {k: len(v) for k, v in sources.items()} == {"train": 2, "validation": 2, "test": 2}
    assert sources["test"].info.classes == ("round", "spiral")


# --- HDF5 layouts


def test_hdf5_images_in_groups_and_of_one_band(opened, tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["data/images"] = stamps()[..., 0]
    section = {"name": "hdf5", "path": str(tmp_path / "f.h5"), "layout": "nhwc"}
    found = images_of(opened({**section, "columns": {"image": "data/images"}}))
    np.testing.assert_array_equal(found, stamps())
    with pytest.raises(UserError, match=r"is a group.*data/images"):
        opened({**section, "columns": {"image": "data"}})


@pytest.mark.parametrize("reader", ARRAYS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_image_reads_back_the_same(tmp_path_factory, info, reader, data):
    kinds = ["u1", ">i2", "u2", ">i4", "f4", ">f8"]
    kind = np.dtype(data.draw(st.sampled_from(kinds)))
    kind = kind.newbyteorder("=") if reader == "parquet" else kind
    shape = (2, 3, 3, data.draw(st.integers(1, 3)))
    limits = {"allow_nan": False, "allow_infinity": False, "max_value": 1e10, "min_value": -1e10}
    elements = st.floats(width=8 * kind.itemsize, **limits) if kind.kind == "f" else None
    images = data.draw(npst.arrays(kind, shape, elements=elements))
    section = ARRAYS[reader](tmp_path_factory.mktemp("f"), images)
    bands = tuple("rgb"[: shape[-1]])
    source = open_sources({**section, "info": info(*bands, pixel_scale=None)})["train"]
    np.testing.assert_array_equal(images_of(source), images.astype(np.float32))
