"""The columns of an Arrow file written in any order: head and foot first, each column where it belongs."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from harness.data.laying import Laid

NOWHERE = 64
"""An address at which nothing is: the columns are not there yet, and are not read when head and foot are written."""


class InFile:
    """Room for the columns of a table in a file, which is the one that writing the whole table would make."""

    def __init__(self, stream: BinaryIO, table: Laid) -> None:
        """Write all but the columns.

        Args:
            stream: an empty file, opened for reading and writing.
            table: what is to be put there.

        Raises:
            OSError: there is no room for it.
        """
        self._handle, self._types = stream.fileno(), table.types
        sink = _Around(self._handle)
        columns = {name: _absent(dtype, table.rows) for name, dtype in table.types.items()}
        whole = pa.table(columns)
        with pa.PythonFile(sink, mode="w") as target, pa.ipc.new_file(target, whole.schema) as writer:
            writer.write_table(whole)
        os.posix_fallocate(self._handle, 0, sink.place)
        self._starts = dict(zip(table.types, sink.left_out or [0] * len(table.types), strict=True))

    def put(self, column: str, start: int, values: NDArray[Any]) -> None:
        """Put values at the places from `start` on."""
        write_at(self._handle, self._place(column, start), values)

    def get(self, column: str, start: int, stop: int) -> NDArray[Any]:
        """The values at some places."""
        return read_at(self._handle, self._place(column, start), self._types[column], stop - start)

    def _place(self, column: str, row: int) -> int:
        return self._starts[column] + row * self._types[column].itemsize


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


def _absent(dtype: np.dtype[Any], rows: int) -> pa.Array:
    return pa.Array.from_buffers(
        pa.from_numpy_dtype(dtype), rows, [None, pa.foreign_buffer(NOWHERE, rows * dtype.itemsize)]
    )


def write_at(handle: int, place: int, values: NDArray[Any]) -> None:
    """Write numbers to a place of a file."""
    if len(values):
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
