# SPDX-License-Identifier: Apache-2.0
"""A catalogue joined to cutouts, by id or by position on the sky.

The table is FITS, VOTable, Parquet, HDF5, ECSV, CSV or ASCII (a commented or a SExtractor header,
as S-PLUS and many others write; `astrojax.data.text_tables`). The cutouts are any other source of
this package. What does not match is counted and written to a file.
"""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from astrojax.data import validate
from astrojax.data.classes import encode_labels
from astrojax.data.columns import read, standardise
from astrojax.data.images import StoredSource
from astrojax.data.keys import Classes, Columns, Others, PositionUnit, Select, Sentinels
from astrojax.data.native import missing_values
from astrojax.data.sky import nearest
from astrojax.data.source import Source, Subset
from astrojax.data.split import apply
from astrojax.data.tables import TableFile, read_table, selected
from astrojax.errors import UserError
from astrojax.files import write_csv

_TRIED, _NEAR_ARCSEC = 16, 60.0  # cutouts tried for the unit of positions; distance that agrees


def load(
    *,
    table: str,
    cutouts: Source,
    columns: Columns,
    hdu: int | str | None = None,
    match: Literal["id", "sky"] = "id",
    radius_arcsec: float = 1.0,
    position_unit: PositionUnit | None = None,
    unmatched: Literal["error", "drop"] = "error",
    unmatched_file: str | None = None,
    select: Select | None = None,
    classes: Classes | None = None,
    others: Others = "error",
    sentinels: Sentinels | None = None,
    split: dict | None = None,
) -> dict[str, Source]:
    """Joins a catalogue to cutouts.

    Args:
        table: The catalogue file.
        cutouts: The images; in a config their section, {"name": "fits", ...}, without `split`.
        columns: {standard name: column of the table, or a tuple of columns}.
        hdu: Which table of a file with several: index or EXTNAME in FITS, path in HDF5, index or ID
            in a VOTable; None for the first.
        match: "id", or "sky" by the positions of the cutouts' WCS (or their own ra and dec).
        radius_arcsec: Largest distance of a match on the sky.
        position_unit: "degree", "hourangle" (right ascension), or None: what the table's column
            says, else degrees. Where no right ascension is above 24, the cutouts' positions have
            to agree with that; it is an error where they do not, or have none.
        unmatched: What of objects without a cutout, and of cutouts without one: "error", "drop".
        unmatched_file: CSV file for their ids, or None.
        select: {column of the table: (lowest, highest)}; rows outside, or NaN, are left out.
        classes: The classes wanted, in order, as in `astrojax.data.readers.npz`; None: all.
        others: What of objects in other classes: "error", "drop" or "unlabelled".
        sentinels: {standard name: values that mean missing}, e.g. {"magnitude": (-99.0, 99.0)}.
        split: See `astrojax.data.split.apply`.

    Raises:
        UserError: A missing column, duplicate ids, nothing or not everything matched, or any of
            `astrojax.data.validate`.
    """
    file = validate.file(table)
    found = read_table(file, hdu)
    names = {k: v for k, v in columns.items() if k != "image"}
    picked = read(found.column, found.names, names, where=file.name, get_id=found.ids)
    picked, left = _rows(found, picked, select or {}, match)
    unit = position_unit or _position_unit(found, columns, picked, cutouts, match, file.name)
    clean = standardise(picked, sentinels=sentinels or {}, where=file.name, position_unit=unit)
    clean, class_names = _encoded(clean, classes, others, left, file.name)
    rows, partners = _match(clean, cutouts, match, radius_arcsec, file.name)
    left |= _report(clean, cutouts, rows, partners, unmatched, unmatched_file)
    if any(left.values()):
        told = ", ".join(f"{n} {why}" for why, n in left.items() if n)
        logging.info("%s: %s", file.name, told)
    bands = columns.get("magnitude")
    bands = bands if isinstance(bands, tuple) and len(bands) != len(cutouts.info.bands) else None
    joined = JoinedSource(clean, rows, cutouts, partners, class_names, bands)
    joined.info = joined.info.leaving_out(left)
    return apply(joined, split)


class JoinedSource:
    """Columns of a catalogue beside the stamps of another source."""

    def __init__(
        self,
        columns: Mapping[str, np.ndarray],
        rows: np.ndarray,
        stamps: Source,
        partners: np.ndarray,
        classes: tuple[str, ...] | None,
        bands: tuple[str, ...] | None,
    ):
        self.columns = {name: values[rows] for name, values in columns.items()}
        self.stamps = Subset(stamps, partners)
        self.info = dataclasses.replace(
            stamps.info, classes=classes or stamps.info.classes, catalogue_bands=bands
        )

    def __len__(self) -> int:
        return len(self.stamps)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.stamps[index], **{n: v[index] for n, v in self.columns.items()}}

    def column(self, name: str) -> np.ndarray:
        """All values of one entry other than the image, [n ...]; the catalogue's come first."""
        return self.columns[name] if name in self.columns else self.stamps.column(name)


def _rows(
    table: TableFile, columns: Mapping[str, np.ndarray], select: Select, match: str
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Returns the rows to join, and how many are left out for which reason."""
    keep = selected(table, select)
    if not keep.any():
        raise UserError(f"{table.where}: data.select leaves none of {len(table)} rows")
    left = {"rows outside data.select": int(np.sum(~keep))}
    if match == "id" and "id" in columns:
        nameless = keep & missing_values(columns["id"])
        left["rows without an id"] = int(np.sum(nameless))
        keep &= ~nameless
    if not keep.any():
        raise UserError(f"{table.where}: no row has an id in the column that data.columns.id names")
    picked = dict(columns) if keep.all() else {n: v[keep] for n, v in columns.items()}
    return picked, left


def _encoded(
    columns: dict[str, np.ndarray],
    classes: Classes | None,
    others: Others,
    left: dict[str, int],
    where: str,
) -> tuple[dict[str, np.ndarray], tuple[str, ...] | None]:
    """Returns the columns with encoded labels, and the classes; counts in `left` who has others."""
    if "label" not in columns:
        return columns, None
    labels, names, kept = encode_labels(
        columns["label"], names=None, classes=classes, others=others, where=where
    )
    left["rows of other classes (data.others)"] = len(labels) - len(kept)
    whole = {**columns, "label": labels}
    return {name: values[kept] for name, values in whole.items()}, names


def _position_unit(
    table: TableFile,
    names: Mapping[str, Any],
    columns: Mapping[str, np.ndarray],
    stamps: Source,
    match: str,
    where: str,
) -> PositionUnit:
    if "ra" not in columns or "dec" not in columns:
        return "degree"
    said = table.unit(names["ra"]).lower()
    if said in ("h", "hour", "hourangle", "hr"):
        return "hourangle"
    for name in ("ra", "dec"):
        if columns[name].dtype.kind in "USO":
            raise UserError(f"{where}: {name} is text; convert it to decimal degrees")
    ra, dec = (columns[name].astype(float) for name in ("ra", "dec"))
    # A match on the sky shows by itself whether positions are degrees.
    doubtful = not said and match == "id" and bool(np.nanmax(ra, initial=0) <= 24)
    hours = doubtful and not _agree(columns.get("id", np.arange(len(ra))), ra, dec, stamps)
    validate.positions(ra, dec, where, hours=hours)
    return "degree"


def _agree(ids: np.ndarray, ra: np.ndarray, dec: np.ndarray, stamps: Source) -> bool:
    """Whether objects, in degrees, lie on the cutouts of the same id; some of them are tried."""
    rows = {name: i for i, name in enumerate(ids.astype(str))}
    pairs = [(i, rows[str(n)]) for i, n in enumerate(stamps.column("id")) if str(n) in rows]
    if not pairs:
        return False
    tried = np.array(pairs[:: max(1, len(pairs) // _TRIED)])
    try:
        places = _positions(stamps, tried[:, 0])
    except UserError:  # cutouts without positions say nothing
        return False
    objects = tried[:, 1]
    distance = nearest(places[:, 0], places[:, 1], ra[objects], dec[objects])[1]
    return bool(np.median(distance) < _NEAR_ARCSEC)


def _match(
    columns: Mapping[str, np.ndarray], stamps: Source, match: str, radius: float, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows of the catalogue, in order, and the stamp of each."""
    if match == "id":
        validate.key("id", columns, f"data.columns (for {where})")
        there, here = (np.asarray(c).astype(str) for c in (stamps.column("id"), columns["id"]))
        place = dict(zip(there.tolist(), range(len(there)), strict=True))
        partner = np.array([place.get(name, -1) for name in here.tolist()], int)
        if not (partner >= 0).any():
            raise UserError(
                f"no id of {where} (e.g. {columns['id'][0]}) is the id of a cutout "
                f"(e.g. {stamps.column('id')[0]})"
            )
    else:
        for name in ("ra", "dec"):
            validate.key(name, columns, f"data.columns (for {where})")
        partner = _match_sky(columns["ra"], columns["dec"], stamps, radius, where)
    rows = np.flatnonzero(partner >= 0)
    return rows, partner[rows]


def _match_sky(
    ra: np.ndarray, dec: np.ndarray, stamps: Source, radius: float, where: str
) -> np.ndarray:
    places = _positions(stamps)
    index, distance = nearest(places[:, 0], places[:, 1], ra, dec)
    # For each cutout the nearest object; of cutouts that share an object, the nearest one.
    partner = np.full(len(ra), -1)
    for cutout in np.argsort(-distance):
        if distance[cutout] <= radius:
            partner[index[cutout]] = cutout
    if (partner < 0).all():
        _, in_hours = nearest(places[:, 0], places[:, 1], np.mod(ra * 15, 360), dec)
        hours = (in_hours <= radius).any()
        raise UserError(
            f"no object of {where} is within {radius} arcsec of a cutout (nearest "
            f"{distance.min():.3g} arcsec)"
            + (
                '; its right ascensions are hours: set data.position_unit to "hourangle"'
                * bool(hours)
            )
        )
    return partner


def _positions(stamps: Source, rows: np.ndarray | None = None) -> np.ndarray:
    if isinstance(stamps, StoredSource) and hasattr(stamps.images, "positions"):
        return stamps.images.positions(rows)
    try:
        places = np.stack([stamps.column("ra"), stamps.column("dec")], -1)
    except KeyError:
        raise UserError("the cutouts have no positions: match them by id") from None
    return places if rows is None else places[rows]


def _others(size: int, rows: np.ndarray) -> np.ndarray:
    left = np.ones(size, bool)
    left[rows] = False
    return np.flatnonzero(left)


def _report(
    columns: Mapping[str, np.ndarray],
    stamps: Source,
    rows: np.ndarray,
    partners: np.ndarray,
    unmatched: str,
    path: str | None,
) -> dict[str, int]:
    """Counts what has no partner, writes the ids, and stops unless told to go on."""
    size = len(next(iter(columns.values())))
    objects, cutouts = _others(size, rows), _others(len(stamps), partners)
    left = {
        "rows of the catalogue without a cutout": len(objects),
        "cutouts without a row in the catalogue": len(cutouts),
    }
    if not any(left.values()):
        return left
    ids = columns.get("id", np.arange(size))
    text = f"{len(objects)} objects have no cutout, {len(cutouts)} cutouts have no object"
    if path is not None:
        named = [str(ids[i]) for i in objects] + [str(stamps.column("id")[i]) for i in cutouts]
        missing = ["cutout"] * len(objects) + ["object"] * len(cutouts)
        write_csv(Path(path).expanduser(), {"id": named, "missing": missing})
        text += f" (ids in {path})"
    if unmatched == "error":
        raise UserError(f'{text}; data.unmatched = "drop" goes on without them')
    logging.warning("%s: dropped", text)
    return left
