# SPDX-License-Identifier: Apache-2.0
"""Columns of any library as NumPy arrays: the one place where values of a file become values here.

What comes out has native byte order and the precision of the file. Of missing values floats have
NaN; a column of integers, booleans or text that has any is a `numpy.ma.MaskedArray`, whose data
below the mask are conspicuous: the lowest number of the type, and "" of text.
"""

import contextlib
import logging
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Bool, Shaped

from astrojax.errors import UserError

EXACT = {2: 2**11, 4: 2**24, 8: 2**53}  # whole numbers below are exact in floats of so many bytes


def to_native(values: Any, name: str, where: str = "the data") -> np.ndarray:
    """Returns a column as an array [n] or [n k].

    Bytes are taken as UTF-8, or as Latin-1 where they are not, which is said. Lists of one length
    become [n k]; dates become text as ISO 8601 has it; decimals become integers or float64.

    Args:
        values: Array, masked array, or list; column of astropy, pandas or Arrow.
        name: What to call the column in messages.
        where: What to call the file.

    Raises:
        UserError: The values have no such form: records, complex numbers, ragged lists, a mixture
            of text and numbers.
    """
    package = type(values).__module__.partition(".")[0]
    if package == "pandas":
        values, package = _arrow_of_pandas(values, name, where), "pyarrow"
    if package == "pyarrow":
        return _of_arrow(values, name, where)
    values = getattr(values, "unmasked", values) if not hasattr(values, "mask") else values
    if not isinstance(values, np.ndarray):
        values = values if isinstance(values, list | tuple) else getattr(values, "value", values)
        values = _array(values, name, where)
    missing = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    plain = np.asarray(np.ma.getdata(values))
    if plain.ndim == 0:
        raise UserError(f"{where}: {name} is one value, not one for each object")
    if plain.dtype.kind in "OT":
        return _of_objects(plain.astype(object), missing, name, where)
    return mark_missing(*_of_numpy(plain, missing, name, where))


def mark_missing(
    values: Shaped[np.ndarray, "n *k"], missing: Bool[np.ndarray, "n *k"] | None
) -> np.ndarray:
    """Returns values in which some are missing: NaN of floats, else masked.

    Args:
        values: Numbers, booleans or text.
        missing: Which are missing; None for none.
    """
    if missing is None or not missing.any():
        return values
    kind = values.dtype.kind
    conspicuous: Any = {"f": np.nan, "U": "", "b": False}.get(kind)
    if kind in "iu":
        limits = np.iinfo(values.dtype)
        conspicuous = limits.min if kind == "i" else limits.max
    filled = np.where(missing, np.array(conspicuous, values.dtype), values)
    if kind == "f":
        return filled
    return np.ma.MaskedArray(filled, missing, fill_value=conspicuous)


def missing_values(values: Shaped[np.ndarray, "n *k"]) -> Bool[np.ndarray, "n *k"]:
    """Returns which values are missing: NaN, or masked; "" of text as well."""
    missing = np.ma.getmaskarray(values).copy()
    plain = np.ma.getdata(values)
    if plain.dtype.kind == "f":
        missing |= np.isnan(plain)
    if plain.dtype.kind == "U":
        missing |= plain == ""
    return missing


def to_ids(values: np.ndarray, name: str, where: str) -> np.ndarray:
    """Returns ids [n], text or integers; floats that are whole and exact become integers.

    Raises:
        UserError: They are neither, or floats between which neighbours cannot be told apart.
    """
    if values.ndim != 1 or values.dtype.kind not in "iufU":
        raise UserError(
            f"{where}: {name} has {values.dtype} values of shape {values.shape[1:] or 'one'}; ids "
            "have to be text or integers, one for each object"
        )
    if values.dtype.kind != "f":
        return values
    known = ~np.isnan(values)
    limit = EXACT[values.dtype.itemsize]
    wrong = known & ~((np.abs(values) < limit) & (values == np.floor(values)))
    if wrong.any():
        raise UserError(
            f"{where}: ids in {name} are floating-point numbers, e.g. {values[wrong][0].item()!r}, "
            f"whose whole numbers are exact below {limit} only: store them as text or integers"
        )
    return mark_missing(np.where(known, values, 0).astype(np.int64), ~known)


def to_numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Returns a column as floats: integers become float64, numbers in text are read.

    Raises:
        UserError: It holds text that is no number.
    """
    if values.dtype.kind == "f":
        return values
    missing, plain = missing_values(values), np.ma.getdata(values)
    plain = np.where(missing, "nan", plain) if plain.dtype.kind == "U" else plain
    try:
        numbers = plain.astype(np.float64)
    except ValueError:
        first = next(v for v in plain.ravel().tolist() if not _is_number(v))
        raise UserError(f"column {name!r} holds text such as {first!r}, not numbers") from None
    return mark_missing(numbers, missing)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse(what: str, name: str, where: str) -> NoReturn:
    raise UserError(f"{where}: column {name!r} holds {what}, which no column here can hold")


def _array(values: Any, name: str, where: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError:  # ragged
        array = np.empty(len(values), object)
        array[:] = values
        return array


def _of_numpy(
    plain: np.ndarray, missing: np.ndarray | None, name: str, where: str
) -> tuple[np.ndarray, np.ndarray | None]:
    kind = plain.dtype.kind
    if plain.dtype.names or kind in "cmV":
        what = {"c": "complex numbers", "m": "durations"}.get(kind, "records")
        _refuse(what, name, where)
    if kind == "S":
        return _decoded(plain, name, where), missing
    if kind == "M":
        no_time = np.isnat(plain)
        return np.datetime_as_string(plain), no_time if missing is None else missing | no_time
    if kind == "f" and plain.dtype.itemsize > 8:
        shorter = plain.astype(np.float64)
        if not np.array_equal(shorter, plain, equal_nan=True):
            _refuse("extended floats that float64 would round", name, where)
        plain = shorter
    return plain.astype(plain.dtype.newbyteorder("="), copy=False), missing


def _decoded(plain: np.ndarray, name: str, where: str) -> np.ndarray:
    with contextlib.suppress(UnicodeDecodeError):
        return plain.astype(str)  # ASCII, three times faster
    try:
        return np.char.decode(plain, "utf-8")
    except UnicodeDecodeError:
        logging.warning("%s: %s is not UTF-8; it is read as Latin-1", where, name)
        return np.char.decode(plain, "latin-1")


def _of_objects(plain: np.ndarray, missing: np.ndarray | None, name: str, where: str) -> np.ndarray:
    import pyarrow as pa

    if plain.ndim > 1:  # text or bytes in columns of their own
        flat = None if missing is None else missing.ravel()
        return _of_objects(plain.ravel(), flat, name, where).reshape(plain.shape)
    lost = [False] * len(plain) if missing is None else missing.tolist()
    items = [
        None if gone or item is np.ma.masked else item
        for gone, item in zip(lost, plain.tolist(), strict=True)
    ]
    if any(isinstance(item, bytes) for item in items):
        items = _decode_items(items, name, where)
    try:
        return _of_arrow(pa.array(items, from_pandas=True), name, where)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        pass
    if all(item is None or isinstance(item, int) for item in items):
        try:  # above 2**63
            return _of_arrow(pa.array(items, pa.uint64()), name, where)
        except (pa.ArrowInvalid, OverflowError):
            _refuse("integers beyond 64 bits", name, where)
    kinds = sorted({type(item).__name__ for item in items if item is not None})
    _refuse(f"Python objects of type {', '.join(kinds)}", name, where)


def _decode_items(items: list[Any], name: str, where: str) -> list[Any]:
    encodings = ("utf-8", "latin-1")
    for encoding in encodings:
        try:
            found = [i.decode(encoding) if isinstance(i, bytes) else i for i in items]
        except UnicodeDecodeError:
            logging.warning("%s: %s is not UTF-8; it is read as Latin-1", where, name)
        else:
            break
    return found


def _arrow_of_pandas(values: Any, name: str, where: str) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.chunked_array(
            [_as_arrow(_of_objects(values.to_numpy(object), None, name, where))]
        )


def _as_arrow(values: np.ndarray) -> Any:
    import pyarrow as pa

    return pa.array(np.ma.getdata(values), mask=np.ma.getmaskarray(values))


def _of_arrow(array: Any, name: str, where: str) -> np.ndarray:
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks != 1 else array.chunk(0)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _of_arrow(array.dictionary_decode(), name, where)
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan)
    if pa.types.is_floating(kind):
        return array.to_numpy(zero_copy_only=False)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _with_nulls(array, False if pa.types.is_boolean(kind) else 0)
    if _is_text(kind):
        return _with_nulls(array, "", str)
    if pa.types.is_decimal(kind):
        return _of_decimals(array, name, where)
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        return _of_times(array, name, where)
    if _is_bytes(kind):
        return _of_bytes(array, name, where)
    if hasattr(kind, "value_type") and not pa.types.is_map(kind):
        return _of_lists(array, name, where)
    _refuse(f"values of the type {kind}", name, where)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view"


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests) or str(kind) == "binary_view"


def _with_nulls(array: Any, filler: Any, dtype: Any = None) -> np.ndarray:
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    whole = array.fill_null(filler) if array.null_count else array
    plain = whole.to_numpy(zero_copy_only=False)
    return mark_missing(plain if dtype is None else plain.astype(dtype), missing)


def _of_bytes(array: Any, name: str, where: str) -> np.ndarray:
    import pyarrow as pa

    items = _decode_items(array.to_pylist(), name, where)
    return _with_nulls(pa.array(items, pa.large_string()), "", str)


def _of_decimals(array: Any, name: str, where: str) -> np.ndarray:
    import pyarrow as pa

    kinds = (pa.int64(), pa.uint64()) if array.type.scale <= 0 else (pa.float64(),)
    for kind in kinds:
        try:
            return _of_arrow(array.cast(kind), name, where)
        except pa.ArrowInvalid:
            continue
    return _of_arrow(array.cast(pa.string()), name, where)


def _of_times(array: Any, name: str, where: str) -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
        return to_native(array.to_numpy(zero_copy_only=False).astype("M8"), name, where)
    return _of_arrow(array.cast(pa.string()), name, where)


def _of_lists(array: Any, name: str, where: str) -> np.ndarray:
    import pyarrow.compute as pc

    lengths = set(pc.unique(pc.list_value_length(array.drop_null())).to_pylist())
    if len(lengths) > 1:
        _refuse(f"lists of {min(lengths)} to {max(lengths)} values", name, where)
    width = lengths.pop() if lengths else 0
    inner = _of_arrow(array.drop_null().flatten(), name, where)
    rows = inner.reshape(len(array) - array.null_count, width, *inner.shape[1:])
    if not array.null_count:
        return rows
    known = array.is_valid().to_numpy(zero_copy_only=False)
    whole = np.zeros((len(array), *rows.shape[1:]), rows.dtype)
    whole[known] = np.ma.getdata(rows)
    missing = np.ones(whole.shape, bool)
    missing[known] = np.ma.getmaskarray(rows)
    return mark_missing(whole, missing)
