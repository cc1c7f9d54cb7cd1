# SPDX-License-Identifier: Apache-2.0
"""Where fine-tuning begins: a run, a bundle, one on the hub, or published weights."""

import logging
from pathlib import Path
from typing import Any, Literal

from astrojax.data import units, validate
from astrojax.data.open import Dataset
from astrojax.errors import UserError
from astrojax.inference import bundle
from astrojax.inference.bundle import Model
from astrojax.inference.model import bundle_of, open_model
from astrojax.interop import hub, torch
from astrojax.interop.architectures import ARCHITECTURES
from astrojax.methods import find
from astrojax.nn.backbones import convnext, resnet, vgg, vit
from astrojax.training import checkpoint
from astrojax.training.recipes import parts
from astrojax.training.recipes.finetuning import Start

WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
Stem = Literal["mean", "repeat", "fresh"]
_VIT_SIDE = 224  # pixels that the published transformers take


def open_start(source: Any, data: Dataset, *, arch: str | None, stem: Stem) -> Start:
    """Returns where a network begins that is to be fine-tuned on some data.

    Args:
        source: A run, a bundle, `hf://owner/name[@revision]`, or a file of weights of torchvision
            or timm; a `workflow.Trained` is its run.
        data: The data, whose bands are matched by name with those of a run or bundle.
        arch: Architecture of a file of weights; None to see it in the entries.
        stem: How a first convolution of published weights is made for other bands; see
            `interop.torch.load`.

    Raises:
        UserError: There is no such model, or the data do not fit it.
    """
    where = str(getattr(source, "workdir", source))
    if where.endswith(WEIGHTS):
        return _of_weights(Path(where).expanduser(), data, arch, stem)
    if arch is not None:
        raise UserError(f"arch is for a file of weights ({', '.join(WEIGHTS)}), not for {where}")
    folder, model = _open_model(where)
    config = checkpoint.read_config(folder)["method"]
    _compare(model, data)
    init = {
        "name": "bundle",
        "path": str(folder.resolve()),
        "parts": {"backbone": find(config).encoder_part},
        "bands": data.info.bands,
    }
    crop = model.card["crop"] if config["backbone"]["name"] == "vit" else None
    return Start(config["backbone"], _stretch(model, data), crop, init)


def _open_model(where: str) -> tuple[Path, Model]:
    """Returns the bundle's folder and its model; a run's bundle is made at first use."""
    if hub.is_address(where):
        folder = hub.local_folder(where, bundle.CONTENTS)
    else:
        folder = Path(where).expanduser()
        if not (folder / "card.json").is_file():
            folder = bundle_of(folder)
    model = open_model(None, str(folder))
    if "backbone" not in checkpoint.read_config(folder)["method"]:
        raise UserError(f"{where} has no backbone of images that could be fine-tuned")
    return folder, model


def _compare(model: Model, data: Dataset) -> None:
    """Raises `UserError` if the pixels are in another unit; bands are matched by name."""
    there, here = model.info, data.info
    if not set(there.bands) & set(here.bands):
        logging.warning(
            "no band of the data (%s) is one that the network was trained on (%s)",
            ", ".join(here.bands),
            ", ".join(there.bands),
        )
    if here.unit != there.unit:
        raise UserError(
            f"the images are in {here.unit}, and the network was trained on {there.unit}: add "
            f"--set convert={there.unit} where both are fluxes, or train on {here.unit}"
        )
    both = here.zero_point is not None and there.zero_point is not None
    if both and not units.same_zero_point(here.zero_point, there.zero_point):
        raise UserError(
            f"one {here.unit} of the images is magnitude {here.zero_point:g}, and "
            f"{there.zero_point:g} of those that the network was trained on: bring both to one "
            "unit, e.g. with --set convert=microjansky in both trainings"
        )
    scales = here.pixel_scale, there.pixel_scale
    if None not in scales and not validate.same_scale(*scales):
        logging.warning("a pixel is %g arcsec here, and was %g in the network's training", *scales)


def _stretch(model: Model, data: Dataset) -> dict[str, Any] | None:
    """Returns the trained stretch with a scale for each band of the data, or None for its own."""
    trained, bands = model.card["stretch"], model.info.bands
    if trained is None or not set(data.info.bands) <= set(bands):
        return None
    scale = tuple(trained["scale"][bands.index(b)] for b in data.info.bands)
    return {**trained, "scale": scale}


def _of_weights(path: Path, data: Dataset, arch: str | None, stem: Stem) -> Start:
    """Returns a start from published weights, for any number of bands."""
    known = [name for name in ARCHITECTURES if name.startswith(("torchvision/", "timm/"))]
    entries = torch.read(validate.file(path))
    arch = _recognise(entries, path, known) if arch is None else validate.key(arch, known, "arch")
    bands = data.info.bands
    if len(bands) != ARCHITECTURES[arch].bands:
        told = {"mean": "the mean over", "repeat": "in turn one of", "fresh": "new weights, not"}
        logging.info(
            "each of the %d bands begins with %s those of %s", len(bands), told[stem], arch
        )
    init = {
        "name": "torch",
        "path": str(path.resolve()),
        "arch": arch,
        "part": "backbone",
        "stem": stem,
    }
    crop = _VIT_SIDE if arch.startswith("timm/") else None
    return Start(_backbone(arch), None, crop, init)


def _recognise(entries: dict[str, Any], path: Path, known: list[str]) -> str:
    """Returns the architecture whose entries these are."""
    for arch in known:
        try:
            torch.load(entries, arch=arch, classifier=False)
        except UserError:
            continue
        logging.info("%s has the weights of %s", path.name, arch)
        return arch
    raise UserError(
        f"{path} has the weights of none of {', '.join(known)}: export them under those names, or "
        "say which with --arch"
    )


def _backbone(arch: str) -> dict[str, Any]:
    """Returns the section of the backbone that takes the weights of an architecture."""
    name = arch.partition("/")[2]
    if name.startswith("resnet"):
        return parts.resnet(**resnet.SIZES[name.removeprefix("resnet")])
    if name.startswith("convnext_"):
        widths = convnext.SIZES[name.removeprefix("convnext_")]
        return parts.convnext(**widths, layer_scale=1e-6)
    if name.startswith("vgg"):
        size, norm = name.removeprefix("vgg").removesuffix("_bn"), name.endswith("_bn")
        return parts.vgg(**vgg.SIZES[size], batch_norm=norm)
    sizes = vit.SIZES[name.split("_")[1]]
    return parts.vit(patch_size=16, **sizes, positions="learned", class_token=True, pool="class")
