# SPDX-License-Identifier: Apache-2.0
import io
import pickle

import numpy as np
import pytest
from PIL import Image

from astrojax.data.open import open_sources
from astrojax.data.split import split_hash
from astrojax.errors import UserError

SPLIT = {"name": "id", "fractions": {"train": 0.8, "test": 0.2}, "seed": 0}


def _encode(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def section(display):
    def make(path, **changes):
        return {
            "name": "npz",
            "path": str(path),
            "layout": "nhwc",
            "class_names": "names",
            "columns": {"image": "blob", "id": "ids", "label": "labels"},
            "classes": None,
            "others": "error",
            "sentinels": {},
            "info": display("i", "r", "g"),
            "crop": None,
            "resize": None,
            "bad_pixels": "error",
            "split": None,
            **changes,
        }

    return make


@pytest.fixture
def zoo(tmp_path, rng):
    pictures = rng.integers(0, 255, (12, 10, 10, 3), np.uint8)
    files = [_encode(p) for p in pictures]
    np.savez(
        tmp_path / "zoo.npz",
        blob=np.frombuffer(b"".join(files), np.uint8),
        offsets=np.cumsum([0, *map(len, files)]),
        ids=np.arange(12) + 10**17,
        labels=np.arange(12) % 4,
        pictures=pictures,
        names=["elliptical", "clockwise", "anticlockwise", "star"],
    )
    return tmp_path / "zoo.npz", pictures


def test_encoded_pictures_and_labels(zoo, section):
    source = open_sources(section(zoo[0]))["train"]
    source = pickle.loads(pickle.dumps(source))
    assert source[5]["image"].dtype == np.uint8
    np.testing.assert_array_equal(source[5]["image"], zoo[1][5])
    assert source[5]["id"] == 10**17 + 5 and source[5]["label"] == 1
    assert source.info.classes == ("elliptical", "clockwise", "anticlockwise", "star")


def test_classes_merge_and_drop(zoo, section):
    classes = (("spiral", ("clockwise", "anticlockwise")), "elliptical")
    source = open_sources(section(zoo[0], classes=classes, others="drop"))["train"]
    assert source.info.classes == ("spiral", "elliptical")
    assert list(source.column("label")) == [1, 0, 0] * 3
    assert list(source.column("id") - 10**17) == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    whole = open_sources(section(zoo[0], classes=classes, others="unlabelled"))["train"]
    assert list(whole.column("label")) == [1, 0, 0, -1] * 3
    with pytest.raises(UserError, match=r"3 objects are outside the class list \(star\)"):
        open_sources(section(zoo[0], classes=classes))


def test_codes_without_names_make_classes(zoo, section):
    classes = (("early", (0, 1)), ("late", (2, 3)))
    source = open_sources(section(zoo[0], class_names=None, classes=classes))["train"]
    assert list(source.column("label")) == [0, 0, 1, 1] * 3


def test_crop_then_resize(zoo, section):
    source = open_sources(section(zoo[0], crop=8, resize=4))["train"]
    expected = Image.fromarray(zoo[1][0][1:9, 1:9]).resize((4, 4), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(source[0]["image"], np.asarray(expected))


def test_plain_arrays(zoo, section):
    columns = {"image": "pictures", "id": "ids"}
    source = open_sources(section(zoo[0], columns=columns))["train"]
    np.testing.assert_array_equal(source[3]["image"], zoo[1][3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_names": "class_names"}, "did you mean 'names'"),
        ({"classes": ("elliptical", "spiral")}, "has no 'spiral'"),
        ({"others": "ignore"}, "'error' or 'drop' or 'unlabelled'"),
        ({"columns": {"image": "blob", "id": "labels"}}, "4 ids occur more than once"),
        ({"columns": {"image": "blob"}, "classes": ("star",)}, "names no label"),
        ({"crop": 20}, "10 px, smaller than the crop of 20"),
    ],
)
def test_what_does_not_fit_is_one_sentence(zoo, section, changes, message):
    with pytest.raises(UserError, match=message):
        open_sources(section(zoo[0], **changes))


def test_labels_outside_the_class_list(zoo, section, tmp_path):
    arrays = dict(np.load(zoo[0]))
    np.savez(tmp_path / "cut.npz", **{**arrays, "names": arrays["names"][:2]})
    with pytest.raises(UserError, match="labels 2, 3 are outside the list of 2 classes"):
        open_sources(section(tmp_path / "cut.npz"))


def test_grey_pictures_in_a_color_run_are_refused(tmp_path, section, display):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    data = _encode(grey)
    np.savez(tmp_path / "g.npz", blob=np.frombuffer(data, np.uint8), offsets=[0, len(data)])
    wanted = section(tmp_path / "g.npz", columns={"image": "blob"}, class_names=None)
    with pytest.raises(UserError, match="g.npz, image 0 is grey"):
        open_sources(wanted)
    source = open_sources({**wanted, "info": display("V")})["train"]
    np.testing.assert_array_equal(source[0]["image"][..., 0], grey)


@pytest.mark.parametrize(
    ("file", "changes", "counts"),
    [
        # Counts of the complete EFIGI table are the paper's; here a part was kept back.
        (
            "efigi.npz",
            {
                "columns": {"image": "blob", "id": "ids", "label": "T_type"},
                "class_names": None,
                "classes": (("elliptical", (-6, -5, -4)), ("spiral", tuple(range(10)))),
                "others": "drop",
            },
            (3099, 2),
        ),
        (
            "galaxy_zoo.npz",
            {
                "columns": {"image": "blob", "id": "ids", "label": "labels"},
                "class_names": "class_names",
                "resize": 32,
            },
            (5318, 6),
        ),
        (
            "star_galaxy.npz",
            {
                "columns": {"image": "blob", "id": "filenames", "label": "labels"},
                "class_names": "class_names",
            },
            (3162, 2),
        ),
        (
            "lens_candidates.npz",
            {
                "columns": {
                    "image": "blob",
                    "id": "names",
                    "label": "labels",
                    "redshift": "redshift",
                    "ra": "ra",
                    "dec": "dec",
                },
                "class_names": "class_names",
                "sentinels": {"redshift": (0.0,)},
            },
            (308, 3),
        ),
    ],
)
def test_real_archives(real_data, section, display, file, changes, counts):
    single = file == "star_galaxy.npz"
    info = display("V") if single else display("i", "r", "g")
    sources = open_sources(section(real_data / file, split=SPLIT, info=info, **changes))
    assert sum(map(len, sources.values())) == counts[0]
    assert len(sources["train"].info.classes) == counts[1]
    example = sources["test"][3]
    assert example["image"].dtype == np.uint8 and example["image"].max() > 50
    assert len(split_hash(sources)) == 12
