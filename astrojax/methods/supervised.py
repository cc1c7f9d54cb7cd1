# SPDX-License-Identifier: Apache-2.0
"""Supervised learning on any column: from scratch, on frozen features, or fine-tuning.

    f = neck(backbone(view(x))),  y = head(dropout(f)),  L = mean over labelled of l(y, target)

l is cross-entropy for classes, and for several yes-or-no labels one of them each; Huber, squared
or absolute error for numbers; the negative log-likelihood of numbers under a Gaussian each, or of
one number under a mixture of Gaussians, for predictions with an error; or that of volunteers'
votes under a Dirichlet-multinomial distribution (Walmsley et al. 2022), one for each question.
The schemes of transfer learning (Martinazzo et al. 2020) differ in the experiment alone: `init`
says where the weights come from, `optim.frozen` what is not trained, and `train_backbone=False`
keeps frozen batch norms on their running statistics. It is also PITA's fully supervised baseline
(Huber on redshift) and the regression of lens parameters.
"""

from typing import Literal

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import random
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from astrojax import losses
from astrojax.augment import views
from astrojax.data.info import DataInfo
from astrojax.data.source import Source
from astrojax.errors import UserError
from astrojax.methods import Batch, Method
from astrojax.nn import backbones, layers, mixture

_LARGEST = 1e15  # of a target: the square of a larger one is not exact, or infinite, in float32
_NUMBERS = ("huber", "squared", "absolute", "gaussian", "mixture")
Error = Literal[
    "cross_entropy", "binary", "huber", "squared", "absolute", "gaussian", "mixture", "votes"
]
_SUFFIXES = {"binary": "_probability", "votes": "_fraction"}


class Supervised(Method):
    """A backbone, an optional MLP neck and a linear or MLP head on one column of the data.

    Args:
        backbone: Section of `backbones.build`.
        backbone_outputs: Units of a linear layer on the pooled features, or None for none.
        neck: Widths of an MLP between backbone and head; () for none. Its output is the embedding.
        head: Hidden widths of the head; () for a linear one.
        mlp_init: First weights of neck and head: "lecun_normal", or "torch_uniform" as in PyTorch.
        target: Column to predict: integer classes, or one or several numbers; or several columns
            of one number each.
        outputs: Number of classes, of numbers, or of Gaussians in the mixture of one number.
        error: "cross_entropy", "binary" (columns of 0 and 1), "huber", "squared", "absolute",
            "gaussian", "mixture" or "votes" (columns of counts).
        questions: Numbers of answers of each question, which follow one another in `target`; for
            "votes" alone.
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
        target: str | tuple[str, ...],
        outputs: int,
        error: Error,
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
        questions: tuple[int, ...] = (),
        info: DataInfo,
        rngs: nnx.Rngs,
    ):
        _check_questions(error, questions, outputs)
        if isinstance(class_weights, tuple) and len(class_weights) != outputs:
            raise UserError(
                f"config key 'method.class_weights' has {len(class_weights)} values for "
                f"{outputs} classes"
            )
        if error in _NUMBERS:
            _check_lengths(outputs, target_offset=target_offset, target_scale=target_scale)
        self.names = (target,) if isinstance(target, str) else target
        self.columns = ("image", *self.names)
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
        units = {"mixture": mixture.width(outputs), "gaussian": 2 * outputs}.get(error, outputs)
        widths = ((width, *neck)[-1], *head, units)
        self.head = layers.MLP(widths, dropout=dropout, init=mlp_init, rngs=rngs)
        self.target, self.outputs, self.error, self.delta = target, outputs, error, huber_delta
        self.questions = questions
        self.offset, self.spread = target_offset, target_scale
        self.class_weights, self.max_norm = class_weights, max_norm
        self.train_backbone, self.test_time_augmentation = train_backbone, test_time_augmentation

    def check(self, source: Source) -> None:
        """Raises `UserError` if the training data have no usable label; counts the classes."""
        target = self._targets(source)
        if self.error == "cross_entropy":
            self._check_classes(target, source.info.classes)
        else:
            self._check_numbers(target)
        if not self.known_targets(source).any():
            raise UserError(f"no training example has a label in column {', '.join(self.names)}")

    def known_targets(self, source: Source) -> Bool[np.ndarray, " n"]:
        """Returns which examples have a label, or all numbers that belong to it."""
        target = self._targets(source)
        if self.error == "cross_entropy":
            return target >= 0
        known = np.isfinite(target.reshape(len(target), -1).astype(float))
        return known.any(1) if self.error in _SUFFIXES else known.all(1)

    def _targets(self, source: Source) -> Shaped[np.ndarray, "n *k"]:
        values = [self._labels(source, name) for name in self.names]
        return values[0] if isinstance(self.target, str) else np.stack(values, -1)

    def _labels(self, source: Source, name: str) -> np.ndarray:
        """Returns a column of the target; missing integers are -1, or NaN among numbers."""
        values = source.column(name)
        if values.dtype.kind not in "iufb":
            raise UserError(f"column {name!r} is of text; name it as data.columns.label")
        if not np.ma.isMaskedArray(values):
            return values
        if self.error == "cross_entropy":
            return np.ma.filled(values.astype(np.int64), -1)
        if self.error in _SUFFIXES:
            return np.ma.filled(values.astype(np.float64), np.nan)
        raise UserError(
            f"column {name!r} is of integers of which some are missing: store it as floats, with "
            "NaN for what is missing"
        )

    def _check_classes(self, target: np.ndarray, names: tuple[str, ...] | None) -> None:
        if not np.issubdtype(target.dtype, np.integer):
            raise UserError(f"column {self.target!r} is not of integers, so it has no classes")
        if target.max() >= self.outputs:
            raise UserError(
                f"column {self.target!r} has label {target.max()}, and config key "
                f"'method.outputs' allows 0 to {self.outputs - 1}"
            )
        self._count(target[target >= 0], names)

    def _check_numbers(self, target: np.ndarray) -> None:
        width = 1 if target.ndim == 1 else target.shape[1]
        allowed = 1 if self.error == "mixture" else self.outputs
        if width != allowed:
            raise UserError(
                f"column {', '.join(self.names)} has {width} numbers per object, and config keys "
                f"'method.error' and 'method.outputs' are for {allowed}"
            )
        known = np.isfinite(target.astype(float))
        low, high = {"binary": (0, 1), "votes": (0, np.inf)}.get(self.error, (-np.inf, np.inf))
        if ((target < low) | (target > high))[known].any():
            kind = "0 and 1" if self.error == "binary" else "counts"
            raise UserError(f"column {', '.join(self.names)} holds other values than {kind}")
        absurd = known & (np.abs(np.where(known, target, 0)) > _LARGEST)
        if absurd.any():
            raise UserError(
                f"column {', '.join(self.names)} holds {target[absurd][0]:.6g}, too large to learn "
                f"from: if that means none, add it to data.sentinels.{self.names[0]}"
            )

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
        error, weight = self._errors(self.head(features, key=head_key), self._target(batch))
        return jnp.sum(weight * error) / jnp.maximum(jnp.sum(weight), 1e-12), {}

    def after_update(self, progress: Float[Array, ""]) -> None:
        """The max-norm projection of the head's hidden units."""
        if self.max_norm is not None:
            for linear in self.head.linears[:-1]:
                layers.project_norms(linear, self.max_norm)

    def validation_loss(self, batch: Batch) -> Float[Array, " b"]:
        """The unweighted error of each example on its central crop; 0 without a label."""
        image = self.stretch(layers.centre_crop(batch["image"], self.crop))
        error, weight = self._errors(self.head(self._features(image, None)), self._target(batch))
        return jnp.where(weight > 0, error, 0)

    def embed(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b d"]:
        """What the head sees of the central crop."""
        return self._features(self.stretch(layers.centre_crop(image, self.crop)), None)

    def predict(self, image: Shaped[Array, "b h w c"]) -> dict[str, Shaped[Array, "b ..."]]:
        """`<target>`, in the target's units; for classes also `class_probability` [b k].

        Yes-or-no labels have `<name>_probability`, votes `<name>_fraction`, a Gaussian
        `<name>_sigma` beside `<name>`. A mixture has its width and its parameters beside it: see
        `mixture.predictions`.
        """

        def heads(turned: Shaped[Array, "b h w c"]) -> Float[Array, "b k"]:
            return self._scale(self.head(self.embed(turned)).astype(jnp.float32))

        mean = layers.test_time_augmentation(heads, image, self.test_time_augmentation)
        if self.error == "cross_entropy":
            return {self.names[0]: jnp.argmax(mean, -1), "class_probability": mean}
        if self.error == "mixture":
            offset, scale = self.offset[0], self.spread[0]
            return mixture.predictions(mean, self.names[0], offset=offset, scale=scale)
        if self.error in _SUFFIXES:
            return self._named(mean, _SUFFIXES[self.error])
        start, width = jnp.asarray(self.offset), jnp.asarray(self.spread)
        found = self._named(mean[:, : self.outputs] * width + start)
        if self.error == "gaussian":
            found |= self._named(mean[:, self.outputs :] * width, "_sigma")
        return found

    def _scale(self, output: Float[Array, "b k"]) -> Float[Array, "b k"]:
        """What may be averaged over turns: probabilities, fractions, widths, or numbers."""
        if self.error == "cross_entropy":
            return nnx.softmax(output)
        if self.error == "binary":
            return nnx.sigmoid(output)
        if self.error == "votes":
            parts = self._by_question(_concentration(output))
            return jnp.concatenate([a / a.sum(-1, keepdims=True) for a in parts], -1)
        if self.error == "gaussian":
            mean, width = jnp.split(output, 2, axis=-1)
            return jnp.concatenate([mean, _width(width)], -1)
        return output

    def _named(self, values: Float[Array, "b k"], suffix: str = "") -> dict[str, Array]:
        """Returns one entry for each column of the target."""
        if isinstance(self.target, str):
            return {self.target + suffix: values[:, 0] if self.outputs == 1 else values}
        return {name + suffix: values[:, i] for i, name in enumerate(self.names)}

    def _by_question(self, values: Float[Array, "b k"]) -> list[Array]:
        return jnp.split(values, np.cumsum(self.questions)[:-1].tolist(), axis=-1)

    def _target(self, batch: Batch) -> Array:
        if isinstance(self.target, str):
            return batch[self.target]
        return jnp.stack([batch[name].astype(jnp.float32) for name in self.names], -1)

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
        target = target.reshape(len(target), -1).astype(jnp.float32)
        known = jnp.isfinite(target)
        if self.error in _SUFFIXES:
            known &= target >= 0  # missing integers come as -1
        if self.error == "binary":
            label = jnp.where(known, target, 0)
            error = jnp.where(known, optax.sigmoid_binary_cross_entropy(output, label), 0)
            return error.sum(-1) / jnp.maximum(known.sum(-1), 1), known.any(-1).astype(jnp.float32)
        if self.error == "votes":
            counts = self._by_question(jnp.where(known, target, 0))
            asked = self._by_question(_concentration(output))
            pairs = zip(asked, counts, strict=True)
            error = jnp.stack([losses.dirichlet_multinomial_nll(a, n) for a, n in pairs], -1)
            return error.mean(-1), known.any(-1).astype(jnp.float32)
        known = known.all(-1)
        wanted = (target - jnp.asarray(self.offset)) / jnp.asarray(self.spread)
        wanted = jnp.where(known[:, None], wanted, 0)
        if self.error == "mixture":
            error = losses.mixture_nll(*mixture.parameters(output), wanted[:, 0])
            return error, known.astype(jnp.float32)
        if self.error == "gaussian":
            mean, width = jnp.split(output, 2, axis=-1)
            error = losses.gaussian_nll(mean, _width(width), wanted)
            return error.mean(-1), known.astype(jnp.float32)
        residual = jnp.where(known[:, None], output - wanted, 0)
        if self.error == "huber":
            error = optax.huber_loss(residual, delta=self.delta)
        else:
            error = residual**2 if self.error == "squared" else jnp.abs(residual)
        return error.mean(-1), known.astype(jnp.float32)


def _check_questions(error: Error, questions: tuple[int, ...], outputs: int) -> None:
    if (error == "votes") != bool(questions) or sum(questions) not in (0, outputs):
        raise UserError(
            f"config key 'method.questions' is {questions!r}: with method.error='votes' the "
            f"answers of all questions add up to method.outputs, {outputs}; it is () otherwise"
        )


def _check_lengths(outputs: int, **values: tuple[float, ...]) -> None:
    for name, given in values.items():
        if len(given) not in (1, outputs):
            raise UserError(
                f"config key 'method.{name}' has {len(given)} values for {outputs} outputs"
            )


def _concentration(output: Float[Array, "b k"]) -> Float[Array, "b k"]:
    """From 1 to 101, as Zoobot's: no answer is ruled out, none is certain."""
    return 1 + 100 * nnx.sigmoid(output)


def _width(output: Float[Array, "b k"]) -> Float[Array, "b k"]:
    """A standard deviation, in units of the scaled target; never 0."""
    return nnx.softplus(output) + 1e-3
