"""Arrow files written in any order: head and foot first, each column that is left out where it belongs."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

NOWHERE = 64
"""An address at which nothing is: the columns are not there yet, and are not read when head and foot are written."""


def absent(dtype: pa.DataType, rows: int) -> pa.Array:
    """A column of numbers without gaps that is not there yet; it can only be written around."""
    size = rows * dtype.bit_width // 8
    return pa.Array.from_buffers(dtype, rows, [None, pa.foreign_buffer(NOWHERE, size)])


def write_around(handle: int, table: pa.Table) -> tuple[list[int], int]:
    """Write all of an Arrow file but what is absent.

    Args:
        handle: of an empty file, opened for writing.
        table: with absent columns.

    Returns:
        Where each of these begins, in their order, and the size of the whole file.

    Raises:
        OSError: there is no room for it.
    """
    sink = _Around(handle)
    with pa.PythonFile(sink, mode="w") as target, pa.ipc.new_file(target, table.schema) as writer:
        writer.write_table(table)
    return sink.left_out, sink.place


class _Around:
    """What Arrow writes to: columns that are nowhere are passed over, and where each belongs is noted."""

    closed = False

    def __init__(self, handle: int) -> None:
        self._handle, self.place = handle, 0
        self.left_out: list[int] = []

    def write(self, data: Any) -> int:
        """Write, or pass over."""
        size = data.size if isinstance(data, pa.Buffer) else len(data)
        if isinstance(data, pa.Buffer) and data.address == NOWHERE:
            self.left_out.append(self.place)
        else:
            _written(self._handle, self.place, memoryview(data))
        self.place += size
        return int(size)

    def tell(self) -> int:
        """Bytes written and passed over."""
        return self.place

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """The file stays open."""


def write_at(handle: int, place: int, values: NDArray[Any]) -> None:
    """Write numbers to a place of a file."""
    if values.size:
        _written(handle, place, np.ascontiguousarray(values).data.cast("B"))


def read_at(handle: int, place: int, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """Numbers from a place of a file."""
    out = np.empty(count, dtype=dtype)
    rest = out.data.cast("B") if count else memoryview(b"")
    while len(rest):
        read = os.preadv(handle, [rest], place)
        if not read:
            raise OSError("the file ends before the numbers do")
        rest, place = rest[read:], place + read
    return out


def _written(handle: int, place: int, data: memoryview) -> None:
    while len(data):
        written = os.pwrite(handle, data, place)
        data, place = data[written:], place + written
