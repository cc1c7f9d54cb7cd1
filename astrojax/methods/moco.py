# SPDX-License-Identifier: Apache-2.0
"""MoCo: momentum contrast (He et al. 2020, 1911.05722), PITA's self-supervised baseline.

    L = -log( exp(q.k+ / tau) / (exp(q.k+ / tau) + sum_i exp(q.k_i / tau)) )

q and k+ are two views of one galaxy through the encoder and its momentum copy; the k_i come from
a queue of earlier keys. The encoder is PITA's, so that `experiments/moco.py:finetune` differs
from PITA and from the supervised baseline in the objective alone. Shuffling batch norm is not
needed: batch statistics, where a backbone has them, are those of the global batch.
"""

from flax import nnx
from jax import random
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from astrojax import losses
from astrojax.augment import views
from astrojax.data.info import DataInfo
from astrojax.methods import Batch, Method
from astrojax.nn import layers
from astrojax.nn.encoder import Encoder


class MoCo(Method):
    """A query encoder, its momentum copy, and a queue of keys.

    Args:
        backbone: Section of `backbones.build`.
        backbone_outputs: Units of the linear layer on the pooled features, or None for none.
        latent: Widths of the encoder MLP; the last is the size of the latent.
        projection: Widths of the contrastive head; the last is the size of a key.
        mlp_init: First weights of both MLPs: "lecun_normal", or "torch_uniform" as in PyTorch.
        queue_size: Number of negative keys.
        momentum: Decay of the momentum encoder per step.
        temperature: InfoNCE temperature.
        view: Section of `views.make`.
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
        mlp_init: layers.Init,
        queue_size: int,
        momentum: float,
        temperature: float,
        view: dict,
        stretch: dict,
        info: DataInfo,
        rngs: nnx.Rngs,
    ):
        self.view = views.make(view, info=info, path="method.view")
        self.crop = view["crop"]
        self.stretch = layers.make_stretch(stretch, bands=len(info.bands))
        self.encoder = Encoder(
            backbone,
            outputs=backbone_outputs,
            latent=latent,
            projection=projection,
            mlp_init=mlp_init,
            bands=len(info.bands),
            size=self.crop,
            rngs=rngs,
        )
        self.momentum_encoder = layers.ema_copy(self.encoder)
        self.queue = layers.Queue(size=queue_size, width=projection[-1], rngs=rngs)
        self.decay, self.temperature = momentum, temperature

    def loss(
        self, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """InfoNCE; the keys enter the queue after it."""
        view_1, view_2, drop_1, drop_2 = random.split(key, 4)
        x_1 = self.stretch(self.view(view_1, batch["image"]))
        x_2 = self.stretch(self.view(view_2, batch["image"]))
        _, query = self.encoder(x_1, key=drop_1)
        _, positive = self.momentum_encoder(x_2, key=drop_2)
        keys = losses.l2_normalize(positive)
        loss = losses.info_nce(query, keys, self.queue.keys[...], temperature=self.temperature)
        self.queue.push(keys)
        return loss, {}

    def after_update(self, progress: Float[Array, ""]) -> None:
        """Momentum encoder <- m momentum encoder + (1 - m) encoder."""
        layers.ema_update(self.momentum_encoder, self.encoder, self.decay)

    def embed(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b d"]:
        """The latent of the central crop, without noise."""
        return self.encoder.latent(self.stretch(layers.centre_crop(image, self.crop)))
