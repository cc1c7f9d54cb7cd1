# SPDX-License-Identifier: Apache-2.0
"""Magnitudes as a pretext task (Martinazzo, Espadoto & Hirata 2020, 2004.11336).

    y = min(max(W h + a, 0), 1),  h = dropout(act(V f + b)),  f = backbone(x)
    L = mean over measured bands of |y - m / divisor|

A network that predicts the catalogue's magnitudes from the image learns features for other tasks,
at no cost: every survey measures magnitudes. The norm of the weights into each unit of h is held
at `max_norm` by a projection after each update. Departures from the paper, and why:
- the clipped output has no gradient outside (0, 1), so its bias starts within the range of the
  targets (`start`) and its weights near zero;
- the paper names neither the activation of h nor the pooling; at its 32 pixels VGG16's last map
  is a single pixel, so that the mean used here is the same as flattening. ReLU unless
  `negative_slope` is set;
- magnitudes that were not measured (NaN, and sentinels such as -99 and 99, which lie outside
  (0, divisor)) leave the loss band by band.
The variant of the authors' later code (github.com/amartinazzo/label-the-sky): 1024 units, slope
0.3, no max-norm, divisor 35, Adam.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from astrojax.augment import views
from astrojax.data import validate
from astrojax.data.info import DataInfo
from astrojax.data.source import Source
from astrojax.errors import UserError
from astrojax.methods import Batch, Method
from astrojax.nn import backbones, layers


class Magnitudes(Method):
    """A backbone, one hidden layer, and one clipped output per band.

    Args:
        backbone: Section of `backbones.build`.
        hidden: Units of the hidden layer; its activations are the embedding.
        negative_slope: Of the hidden layer's leaky ReLU; 0 is ReLU.
        max_norm: Largest L2 norm of the weights into a hidden unit, or None.
        dropout: Rate on the hidden layer.
        outputs: Number of magnitudes.
        divisor: Magnitude that becomes 1.
        start: Output of the network before training, in magnitudes.
        view: Section of `views.make`.
        stretch: Section of `layers.stretch`.
        info: The data.
        rngs: Keys for the initial weights.
    """

    columns = ("image", "magnitude")

    def __init__(
        self,
        *,
        backbone: dict,
        hidden: int,
        negative_slope: float,
        max_norm: float | None,
        dropout: float,
        outputs: int,
        divisor: float,
        start: float,
        view: dict,
        stretch: dict,
        info: DataInfo,
        rngs: nnx.Rngs,
    ):
        if not 0 < start < divisor:
            raise UserError(
                f"config key 'method.start' is {start}; it has to lie between 0 and the divisor, "
                f"{divisor}, or the clipped outputs never learn"
            )
        self.view = views.make(view, info=info, path="method.view")
        self.crop = view["crop"]
        self.stretch = layers.make_stretch(stretch, bands=len(info.bands))
        self.backbone = backbones.build(
            backbone, bands=len(info.bands), image_size=self.crop, num_classes=None, rngs=rngs
        )
        self.hidden = nnx.Linear(self.backbone.width, hidden, rngs=rngs)
        self.output = nnx.Linear(
            hidden,
            outputs,
            kernel_init=nnx.initializers.normal(1e-3),
            bias_init=nnx.initializers.constant(start / divisor),
            rngs=rngs,
        )
        self.slope, self.max_norm, self.dropout = negative_slope, max_norm, dropout
        self.outputs, self.divisor = outputs, divisor

    def check(self, source: Source) -> None:
        """Raises `UserError` if the magnitudes are not as many, or not magnitudes, or missing."""
        values = np.asarray(source.column("magnitude"), np.float64)
        width = 1 if values.ndim == 1 else values.shape[1]
        if width != self.outputs:
            raise UserError(
                f"the data have {width} magnitudes per object and config key 'method.outputs' is "
                f"{self.outputs}"
            )
        values = values.reshape(len(values), width)
        measured = np.where(np.abs(values) == 99, np.nan, values)  # SExtractor's "not measured"
        validate.magnitudes(measured, "the training data")
        empty = np.flatnonzero(~np.asarray(self._measured(measured)).any(0))
        if len(empty):
            bands = source.info.catalogue_bands or source.info.bands
            named = [bands[i] if len(bands) == width else str(i) for i in empty]
            raise UserError(f"no training example has a magnitude in {', '.join(named)}")

    def known_targets(self, source: Source) -> Bool[np.ndarray, " n"]:
        """Returns which examples have a magnitude in any band."""
        values = np.asarray(source.column("magnitude")).reshape(len(source), -1)
        return np.logical_or.reduce(np.asarray(self._measured(values)), axis=1)

    def loss(
        self, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Mean absolute error over all measured magnitudes, and the same in magnitudes."""
        view_key, net_key, drop_key = random.split(key, 3)
        image = self.stretch(self.view(view_key, batch["image"]))
        hidden = self._hidden(image, net_key)
        hidden = layers.dropout(hidden, self.dropout, drop_key)
        error, measured = self._errors(hidden, batch["magnitude"])
        mean = error.sum() / jnp.maximum(measured.sum(), 1)
        return mean, {"mae_mag": self.divisor * mean}

    def after_update(self, progress: Float[Array, ""]) -> None:
        """The max-norm projection of the hidden layer."""
        if self.max_norm is not None:
            layers.project_norms(self.hidden, self.max_norm)

    def validation_loss(self, batch: Batch) -> Float[Array, " b"]:
        """Each example's mean error over its measured bands; 0 where it has none."""
        error, measured = self._errors(self.embed(batch["image"]), batch["magnitude"])
        return error.sum(-1) / jnp.maximum(measured.sum(-1), 1)

    def embed(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b d"]:
        """The hidden layer on the central crop."""
        return self._hidden(self.stretch(layers.centre_crop(image, self.crop)), None)

    def predict(self, image: Shaped[Array, "b h w c"]) -> dict[str, Float[Array, "b ..."]]:
        """`magnitude` [b k]."""
        return {"magnitude": self.divisor * self._output(self.embed(image))}

    def _hidden(
        self, image: Float[Array, "b h w c"], key: PRNGKeyArray | None
    ) -> Float[Array, "b d"]:
        features = self.backbone(image, train=key is not None, key=key)
        return jax.nn.leaky_relu(self.hidden(features), self.slope)

    def _output(self, hidden: Float[Array, "b d"]) -> Float[Array, "b k"]:
        return jnp.clip(self.output(hidden).astype(jnp.float32), 0, 1)

    def _errors(
        self, hidden: Float[Array, "b d"], magnitude: Float[Array, "b *k"]
    ) -> tuple[Float[Array, "b k"], Bool[Array, "b k"]]:
        """Absolute errors of scaled magnitudes, 0 where there is none, and where there is one."""
        magnitude = magnitude.reshape(len(magnitude), -1)
        measured = self._measured(magnitude)
        target = jnp.where(measured, magnitude, 0) / self.divisor
        return jnp.where(measured, jnp.abs(self._output(hidden) - target), 0), measured

    def _measured(self, magnitude: Float[Array | np.ndarray, "b k"]) -> Bool[Array, "b k"]:
        # NaN compares as false.
        return (jnp.asarray(magnitude) > 0) & (jnp.asarray(magnitude) < self.divisor)
