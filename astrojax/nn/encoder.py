# SPDX-License-Identifier: Apache-2.0
"""Backbone, encoder MLP and contrastive head: the network of MoCo and PITA."""

from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from astrojax.nn import backbones, layers


class Encoder(nnx.Module):
    """An image to a latent vector, and the latent to a contrastive vector.

    Args:
        backbone: Section of `backbones.build`.
        outputs: Units of a linear layer on the pooled features, or None for the features.
        latent: Widths of the encoder MLP; the last is the size of the latent.
        projection: Widths of the contrastive head; the last is the size of a key.
        mlp_init: First weights of both MLPs, "lecun_normal" or "torch_uniform".
        bands: Number of image bands.
        size: Side of the images in pixels.
        rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        backbone: dict,
        *,
        outputs: int | None,
        latent: tuple[int, ...],
        projection: tuple[int, ...],
        mlp_init: layers.Init,
        bands: int,
        size: int,
        rngs: nnx.Rngs,
    ):
        self.backbone = backbones.build(
            backbone, bands=bands, image_size=size, num_classes=outputs, rngs=rngs
        )
        width = self.backbone.width if outputs is None else outputs
        self.mlp = layers.MLP((width, *latent), init=mlp_init, rngs=rngs)
        self.head = layers.MLP((latent[-1], *projection), init=mlp_init, rngs=rngs)

    def latent(
        self, image: Float[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "b d"]:
        """The latent of scaled images; with a key, stochastic depth is on."""
        return self.mlp(self.backbone(image, train=key is not None, key=key))

    def __call__(
        self, image: Float[Array, "b h w c"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "b d"], Float[Array, "b k"]]:
        """Latent and contrastive vector."""
        latent = self.latent(image, key=key)
        return latent, self.head(latent)
