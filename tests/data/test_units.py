# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from astrojax.data import validate
from astrojax.data.info import DataInfo
from astrojax.data.open import open_sources
from astrojax.data.source import ArraySource
from astrojax.data.transforms import deredden
from astrojax.data.transforms.flux_unit import Converted
from astrojax.errors import UserError


def stamps(unit, zero_point, noise=(1.0, 2.0)):
    columns = {
        "image": np.ones((3, 4, 4, 2), np.float32),
        "flux": np.full((3, 2), 10.0, np.float32),
        "ra": np.arange(3.0),
    }
    info = DataInfo(
        bands=("g", "r"),
        image_size=4,
        unit=unit,
        zero_point=zero_point,
        noise=noise,
        pixel_scale=0.2,
    )
    return ArraySource(columns, info)


@pytest.mark.parametrize(
    ("unit", "zero_point", "microjansky"),
    # One nanomaggy is 3.631e-6 Jy by definition; a count at zero point 26.4 is a tenth of a uJy.
    [("nanomaggies", 22.5, 3.631), ("counts", 26.4, 0.1), ("microjansky", 23.9, 1.0)],
)
def test_pixels_fluxes_and_noise_are_of_the_unit(unit, zero_point, microjansky):
    found = Converted(stamps(unit, zero_point), "microjansky")
    # 23.9 is 2.5 log10(3631e6) rounded to two digits: 0.1% in flux.
    np.testing.assert_allclose(found[1]["image"], microjansky, rtol=2e-3)
    np.testing.assert_allclose(found[1]["flux"], 10 * microjansky, rtol=2e-3)
    np.testing.assert_allclose(found.column("flux"), 10 * microjansky, rtol=2e-3)
    np.testing.assert_allclose(found.info.noise, (microjansky, 2 * microjansky), rtol=2e-3)
    assert found.info.unit == "microjansky" and found.info.zero_point == 23.9
    assert found.column("ra").tolist() == [0, 1, 2] and len(found) == 3


def test_magnitudes_do_not_change_with_the_unit():
    source = stamps("nanomaggies", 22.5)
    before = deredden.with_magnitudes(source, deredden=False).column("magnitude")
    after = deredden.with_magnitudes(Converted(source, "microjansky"), deredden=False)
    np.testing.assert_allclose(after.column("magnitude"), before, atol=1e-5)  # float32


def test_a_model_that_refuses_the_unit_takes_the_converted_images():
    trained, images = stamps("microjansky", 23.9).info, stamps("nanomaggies", 22.5)
    with pytest.raises(UserError, match="unit microjansky against nanomaggies"):
        validate.same_data(trained, images.info)
    validate.same_data(trained, Converted(images, "microjansky").info)


@pytest.mark.parametrize(
    ("source", "unit", "message"),
    [
        (stamps("display", None, None), "microjansky", "pixels in display have no zero point"),
        (stamps("microjansky", 23.9), "counts", "'data.convert' is 'counts'"),
    ],
)
def test_units_without_a_zero_point_are_refused(source, unit, message):
    with pytest.raises(UserError, match=message):
        Converted(source, unit)


def test_the_config_key_converts_every_split(tmp_path, info):
    file = tmp_path / "stamps.npz"
    np.savez(file, images=np.ones((4, 8, 8, 2), np.float32))
    section = {
        "name": "npz",
        "path": str(file),
        "columns": {"image": "images"},
        "layout": "nhwc",
        "class_names": None,
        "classes": None,
        "others": "error",
        "sentinels": {},
        "crop": None,
        "info": info("g", "r", unit="nanomaggies"),
        "resize": None,
        "bad_pixels": "error",
        "split": None,
        "convert": "microjansky",
    }
    source = open_sources(section)["train"]
    assert source.info.unit == "microjansky" and source[0]["image"][0, 0, 0] > 3
