# SPDX-License-Identifier: Apache-2.0
"""Every published recipe runs to the end of its evaluation on small data in the published layout.

The suite has the quickest of them; ASTROJAX_ALL_PAPERS=1 adds the others (half an hour).
Networks, queues and batches are tiny: what is tested is that data, method and evaluation agree.
"""

import io
import json
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from astrojax.data.info import DataInfo
from astrojax.data.readers import tfds
from astrojax.data.source import ArraySource
from astrojax.inference import evaluation
from astrojax.training import loop

ALL = "ASTROJAX_ALL_PAPERS"
ROOT = Path(__file__).parents[1]
BANDS = ("uJAVA", "F378", "F395", "F410", "F430", "g", "F515", "r", "F660", "i", "F861", "z")


def candels(folder, rng):
    """The file that PITA's authors train on, in half precision as theirs."""
    n = 320  # 24 galaxies for validation: conformal intervals need 19
    with h5py.File(folder / "candels.h5", "w") as file:
        half = 54 if os.environ.get(ALL) else 20  # 108 pixels are theirs
        spot = np.exp(-np.hypot(*np.mgrid[-half:half, -half:half]) / 8)
        noise = rng.normal(0, 0.01, (n, 4, 2 * half, 2 * half))
        images = rng.uniform(0.1, 1, (n, 4, 1, 1)) * spot + noise
        file["images"] = images.astype(np.float16)
        file["ebvs"] = rng.uniform(0, 0.02, n).astype(np.float16)
        known = np.arange(n) % 2 == 0
        file["redshifts"] = np.where(known, rng.uniform(0.1, 3, n), -1).astype(np.float16)
        file["use_redshift"] = known.astype(int)
        features = rng.normal(0.2, 0.2, (n, 4)) + [0, 0, 0, 0.5]
        file["dered_color_features"] = features.astype(np.float16)
    return {"data.path": str(folder / "candels.h5")}


def splus(folder, rng):
    """S-PLUS DR1: a commented header, magnitudes with sentinels, and a few objects with spectra."""
    n, names = 120, [f"SPLUS.STRIPE82-0001.{i:05d}.griz" for i in range(120)]
    columns = ["ID", "RA", "Dec", *(f"{b}_auto" for b in BANDS), *(f"e{b}_auto" for b in BANDS)]
    magnitude, error = rng.uniform(15, 20, (n, 12)), rng.uniform(0.01, 0.09, (n, 12))
    magnitude[3], error[3] = -99, -99  # not measured
    ra = np.linspace(30, 31, n)
    rows = [
        " ".join([name, f"{ra[i]:.6f}", "0.1", *map("{:.3f}".format, (*magnitude[i], *error[i]))])
        for i, name in enumerate(names)
    ]
    (folder / "splus.cat").write_text("# " + " ".join(columns) + "\n" + "\n".join(rows) + "\n")
    kinds = [
        f"{name},{ra[i]:.6f},0.1,{('STAR', 'GALAXY', 'QSO')[i % 3]}" for i, name in enumerate(names)
    ]
    for name, rows in (("splus_classes", kinds[100:]), ("all_classes", kinds)):
        (folder / f"{name}.csv").write_text("\n".join(["id,ra,dec,class", *rows]) + "\n")
    (folder / "cutouts").mkdir()
    for name in names:
        picture = Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8))
        picture.save(folder / "cutouts" / f"{name}.png")
    return {
        "data.table": str(folder / "splus.cat"),
        "data.unmatched_file": None,
        "data.cutouts.path": str(folder / "cutouts"),
        "data.exclude.data.table": str(folder / "splus_classes.csv"),
        "data.exclude.data.unmatched_file": None,
        "data.exclude.data.cutouts.path": str(folder / "cutouts"),
    }


def galaxy10(folder, rng):
    """Galaxy10 DECaLS."""
    n = 240
    with h5py.File(folder / "Galaxy10_DECals.h5", "w") as file:
        file["images"] = rng.integers(0, 255, (n, 256, 256, 3), np.uint8)
        file["ans"] = np.arange(n) % 10
        for name, low, high in (("ra", 0, 300), ("dec", -10, 30), ("redshift", 0.01, 0.2)):
            file[name] = rng.uniform(low, high, n)
        file["pxscale"] = np.full(n, 0.262)
    return {"data.path": str(folder / "Galaxy10_DECals.h5")}


def cifar(folder, rng):
    """CIFAR as two archives."""
    for name in ("train", "test"):
        files = []
        for _ in range(96):
            file = io.BytesIO()
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(file, "PNG")
            files.append(file.getvalue())
        offsets = np.cumsum([0, *map(len, files)])
        columns = {"labels": np.arange(96) % 10, "class_names": [f"class{i}" for i in range(10)]}
        blob = np.frombuffer(b"".join(files), np.uint8)
        np.savez(folder / f"{name}.npz", blob=blob, offsets=offsets, **columns)
    return {"data.path": {name: str(folder / f"{name}.npz") for name in ("train", "test")}}


def imagenet(folder, rng):
    """What `tfds build` prepares, in the form that `astrojax convert` writes."""
    n, info = 96, DataInfo(("red", "green", "blue"), 64, unit="display", classes=("a", "b", "c"))
    sources = {
        name: ArraySource(
            {
                "image": rng.integers(0, 255, (n, 64, 64, 3), np.uint8),
                "label": np.arange(n) % 3,
                "id": np.array([f"{name}{i}" for i in range(n)]),
            },
            info,
        )
        for name in ("train", "validation")
    }
    tfds.convert(sources, folder, "tiny")
    return {"data.directory": str(folder), "data.dataset": "tiny"}


def challenge(folder, rng):
    """The second Lens Finding Challenge."""
    n = 120
    for band in ("H", "J", "Y"):
        (folder / f"EUC_{band}").mkdir()
        for i in range(n):
            image = rng.normal(0, 1e-10, (66, 66)).astype(np.float32)
            fits.PrimaryHDU(image).writeto(
                folder / f"EUC_{band}" / f"imageEUC_{band}-{200001 + i}.fits"
            )
    names = ",ID,z_lens,ein_area,n_source_im,mag_eff,n_pix_source"
    rows = [
        f"{i},{200001 + i},0.5,{area:.3e},2,3.0,50"
        for i, area in enumerate(rng.uniform(1, 9, n) * 1e-11)
    ]
    text = "\n".join(["# made for a test", names, *rows]) + "\n"
    (folder / "catalogue.csv").write_text(text)
    return {
        "data.path": str(folder),
        "data.catalogue": str(folder / "catalogue.csv"),
        "data.labels.count": 32,
        "data.resize": 48,
    }


def stamps(folder, rng):
    """Real galaxies behind the lenses."""
    spot = np.exp(-np.hypot(*np.mgrid[-32:32, -32:32]) / rng.uniform(2, 6, (4, 1, 1)))
    np.save(folder / "stamps.npy", spot.astype(np.float32))
    observation = {"stamp": 24, "pixel_scale": 0.23, "supersampling": 1, "psf_count": 3}
    observation |= {"psf_size": 5, "psf_fwhm": (0.3, 0.4)}
    where = {"data.stamps": str(folder / "stamps.npy"), "data.count": 112, "data.test": 32}
    where |= {"method.simulator.stamps": str(folder / "stamps.npy"), "data.validation": 16}
    for place in ("data", "method.simulator"):
        where |= {f"{place}.observation.{name}": value for name, value in observation.items()}
    return where


CONVNEXT = {"method.backbone.depths": (1, 1), "method.backbone.widths": (8, 16)}
RESNET = {"method.backbone.depths": (1, 1), "method.backbone.width": 8}
VGG = {"method.backbone.depths": (1, 1), "method.backbone.widths": (8, 16)}
PLANE = {"evaluate.projection.method": "pca"}
QUEUE = {"method.queue_size": 64}
PITA = CONVNEXT | QUEUE | PLANE | {"evaluate.explorer.method": "pca"}
PITA |= {"method.redshift_head": (16,), "method.color_head": (16,), "method.view.crop": 24}
VIT = {
    "method.backbone.width": 24,
    "method.backbone.depth": 1,
    "method.backbone.heads": 2,
    "method.predictor.width": 24,
    "method.predictor.depth": 1,
    "method.predictor.heads": 2,
}
LEJEPA = CONVNEXT | {"method.projector": (32, 16), "monitor.collapse": "warn"}
SELF = RESNET | {"method.mlp": (32, 16), "monitor": None}
SIAM = RESNET | {"method.projector": (16, 16, 16), "method.predictor": 8, "method.resize": 32}

RUNS = {
    "pita:paper": (candels, PITA),
    "magnitudes:paper": (splus, VGG | {"method.hidden": 32, "monitor.examples": 16} | PLANE),
    "photoz_mlp:paper": (candels, {}),
    "photoz_supervised:paper": (candels, CONVNEXT | PLANE),
    "moco:paper": (candels, CONVNEXT | QUEUE | PLANE),
    "moco:paper_finetune": (candels, CONVNEXT | PLANE | {"init": None}),
    "transfer:sgq_vgg16_scratch": (splus, VGG | {"method.head": (32,)} | PLANE),
    "ijepa:paper": (galaxy10, VIT),
    "lejepa:paper": (galaxy10, LEJEPA),
    "lejepa:natural": (galaxy10, LEJEPA),
    "self_classifier:cifar10": (cifar, SELF | {"method.classes": (10, 10)}),
    "self_classifier:imagenet": (imagenet, SELF | {"method.classes": (10, 10)}),
    "self_classifier:eccv": (imagenet, SELF | {"method.classes": (10, 10)}),
    "imagenet_linear": (imagenet, RESNET | {"init": None, "method.outputs": 3}),
    "lens_challenge": (challenge, RESNET | PLANE | {"init": None, "method.view.crop": 48}),
    "lensiam:paper": (stamps, SIAM | PLANE),
    "simsiam_lenses:paper": (stamps, SIAM | PLANE | {"method.view.crop": 32}),
}
QUICK = ("magnitudes:paper",)


def small(config, changes):
    """The config with other values at the given paths, and two epochs of batches of 16."""
    config |= {"epochs": 2.0, "batch_size": 16, "threads": 0, "log_every": 1}
    for path, value in changes.items():
        *parents, key = path.split(".")
        section = config
        for name in parents:
            section = section[name]
        assert key in section or not parents, f"there is no {path}"
        section[key] = value
    schedule = config["optim"]["schedule"]
    if "warmup_epochs" in schedule:
        schedule["warmup_epochs"] = 0.0
    for task in config["evaluate"].values():
        task |= {key: 10 for key in ("n_bootstrap", "max_iterations", "limit") if key in task}
    return config


def test_every_recipe_that_the_documents_name_exists(experiment):
    """Also those named in short, `pita.py:paper`; `test_docs.py` checks whole commands."""
    text = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    named = set(re.findall(r"`(?:experiments/)?(\w+)\.py:(\w+)`", text))
    assert ("moco", "paper_finetune") in named
    for name, variant in named:
        assert experiment(name, variant)["method"]


@pytest.mark.parametrize("name", RUNS)
def test_a_published_recipe_runs_to_its_end(experiment, name, tmp_path):
    if name not in QUICK and not os.environ.get(ALL):
        pytest.skip("ASTROJAX_ALL_PAPERS=1 runs it")
    layout, changes = RUNS[name]
    config = experiment(*name.split(":"))
    places = layout(tmp_path, np.random.default_rng(0))
    if name.startswith("transfer"):
        places = {k: v for k, v in places.items() if "exclude" not in k}
        places["data.table"] = str(tmp_path / "all_classes.csv")
    config = small(config, places | changes)
    assert loop.train(config, tmp_path / "run")
    evaluation.run(tmp_path / "run")
    found = json.loads((tmp_path / "run" / "evaluation" / "metrics.json").read_text())
    assert set(config["evaluate"]) <= set(found)
