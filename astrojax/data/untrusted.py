# SPDX-License-Identifier: Apache-2.0
"""Files of strangers, opened so that nothing but themselves is opened, imported or believed.

An HDF5 file can name other files, a TFDS folder names Python classes, and a header of any format
can announce more bytes than the machine has. Readers open such files here: what leads elsewhere is
refused, and sizes are compared with the machine's memory before any is taken.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astrojax.errors import UserError
from astrojax.files import reading

_LINKS = 16  # soft links on the way to a dataset
_FEATURES = "tensorflow_datasets.core.features."
# The feature classes of converted data sets, and of those that `tfds build` prepares beside them.
CLASSES: tuple[str, ...] = (
    "features_dict.FeaturesDict",
    "tensor_feature.Tensor",
    "scalar.Scalar",
)
CLASSES += ("text_feature.Text", "image_feature.Image", "class_label_feature.ClassLabel")
_PARQUET_BYTES = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT96": 12}  # others: 8


def check_memory(shape: Sequence[int], itemsize: int, what: str) -> None:
    """Raises `UserError` if an array is larger than the memory of this machine."""
    size = math.prod(map(int, shape)) * itemsize
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > there:
        raise UserError(
            f"{what} announces {size / 2**30:.4g} GiB in one piece, and this machine has "
            f"{there / 2**30:.4g} GiB of memory: the file is damaged, or has to be divided"
        )


def open_hdf5(path: str | Path) -> Any:
    """Returns an `h5py.File` that is open for reading.

    Raises:
        UserError: It is no HDF5 file.
    """
    import h5py

    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path} is not a readable HDF5 file ({error})") from None


def hdf5_dataset(file: Any, name: str, *, follow_links: bool) -> Any:
    """Returns a dataset of an open HDF5 file.

    Args:
        file: The `h5py.File`.
        name: The dataset.
        follow_links: Whether the file may have parts in other files.

    Raises:
        UserError: There is none, or parts of it are in other files (an external link, external
            storage, a virtual data set) and those are not followed.
    """
    import h5py

    where = f"{Path(file.filename).name}: {name!r}"
    with reading(where):
        if follow_links:
            found = file[name]
        else:
            found = _walk(file, name.encode().split(b"/"), _LINKS, where)
        if not isinstance(found, h5py.Dataset) or found.shape is None:
            raise UserError(f"{where} is no dataset")
        made = found.id.get_create_plist()
        virtual = made.get_layout() == h5py.h5d.VIRTUAL
        if not follow_links and (virtual or made.get_external_count()):
            kind = "a virtual data set" if virtual else "external storage"
            raise UserError(_elsewhere(where, kind))
    return found


def _walk(group: Any, parts: list[bytes], links: int, where: str) -> Any:
    """Returns what a path leads to; `in` and `[]` of h5py would open the files of links."""
    import h5py

    for number, part in enumerate(parts):
        if part in (b"", b"."):
            continue
        if not isinstance(group, h5py.Group) or not group.id.links.exists(part):
            raise UserError(f"{where} is not there")
        kind = group.id.links.get_info(part).type
        if kind == h5py.h5l.TYPE_SOFT:
            if not links:
                raise UserError(f"{where} leads in a circle")
            target = group.id.links.get_val(part)
            start = group.file if target.startswith(b"/") else group
            return _walk(start, [*target.split(b"/"), *parts[number + 1 :]], links - 1, where)
        if kind != h5py.h5l.TYPE_HARD:
            raise UserError(_elsewhere(where, "an external link"))
        group = group[part]
    return group


def _elsewhere(where: str, kind: str) -> str:
    return (
        f"{where} is {kind}, so its values are in another file, which is not opened because this "
        "one says so: if you trust the file, set follow_links to True"
    )


def hdf5_shapes(file: Any) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the datasets of an open HDF5 file, without those in other files.

    Datasets in groups are called `group/name`.
    """
    import h5py

    inner: list[str] = []

    def visit(name: str, node: Any) -> None:  # every object once: links may go round
        if isinstance(node, h5py.Dataset) and "/" in name:
            inner.append(name)

    file.visititems(visit)
    found = {}
    for name in (*file, *inner):
        with contextlib.suppress(UserError):
            found[str(name)] = hdf5_dataset(file, str(name), follow_links=False).shape
    return found


def read_hdf5(dataset: Any) -> np.ndarray:
    """Returns all values of a dataset.

    Raises:
        UserError: They are more than memory holds, or damaged.
    """
    what = f"{Path(dataset.file.filename).name}: {dataset.name}"
    check_memory(dataset.shape, dataset.dtype.itemsize, what)
    with reading(what):
        return dataset[...]


@contextlib.contextmanager
def open_npz(path: str | Path) -> Iterator[Any]:
    """Yields a NumPy archive of which no array is read yet; pickles are refused.

    Raises:
        UserError: It is no archive.
    """
    try:
        archive = np.load(path, allow_pickle=False)
    except Exception as error:  # of zipfile, zlib and NumPy
        raise UserError(f"{path} is not a readable NPZ archive ({error})") from None
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise UserError(f"{path} is not a readable NPZ archive (it is one array)")
    with archive:
        yield archive


def npz_header(archive: Any, name: str, where: str) -> tuple[tuple[int, ...], np.dtype]:
    """Returns shape and type of an array of an NPZ archive, which is not read.

    Raises:
        UserError: Its header is damaged, or announces more than the archive or memory holds.
    """
    member = name if name in archive.zip.namelist() else f"{name}.npy"
    with reading(f"{where}: {name!r}"), archive.zip.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if header is None:
            raise UserError(f"{where}: {name!r} has the version {version} of a NumPy header")
        shape, _, dtype = header(file)
        check_memory(shape, dtype.itemsize, f"{where}: {name!r}")
        if math.prod(shape) * dtype.itemsize > archive.zip.getinfo(member).file_size:
            raise UserError(f"{where}: {name!r} has fewer bytes than its header says")
    return shape, dtype


def npz_array(archive: Any, name: str, where: str) -> np.ndarray:
    """Returns an array of an NPZ archive.

    Raises:
        UserError: It is damaged, a pickle, or larger than memory.
    """
    if npz_header(archive, name, where)[1].hasobject:
        raise UserError(
            f"{where}: {name!r} is an array of Python objects, which is code to load: save text "
            "by `np.array(values, str)`, and numbers by a number's type"
        )
    with reading(f"{where}: {name!r}"):
        return archive[name]


def check_parquet(
    path: str | Path, names: Iterable[str] | None = None, *, by_group: bool = False
) -> None:
    """Raises `UserError` if a Parquet file is damaged, or columns are larger than memory.

    Args:
        path: The file.
        names: The columns; None for all.
        by_group: Whether it is read one row group at a time.
    """
    import pyarrow.parquet as pq

    with reading(path):
        metadata = pq.read_metadata(path)
        wanted = None if names is None else set(names)
        sizes = [metadata.num_rows]
        for group in range(metadata.num_row_groups):
            sizes.append(0)
            for i in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(i)
                if wanted is None or chunk.path_in_schema.split(".")[0] in wanted:
                    sizes[-1] += chunk.num_values * _PARQUET_BYTES.get(chunk.physical_type, 8)
    check_memory((max(sizes) if by_group else sum(sizes),), 1, str(path))


def open_tfds(path: Path) -> Any:
    """Returns the builder of a TFDS folder, after a look at what its files name.

    Raises:
        UserError: It is damaged, has features of other classes than `CLASSES`, which TFDS would
            import, or names files in other folders.
    """
    with reading(path):
        for entry in _entries(json.loads((path / "features.json").read_text(encoding="utf-8"))):
            for key in ("pythonClassName", "python_class_name", "type"):
                name = entry.get(key)
                known = str(name).startswith(_FEATURES)
                if name and not (known and str(name).removeprefix(_FEATURES) in CLASSES):
                    raise UserError(
                        f"{path}: features.json names the class {str(name)[:120]}, which is not "
                        f"imported: features are {', '.join(c.split('.')[-1] for c in CLASSES)}"
                    )
        for entry in _entries(json.loads((path / "dataset_info.json").read_text("utf-8"))):
            for key, value in entry.items():
                named = key.replace("_", "").lower()
                if named in ("name", "version", "configname", "filepathtemplate", "fileformat"):
                    if "/" in str(value) or "\\" in str(value):
                        raise UserError(f"{path}: dataset_info.json has the {key} {value!r}")
        import tensorflow_datasets as tfds

        return tfds.builder_from_directory(path)


def _entries(value: Any) -> Iterator[dict[str, Any]]:
    """Yields the objects in a JSON value, at any depth."""
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value
    for part in inner if isinstance(value, dict | list) else ():
        yield from _entries(part)
