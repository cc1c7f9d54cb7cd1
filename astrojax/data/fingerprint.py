# SPDX-License-Identifier: Apache-2.0
"""What a run's data were: kept with the run, and compared when it goes on."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from astrojax.data.source import Source, has_column, read_example
from astrojax.data.split import split_hash
from astrojax.errors import UserError

_SAMPLE = 8  # images of each split whose pixels are hashed


def of(sources: Mapping[str, Source]) -> dict[str, Any]:
    """Returns the fingerprint of sources, as plain JSON.

    For every split: the number of examples, a hash of the ids in their order, a hash of the pixels
    of a few examples, and what was left out of the files, by reason. `split_hash` names the
    division into splits, whatever the order.
    """
    splits = {name: _of_split(source) for name, source in sources.items()}
    named = all(has_column(source, "id") for source in sources.values())
    return {"split_hash": split_hash(sources) if named else None, "splits": splits}


def _of_split(source: Source) -> dict[str, Any]:
    size = len(source)
    rows = np.unique(np.linspace(0, size - 1, _SAMPLE).astype(int)).tolist() if size else []
    pixels = hashlib.sha256()
    for row in rows:
        example = read_example(source, row)
        pixels.update(np.ascontiguousarray(example.get("image", 0)).tobytes())
    ids = np.asarray(source.column("id")) if has_column(source, "id") else np.arange(size)
    text = "\n".join(map(str, ids.tolist())) if ids.dtype == object else ids.tobytes()
    data = text.encode() if isinstance(text, str) else text
    return {
        "examples": size,
        "ids": hashlib.sha256(data).hexdigest()[:16],
        "pixels": pixels.hexdigest()[:16],
        "left_out": dict(source.info.left_out),
    }


def check(path: Path, data: Mapping[str, Any]) -> None:
    """Raises `UserError` if a run began on other data than these; says what changed.

    Args:
        path: The fingerprint that the run began with; nothing is compared if it was removed.
        data: The fingerprint of the data as they are.
    """
    if not path.is_file():
        return
    before, now = json.loads(path.read_text(encoding="utf-8"))["splits"], data["splits"]
    for name in {**before, **now}:
        old, new = before.get(name, {}), now.get(name, {})
        for key, text in (("examples", "number"), ("ids", "ids"), ("pixels", "pixels")):
            if old.get(key) != new.get(key):
                raise UserError(
                    f"the data of {path.parent} have changed since it began: the {text} of the "
                    f"{name} examples is another ({old.get(key)} then, {new.get(key)} now); give "
                    f"another --workdir, or remove {path} to go on with the data as they are"
                )
