# SPDX-License-Identifier: Apache-2.0
"""Photometry MLP: redshift from total magnitudes alone, PITA's traditional baseline.

    z = MLP((m - offset) / scale),  L = Huber_delta(z, z_ref), mean over objects with a redshift

It sees the catalogue's magnitudes and no pixel: what photo-z was before images were used. Where
an object has no flux in a band, that band enters as `missing`, a magnitude fainter than all. With
`redshift_components` the output is a density, and the loss its negative log-likelihood.
"""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from astrojax.data import validate
from astrojax.data.info import DataInfo
from astrojax.data.source import Source
from astrojax.methods import Batch, Method
from astrojax.nn import layers, mixture


class Photometry(Method):
    """An MLP on magnitudes.

    Args:
        hidden: Hidden widths.
        mlp_init: First weights: "lecun_normal", or "torch_uniform" as in PyTorch.
        offset: Subtracted from each band's magnitude.
        scale: Divides it then.
        missing: Magnitude that stands for a non-detection.
        redshift_components: Gaussians of the predicted density of redshift; 0 for a point estimate
            with the Huber loss.
        huber_delta: Where the Huber loss turns linear, in redshift.
        info: The data.
        rngs: Keys for the initial weights.
    """

    columns = ("magnitude", "redshift")
    inputs = ("magnitude",)

    def __init__(
        self,
        *,
        hidden: tuple[int, ...],
        mlp_init: layers.Init,
        offset: tuple[float, ...],
        scale: tuple[float, ...],
        missing: float,
        redshift_components: int,
        huber_delta: float,
        info: DataInfo,
        rngs: nnx.Rngs,
    ):
        bands = len(info.bands)
        layers.check_per_band("method.offset", offset, bands)
        layers.check_per_band("method.scale", scale, bands)
        self.body = layers.MLP((bands, *hidden), init=mlp_init, rngs=rngs)
        outputs = mixture.width(redshift_components)
        self.head = layers.MLP((hidden[-1], outputs), init=mlp_init, rngs=rngs)
        self.offset, self.spread, self.missing = offset, scale, missing
        self.huber_delta = huber_delta

    def known_targets(self, source: Source) -> Bool[np.ndarray, " n"]:
        """Returns which examples have a redshift."""
        return validate.has_redshift(np.asarray(source.column("redshift")))

    def loss(
        self, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The loss over the objects with a redshift; 0 if the batch has none."""
        z_ref = batch["redshift"]
        output = self.head(self.embed(batch["magnitude"]))
        known = validate.has_redshift(z_ref)
        return mixture.loss(output, z_ref, known, huber_delta=self.huber_delta), {}

    def validation_loss(self, batch: Batch) -> Float[Array, " b"]:
        """The `mixture.cost` of each object; 0 without a redshift."""
        output, z_ref = self.head(self.embed(batch["magnitude"])), batch["redshift"]
        known = validate.has_redshift(z_ref)
        return jnp.where(known, mixture.cost(output, jnp.where(known, z_ref, 0)), 0)

    def embed(self, magnitude: Float[Array, "b c"]) -> Float[Array, "b d"]:
        """The last hidden layer."""
        known = jnp.where(jnp.isfinite(magnitude), magnitude, self.missing)
        scaled = (known - jnp.asarray(self.offset)) / jnp.asarray(self.spread)
        return nnx.relu(self.body(scaled))

    def predict(self, magnitude: Float[Array, "b c"]) -> dict[str, Float[Array, "b ..."]]:
        """Redshift; see `mixture.predictions`."""
        return mixture.predictions(self.head(self.embed(magnitude)), "redshift")
