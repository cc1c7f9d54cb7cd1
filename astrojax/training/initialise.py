# SPDX-License-Identifier: Apache-2.0
"""Initial weights from another run, from a model bundle, or from PyTorch."""

import inspect
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from astrojax import files
from astrojax.config import Bound, bind
from astrojax.data import units
from astrojax.data.info import DataInfo
from astrojax.errors import UserError
from astrojax.nn.layers import NonTrainable
from astrojax.training import bundle_hashes
from astrojax.training.checkpoint import read_config, restore_variables


def bind_section(section: dict | None) -> Bound | None:
    """Returns what the config section `init` describes, to be called with `method`.

    Args:
        section: `name` is "run" (keys of `from_run`), "bundle" (keys of `from_bundle`) or "torch"
            (keys of `from_torch`); None keeps the random weights.

    Raises:
        UserError: Another name, or a key that does not fit.
    """
    if section is None:
        return None
    kinds: dict[str, Callable] = {"run": from_run, "bundle": from_bundle, "torch": from_torch}
    name = section.get("name")
    if name not in kinds:
        raise UserError(f"config key 'init.name' is {name!r}; choose from {', '.join(kinds)}")
    runtime = ("method", "info") if name == "run" else ("method",)
    return bind(kinds[name], section, path="init", runtime=runtime)


def apply(init: Bound, method: nnx.Module, info: DataInfo) -> None:
    """Replaces parts of a method as `bind_section` has it; `info` is of the data here.

    Raises:
        UserError: What the section names does not fit the method or the data.
    """
    known = {"method": method, "info": info}
    taken = inspect.signature(init.fn).parameters
    init(**{name: value for name, value in known.items() if name in taken})


def from_run(
    *, method: nnx.Module, info: DataInfo, workdir: str, parts: dict, stem: str | None
) -> None:
    """Replaces parts of a method by parts of another run's checkpoint.

    Parameters and batch statistics are taken; optimizer state and everything else are not.

    Bands in another order are matched by their names.

    Args:
        method: The method to change.
        info: The data here.
        workdir: Folder of the run to take from.
        parts: {part here: part there}, as paths of attributes: {"backbone": "encoder/backbone"};
            places in a list are numbers: {"head/linears/0": "head/linears/0"}.
        stem: "mean" gives a first convolution with other bands the mean over those of the run,
            so that a grey image acts as its copies in all bands would; None forbids it.

    Raises:
        UserError: There is no such run or part, or a shape, a band or the unit differs; the
            message names it.
    """
    if stem not in (None, "mean"):
        raise UserError(f"config key 'init.stem' is {stem!r}; use 'mean' or None")
    trained = _trained_bands(workdir, info, any_band=stem is not None)
    saved = restore_variables(workdir)
    for here, there in parts.items():
        module = _part(method, here, "init.parts")
        names = {path: "/".join(map(str, (there, *path))) for path in _variables(module)}
        for name in names.values():
            if name not in saved:
                raise UserError(f"the run in {workdir} has no '{name}' for {here!r} to start from")
        values = {path: saved[name] for path, name in names.items()}
        if stem is None and trained != info.bands:
            values = {k: _by_name(k, v, trained, info.bands) for k, v in values.items()}
        if stem is not None:
            values = {k: _with_bands(values[k], v.shape) for k, v in _variables(module).items()}
        _assign(module, values, there, workdir)


def _trained_bands(workdir: str, info: DataInfo, *, any_band: bool) -> tuple[str, ...]:
    """Returns the bands that a run was trained on; those here if its config does not say them.

    Raises:
        UserError: It was trained on another unit or, unless `any_band`, lacks a band.
    """
    data = read_config(workdir)["data"]
    said = data.get("info") or (data.get("cutouts") or {}).get("info") or {}
    unit = data.get("convert") or said.get("unit", "header")
    unit = units.canonical(unit) or unit
    if unit != "header" and not data.get("composite") and unit != info.unit:
        raise UserError(
            f"the run in {workdir} was trained on images in {unit}, and these are in {info.unit}: "
            f"data.convert={unit!r} brings fluxes to its unit"
        )
    trained = tuple(said.get("bands", info.bands))
    lacking = [band for band in info.bands if band not in trained]
    if any_band or data.get("composite"):
        return info.bands
    if lacking:
        raise UserError(
            f"the run in {workdir} was trained on the bands {', '.join(trained)}, and these have "
            f"{', '.join(lacking)}: choose its bands, or set config key 'init.stem' to 'mean'"
        )
    if trained != info.bands:
        logging.info("%s: bands %s are matched by name", workdir, ", ".join(info.bands))
    return trained


def from_bundle(*, method: nnx.Module, path: str, parts: dict, bands: tuple[str, ...]) -> None:
    """Replaces parts of a method by parts of a model bundle; bands are matched by their names.

    The first layer takes the weights of a band from the band of the same name, whatever its place;
    a band that the bundle lacks gets the mean over those it has.

    Args:
        method: The method to change.
        path: Folder of the bundle.
        parts: {part here: part there}, as paths of attributes.
        bands: Bands of the images here.

    Raises:
        UserError: There is no such bundle or part, it is damaged, or a shape differs; the message
            names it.
    """
    from astrojax.interop import torch

    folder = Path(path)
    with files.reading(f"the bundle {folder}"):
        card = files.read_json(folder / "card.json")
        bundle_hashes.check(folder, card, ["model.safetensors"])
        trained = tuple(card["data"]["bands"])
    saved = torch.read(folder / "model.safetensors")
    for here, there in parts.items():
        values = {}
        for inner in _variables(_part(method, here, "init.parts")):
            name = "/".join(map(str, (there, *inner)))
            if name not in saved:
                raise UserError(f"the bundle {path} has no '{name}' for {here!r} to start from")
            values[inner] = _by_name(inner, saved[name], trained, bands)
        _assign(_part(method, here, "init.parts"), values, there, path)


def _by_name(
    path: tuple, kernel: np.ndarray, trained: tuple[str, ...], bands: tuple[str, ...]
) -> np.ndarray:
    """Returns the kernel [h w c d] of a first layer for other bands; anything else unchanged."""
    first = str(path[0]) in ("stem", "patch") and kernel.ndim == 4
    if not first or kernel.shape[2] != len(trained) or trained == bands:
        return kernel
    new = [b for b in bands if b not in trained]
    if new:
        logging.info("the first layer begins with the mean over bands for %s", ", ".join(new))
    mean = kernel.mean(2)
    parts = [kernel[:, :, trained.index(b)] if b in trained else mean for b in bands]
    return np.stack(parts, 2) * (len(trained) / len(bands))


def from_torch(*, method: nnx.Module, path: str, arch: str, part: str, stem: str | None) -> None:
    """Gives a part of a method published weights, e.g. those of ImageNet.

    Args:
        method: The method to change.
        path: A state dict as `.safetensors` or `.pth`, such as torchvision's VGG16.
        arch: Whose names and layers it has, e.g. "torchvision/vgg16".
        part: The part to fill, a backbone with the layers of `arch`; its classifier is left out.
        stem: How a first convolution for other bands is made, as in `interop.torch.load`.

    Raises:
        UserError: The file does not fit `arch`, or `arch` not the part; the message names it.
    """
    from astrojax.interop import torch

    module = _part(method, part, "init.part")
    loaded = torch.load(
        torch.read(path),
        arch=arch,
        bands=getattr(module, "bands", None),
        stem=stem,
        classifier=False,
    )
    found = {k: np.asarray(v[...]) for k, v in _variables(loaded).items()}
    missing = [k for k in _variables(module) if k not in found]
    if missing or len(found) != len(_variables(module)):
        raise UserError(
            f"config key 'init.arch', {arch!r}, has other layers than {part!r} here "
            f"({len(found)} against {len(_variables(module))} variables): set its sizes alike"
        )
    _assign(module, found, part, path)


def _part(method: nnx.Module, path: str, key: str) -> nnx.Module:
    module: Any = method
    for name in path.split("/"):
        if name.isdigit() and int(name) < len(module):
            module = module[int(name)]
        elif hasattr(module, name):
            module = getattr(module, name)
        else:
            raise UserError(f"config key '{key}' names {path!r}, which the method lacks")
    return module


def _variables(module: nnx.Module) -> dict[tuple, nnx.Variable]:
    return dict(nnx.to_flat_state(nnx.state(module, nnx.Not(NonTrainable))))


def _with_bands(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A convolution's kernel [h w c d] for another number of bands c; anything else unchanged."""
    old = kernel.shape
    if old == shape or len(old) != 4 or (*old[:2], old[3]) != (*shape[:2], *shape[3:]):
        return kernel
    return np.repeat(kernel.mean(2, keepdims=True), shape[2], 2) * (old[2] / shape[2])


def _assign(module: nnx.Module, values: Mapping[tuple, Any], there: str, where: str) -> None:
    """Sets every variable of a module, all of the right shape."""
    state = nnx.state(module, nnx.Not(NonTrainable))
    for path, variable in nnx.to_flat_state(state):
        if values[path].shape != variable.shape:
            name = "/".join(map(str, (there, *path)))
            raise UserError(
                f"'{name}' has shape {values[path].shape} in {where} and {variable.shape} "
                "here: the two configs differ"
            )
        variable.set_value(jax.numpy.asarray(values[path], variable.dtype))
    nnx.update(module, state)
