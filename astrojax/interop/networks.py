# SPDX-License-Identifier: Apache-2.0
"""The papers' networks as their checkpoints hold them: a backbone with its heads."""

from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from astrojax import losses
from astrojax.nn import backbones
from astrojax.nn.backbones import ConvNeXt
from astrojax.nn.layers import MLP


class PitaNetwork(nnx.Module):
    """PITA (Khederlarian et al. 2026): ConvNeXt-Tiny with its 1000 outputs, then four MLPs.

    Args:
        bands: Bands of the images, 4 as published.
        rngs: Keys for the initial weights.
    """

    def __init__(self, *, bands: int, rngs: nnx.Rngs):
        self.encoder = ConvNeXt(
            bands=bands,
            **backbones.convnext.SIZES["tiny"],
            stem_size=4,
            stem_stride=4,
            drop_path=0.1,
            layer_scale=1e-6,
            num_classes=1000,
            dtype="float32",
            remat=False,
            rngs=rngs,
        )
        deep = (128, 256, 128, 128, 128, 128, 64)
        self.encoder_mlp = MLP((1000, 512, 128), rngs=rngs)
        self.projection = MLP((128, 128, 64), rngs=rngs)
        self.redshift = MLP((*deep, 1), rngs=rngs)
        self.color = MLP((*deep, 4), rngs=rngs)

    def __call__(self, image: Float[Array, "b h w c"]) -> dict[str, Float[Array, "b ..."]]:
        """Latent [b 128], query [b 64] (unit length), redshift [b], color [b 4]."""
        latent = self.encoder_mlp(self.encoder(image))
        query = self.projection(latent)
        return {
            "latent": latent,
            "query": losses.l2_normalize(query),
            "redshift": self.redshift(latent)[:, 0],
            "color": self.color(latent),
        }


class SiamNetwork(nnx.Module):
    """SimSiam (Chen & He 2021) and LenSiam: an optional backbone, a projector, a predictor.

    Args:
        backbone: The encoder; None where a checkpoint holds the heads alone.
        width: Features that the projector takes.
        hidden: Hidden width of the predictor.
        out: Outputs of both heads.
        lensiam: LenSiam's heads have biases and a scaled, shifted last norm, SimSiam's do not.
        rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        backbone: nnx.Module | None,
        *,
        width: int,
        hidden: int,
        out: int,
        lensiam: bool,
        rngs: nnx.Rngs,
    ):
        self.backbone = backbone
        last: Literal["plain", "affine"] = "affine" if lensiam else "plain"
        inner = out if lensiam else width
        self.projector = MLP(
            (width, inner, inner, out), norm=True, last_norm=last, bias=lensiam, rngs=rngs
        )
        self.predictor = MLP((out, hidden, out), norm=True, bias=lensiam, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b ..."], *, train: bool = False
    ) -> dict[str, Float[Array, "b d"]]:
        """Projection z and prediction p [b d] of images, or of features without a backbone."""
        if self.backbone is not None:
            x = self.backbone(x, train=train)
        z = self.projector(x, train=train)
        return {"z": z, "p": self.predictor(z, train=train)}


class SelfClassifierNetwork(nnx.Module):
    """Self-Classifier (Amrani et al. 2021, v1): backbone, MLP, and fixed cosine classifiers.

    Args:
        backbone: The encoder.
        widths: Of the MLP, from the backbone's features to the embedding.
        classes: Classes of each classifier.
        rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        backbone: nnx.Module,
        *,
        widths: tuple[int, ...],
        classes: tuple[int, ...],
        rngs: nnx.Rngs,
    ):
        self.backbone = backbone
        self.mlp = MLP(widths, activation="leaky_relu", norm=True, rngs=rngs)
        self.classifiers = nnx.List([nnx.Param(jnp.zeros((k, widths[-1]))) for k in classes])

    def __call__(self, image: Float[Array, "b h w c"]) -> list[Float[Array, "b k"]]:
        """Cosine of the embedding with each class, one array for each classifier."""
        embedding = losses.l2_normalize(self.mlp(self.backbone(image)))
        return [
            embedding @ losses.l2_normalize(classifier[...]).T for classifier in self.classifiers
        ]
