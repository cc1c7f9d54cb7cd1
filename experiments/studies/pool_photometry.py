# SPDX-License-Identifier: Apache-2.0
"""Measures magnitudes on unlabelled composites, for `experiments/magnitudes.py:pool`.

    python experiments/studies/pool_photometry.py galaxy_pool.npz pool.npz

Reads an NPZ archive of pictures (`blob`, `offsets`, `ids`) and writes the same pictures with
`magnitude` and `magnitude_error` [n 3] of the central object: SEP's elliptical Kron photometry
(Bertin & Arnouts 1996; Barbary 2016) on each channel, with the object found on the channels' sum
and the errors from the scatter of the sky. Counts are 8-bit, so the zero point, 25, is arbitrary;
a composite's stretch makes these magnitudes monotonic in the true ones, not equal to them. What
has no object in its centre, or no flux in a channel, is NaN there.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
from common import run
from jaxtyping import Float, Shaped

from astrojax.data.readers.npz import EncodedImages

ZERO_POINT = 25.0


def photometry(
    image: Shaped[np.ndarray, "h w c"],
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Magnitudes and their errors of the object nearest to the centre, one per channel."""
    import sep

    channels = np.moveaxis(np.ascontiguousarray(image, np.float32), -1, 0).copy()
    missing = np.full(len(channels), np.nan, np.float32)
    for channel in channels:
        channel -= np.median(np.concatenate([channel[:4].ravel(), channel[-4:].ravel()]))
    # JPEG leaves flat skies; half a grey level is the least that rounding adds.
    noise = [max(1.4826 * np.median(np.abs(c - np.median(c))), 0.5) for c in channels]
    total = channels.sum(0)
    objects = sep.extract(total, 3.0, err=float(np.hypot.reduce(noise)), minarea=9)
    if not len(objects):
        return missing, missing
    middle = (np.array(image.shape[:2]) - 1) / 2
    distance = np.hypot(objects["y"] - middle[0], objects["x"] - middle[1])
    found = objects[[np.argmin(distance)]]
    if distance.min() > 0.2 * image.shape[0]:
        return missing, missing
    place = [found[name] for name in ("x", "y", "a", "b", "theta")]
    radius, _ = sep.kron_radius(total, *place, 6.0)
    size = 2.5 * np.clip(radius, 1.4, 6.0)
    flux, error = np.empty_like(missing), np.empty_like(missing)
    for i, channel in enumerate(channels):
        measured = sep.sum_ellipse(channel, *place, size, err=noise[i], subpix=1)
        flux[i], error[i] = measured[0][0], measured[1][0]
    good = flux > 0
    flux = np.where(good, flux, 1)
    magnitude = ZERO_POINT - 2.5 * np.log10(flux)
    return np.where(good, magnitude, np.nan), np.where(good, 1.0857 * error / flux, np.nan)


def main() -> None:
    """Reads, measures, writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    with np.load(arguments.pictures) as archive:
        arrays = {name: archive[name] for name in ("blob", "offsets", "ids")}
    pictures = EncodedImages(arrays["blob"], arrays["offsets"], 3, arguments.pictures.name)
    measured = [photometry(pictures[i]) for i in range(len(pictures))]
    pairs = zip(*measured, strict=True)
    magnitude, error = (np.stack(values).astype(np.float32) for values in pairs)
    np.savez(arguments.out, **arrays, magnitude=magnitude, magnitude_error=error)
    known = np.isfinite(magnitude).all(1)
    logging.info(
        "%d of %d measured in all channels; medians %s +- %s",
        known.sum(),
        len(known),
        np.median(magnitude[known], 0).round(2),
        np.median(error[known], 0).round(4),
    )


if __name__ == "__main__":
    run(main)
