# SPDX-License-Identifier: Apache-2.0
"""A trained run as a folder or file to share; on the command line `astrojax export`."""

from pathlib import Path


def export(workdir: str | Path, folder: str | Path) -> Path:
    """Writes the bundle of a run's best or newest checkpoint; see `astrojax.bundle`.

    Args:
        workdir: The run.
        folder: Where the bundle goes; it must not exist yet.

    Raises:
        UserError: There is no trained run, or the folder exists.
    """
    from astrojax.inference import bundle  # on demand: importing astrojax imports nothing heavy

    return bundle.export(workdir, folder)
