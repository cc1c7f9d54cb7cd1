# SPDX-License-Identifier: Apache-2.0
"""Recipes of pretraining: the sections `method` and `optim` of each method, fitted to the data.

They are the experiments of the repository without what is special to their data: any number of
bands, any size of stamp. Every value stands in the resolved config of a run, and
`--config.KEY=VALUE` changes it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from astrojax.data.source import Source
from astrojax.errors import UserError
from astrojax.training.recipes import parts
from astrojax.training.recipes.fit import Fit

Sections = tuple[dict[str, Any], dict[str, Any]]
Data = Mapping[str, Source]


def _convnext(fit: Fit) -> dict[str, Any]:
    if fit.size == "small":
        return parts.convnext(depths=(2, 2, 2), widths=(24, 48, 96))
    stride = 4 if fit.crop >= 96 else 2  # four stages halve the grid three times
    changed = {"drop_path": 0.1, "stem_size": stride, "stem_stride": stride}
    if fit.size == "base":
        return parts.convnext(depths=(2, 2, 6, 2), widths=(40, 80, 160, 320), **changed)
    return parts.convnext(depths=(3, 3, 9, 3), widths=(96, 192, 384, 768), **changed)


def _resnet(fit: Fit) -> dict[str, Any]:
    depths, width = {
        "small": ((1, 1, 1, 1), 32),
        "base": ((2, 2, 2, 2), 64),
        "large": ((3, 4, 6, 3), 64),
    }[fit.size]
    block = "bottleneck" if fit.size == "large" else "basic"
    stem = "imagenet" if fit.crop >= 32 or fit.size == "small" else "cifar"
    return parts.resnet(depths=depths, width=width, block=block, stem=stem)


def _vit(fit: Fit) -> dict[str, Any]:
    width, depth, heads = {"small": (96, 4, 3), "base": (192, 12, 3), "large": (384, 12, 6)}[
        fit.size
    ]
    return parts.vit(patch_size=fit.crop // 8, width=width, depth=depth, heads=heads)


def _view(fit: Fit, *, crop: int | None = None, **changed: Any) -> dict[str, Any]:
    usual = {"shift": round(fit.crop / 24, 2), "noise": fit.noise}
    return parts.galaxy_view(crop or fit.crop, **{**usual, **changed})


def _adamw(fit: Fit, *, peak: float, batch: int, weight_decay: float, **changed: Any) -> dict:
    return parts.optim(
        parts.adamw(weight_decay=weight_decay), fit.cosine(fit.rate(peak, batch=batch)), **changed
    )


def lejepa(fit: Fit, data: Data) -> Sections:
    """LeJEPA: two global views, and local ones of half the side."""
    local = max(fit.crop // 2 // 8 * 8, 32 if fit.crop >= 96 else 16)
    blur = (0.0, 0.8)
    method = {
        "name": "lejepa",
        "backbone": _resnet(fit) if fit.size == "small" else _convnext(fit),
        "projector": (256, 256, 32) if fit.size == "small" else (1024, 1024, 64),
        "global_views": 2,
        "local_views": 2 if fit.size == "small" else 6,
        "global_view": _view(fit, zoom=(0.9, 1.2), blur=blur),
        "local_view": _view(fit, crop=local, zoom=(0.75, 1.25), shift=fit.crop / 8, blur=blur),
        "sigreg_weight": 0.05,
        "sigreg_directions": 256 if fit.size == "small" else 1024,
        "sigreg_t_max": 3.0,
        "sigreg_points": 17,
        "stretch": fit.stretch,
    }
    return method, _adamw(fit, peak=1e-3, batch=128, weight_decay=0.05, clip_norm=None)


def ijepa(fit: Fit, data: Data) -> Sections:
    """I-JEPA with SIGReg: 8 x 8 patches, masks in blocks that follow the light."""
    backbone = _vit(fit)
    width = backbone["width"] // 2
    method = {
        "name": "ijepa",
        "backbone": backbone,
        "predictor": {
            "width": width,
            "depth": max(backbone["depth"] // 2, 2),
            "heads": backbone["heads"],
            "mlp_ratio": 4.0,
            "positions": "sincos",
            "activation": "gelu",
            "dropout": 0.0,
            "projections": True,
            "dtype": "float32",
            "remat": False,
        },
        "masks": {
            "num_targets": 4,
            "target_scale": (0.15, 0.2),
            "target_aspect": (0.75, 1.5),
            "context_scale": (0.85, 1.0),
            "context_aspect": (1.0, 1.0),
            "context_tokens": 24,
            "min_context": 8,
            "brightness_biased": True,
        },
        "error": "smooth_l1",
        "normalise_targets": True,
        "momentum_start": 0.99,
        "momentum_end": 1.0,
        "share_patches": False,
        "sigreg_weight": 0.02,
        "sigreg_directions": 256,
        "sigreg_t_max": 3.0,
        "sigreg_points": 17,
        "sigreg_n_scaled": True,
        "anomaly_draws": 8,
        "view": _view(fit, zoom=(0.9, 1.1), noise=0.0),
        "stretch": fit.stretch,
    }
    return method, _adamw(fit, peak=1e-3, batch=128, weight_decay=0.05)


def _contrastive(fit: Fit) -> dict[str, Any]:
    return {
        "backbone": _convnext(fit),
        "backbone_outputs": None,
        "latent": (256, 128),
        "projection": (128, 64),
        "mlp_init": "lecun_normal",
        "queue_size": int(min(4096, max(fit.count // fit.batch, 1) * fit.batch)),
        "momentum": 0.99,
        "temperature": 0.1,
        "view": _view(fit),
        "stretch": fit.stretch,
    }


def moco(fit: Fit, data: Data) -> Sections:
    """MoCo: two views of a galaxy against a queue of others."""
    method = {"name": "moco", **_contrastive(fit)}
    return method, _adamw(fit, peak=1e-3, batch=128, weight_decay=1e-4)


def pita(fit: Fit, data: Data) -> Sections:
    """PITA: contrast, colors and, where there are any, redshifts."""
    bands = fit.info.catalogue_bands or fit.info.bands
    if "magnitude" not in fit.columns:
        raise UserError(
            "pita needs a flux or a magnitude in each band: add e.g. --set "
            f"columns.flux={','.join(f'flux_{b}' for b in bands)} (and zero_point=... for fluxes), "
            "or take lejepa, which needs images alone"
        )
    magnitude = np.asarray(data["train"].column("magnitude"), np.float64)
    if magnitude.ndim != 2 or magnitude.shape[1] != len(fit.info.bands):
        raise UserError(
            f"pita needs a magnitude in each of the {len(fit.info.bands)} bands of the images; the "
            f"data have {1 if magnitude.ndim == 1 else magnitude.shape[1]}"
        )
    middle = np.nanmedian(magnitude, axis=0)
    offset = (*(middle[:-1] - middle[1:]), middle[-1])
    redshift = "redshift" in fit.columns and bool(
        np.isfinite(np.asarray(data["train"].column("redshift"), float)).any()
    )
    method = {
        "name": "pita",
        **_contrastive(fit),
        "redshift_head": (256, 128, 64),
        "redshift_components": 0,
        "color_head": (256, 128, 64),
        "contrastive_weight": 0.0005,
        "redshift_weight": 1.0 if redshift else 0.0,
        "color_weight": 0.16,
        "huber_delta": 0.15,
        "color_units": "magnitudes",
        "color_offset": tuple(round(float(x), 2) for x in offset),
        "enqueue_first": False,
        "test_time_augmentation": 4,
    }
    return method, _adamw(fit, peak=1e-3, batch=128, weight_decay=1e-4)


def simsiam(fit: Fit, data: Data) -> Sections:
    """SimSiam: two views of an image, no negatives."""
    method = {
        "name": "simsiam",
        "backbone": _resnet(fit),
        "projector": (256, 256, 256),
        "predictor": 64,
        "heads": "simsiam",
        "simulator": None,
        "view": _view(fit, zoom=(0.8, 1.25), blur=(0.0, 1.0)),
        "resize": None,
        "offset": (0.0,) * len(fit.info.bands),
        "stretch": fit.stretch,
    }
    optimizer = parts.sgd(weight_decay=5e-4)
    schedule = fit.cosine(fit.rate(0.05, batch=256, power=1.0))
    changed = {"decay_bias_and_norm": True, "fixed_lr": ("predictor",), "clip_norm": None}
    return method, parts.optim(optimizer, schedule, **changed)


def self_classifier(fit: Fit, data: Data) -> Sections:
    """Self-Classifier: 21 classes that nobody labelled."""
    method = {
        "name": "self_classifier",
        "version": {"name": "2021", "temperature": 0.1, "normalize_rows": True},
        "backbone": _resnet(fit),
        "mlp": (256, 256, 64),
        "mlp_norm": True,
        "classes": (min(21, fit.batch // 2),) * 15,
        "classifier": "fixed",
        "view": _view(fit, zoom=(0.9, 1.2), blur=(0.0, 0.8)),
        "offset": (0.0,) * len(fit.info.bands),
        "stretch": fit.stretch,
    }
    peak = fit.rate(0.4, batch=128, power=1.0)
    schedule = parts.cosine(
        peak_value=peak, warmup_epochs=0.0, init_value=peak, end_value=peak / 100
    )
    changed = {"decay_bias_and_norm": True, "clip_norm": None}
    return method, parts.optim(parts.sgd(weight_decay=1e-6), schedule, **changed)


def magnitudes(fit: Fit, data: Data) -> Sections:
    """Magnitudes as a pretext task: no zooms, which change the flux."""
    if "magnitude" not in fit.columns:
        raise UserError(
            "magnitudes needs magnitudes in the data: add e.g. --set columns.magnitude=mag_g,mag_r "
            "(and catalogue=FILE), or take lejepa, which needs images alone"
        )
    values = np.asarray(data["train"].column("magnitude"), np.float64).reshape(fit.count, -1)
    measured = values[np.isfinite(values) & (values > 0) & (values < 40)]
    if not len(measured):
        raise UserError("no training example has a magnitude")
    method = {
        "name": "magnitudes",
        "backbone": _resnet(fit),
        "hidden": 256,
        "negative_slope": 0.0,
        "max_norm": 2.0,
        "dropout": 0.0,
        "outputs": values.shape[1],
        "divisor": 40.0,
        "start": float(np.clip(np.round(np.median(measured), 1), 0.1, 39.9)),
        "view": _view(fit, shift=0.0, noise=0.0),
        "stretch": fit.stretch,
    }
    return method, _adamw(fit, peak=2e-3, batch=64, weight_decay=1e-4)


RECIPES: dict[str, Callable[[Fit, Data], Sections]] = {
    "lejepa": lejepa,
    "ijepa": ijepa,
    "pita": pita,
    "moco": moco,
    "simsiam": simsiam,
    "self_classifier": self_classifier,
    "magnitudes": magnitudes,
}
