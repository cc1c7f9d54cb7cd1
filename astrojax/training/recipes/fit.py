# SPDX-License-Identifier: Apache-2.0
"""What a recipe takes from the data: sizes in pixels, the stretch, batch, length and rates."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from astrojax.data.info import DataInfo
from astrojax.data.source import Source, has_column
from astrojax.errors import UserError
from astrojax.training.recipes import parts

Size = Literal["small", "base", "large"]
SIZES = ("small", "base", "large")
_STEPS = {"small": 1000, "base": 20_000, "large": 100_000}
_BATCH = {"small": 128, "base": 256, "large": 512}
_EPOCHS = (5, 400)  # never fewer, never more, unless asked for
_SMALLEST = 16  # pixels of a crop
_LAPTOP_CROP = 36  # pixels, up to which the size "small" makes all its steps
_IN_NOISE = 3.0  # sky sigmas at which an asinh stretch turns from linear to logarithmic


@dataclasses.dataclass(frozen=True)
class Fit:
    """The data of a recipe, in numbers.

    Attributes:
        info: What the pixels are.
        size: How large networks may be, and how long the run.
        count: Training examples.
        batch: Global batch size.
        epochs: Length of the run.
        crop: Side of the networks' input in pixels, a multiple of 8; a turned crop of this side
            shows no outside of a stamp that is at least 1.4 times as large.
        columns: Names of the data's columns.
        label: Whether `label` is a column of classes, of which training and validation have some.
    """

    info: DataInfo
    size: Size
    count: int
    batch: int
    epochs: float
    crop: int
    columns: tuple[str, ...]
    label: bool

    @property
    def stretch(self) -> dict[str, Any]:
        """The section `stretch`: asinh in units of the measured noise, or linear for pictures."""
        info = self.info
        if info.noise is None or info.unit == "display":
            return parts.linear_stretch(*(1.0,) * len(info.bands))
        return parts.asinh_stretch(*(float(f"{_IN_NOISE * s:.4g}") for s in info.noise))

    @property
    def noise(self) -> float:
        """Noise that views add, in units of the sky noise; none where that is not known."""
        return 0.0 if self.info.noise is None or self.info.unit == "display" else 0.5

    def rate(self, peak: float, *, batch: int, power: float = 0.5) -> float:
        """Returns a peak learning rate that was chosen for another batch size, for this one."""
        return float(f"{peak * (self.batch / batch) ** power:.4g}")

    def cosine(self, peak: float) -> dict[str, Any]:
        """Returns a schedule with a tenth of the run, at most 10 epochs, of warm-up."""
        warmup = round(min(10.0, self.epochs / 10), 2)
        return parts.cosine(peak_value=peak, warmup_epochs=warmup, init_value=peak / 100)


def look(
    data: Mapping[str, Source],
    *,
    size: Size = "small",
    epochs: float | None = None,
    steps: int | None = None,
) -> Fit:
    """Returns what a recipe needs to know of a data set.

    Args:
        data: The splits.
        size: "small" suits a laptop, "base" one accelerator, "large" several.
        epochs: Length of the run; None for what suits size and data.
        steps: Steps that suit the size, where not the usual ones.

    Raises:
        UserError: There is no such size, no training split, or the stamps are too small.
    """
    if size not in SIZES:
        raise UserError(f"the size is {size!r}; choose from {', '.join(SIZES)}")
    if "train" not in data or not len(data["train"]):
        raise UserError(f"the data have no training split; they have {', '.join(data)}")
    train = data["train"]
    count, side = len(train), train.info.image_size
    batch = int(min(_BATCH[size], 2 ** np.floor(np.log2(max(count / 4, 8)))))
    if count < batch:
        raise UserError(f"the training split has {count} images; at least 8 are needed")
    crop = int(side / (np.sqrt(2) if side >= 40 else 1.25)) // 8 * 8
    if crop < _SMALLEST:
        raise UserError(
            f"stamps of {side} x {side} pixels are too small: recipes need at least "
            f"{int(_SMALLEST * 1.25)} pixels a side"
        )
    usual = (steps or _STEPS[size]) * batch / count
    if size == "small":  # a laptop is done in minutes whatever the stamps: fewer steps of larger
        usual *= min((_LAPTOP_CROP / crop) ** 1.5, 1.0)
    length = float(np.clip(round(usual), *_EPOCHS)) if epochs is None else float(epochs)
    names = tuple(n for n in train[0] if n != "image")
    labelled = "label" in names and all(
        has_column(data[s], "label") and np.any(np.asarray(data[s].column("label")) >= 0)
        for s in ("train", "validation", "test")
        if s in data
    )
    return Fit(train.info, size, count, batch, length, crop, names, labelled)
