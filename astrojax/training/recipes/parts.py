# SPDX-License-Identifier: Apache-2.0
"""Parts of configs: keys of running, optimizers, backbones, views, evaluation tasks.

Recipes and experiments are made of them; each keyword that is not given has the value that most of
them have in common.
"""

from typing import Any

from ml_collections import ConfigDict


def start(*, epochs: float, batch_size: int, **changed: Any) -> ConfigDict:
    """Returns the keys of running, all of them, so that a command line can set any."""
    keys: dict[str, Any] = {
        "seed": 0,
        "epochs": epochs,
        "batch_size": batch_size,
        "fsdp": 1,
        "threads": 0,
    }
    keys |= {"log_every": 20, "checkpoint_every": 100, "keep": 2, "init": None, "monitor": None}
    keys["trackers"] = ()
    return ConfigDict(keys | changed)


def monitor(*, every_epochs: float, examples: int, **changed: Any) -> dict[str, Any]:
    """Returns a monitor that warns of collapse and never stops a run early."""
    fixed = {"knn_label": None, "collapse": "warn", "patience": None}
    return {"every_epochs": every_epochs, "examples": examples, **fixed, **changed}


def adamw(
    *, weight_decay: float | tuple[float, float], b2: float = 0.999, name: str = "adamw"
) -> dict[str, Any]:
    """Returns the optimizer AdamW, or another of Adam's family."""
    return {"name": name, "weight_decay": weight_decay, "b1": 0.9, "b2": b2}


def sgd(*, weight_decay: float, nesterov: bool = False) -> dict[str, Any]:
    """Returns stochastic gradient descent with momentum 0.9."""
    return {"name": "sgd", "weight_decay": weight_decay, "momentum": 0.9, "nesterov": nesterov}


def cosine(
    *, peak_value: float, warmup_epochs: float, init_value: float = 0.0, end_value: float = 1e-6
) -> dict[str, Any]:
    """Returns a rate that rises linearly, and then falls as a cosine."""
    ends = {"init_value": init_value, "end_value": end_value}
    return {"name": "cosine", "peak_value": peak_value, "warmup_epochs": warmup_epochs, **ends}


def optim(optimizer: dict, schedule: dict, **changed: Any) -> dict[str, Any]:
    """Returns a section `optim` that clips gradients, and decays neither biases nor norms."""
    fixed = {"decay_bias_and_norm": False, "fixed_lr": (), "frozen": (), "clip_norm": 1.0}
    fixed |= {"accumulate": 1, "skip_nonfinite": 0}
    return {"optimizer": optimizer, "schedule": schedule, **fixed, **changed}


_NETWORK = {"dtype": "float32", "remat": False}


def resnet(*, depths: tuple[int, ...], **changed: Any) -> dict[str, Any]:
    """Returns a residual network, half as wide as a ResNet-18 unless changed."""
    fixed = {"block": "basic", "stem": "imagenet", "width": 32, "zero_init_residual": False}
    return {"name": "resnet", "depths": depths, **fixed, **_NETWORK, **changed}


def convnext(*, depths: tuple[int, ...], widths: tuple[int, ...], **changed: Any) -> dict[str, Any]:
    """Returns a ConvNeXt."""
    fixed = {"stem_size": 4, "stem_stride": 4, "drop_path": 0.0, "layer_scale": 1.0}
    return {"name": "convnext", "depths": depths, "widths": widths, **fixed, **_NETWORK, **changed}


def vgg(*, depths: tuple[int, ...], widths: tuple[int, ...], **changed: Any) -> dict[str, Any]:
    """Returns a VGG without layers of its own above the convolutions."""
    fixed = {"batch_norm": True, "grid": 1, "hidden": (), "dropout": 0.0}
    return {"name": "vgg", "depths": depths, "widths": widths, **fixed, **_NETWORK, **changed}


def vit(**changed: Any) -> dict[str, Any]:
    """Returns a vision transformer of 96 features in patches of 8 pixels."""
    size = {"patch_size": 8, "width": 96, "depth": 4, "heads": 3, "mlp_ratio": 4.0}
    fixed = {"positions": "sincos", "class_token": False, "pool": "mean", "activation": "gelu"}
    fixed |= {"dropout": 0.0, "drop_path": 0.0}
    return {"name": "vit", **size, **fixed, **_NETWORK, **changed}


def galaxy_view(crop: int, **changed: Any) -> dict[str, Any]:
    """Returns a view of a galaxy, turned and mirrored unless changed."""
    fixed = {"rotate": True, "flip": True, "zoom": (1.0, 1.0), "shift": 0.0, "noise": 0.0}
    return {"name": "galaxy", "crop": crop, **fixed, "blur": None, **changed}


def natural_view(crop: int, *, scale: tuple[float, float], **changed: Any) -> dict[str, Any]:
    """Returns a view of an everyday image: a crop of random size, jittered and blurred."""
    shape = {"interpolation": "bilinear", "scale": scale, "aspect": (0.75, 4 / 3), "flip": True}
    color = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    color |= {"jitter_probability": 0.8, "grey_probability": 0.2}
    blur = {"blur_sigma": (0.1, 2.0), "blur_probability": 0.5, "solarize_probability": 0.0}
    return {"name": "natural", "crop": crop, **shape, **color, **blur, **changed}


def linear_stretch(*scale: float) -> dict[str, Any]:
    """Returns a stretch that multiplies each band by its scale."""
    return {"name": "linear", "scale": scale}


def asinh_stretch(*scale: float) -> dict[str, Any]:
    """Returns a stretch for fluxes in units of a few sky sigma.

    It is compressed above: faint arms and wings, and bright cores.
    """
    return {"name": "asinh", "scale": scale}


PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def linear_probe(**changed: Any) -> dict[str, Any]:
    """Returns a linear probe of the label on all labelled examples."""
    fixed = {"targets": (), "penalties": PENALTIES, "fractions": (), "repeats": 1}
    return {**fixed, "max_iterations": 300, "n_bootstrap": 200, "seed": 0, **changed}


def knn() -> dict[str, Any]:
    """Returns a vote of the nearest neighbours."""
    return {"k": (5, 10, 20, 50), "temperature": 0.1, "n_bootstrap": 200, "seed": 0}


def projection(method: str, **changed: Any) -> dict[str, Any]:
    """Returns a plane of the embeddings, with a mosaic."""
    fixed = {"columns_shown": (), "perplexity": 30.0, "neighbors": 15, "limit": 1000}
    return {"method": method, **fixed, "mosaic": 12, "k": 10, "seed": 0, **changed}


def explorer() -> dict[str, Any]:
    """Returns the page to look around in."""
    fixed = {"method": "tsne", "perplexity": 30.0, "neighbors": 15, "seed": 0}
    return {**fixed, "limit": 5000, "thumbnail": 48}
