# SPDX-License-Identifier: Apache-2.0
"""FITS files of lens pairs, as LenSiam has them: read one, a folder of them, or write them.

A file is a pair: its primary HDU holds a float array [h w 2] in NumPy's order (NAXIS1 = 2), the
last axis being the two images of one lens, and its header has the eight parameters as cards
theta_E, e1, e2, center_x, center_y, gamma, gamma1, gamma2.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Float

from astrojax.data import images, validate
from astrojax.data import split as division
from astrojax.data.info import DataInfo
from astrojax.data.keys import BadPixels
from astrojax.data.readers.lens import simulate
from astrojax.data.source import ArraySource, Source
from astrojax.data.untrusted import check_memory
from astrojax.errors import UserError
from astrojax.files import atomic_write
from astrojax.simulate.lens.deflection import Lens, check_lens
from astrojax.simulate.lens.simulator import Simulator


def load(
    *,
    path: str,
    members: Literal["pair", "both"],
    pixel_scale: float,
    bad_pixels: BadPixels = "error",
    split: dict | None = None,
) -> dict[str, Source]:
    """Opens a folder of pairs. Headers are read at start, pixels when they are asked for.

    Columns are `id`, `pair` (number of the file) and the eight parameters.

    Args:
        path: The folder.
        members: "pair" makes an example of a file, `image` [h w 2] with one image per band;
            "both" makes two, `image` [h w 1], which the split never parts.
        pixel_scale: Arcseconds per pixel.
        bad_pixels: "error" or "mask" (NaN and infinite pixels become zero).
        split: See `astrojax.data.split.apply`; files are divided by the hash of their name.

    Raises:
        UserError: No files, a damaged one, missing cards (they are named), parameters that no
            lens has, or pixels that are NaN.
    """
    folder = validate.file(path)
    files = sorted(p for p in folder.iterdir() if p.name.endswith((".fits", ".fits.gz")))
    if not files:
        raise UserError(f"the folder {path!r} holds no .fits files")
    parameters = [read_parameters(file) for file in files]
    columns: dict[str, Any] = {
        name: np.array([p[i] for p in parameters]) for i, name in enumerate(Lens._fields)
    }
    side = read_pixels(files[0]).shape[0]
    try:
        check_lens(Lens(**columns), radius=side * pixel_scale / 2, terms=10**9)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    columns["pair"] = np.arange(len(files))
    columns["id"] = np.array(
        [file.name.removesuffix(".gz").removesuffix(".fits") for file in files]
    )
    info = {"pixel_scale": pixel_scale, "unit": "arbitrary", "zero_point": None, "noise": None}
    info |= {"extinction": None, "bands": ("lens",) if members == "both" else ("first", "second")}
    parts = division.apply(ArraySource(columns, DataInfo((), side)), split)
    found: dict[str, Source] = {}
    for name, part in parts.items():
        rows = part.column("pair")
        chosen = {n: v[rows] for n, v in columns.items()}
        if members == "both":
            chosen = {n: np.repeat(v, 2) for n, v in chosen.items()}
            ends = np.tile(["_1", "_2"], len(rows))
            chosen["id"] = np.char.add(chosen["id"], ends)
        found[name] = images.open_source(
            PairImages([files[r] for r in rows], members == "both"),
            chosen,
            info=info,
            where=path,
            bad_pixels=bad_pixels,
        )
    return found


class PairImages:
    """Pairs in FITS files, opened one at a time; whole, or member after member."""

    def __init__(self, files: list[Path], single: bool):
        self.files, self.single = files, single

    def __len__(self) -> int:
        return len(self.files) * (2 if self.single else 1)

    def __getitem__(self, index: int) -> Float[np.ndarray, "h w c"]:
        if not self.single:
            return read_pixels(self.files[index])
        return read_pixels(self.files[index // 2])[..., index % 2 : index % 2 + 1]

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return str(self.files[index // 2 if self.single else index])


def read_parameters(file: Path) -> Lens:
    """Returns the eight parameters in a file's header.

    Raises:
        UserError: The file is damaged, or lacks cards; all that are missing are named.
    """
    header = _open(file, lambda hdu: hdu.header.copy())
    missing = [name for name in Lens._fields if name not in header]
    if missing:
        raise UserError(f"{file} lacks the header cards {', '.join(missing)}")
    values: list[Any] = [np.float32(header[name]) for name in Lens._fields]
    return Lens(*values)


def read_pixels(file: Path) -> Float[np.ndarray, "h w 2"]:
    """Returns the pixels of one file, float32.

    Raises:
        UserError: The file is damaged or is no pair.
    """
    data = _open(file, lambda hdu: hdu.data)
    if data is None or data.ndim != 3 or data.shape[-1] != 2:
        shape = None if data is None else data.shape
        raise UserError(f"{file}: the primary HDU has shape {shape}, not [h w 2]: it is no pair")
    return np.asarray(data, np.float32)


def _open(file: Path, take: Callable[[Any], Any]) -> Any:
    from astropy.io import fits

    try:
        with fits.open(file, memmap=False) as opened:
            check_memory(opened[0].shape, 8, str(file))
            return take(opened[0])
    except Exception as error:  # astropy's are of many kinds
        raise images.Unreadable(f"{file} cannot be read ({error})") from None


def write_pair(path: str | Path, pair: Float[np.ndarray, "2 h w 1"], lens: Lens) -> None:
    """Writes one pair as float32; the inverse of `read_pixels` and `read_parameters`.

    Raises:
        UserError: The file exists.
    """
    from astropy.io import fits

    if Path(path).exists():
        raise UserError(f"{path} exists: choose another folder or remove it")
    header = fits.Header()
    for name, value in lens._asdict().items():
        # The shortest decimal that is this float32 again.
        header[name] = float(str(np.float32(value)))
    data = np.ascontiguousarray(np.moveaxis(np.asarray(pair, np.float32)[..., 0], 0, -1))
    with atomic_write(path) as temporary:
        fits.PrimaryHDU(data, header).writeto(temporary)


def write_folder(
    folder: str | Path, simulator: Simulator, *, count: int, seed: int, block: int = 1024
) -> None:
    """Simulates pairs and writes them as `pair_000000.fits`, ...

    Args:
        folder: Where to; made if it does not exist.
        simulator: What to draw.
        count: Number of pairs.
        seed: Pair i is a function of (seed, i) alone.
        block: Pairs held in memory at a time.

    Raises:
        UserError: A file exists.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    for start in range(0, count, block):
        indices = np.arange(start, min(start + block, count))
        drawn = simulate(simulator, seed, indices, pairs=True)
        parameters: list[Any] = [drawn[name] for name in Lens._fields]
        lenses = Lens(*parameters)
        for i, index in enumerate(indices):
            lens = jax.tree.map(lambda values, i=i: values[i], lenses)
            write_pair(Path(folder) / f"pair_{index:06d}.fits", drawn["image"][i], lens)
