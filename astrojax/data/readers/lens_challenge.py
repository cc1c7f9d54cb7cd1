# SPDX-License-Identifier: Apache-2.0
"""The Strong Lens Finding Challenge 2.0 (Metcalf et al. 2019, A&A 625, A119) as it is unpacked.

`Public/EUC_{VIS,J,Y,H}/imageEUC_{band}-{ID}.fits`, and a CSV catalogue below comment lines. VIS
has 200 x 200 pixels of 0.1 arcsec, the others 66 x 66 of 0.3 arcsec: they cannot be mixed.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from astrojax.data import images, validate
from astrojax.data import split as division
from astrojax.data.keys import BadPixels, Select
from astrojax.data.readers.fits import FitsImages
from astrojax.data.source import Source
from astrojax.errors import UserError

Band = Literal["VIS", "Y", "J", "H"]
SCALES = {"VIS": 0.1, "Y": 0.3, "J": 0.3, "H": 0.3}  # arcsec per pixel
ARCSEC = 206264.806  # in a radian


def load(
    *,
    path: str,
    catalogue: str,
    bands: tuple[Band, ...],
    factors: tuple[float, ...],
    select: Select | None = None,
    missing: Literal["error", "drop"] = "error",
    crop: int | None = None,
    resize: int | None = None,
    bad_pixels: BadPixels = "error",
    split: dict | None = None,
) -> dict[str, Source]:
    """Opens cutouts with their catalogue.

    Columns are `id`, `theta_E` (arcsec, circularised: 0 where there is no lens), `redshift` (of
    the lens) and every numeric column of the catalogue.

    Args:
        path: The folder that holds EUC_VIS and the others.
        catalogue: The CSV file.
        bands: Of VIS, Y, J, H; VIS alone or any of the others, in the order of the image's axis.
        factors: One per band, which pixels are multiplied by; they are near 1e-10.
        select: {column: (lowest, highest)}, e.g. {"ein_area": (1e-13, 1.0), "n_source_im":
            (1, 99), "mag_eff": (1.6, 1e9), "n_pix_source": (20, 1e9)} for lenses one can see.
        missing: What of catalogued objects without files: "error" or "drop".
        crop: Side of the central square to cut, or None.
        resize: Side to resample it to, linearly and with its surface brightness, or None.
        bad_pixels: "error" or "mask".
        split: See `astrojax.data.split.apply`.

    Raises:
        UserError: A missing folder, column or file, unknown bands, or nothing selected.
    """
    if len({SCALES[band] for band in bands}) != 1 or len(factors) != len(bands):
        raise UserError(
            f"config keys 'data.bands' {bands} and 'data.factors' {factors} have to be of one "
            "length, and VIS cannot be mixed with the others, whose pixels are larger"
        )
    columns = read_catalogue(catalogue, select or {})
    files = _files(validate.file(path), bands, columns["id"], missing)
    kept = np.isin(columns["id"], list(files))
    columns = {name: values[kept] for name, values in columns.items()}
    stored = FitsImages({str(i): files[i] for i in columns["id"]}, bands, 0, None)
    stored.scale = np.asarray(factors, np.float32)
    stamps: images.Images = stored
    pixel_scale = SCALES[bands[0]]
    if resize is not None:
        side = crop or stored[0].shape[0]
        stamps, crop = Resampled(stored, crop, resize), None
        pixel_scale *= side / resize
    info = {"bands": bands, "pixel_scale": pixel_scale, "unit": "arbitrary"}
    info |= {"zero_point": None, "noise": None, "extinction": None}
    source = images.open_source(
        stamps, columns, info=info, where=path, crop=crop, bad_pixels=bad_pixels
    )
    return division.apply(source, split)


class Resampled:
    """Stamps whose central square is resampled to another side, linearly."""

    def __init__(self, stamps: images.Images, crop: int | None, side: int):
        self.stamps, self.crop, self.side = stamps, crop, side

    def __len__(self) -> int:
        return len(self.stamps)

    def __getitem__(self, index: int) -> Float[np.ndarray, "h w c"]:
        from scipy.ndimage import zoom

        stamp = images.central_crop(self.stamps[index], self.crop)
        factors = (self.side / stamp.shape[0], self.side / stamp.shape[1], 1)
        return zoom(stamp, factors, order=1)

    def where(self, index: int) -> str:
        """Returns what to call this stamp in a message."""
        return self.stamps.where(index)


def einstein_radius(area: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Circularised Einstein radius in arcsec of the area within the critical curve, in sr."""
    return ARCSEC * np.sqrt(area / np.pi)


def read_catalogue(path: str, select: Select) -> dict[str, np.ndarray]:
    """Returns the numeric columns of a challenge catalogue, with `id`, `theta_E` and `redshift`.

    Raises:
        UserError: It cannot be read, lacks ID or ein_area or a column of `select`, or nothing is
            selected.
    """
    file = validate.file(path)
    table = _read_csv(file)
    for name in ("ID", "ein_area", *select):
        validate.key(name, table, file.name)
    keep = np.ones(len(table["ID"]), bool)
    for name, (low, high) in select.items():
        keep &= (table[name] >= low) & (table[name] <= high)
    if not keep.any():
        raise UserError(f"{file.name}: config key 'data.select' leaves none of {len(keep)} objects")
    columns = {name: values[keep] for name, values in table.items() if name != "ID"}
    columns["id"] = table["ID"][keep].astype(np.int64)
    columns["theta_E"] = einstein_radius(columns["ein_area"]).astype(np.float32)
    if "z_lens" in columns:
        columns["redshift"] = columns["z_lens"].astype(np.float32)
    return columns


def _read_csv(file: Path) -> dict[str, np.ndarray]:
    from astropy.table import Table

    try:
        table = Table.read(file, format="ascii.csv", comment="#")
    except Exception as error:  # astropy's readers raise many kinds
        raise UserError(f"{file} cannot be read as a table ({error})") from None
    filled = {name: np.ma.filled(_float(table[name]), np.nan) for name in table.colnames}
    # The first column of the challenge's file numbers the rows and has no name.
    return {n: v for n, v in filled.items() if v.dtype.kind in "if" and n not in ("", "col0")}


def _float(column: Any) -> Any:
    return column.astype(float) if np.ma.is_masked(column) else np.asarray(column)


def _files(
    folder: Path, bands: tuple[Band, ...], ids: np.ndarray, missing: str
) -> dict[int, list[Path]]:
    """{id: its file in each band} of the objects that have all of them."""
    there = {}
    for band in bands:
        place = validate.file(folder / f"EUC_{band}")
        there[band] = {p.name for p in place.iterdir()}
    found = {}
    for i in ids.tolist():
        names = {band: f"imageEUC_{band}-{i}.fits" for band in bands}
        if all(names[band] in there[band] for band in bands):
            found[i] = [folder / f"EUC_{band}" / names[band] for band in bands]
        elif missing == "error":
            absent = next(n for band, n in names.items() if n not in there[band])
            raise UserError(
                f"object {i} of the catalogue has no file {absent} in {str(folder)!r}; "
                'data.missing = "drop" leaves such objects out'
            )
    if not found:
        raise UserError(f"none of {len(ids)} objects of the catalogue has files in {str(folder)!r}")
    return found
