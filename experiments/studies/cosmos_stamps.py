# SPDX-License-Identifier: Apache-2.0
r"""Cuts the source galaxies of `experiments/lensiam.py:paper` from COSMOS (LenSiam, section 2.1).

    python experiments/studies/cosmos_stamps.py real_galaxy_catalog_23.5.fits \
        real_galaxy_catalog_25.2.fits --out cosmos_stamps.npy

Reads catalogues of real galaxies as GalSim distributes them (COSMOS 23.5 and 25.2; Mandelbaum et
al. 2012), whose images lie beside each catalogue, and writes one array [n s s]. As in the paper,
images have at least 50 pixels along each side and a noise (the square root of the catalogue's
NOISE_VARIANCE) of less than 5%, here of the brightest pixel. Smaller images are padded with zeros,
larger ones cut about their middle; what the simulator would refuse is left out.
"""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import run
from jaxtyping import Float

from astrojax import files
from astrojax.data import validate
from astrojax.data.tables import read_table
from astrojax.errors import UserError
from astrojax.simulate.lens import lens_light


def galaxies(catalogue: Path) -> Iterator[tuple[Float[np.ndarray, "h w"], float]]:
    """Each image of a catalogue with the standard deviation of its noise."""
    from astropy.io import fits

    table = read_table(validate.file(str(catalogue)))
    rows = [table.column(name) for name in ("GAL_FILENAME", "GAL_HDU", "NOISE_VARIANCE")]
    names = np.char.strip(rows[0])
    for name in np.unique(names):
        with fits.open(validate.file(str(catalogue.parent / name))) as opened:
            for hdu, variance in zip(rows[1][names == name], rows[2][names == name], strict=True):
                yield np.asarray(opened[int(hdu)].data, np.float32), float(np.sqrt(variance))


def square(image: Float[np.ndarray, "h w"], side: int) -> Float[np.ndarray, "s s"]:
    """The middle of an image, with zeros where it ends."""
    out = np.zeros((side, side), np.float32)
    low = [(n - min(n, side)) // 2 for n in image.shape]
    cut = image[low[0] : low[0] + side, low[1] : low[1] + side]
    top, left = ((side - n) // 2 for n in cut.shape)
    out[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    return out


def fits_simulator(stamp: Float[np.ndarray, "s s"]) -> bool:
    """Whether the simulator takes a stamp as a source."""
    try:
        lens_light.check_stamps(stamp[None], min_size=1, max_offset=0.1)
    except UserError:
        return False
    return True


def main() -> None:
    """Selects, cuts and writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("catalogues", type=Path, nargs="+", help="real_galaxy_catalog_*.fits")
    parser.add_argument(
        "--side", type=int, default=100, help="of a stamp, in pixels of 0.03 arcsec"
    )
    parser.add_argument("--least", type=int, default=50, help="smallest side of an image")
    parser.add_argument("--noise", type=float, default=0.05, help="largest, of the brightest pixel")
    parser.add_argument("--out", type=Path, default=Path("cosmos_stamps.npy"))
    options = parser.parse_args()
    kept, counts = [], dict.fromkeys(("read", "large enough", "without noise", "centred"), 0)
    for catalogue in options.catalogues:
        for image, noise in galaxies(catalogue):
            large = min(image.shape) >= options.least
            clean = large and noise < options.noise * image.max()
            stamp = square(image, options.side)
            good = clean and fits_simulator(stamp)
            for name, so in zip(counts, (True, large, clean, good), strict=True):
                counts[name] += so
            kept += [stamp] if good else []
    logging.info("galaxies %s", ", ".join(f"{name}: {n}" for name, n in counts.items()))
    if not kept:
        raise UserError(
            f"none of {counts['read']} galaxies is left: raise --noise or lower --least"
        )
    with files.atomic_write(options.out) as temporary, open(temporary, "wb") as out:
        np.save(out, np.stack(kept))


if __name__ == "__main__":
    run(main)
