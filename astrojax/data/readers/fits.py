# SPDX-License-Identifier: Apache-2.0
"""FITS cutouts: a cube per object, an extension per band, or a file per band.

The path is a pattern: `cutouts/{id}.fits`, or `cutouts/{id}_{band}.fits` for a file per band.
Units come from the config or, with `unit = "header"`, from BUNIT; the pixel scale from the WCS if
the config gives none. A file is opened when its stamp is asked for. Bands of one object have to
share their shape and their WCS; nothing is resampled.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from astrojax.data import images, validate
from astrojax.data.keys import BadPixels, Paths, Unreadable
from astrojax.data.source import Source
from astrojax.data.units import UNITS, to_microjansky
from astrojax.data.untrusted import check_memory
from astrojax.errors import UserError

# BUNIT as found in the wild, in lower case, against the names of `describe.UNITS`.
BUNITS = {
    "ujy": "microjansky",
    "microjy": "microjansky",
    "microjansky": "microjansky",
    "nanomaggy": "nanomaggies",
    "nanomaggies": "nanomaggies",
    "nmgy": "nanomaggies",
    "adu": "counts",
    "count": "counts",
    "counts": "counts",
    "dn": "counts",
    "electron": "electrons",
    "electrons": "electrons",
    "electrons/s": "electrons/s",
    "electron/s": "electrons/s",
    "e/s": "electrons/s",
}
WCS_CARDS = (
    "CRVAL1",
    "CRVAL2",
    "CRPIX1",
    "CRPIX2",
    "CD1_1",
    "CD1_2",
    "CD2_1",
    "CD2_2",
    "CDELT1",
    "CDELT2",
    "PC1_1",
    "PC1_2",
    "PC2_1",
    "PC2_2",
)


def load(
    *,
    path: Paths,
    hdus: int | tuple[int | str, ...] = 0,
    unreadable: Unreadable = "error",
    zero_points: tuple[float, ...] | None = None,
    info: dict,
    crop: int | None = None,
    bad_pixels: BadPixels = "error",
    split: dict | None = None,
) -> dict[str, Source]:
    """Opens FITS cutouts.

    Args:
        path: A pattern with {id} and perhaps {band}, or one for each split.
        hdus: Index of the HDU that holds the image [h w] or the cube [c h w]; or one index or
            EXTNAME per band.
        unreadable: What of damaged files: "error", or "skip", which reads every file once at
            start, names the damaged and counts them.
        zero_points: AB zero point of each band; pixels are then turned into microjansky. None
            leaves pixels as they are.
        info: See `astrojax.data.info.describe`; `unit` may be "header", `pixel_scale` None takes
            that of the WCS where all sampled files agree.
        crop: Side of the central square to cut, or None.
        bad_pixels: "error" or "mask".
        split: See `astrojax.data.split.apply`.

    Raises:
        UserError: No files, a damaged file, no unit, bands that differ in shape or WCS, or any of
            `astrojax.data.validate`.
    """

    def open_one(one: str, _: str) -> images.StoredSource:
        bands = tuple(info.get("bands", ()))
        stamps = FitsImages(find(one, bands), bands, hdus, zero_points)
        kept = images.drop_unreadable(stamps, unreadable)
        stamps = FitsImages(
            {i: stamps.files[i] for i in stamps.ids[kept]}, bands, hdus, zero_points
        )
        described = _describe(stamps, dict(info), zero_points, bad_pixels)
        return images.open_source(
            stamps, {"id": stamps.ids}, info=described, where=one, crop=crop, bad_pixels=bad_pixels
        )

    return images.split_paths(open_one, path, split)


def find(pattern: str, bands: tuple[str, ...]) -> dict[str, list[Path]]:
    """Returns {id: its file, or its files in the order of the bands}.

    Raises:
        UserError: The pattern has no {id} or matches nothing, or an object lacks a band's file.
    """
    if "{id}" not in pattern:
        raise UserError(
            f"data.path {pattern!r} has no {{id}}: write e.g. cutouts/{{id}}_{{band}}.fits"
        )
    pattern = str(Path(pattern).expanduser())
    wanted = bands if "{band}" in pattern else ("",)
    found: list[dict[str, Path]] = []
    for band in wanted:
        full = pattern.replace("{band}", band)
        fixed = Path(full[: full.index("{id}")] + "x").parent
        validate.file(fixed)
        text = re.escape(str(Path(full).relative_to(fixed))).replace(r"\{id\}", "(?P<id>[^/]+)", 1)
        expression = re.compile(text.replace(r"\{id\}", "(?P=id)"))
        names = ((expression.fullmatch(str(p.relative_to(fixed))), p) for p in fixed.rglob("*"))
        found.append({m["id"]: p for m, p in names if m})
    ids = sorted(set().union(*found))
    if not ids:
        raise UserError(f"no file matches {pattern!r}")
    for band, files in zip(wanted, found, strict=True):
        missing = [i for i in ids if i not in files]
        if missing:
            raise UserError(
                f"{len(missing)} objects have no file of band {band}, e.g. {missing[0]!r}"
            )
    return {i: [files[i] for files in found] for i in ids}


class FitsImages:
    """Stamps in FITS files, opened one at a time."""

    def __init__(
        self,
        files: dict[str, list[Path]],
        bands: tuple[str, ...],
        hdus: int | tuple[int | str, ...],
        zero_points: tuple[float, ...] | None,
    ):
        self.files, self.bands, self.hdus = files, bands, hdus
        self.ids = np.array(list(files))
        self.scale: np.ndarray | None = None
        if isinstance(hdus, tuple) and len(hdus) != len(bands):
            raise UserError(f"data.hdus names {len(hdus)} HDUs for {len(bands)} bands")
        if zero_points is not None:
            if len(zero_points) != len(bands):
                raise UserError(f"data.zero_points has {len(zero_points)} values, not {len(bands)}")
            self.scale = to_microjansky(zero_points)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        planes, headers = self.planes(index)
        for band, plane, header in zip(self.bands[1:], planes[1:], headers[1:], strict=False):
            if plane.shape != planes[0].shape:
                raise UserError(
                    f"{self.where(index)}: band {band} has {plane.shape} pixels, band "
                    f"{self.bands[0]} has {planes[0].shape}"
                )
            if not same_wcs(headers[0], header, plane.shape):
                raise UserError(
                    f"{self.where(index)}: bands {self.bands[0]} and {band} have different WCS; "
                    "bring them to one pixel grid first"
                )
        image = np.stack(planes, -1)
        image = image.astype(image.dtype.newbyteorder("="))
        return image if self.scale is None else image.astype(np.float32) * self.scale

    def planes(self, index: int) -> tuple[list[np.ndarray], list[Any]]:
        """Returns one array [h w] and one header per band."""
        from astropy.io import fits

        files = self.files[str(self.ids[index])]
        hdus = self.hdus if isinstance(self.hdus, tuple) else (self.hdus,) * len(files)
        planes, headers = [], []
        for number, hdu in enumerate(hdus):
            file = files[number % len(files)]
            try:
                # Without a memory map: gzip has none, and an open map costs a file handle.
                with fits.open(file, memmap=False) as opened:
                    check_memory(getattr(opened[hdu], "shape", ()), 8, str(file))
                    data, header = opened[hdu].data, opened[hdu].header
            except (KeyError, IndexError):
                raise UserError(f"{file} has no HDU {hdu!r}: set data.hdus") from None
            except Exception as error:  # astropy's are of many kinds
                raise images.Unreadable(f"{file} cannot be read ({error}){images.SKIP}") from None
            if data is None or data.ndim not in (2, 3):
                raise UserError(f"{file}: HDU {hdu!r} holds no image: set data.hdus")
            planes += [data] if data.ndim == 2 else list(data)
            headers += [header] * (1 if data.ndim == 2 else len(data))
        return planes, headers

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return str(self.files[str(self.ids[index])][0])

    def positions(self, rows: np.ndarray | None = None) -> Float[np.ndarray, "n 2"]:
        """Right ascension and declination of the central pixels, in degrees; opens every file.

        Args:
            rows: Which stamps; None for all.

        Raises:
            UserError: A file has no WCS.
        """
        from astropy.io import fits

        found = []
        first = self.hdus[0] if isinstance(self.hdus, tuple) else self.hdus
        for index in range(len(self)) if rows is None else rows.tolist():
            with fits.open(self.where(index)) as opened:
                wcs, (height, width) = _celestial(opened[first].header), opened[first].shape[-2:]
            if wcs is None:
                raise UserError(f"{self.where(index)} has no WCS, so no position")
            found.append(wcs.wcs_pix2world([[(width - 1) / 2, (height - 1) / 2]], 0)[0])
        return np.array(found)


def same_wcs(first: Any, second: Any, shape: tuple[int, int]) -> bool:
    """Returns whether two headers put the corners of an image within half a pixel of each other."""
    if all(first.get(card) == second.get(card) for card in WCS_CARDS):
        return True
    a, b = _celestial(first), _celestial(second)
    if a is None or b is None:
        return a is b
    height, width = shape
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)
    moved = b.wcs_world2pix(a.wcs_pix2world(corners, 0), 0)
    return bool(np.abs(moved - corners).max() < 0.5)


def _celestial(header: Any) -> Any:
    import warnings

    from astropy.wcs import WCS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # non-standard dates and the like
        wcs = WCS(header).celestial
    return wcs if wcs.has_celestial else None


def _describe(
    stamps: FitsImages,
    info: dict[str, Any],
    zero_points: tuple[float, ...] | None,
    bad_pixels: BadPixels,
) -> dict[str, Any]:
    """Returns the config's `info` with the unit and the pixel scale that the headers give."""
    headers = [h for i in images.readable(stamps, bad_pixels) for h in stamps.planes(i)[1]]
    found = {str(h.get("BUNIT", "")).strip() for h in headers}
    units = {BUNITS.get(u.lower().replace(" ", "")) for u in found}
    if info.get("unit") == "header":
        if len(units) != 1 or None in units:
            raise UserError(
                f"the FITS headers give {' and '.join(sorted(u or 'no' for u in found))} BUNIT: "
                f"set data.info.unit to one of {', '.join(UNITS)}"
            )
        info["unit"] = units.pop()
    elif zero_points is None and units - {None, info.get("unit")}:
        raise UserError(
            f"data.info.unit is {info.get('unit')}, but BUNIT is {', '.join(found - {''})}"
        )
    if zero_points is not None and info["unit"] != "microjansky":
        raise UserError("data.zero_points make microjansky of pixels: set data.info.unit to that")
    if info.get("pixel_scale", 0) is None:
        info["pixel_scale"] = _pixel_scale(headers)
    return info


def _pixel_scale(headers: list[Any]) -> float | None:
    from astropy.wcs.utils import proj_plane_pixel_scales

    systems = [_celestial(h) for h in headers]
    if any(w is None for w in systems):
        return None
    scales = np.array([3600 * proj_plane_pixel_scales(w) for w in systems])
    return float(scales.mean()) if np.ptp(scales) < 0.01 * scales.mean() else None
