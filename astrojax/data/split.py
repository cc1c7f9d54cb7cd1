# SPDX-License-Identifier: Apache-2.0
"""Who is in train, validation and test: a seeded hash of the id, or of the place on the sky.

Where few objects have a label, `by_label` divides those alone and trains on all the others.

A hash decides for each object alone, so an object stays on its side when others are added,
removed or reordered; fractions are therefore met only within counting noise. `split_hash`
identifies a split, and is printed beside every number measured on it.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from astrojax.config import call
from astrojax.data import validate
from astrojax.data.sky import friends_of_friends
from astrojax.data.source import Source, Subset, has_label
from astrojax.errors import UserError

NAMES = ("train", "validation", "test")
DEFAULT = {"name": "id", "fractions": {"train": 0.8, "validation": 0.1, "test": 0.1}, "seed": 0}
"""What is done with data that come without splits."""
_SAID = {"training": "train", "val": "validation", "valid": "validation", "dev": "validation"}
_BINS = 10  # of a number that a split is stratified by


def by_id(
    ids: Shaped[np.ndarray, " n"], *, fractions: dict[str, float], seed: int
) -> Shaped[np.ndarray, " n"]:
    """Returns split names by the hash of (seed, id).

    Args:
        ids: Identifiers, text or integers.
        fractions: {split name: fraction}; they add up to 1.
        seed: Another seed is another split.

    Raises:
        UserError: The fractions are not a division of 1.
    """
    names, edges = _edges(fractions)
    return names[np.searchsorted(edges, _uniform(ids, seed), side="right")]


def by_sky(
    ra: Float[np.ndarray, " n"],
    dec: Float[np.ndarray, " n"],
    *,
    fractions: dict[str, float],
    seed: int,
    cell: float,
    link: float,
) -> Shaped[np.ndarray, " n"]:
    """Returns split names by the hash of (seed, cell on the sky): neighbours stay on one side.

    Cells are rows of constant declination cut into pieces of nearly equal area. Entries closer
    than `link`, such as one object observed twice, share a side even across a cell's border.

    Args:
        ra: Right ascension in degrees.
        dec: Declination in degrees.
        fractions: {split name: fraction}; they add up to 1. Whole cells move, so a field of a few
            cells meets them poorly.
        seed: Another seed is another split.
        cell: Side of a cell in degrees.
        link: Distance in arcseconds within which two entries are never parted.

    Raises:
        UserError: The fractions are not a division of 1, or positions are not degrees.
    """
    validate.positions(ra, dec, "the sky split", hours=False)
    names, edges = _edges(fractions)
    row = np.floor((dec + 90) / cell).astype(np.int64)
    middle = np.clip((row + 0.5) * cell - 90, -90, 90)
    pieces = np.maximum(np.round(360 * np.cos(np.deg2rad(middle)) / cell), 1).astype(np.int64)
    column = np.floor(np.mod(ra, 360) / 360 * pieces).astype(np.int64) % pieces
    cells, inverse = np.unique(np.stack([row, column], 1), axis=0, return_inverse=True)
    place = _uniform(np.array([f"{a},{b}" for a, b in cells]), seed)[inverse.ravel()]
    group = friends_of_friends(ra, dec, link)
    lowest = np.full(group.max(initial=-1) + 1, np.inf)
    np.minimum.at(lowest, group, place)
    return names[np.searchsorted(edges, lowest[group], side="right")]


def by_label(
    source: Source, *, column: str, fractions: dict[str, float], seed: int
) -> Shaped[np.ndarray, " n"]:
    """Returns split names: labelled objects by the hash of (seed, id), all others in train.

    So fractions are those of the labels, and no object without one is spent on a test that could
    not use it.

    Args:
        source: Objects with an `id`.
        column: What makes an object a labelled one: numbers (NaN is no label) or integer classes
            (negative is no label).
        fractions: {split name: fraction} of the labelled objects, with "train"; they add up to 1.
        seed: Another seed is another split.

    Raises:
        UserError: No such column, no "train", or fractions that are not a division of 1.
    """
    if "train" not in fractions:
        raise UserError("config key 'data.split.fractions' has no 'train' for unlabelled objects")
    validate.require(source, (column,), "config key 'data.split.column'")
    sides = by_id(source.column("id"), fractions=fractions, seed=seed)
    sides[~has_label(source.column(column))] = "train"
    return sides


def by_column(
    values: Shaped[np.ndarray, " n"],
    *,
    column: str,
    validation: tuple[str, ...] = (),
    test: tuple[str, ...] = (),
) -> Shaped[np.ndarray, " n"]:
    """Returns split names by a column of the catalogue: its own splits, or folds.

    Args:
        values: The column: "train", "validation" (or "val", "valid", "dev") and "test"; or folds
            of any name, of which `validation` and `test` say what they are.
        column: Its name, for messages.
        validation: Folds to validate on; with `test`, all other folds are for training.
        test: Folds to test on.

    Raises:
        UserError: A value that is no split, or a fold that does not occur.
    """
    text = np.asarray(values).astype(str)
    if not validation and not test:
        lower = np.char.lower(np.char.strip(text))
        named = np.array([_SAID.get(v, v) for v in lower])
        others = sorted(set(named.tolist()) - set(NAMES))
        if others:
            raise UserError(
                f"column {column!r} holds {', '.join(map(repr, others[:5]))}, not only train, "
                "validation and test; of folds, say which: add --set split.validation=A --set "
                "split.test=B"
            )
        return named
    sides = np.full(len(text), "train", dtype="U10")
    for name, folds in (("validation", validation), ("test", test)):
        for fold in map(str, folds):
            validate.key(fold, sorted(set(text.tolist())), f"data.split.{name}: {column}")
            sides[text == fold] = name
    return sides


def by_stratum(
    ids: Shaped[np.ndarray, " n"],
    values: Shaped[np.ndarray, " n"],
    *,
    column: str,
    fractions: dict[str, float],
    seed: int,
) -> Shaped[np.ndarray, " n"]:
    """Returns split names so that each class, or each range of a number, is divided alike.

    Within a stratum objects are ordered by the hash of (seed, id) and cut at the fractions, so
    that these are met as nearly as whole objects allow. Objects without a value are one stratum.

    Args:
        ids: Identifiers, text or integers.
        values: Classes (text or integers), or numbers, which are put into ten bins of equal count.
        column: Name of the column.
        fractions: {split name: fraction}; they add up to 1.
        seed: Another seed is another split.

    Raises:
        UserError: The fractions are not a division of 1.
    """
    names, edges = _edges(fractions)
    place, strata = _uniform(ids, seed), _strata(np.asarray(values))
    sides = np.empty(len(place), names.dtype)
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        rank = (np.argsort(np.argsort(place[rows], kind="stable")) + 0.5) / len(rows)
        sides[rows] = names[np.searchsorted(edges, rank, side="right")]
    return sides


def _strata(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "f":
        return np.unique(values.astype(str), return_inverse=True)[1]
    known = np.isfinite(values)
    strata = np.full(len(values), -1)
    if known.any():
        edges = np.quantile(values[known], np.linspace(0, 1, _BINS + 1)[1:-1])
        strata[known] = np.searchsorted(edges, values[known], side="right")
    return strata


def complete(section: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a section `split` with its defaults: fractions 0.8, 0.1 and 0.1, seed 0.

    Args:
        section: Its keys; `name` may be "KIND:COLUMN", and folds one value or several.

    Raises:
        UserError: There is no such kind of split.
    """
    kind, _, column = str(section.get("name", "id")).partition(":")
    kind = validate.choice(kind, tuple(_KINDS), "data.split.name")
    usual = {k: v for k, v in DEFAULT.items() if k != "name" and kind != "column"}
    sky = {"cell": 0.25, "link": 1.0} if kind == "sky" else {}
    said = {**section, "name": kind} | ({"column": column} if column else {})
    for name in ("validation", "test"):
        if name in said:
            folds = said[name] if isinstance(said[name], tuple | list) else (said[name],)
            said[name] = tuple(map(str, folds))
    return {**usual, **sky, **said}


def apply(source: Source, section: Mapping[str, Any] | None) -> dict[str, Source]:
    """Divides a source as a config section says, e.g. `{"name": "id", "fractions": {...}, ...}`.

    None makes everything "train". Positions stay in file order within a split.

    Raises:
        UserError: The section is not one of `by_id` ("id"), `by_sky` ("sky"), `by_label`
            ("label"), `by_column` ("column") or `by_stratum` ("stratified"), or the source lacks
            what it goes by.
    """
    if section is None:
        return {"train": source}
    how = validate.choice(section.get("name", ""), tuple(_KINDS), "data.split.name")
    if how == "id":
        sides = call(by_id, section, path="data.split", ids=source.column("id"))
    elif how == "label":
        sides = call(by_label, section, path="data.split", source=source)
    elif how in ("column", "stratified"):
        validate.require(source, (section.get("column", ""),), f"the split '{how}'")
        values = {"values": source.column(section["column"])}
        if how == "stratified":
            values["ids"] = source.column("id")
        sides = call(_KINDS[how], section, path="data.split", **values)
    else:
        validate.require(source, ("ra", "dec"), "the sky split")
        place = {"ra": source.column("ra"), "dec": source.column("dec")}
        sides = call(by_sky, section, path="data.split", **place)
    asked = section.get("fractions", {})
    found = {n: Subset(source, np.flatnonzero(sides == n)) for n in NAMES}
    empty = [n for n, s in found.items() if not len(s) and asked.get(n, n == "train") > 0]
    if empty:
        raise UserError(f"the split leaves {empty[0]} empty: {len(source)} objects, or sky cells")
    return {n: s for n, s in found.items() if len(s)}


_KINDS: dict[str, Callable] = {
    "id": by_id,
    "sky": by_sky,
    "label": by_label,
    "column": by_column,
    "stratified": by_stratum,
}


def split_hash(sources: Mapping[str, Source]) -> str:
    """Returns twelve hex digits that name a split: they change if any object changes sides."""
    digest = hashlib.sha256()
    for name in sorted(sources):
        digest.update(f"{name}:{len(sources[name])};".encode())
        ids = np.sort(np.asarray(sources[name].column("id")).astype(str))
        digest.update("\n".join(ids).encode())
    return digest.hexdigest()[:12]


def _edges(fractions: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    for name in fractions:
        validate.choice(name, NAMES, "data.split.fractions")
    names = [n for n in NAMES if n in fractions]  # a config may give them in any order
    parts = np.array([fractions[n] for n in names], float)
    if not len(parts) or (parts < 0).any() or abs(parts.sum() - 1) > 1e-6:
        raise UserError(f"config key 'data.split.fractions' adds up to {parts.sum():g}, not 1")
    return np.array(names), np.cumsum(parts)[:-1]


def _uniform(values: np.ndarray, seed: int) -> np.ndarray:
    """Returns numbers in [0, 1) that depend on (seed, text of the value) alone, on any machine."""
    key = seed.to_bytes(8, "big", signed=True)
    words = (hashlib.blake2b(str(v).encode(), digest_size=8, key=key).digest() for v in values)
    return np.frombuffer(b"".join(words), ">u8").astype(np.uint64) / 2.0**64
