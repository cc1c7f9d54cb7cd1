# SPDX-License-Identifier: Apache-2.0
"""Weights from PyTorch, and back: torchvision, timm and the papers' own checkpoints.

State dicts are plain {name: array}; PyTorch itself is needed only to read `.pth` and `.ckpt`.

    weights = read("resnet50.safetensors")
    module = load(weights, arch="torchvision/resnet50")
    save(module, "again.safetensors", arch="torchvision/resnet50")
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from astrojax import files
from astrojax.errors import UserError
from astrojax.interop.architectures import Architecture, find
from astrojax.interop.names import Entry, Rule, entries
from astrojax.nn.backbones import ViT

STATE_DICTS = ("state_dict", "full_model_state_dict", "model_state_dict", "model")
"""Entries of a checkpoint that may hold the weights, the first that is there is read."""

_PICKLED = (".pth", ".pt", ".ckpt", ".tar", ".bin")


def load(
    state_dict: Mapping[str, Any],
    *,
    arch: str,
    bands: int | None = None,
    stem: str | None = None,
    classifier: bool = True,
) -> nnx.Module:
    """Builds a network and gives it the weights of a state dict.

    Args:
        state_dict: {name: array}, every entry of which is used once. The "module." that
            DataParallel puts before all names is taken off, `num_batches_tracked` is not needed,
            and neither are PITA's momentum copies and queue.
        arch: One of `architectures.ARCHITECTURES`, e.g. "torchvision/resnet50".
        bands: Bands of the network's images; None for those of the published weights.
        stem: What becomes of a first convolution with other bands: "mean" gives every band the
            mean over the old ones, "repeat" the old ones in turn, both times old / new bands so
            that responses keep their size; "fresh" draws it anew; None forbids it.
        classifier: Whether the network has the weights' classifier; if not, it gives features,
            and the classifier's entries are left.

    Returns:
        A module: `module(images)` gives logits, `module.features(images)` features, except that
        "pita_z" gives {"latent", "query", "redshift", "color"} and the SimSiams {"z", "p"}.

    Raises:
        UserError: An entry is missing, left over or wrongly shaped; the message names it.
    """
    architecture = find(arch)
    arrays = _arrays(state_dict, architecture, classifier)
    shapes = {name: x.shape for name, x in arrays.items()}
    wanted = architecture.bands if bands is None else bands
    module = nnx.eval_shape(
        lambda: architecture.build(shapes, wanted, classifier, nnx.Rngs(0))
    )  # shapes only: no initial weights are drawn to be thrown away
    arrays = _adapted(arrays, architecture, wanted, stem)
    _fill(module, arrays, architecture.rule(module))
    return module


def state_dict(module: nnx.Module, *, arch: str) -> dict[str, np.ndarray]:
    """A module's weights with the names, shapes and order of axes that PyTorch has.

    Args:
        module: A module with the layers of `arch`, of any size.
        arch: Whose names to use; `num_batches_tracked` is zero, as it does not change results.
    """
    out = {}
    for entry in entries(module, find(arch).rule(module)):
        out[entry.name] = np.ascontiguousarray(entry.to_torch(np.asarray(entry.variable[...])))
        if entry.name.endswith(".running_mean"):
            counter = entry.name.replace("running_mean", "num_batches_tracked")
            out[counter] = np.zeros((), np.int64)
    if isinstance(module, ViT) and "pos_embed" not in out:
        out["pos_embed"] = np.asarray(module.position_table())  # timm has no sine-cosine option
    return out


def save(module: nnx.Module, path: str | Path, *, arch: str) -> None:
    """Writes a module's weights as safetensors that torchvision or timm can load.

    Raises:
        UserError: The file cannot be written.
    """
    from safetensors.numpy import save_file

    if not Path(path).parent.is_dir():
        raise UserError(f"there is no folder {str(Path(path).parent)!r} to write {path} to")
    with files.atomic_write(path) as temporary:
        save_file(state_dict(module, arch=arch), temporary)


def read(path: str | Path, *, entry: str | None = None) -> dict[str, np.ndarray]:
    """Reads a state dict from `.safetensors`, or from `.pth`, `.pt`, `.ckpt`, `.tar`, `.bin`.

    Args:
        path: The file. Pickled ones need PyTorch, and only tensors and plain values are read
            from them: a pickle that could run code is refused.
        entry: Which entry of a checkpoint holds the weights; None for the first of `STATE_DICTS`
            that it has, or the whole if it is a state dict itself.

    Raises:
        UserError: The file is absent, damaged, refused, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist: give the path of a checkpoint")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix not in _PICKLED:
        raise UserError(f"{path} has to end in .safetensors or one of {', '.join(_PICKLED)}")
    return _state_dict(_read_pickled(path), path, entry)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.flax import load_file  # NumPy alone has no bfloat16

    try:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            return {name: np.asarray(x) for name, x in load_file(path).items()}
    except Exception as error:  # types of numbers that JAX has not, beside what is damaged
        raise UserError(f"{path} cannot be read as safetensors: {error}") from error


def _read_pickled(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"reading {path} needs PyTorch: install 'astrojax[torch]', or convert it to safetensors"
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or refused pickle raises
        reason = str(error).strip().split("\n")[0][:160]
        raise UserError(
            f"{path} is damaged, or holds more than tensors and is refused because a pickle can "
            f"run code; save only its state_dict ({type(error).__name__}: {reason})"
        ) from error


def _state_dict(checkpoint: Any, path: Path, entry: str | None) -> dict[str, np.ndarray]:
    """The weights within what `torch.load` gave."""
    import torch

    found = checkpoint
    if isinstance(checkpoint, Mapping):
        nested = [entry] if entry is not None else [k for k in STATE_DICTS if k in checkpoint]
        found = checkpoint.get(nested[0]) if nested else checkpoint
    is_weights = isinstance(found, Mapping) and all(torch.is_tensor(v) for v in found.values())
    if not found or not is_weights:
        has = list(checkpoint)[:12] if isinstance(checkpoint, Mapping) else type(checkpoint)
        raise UserError(f"{path} holds no state dict of tensors under {entry or 'any name'}: {has}")
    return {
        name: (x.float() if x.dtype is torch.bfloat16 else x).detach().numpy()
        for name, x in found.items()
    }


def _arrays(
    state_dict: Mapping[str, Any], architecture: Architecture, classifier: bool
) -> dict[str, np.ndarray]:
    """The entries that the network has to have: without wrappers, counters and training state."""
    found = {name: np.asarray(x) for name, x in state_dict.items()}
    if found and all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): x for name, x in found.items()}
    dropped = [r"(.*\.)?num_batches_tracked$"]
    dropped += [architecture.training] if architecture.training else []
    dropped += [architecture.classifier] if architecture.classifier and not classifier else []
    found = {k: v for k, v in found.items() if not any(re.match(p, k) for p in dropped)}
    return architecture.aliases(found) if architecture.aliases else found


def _adapted(
    arrays: dict[str, np.ndarray], architecture: Architecture, bands: int, stem: str | None
) -> dict[str, np.ndarray]:
    """The entries with a first convolution for `bands`, changed only in the way `stem` says."""
    weight = arrays.get(architecture.stem)
    if weight is None or weight.ndim != 4 or weight.shape[1] == bands:
        return arrays
    old = weight.shape[1]
    if stem == "mean":
        new = np.repeat(weight.mean(1, keepdims=True), bands, axis=1) * (old / bands)
    elif stem == "repeat":
        new = weight[:, np.arange(bands) % old] * (old / bands)
    elif stem == "fresh":
        fan_in = bands * weight.shape[2] * weight.shape[3]
        shape = (weight.shape[0], bands, *weight.shape[2:])
        new = np.random.default_rng(0).standard_normal(shape) * fan_in**-0.5
    else:
        raise UserError(
            f"'{architecture.stem}' has {old} bands and the network {bands}: "
            "set stem to 'mean', 'repeat' or 'fresh' to adapt it"
        )
    return {**arrays, architecture.stem: new.astype(np.float32)}


def _fill(module: nnx.Module, arrays: Mapping[str, np.ndarray], rule: Rule) -> None:
    """Sets every variable of a module from the entry that `rule` names, and uses every entry."""
    wanted = {entry.name: entry for entry in entries(module, rule)}
    problems = [_listed("missing", [n for n in wanted if n not in arrays])]
    problems.append(_listed("left over", [n for n in arrays if n not in wanted]))
    problems.append(_listed("wrongly shaped", _misshapen(wanted, arrays)))
    if any(problems):
        raise UserError(
            f"the state dict does not fit: {'; '.join(p for p in problems if p)}; "
            "check arch, bands and classifier"
        )
    for name, entry in wanted.items():
        value = entry.from_torch(arrays[name])
        entry.variable.set_value(jnp.asarray(value, entry.variable.dtype))


def _misshapen(wanted: Mapping[str, Entry], arrays: Mapping[str, np.ndarray]) -> list[str]:
    return [
        f"{name} {arrays[name].shape} for {entry.shape()}"
        for name, entry in wanted.items()
        if name in arrays and arrays[name].shape != entry.shape()
    ]


def _listed(what: str, which: list[str]) -> str:
    """'missing: a, b and 3 more', or '' if there are none."""
    more = f" and {len(which) - 5} more" if len(which) > 5 else ""
    return f"{what}: {', '.join(which[:5])}{more}" if which else ""
