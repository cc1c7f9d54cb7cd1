# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from PIL import Image

from astrojax.data.open import open_sources
from astrojax.errors import UserError


@pytest.fixture
def tree(tmp_path, rng):
    """A folder {merger,spiral}/*.png, three each."""
    for c, name in enumerate(("merger", "spiral")):
        (tmp_path / "root" / name).mkdir(parents=True)
        for i in range(3):
            picture = rng.integers(0, 255, (9, 9, 3), np.uint8)
            Image.fromarray(picture).save(tmp_path / "root" / name / f"g{c}{i}.png")
    return tmp_path / "root"


@pytest.fixture
def section(display):
    def make(path, **changes):
        return {
            "name": "folder",
            "path": str(path),
            "id_from": "stem",
            "unreadable": "error",
            "classes": None,
            "others": "error",
            "info": display("r", "g", "b"),
            "crop": None,
            "resize": None,
            "bad_pixels": "error",
            "split": None,
            **changes,
        }

    return make


def test_classes_are_the_folders(tree, section):
    source = open_sources(section(tree))["train"]
    assert source.info.classes == ("merger", "spiral")
    assert list(source.column("label")) == [0, 0, 0, 1, 1, 1]
    assert list(source.column("id")) == ["g00", "g01", "g02", "g10", "g11", "g12"]
    expected = np.asarray(Image.open(tree / "spiral" / "g11.png"))
    np.testing.assert_array_equal(source[4]["image"], expected)


def test_flat_folder_has_no_labels_and_arrays_stay_float(tmp_path, section, info):
    stamps = np.random.default_rng(0).normal(0, 1, (2, 5, 5, 4)).astype(np.float16)
    for i, stamp in enumerate(stamps):
        np.save(tmp_path / f"{i}.npy", stamp)
    source = open_sources(section(tmp_path, info=info(*"griz")))["train"]
    assert set(source[0]) == {"image", "id"}
    np.testing.assert_array_equal(source[1]["image"], np.float32(stamps[1]))


def test_dropped_class_leaves_its_files_unread(tree, section):
    (tree / "other").mkdir()
    (tree / "other" / "broken.jpg").write_bytes(b"no picture")
    wanted = section(tree, classes=("spiral", "merger"), others="drop")
    assert list(open_sources(wanted)["train"].column("label")) == [1, 1, 1, 0, 0, 0]


def test_truncated_jpeg_is_named_counted_and_skipped_or_fatal(tree, section, caplog):
    picture = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    file = tree / "spiral" / "cut.jpg"
    Image.fromarray(picture).save(file)
    file.write_bytes(file.read_bytes()[:600])
    wanted = section(tree, resize=9)
    with pytest.raises(UserError, match="(?i)cut.jpg.*truncated.*data.unreadable"):
        open_sources(wanted)
    source = open_sources({**wanted, "unreadable": "skip"})["train"]
    assert len(source) == 6 and "cut" not in source.column("id")
    assert "skipped 1 of 7 unreadable files: cut.jpg" in caplog.text


def test_two_files_with_one_id(tree, section):
    Image.open(tree / "merger" / "g00.png").save(tree / "spiral" / "g00.png")
    with pytest.raises(UserError, match="two files have the id 'g00': .*merger.*spiral"):
        open_sources(section(tree))
    ids = open_sources(section(tree, id_from="path"))["train"].column("id")
    assert "merger/g00" in ids and "spiral/g00" in ids
    Image.open(tree / "merger" / "g00.png").save(tree / "merger" / "g00.jpg")
    with pytest.raises(UserError, match="two files have the id 'merger/g00'"):
        open_sources(section(tree, id_from="path"))


def test_a_grey_image_in_a_color_run_is_named(tree, section):
    Image.open(tree / "merger" / "g01.png").convert("L").save(tree / "merger" / "g01.png")
    with pytest.raises(UserError, match="g01.png is grey, but data.info.bands names 3"):
        open_sources(section(tree))


def test_stamps_of_several_sizes_need_a_crop(tree, section):
    Image.open(tree / "merger" / "g01.png").resize((12, 12)).save(tree / "merger" / "g01.png")
    with pytest.raises(
        UserError, match="g01.png is a stamp of 12 x 12 px, not 9 x 9: set data.crop"
    ):
        open_sources(section(tree))
    assert open_sources(section(tree, crop=8))["train"][1]["image"].shape == (8, 8, 3)


def test_nothing_to_read(tmp_path, section):
    with pytest.raises(UserError, match="holds no .jpg"):
        open_sources(section(tmp_path))
    with pytest.raises(UserError, match="no file"):
        open_sources(section(tmp_path / "missing"))
