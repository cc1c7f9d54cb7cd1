# SPDX-License-Identifier: Apache-2.0
"""Rows of Arrow columns as NumPy arrays that share their memory."""

from typing import Any

import numpy as np


class ArrowRows:
    """Rows of an Arrow column as NumPy arrays that share its memory.

    A row is the numbers of a list, however deeply it is nested, or the bytes of an encoded picture
    (uint8), alone or in a {bytes, path} record.
    """

    def __init__(self, column: Any):
        self.nbytes = column.nbytes
        self.chunks = [_Chunk(chunk) for chunk in column.chunks if len(chunk)]
        self.starts = np.cumsum([0, *(len(chunk.valid) for chunk in self.chunks)])

    def get(self, row: int) -> np.ndarray | None:
        """Returns one row, or None if it is null."""
        place = int(np.searchsorted(self.starts, row, side="right")) - 1
        chunk, inner = self.chunks[place], row - int(self.starts[place])
        if not chunk.valid[inner]:
            return None
        return chunk.values[chunk.edges[inner] : chunk.edges[inner + 1]]


class _Chunk:
    """One contiguous Arrow array: its values in a row, and where each of its rows begins."""

    def __init__(self, array: Any):
        import pyarrow as pa

        array = getattr(array, "storage", array)  # of an extension type, such as a tensor
        if isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        self.valid = array.is_valid().to_numpy(zero_copy_only=False)
        if isinstance(array, pa.StructArray):
            array = array.field("bytes" if array.type.get_field_index("bytes") >= 0 else 0)
        if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
            array = array.cast(pa.binary())
        if isinstance(array, pa.BinaryArray | pa.LargeBinaryArray):
            wide = isinstance(array, pa.LargeBinaryArray)
            _, offsets, data = array.buffers()
            edges = np.frombuffer(offsets, np.int64 if wide else np.int32)
            self.edges = edges[array.offset : array.offset + len(array) + 1]
            self.values = np.frombuffer(data or b"", np.uint8)
            return
        edges = np.arange(len(array) + 1)
        while hasattr(array, "values") and array.type.num_fields:
            if pa.types.is_fixed_size_list(array.type):
                edges = (edges + array.offset) * array.type.list_size
            else:
                edges = array.offsets.to_numpy()[edges]
            array = array.values
        self.edges, self.values = edges, array.to_numpy(zero_copy_only=False)
