# SPDX-License-Identifier: Apache-2.0
"""Stamps cut around catalogue positions from aligned mosaics, as an HDF5 file.

    astrojax stamps --image g=g.fits --image r=r.fits --zero-points 0,0 \
        --catalogue cat.fits --x X --y Y --size 64 --out stamps.h5

writes `images` [n c h w] in microjansky, `id`, `x`, `y`, fluxes and any other columns asked for,
and prints the config section that reads them. Mosaics are read by section, so they may be larger
than memory; tile-compressed images are found in whatever HDU they are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from astrojax.data import validate
from astrojax.data.noise import robust_sigma
from astrojax.data.units import to_microjansky
from astrojax.errors import UserError
from astrojax.files import atomic_write


def cut(
    mosaics: Mapping[str, str],
    zero_points: Sequence[float],
    columns: Mapping[str, np.ndarray],
    out: str | Path,
    *,
    size: int,
    dtype: str,
) -> dict[str, Any]:
    """Cuts stamps and writes them.

    Args:
        mosaics: {band: FITS file}, all of one shape and on one pixel grid.
        zero_points: AB magnitude of one unit of each mosaic.
        columns: `x` and `y` (0-based pixels), and others [n ...] to copy; `flux` [n c] is turned
            into microjansky with the zero points.
        out: HDF5 file to write; it must not exist.
        size: Side of the stamps in pixels.
        dtype: "float32" or "float16".

    Returns:
        Counts (`written`, `at_edge`, `not_finite`) and `noise`, the sky's sigma per pixel and band.

    Raises:
        UserError: A file that exists or is missing, mosaics of different shapes or WCS, no
            position inside them, or fluxes that overflow float16.
    """
    import h5py

    if Path(out).exists():
        raise UserError(f"{out} exists already: choose another --out")
    scales = to_microjansky(zero_points)
    with _Mosaics(mosaics) as opened:
        rows, corners = _inside(columns["x"], columns["y"], opened.shape, size)
        if not len(rows):
            raise UserError(f"no stamp of {size} px around any of {len(columns['x'])} positions")
        with atomic_write(out) as partial, h5py.File(partial, "w") as file:
            shape = (len(rows), len(mosaics), size, size)
            # One stamp per chunk: a random read then touches nothing else.
            images = file.create_dataset("images", shape, dtype, chunks=(1, *shape[1:]))
            bad, sky = 0, []
            # Down the mosaic, because compressed tiles are rows.
            for place in np.argsort(corners[:, 0], kind="stable"):
                stamp = opened.read(corners[place], size) * scales[:, None, None]
                if dtype == "float16" and np.nanmax(np.abs(stamp)) > validate.FLOAT16_MAX:
                    raise UserError("pixels overflow float16 in microjansky: use --dtype float32")
                images[place] = stamp
                bad += validate.count_bad(stamp)
                sky.append(robust_sigma(stamp, axis=(1, 2)))
            _write_columns(file, columns, rows, scales)
            noise = tuple(float(v) for v in np.nanmedian(sky, 0))
            file.attrs.update(bands=list(mosaics), unit="microjansky", noise=noise)
    at_edge = len(columns["x"]) - len(rows)
    return {"written": len(rows), "at_edge": at_edge, "not_finite": bad, "noise": noise}


class _Mosaics:
    """Aligned FITS images, read by section."""

    def __init__(self, files: Mapping[str, str]):
        from astropy.io import fits

        from astrojax.data.headers import same_wcs

        self.opened = [fits.open(validate.file(f)) for f in files.values()]
        self.hdus: list[Any] = []
        for band, hdul in zip(files, self.opened, strict=True):
            hdu = next((h for h in hdul if _is_image(h)), None)
            if hdu is None:
                raise UserError(f"{files[band]} holds no image of two axes")
            self.hdus.append(hdu)
            if hdu.shape != self.hdus[0].shape:
                raise UserError(f"band {band} has {hdu.shape} pixels, not {self.hdus[0].shape}")
            if not same_wcs(self.hdus[0].header, hdu.header, hdu.shape):
                raise UserError(f"band {band} has another WCS: bring mosaics to one pixel grid")
        self.shape = self.hdus[0].shape
        self.top, self.strip = 0, np.empty((len(self.hdus), 0, self.shape[1]), np.float32)

    def read(self, corner: Int[np.ndarray, " 2"], size: int) -> Float[np.ndarray, "c h w"]:
        """Returns a stamp of all bands; quick if stamps are asked for from top to bottom."""
        top, left = map(int, corner)
        if top < self.top or top + size > self.top + self.strip.shape[1]:
            # A strip at a time: decompressing the tiles again for each stamp is ten times slower.
            rows = slice(top, min(top + 4 * size, self.shape[0]))
            self.top = top
            self.strip = np.stack([np.float32(hdu.section[rows, :]) for hdu in self.hdus])
        down = top - self.top
        return self.strip[:, down : down + size, left : left + size]

    def __enter__(self) -> "_Mosaics":
        return self

    def __exit__(self, *_: Any) -> None:
        for file in self.opened:
            file.close()


def _is_image(hdu: Any) -> bool:
    return getattr(hdu, "is_image", False) and len(hdu.shape) == 2


def _inside(
    x: np.ndarray, y: np.ndarray, shape: tuple[int, int], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows whose stamp lies within the mosaic, and its (top, left) corner."""
    corner = np.floor(np.stack([y, x], -1) - size / 2 + 1).astype(int)
    fits = ((corner >= 0) & (corner + size <= np.array(shape))).all(-1)
    return np.flatnonzero(fits), corner[fits]


def _write_columns(
    file: Any, columns: Mapping[str, np.ndarray], rows: np.ndarray, scales: np.ndarray
) -> None:
    for name, values in {"id": np.arange(len(columns["x"])), **columns}.items():
        picked = np.asarray(values)[rows]
        if name == "flux":
            picked = np.float32(picked * scales.astype(float))
        if picked.dtype.kind == "U":
            picked = picked.astype("S")
        file[name] = picked


def read_columns(
    path: str, bands: Sequence[str], *, x: str, y: str, flux: str | None, extra: Sequence[str]
) -> dict[str, np.ndarray]:
    """Catalogue columns from an NPZ archive or any table that `astrojax.data.tables` reads.

    `flux` is one column [n k] with an array `bands` [k] beside it, or several names with commas.
    """
    file = validate.file(path)
    if file.suffix == ".npz":
        with np.load(file) as archive:
            table = {name: archive[name] for name in archive.files}
    else:
        from astrojax.data.tables import read_table

        found = read_table(file)
        table = {name: np.asarray(found[name]) for name in found.colnames}

    def get(name: str) -> np.ndarray:
        return table[validate.key(name, table, file.name)]

    columns = {"x": get(x), "y": get(y)}
    if flux is not None and "," in flux:
        columns["flux"] = np.stack([get(name) for name in flux.split(",")], -1)
    elif flux is not None:
        there = [str(b) for b in get("bands")]
        order = [there.index(validate.key(b, there, f"`bands` of {file.name}")) for b in bands]
        columns["flux"] = get(flux)[:, order]
    return columns | {name: get(name) for name in extra}
