# SPDX-License-Identifier: Apache-2.0
"""Sections `view` and `stretch`."""

from typing import Any


def galaxy(crop: int, **changed: Any) -> dict[str, Any]:
    """Returns a view of a galaxy, turned and mirrored unless changed."""
    fixed = {"rotate": True, "flip": True, "zoom": (1.0, 1.0), "shift": 0.0, "noise": 0.0}
    return {"name": "galaxy", "crop": crop, **fixed, "blur": None, **changed}


def natural(crop: int, *, scale: tuple[float, float], **changed: Any) -> dict[str, Any]:
    """Returns a view of an everyday image: a crop of random size, jittered and blurred."""
    shape = {"interpolation": "bilinear", "scale": scale, "aspect": (0.75, 4 / 3), "flip": True}
    color = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    color |= {"jitter_probability": 0.8, "grey_probability": 0.2}
    blur = {"blur_sigma": (0.1, 2.0), "blur_probability": 0.5, "solarize_probability": 0.0}
    return {"name": "natural", "crop": crop, **shape, **color, **blur, **changed}


def linear(*scale: float) -> dict[str, Any]:
    """Returns a stretch that multiplies each band by its scale."""
    return {"name": "linear", "scale": scale}


def asinh(*scale: float) -> dict[str, Any]:
    """Returns a stretch for fluxes in units of a few sky sigma.

    It is compressed above: faint arms and wings, and bright cores.
    """
    return {"name": "asinh", "scale": scale}
