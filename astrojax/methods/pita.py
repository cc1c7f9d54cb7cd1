# SPDX-License-Identifier: Apache-2.0
"""PITA: photo-z inference with a triple-task algorithm (Khederlarian et al. 2026, 2602.10207).

One encoder, three tasks, one loss:

    L = w_c InfoNCE(q, k+, queue) + w_z Huber_delta(z_pred, z_ref) + w_m ||m_pred - m||^2

The contrastive and the color term train on every galaxy, the redshift term on those that have a
redshift. A view is a flip, a rotation, a jittered crop and sky noise; there is no color jitter,
since color is what tells redshift. Following the paper and MoCo (He et al. 2020), the momentum
encoder is updated after the optimizer step, the queue takes the keys after the loss, and targets
are dereddened AB colors and one magnitude.

Where the authors' code departs, a keyword follows it:
- `enqueue_first` puts the batch's keys into the queue before the loss, so that the positive is
  also among the negatives;
- `color_units="log_flux"` regresses log10 flux ratios and log10 of the second band's flux.
Their views share one flip, rotation and offset within a batch; here every galaxy draws its own.
Their momentum encoder is updated between the pass of the keys and the optimizer step, with the
encoder of before, so that it is one update behind; and their rate changes once per epoch, here at
every step. Computation is in float32 or bfloat16 (`dtype`), theirs in float16.

With `redshift_components` the redshift head gives a density instead of a number, a mixture of
Gaussians, and the redshift term is its mean negative log-likelihood.
"""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from astrojax import losses
from astrojax.augment import views
from astrojax.data import validate
from astrojax.data.info import DataInfo
from astrojax.data.source import Source
from astrojax.data.units import MICROJANSKY
from astrojax.methods import Batch, Method
from astrojax.nn import layers, mixture
from astrojax.nn.encoder import Encoder


class PITA(Method):
    """ConvNeXt encoder to a latent vector, with contrastive, redshift and color heads.

    Args:
        backbone: Section of `backbones.build`.
        backbone_outputs: Units of the linear layer on the pooled features (the paper's network
            keeps torchvision's 1000), or None for the pooled features themselves.
        latent: Widths of the encoder MLP; the last is the size of the latent.
        projection: Widths of the contrastive head; the last is the size of a key.
        redshift_head: Hidden widths of the redshift head.
        redshift_components: Gaussians of the predicted density of redshift; 0 for a point estimate
            with the Huber loss, as in the paper.
        color_head: Hidden widths of the color head.
        mlp_init: First weights of the MLPs: "lecun_normal", or "torch_uniform" as in the authors'
            code.
        queue_size: Number of negative keys.
        momentum: Decay of the momentum encoder per step.
        temperature: InfoNCE temperature.
        contrastive_weight: Weight of InfoNCE; about 11 at the start against 0.01 to 0.1 of the
            others, hence 0.0025 in the paper's code.
        redshift_weight: Weight of the redshift loss; 0 for data without any redshift.
        color_weight: Weight of the color loss.
        huber_delta: Where the Huber loss turns linear, in redshift.
        color_units: "magnitudes" (paper) or "log_flux" (authors' code).
        color_offset: Constants added to the color head's outputs, near the targets' means, so
            that training does not begin with a loss of a magnitude squared.
        enqueue_first: Whether keys enter the queue before the loss (authors' code).
        test_time_augmentation: Predictions are averaged over this many quarter turns of the
            image, 1 to 4.
        view: Section of `views.make`; its crop is also the network's input size.
        stretch: Section of `layers.stretch`.
        info: The data.
        rngs: Keys for the initial weights.
    """

    encoder_part = "encoder/backbone"

    def __init__(
        self,
        *,
        backbone: dict,
        backbone_outputs: int | None,
        latent: tuple[int, ...],
        projection: tuple[int, ...],
        redshift_head: tuple[int, ...],
        redshift_components: int,
        color_head: tuple[int, ...],
        mlp_init: layers.Init,
        queue_size: int,
        momentum: float,
        temperature: float,
        contrastive_weight: float,
        redshift_weight: float,
        color_weight: float,
        huber_delta: float,
        color_units: Literal["magnitudes", "log_flux"],
        color_offset: tuple[float, ...],
        enqueue_first: bool,
        test_time_augmentation: Literal[1, 2, 3, 4],
        view: dict,
        stretch: dict,
        info: DataInfo,
        rngs: nnx.Rngs,
    ):
        bands = len(info.bands)
        layers.check_per_band("method.color_offset", color_offset, bands)
        self.view = views.make(view, info=info, path="method.view")
        self.crop = view["crop"]
        self.stretch = layers.make_stretch(stretch, bands=len(info.bands))
        self.encoder = Encoder(
            backbone,
            outputs=backbone_outputs,
            latent=latent,
            projection=projection,
            mlp_init=mlp_init,
            bands=bands,
            size=self.crop,
            rngs=rngs,
        )
        self.momentum_encoder = layers.ema_copy(self.encoder)
        outputs = mixture.width(redshift_components)
        self.redshift = layers.MLP((latent[-1], *redshift_head, outputs), init=mlp_init, rngs=rngs)
        self.color = layers.MLP((latent[-1], *color_head, bands), init=mlp_init, rngs=rngs)
        self.queue = layers.Queue(size=queue_size, width=projection[-1], rngs=rngs)
        self.decay, self.temperature, self.huber_delta = momentum, temperature, huber_delta
        self.weights = (contrastive_weight, redshift_weight, color_weight)
        self.columns = ("image", "magnitude", "redshift")[: 3 if redshift_weight else 2]
        self.color_units, self.color_offset = color_units, color_offset
        self.enqueue_first, self.test_time_augmentation = enqueue_first, test_time_augmentation

    def known_targets(self, source: Source) -> Bool[np.ndarray, " n"]:
        """Returns which examples have a redshift; all, if that weighs nothing."""
        if "redshift" not in self.columns:
            return super().known_targets(source)
        return validate.has_redshift(np.asarray(source.column("redshift")))

    def loss(
        self, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The triple loss; the redshift and color heads see the first view."""
        view_1, view_2, drop_1, drop_2 = random.split(key, 4)
        x_1 = self.stretch(self.view(view_1, batch["image"]))
        x_2 = self.stretch(self.view(view_2, batch["image"]))
        latent, query = self.encoder(x_1, key=drop_1)
        _, positive = self.momentum_encoder(x_2, key=drop_2)
        keys = losses.l2_normalize(positive)

        if self.enqueue_first:
            self.queue.push(keys)
        contrastive = losses.info_nce(
            query, keys, self.queue.keys[...], temperature=self.temperature
        )
        if not self.enqueue_first:
            self.queue.push(keys)

        w_c, w_z, w_m = self.weights
        redshift = jnp.zeros(())
        if w_z:
            z_ref = batch["redshift"]
            redshift = mixture.loss(
                self.redshift(latent),
                z_ref,
                validate.has_redshift(z_ref),
                huber_delta=self.huber_delta,
            )

        colors, target = self._colors(latent), self._targets(batch["magnitude"])
        target = jnp.where(jnp.isfinite(target), target, colors)  # no flux: no error
        color = losses.mean_squared_error(colors, target)

        total = w_c * contrastive + w_z * redshift + w_m * color
        return total, {"contrastive": contrastive, "redshift": redshift, "color": color}

    def after_update(self, progress: Float[Array, ""]) -> None:
        """Momentum encoder <- m momentum encoder + (1 - m) encoder."""
        layers.ema_update(self.momentum_encoder, self.encoder, self.decay)

    def embed(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b d"]:
        """The latent of the central crop, without noise."""
        return self.encoder.latent(self.stretch(layers.centre_crop(image, self.crop)))

    def predict(self, image: Shaped[Array, "b h w c"]) -> dict[str, Float[Array, "b ..."]]:
        """Redshift (see `mixture.predictions`), and colors and a magnitude as trained on."""

        def heads(turned: Shaped[Array, "b h w c"]) -> dict[str, Float[Array, "b ..."]]:
            latent = self.embed(turned)
            return {"redshift": self.redshift(latent), "color": self._colors(latent)}

        # Of a mixture the parameters are averaged: one network's Gaussians keep their order.
        found = layers.test_time_augmentation(heads, image, self.test_time_augmentation)
        return mixture.predictions(found["redshift"], "redshift") | {"color": found["color"]}

    def _colors(self, latent: Float[Array, "b d"]) -> Float[Array, "b c"]:
        return self.color(latent) + jnp.asarray(self.color_offset)

    def _targets(self, magnitude: Float[Array, "b c"]) -> Float[Array, "b c"]:
        """Colors of neighbouring bands and one brightness, as many as bands."""
        colors = magnitude[:, :-1] - magnitude[:, 1:]
        if self.color_units == "magnitudes":
            return jnp.concatenate([colors, magnitude[:, -1:]], axis=1)
        log_flux = 0.4 * (MICROJANSKY - magnitude[:, 1:2])  # log10 of microjansky
        return jnp.concatenate([0.4 * colors, log_flux], axis=1)
