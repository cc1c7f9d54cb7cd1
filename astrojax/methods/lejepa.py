# SPDX-License-Identifier: Apache-2.0
"""LeJEPA (Balestriero & LeCun 2025, 2511.08544): invariant views and a Gaussian embedding.

With z_v the projected embedding of view v, of V views of which the first G are global (Alg. 2):

    L = (1 - w) mean_{v,i} (z_vi - mean_{u<=G} z_ui)^2 + w mean_v SIGReg(z_v)

There is no teacher, no stop-gradient, no predictor, and one hyper-parameter w: SIGReg (Alg. 1), the
distance of z's distribution from N(0, I), is what forbids collapse. As in the authors' minimal
script it acts after a projector with batch norm, and the features before the projector are what is
used afterwards.

Global views are of the whole galaxy, local ones of a part of it. On galaxies both are rotations,
flips, shifts, mild zooms, noise and a wider PSF (view "galaxy"; a local view has a larger zoom or a
smaller crop); color and surface brightness are what galaxies differ in, so nothing changes them.
A zoom by s keeps the surface brightness, as for a nearer galaxy, and so multiplies the total flux
by s^2: by 0.81 to 1.44 for the default's global views. `zoom=(1, 1)` keeps it. The authors' crops,
color jitter, greyscale, blur and solarisation are view "natural".

Departures from the authors' script: layers before a batch norm have no bias, which the norm would
take off; global and local views pass the backbone one after the other, so that a batch norm in it
is over one kind; there is no linear probe beside the training; computation is in float32 or
bfloat16 (`dtype`), the loss in float32.
"""

import jax.numpy as jnp
from flax import nnx
from jax import random
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from astrojax import losses
from astrojax.augment import views
from astrojax.data.info import DataInfo
from astrojax.errors import UserError
from astrojax.methods import Batch, Method
from astrojax.nn import backbones, layers


class LeJEPA(Method):
    """A backbone and a projector.

    Args:
        backbone: Section of `backbones.build`.
        projector: Hidden and output widths of the MLP (batch norm, ReLU) whose output is z.
        global_views: G, views of the whole galaxy.
        local_views: V - G.
        global_view: Section of `views.make`; its crop is the network's input size.
        local_view: The same for local views; None if there are none. A ViT, made for one size,
            needs the crop of the global views.
        sigreg_weight: w; the authors: 0.05 with 8 views, 0.02 in the minimal script.
        sigreg_directions: Random directions, drawn afresh at each step.
        sigreg_t_max: End of the integral over the characteristic function's argument.
        sigreg_points: Knots on [0, t_max].
        stretch: Section of `layers.stretch`.
        info: The data.
        rngs: Keys for the initial weights.

    Raises:
        UserError: There are not two views, or the local views do not fit the rest.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        projector: tuple[int, ...],
        global_views: int,
        local_views: int,
        global_view: dict,
        local_view: dict | None,
        sigreg_weight: float,
        sigreg_directions: int,
        sigreg_t_max: float,
        sigreg_points: int,
        stretch: dict,
        info: DataInfo,
        rngs: nnx.Rngs,
    ):
        _check(backbone, global_views, local_views, global_view, local_view, sigreg_weight)
        self.view = views.make(global_view, info=info, path="method.global_view")
        self.local: views.View | None = None
        if local_view is not None:
            self.local = views.make(local_view, info=info, path="method.local_view")
        self.crop = global_view["crop"]
        self.stretch = layers.make_stretch(stretch, bands=len(info.bands))
        self.backbone = backbones.build(
            backbone, bands=len(info.bands), image_size=self.crop, num_classes=None, rngs=rngs
        )
        # The norm takes off what a bias adds: its gradient would be rounding, which Adam scales up.
        self.projector = layers.MLP(
            (self.backbone.width, *projector), norm=True, bias=False, rngs=rngs
        )
        self.global_views, self.local_views = global_views, local_views
        self.weight, self.directions = sigreg_weight, sigreg_directions
        self.t_max, self.points = sigreg_t_max, sigreg_points

    def loss(
        self, batch: Batch, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """Invariance of all views to the mean of the global ones, and SIGReg of each view."""
        global_key, local_key, sketch_key = random.split(key, 3)
        features = self._features(global_key, batch["image"], self.view, self.global_views)
        if self.local is not None:
            local = self._features(local_key, batch["image"], self.local, self.local_views)
            features = jnp.concatenate([features, local], axis=1)
        b, v, d = features.shape
        # One call, as in the authors' script: batch norm is over views and images together.
        z = self.projector(features.reshape(b * v, d), train=True).reshape(b, v, -1)
        z = jnp.moveaxis(z, 1, 0)
        directions = losses.random_directions(sketch_key, z.shape[-1], self.directions)
        sigreg = losses.sigreg(z, directions, t_max=self.t_max, num_points=self.points)
        invariance = losses.view_invariance(z, num_global_views=self.global_views)
        total = self.weight * sigreg + (1 - self.weight) * invariance
        return total, {"invariance": invariance, "sigreg": sigreg}

    def embed(self, image: Shaped[Array, "b h w c"]) -> Float[Array, "b d"]:
        """The backbone's pooled features of the central crop."""
        return self.backbone(self.stretch(layers.centre_crop(image, self.crop)))

    def _features(
        self, key: PRNGKeyArray, image: Shaped[Array, "b h w c"], view: views.View, count: int
    ) -> Float[Array, "b v d"]:
        """Pooled features of `count` views of each image, from one pass of the backbone."""
        view_key, drop_key = random.split(key)
        # Image by image, so that the views of an image stay on its device.
        x = self.stretch(view(view_key, jnp.repeat(image, count, axis=0)))
        return self.backbone(x, train=True, key=drop_key).reshape(len(image), count, -1)


def _check(
    backbone: dict,
    global_views: int,
    local_views: int,
    global_view: dict,
    local_view: dict | None,
    weight: float,
) -> None:
    if global_views < 1 or local_views < 0 or global_views + local_views < 2:
        raise UserError(
            f"LeJEPA needs two views or more, one of them global; 'method.global_views' is "
            f"{global_views} and 'method.local_views' {local_views}"
        )
    if (local_view is None) != (local_views == 0):
        raise UserError("set config key 'method.local_view' where there are local views, else None")
    if local_view is not None and backbone.get("name") == "vit":
        if local_view["crop"] != global_view["crop"]:
            raise UserError(
                "a ViT is made for one image size: give 'method.local_view.crop' the value of "
                "'method.global_view.crop', and make the view local by its zoom (or scale)"
            )
    if not 0 < weight <= 1:
        raise UserError(
            f"config key 'method.sigreg_weight' is {weight}; it is in (0, 1]: without SIGReg "
            "nothing keeps LeJEPA from collapse"
        )
