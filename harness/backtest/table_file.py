"""A run's table of features in a file: filled and read through a mapping, whose memory is given back on the way."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.record.files import room_for


def new_table(file: Path, shape: tuple[int, ...], number: type[np.floating]) -> NDArray[Any]:
    """A table to be filled that lies in a new file, as `numpy.load` reads it.

    Args:
        file: replaced where it is there.
        shape: of the table.
        number: what it holds.

    Raises:
        FullDiskError: there is no room for it: its place is taken at once, as what is mapped cannot be told later.
    """
    with room_for(file):
        table: NDArray[Any] = np.lib.format.open_memmap(file, mode="w+", dtype=number, shape=shape)
        with file.open("r+b") as held:
            os.posix_fallocate(held.fileno(), 0, held.seek(0, os.SEEK_END))
    return table


def written_out(file: Path) -> None:
    """Have what was filled through a mapping be on the disk: other machines read it there."""
    with file.open("r+b") as held:
        os.fsync(held.fileno())


def let_go(table: NDArray[Any]) -> None:
    """Give back the memory that a mapped table takes up: what is looked at again is read again.

    Args:
        table: an array over a file mapped as a whole; any other is left alone.
    """
    under: object = table
    while under is not None and not isinstance(under, mmap.mmap):
        under = getattr(under, "base", None)
    if under is not None and hasattr(mmap, "MADV_DONTNEED"):
        under.madvise(mmap.MADV_DONTNEED)
