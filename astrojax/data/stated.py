# SPDX-License-Identifier: Apache-2.0
"""What a file says of its own pixels, compared with what the config says; bands chosen by name."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from astrojax.data import pictures, units, untrusted
from astrojax.data.listing import Listing
from astrojax.data.validate import same_scale
from astrojax.errors import UserError

_LOOKED_AT = 16  # pictures of a folder, to find one that can be read


def from_attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns `bands`, `unit`, `zero_point` and `pixel_scale` that a file's attributes have.

    Args:
        attributes: Of an HDF5 file, arrays of an NPZ archive, or the metadata of a Parquet schema
            (bytes; bands as a JSON list).
    """
    found: dict[str, Any] = {}
    for name in ("bands", "unit", "zero_point", "pixel_scale"):
        value = attributes.get(name, attributes.get(name.encode()))
        if isinstance(value, bytes):
            value = value.decode()
        if value is None:
            continue
        if name == "bands":
            value = json.loads(value) if isinstance(value, str) and value[:1] == "[" else value
            texts = np.atleast_1d(np.asarray(value)).tolist()
            found[name] = tuple(t.decode() if isinstance(t, bytes) else str(t) for t in texts)
        elif name == "unit":
            text = np.asarray(value).item()
            found[name] = text.decode() if isinstance(text, bytes) else str(text)
        else:
            with contextlib.suppress(ValueError, TypeError):  # a word, of other things than pixels
                found[name] = float(np.asarray(value).item())
    return {name: value for name, value in found.items() if value}


def of_file(reader: str, path: str) -> dict[str, Any]:
    """Returns what a file says of its pixels beside the images, before it is opened as data.

    Args:
        reader: "hdf5" or "npz"; files of others say nothing here.
        path: The file.

    Raises:
        UserError: It cannot be read.
    """
    names = ("bands", "unit", "zero_point", "pixel_scale")
    if reader == "hdf5":
        with untrusted.open_hdf5(path) as file:
            return from_attributes(file.attrs)
    if reader == "npz":
        with untrusted.open_npz(path) as archive:
            if "blob" in archive.files:  # the bands are those of a catalogue
                return {}
            headers = {n: untrusted.npz_header(archive, n, path) for n in archive.files}
            said = {n for n in names if n in headers and (n == "bands" or headers[n][0] == ())}
            return from_attributes({n: untrusted.npz_array(archive, n, path) for n in said})
    return {}


def compare(stated: Mapping[str, Any], info: Mapping[str, Any], where: str) -> None:
    """Raises `UserError` if a file says another unit, zero point or pixel scale than the config.

    Args:
        stated: What `from_attributes` gave.
        info: The config section `data.info`.
        where: What to call the file.
    """
    own_unit = stated.get("unit")
    if own_unit is not None and info.get("unit") is not None:
        known = units.canonical(str(own_unit))
        wanted = units.canonical(str(info["unit"])) or info["unit"]
        if known != wanted:
            strange = "" if known else " (which is no unit that astropy.units knows)"
            raise UserError(
                f"{where} says that its unit is {own_unit!r}{strange}, and data.info.unit is "
                f"{info['unit']!r}: set it to what the pixels are, or correct the file"
            )
    for name, same in (("zero_point", units.same_zero_point), ("pixel_scale", same_scale)):
        said, there = info.get(name), stated.get(name)
        if said is not None and there is not None and not same(float(said), float(there)):
            raise UserError(
                f"{where} says that its {name} is {float(there):.6g}, and data.info.{name} is "
                f"{float(said):.6g}: set it to what the pixels are, or to None to take that of "
                "the file"
            )


def band_positions(
    stated: Mapping[str, Any], bands: tuple[str, ...], where: str
) -> Int[np.ndarray, " c"] | None:
    """Returns where the bands wanted are in the file; None: all of them, in its order.

    Args:
        stated: What `from_attributes` gave.
        bands: The config's bands, a choice of the file's own in any order.
        where: What to call the file.

    Raises:
        UserError: The file has no such band.
    """
    there = stated.get("bands")
    if not there or tuple(bands) == tuple(there):
        return None
    lacking = [band for band in bands if band not in there]
    if lacking:
        raise UserError(
            f"{where} says that its bands are {', '.join(there)}, and config key 'data.info.bands' "
            f"names {', '.join(lacking)}: name some of the file's"
        )
    return np.array([there.index(band) for band in bands])


class ChosenBands:
    """Stamps with some of their bands, in another order."""

    def __init__(self, images: Any, positions: Int[np.ndarray, " c"]):
        self.images, self.positions = images, positions

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        return self.images[index][..., self.positions]

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return self.images.where(index)


def chosen(images: Any, stated: Mapping[str, Any], info: Mapping[str, Any], where: str) -> Any:
    """Returns the stamps in the bands that the config names, after comparing what the file says.

    Raises:
        UserError: The file says something else than the config, or has no such band.
    """
    compare(stated, info, where)
    positions = band_positions(stated, tuple(info.get("bands", ())), where)
    return images if positions is None else ChosenBands(images, positions)


_COLORS = {1: ("grey",), 3: ("red", "green", "blue")}


def by_pictures(folder: str | Path) -> dict[str, Any]:
    """Returns `bands` and `unit` of a folder of pictures of 8 bits; nothing of any others.

    A picture's file says that its pixels are grey, or red, green and blue, for a display.
    """
    for file in Listing(Path(folder), pictures.SUFFIXES).files[:_LOOKED_AT]:
        try:
            image = pictures.decode(file.read_bytes(), bands=None, where=str(file))
        except (UserError, OSError):
            continue  # the reader says what is wrong
        if image.dtype != np.uint8:
            return {}
        return {"bands": _COLORS[image.shape[-1]], "unit": "display"}
    return {}


def require(said: Mapping[str, Any], remedy: str) -> None:
    """Raises `UserError` if bands or unit of the images are not said; the message names both.

    Args:
        said: What is said.
        remedy: What may be done beside saying them, after a comma.
    """
    examples = {"bands": "g,r,z", "unit": "nanomaggies"}
    missing = [name for name in examples if name not in said]
    if not missing:
        return
    named = " and ".join(f"the {name}" for name in missing)
    several = len(missing) > 1 or missing == ["bands"]
    flags = " ".join(f"--set {name}={examples[name]}" for name in missing)
    raise UserError(
        f"{named} of the images {'are' if several else 'is'} not said: add {flags}{remedy}"
    )
