# SPDX-License-Identifier: Apache-2.0
"""The files of a folder that are data, and how many others there are, by reason."""

import collections
import os
from collections.abc import Sequence
from pathlib import Path

HIDDEN = "hidden files and folders"
CLOSED = "folders that may not be opened"
LINKS = "links to folders that are read already"
_ARCHIVED = "__MACOSX"  # what macOS adds to its zip archives


class Listing:
    """The files below a folder; links to folders are followed, once.

    Attributes:
        files: Paths of the files with one of the suffixes, sorted.
        folders: All visible folders in the folder itself, by name.
        left_out: {reason: paths} of all others.
    """

    def __init__(self, folder: Path, suffixes: Sequence[str]):
        self.folder, self.left_out = folder, collections.defaultdict(list)
        self.folders: list[str] = []
        found: list[Path] = []
        self._visited = {os.path.realpath(folder)}
        waiting = [folder]
        links: list[Path] = []
        while waiting or links:
            # Links come last, so that a folder that is here itself has its own name.
            here = waiting.pop() if waiting else links.pop()
            if here != folder and not self._first(here):
                continue
            try:
                entries = sorted(os.scandir(here), key=lambda e: e.name)
            except PermissionError:
                self.left_out[CLOSED].append(here)
                continue
            for entry in entries:
                path = Path(entry.path)
                if is_hidden(entry.name):
                    self.left_out[HIDDEN].append(path)
                elif entry.is_dir():
                    if here == folder:
                        self.folders.append(entry.name)
                    (links if entry.is_symlink() else waiting).append(path)
                elif entry.name.lower().endswith(tuple(suffixes)):
                    found.append(path)
                else:
                    self.left_out[f"files ending in {path.suffix or 'nothing'}"].append(path)
        self.files = sorted(found)

    def counts(self) -> dict[str, int]:
        """Returns {reason: count} of what was left out."""
        return {reason: len(paths) for reason, paths in self.left_out.items() if paths}

    def _first(self, folder: Path) -> bool:
        real = os.path.realpath(folder)
        if real in self._visited:
            self.left_out[LINKS].append(folder)
            return False
        self._visited.add(real)
        return True


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder is hidden, as `.ipynb_checkpoints` and `._x.png` are."""
    return name.startswith(".") or name == _ARCHIVED
