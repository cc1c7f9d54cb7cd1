# SPDX-License-Identifier: Apache-2.0
"""Self-Classifier (Amrani et al. 2021, 2103.10994): classes without labels, end to end.

Two views of an image have to fall in the same of k classes. With the logits s = cos(z, w) / t of
one view and s' of the other, z the embedding and w_c the direction of class c,

    p(c | x) = softmax over classes of s,    q(x | c) = softmax over the batch of s'
    L = -1/2 mean_x sum_c [ q'(x | c) log p(c | x) + q(x | c) log p'(c | x) ]

averaged over several heads of classes. Every class receives one unit of q from the batch, so that
not all images can end in one class; the batch, here always the global one, needs more images than
there are classes. Gradients flow through p and q.

Version "2021" is the paper's first (Algorithm 1; the authors' commit 635972b): fixed orthonormal
classes, one temperature, two views passed through the network one after the other, so that batch
statistics are those of one view. The authors evaluated q on each device's own 256 images; here it
is over the global batch, as in the paper's text.

Version "2022" is the ECCV paper (the authors' later code): learned classes, a softer p and a
sharper q, a uniform prior in p, local views, and a queue in which the first view is replaced by
its nearest neighbour. Views of one size pass through the network together, all of them through
the MLP. A stored embedding of the image itself is not its neighbour; it is recognised by its
pixels, where the authors keep the image's number. `classifier="weight_norm"` is their classifier,
which trains a length for each class besides its direction (directions start independent there,
here nearly orthogonal); the MLP starts from N(0, 0.02) as theirs.

Departures from the authors' code in both versions:
- layers before a batch norm have no bias: the norm takes it off, so only its decay would differ;
- the warm-up of their rate holds its peak one step earlier, N - 1 steps after the first of N;
- their kNN of the first version is Euclidean on unit vectors with weights of inverse distance; here
  it is by cosine, the same neighbours, with weights of exp(cosine / t), as in their later code;
- computation is in float32 or bfloat16 (`dtype`), the loss in float32; theirs in float16.
The optimizer "larc" is theirs in its order of rate and momentum; "lars" is that of the papers.
"""

import dataclasses
import functools
import itertools
import logging
from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import random
from jaxtyping import Array, Float, PRNGKeyArray, Shaped, UInt32

from astrojax import losses
from astrojax.augment import views
from astrojax.config import call
from astrojax.data.info import DataInfo
from astrojax.errors import UserError
from astrojax.methods import Batch, Method
from astrojax.nn import backbones, layers


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Version2021:
    """Options of the first version.

    Attributes:
        temperature: t of both softmaxes.
        normalize_rows: Whether an image's q over the classes is made to sum to 1, as on CIFAR.
    """

    temperature: float
    normalize_rows: bool

    @property
    def row_temperature(self) -> float:
        """The t of p."""
        return self.temperature

    def loss(self, logits: Float[Array, "heads v b k"]) -> Float[Array, ""]:
        """The mean over heads."""
        one = functools.partial(
            losses.self_classifier,
            temperature=self.temperature,
            normalize_rows=self.normalize_rows,
        )
        return jnp.mean(jax.vmap(one)(logits[:, 0], logits[:, 1]))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Version2022:
    """Options of the second version.

    Attributes:
        row_temperature: t of p.
        column_temperature: t of q.
        eps: Added to p in its logarithm.
        second_view: Section of `views.make` for the second global view; the crop of the first.
        local_view: The same for local views; None if there are none.
        local_views: Number of local views.
        queue_size: Embeddings of first views that are kept; 0 for no neighbours.
    """

    row_temperature: float
    column_temperature: float
    eps: float
    second_view: dict
    local_view: dict | None
    local_views: int
    queue_size: int

    def loss(self, logits: Float[Array, "heads v b k"]) -> Float[Array, ""]:
        """The mean over heads and pairs of views."""
        return losses.self_classifier_multiview(
            logits,
            row_temperature=self.row_temperature,
            column_temperature=self.column_temperature,
            eps=self.eps,
        )


class SelfClassifier(Method):
    """A backbone, an MLP to a unit vector, and one matrix of class directions for all heads.

    Args:
        version: {"name": "2021", ...} or {"name": "2022", ...} with the keys of `Version2021` or
            `Version2022`.
        backbone: Section of `backbones.build`.
        mlp: Hidden and output widths of the MLP (leaky ReLU); () puts the classes on the features.
        mlp_norm: Whether the hidden layers have batch norm.
        classes: Number of classes of each head; the first one's are the classes that are reported.
        classifier: "fixed" or "learned" class directions, all of unit length, or "weight_norm":
            learned ones with a learned length, at first 1.
        view: Section of `views.make`; its crop is the network's input size.
        offset: Subtracted from the pixels, one per band, before `stretch`. Pixels of 8 bits are
            divided by 255 first.
        stretch: Section of `layers.stretch`.
        info: The data.
        rngs: Keys for the initial weights and the class directions.

    Raises:
        UserError: The version or the kind of classifier does not exist, or views do not fit.
    """

    def __init__(
        self,
        *,
        version: dict,
        backbone: dict,
        mlp: tuple[int, ...],
        mlp_norm: bool,
        classes: tuple[int, ...],
        classifier: Literal["fixed", "learned", "weight_norm"],
        view: dict,
        offset: tuple[float, ...],
        stretch: dict,
        info: DataInfo,
        rngs: nnx.Rngs,
    ):
        _check(version, classes)
        layers.check_per_band("method.offset", offset, len(info.bands))
        kind = {"2021": Version2021, "2022": Version2022}[version["name"]]
        self.version = call(kind, version, path="method.version")
        self.view = views.make(view, info=info, path="method.view")
        self.crop, self.classes, self.offset = view["crop"], classes, offset
        self.stretch = layers.make_stretch(stretch, bands=len(info.bands))
        self.backbone = backbones.build(
            backbone, bands=len(info.bands), image_size=self.crop, num_classes=None, rngs=rngs
        )
        widths = (self.backbone.width, *mlp)
        self.mlp = layers.MLP(
            widths, activation="leaky_relu", norm=mlp_norm, bias=not mlp_norm, rngs=rngs
        )
        directions = [orthogonal_rows(rngs.params(), k, widths[-1]) for k in classes]
        variable = layers.NonTrainable if classifier == "fixed" else nnx.Param
        self.directions = variable(jnp.concatenate(directions))
        weighted = classifier == "weight_norm"
        self.lengths = nnx.Param(jnp.ones((sum(classes), 1))) if weighted else None
        if kind is Version2022:
            for linear in self.mlp.linears:
                linear.kernel[...] = 0.02 * random.normal(rngs.params(), linear.kernel.shape)
            self._make_views(info)
            size = self.version.queue_size
            self.queue = NeighbourQueue(size=size, width=widths[-1], rngs=rngs) if size else None

    def _make_views(self, info: DataInfo) -> None:
        """The view makers that only the second version has."""
        second, local = self.version.second_view, self.version.local_view
        if second["crop"] != self.crop:
            raise UserError(
                f"config key 'method.version.second_view.crop' is {second['crop']}; both global "
                f"views have the crop of 'method.view', {self.crop}"
            )
        if (local is None) != (self.version.local_views == 0):
            raise UserError(
                "set 'method.version.local_view' where there are local views, else None"
            )
        self.second = views.make(second, info=info, path="method.version.second_view")
        if local is not None:
            self.local = views.make(local, info=info, path="method.version.local_view")

    def loss(
        self, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The loss, averaged over heads, and what the first head makes of the batch.

        `agreement` is the fraction of images with one class in both views, `classes_used` the
        number of classes that any image of the batch falls in.
        """
        image = layers.unit_range(batch["image"])
        _warn_small_batch(len(image), max(self.classes))
        first = isinstance(self.version, Version2021)
        z = self._one_by_one(image, key) if first else self._together(image, key)
        logits = self._logits(z)
        total = sum(len(head) * self.version.loss(head) for head in self._heads(logits))
        chosen = jnp.argmax(logits[:2, :, : self.classes[0]], axis=-1)
        used = jnp.zeros(self.classes[0]).at[chosen[1]].set(1.0)
        logs = {"agreement": jnp.mean(chosen[0] == chosen[1]), "classes_used": jnp.sum(used)}
        return total / len(self.classes), logs

    def embed(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b d"]:
        """The backbone's pooled features of the central crop."""
        return self.backbone(self._scaled(layers.centre_crop(layers.unit_range(image), self.crop)))

    def predict(self, image: Shaped[Array, "b h w c"]) -> dict[str, Float[Array, "b ..."]]:
        """`class_probability` [b k] of the first head, and its most probable class `cluster`."""
        z = losses.l2_normalize(self.mlp(self.embed(image)))
        logits = self._logits(z)[:, : self.classes[0]] / self.version.row_temperature
        return {"class_probability": nnx.softmax(logits), "cluster": jnp.argmax(logits, axis=-1)}

    def _one_by_one(
        self, image: Float[Array, "b h w c"], key: PRNGKeyArray
    ) -> Float[Array, "v b d"]:
        """Embeddings of two views, each from a pass of its own."""
        embedded = []
        for view_key in random.split(key):
            place, drop = random.split(view_key)
            features = self.backbone(self._scaled(self.view(place, image)), train=True, key=drop)
            embedded.append(losses.l2_normalize(self.mlp(features, train=True)))
        return jnp.stack(embedded)

    def _together(self, image: Float[Array, "b h w c"], key: PRNGKeyArray) -> Float[Array, "v b d"]:
        """Embeddings of the global and local views, the first one replaced by its neighbour."""
        keys = random.split(key, 5)
        pair = [self.view(keys[0], image), self.second(keys[1], image)]
        features = self._features(jnp.stack(pair, axis=1), keys[2])
        if self.version.local_views:
            local = self.local(keys[3], jnp.repeat(image, self.version.local_views, axis=0))
            local = local.reshape(len(image), self.version.local_views, *local.shape[1:])
            features = jnp.concatenate([features, self._features(local, keys[4])], axis=1)
        b, v, d = features.shape
        z = losses.l2_normalize(self.mlp(features.reshape(b * v, d), train=True))
        z = jnp.moveaxis(z.reshape(b, v, -1), 1, 0)
        if self.queue is None:
            return z
        mark, query = fingerprint(image), jax.lax.stop_gradient(z[0])
        neighbour = jnp.where(self.queue.full(), self.queue.nearest(query, mark), z[0])
        self.queue.push_marked(query, mark)
        return z.at[0].set(neighbour)

    def _features(
        self, image: Float[Array, "b v h w c"], key: PRNGKeyArray
    ) -> Float[Array, "b v d"]:
        """Pooled features from one pass; views of an image stay on its device."""
        b, v = image.shape[:2]
        flat = self._scaled(image.reshape(b * v, *image.shape[2:]))
        return self.backbone(flat, train=True, key=key).reshape(b, v, -1)

    def _scaled(self, image: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        return self.stretch(image - jnp.asarray(self.offset, jnp.float32))

    def _logits(self, z: Float[Array, "*s d"]) -> Float[Array, "*s k"]:
        """Cosines of unit embeddings with the classes of all heads, times the classes' lengths."""
        directions = self.directions[...]
        if isinstance(self.directions, nnx.Param):
            directions = losses.l2_normalize(directions)
        if self.lengths is not None:
            directions = self.lengths[...] * directions
        # Small beside the backbone, and about to be divided by a temperature: in full precision.
        return jnp.matmul(z, directions.T, precision="highest")

    def _heads(self, logits: Float[Array, "v b k"]) -> Iterator[Float[Array, "heads v b c"]]:
        """The logits in groups of neighbouring heads with equal numbers of classes."""
        start, (v, b, _) = 0, logits.shape
        for k, same in itertools.groupby(self.classes):
            count = len(list(same))
            group = logits[..., start : start + count * k].reshape(v, b, count, k)
            start += count * k
            yield jnp.moveaxis(group, 2, 0)


class NeighbourQueue(layers.Queue):
    """Embeddings of earlier images, each with a mark that tells images apart."""

    def __init__(self, *, size: int, width: int, rngs: nnx.Rngs):
        super().__init__(size=size, width=width, rngs=rngs)
        self.marks = layers.NonTrainable(jnp.zeros(size, jnp.uint32))
        self.pushed = layers.NonTrainable(jnp.zeros((), jnp.int32))

    def full(self) -> Shaped[Array, ""]:
        """Whether embeddings of images fill the queue; it begins with random ones."""
        return self.pushed[...] >= self.keys.shape[0]

    def nearest(self, query: Float[Array, "b d"], mark: UInt32[Array, " b"]) -> Float[Array, "b d"]:
        """The stored embedding most similar to each unit query, that of the same image excluded."""
        similarity = jnp.matmul(query, self.keys[...].T, precision="highest")
        itself = mark[:, None] == self.marks[...]
        return self.keys[...][jnp.argmax(jnp.where(itself, -jnp.inf, similarity), axis=1)]

    def push_marked(self, keys: Float[Array, "b d"], mark: UInt32[Array, " b"]) -> None:
        """Overwrites the oldest embeddings and their marks."""
        size = self.keys.shape[0]
        slots = (self.position[...] + jnp.arange(len(mark))) % size
        self.push(keys)
        self.marks[...] = self.marks[...].at[slots].set(mark)
        self.pushed[...] = jnp.minimum(self.pushed[...] + len(mark), size)


def orthogonal_rows(key: PRNGKeyArray, count: int, width: int) -> Float[Array, "k d"]:
    """Random directions as rows, from the QR decomposition of a Gaussian matrix.

    Up to `width` of them are orthonormal. If there are more, the columns are orthogonal and the
    rows, brought to unit length, only nearly.
    """
    gaussian = random.normal(key, (max(count, width), min(count, width)))
    q, r = jnp.linalg.qr(gaussian)
    q = q * jnp.sign(jnp.diagonal(r))  # uniform over rotations
    return losses.l2_normalize(q if count > width else q.T)


def fingerprint(image: Float[Array, "b h w c"]) -> UInt32[Array, " b"]:
    """A number that differs between images; the same image always has the same, bit for bit."""
    bits = jax.lax.bitcast_convert_type(image, jnp.uint32).reshape(len(image), -1)
    weight = jnp.arange(bits.shape[1], dtype=jnp.uint32) * jnp.uint32(2654435761) | jnp.uint32(1)
    return jnp.sum(bits * weight, axis=1, dtype=jnp.uint32)  # modulo 2^32: exact in any order


@functools.cache
def _warn_small_batch(images: int, classes: int) -> None:
    """Says once that the loss cannot fill the classes."""
    if images < classes:
        logging.warning(
            "a global batch of %d images is smaller than the %d classes: the loss asks for images "
            "in every class of every batch; raise batch_size or lower method.classes",
            images,
            classes,
        )


def _check(version: dict, classes: tuple[int, ...]) -> None:
    """Raises `UserError` if the version does not exist, or a head has a single class."""
    if version.get("name") not in ("2021", "2022"):
        raise UserError(
            f"config key 'method.version.name' is {version.get('name')!r}; use '2021' or '2022'"
        )
    if not classes or min(classes) < 2:
        raise UserError(f"config key 'method.classes' is {classes}; each head needs two or more")
