# SPDX-License-Identifier: Apache-2.0
"""Which objects a model was trained, validated and tested on, as hashes of their ids.

A bundle keeps 8 bytes for each object, so that a table can say of every object whether the model
has seen it: what is predicted of a training object says nothing of how well others are predicted.

Ids that only count the rows of a file are those of any other file too. Of such data the bundle
keeps hashes of a few images beside the ids; where those differ, the data are other ones.
"""

import hashlib
import logging
from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped

from astrojax.data.source import Source, has_column
from astrojax.data.split import NAMES

_PROBES = 16  # images of each split of data whose ids are row numbers
_PROBE_IDS, _PROBE_HASHES = "probe_ids", "probe_hashes"


def of(sources: Mapping[str, Source]) -> dict[str, np.ndarray]:
    """Returns {split: sorted hashes of ids}, and what tells data of row numbers apart.

    Args:
        sources: The splits that a model was trained with; those without ids have no entry.
    """
    named = {k: np.asarray(s.column("id")) for k, s in sources.items() if has_column(s, "id")}
    found = {split: np.sort(_hashes(ids)) for split, ids in named.items()}
    if named and _counted(np.concatenate(list(named.values()))):
        probed = {k: np.linspace(0, len(v) - 1, _PROBES).astype(int) for k, v in named.items()}
        both = [(named[k][rows], _pixels(sources[k], rows)) for k, rows in probed.items()]
        found[_PROBE_IDS] = np.concatenate([ids for ids, _ in both]).astype(np.int64)
        found[_PROBE_HASHES] = np.concatenate([hashes for _, hashes in both])
    return found


def split_column(
    known: Mapping[str, np.ndarray], source: Source
) -> Shaped[np.ndarray, " n"] | None:
    """Returns "train", "validation", "test", or "" of an object that the model never saw.

    Args:
        known: What `of` returned for the data that the model was trained with; {} if unknown.
        source: The objects.

    Returns:
        One word for each object; None where nothing is known of the model's objects, or nothing
        of these.
    """
    if not known or not has_column(source, "id"):
        return None
    ids = np.asarray(source.column("id"))
    found = np.full(len(ids), "", dtype="U10")
    if _PROBE_IDS in known and not _same_objects(known, source, ids):
        logging.info("the ids of the training data are row numbers, and these are other images")
        return found
    hashes = _hashes(ids)
    for split in NAMES:
        if split in known:
            found[np.isin(hashes, known[split])] = split
    return found


def _same_objects(known: Mapping[str, np.ndarray], source: Source, ids: np.ndarray) -> bool:
    """Returns whether some of the images that the bundle knows are here, and all the same."""
    place = {str(key): row for row, key in enumerate(ids.tolist())}
    pairs = zip(known[_PROBE_IDS].tolist(), known[_PROBE_HASHES], strict=True)
    rows, hashes = [], []
    for key, value in pairs:
        if str(key) in place:
            rows.append(place[str(key)])
            hashes.append(value)
    try:
        return bool(rows) and bool((_pixels(source, np.array(rows)) == hashes).all())
    except Exception:  # whatever reading an image raises, which is flagged later
        return False


def _counted(ids: np.ndarray) -> bool:
    """Returns whether ids are 0, 1, 2, ... in some order."""
    return ids.dtype.kind in "iu" and bool((np.sort(ids) == np.arange(len(ids))).all())


def _pixels(source: Source, rows: np.ndarray) -> Shaped[np.ndarray, " k"]:
    images = [np.ascontiguousarray(source[int(row)]["image"]) for row in rows]
    return np.array([_number(image.tobytes()) for image in images], np.uint64)


def _hashes(ids: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    return np.array([_number(str(key).encode()) for key in ids.tolist()], np.uint64)


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
