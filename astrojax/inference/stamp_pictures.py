# SPDX-License-Identifier: Apache-2.0
"""Pictures of objects by id, all with one display scaling, so that bright stays brighter."""

import io
import threading

import numpy as np
from jaxtyping import Float, Shaped

from astrojax.errors import UserError
from astrojax.evaluate import plots
from astrojax.inference.inputs import Opened

_REFERENCE = 128  # stamps that set the display scaling of all


class Pictures:
    """The images of a data set, for the eye.

    Args:
        opened: The data set.

    Raises:
        UserError: Not one of its images can be read.
    """

    def __init__(self, opened: Opened):
        self.source = opened.source
        try:
            ids = np.asarray(self.source.column("id"))
        except KeyError:
            ids = np.arange(len(self.source))
        # As text: a table in FITS or CSV may have whole numbers as another type.
        self._place = {str(key): row for row, key in enumerate(ids.tolist())}
        self._lock = threading.Lock()  # HDF5 files and many archives are read by one thread
        rows = np.unique(np.linspace(0, len(self.source) - 1, _REFERENCE).astype(int))
        read = [self._stamp(int(row)) for row in rows]
        whole = [stamp for stamp in read if stamp is not None]
        whole = [stamp for stamp in whole if stamp.shape == whole[0].shape]
        if not whole:
            raise UserError(f"{opened.text}: not one of {len(rows)} images can be read")
        self._reference = np.stack(whole)

    def rgb(self, ids: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, "n h w 3"]:
        """Returns pictures of objects, the first row on top; black where one cannot be read.

        Raises:
            UserError: The data set has no such object.
        """
        stamps = np.zeros((len(ids), *self._reference.shape[1:]), np.float32)
        for i, key in enumerate(ids):
            if str(key) not in self._place:
                raise UserError(
                    f"object {str(key)!r} of the table is not in the data set: the table was made "
                    "from other data; embed again"
                )
            stamp = self._stamp(self._place[str(key)])
            if stamp is not None and stamp.shape == stamps.shape[1:]:
                stamps[i] = stamp
        info = self.source.info
        return plots.rgb(stamps, info.bands, info.unit, reference=self._reference)

    def png(self, key: str) -> bytes:
        """Returns the picture of an object as a PNG; see `rgb`."""
        from PIL import Image

        (picture,) = self.rgb(np.array([key]))
        buffer = io.BytesIO()
        Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    def _stamp(self, row: int) -> np.ndarray | None:
        with self._lock:
            try:
                image = np.asarray(self.source[row]["image"])
            except (UserError, OSError):  # a damaged file, which the table flags
                return None
        # 8-bit composites keep their range, which the display needs to know.
        return image.astype(np.float32) / (255.0 if image.dtype == np.uint8 else 1.0)
