# SPDX-License-Identifier: Apache-2.0
r"""Cuts multi-band stamps around catalogue positions from aligned FITS mosaics, as an HDF5 file.

    astrojax stamps --image g=g.fits --image r=r.fits --zero-points 0,0 \
        --catalogue cat.fits --x X --y Y --size 64 --out stamps.h5

The stamps are in microjansky; the config section that reads them is printed.
"""

import argparse
from collections.abc import Sequence

from astrojax.cli import options
from astrojax.errors import UserError


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command; see the module's docstring."""
    made = options.parser("stamps", __doc__)
    add = made.add_argument
    add("--image", action="append", required=True, help="BAND=FILE.fits, once per band, in order")
    add("--zero-points", required=True, help="AB zero point of each band, with commas")
    add(
        "--catalogue",
        required=True,
        help="FITS, VOTable, Parquet, HDF5, NPZ, CSV or ASCII",
    )
    add("--x", default="x", help="column of the 0-based pixel column (default x)")
    add("--y", default="y", help="column of the 0-based pixel row (default y)")
    add("--ra", help="column of right ascensions in degrees, in place of --x and --y")
    add("--dec", help="column of declinations in degrees")
    add(
        "--flux",
        help="flux column [n k] with `bands` beside it, or names with commas, in the "
        "mosaics' units",
    )
    add("--id", help="column of the ids (default: `id` if there is one, else the row's number)")
    add("--hdu", help="which table of a catalogue file with several: index, name or path")
    add("--columns", default="", help="other columns to copy, with commas")
    add("--size", type=int, required=True, help="side of the stamps in pixels")
    add("--dtype", choices=("float32", "float16"), default="float32")
    add("--out", required=True, help="HDF5 file to write")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    options.run(_stamps, parser(), "stamps", arguments)


def _stamps(given: argparse.Namespace, command: str) -> None:
    from astrojax.data import mosaic

    mosaics = _bands(given.image)
    zero_points = [float(z) for z in given.zero_points.split(",")]
    if len(zero_points) != len(mosaics):
        raise UserError(f"{len(zero_points)} zero points for {len(mosaics)} bands")
    if (given.ra is None) != (given.dec is None):
        raise UserError("--ra and --dec go together: name both columns")
    extra = [name for name in given.columns.split(",") if name]
    columns = mosaic.read_columns(
        given.catalogue,
        tuple(mosaics),
        x=given.x,
        y=given.y,
        sky=None if given.ra is None else (given.ra, given.dec),
        flux=given.flux,
        extra=extra,
        id=given.id,
        hdu=given.hdu,
    )
    result = mosaic.cut(
        mosaics, zero_points, columns, given.out, size=given.size, dtype=given.dtype
    )
    print(
        f"{result['written']} stamps in {given.out}; {result['at_edge']} objects too near the "
        f"edge, {result['not_finite']} NaN or Inf pixels\n"
        f"data.info: bands={tuple(mosaics)}, unit='microjansky', noise={result['noise']}, "
        f"pixel_scale={result['pixel_scale']}"
    )


def _bands(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for band, equals, file in pairs:
        if not (band and equals and file):
            raise UserError(f"--image {band + equals + file} is not BAND=FILE.fits")
    return {band: file for band, _, file in pairs}
