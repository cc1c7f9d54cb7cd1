# SPDX-License-Identifier: Apache-2.0
"""The hashes on a bundle's card, by which damage to any of its files is noticed."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from astrojax.errors import UserError

_CARD = "card.json"


def of_file(path: Path) -> str:
    """Returns the SHA-256 of a file, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(card: dict[str, Any]) -> dict[str, Any]:
    """Returns a card with a hash of its own entries among those of the files."""
    hashes = {k: v for k, v in card["sha256"].items() if k != _CARD}
    text = json.dumps(card | {"sha256": hashes}, sort_keys=True)
    hashes[_CARD] = hashlib.sha256(text.encode()).hexdigest()
    return card | {"sha256": hashes}


def check(folder: Path, card: dict[str, Any], names: Sequence[str]) -> None:
    """Compares a bundle's card and files with the hashes on the card.

    Args:
        folder: The bundle.
        card: Its card.
        names: The files.

    Raises:
        UserError: The card is not as it was written, or not that of one of the files.
    """
    hashes = card.get("sha256")
    if not isinstance(hashes, dict) or sealed(card) != card:
        raise UserError(
            f"{folder}: {_CARD} is not as it was written (SHA-256): the bundle is damaged or was "
            "changed; copy it again, or export it again"
        )
    for name in names:
        if of_file(folder / name) != hashes.get(name):
            raise UserError(
                f"{folder}: {name} is not the file that its card describes (SHA-256): the bundle "
                "is damaged or was changed; copy it again, or export it again"
            )
