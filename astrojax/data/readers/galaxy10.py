# SPDX-License-Identifier: Apache-2.0
"""Galaxy10 (Leung and Bovy): `Galaxy10_DECals.h5`, or the older `Galaxy10.h5` from SDSS.

Datasets `images` [n h w 3] uint8 and `ans` [n]; the DECaLS file also has `ra`, `dec`, `redshift`
and `pxscale` (arcsec per pixel). Colors are composites of the z, r and g bands, in this order.
Split the DECaLS file by the sky, so that no galaxy is on both sides.
"""

from astrojax.data import images, validate
from astrojax.data.classes import encode_labels
from astrojax.data.columns import standardise
from astrojax.data.readers.hdf5 import open_images
from astrojax.data.source import Source

DECALS = (
    "disturbed",
    "merging",
    "round smooth",
    "in-between round smooth",
    "cigar-shaped smooth",
    "barred spiral",
    "unbarred tight spiral",
    "unbarred loose spiral",
    "edge-on without bulge",
    "edge-on with bulge",
)
SDSS = (
    "disk, face-on, no spiral",
    "smooth, completely round",
    "smooth, in-between round",
    "smooth, cigar-shaped",
    "disk, edge-on, rounded bulge",
    "disk, edge-on, boxy bulge",
    "disk, edge-on, no bulge",
    "disk, face-on, tight spiral",
    "disk, face-on, medium spiral",
    "disk, face-on, loose spiral",
)
COLUMNS = {
    "image": "images",
    "label": "ans",
    "ra": "ra",
    "dec": "dec",
    "redshift": "redshift",
    "pxscale": "pxscale",
}
INFO = {
    "bands": ("z", "r", "g"),
    "pixel_scale": None,  # differs from galaxy to galaxy: the column pxscale
    "unit": "display",
    "zero_point": None,
    "noise": None,
    "extinction": None,
}
SDSS_SIDE = 69


def load(
    *, path: str, crop: int | None = None, resize: int | None = None, split: dict | None = None
) -> dict[str, Source]:
    """Opens a Galaxy10 file.

    Args:
        path: The HDF5 file.
        crop: Side of the central square to cut from the 256 px (SDSS: 69 px) images, or None.
        resize: Side to resample to after the cut, or None.
        split: See `astrojax.data.split.apply`.

    Raises:
        UserError: A missing file or dataset, labels outside 0 to 9, or a crop that is too large.
    """

    def open_one(one: str, _split: str) -> images.StoredSource:
        file = validate.file(one)
        stamps, found = open_images(file, COLUMNS, "nhwc", ("ra", "dec", "redshift", "pxscale"))
        names = SDSS if stamps[0].shape[0] == SDSS_SIDE else DECALS
        clean = standardise(found, sentinels={}, where=file.name)
        clean["label"], classes, _ = encode_labels(
            clean["label"], names=names, classes=None, others="error", where=file.name
        )
        return images.open_source(
            stamps, clean, info=INFO, where=file.name, classes=classes, crop=crop, resize=resize
        )

    return images.split_paths(open_one, path, split)
