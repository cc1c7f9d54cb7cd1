# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Datasets on disk, without TensorFlow: any source converted once, read at full speed.

    astrojax convert --config experiments/pita.py --out ~/data --dataset candels

writes `~/data/candels/1.0.0`: ArrayRecord shards, `astrojax.json` (what the pixels are) and one
`columns_<split>.npz` per split, from which columns are read without touching the images. The same
module reads cifar10, cifar100 and imagenet2012 as `tfds build` prepares them, which needs
TensorFlow once.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from astrojax import files
from astrojax.data import images, pictures, untrusted, validate
from astrojax.data.info import DataInfo
from astrojax.data.native import mark_missing
from astrojax.data.source import Source, Subset
from astrojax.errors import UserError
from astrojax.files import reading

VERSION = "1.0.0"
_MASK = "missing:"  # before the name of a column, of what is missing in it
STANDARD = ("cifar10", "cifar100", "imagenet2012")


def load(
    *,
    directory: str,
    dataset: str,
    splits: dict[str, str | None],
    crop: int | None = None,
    resize: int | None = None,
) -> dict[str, Source]:
    """Opens a converted data set, or one that `tfds build` prepared.

    Args:
        directory: The TFDS data directory.
        dataset: Name in that directory.
        splits: {"train": a split of the data set, ...}, also a part such as "train[:90%]".
        crop: Side of the central square to cut, or None.
        resize: Side to resample 8-bit images to, or None.

    Raises:
        UserError: The data set is not there (the message has the command that makes it), or it
            has no such split.
    """
    path = _prepared(Path(directory).expanduser(), dataset)
    builder = untrusted.open_tfds(path)
    sources: dict[str, Source] = {}
    for name, spec in splits.items():
        if spec is None:
            continue
        base = spec.split("[")[0]
        validate.key(base, builder.info.splits, dataset)
        stamps = TfdsImages(path, base, encoded=dataset in STANDARD)
        opened = _standard if dataset in STANDARD else _converted
        whole = opened(builder, path, base, stamps, crop, resize)
        sources[validate.choice(name, ("train", "validation", "test"), "data.splits")] = (
            whole if spec == base else Subset(whole, _part(builder, spec))
        )
    return sources


def convert(
    sources: Mapping[str, Source], directory: str | Path, name: str, *, shard_mib: int = 256
) -> Path:
    """Writes sources as one TFDS data set, each example once and in order.

    Args:
        sources: {split: source}; all splits have the same columns.
        directory: The TFDS data directory.
        name: Name of the data set: lower case letters, digits and underscores.
        shard_mib: Approximate size of a shard.

    Returns:
        The folder of the data set.

    Raises:
        UserError: It exists already, or the name is none that TFDS takes.
    """
    if not name.isidentifier() or name != name.lower():
        raise UserError(f"{name!r} is no TFDS name: use lower case letters, digits and underscores")
    sizes = {split: source.info.image_size for split, source in sources.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{split} {size} px" for split, size in sizes.items())
        raise UserError(f"the splits have stamps of different sizes ({told}): set data.crop")
    directory = Path(directory).expanduser()
    target = directory / name / VERSION
    with files.lock(target):
        if target.exists():
            raise UserError(f"{target} exists already: remove it, or choose another --dataset")
        with files.atomic_write(target) as temporary:
            temporary.mkdir()
            path = _build(sources, temporary, name, shard_mib)
            for split, source in sources.items():
                np.savez(path / f"columns_{split}.npz", **_stored_columns(source))
            files.write_json(path / "astrojax.json", next(iter(sources.values())).info.to_json())
            for file in path.iterdir():  # TFDS made the folders <name>/<version> in it
                file.rename(temporary / file.name)
            shutil.rmtree(temporary / name)
    return target


def _stored_columns(source: Source) -> dict[str, Any]:
    """Returns what is saved of the columns: values, and masks of what is missing in them."""
    columns: dict[str, Any] = {}
    for column in (name for name in source[0] if name != "image"):
        values = source.column(column)
        columns[column] = np.ma.getdata(values)
        if np.ma.isMaskedArray(values):
            columns[_MASK + column] = np.ma.getmaskarray(values)
    return columns


def _build(sources: Mapping[str, Source], directory: Path, dataset: str, shard_mib: int) -> Path:
    import tempfile

    import tensorflow_datasets as tfds

    some = _first_known(next(iter(sources.values())))
    features = {key: _feature(key, np.asarray(value)) for key, value in some.items()}

    # mypy does not see the keyword of a base class that is imported when first used.
    class Converted(  # type: ignore[call-arg]
        tfds.core.GeneratorBasedBuilder, skip_registration=True
    ):
        """Writes the sources."""

        name = dataset
        VERSION = tfds.core.Version(VERSION)

        def _info(self) -> tfds.core.DatasetInfo:
            described = tfds.features.FeaturesDict(features)
            # TFDS would shuffle by key; a source's order is kept, so that columns match.
            return tfds.core.DatasetInfo(builder=self, features=described, disable_shuffling=True)

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            return {key: self._generate_examples(key) for key in sources}

        def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
            for index in range(len(sources[split])):
                yield index, _plain(sources[split][index], some)

    builder = Converted(data_dir=str(directory), file_format="array_record")
    size = tfds.download.DownloadConfig(max_shard_size=shard_mib << 20)
    with tempfile.TemporaryDirectory() as scratch:  # else a folder "downloads" is left behind
        builder.download_and_prepare(download_dir=scratch, download_config=size)
    return Path(builder.data_path)


def _first_known(source: Source) -> dict[str, Any]:
    """Returns the first example, with something in the place of what is missing in it."""
    found = dict(source[0])
    for name in found:
        if name != "image" and np.ma.isMaskedArray(source.column(name)):
            found[name] = np.ma.getdata(source.column(name))[0]
    return found


def _feature(name: str, value: np.ndarray) -> Any:
    import tensorflow_datasets as tfds

    if value.dtype.kind in "US":
        return tfds.features.Text()
    dtype = value.dtype.type
    if not value.ndim:
        return tfds.features.Scalar(dtype)
    # The default encoding of a tensor is a list of floats, ten times slower to write and read.
    encoding = tfds.features.Encoding.BYTES if value.ndim > 1 else tfds.features.Encoding.NONE
    return tfds.features.Tensor(shape=value.shape, dtype=dtype, encoding=encoding)


def _plain(example: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an example as TFDS takes it: text as str, everything else in the dtype declared."""
    if set(example) != set(like):
        raise UserError(f"splits differ in columns: {sorted(set(example) ^ set(like))}")
    # What is missing is read from the columns beside the records, which know that it is.
    kinds = {key: np.asarray(value).dtype for key, value in like.items()}
    return {
        key: str(np.ma.filled(v, "")) if kinds[key].kind in "US" else np.asarray(v, kinds[key])
        for key, v in ((k, 0 if v is np.ma.masked else v) for k, v in example.items())
    }


def _prepared(directory: Path, dataset: str) -> Path:
    """Returns the newest version of a data set in a TFDS directory."""
    found = sorted((directory / dataset).glob("**/dataset_info.json"))
    # A conversion that is under way, or was killed, has a hidden folder.
    versions = [p for p in found if not str(p.relative_to(directory)).count("/.")]
    if versions:
        return versions[-1].parent
    if dataset in STANDARD:
        raise UserError(
            f"{dataset} is not prepared in {directory}: where TensorFlow is installed, run `tfds "
            f"build {dataset} --data_dir {directory} --file_format array_record`"
        )
    there = [p.name for p in directory.iterdir()] if directory.is_dir() else []
    raise UserError(
        f"no data set {dataset!r} in {directory} (there is: {', '.join(there) or 'nothing'}); make "
        f"it with `astrojax convert --config ... --out {directory} --dataset {dataset}`"
    )


def _converted(
    builder: Any, path: Path, split: str, stamps: "TfdsImages", crop: int | None, resize: int | None
) -> images.StoredSource:
    if not (path / "astrojax.json").exists():
        raise UserError(f"{path} was not converted completely: remove it and convert again")
    with reading(path / "astrojax.json"):
        info = DataInfo.from_json(json.loads((path / "astrojax.json").read_text("utf-8")))
    where = f"columns_{split}.npz of {path}"
    with untrusted.open_npz(path / f"columns_{split}.npz") as file:
        stored = {name: untrusted.npz_array(file, name, where) for name in file.files}
    columns = {
        name: mark_missing(values, stored.get(_MASK + name))
        for name, values in stored.items()
        if not name.startswith(_MASK)
    }
    return images.reopen(stamps, columns, info, crop=crop, resize=resize)


def _standard(
    builder: Any, path: Path, split: str, stamps: "TfdsImages", crop: int | None, resize: int | None
) -> images.StoredSource:
    import tensorflow_datasets as tfds

    features = builder.info.features
    encoded = {"image": tfds.decode.SkipDecoding()}
    rows = builder.as_data_source(split, decoders=encoded)
    name = "id" if "id" in features else "file_name"
    examples = [rows[i] for i in range(len(rows))]
    ids = np.array([e[name].decode() for e in examples])
    columns = {"id": ids, "label": np.array([e["label"] for e in examples], np.int64)}
    info = {"bands": ("red", "green", "blue"), "pixel_scale": None, "unit": "display"}
    info |= {"zero_point": None, "noise": None, "extinction": None}
    return images.open_source(
        stamps,
        columns,
        info=info,
        where=str(path),
        classes=features["label"].names,
        crop=crop,
        resize=resize,
    )


def _part(builder: Any, spec: str) -> np.ndarray:
    """Returns positions that a TFDS split such as "train[:90%]" takes of its whole."""
    import tensorflow_datasets as tfds

    try:
        parts = tfds.core.ReadInstruction.from_spec(spec).to_absolute(builder.info.splits)
    except (ValueError, AssertionError) as error:
        raise UserError(f"config key 'data.splits': {spec!r} is no TFDS split ({error})") from None
    size = builder.info.splits[parts[0].splitname].num_examples
    return np.concatenate([np.arange(size)[p.from_ : p.to] for p in parts])


class TfdsImages:
    """The images of one split, read by position; opened once per process."""

    def __init__(self, path: Path, split: str, *, encoded: bool):
        import tensorflow_datasets as tfds

        self.path, self.split, self.encoded = path, split, encoded
        decoders = {"image": tfds.decode.SkipDecoding()} if encoded else None
        self.data = untrusted.open_tfds(path).as_data_source(split, decoders=decoders)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        image = self.data[index]["image"]
        # TFDS would decode any format that Pillow knows.
        if not self.encoded:
            return image
        return pictures.decode(image, bands=3, where=self.where(index))

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return f"{self.path.parent.name}, {self.split} example {index}"
