"""Numbers and text between numpy, polars and Arrow by their buffers, without a copy of numbers.

Arrow's own ways (`pa.array`, `to_numpy`) import pandas, of which nothing is used: 0.2 s and 35 MB of every process.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray


def numbers(column: pa.Array) -> NDArray[Any]:
    """A column as an array over the same memory, read only; nulls, days and truth values as Arrow converts them.

    >>> numbers(buffered(np.array([1.5, 2.5]))).tolist()
    [1.5, 2.5]
    """
    if not column.null_count:
        if pa.types.is_date32(column.type):
            return np.from_dlpack(column.view(pa.int32())).astype("datetime64[D]")
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            return np.from_dlpack(column)
    found: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return found


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
    if np.isnat(values).any():
        return pa.array(values)
    return buffered(values.astype(np.int64).astype(np.int32)).view(pa.date32())


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
    there = pa.py_buffer(np.packbits(column.is_not_null().to_numpy(), bitorder="little"))
    filled = text(column.fill_null("")) if column.dtype == pl.String else buffered(column.fill_null(0).to_numpy())
    _, *values = filled.buffers()
    return pa.Array.from_buffers(filled.type, len(filled), [there, *values], column.null_count())


def words(column: pa.ChunkedArray) -> pl.Series:
    """Text as a polars column; handed over by itself, polars would import `pyarrow.compute` for it (0.03 s)."""
    return pl.DataFrame(pa.Table.from_arrays([column], names=["words"])).to_series()
