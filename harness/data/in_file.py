"""The columns of an Arrow file written in any order: head and foot first, each column where it belongs."""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import pyarrow as pa
from numpy.typing import NDArray

from harness.data.laying import Laid
from harness.record.placed import absent, read_at, write_around, write_at


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
        columns = {name: absent(pa.from_numpy_dtype(dtype), table.rows) for name, dtype in table.types.items()}
        places, size = write_around(self._handle, pa.table(columns))
        os.posix_fallocate(self._handle, 0, size)
        self._starts = dict(zip(table.types, places or [0] * len(table.types), strict=True))

    def put(self, column: str, start: int, values: NDArray[Any]) -> None:
        """Put values at the places from `start` on."""
        write_at(self._handle, self._place(column, start), values)

    def get(self, column: str, start: int, stop: int) -> NDArray[Any]:
        """The values at some places."""
        return read_at(self._handle, self._place(column, start), self._types[column], stop - start)

    def _place(self, column: str, row: int) -> int:
        return self._starts[column] + row * self._types[column].itemsize
