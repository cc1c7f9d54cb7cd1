# SPDX-License-Identifier: Apache-2.0
"""FITS cutouts: a cube per object, an extension per band, or a file per band.

The path is a pattern: `cutouts/{id}.fits`, or `cutouts/{id}_{band}.fits` for a file per band.
Units come from the config or, with `unit = "header"`, from BUNIT; the pixel scale from the WCS if
the config gives none. What both say has to agree, in every file. A file is opened when its stamp is
asked for. Bands of one object have to share their shape and their WCS; nothing is resampled.
"""

import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from astrojax.data import headers, images, pictures, stated, units, validate
from astrojax.data.keys import MAX_BYTES, MAX_PIXELS, BadPixels, Paths, Unreadable
from astrojax.data.listing import HIDDEN, is_hidden
from astrojax.data.source import Source
from astrojax.errors import UserError


def load(
    *,
    path: Paths,
    hdus: int | tuple[int | str, ...] = 0,
    unreadable: Unreadable = "error",
    zero_points: tuple[float, ...] | None = None,
    info: dict,
    crop: int | None = None,
    bad_pixels: BadPixels = "error",
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    split: dict | None = None,
) -> dict[str, Source]:
    """Opens FITS cutouts.

    Args:
        path: A pattern with {id} and perhaps {band}, or one for each split.
        hdus: Index of the HDU that holds the image [h w] or the cube [c h w]; or one index or
            EXTNAME per band.
        unreadable: What of damaged files: "error", or "skip", which reads every file once at
            start, names the damaged and counts them. With "skip" an object may lack a band's file.
        zero_points: AB zero point of each band; pixels are then turned into microjansky. None
            leaves pixels as they are.
        info: See `astrojax.data.info.describe`; `unit` may be "header", `pixel_scale` None takes
            that of the WCS where all sampled files agree.
        crop: Side of the central square to cut, or None.
        bad_pixels: "error" or "mask".
        max_pixels: Pixels of an image beyond which it counts as unreadable.
        max_bytes: Bytes of a file beyond which it counts as unreadable.
        split: See `astrojax.data.split.apply`.

    Raises:
        UserError: No files, a damaged file, no unit, bands that differ in shape or WCS, or any of
            `astrojax.data.validate`.
    """

    def open_one(one: str, _: str) -> images.StoredSource:
        bands = tuple(info.get("bands", ()))
        whole = unreadable == "error" and bad_pixels != "keep"
        files, lost = find(one, bands, whole=whole)
        limits = {"max_pixels": max_pixels, "max_bytes": max_bytes}
        stamps = FitsImages(files, bands, hdus, zero_points, **limits)
        described = headers.describe(stamps, dict(info), zero_points, lenient=not whole)
        if unreadable == "skip":
            cut = images.Cut(bands, described["unit"], crop, None)
            kept, unread = images.drop_unreadable(stamps, cut)
            stamps.keep(kept)
            lost |= unread
        return images.open_source(
            stamps,
            {"id": stamps.ids},
            info=described,
            where=one,
            crop=crop,
            bad_pixels=bad_pixels,
            left_out=lost,
        )

    return images.split_paths(open_one, path, split)


def find(
    pattern: str, bands: tuple[str, ...], *, whole: bool = True
) -> tuple[dict[str, list[Path]], dict[str, int]]:
    """Returns {id: its file, or its files in the order of the bands}, and {reason: left out}.

    Args:
        pattern: With {id}, and perhaps {band}.
        bands: The bands.
        whole: Whether an object without the file of a band is an error; else the file is listed,
            and reading it fails.

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
    hidden: set[Path] = set()
    for band in wanted:
        full = pattern.replace("{band}", band)
        fixed = Path(full[: full.index("{id}")] + "x").parent
        validate.file(fixed)
        text = re.escape(str(Path(full).relative_to(fixed))).replace(r"\{id\}", "(?P<id>[^/]+)", 1)
        expression = re.compile(text.replace(r"\{id\}", "(?P=id)"))
        names = [(p, p.relative_to(fixed)) for p in fixed.rglob("*")]
        hidden |= {p for p, name in names if any(map(is_hidden, name.parts))}
        matches = ((expression.fullmatch(str(name)), p) for p, name in names if p not in hidden)
        found.append({m["id"]: p for m, p in matches if m})
    ids = sorted(set().union(*found))
    if not ids:
        raise UserError(f"no file matches {pattern!r}")
    for band, files in zip(wanted, found, strict=True):
        missing = [i for i in ids if i not in files]
        if missing:
            text = f"{len(missing)} objects have no file of band {band}, e.g. {missing[0]!r}"
            if whole:
                raise UserError(text)
            logging.warning("%s: %s", pattern, text)
        files |= {i: Path(pattern.replace("{band}", band).replace("{id}", i)) for i in missing}
    lost = {HIDDEN: sum(p.is_file() for p in hidden)}
    if lost[HIDDEN]:
        logging.warning("%s: left out %d %s", pattern, lost[HIDDEN], HIDDEN)
    return {i: [files[i] for files in found] for i in ids}, {k: n for k, n in lost.items() if n}


class FitsImages:
    """Stamps in FITS files, opened one at a time."""

    def __init__(
        self,
        files: dict[str, list[Path]],
        bands: tuple[str, ...],
        hdus: int | tuple[int | str, ...],
        zero_points: tuple[float, ...] | None,
        *,
        max_pixels: int = MAX_PIXELS,
        max_bytes: int = MAX_BYTES,
    ):
        self.files, self.bands, self.hdus = files, bands, hdus
        self.max_pixels, self.max_bytes = max_pixels, max_bytes
        self.unit: str | None = None  # BUNIT has to mean this, where it is known
        self.pixel_scale: float | None = None  # cards of the WCS have to say this, likewise
        self.ids = np.array(list(files))
        self.scale: np.ndarray | None = None
        if isinstance(hdus, tuple) and len(hdus) != len(bands):
            raise UserError(f"data.hdus names {len(hdus)} HDUs for {len(bands)} bands")
        if zero_points is not None:
            if len(zero_points) != len(bands):
                raise UserError(f"data.zero_points has {len(zero_points)} values, not {len(bands)}")
            self.scale = units.to_microjansky(zero_points)

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, rows: np.ndarray) -> None:
        """Leaves out all other stamps."""
        self.files = {i: self.files[i] for i in self.ids[rows]}
        self.ids = np.array(list(self.files))

    def __getitem__(self, index: int) -> Shaped[np.ndarray, "h w c"]:
        planes, cards = self.planes(index)
        for header in cards:
            self._check(header, index)
        for band, plane, header in zip(self.bands[1:], planes[1:], cards[1:], strict=False):
            if plane.shape != planes[0].shape:
                raise UserError(
                    f"{self.where(index)}: band {band} has {plane.shape} pixels, band "
                    f"{self.bands[0]} has {planes[0].shape}"
                )
            if not headers.same_wcs(cards[0], header, plane.shape):
                raise UserError(
                    f"{self.where(index)}: bands {self.bands[0]} and {band} have different WCS; "
                    "bring them to one pixel grid first"
                )
        image = np.stack(planes, -1)
        image = image.astype(image.dtype.newbyteorder("="))
        return image if self.scale is None else image.astype(np.float32) * self.scale

    def _check(self, header: Any, index: int) -> None:
        """Raises `UserError` if one file says something else than most."""
        said = str(header.get("BUNIT", "")).strip()
        if self.unit is not None and said and units.canonical(said) != self.unit:
            raise UserError(f"{self.where(index)} has BUNIT {said!r}, others {self.unit}")
        usual = self.pixel_scale
        scale = None if usual is None else headers.quick_scale(header)
        if usual is not None and scale is not None and abs(scale - usual) > 0.02 * usual:
            raise UserError(
                f"{self.where(index)} has pixels of {scale:.4g} arcsec, others of {usual:.4g}"
            )

    def planes(self, index: int) -> tuple[list[np.ndarray], list[Any]]:
        """Returns one array [h w] and one header per band."""
        planes: list[np.ndarray] = []
        cards: list[Any] = []
        for data, header, _ in self._parts(index, pixels=True):
            found = [data] if data.ndim == 2 else self._bands_of(data, header, index)
            planes += found
            cards += [header] * len(found)
        return planes, cards

    def _bands_of(self, cube: np.ndarray, header: Any, index: int) -> list[np.ndarray]:
        """Returns the planes of a cube that are wanted, by name where its header has the names."""
        names = headers.band_names(header, len(cube))
        wanted = stated.band_positions({"bands": names}, self.bands, self.where(index))
        return list(cube if wanted is None else cube[wanted])

    def headers(self, index: int) -> tuple[list[Any], tuple[int, int]]:
        """Returns the header of each HDU that is read, and height and width of the first."""
        parts = self._parts(index, pixels=False)
        height, width = parts[0][2][-2:]
        return [header for _, header, _ in parts], (height, width)

    def _parts(self, index: int, *, pixels: bool) -> list[tuple[Any, Any, tuple[int, ...]]]:
        """Returns (pixels or None, header, shape) of each HDU that is read."""
        files = self.files[str(self.ids[index])]
        hdus = self.hdus if isinstance(self.hdus, tuple) else (self.hdus,) * len(files)
        return [
            self._part(files[number % len(files)], hdu, pixels) for number, hdu in enumerate(hdus)
        ]

    def _part(
        self, file: Path, hdu: int | str, pixels: bool
    ) -> tuple[np.ndarray | None, Any, tuple[int, ...]]:
        from astropy.io import fits

        try:
            if os.path.getsize(file) > self.max_bytes:
                raise pictures.Unreadable(
                    f"{file} has {os.path.getsize(file)} bytes, more than data.max_bytes"
                )
            # Without a memory map: gzip has none, and an open map costs a file handle.
            with fits.open(file, memmap=False) as opened:
                found = _hdu(opened, hdu, file)
                shape = tuple(found.shape) if found.is_image else ()
                if len(shape) not in (2, 3):
                    raise UserError(f"{file}: HDU {hdu!r} holds no image: set data.hdus")
                # The header says how much would be allocated.
                pictures.check_size(shape[-2:], str(file), self.max_pixels)
                if len(shape) == 3 and shape[0] > len(self.bands) and shape[0] > 64:
                    raise pictures.Unreadable(f"{file}: HDU {hdu!r} has {shape[0]} planes")
                return found.data if pixels else None, found.header, shape
        except UserError:
            raise
        except Exception as error:  # whatever a damaged file makes astropy raise
            raise pictures.Unreadable(f"{file} cannot be read ({error}){images.SKIP}") from None

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
        found = []
        for index in range(len(self)) if rows is None else rows.tolist():
            cards, (height, width) = self.headers(index)
            wcs = headers.celestial(cards[0])
            if wcs is None:
                raise UserError(f"{self.where(index)} has no WCS, so no position")
            found.append(wcs.wcs_pix2world([[(width - 1) / 2, (height - 1) / 2]], 0)[0])
        return np.array(found)


def _hdu(opened: Any, hdu: int | str, file: Path) -> Any:
    """Returns one HDU.

    Raises:
        UserError: The file has no such HDU; a damaged one raises something else.
    """
    try:
        return opened[hdu]
    except (KeyError, IndexError):
        there = [h.name for h in opened]
        if isinstance(hdu, int) and hdu < len(there):
            raise
        raise UserError(f"{file} has no HDU {hdu!r}: set data.hdus") from None
