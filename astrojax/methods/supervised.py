# SPDX-License-Identifier: Apache-2.0
"""Supervised learning on any column: from scratch, on frozen features, or fine-tuning.

    f = neck(backbone(view(x))),  y = head(dropout(f)),  L = mean over labelled of l(y, target)

l is cross-entropy for classes; Huber, squared or absolute error for numbers; or the negative
log-likelihood of a number under a mixture of Gaussians, for predictions with an error. The
schemes of transfer learning (Martinazzo et al. 2020) differ in the experiment alone: `init` says
where the weights come from, `optim.frozen` what is not trained, and `train_backbone=False` keeps
frozen batch norms on their running statistics. It is also PITA's fully supervised baseline (Huber
on redshift) and the regression of lens parameters.
"""

from typing import Literal

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import random
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from astrojax import losses
from astrojax.augment import views
from astrojax.data.info import DataInfo
from astrojax.data.source import Source
from astrojax.errors import UserError
from astrojax.methods import Batch, Method
from astrojax.nn import backbones, layers, mixture


class Supervised(Method):
    """A backbone, an optional MLP neck and a linear or MLP head on one column of the data.

    Args:
        backbone: Section of `backbones.build`.
        backbone_outputs: Units of a linear layer on the pooled features, or None for none.
        neck: Widths of an MLP between backbone and head; () for none. Its output is the embedding.
        head: Hidden widths of the head; () for a linear one.
        mlp_init: First weights of neck and head: "lecun_normal", or "torch_uniform" as in PyTorch.
        target: Column to predict: integer classes, or one or several numbers.
        outputs: Number of classes, of numbers, or of Gaussians in the mixture of one number.
        error: "cross_entropy", "huber", "squared", "absolute" or "mixture".
        huber_delta: Where the Huber error turns linear, in units of the scaled target.
        target_offset: Subtracted from the target before training, added to predictions; one for
            all outputs or one each. Ignored for classes.
        target_scale: Divides the target likewise.
        class_weights: Weight of each class in the loss, "balanced" for the inverse of its share of
            the training labels, or None for equal ones.
        dropout: Rate before the last layer of the head.
        max_norm: Largest L2 norm of the weights into a hidden unit of the head, or None.
        train_backbone: False keeps the backbone in evaluation mode (with `optim.frozen`).
        test_time_augmentation: Predictions are averaged over this many quarter turns (1 to 4).
        view: Section of `views.make`.
        stretch: Section of `layers.stretch`.
        info: The data.
        rngs: Keys for the initial weights.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        backbone_outputs: int | None,
        neck: tuple[int, ...],
        head: tuple[int, ...],
        mlp_init: layers.Init,
        target: str,
        outputs: int,
        error: Literal["cross_entropy", "huber", "squared", "absolute", "mixture"],
        huber_delta: float,
        target_offset: tuple[float, ...],
        target_scale: tuple[float, ...],
        class_weights: Literal["balanced"] | tuple[float, ...] | None,
        dropout: float,
        max_norm: float | None,
        train_backbone: bool,
        test_time_augmentation: Literal[1, 2, 3, 4],
        view: dict,
        stretch: dict,
        info: DataInfo,
        rngs: nnx.Rngs,
    ):
        if isinstance(class_weights, tuple) and len(class_weights) != outputs:
            raise UserError(
                f"config key 'method.class_weights' has {len(class_weights)} values for "
                f"{outputs} classes"
            )
        for name, values in (("target_offset", target_offset), ("target_scale", target_scale)):
            if error != "cross_entropy" and len(values) not in (1, outputs):
                raise UserError(
                    f"config key 'method.{name}' has {len(values)} values for {outputs} outputs"
                )
        self.columns = ("image", target)
        self.view = views.make(view, info=info, path="method.view")
        self.crop = view["crop"]
        self.stretch = layers.make_stretch(stretch, bands=len(info.bands))
        self.backbone = backbones.build(
            backbone,
            bands=len(info.bands),
            image_size=self.crop,
            num_classes=backbone_outputs,
            rngs=rngs,
        )
        width = self.backbone.width if backbone_outputs is None else backbone_outputs
        self.neck = layers.MLP((width, *neck), init=mlp_init, rngs=rngs)
        units = mixture.width(outputs) if error == "mixture" else outputs
        widths = ((width, *neck)[-1], *head, units)
        self.head = layers.MLP(widths, dropout=dropout, init=mlp_init, rngs=rngs)
        self.target, self.outputs, self.error, self.delta = target, outputs, error, huber_delta
        self.offset, self.spread = target_offset, target_scale
        self.class_weights, self.max_norm = class_weights, max_norm
        self.train_backbone, self.test_time_augmentation = train_backbone, test_time_augmentation

    def check(self, source: Source) -> None:
        """Raises `UserError` if the training data have no usable label; counts the classes."""
        values = source.column(self.target)
        if values.dtype.kind not in "iufb":
            raise UserError(f"column {self.target!r} is of text; name it as data.columns.label")
        if np.ma.isMaskedArray(values) and self.error != "cross_entropy":
            raise UserError(
                f"column {self.target!r} is of integers of which some are missing: store it as "
                "floats, with NaN for what is missing"
            )
        values = np.ma.filled(
            values.astype(np.int64) if np.ma.isMaskedArray(values) else values, -1
        )
        if self.error == "cross_entropy":
            if not np.issubdtype(values.dtype, np.integer):
                raise UserError(f"column {self.target!r} is not of integers, so it has no classes")
            if values.max() >= self.outputs:
                raise UserError(
                    f"column {self.target!r} has label {values.max()}, and config key "
                    f"'method.outputs' allows 0 to {self.outputs - 1}"
                )
            known = values >= 0
            self._count(values[known], source.info.classes)
        else:
            width = 1 if values.ndim == 1 else values.shape[1]
            allowed = 1 if self.error == "mixture" else self.outputs
            if width != allowed:
                raise UserError(
                    f"column {self.target!r} has {width} numbers per object, and config keys "
                    f"'method.error' and 'method.outputs' are for {allowed}"
                )
            known = np.isfinite(values)
        if not known.any():
            raise UserError(f"no training example has a label in column {self.target!r}")

    def _count(self, label: np.ndarray, names: tuple[str, ...] | None) -> None:
        """Sets balanced class weights, and stops where a class has no example to learn from."""
        counts = np.bincount(label, minlength=self.outputs)
        if len(label) and not counts.all():
            known = names or ()
            absent = np.flatnonzero(counts == 0)
            missing = [known[i] if i < len(known) else str(i) for i in absent]
            raise UserError(
                f"no training example of class {', '.join(missing)} ({len(label)} have a label): "
                "merge classes, lower config key 'method.outputs', or split in another way"
            )
        if self.class_weights == "balanced":
            self.class_weights = tuple((len(label) / (self.outputs * counts)).tolist())

    def loss(
        self, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The mean error over the labelled examples of the batch."""
        view_key, drop_key, head_key = random.split(key, 3)
        image = self.stretch(self.view(view_key, batch["image"]))
        features = self._features(image, drop_key if self.train_backbone else None)
        error, weight = self._errors(self.head(features, key=head_key), batch[self.target])
        return jnp.sum(weight * error) / jnp.maximum(jnp.sum(weight), 1e-12), {}

    def after_update(self, progress: Float[Array, ""]) -> None:
        """The max-norm projection of the head's hidden units."""
        if self.max_norm is not None:
            for linear in self.head.linears[:-1]:
                layers.project_norms(linear, self.max_norm)

    def validation_loss(self, batch: Batch) -> Float[Array, " b"]:
        """The unweighted error of each example on its central crop; 0 without a label."""
        image = self.stretch(layers.centre_crop(batch["image"], self.crop))
        error, weight = self._errors(self.head(self._features(image, None)), batch[self.target])
        return jnp.where(weight > 0, error, 0)

    def embed(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b d"]:
        """What the head sees of the central crop."""
        return self._features(self.stretch(layers.centre_crop(image, self.crop)), None)

    def predict(self, image: Shaped[Array, "b h w c"]) -> dict[str, Shaped[Array, "b ..."]]:
        """`<target>`, in the target's units; for classes also `class_probability` [b k].

        A mixture has its width and its parameters beside it: see `mixture.predictions`.
        """
        classes = self.error == "cross_entropy"

        def heads(turned: Shaped[Array, "b h w c"]) -> Float[Array, "b k"]:
            output = self.head(self.embed(turned))
            return nnx.softmax(output) if classes else output

        mean = layers.test_time_augmentation(heads, image, self.test_time_augmentation)
        if classes:
            return {self.target: jnp.argmax(mean, -1), "class_probability": mean}
        if self.error == "mixture":
            return mixture.predictions(
                mean, self.target, offset=self.offset[0], scale=self.spread[0]
            )
        value = mean * jnp.asarray(self.spread) + jnp.asarray(self.offset)
        return {self.target: value[:, 0] if self.outputs == 1 else value}

    def _features(
        self, image: Float[Array, "b h w c"], key: PRNGKeyArray | None
    ) -> Float[Array, "b d"]:
        return self.neck(self.backbone(image, train=key is not None, key=key))

    def _errors(
        self, output: Float[Array, "b k"], target: Array
    ) -> tuple[Float[Array, " b"], Float[Array, " b"]]:
        """Each example's error and weight; weight 0 where there is no label."""
        output = output.astype(jnp.float32)
        if self.error == "cross_entropy":
            label = jnp.maximum(target, 0)
            weights = jnp.ones(self.outputs) if self.class_weights is None else self.class_weights
            error = optax.softmax_cross_entropy_with_integer_labels(output, label)
            return error, jnp.where(target >= 0, jnp.asarray(weights)[label], 0.0)
        target = target.reshape(len(target), -1)
        known = jnp.isfinite(target).all(-1)
        wanted = (target - jnp.asarray(self.offset)) / jnp.asarray(self.spread)
        if self.error == "mixture":
            wanted = jnp.where(known, wanted[:, 0], 0)
            error = losses.mixture_nll(*mixture.parameters(output), wanted)
            return error, known.astype(jnp.float32)
        residual = jnp.where(known[:, None], output - wanted, 0)
        if self.error == "huber":
            error = optax.huber_loss(residual, delta=self.delta)
        else:
            error = residual**2 if self.error == "squared" else jnp.abs(residual)
        return error.mean(-1), known.astype(jnp.float32)
