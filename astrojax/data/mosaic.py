# SPDX-License-Identifier: Apache-2.0
"""Stamps cut around catalogue positions from aligned mosaics, as an HDF5 file.

    astrojax stamps --image g=g.fits --image r=r.fits --zero-points 0,0 \
        --catalogue cat.fits --x X --y Y --size 64 --out stamps.h5

writes `images` [n c h w] in microjansky, `id`, `x`, `y`, fluxes and any other columns asked for,
and prints the config section that reads them. Mosaics are read by section, so they may be larger
than memory; tile-compressed images are found in whatever HDU they are.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from astrojax import files
from astrojax.data import units, validate
from astrojax.data.headers import celestial, same_wcs
from astrojax.data.native import missing_values, to_numbers
from astrojax.data.noise import robust_sigma
from astrojax.data.tables import read_table
from astrojax.errors import UserError
from astrojax.files import reading, write_csv


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
        columns: `x` and `y` (0-based pixels), or `ra` and `dec` (degrees), which the WCS turns into
            them, and others [n ...] to copy; `flux` [n c] is turned into microjansky with the zero
            points.
        out: HDF5 file to write; it must not exist.
        size: Side of the stamps in pixels.
        dtype: "float32" or "float16".

    Returns:
        Counts (`written`, `at_edge`, `not_finite`), `noise`, the sky's sigma per pixel and band,
        and `pixel_scale`, arcseconds per pixel or None without a WCS.

    Raises:
        UserError: A file that exists or is missing, mosaics of different shapes or WCS, or none
            where positions are on the sky, no position inside them, or fluxes that overflow
            float16.
    """
    with files.lock(out):
        if Path(out).exists():
            raise UserError(f"{out} exists already: choose another --out")
        return _cut(mosaics, zero_points, columns, Path(out), size=size, dtype=dtype)


def _cut(
    mosaics: Mapping[str, str],
    zero_points: Sequence[float],
    columns: Mapping[str, np.ndarray],
    out: Path,
    *,
    size: int,
    dtype: str,
) -> dict[str, Any]:
    import h5py

    scales = units.to_microjansky(zero_points)
    with _Mosaics(mosaics) as opened:
        for (band, file), hdu, value in zip(mosaics.items(), opened.hdus, zero_points, strict=True):
            _check_zero_point(hdu.header, value, f"{file} (band {band})")
        columns = _placed(columns, opened.hdus[0].header, next(iter(mosaics.values())))
        _check_columns(columns)
        rows, corners = _inside(columns["x"], columns["y"], opened.shape, size)
        if not len(rows):
            raise UserError(f"no stamp of {size} px around any of {len(columns['x'])} positions")
        with files.atomic_write(out) as partial, h5py.File(partial, "w") as file:
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
            scale = _pixel_scale(opened.hdus[0].header)
            if scale is not None:
                file.attrs["pixel_scale"] = scale
    at_edge = len(columns["x"]) - len(rows)
    _list_left_out(Path(out), columns, rows)
    counts = {"written": len(rows), "at_edge": at_edge, "not_finite": bad}
    return {**counts, "noise": noise, "pixel_scale": scale}


def _check_zero_point(header: Any, said: float, where: str) -> None:
    """Raises `UserError` if BUNIT is a flux density of another zero point."""
    text = str(header.get("BUNIT", "")).strip()
    unit, scale = units.canonical(text), _pixel_scale(header)
    if unit is None or ("sr" in unit and scale is None):
        return
    own = units.zero_point(unit, scale)
    if own is not None and not units.same_zero_point(own, said):
        raise UserError(
            f"{where}: BUNIT {text!r} means the zero point {own:.6g}, and --zero-points says "
            f"{said:.6g}: give that of the unit, or correct the header"
        )


def _placed(columns: Mapping[str, np.ndarray], header: Any, file: str) -> dict[str, np.ndarray]:
    """Returns columns with pixel positions; NaN for what is not on the mosaic's part of the sky."""
    if "x" in columns:
        return dict(columns)
    wcs = celestial(header)
    if wcs is None:
        raise UserError(f"{file} has no WCS, so positions have to be pixels: --x and --y")
    sky = np.stack([columns["ra"], columns["dec"]], -1).astype(np.float64)
    pixel = np.full(sky.shape, np.nan)
    known = np.isfinite(sky).all(1)
    if known.any():
        ra, dec = sky[known].T
        validate.positions(ra, dec, "the catalogue", hours=False)
        found = wcs.all_world2pix(sky[known], 0, quiet=True)
        # A projection may put the far side of the sky on the mosaic: what does not come back is.
        away = (wcs.all_pix2world(found, 0) - sky[known] + 180) % 360 - 180
        away = np.hypot(away[:, 0] * np.cos(np.radians(dec)), away[:, 1]) > 1 / 3600
        pixel[known] = np.where(away[:, None], np.nan, found)
    return {**columns, "x": pixel[:, 0], "y": pixel[:, 1]}


def _pixel_scale(header: Any) -> float | None:
    """Returns arcseconds per pixel, or None without a WCS."""
    from astropy.wcs.utils import proj_plane_pixel_scales

    wcs = celestial(header)
    return None if wcs is None else round(float(3600 * np.mean(proj_plane_pixel_scales(wcs))), 9)


class _Mosaics:
    """Aligned FITS images, read by section."""

    def __init__(self, files: Mapping[str, str]):
        from astropy.io import fits

        self.opened = []
        for file in files.values():
            with reading(file):
                self.opened.append(fits.open(validate.file(file)))
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
    known = np.nan_to_num(np.stack([y, x], -1), nan=-1e6)
    corner = np.floor(known - size / 2 + 1).astype(int)
    fits = ((corner >= 0) & (corner + size <= np.array(shape))).all(-1)
    return np.flatnonzero(fits), corner[fits]


def _write_columns(
    file: Any, columns: Mapping[str, np.ndarray], rows: np.ndarray, scales: np.ndarray
) -> None:
    import h5py

    for name, values in {"id": np.arange(len(columns["x"])), **columns}.items():
        picked = values[rows]
        if name == "flux":
            picked = np.float32(picked * scales.astype(float))
        if picked.dtype.kind == "U":
            file.create_dataset(
                name, data=np.ma.filled(picked, "").astype(object), dtype=h5py.string_dtype()
            )
        elif np.ma.isMaskedArray(picked):  # HDF5 has no nulls: as floats, or as the lowest number
            exact = np.abs(np.ma.compressed(picked).astype(float)).max(initial=0) < 2**53
            plain = picked.astype(float) if exact else picked
            file[name] = np.ma.filled(plain, np.nan if exact else None)
        else:
            file[name] = picked


def _check_columns(columns: Mapping[str, np.ndarray]) -> None:
    """Raises `UserError` for what no file of stamps can hold, before any stamp is cut."""
    if "images" in columns:
        raise UserError("a column called 'images' would be taken for the stamps: rename it")
    missing = np.isnan(columns["x"]) | np.isnan(columns["y"])
    if missing.all():
        raise UserError("no object has a position on the mosaic: all are missing or elsewhere")
    if "id" in columns:
        validate.unique_ids(columns["id"][~missing_values(columns["id"])], "the catalogue")
        lost = missing_values(columns["id"])
        if lost.any():
            raise UserError(
                f"{lost.sum()} rows of the catalogue have no id, first {np.argmax(lost)}"
            )


def _list_left_out(out: Path, columns: Mapping[str, np.ndarray], rows: np.ndarray) -> None:
    """Writes a CSV of the objects without a stamp beside the file, with the reason of each."""
    left = np.setdiff1d(np.arange(len(columns["x"])), rows)
    if not len(left):
        return
    ids = columns.get("id", np.arange(len(columns["x"])))
    path = out.with_name(f"{out.stem}_left_out.csv")
    lost = np.isnan(columns["x"]) | np.isnan(columns["y"])
    nowhere = "no position" if "ra" not in columns else "no position on the mosaic"
    reason = [nowhere if lost[i] else "near an edge" for i in left]
    write_csv(path, {"id": [str(ids[i]) for i in left], "reason": reason})
    logging.warning("%d objects have no stamp: %s says who and why", len(left), path)


def read_columns(
    path: str,
    bands: Sequence[str],
    *,
    x: str,
    y: str,
    sky: tuple[str, str] | None = None,
    flux: str | None,
    extra: Sequence[str],
    id: str | None = None,
    hdu: int | str | None = None,
) -> dict[str, np.ndarray]:
    """Returns columns of any table that `astrojax.data.tables` reads.

    Args:
        path: The catalogue.
        bands: Bands of the mosaics.
        x: Column of the 0-based pixel column.
        y: Column of the 0-based pixel row.
        sky: Columns of right ascension and declination in degrees, in place of `x` and `y`.
        flux: One column [n k] with an array `bands` [k] beside it, or several names with commas.
        extra: Other columns.
        id: Column of the ids; None: `id` if there is one, else the row number, which is said.
        hdu: Which table of a file with several.

    Raises:
        UserError: A column is not there, or cannot be represented.
    """
    table = read_table(validate.file(path), hdu)
    get = table.column
    places = {"x": x, "y": y} if sky is None else dict(zip(("ra", "dec"), sky, strict=True))
    if sky is None and not {x, y} <= set(table.names):
        raise UserError(
            f"{table.where} has no columns {x!r} and {y!r} of pixel positions: name them with --x "
            "and --y, or right ascension and declination with --ra and --dec"
        )
    columns = {axis: to_numbers(get(name), name) for axis, name in places.items()}
    named = id or ("id" if "id" in table.names else None)
    if named is not None:
        columns["id"] = table.ids(named)
    else:
        logging.warning(
            "%s has no column 'id': a stamp's id is its row, counted from 0; name one with --id",
            table.where,
        )
    if flux is not None and "," in flux:
        columns["flux"] = np.stack([get(name) for name in flux.split(",")], -1)
    elif flux is not None:
        there = [str(b) for b in get("bands")]
        order = [there.index(validate.key(b, there, f"`bands` of {table.where}")) for b in bands]
        columns["flux"] = get(flux)[:, order]
    return columns | {name: get(name) for name in extra if name not in (named, *places.values())}
