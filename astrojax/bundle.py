# SPDX-License-Identifier: Apache-2.0
"""A model bundle: a folder that holds all a trained model needs, and what its images have to be.

    astrojax.export("runs/pita", "pita-candels")      # model.safetensors, config.json, card.json
    model = astrojax.load("pita-candels")
    model.embed(images)                                # [n h w c] in the card's bands and unit

No pickle, and no training config is needed to load it. The card says which bands in which order,
unit and zero point, pixel scale, dereddening, crop and stretch the network was trained on; images
that do not match it are refused where the mismatch is certain, and warned of where it is likely.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Num

from astrojax import checkpoint, sharding, train
from astrojax.config import plain
from astrojax.data.check import same_data
from astrojax.data.pipeline import ArraySource, DataInfo
from astrojax.errors import UserError
from astrojax.evaluate.embed import Table, embed
from astrojax.evaluate.run import restore
from astrojax.method import Method, build

_SAMPLE = 256  # training stamps that the card's pixel statistics are taken from
_FACTOR = 10.0  # a band whose spread differs by more is in another unit, or is another band


def export(workdir: str | Path, folder: str | Path) -> Path:
    """Writes the bundle of a run's best or newest checkpoint.

    Args:
        workdir: The run.
        folder: Where the bundle goes; it must not exist yet.

    Raises:
        UserError: There is no trained run, or the folder exists.
    """
    from safetensors.numpy import save_file

    workdir, folder = Path(workdir), Path(folder)
    config = plain(checkpoint.read_config(workdir))
    if folder.exists():
        raise UserError(f"{folder} exists already; give another folder, or remove it")
    checkpoint.newest(workdir)
    job = train.Run(config)
    method = job.method_at(restore(job, workdir))
    temporary = folder.with_name(f".{folder.name}.tmp")
    temporary.mkdir(parents=True, exist_ok=True)
    save_file(_arrays(method), temporary / "model.safetensors")
    checkpoint.write_json(temporary / "config.json", {"method": config["method"]})
    card = card_of(job.sources["train"], config)
    checkpoint.write_json(temporary / "card.json", card)
    os.replace(temporary, folder)
    return folder


def card_of(source: Any, config: dict[str, Any]) -> dict[str, Any]:
    """The preprocessing card of a training set: a JSON object."""
    rows = np.linspace(0, len(source) - 1, min(_SAMPLE, len(source))).astype(int)
    pixels = np.stack([source[int(i)]["image"] for i in rows]).astype(np.float64)
    section = config["method"]
    return {
        "data": source.info.to_json(),
        "dereddened": bool(config["data"].get("deredden", False)),
        "crop": section.get("view", {}).get("crop"),
        "stretch": section.get("stretch"),
        "pixel_spread": [float(s) for s in pixels.std(axis=(0, 1, 2))],
        "trained_on": f"{len(source)} images of data.name={config['data']['name']!r}",
    }


class Model:
    """A trained method with its card.

    Attributes:
        method: The method; its `embed` and `predict` take raw images.
        card: What the images have to be.
        info: The card's data description.
    """

    def __init__(self, method: Method, card: dict[str, Any]):
        self.method, self.card = method, card
        self.info = DataInfo.from_json(card["data"])

    def embed(
        self, images: Num[np.ndarray, "n h w c"], *, info: DataInfo | None = None
    ) -> Float[np.ndarray, "n d"]:
        """Representations of images.

        Args:
            images: In the card's bands, order, unit, pixel scale and dereddening.
            info: What the images are, where it is known; it is compared with the card.

        Raises:
            UserError: The images cannot be what the card says.
        """
        return self.table(images, info=info).embedding

    def predict(
        self, images: Num[np.ndarray, "n h w c"], *, info: DataInfo | None = None
    ) -> dict[str, np.ndarray]:
        """What the method's heads say of images; see `embed`."""
        return self.table(images, info=info).predictions

    def table(self, images: Num[np.ndarray, "n h w c"], *, info: DataInfo | None) -> Table:
        """Embeddings and predictions of images, after the checks against the card."""
        self.check(images, info)
        source = ArraySource({"image": images}, self.info)
        mesh = sharding.make_mesh(fsdp=1)
        return embed(self.method, source, batch_size=256, threads=0, mesh=mesh)

    def check(self, images: Num[np.ndarray, "n h w c"], info: DataInfo | None) -> None:
        """Refuses images that contradict the card, and warns of those that look like it.

        Raises:
            UserError: Another number of bands, stamps smaller than the crop, pixels that are not
                finite, or an `info` that differs from the card's.
        """
        if info is not None:
            same_data(self.info, info)
        bands = len(self.info.bands)
        if images.ndim != 4 or images.shape[-1] != bands:
            raise UserError(
                f"the images have shape {images.shape}; this model takes [n, h, w, {bands}] with "
                f"the bands {', '.join(self.info.bands)}"
            )
        crop = self.card["crop"] or 0
        if min(images.shape[1:3]) < crop:
            raise UserError(
                f"the images are {images.shape[1]} x {images.shape[2]} pixels; this model needs "
                f"at least {crop} x {crop}"
            )
        if not np.isfinite(images).all():
            raise UserError("the images have NaN or infinite pixels: mask or remove them first")
        spread = images[:_SAMPLE].std(axis=(0, 1, 2), dtype=np.float64)
        for band, here, there in zip(
            self.info.bands, spread, self.card["pixel_spread"], strict=True
        ):
            if there > 0 and not there / _FACTOR < here < there * _FACTOR:
                warnings.warn(
                    f"pixels of band {band} spread by {here:.3g}, {there:.3g} in training: is the "
                    f"unit {self.info.unit}, and are the bands in the order "
                    f"{', '.join(self.info.bands)}?",
                    stacklevel=3,
                )


def load(folder: str | Path) -> Model:
    """Opens a bundle.

    Raises:
        UserError: It is no bundle, or an array in it is missing, left over or of another shape.
    """
    from safetensors.numpy import load_file

    folder = Path(folder)
    for name in ("model.safetensors", "config.json", "card.json"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} is no model bundle: it has no {name}")
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    section = checkpoint.read_config(folder)["method"]
    method = build(plain(section), info=DataInfo.from_json(card["data"]), rngs=nnx.Rngs(0))
    saved = load_file(folder / "model.safetensors")
    state = nnx.state(method)
    for path, variable in nnx.to_flat_state(state):
        name = "/".join(map(str, path))
        if name not in saved or saved[name].shape != variable.shape:
            found = saved[name].shape if name in saved else "absent"
            raise UserError(f"{folder}: '{name}' is {found}, the config needs {variable.shape}")
        variable.set_value(jnp.asarray(saved.pop(name)))
    if saved:
        raise UserError(f"{folder}: the config has no place for {', '.join(sorted(saved))}")
    nnx.update(method, state)
    return Model(method, card)


def _arrays(method: Method) -> dict[str, np.ndarray]:
    return {
        "/".join(map(str, path)): np.array(variable.get_value(), order="C")
        for path, variable in nnx.to_flat_state(nnx.state(method))
    }
