# SPDX-License-Identifier: Apache-2.0
"""LenSiam and SimSiam on strong lenses: all but the view, which is what is compared."""

from typing import Any

from ml_collections import ConfigDict

from astrojax.training.recipes import parts

PARAMETERS = ("theta_E", "e1", "e2", "center_x", "center_y", "gamma", "gamma1", "gamma2")


def base(*, view: dict[str, Any] | None) -> ConfigDict:
    """Returns the whole config: the paper's lenses on 44 x 44 pixels, a small ResNet."""
    config = parts.start(epochs=30.0, batch_size=128, checkpoint_every=200)
    config.monitor = parts.monitor(every_epochs=5.0, examples=500, collapse="stop")
    simulator = lenses(stamp=44, pixel_scale=0.125, psf_size=11, psf_fwhm=(0.15, 0.2))
    sizes = {"count": 6500, "validation": 500, "test": 1000, "seed": 0}
    config.data = {"name": "lens", **sizes, **simulator}
    config.method = {
        "name": "simsiam",
        "backbone": parts.resnet(depths=(1, 1, 1)),
        "projector": (256, 256, 256),
        "predictor": 64,
        "heads": "lensiam",
        "simulator": simulator,
        "view": view,
        "resize": None,
        "offset": (0.0,),
        # Without it faint arcs vanish beside the lens galaxy.
        "stretch": parts.asinh_stretch(0.02),
    }
    schedule = parts.cosine(peak_value=0.05, warmup_epochs=1.0, end_value=0.0)
    changed = {"decay_bias_and_norm": True, "fixed_lr": ("predictor",), "clip_norm": None}
    config.optim = parts.optim(parts.sgd(weight_decay=5e-4), schedule, **changed)
    penalties = (1e-5, *parts.PENALTIES)
    config.evaluate = {
        "linear_probe": parts.linear_probe(targets=PARAMETERS, penalties=penalties),
        "projection": parts.projection("auto", columns_shown=PARAMETERS),
    }
    return config


def lenses(*, stamp: int, pixel_scale: float, psf_size: int, psf_fwhm: tuple) -> dict[str, Any]:
    """Returns the paper's lenses as a telescope sees them; ranges of the mass as in its figures."""
    return {
        "population": {
            "theta_E": (0.9, 1.7),
            "e1": (-0.3, 0.3),
            "e2": (-0.3, 0.3),
            "center_x": (-0.1, 0.1),
            "center_y": (-0.1, 0.1),
            "gamma": (1.6, 2.4),
            "gamma1": (-0.1, 0.1),
            "gamma2": (-0.1, 0.1),
            "light_probability": 1.0,
            "light_scatter": 0.025,
            "light_half_light": (0.4, 1.2),
            "light_index": (2.0, 5.0),
            "source_flux": (0.03, 0.3),
            "source_offset": 0.3,
            "source_half_light": (0.05, 0.3),
            "source_index": (0.5, 2.5),
            "source_ellipticity": 0.4,
            "stamp_fraction": 0.0,
            "stamp_scale": 0.03,
            "core_fraction": 0.25,
            "double_fraction": 0.1,
        },
        "observation": {
            "stamp": stamp,
            "pixel_scale": pixel_scale,
            "supersampling": 2,
            "psf_count": 23,
            "psf_size": psf_size,
            "psf_fwhm": psf_fwhm,
            "psf_beta": (2.2, 3.5),
            "psf_ellipticity": 0.03,
            "noise": (0.002, 0.02),
        },
        "psfs": None,
        "stamps": None,
    }


def smoke(config: ConfigDict) -> None:
    """Makes everything tiny."""
    config.update({"epochs": 2.0, "batch_size": 32, "log_every": 2, "checkpoint_every": 4})
    config.monitor.update({"every_epochs": 1.0, "examples": 64, "collapse": "warn"})
    config.data.update({"count": 224, "validation": 32, "test": 64})
    for section in (config.data, config.method.simulator):
        section.observation.update({"stamp": 24, "pixel_scale": 0.23})
        section.observation.update({"supersampling": 1, "psf_count": 3, "psf_size": 5})
        section.observation.psf_fwhm = (0.3, 0.4)
    config.method.backbone.update({"depths": (1, 1), "width": 8})
    config.method.update({"projector": (32, 32, 32), "predictor": 8})
    config.optim.schedule.warmup_epochs = 0.0
    config.evaluate.linear_probe.update({"penalties": (1e-2, 1.0), "n_bootstrap": 20})
    config.evaluate.projection.update({"method": "pca", "mosaic": 4})


def paper(config: ConfigDict) -> None:
    """Changes to the published recipe."""
    config.update({"epochs": 800.0, "batch_size": 400, "checkpoint_every": 1000})
    config.monitor.update({"every_epochs": 10.0, "examples": 1000})
    config.data.update({"count": 102000, "validation": 1000, "test": 1000})
    hubble = lenses(stamp=110, pixel_scale=0.05, psf_size=35, psf_fwhm=(0.08, 0.12))
    # Of the sources three quarters are real galaxies, and all others have a core.
    hubble["population"] |= {"stamp_fraction": 0.75, "core_fraction": 1.0}
    hubble["stamps"] = "cosmos_stamps.npy"
    config.data.update(hubble)
    own = config.method
    own.simulator.update(hubble)
    own.backbone.update({"depths": (3, 4, 23, 3), "block": "bottleneck"})
    own.backbone.update({"width": 64, "dtype": "bfloat16"})
    own.update({"projector": (2048, 2048, 2048), "predictor": 512, "resize": 224})
    # The authors' ImageNet mean and deviation, averaged over colors.
    own.offset = (0.449,)
    own.stretch = parts.linear_stretch(0.226)
    config.optim.schedule.update({"peak_value": 0.03 * 400 / 256, "warmup_epochs": 10.0})


def analytic(config: ConfigDict) -> None:
    """Takes the real galaxies out: every source has a core-Sersic profile."""
    for section in (config.data, config.method.simulator):
        section.population.stamp_fraction = 0.0
        section.stamps = None
