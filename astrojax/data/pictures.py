# SPDX-License-Identifier: Apache-2.0
"""Encoded pictures (JPEG, PNG, TIFF, WebP, BMP) as arrays: the one place that decodes them.

A picture comes out as its file means it: alpha is composited on black, EXIF's orientation is
applied, palettes and CMYK become color, and 16 bits stay 16 bits. Whatever a damaged or hostile
file makes a library raise is `Unreadable`, and size is checked before pixels are allocated.
"""

import io

import numpy as np
from jaxtyping import Shaped

from astrojax.data.keys import MAX_PIXELS
from astrojax.errors import UserError

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")
_BITS = 258  # TIFF's BitsPerSample
_COLOR = {2: 3, 4: 2, 6: 4}  # PNG's color types, and their channels


class Unreadable(UserError):
    """An object whose image cannot be read: it may be left out or flagged."""


def decode(
    data: bytes, *, bands: int | None, where: str, max_pixels: int = MAX_PIXELS
) -> Shaped[np.ndarray, "h w c"]:
    """Decodes a picture to uint8, uint16 (a picture of 16 bits) or float32 (a TIFF of floats).

    Args:
        data: The file.
        bands: How many bands it has to have; a grey picture that is saved in color has one. None
            for any number.
        where: What to call it in messages.
        max_pixels: Larger pictures are refused before they are decoded.

    Raises:
        Unreadable: It is damaged, no picture, too large, or has another number of bands.
    """
    try:
        image = _sixteen_bits(data, where, max_pixels)
        if image is None:
            image = _decoded(data, where, max_pixels)
    except UserError:
        raise
    except Exception as error:  # whatever a damaged file makes the decoder raise
        raise Unreadable(f"{where}: {error}") from None
    if bands == 1 and (image == image[..., :1]).all():
        image = image[..., :1]  # a single band that was saved as a color file
    if bands is not None and image.shape[-1] != bands:
        kind = "grey" if image.shape[-1] == 1 else f"of {image.shape[-1]} channels"
        raise Unreadable(f"{where} is {kind}, but data.info.bands names {bands} bands")
    return image


def check_size(shape: tuple[int, ...], where: str, max_pixels: int) -> None:
    """Raises `Unreadable` if an image has more pixels than config key `data.max_pixels`."""
    height, width = shape[:2]
    if height * width > max_pixels:
        raise Unreadable(
            f"{where} has {height} x {width} pixels, more than data.max_pixels = {max_pixels}"
        )


def _decoded(data: bytes, where: str, max_pixels: int) -> np.ndarray:
    """Decodes by Pillow."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise Unreadable(f"{where} is no {', '.join(FORMATS)} picture") from None
    check_size(picture.size[::-1], where, max_pixels)
    _check_kind(picture, where)
    picture.load()
    if "exif" in picture.info or "Raw profile type exif" in picture.info:
        picture = ImageOps.exif_transpose(picture)
    return _values(picture)


def _check_kind(picture: object, where: str) -> None:
    """Raises `Unreadable` for files that hold more than one picture or lose bits in Pillow."""
    kind = getattr(picture, "format", "")
    frames = 1 if kind in ("JPEG", "MPO", "BMP") else getattr(picture, "n_frames", 1)
    if frames > 1:
        raise Unreadable(f"{where} holds {frames} pictures: save each in a file of its own")
    if kind == "TIFF":
        bits = picture.tag_v2.get(_BITS, (8,))  # type: ignore[attr-defined]
        if len(np.atleast_1d(bits)) > 1 and max(np.atleast_1d(bits)) > 8:
            raise Unreadable(
                f"{where} is a color TIFF of {max(bits)} bits, of which 8 would be lost: save it "
                "as PNG, NPY or FITS"
            )


def _values(picture: object) -> np.ndarray:
    """Returns the pixels [h w c] of a Pillow image, alpha composited on black."""
    mode, info = picture.mode, picture.info  # type: ignore[attr-defined]
    convert = picture.convert  # type: ignore[attr-defined]
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or ("transparency" in info and mode[0] != "I"):
        grey = mode in ("L", "LA", "La", "1")
        straight = np.asarray(convert("LA" if grey else "RGBA"), np.float32)
        color, alpha = straight[..., :-1], straight[..., -1:]
        return np.rint(color * alpha / 255).astype(np.uint8)
    if mode == "1":
        picture = convert("L")
    elif mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
        picture = convert("RGB")
    image = np.asarray(picture)
    if image.dtype.kind in "ui" and image.dtype.itemsize > 2:
        # Pillow's "I" holds PNG's and TIFF's 16 bits in 32.
        if image.min() < 0 or image.max() > 65535:
            raise ValueError("its pixels are integers of 32 bits, whose white is not known")
        image = image.astype(np.uint16)
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    return image if image.ndim == 3 else image[..., None]


def _sixteen_bits(data: bytes, where: str, max_pixels: int) -> np.ndarray | None:
    """Returns a PNG of 16 bits that has color or alpha, which Pillow cuts to 8; None for others."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33 or data[24] != 16:
        return None
    if data[25] not in _COLOR:  # grey, which Pillow reads whole
        return None
    try:
        import png
    except ImportError:
        raise Unreadable(
            f"{where} is a color PNG of 16 bits, which needs pypng: pip install 'astrojax[png16]'"
        ) from None
    reader = png.Reader(bytes=data)
    reader.preamble()
    check_size((reader.height, reader.width), where, max_pixels)
    width, height, rows, _ = reader.read()
    channels = _COLOR[data[25]]
    image = np.vstack([np.frombuffer(row, np.uint16) for row in rows])
    image = image.reshape(height, width, channels)
    if channels in (2, 4):
        straight = image.astype(np.float64)
        image = np.rint(straight[..., :-1] * straight[..., -1:] / 65535).astype(np.uint16)
    return image
