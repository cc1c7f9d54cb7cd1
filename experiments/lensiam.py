# SPDX-License-Identifier: Apache-2.0
"""LenSiam: features of strong lenses from pairs that share the lens and nothing else.

    python -m astrojax.main --config experiments/lensiam.py            # 44 x 44 pixels, 2 cores
    python -m astrojax.main --config experiments/lensiam.py:smoke      # seconds
    python -m astrojax.main --config experiments/lensiam.py:paper      # one or more accelerators

Pairs are simulated inside the training step, so no two steps see the same image. The evaluation
measures how much of each of the eight lens parameters the frozen features hold.

Variants:
- default: the paper's lenses and field of 5.5 arcsec on 44 x 44 pixels, a small ResNet, and an
  asinh stretch, without which faint arcs vanish beside the lens galaxy.
- `smoke`: the same in seconds, for continuous integration.
- `paper`: 100,000 lenses on 110 x 110 pixels resampled to 224, ResNet-101, batch 400, a rate of
  0.03 x batch / 256 for 800 epochs; pixels as they are. Three quarters of the paper's sources are
  real galaxies: hand them in with --config.data.stamps=stamps.npy, the same for
  --config.method.simulator.stamps, and a `stamp_fraction` of 0.75 in both `population` sections.
"""

from ml_collections import ConfigDict

from astrojax.errors import UserError

VARIANTS = ("", "smoke", "paper")
PARAMETERS = ("theta_E", "e1", "e2", "center_x", "center_y", "gamma", "gamma1", "gamma2")


def get_config(variant: str = "") -> ConfigDict:
    if variant not in VARIANTS:
        raise UserError(f"experiments/lensiam.py has no variant {variant!r}: {', '.join(VARIANTS)}")
    config = base()
    if variant == "smoke":
        smoke(config)
    if variant == "paper":
        paper(config)
    return config


def base() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.epochs = 30.0
    config.batch_size = 128
    config.fsdp = 1
    config.threads = 0
    config.log_every = 20
    config.checkpoint_every = 200
    config.keep = 2
    config.init = None
    config.monitor = {
        "every_epochs": 5.0,
        "examples": 500,
        "knn_label": None,
        "collapse": "stop",
        "patience": None,
    }
    simulator = lenses(stamp=44, pixel_scale=0.125, psf_size=11, psf_fwhm=(0.15, 0.2))
    config.data = {
        "name": "lens",
        "count": 6500,
        "validation": 500,
        "test": 1000,
        "seed": 0,
        **simulator,
    }
    config.method = {
        "name": "simsiam",
        "backbone": {
            "name": "resnet",
            "depths": (1, 1, 1),
            "block": "basic",
            "stem": "imagenet",
            "width": 32,
            "zero_init_residual": False,
            "dtype": "float32",
            "remat": False,
        },
        "projector": (256, 256, 256),
        "predictor": 64,
        "heads": "lensiam",
        "simulator": simulator,
        "view": None,
        "resize": None,
        "offset": (0.0,),
        "stretch": {"name": "asinh", "scale": (0.02,)},
    }
    config.optim = {
        "optimizer": {"name": "sgd", "weight_decay": 5e-4, "momentum": 0.9, "nesterov": False},
        "schedule": {
            "name": "cosine",
            "peak_value": 0.05,
            "warmup_epochs": 1.0,
            "init_value": 0.0,
            "end_value": 0.0,
        },
        "decay_bias_and_norm": True,
        "fixed_lr": ("predictor",),
        "frozen": (),
        "clip_norm": None,
        "accumulate": 1,
        "skip_nonfinite": 0,
    }
    config.evaluate = {
        "linear_probe": {
            "targets": PARAMETERS,
            "penalties": (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
            "fractions": (),
            "repeats": 1,
            "max_iterations": 300,
            "n_bootstrap": 200,
            "seed": 0,
        },
        "projection": {
            "method": "auto",
            "columns_shown": PARAMETERS,
            "perplexity": 30.0,
            "neighbors": 15,
            "limit": 1000,
            "mosaic": 12,
            "k": 10,
            "seed": 0,
        },
    }
    return config


def lenses(*, stamp: int, pixel_scale: float, psf_size: int, psf_fwhm: tuple) -> dict:
    """The paper's lenses as a telescope sees them; ranges of the mass as in its figures."""
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
    config.epochs = 2.0
    config.batch_size = 32
    config.log_every = 2
    config.checkpoint_every = 4
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
    config.epochs = 800.0
    config.batch_size = 400
    config.checkpoint_every = 1000
    config.monitor.update({"every_epochs": 10.0, "examples": 1000})
    config.data.update({"count": 102000, "validation": 1000, "test": 1000})
    hubble = lenses(stamp=110, pixel_scale=0.05, psf_size=35, psf_fwhm=(0.08, 0.12))
    config.data.update(hubble)
    own = config.method
    own.simulator.update(hubble)
    own.backbone.update(
        {"depths": (3, 4, 23, 3), "block": "bottleneck", "width": 64, "dtype": "bfloat16"}
    )
    own.update({"projector": (2048, 2048, 2048), "predictor": 512, "resize": 224})
    # The authors' ImageNet mean and deviation, averaged over colors.
    own.offset = (0.449,)
    own.stretch = {"name": "linear", "scale": (0.226,)}
    config.optim.schedule.update({"peak_value": 0.03 * 400 / 256, "warmup_epochs": 10.0})
