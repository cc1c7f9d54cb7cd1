# SPDX-License-Identifier: Apache-2.0
"""`astrojax preview`: what would be seen, on a page that runs nothing."""

import h5py
import numpy as np
import pytest
from PIL import Image

from astrojax.cli import main


def test_the_page_tells_counts_noise_labels_and_what_is_odd(survey, tmp_path, capsys):
    images, columns = survey
    images = images.copy()
    images[1] = images[0]
    images[2, 4, 4, 0] = np.nan
    images[3, 5:8, 5:8] = 50.0
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["radius"] = images, columns["radius"]
        file["id"], file["kind"] = ([v.encode() for v in columns[n]] for n in ("id", "kind"))
        file.attrs["bands"], file.attrs["unit"] = ["g", "r"], "nanomaggies"
    out = tmp_path / "look.html"
    main(["preview", "--data", str(tmp_path / "a.h5"), "--out", str(out), "--recipe", "simsiam"])
    told, page = capsys.readouterr().out, out.read_text()
    known = np.isfinite(columns["radius"]).sum()
    for text in (
        "bands (g, r), float32, nanomaggies",
        f"1 of {images[..., 0].size} pixels",
        f"1 of {len(images)} looked at",
        f"1 of {len(images)}",
        f"{known} of {len(images)}",
        f"red: {(columns['kind'] == 'red').sum()}",
    ):
        assert text in told and text in page
    assert "default-src 'none'; script-src 'none'" in page and "data:image/png" in page
    picture = np.asarray(Image.open(out.with_suffix(".png")).convert("L"))
    assert picture.std() > 10
    with pytest.raises(SystemExit):
        main(["preview", "--data", str(tmp_path / "a.h5"), "--out", str(out)])


def test_too_few_images_are_shown_without_views(survey, tmp_path, capsys):
    np.savez(tmp_path / "a.npz", images=survey[0][:5])
    out = tmp_path / "look.html"
    said = ["--set", "bands=g,r", "--set", "unit=nJy", "--set", "split=none"]
    main(["preview", "--data", str(tmp_path / "a.npz"), *said, "--out", str(out)])
    assert "No views of lejepa: the training split has 5 images" in out.read_text()
