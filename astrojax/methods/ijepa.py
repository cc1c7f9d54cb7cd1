# SPDX-License-Identifier: Apache-2.0
"""I-JEPA (Assran et al. 2023, 2301.08243), and its hybrid with SIGReg (AstroJEPA).

Of one image, a context encoder sees some patches, an exponential moving average of it (the target
encoder) sees all, and a predictor tells the target's tokens in blocks that the context lacks:

    L = (1 - w) mean_{hidden patches} l(predicted, LN(target)) + w SIGReg(z),  z = mean_visible f(x)

The context encoder runs on the gathered visible tokens alone, so nothing hidden can leak; padding
is kept out of the attention. Each block is predicted from the context and its own mask tokens.

z, the argument of SIGReg, is each image's mean context token, after the encoder's last norm:
- AstroJEPA's formula has N samples z_i for a batch of N images, and the statistic takes samples as
  independent, which the tokens of one image are not;
- its parameter counts (5,562,240 and 25,290,240) leave no room for a projector, so z is an output
  of the encoder; and it is the mean token that its linear probe reads;
- it has to carry a gradient, which the target encoder does not; and a Gaussian prediction alone
  would not keep the encoder from collapse;
- the norm's scale and shift are free, so z can have unit variance although each token has a fixed
  length before them. Dividing z by its length afterwards, as the text says elsewhere, contradicts
  an isotropic Gaussian and is left out.
That formula lacks LeJEPA's factor N: `sigreg_n_scaled=False`. Its statistic is at most 0.41 then,
so that a weight of 0.6 means far less than the same weight in LeJEPA.

Where AstroJEPA's code differs from its text, keywords follow: learned positions, ReLU and dropout
(`backbone`, `predictor`), no projections about the predictor, squared error against targets that
are not normalised, a constant decay, and a patch embedding without a moving average
(`share_patches`). Not followed, as errors: hidden tokens that pass through the encoder and three
of four target blocks that the predictor can see; dropout in the targets; masks drawn towards the
black sky. Normalisation of each image to unit variance is not offered either: it erases brightness.

I-JEPA's code is followed by `masks.sampling="ijepa"`, a `weight_decay` of (0.04, 0.4) that leaves
biases and norms alone, and a momentum that counts updates from 0. Departures from it:
- its learning rate is one step ahead (the schedule steps before the optimizer): of thousands;
- the weights at the end of each residual branch start as the others, not divided by sqrt(2 layer);
- computation is in float32 or bfloat16 (`dtype`), parameters and the loss in float32 always;
  AstroJEPA's float16 with a scaled loss is not offered.
AstroJEPA's dropout acts on the attention's weights too; here on its output and in the MLPs alone.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import random
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from astrojax import losses
from astrojax.augment import views
from astrojax.augment.block_masks import BlockMasks, BlockSampler
from astrojax.config import call
from astrojax.data.info import DataInfo
from astrojax.errors import UserError
from astrojax.methods import Batch, Method
from astrojax.nn import backbones, layers
from astrojax.nn.backbones import blocks, vit

_ANOMALY_SEED = 0  # of the masks behind the anomaly score: every run scores with the same


class Comparison(NamedTuple):
    """What the predictor said of hidden patches, and what the target encoder says."""

    predicted: Float[Array, "b k n d"]
    target: Float[Array, "b k n d"]
    embedding: Float[Array, "b d"]
    masks: BlockMasks


class Predictor(nnx.Module):
    """A narrow transformer from visible tokens and mask tokens to the tokens of hidden patches.

    Args:
        outside: Features of the encoder's tokens.
        grid: Patches along a side of the image.
        width: Features of its own tokens.
        depth: Blocks.
        heads: Attention heads.
        mlp_ratio: Hidden width of the MLPs over `width`.
        positions: "learned" or "sincos".
        activation: "gelu" or "relu".
        dropout: Rate in the blocks.
        projections: Whether linear layers lead from the encoder's width to its own and back;
            without them the widths have to be equal.
        dtype: Compute type.
        remat: Whether to recompute activations block by block in the backward pass.
        rngs: Keys for the initial weights.

    Raises:
        UserError: The widths do not fit together.
    """

    def __init__(
        self,
        *,
        outside: int,
        grid: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        positions: Literal["learned", "sincos"],
        activation: blocks.Activation,
        dropout: float,
        projections: bool,
        dtype: layers.Dtype,
        remat: bool,
        rngs: nnx.Rngs,
    ):
        if not projections and width != outside:
            raise UserError(
                f"config key 'method.predictor.width' is {width} and the encoder's is {outside}: "
                "make them equal, or set method.predictor.projections"
            )
        if width % heads or width % 4:
            raise UserError(
                f"config section 'method.predictor': width {width} has to be a multiple of heads "
                f"({heads}) and of 4"
            )
        init = nnx.initializers.truncated_normal(0.02)
        self.grid, self.width, self.remat = grid, width, remat
        self.enter = (
            nnx.Linear(outside, width, kernel_init=init, rngs=rngs) if projections else None
        )
        self.leave = (
            nnx.Linear(width, outside, kernel_init=init, rngs=rngs) if projections else None
        )
        self.positions = (
            nnx.Param(init(rngs.params(), (grid**2, width))) if positions == "learned" else None
        )
        # Of the authors' shape, so that weight decay takes it for a matrix, as theirs does.
        self.mask_token = nnx.Param(init(rngs.params(), (1, 1, width)))
        self.blocks = nnx.List(
            [
                vit.Block(
                    width=width,
                    heads=heads,
                    mlp_ratio=mlp_ratio,
                    activation=activation,
                    dropout=dropout,
                    dtype=dtype,
                    rngs=rngs,
                )
                for _ in range(depth)
            ]
        )
        self.norm = blocks.layer_norm(width, rngs=rngs)

    def __call__(
        self, context: Float[Array, "b n d"], masks: BlockMasks, *, key: PRNGKeyArray | None
    ) -> Float[Array, "b k n_target d"]:
        """The tokens of every target block, each block told apart from the others."""
        batch, count, size = masks.targets.shape
        if self.positions is None:
            table = jnp.asarray(vit.sincos_positions(self.grid, self.width))
        else:
            table = self.positions[...]
        seen = context if self.enter is None else blocks.pointwise(self.enter, context)
        seen = jnp.repeat(seen + table[masks.context], count, axis=0)
        asked = (self.mask_token[...] + table[masks.targets]).reshape(batch * count, size, -1)
        x = jnp.concatenate([seen, asked], axis=1)
        valid = jnp.concatenate(
            [
                jnp.repeat(masks.context_valid, count, axis=0),
                masks.targets_valid.reshape(batch * count, size),
            ],
            axis=1,
        )
        rates = (0.0,) * len(self.blocks)
        x = blocks.scan(self.blocks, x, drop_path=rates, key=key, remat=self.remat, valid=valid)
        x = self.norm(x[:, -size:])
        x = x if self.leave is None else blocks.pointwise(self.leave, x)
        return x.reshape(batch, count, size, -1)


class IJEPA(Method):
    """Context encoder, its moving average, and a predictor.

    Args:
        backbone: Section of `backbones.build`; a ViT without a class token, pooled by the mean.
        predictor: Keys of `Predictor`.
        masks: Keys of `block_masks.BlockSampler`; the grid is the backbone's.
        error: "smooth_l1" (the paper) or "squared" (AstroJEPA).
        normalise_targets: Whether targets are layer-normed, without scale and shift.
        momentum_start: Decay of the target encoder at the first update.
        momentum_end: Decay after the last; linear between the two. The paper: 0.996 to 1.
        share_patches: Whether the target encoder embeds patches with the context encoder's
            present weights (no gradient) instead of their moving average (AstroJEPA's code).
        sigreg_weight: w; 0 is plain I-JEPA.
        sigreg_directions: Random directions, drawn afresh at each step.
        sigreg_t_max: End of the integral over the characteristic function's argument.
        sigreg_points: Knots on [0, t_max]; AstroJEPA's 17 on [-5, 5] are 9.
        sigreg_n_scaled: Whether the statistic has its factor N (LeJEPA) or not (AstroJEPA).
        anomaly_draws: Mask draws that the anomaly score is averaged over.
        view: Section of `views.make`; its crop is also the network's input size.
        stretch: Section of `layers.stretch`.
        info: The data.
        rngs: Keys for the initial weights.

    Raises:
        UserError: Parts do not fit together.
    """

    encoder_part = "encoder"

    def __init__(
        self,
        *,
        backbone: dict,
        predictor: dict,
        masks: dict,
        error: Literal["smooth_l1", "squared"],
        normalise_targets: bool,
        momentum_start: float,
        momentum_end: float,
        share_patches: bool,
        sigreg_weight: float,
        sigreg_directions: int,
        sigreg_t_max: float,
        sigreg_points: int,
        sigreg_n_scaled: bool,
        anomaly_draws: int,
        view: dict,
        stretch: dict,
        info: DataInfo,
        rngs: nnx.Rngs,
    ):
        _check(backbone, sigreg_weight, anomaly_draws)
        self.view = views.make(view, info=info, path="method.view")
        self.crop = view["crop"]
        self.stretch = layers.make_stretch(stretch, bands=len(info.bands))
        encoder = backbones.build(
            backbone, bands=len(info.bands), image_size=self.crop, num_classes=None, rngs=rngs
        )
        assert isinstance(encoder, vit.ViT)  # `_check` has seen to it
        self.encoder = encoder
        self.target_encoder = layers.ema_copy(self.encoder)
        size = {"outside": self.encoder.width, "grid": self.encoder.grid}
        self.predictor = call(Predictor, predictor, path="method.predictor", rngs=rngs, **size)
        self.masks = call(BlockSampler, masks, path="method.masks", grid=self.encoder.grid)
        self.error, self.normalise_targets = error, normalise_targets
        self.decays, self.share_patches = (momentum_start, momentum_end), share_patches
        self.sigreg_weight, self.sigreg_directions = sigreg_weight, sigreg_directions
        self.sigreg_t_max, self.sigreg_points = sigreg_t_max, sigreg_points
        self.sigreg_n_scaled, self.anomaly_draws = sigreg_n_scaled, anomaly_draws

    def loss(
        self, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Prediction error of one mask draw, and SIGReg of the context embedding."""
        view_key, mask_key, drop_key, sketch_key = random.split(key, 4)
        image = self.view(view_key, batch["image"])
        masks = self.masks(mask_key, image)
        found = self.compare(self.stretch(image), masks, key=drop_key)
        valid = masks.targets_valid
        prediction = jnp.sum(valid * self._error(found)) / jnp.maximum(jnp.sum(valid), 1)
        logs = {"prediction": prediction, "visible_patches": masks.context_valid.sum(1).mean()}
        if self.sigreg_weight == 0:
            return prediction, logs
        z = found.embedding
        directions = losses.random_directions(sketch_key, z.shape[1], self.sigreg_directions)
        gaussianity = losses.sigreg(
            z[None], directions, t_max=self.sigreg_t_max, num_points=self.sigreg_points
        )
        if not self.sigreg_n_scaled:
            gaussianity = gaussianity / z.shape[0]
        total = (1 - self.sigreg_weight) * prediction + self.sigreg_weight * gaussianity
        return total, {**logs, "sigreg": gaussianity}

    def compare(
        self, image: Float[Array, "b h w c"], masks: BlockMasks, *, key: PRNGKeyArray | None
    ) -> Comparison:
        """Predicts the hidden patches of scaled images; a key turns the stochastic parts on."""
        encode_key, predict_key = blocks.keys(key, 2)
        visible = _take(self.encoder.tokens(image), masks.context)
        context = self.encoder.encode(visible, valid=masks.context_valid, key=encode_key)
        predicted = self.predictor(context, masks, key=predict_key)
        tokens = jax.lax.stop_gradient(self.target_encoder.features(image))
        if self.normalise_targets:
            tokens = jax.nn.standardize(tokens, epsilon=1e-5)
        batch, count, size = masks.targets.shape
        target = _take(tokens, masks.targets.reshape(batch, -1)).reshape(batch, count, size, -1)
        return Comparison(predicted, target, _mean(context, masks.context_valid), masks)

    def draw(self, image: Shaped[Array, "b h w c"], key: PRNGKeyArray) -> BlockMasks:
        """Masks of raw images from one key, the same draw for every image.

        Target blocks then are equal for all, a brightness-biased context follows each image, and
        what comes of them does not depend on the batch that an image is in.
        """
        image = layers.centre_crop(image, self.crop)
        drawn = jax.vmap(lambda x: self.masks(key, x[None]))(image)
        return jax.tree.map(lambda x: x[:, 0], drawn)

    def predict_patches(self, image: Shaped[Array, "b h w c"], key: PRNGKeyArray) -> Comparison:
        """Predicts the patches that `draw` hides, in evaluation mode."""
        scaled = self.stretch(layers.centre_crop(image, self.crop))
        return self.compare(scaled, self.draw(image, key), key=None)

    def after_update(self, progress: Float[Array, ""]) -> None:
        """Target encoder <- m target encoder + (1 - m) encoder, m from start to end."""
        start, end = self.decays
        layers.ema_update(self.target_encoder, self.encoder, start + (end - start) * progress)
        if self.share_patches:
            layers.ema_update(self.target_encoder.patch, self.encoder.patch, 0.0)

    def embed(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b d"]:
        """The target encoder's mean token of the whole central crop."""
        return self.target_encoder(self.stretch(layers.centre_crop(image, self.crop)))

    def predict(self, image: Shaped[Array, "b h w c"]) -> dict[str, Float[Array, "b ..."]]:
        """`anomaly_score`: how badly hidden patches are predicted, averaged over mask draws.

        Per draw, with e the mean squared error of a patch over features: mean e + 0.5 max e +
        0.1 (1 - mean cosine), as in AstroJEPA's code, there with one draw from no seed.
        """
        keys = random.split(random.key(_ANOMALY_SEED), self.anomaly_draws)
        scores = jax.lax.map(lambda key: _anomaly(self.predict_patches(image, key)), keys)
        return {"anomaly_score": jnp.mean(scores, axis=0)}

    def _error(self, found: Comparison) -> Float[Array, "b k n"]:
        """The training error of each hidden patch."""
        if self.error == "squared":
            return squared_error(found)
        return jnp.mean(optax.huber_loss(found.predicted, found.target, delta=1.0), axis=-1)


def squared_error(found: Comparison) -> Float[Array, "b k n"]:
    """Mean squared difference over features, patch by patch."""
    return jnp.mean((found.predicted - found.target) ** 2, axis=-1)


def cosine(found: Comparison) -> Float[Array, "b k n"]:
    """Cosine between prediction and target, patch by patch."""
    unit = losses.l2_normalize(found.predicted) * losses.l2_normalize(found.target)
    return jnp.sum(unit, axis=-1)


def _anomaly(found: Comparison) -> Float[Array, " b"]:
    valid, error = found.masks.targets_valid, squared_error(found)
    count = jnp.maximum(jnp.sum(valid, axis=(1, 2)), 1)
    mean = jnp.sum(valid * error, axis=(1, 2)) / count
    likeness = jnp.sum(valid * cosine(found), axis=(1, 2)) / count
    worst = jnp.max(jnp.where(valid, error, 0.0), axis=(1, 2))
    return mean + 0.5 * worst + 0.1 * (1 - likeness)


def _take(tokens: Float[Array, "b n d"], index: Int[Array, "b k"]) -> Float[Array, "b k d"]:
    return jnp.take_along_axis(tokens, index[..., None], axis=1)


def _mean(tokens: Float[Array, "b n d"], valid: Bool[Array, "b n"]) -> Float[Array, "b d"]:
    weight = valid[..., None].astype(tokens.dtype)
    return jnp.sum(weight * tokens, axis=1) / jnp.maximum(jnp.sum(weight, axis=1), 1)


def _check(backbone: dict, sigreg_weight: float, anomaly_draws: int) -> None:
    plain = {"name": "vit", "class_token": False, "pool": "mean"}
    if any(backbone.get(name) != value for name, value in plain.items()):
        raise UserError(
            "I-JEPA hides patches, so config section 'method.backbone' has to be a 'vit' with "
            "class_token False and pool 'mean'"
        )
    if not 0 <= sigreg_weight <= 1:
        raise UserError(f"config key 'method.sigreg_weight' is {sigreg_weight}; it is in [0, 1]")
    if anomaly_draws < 1:
        raise UserError(f"config key 'method.anomaly_draws' is {anomaly_draws}; draw at least once")
