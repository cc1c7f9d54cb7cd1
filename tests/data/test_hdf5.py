# SPDX-License-Identifier: Apache-2.0
import pickle
import tracemalloc

import h5py
import numpy as np
import pytest

from astrojax.data.open import open_sources
from astrojax.errors import UserError

BANDS = ("F606W", "F814W", "F125W", "F160W")
SPLIT = {"name": "id", "fractions": {"train": 0.5, "test": 0.5}, "seed": 0}


@pytest.fixture
def pita(tmp_path, rng):
    """Writes a file in PITA's layout; keyword arguments replace or remove datasets."""

    def write(name="pita.h5", n=40, **changes):
        arrays = {
            "images": rng.normal(0, 1, (n, 4, 12, 12)).astype(np.float16),
            "ebvs": rng.uniform(0, 0.1, n).astype(np.float16),
            "redshifts": np.where(np.arange(n) % 4, rng.uniform(0, 3, n), -1).astype(np.float16),
            "use_redshift_2": (np.arange(n) % 8 < 4).astype(np.float16),
            "fluxes": rng.uniform(1, 2, (n, 4)).astype(np.float32),
            **changes,
        }
        with h5py.File(tmp_path / name, "w") as file:
            for key, values in arrays.items():
                if values is not None:
                    file[key] = values
        return str(tmp_path / name), arrays

    return write


@pytest.fixture
def section(info):
    def make(path, **changes):
        columns = {"image": "images", "redshift": "redshifts", "ebv": "ebvs", "flux": "fluxes"}
        return {
            "name": "hdf5",
            "path": path,
            "columns": columns,
            "layout": "nchw",
            "label_thinning": None,
            "sentinels": {},
            "info": info(*BANDS),
            "crop": None,
            "bad_pixels": "error",
            "split": None,
            **changes,
        }

    return make


def test_pita_layout_reads_as_it_was_written(pita, section):
    path, arrays = pita()
    source = open_sources(section(path))["train"]
    example = source[6]
    assert example["image"].shape == (12, 12, 4) and example["image"].dtype == np.float32
    np.testing.assert_array_equal(example["image"], arrays["images"][6].transpose(1, 2, 0))
    assert source.info.bands == BANDS and source.info.zero_point == 23.9
    redshift = source.column("redshift")
    assert np.isnan(redshift[::4]).all() and np.isfinite(redshift[1::4]).all()
    np.testing.assert_array_equal(source.column("flux"), arrays["fluxes"])


def test_last_axis_bands_and_a_centred_crop(pita, section):
    path, arrays = pita(images=np.random.default_rng(1).random((40, 12, 12, 4), np.float32))
    source = open_sources(section(path, layout="nhwc", crop=6))["train"]
    np.testing.assert_array_equal(source[3]["image"], arrays["images"][3, 3:9, 3:9])
    assert source.info.image_size == 6


@pytest.mark.parametrize("paths", [False, True])
def test_label_thinning_hides_training_labels_only(pita, section, paths):
    ids = np.array([f"g{i}" for i in range(40)])
    path, arrays = pita(id=ids.astype("S"))
    columns = {"image": "images", "redshift": "redshifts", "id": "id"}
    if paths:
        other, _ = pita(
            "test.h5", id=np.array([f"t{i}" for i in range(40)]).astype("S"), use_redshift_2=None
        )
        where = {"path": {"train": path, "test": other}, "split": None}
    else:
        where = {"path": path, "split": SPLIT}
    sources = open_sources(section(columns=columns, label_thinning=2, **{"path": path, **where}))
    row = {f"g{i}": i for i in range(40)} | {f"t{i}": i for i in range(40)}
    for name, source in sources.items():
        rows = np.array([row[i] for i in source.column("id")])
        known = rows % 4 > 0
        if name == "train":
            known &= arrays["use_redshift_2"][rows] == 1
        assert (np.isfinite(source.column("redshift")) == known).all()
        assert "use_redshift" not in source[0]


def test_color_features_become_the_fluxes_they_were_made_of(pita, section, info):
    rng = np.random.default_rng(3)
    flux, ebv = rng.uniform(1, 9, (40, 4)), rng.uniform(0, 0.3, 40)
    extinction = (2.471, 1.526, 0.726, 0.512)
    log = np.log10(flux * 10 ** (0.4 * np.array(extinction) * ebv[:, None]))
    features = np.concatenate([np.diff(log, axis=1), log[:, 1:2]], 1)
    path, _ = pita(ebvs=ebv, dered_color_features=features)
    columns = {"image": "images", "ebv": "ebvs", "dered_color_features": "dered_color_features"}
    wanted = section(path, columns=columns, info=info(*BANDS, extinction=extinction))
    source = open_sources(wanted)["train"]
    # float32 through a power of ten: a few parts in 10^6.
    np.testing.assert_allclose(source.column("flux"), flux, rtol=1e-5)


def test_pickles_to_another_process_and_splits_do_not_share(pita, section):
    path, arrays = pita()
    sources = open_sources(section(path, split=SPLIT))
    sources["train"][0]
    again = pickle.loads(pickle.dumps(sources["test"]))
    row = again.column("id")[1]
    np.testing.assert_array_equal(again[1]["image"], arrays["images"][row].transpose(1, 2, 0))
    assert not set(again.column("id")) & set(sources["train"].column("id"))


def test_memory_does_not_grow_with_the_file(tmp_path, section, info):
    def peak(n):
        path = tmp_path / f"{n}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("images", (n, 1, 32, 32), np.float32, chunks=(1, 1, 32, 32))
        tracemalloc.start()
        source = open_sources(section(str(path), columns={"image": "images"}, info=info("r")))
        for i in range(50):
            source["train"][i]
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    # 16 times the pixels (33 MB more): only the row numbers may grow.
    assert peak(8000) - peak(500) < 1_000_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"info": {"bands": ("r",)}}, "4 bands, but data.info.bands names 1"),
        ({"crop": 16}, "12 px, smaller than the crop of 16"),
        ({"columns": {"image": "images", "redshift": "redshift"}}, "did you mean 'redshifts'"),
        ({"columns": {"image": "images", "redshfit": "redshifts"}}, "did you mean 'redshift'"),
        ({"columns": {"image": "pictures"}}, "It has: ebvs, fluxes, images, redshifts"),
        ({"label_thinning": 4}, "'use_redshift_4'"),
        ({"info": {"unit": "counts"}}, "zero_point"),
        ({"info": {"unit": "furlong"}}, "data.info.unit"),
        ({"info": {"zero_point": 25.0}}, "microjansky means 23.9"),
        ({"info": {"noise": (1.0, 2.0)}}, "2 values for 4 bands"),
        ({"layout": "chwn"}, "'nchw' or 'nhwc'"),
        ({"bad_pixels": "ignore"}, "'error' or 'mask'"),
    ],
)
def test_a_config_that_does_not_fit_the_file(pita, section, info, changes, message):
    path, _ = pita()
    if "info" in changes:
        changes = {"info": {**info(*BANDS), **changes["info"]}}
    with pytest.raises(UserError, match=message):
        open_sources(section(path, **changes))


def test_a_missing_file_names_its_neighbour(pita, section):
    path, _ = pita()
    with pytest.raises(UserError, match="did you mean pita.h5"):
        open_sources(section(path.replace("pita.h5", "pitta.h5")))
    with pytest.raises(UserError, match="no folder"):
        open_sources(section("/nowhere/pita.h5"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"redshifts": np.full(40, 5000.0)}, "40 redshifts lie outside"),
        ({"redshifts": np.full(40, -9.0)}, "add it to data.sentinels.redshift"),
        ({"ebvs": np.full(40, np.nan)}, "40 values of ebv"),
        ({"fluxes": np.full((40, 4), np.inf, np.float16)}, "float16 overflow"),
        ({"fluxes": np.ones((39, 4))}, "39 values of flux, but 40 stamps"),
        ({"images": np.zeros((40, 12))}, "not 4 axes"),
        ({"id": np.zeros(40, int)}, "1 ids occur more than once"),
    ],
)
def test_wrong_values_are_refused(pita, section, changes, message):
    path, arrays = pita(**changes)
    columns = {"image": "images", "redshift": "redshifts", "ebv": "ebvs", "flux": "fluxes"}
    columns |= {"id": "id"} if "id" in arrays else {}
    with pytest.raises(UserError, match=message):
        open_sources(section(path, columns=columns))


def test_bad_pixels_stop_the_run_or_become_zero(pita, section, caplog):
    images = np.ones((40, 4, 12, 12), np.float32)
    images[7, 2, 3, 4], images[9, 0, 0, 0] = np.nan, np.inf
    path, _ = pita(images=images)
    with pytest.raises(UserError, match="2 NaN or Inf pixels in 40 sampled stamps"):
        open_sources(section(path))
    source = open_sources(section(path, bad_pixels="mask"))["train"]
    assert source[7]["image"][3, 4, 2] == 0 and source[7]["image"].sum() == 4 * 144 - 1
    assert source[9]["image"][0, 0, 0] == 0
    assert "2 NaN or Inf pixels in 40 sampled stamps are set to zero" in caplog.text


def test_a_bad_pixel_outside_the_sample_stops_when_it_is_read(pita, section):
    images = np.ones((1000, 1, 4, 4), np.float32)
    images[1, 0, 0, 0] = np.nan  # the sample takes every 16th stamp
    path, _ = pita(n=1000, images=images)
    wanted = section(path, columns={"image": "images"})
    source = open_sources({**wanted, "info": {**wanted["info"], "bands": ("r",)}})["train"]
    with pytest.raises(UserError, match="row 1: 1 NaN"):
        source[1]


def test_float16_overflow_is_named(pita, section):
    images = np.ones((40, 4, 12, 12), np.float16)
    images[5, 0, 6] = np.inf
    path, _ = pita(images=images)
    with pytest.raises(UserError, match="12 pixels overflowed float16"):
        open_sources(section(path))


def test_one_object_in_two_files_is_refused(pita, section):
    ids = np.array([f"g{i}" for i in range(40)]).astype("S")
    train, _ = pita("a.h5", id=ids)
    test, _ = pita("b.h5", id=np.roll(np.where(np.arange(40) < 3, ids, b"x" + ids), 1))
    columns = {"image": "images", "id": "id"}
    with pytest.raises(UserError, match="leakage: 3 objects of test are also in train"):
        open_sources(section({"train": train, "test": test}, columns=columns))


def test_measured_noise_is_that_of_the_sky(pita, section, info):
    rng = np.random.default_rng(4)
    sigma = np.array([1.0, 2.0, 3.0, 4.0])
    images = (rng.normal(0, 1, (64, 4, 20, 20)) * sigma[:, None, None]).astype(np.float32)
    images[:, :, 9:11, 9:11] += 1000  # an object
    path, _ = pita(n=64, images=images)
    wanted = section(path, columns={"image": "images"}, info=info(*BANDS, noise="measure"))
    # 25,600 pixels a band: the error of a median deviation is under 1%, the object adds about 1%.
    np.testing.assert_allclose(open_sources(wanted)["train"].info.noise, sigma, rtol=0.04)
