"""Numbers and text between numpy, polars and Arrow by their buffers, without a copy of numbers.

Arrow's own ways (`pa.array`, `to_numpy`) import pandas, of which nothing is used: 0.2 s and 35 MB of every process.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray


def numbers(column: pa.Array) -> NDArray[Any]:
    """A column as an array; that of numbers without nulls is over the same memory, and read only.

    As Arrow converts them, nulls among numbers are NaN (whole numbers become float64), and among days NaT.

    >>> numbers(buffered(np.array([1.5, 2.5]))).tolist()
    [1.5, 2.5]
    >>> numbers(with_nulls(pl.Series([1, None]))).tolist()
    [1.0, nan]
    """
    kind = column.type
    if pa.types.is_date32(kind):
        return _stored(column.view(pa.int32()), np.datetime64("NaT"), "datetime64[D]")
    if pa.types.is_integer(kind):
        return _stored(column, np.nan, np.float64 if column.null_count else None)
    if pa.types.is_floating(kind):
        return _stored(column, np.nan)
    if pa.types.is_boolean(kind) and not column.null_count:
        return _bits(column, 1)
    found: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return found


def _stored(column: pa.Array, missing: object, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """The numbers of a column as they lie there, of another type if one is named; `missing` where it has nulls."""
    if not column.null_count:
        plain = np.from_dlpack(column)
        return plain if dtype is None else plain.astype(dtype)
    bare = pa.Array.from_buffers(column.type, len(column), [None, column.buffers()[1]], 0, column.offset)
    plain = np.from_dlpack(bare)
    found: NDArray[Any] = plain.astype(plain.dtype if dtype is None else dtype)
    found[~_bits(column, 0)] = missing
    return found


def _bits(column: pa.Array, buffer: int) -> NDArray[np.bool_]:
    """What a buffer of bits says of each row of a column."""
    packed = np.frombuffer(column.buffers()[buffer], dtype=np.uint8) if len(column) else np.empty(0, dtype=np.uint8)
    bits = np.unpackbits(packed, count=column.offset + len(column), bitorder="little")
    return bits[column.offset :].astype(np.bool_)


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array: that of the file itself where it is in one piece, which joining would copy."""
    if not column.num_chunks:
        return pa.nulls(0, column.type)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def buffered(values: NDArray[Any]) -> pa.Array:
    """Numbers, [row], as a column over the same memory.

    Raises:
        TypeError: they are truth values, or in another order of bytes.

    >>> buffered(np.arange(3)).type
    DataType(int64)
    """
    values = np.ascontiguousarray(values)
    if values.dtype == np.bool_ or not values.dtype.isnative:
        message = f"{values.dtype}: Arrow holds such numbers otherwise"
        raise TypeError(message)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def days(values: NDArray[np.datetime64]) -> pa.Array:
    """Days, [row], as a column; NaT = null.

    >>> days(np.array(["2024-03-31"], dtype="datetime64[D]")).type
    DataType(date32[day])
    """
    values = values.astype("datetime64[D]")
    missing = np.isnat(values)
    if not missing.any():
        return buffered(values.astype(np.int64).astype(np.int32)).view(pa.date32())
    stored = np.where(missing, 0, values.astype(np.int64)).astype(np.int32)
    return pa.Array.from_buffers(
        pa.date32(), len(values), [_packed(~missing), pa.py_buffer(stored)], int(missing.sum())
    )


def text(column: pl.Series) -> pa.Array:
    """Words without nulls as a column of large strings: their characters one after the other.

    >>> text(pl.Series(["a", "bc"])).type
    DataType(large_string)
    """
    return column.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())


def with_nulls(column: pl.Series) -> pa.Array:
    """Numbers or words of which some are missing: where there are none, a bit says so, and nothing or 0 stands.

    >>> with_nulls(pl.Series([1, None])).to_pylist()
    [1, None]
    """
    there = _packed(column.is_not_null().to_numpy())
    filled = text(column.fill_null("")) if column.dtype == pl.String else buffered(column.fill_null(0).to_numpy())
    _, *values = filled.buffers()
    return pa.Array.from_buffers(filled.type, len(filled), [there, *values], column.null_count())


def _packed(there: NDArray[np.bool_]) -> pa.Buffer:
    """A bit for each row: whether anything stands there."""
    return pa.py_buffer(np.packbits(there, bitorder="little"))


def words(column: pa.ChunkedArray) -> pl.Series:
    """Text as a polars column; handed over by itself, polars would import `pyarrow.compute` for it (0.03 s)."""
    return pl.DataFrame(pa.Table.from_arrays([column], names=["words"])).to_series()
