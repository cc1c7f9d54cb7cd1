# SPDX-License-Identifier: Apache-2.0
"""A model bundle: a folder that holds all a trained model needs, and what its images have to be.

    astrojax.export("runs/pita", "pita-candels")
    model = astrojax.load("pita-candels")
    model = astrojax.load("hf://owner/pita-candels")   # the same from the Hugging Face Hub
    model.embed(images)                                # [n h w c] in the card's bands and unit

The folder has `model.safetensors`, `config.json`, `card.json` and `reference.safetensors`; no
pickle, and no training config is needed to load it. The card says which bands in which order,
unit and zero point, pixel scale, dereddening, crop and stretch the network was trained on; images
that do not match it are refused where the mismatch is certain, and warned of where it is likely.
The reference is a sample of embedded training images: what lies farther from it than all but one
in a hundred validation images is outside of what the model was trained on. `splits.safetensors` has
hashes of the ids of the objects of each split (`membership.py`).
"""

import hashlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

import astrojax
from astrojax import files
from astrojax.config import call, plain
from astrojax.data.info import DataInfo
from astrojax.data.source import Source, Subset
from astrojax.errors import UserError
from astrojax.evaluate.anomaly import knn_distance
from astrojax.inference import bundle_arrays, membership, stream
from astrojax.inference.array_model import SAMPLE, ArrayModel, pixel_spread
from astrojax.inference.embedder import Embedder
from astrojax.inference.evaluation import restore
from astrojax.interop import hub
from astrojax.methods import Method, build
from astrojax.training import bundle_hashes, checkpoint
from astrojax.training.run import Run

FILES = ("model.safetensors", "config.json", "card.json")
_REFERENCE = "reference.safetensors"
_SPLITS = "splits.safetensors"
CONTENTS = (*FILES, _REFERENCE, _SPLITS)
_CHECKED = ("model.safetensors", "config.json", _REFERENCE)  # by the hashes on the card
_FORMAT = 1  # of bundles; one with another number was written by a later astrojax
_FILE_KEYS = ("psfs", "stamps")  # of a simulator, which only training needs
_TRAINING, _VALIDATION = 4096, 2048  # images of the reference, and of those that set its threshold
_NEIGHBOURS, _PERCENTILE = 10, 99.0


def export(workdir: str | Path, folder: str | Path) -> Path:
    """Writes the bundle of a run's best or newest checkpoint.

    Args:
        workdir: The run.
        folder: Where the bundle goes; it must not exist yet.

    Raises:
        UserError: There is no trained run, the folder exists or cannot be written, or another
            process is writing it.
    """
    workdir, folder = Path(workdir), Path(folder)
    checkpoint.read_config(workdir)
    with files.lock(folder):
        if folder.exists():
            raise UserError(f"{folder} exists already; give another folder, or remove it")
        write(workdir, folder)
    return folder


def write(workdir: Path, folder: Path) -> None:
    """Writes a bundle whose folder does not exist and is locked; see `export`.

    Raises:
        UserError: There is no trained run, or the folder cannot be written.
    """
    from safetensors.numpy import save

    config = checkpoint.read_config(workdir)
    checkpoint.newest(workdir)
    # One device is enough, and the run's batch need not fit those that are here.
    job = Run(config | {"fsdp": 1}, devices=jax.local_devices()[:1])
    method = job.method_at(restore(job, workdir))
    card = card_of(job.sources["train"], config, method)
    card |= {"checkpoint": checkpoint_name(workdir), "astrojax": astrojax.__version__}
    card["format"] = _FORMAT
    reference, card["outside"] = _reference(job, method)
    with files.atomic_write(folder) as temporary:
        temporary.mkdir()
        # As bytes: `save_file` makes files that nobody else may read, whatever the umask.
        (temporary / "model.safetensors").write_bytes(save(bundle_arrays.of(method)))
        (temporary / _REFERENCE).write_bytes(save({"embedding": reference}))
        (temporary / _SPLITS).write_bytes(save(membership.of(job.sources)))
        section = dict(config["method"])
        if section.get("simulator"):
            section["simulator"] = {**section["simulator"], **dict.fromkeys(_FILE_KEYS)}
        checkpoint.write_config(temporary, {"method": section})
        names = (*_CHECKED, _SPLITS)
        card["sha256"] = {name: bundle_hashes.of_file(temporary / name) for name in names}
        files.write_json(temporary / "card.json", bundle_hashes.sealed(card))


def card_of(source: Source, config: dict[str, Any], method: Method) -> dict[str, Any]:
    """Returns the preprocessing card of a training set: a JSON object."""
    rows = np.linspace(0, len(source) - 1, min(SAMPLE, len(source))).astype(int)
    pixels = np.stack([source[int(i)]["image"] for i in rows]).astype(np.float64)
    text = json.dumps(config, sort_keys=True)
    return {
        "data": source.info.to_json(),
        "dereddened": bool(config["data"].get("deredden", False)),
        # What a network sees of images that it resamples first is not a number of pixels.
        "crop": None if getattr(method, "resize", None) else getattr(method, "crop", None),
        "stretch": config["method"].get("stretch"),
        "pixel_spread": [float(s) for s in pixel_spread(pixels)],
        "trained_on": f"{len(source)} images of data.name={config['data']['name']!r}",
        "config_hash": hashlib.sha256(text.encode()).hexdigest()[:12],
    }


def checkpoint_name(workdir: str | Path) -> str:
    """Returns the checkpoint that a bundle is made of, e.g. "best/1200"."""
    return "/".join(checkpoint.newest(Path(workdir)).parts[-2:])


def _reference(job: Run, method: Method) -> tuple[np.ndarray, dict[str, float]]:
    """Embeddings of training images, and the distance beyond which an image is unlike them."""
    train, validation = job.sources["train"], job.sources.get("validation")
    apply = Embedder(method, mesh=job.mesh, batch_size=256, predictions=False)

    def embedded(source: Source, limit: int) -> np.ndarray:
        rows = np.unique(np.linspace(0, len(source) - 1, limit).astype(int))
        batches = apply(Subset(source, rows), threads=job.keys.threads)
        return np.concatenate([batch[""] for batch in batches]).astype(np.float32)

    reference = embedded(train, _TRAINING)
    if validation is not None and len(validation):
        held_out = embedded(validation, _VALIDATION)
    else:  # every fourth training image stands for images that were not trained on
        held_out, reference = reference[::4], np.delete(reference, np.s_[::4], axis=0)
    k = min(_NEIGHBOURS, len(reference))
    threshold = np.percentile(knn_distance(reference, held_out, k=k), _PERCENTILE)
    return reference, {"k": k, "percentile": _PERCENTILE, "threshold": float(threshold)}


class Model(ArrayModel):
    """A trained method with its card, for images in memory and for sources of them.

    Its attributes are those of `ArrayModel`.
    """

    def embed(self, images: Any, *, info: DataInfo | None = None) -> Any:
        """Representations of images.

        Args:
            images: [n h w c] in the card's bands, order, unit, pixel scale and dereddening; or a
                source, such as `data["test"]`, which says what its images are.
            info: What an array of images is, where it is known; it is compared with the card.

        Returns:
            [n d] of an array; of a source an astropy table with a column `embedding`, joined to
            the source's columns by id, with the flags of `astrojax embed`.

        Raises:
            UserError: The images cannot be what the card says.
        """
        if isinstance(images, Source | Mapping):
            return self._joined(images, embedding=True, predictions=False)
        return self.table(np.asarray(images), info=info).embedding

    def predict(self, images: Any, *, info: DataInfo | None = None) -> Any:
        """Returns what the method's heads say of images; see `embed`.

        Of an array it is a dict of arrays [n ...]; of a source an astropy table with the columns
        of `astrojax predict`, among them `split`: whether the model was trained on the object.

        Raises:
            UserError: The images cannot be what the card says, or the method has no heads.
        """
        if isinstance(images, Source | Mapping):
            return self._joined(images, embedding=False, predictions=True)
        return self.table(np.asarray(images), info=info).predictions

    def _joined(self, source: Any, *, embedding: bool, predictions: bool) -> Any:
        if isinstance(source, Mapping):
            raise UserError(f"say which split: one of data[{'], data['.join(map(repr, source))}]")
        return stream.in_memory(self, source, embedding=embedding, predictions=predictions)


def load(folder: str | Path) -> Model:
    """Opens a bundle.

    Args:
        folder: Its folder, or `hf://owner/name[@revision]` on the Hugging Face Hub.

    Raises:
        UserError: It is no bundle or cannot be fetched, or an array in it is missing, left over or
            of another shape.
    """
    folder = hub.local_folder(folder, CONTENTS)
    for name in FILES:
        if not (folder / name).is_file():
            if (folder / "checkpoints").is_dir():
                raise UserError(
                    f"{folder} is a run, not a model bundle: make one of it with `astrojax export "
                    f"--workdir {folder} --out {folder / 'bundle'}`, or astrojax.export in Python"
                )
            raise UserError(f"{folder} is no model bundle: it has no {name}")
    card = _read_card(folder)
    present = [folder / name for name in CONTENTS if (folder / name).is_file()]
    # The last two may be left out of what is shared.
    wanted = [name for name in (*_CHECKED, _SPLITS) if folder / name in present]
    bundle_hashes.check(folder, card, wanted)
    arrays = bundle_arrays.read(folder / "model.safetensors")
    shared = folder / _REFERENCE in present
    with files.reading(f"the bundle {folder}"):
        section = checkpoint.read_config(folder)["method"]
        _check_files(section, folder)
        method = build(section, info=DataInfo.from_json(card["data"]), rngs=nnx.Rngs(0))
        bundle_arrays.fill(method, arrays, folder)
        reference = bundle_arrays.read(folder / _REFERENCE)["embedding"] if shared else None
        if reference is not None and (reference.ndim != 2 or reference.dtype != np.float32):
            raise UserError(f"{folder}: the reference is no table of embeddings")
    splits = bundle_arrays.read(folder / _SPLITS) if folder / _SPLITS in present else {}
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in present))
    return Model(method, card, reference, digest.hexdigest()[:12], splits)


def _check_files(section: Any, folder: Path) -> None:
    """Raises `UserError` if a method's config names files, which only training needs."""
    simulator = section.get("simulator") or {}
    for key in _FILE_KEYS:
        if simulator.get(key) is not None:
            raise UserError(
                f"{folder}: the config names the file {simulator[key]!r}, which is not opened "
                "because a bundle says so: export the run again"
            )


def _read_card(folder: Path) -> dict[str, Any]:
    """Returns the card.

    Raises:
        UserError: It is no JSON, lacks an entry, or an older astrojax wrote it.
    """
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        version = card.get("astrojax")
    except (AttributeError, ValueError, RecursionError) as error:
        raise UserError(f"{folder}: card.json is damaged ({error}): export the run again") from None
    checkpoint.check_version(version if "sha256" in card else None, str(folder))
    said = {name: plain(card[name]) for name in inspect.signature(_card).parameters if name in card}
    call(_card, said, path="card")
    if card.get("format") != _FORMAT:
        raise UserError(
            f"{folder} is a bundle of format {str(card.get('format'))[:20]}, and this astrojax "
            f"({astrojax.__version__}) reads {_FORMAT}: install the one that wrote it ({version})"
        )
    return card


def _card(
    *,
    data: dict,
    dereddened: bool,
    crop: int | None,
    stretch: dict | None,
    pixel_spread: tuple[float, ...],
    trained_on: str,
    sha256: dict[str, str],
    outside: dict[str, float],
) -> None:
    """Checks that a card has the entries that a model needs, in the types that they have."""
    if len(pixel_spread) != len(data.get("bands", ())):
        raise UserError("card.pixel_spread has not one value for each band: export the run again")
    if not set(_CHECKED) <= set(sha256) or not {"k", "threshold"} <= set(outside):
        raise UserError("card.json lacks entries: export the run again")
    if not 0 < outside["k"] == int(outside["k"]):
        raise UserError("card.outside.k is no number of neighbours: export the run again")
