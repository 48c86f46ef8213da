"""Which rows of a change file belong to which block of series: found in one pass, however many blocks there are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.core.time import NEVER
from harness.data.changes import ChangeFile
from harness.record.files import room_for

Micros = NDArray[np.int64]
CHUNK = 1 << 20
"""Rows put in order at a time."""
MOST = (1 << 16) - 2
"""Blocks there can be: their numbers have two bytes, which numpy sorts in linear time."""


class SeriesBlocks:
    """Rows of a change file by block of series, each in order of publication.

    Chunk after chunk, rows are put in order of their block; their places within the chunk are kept in an unnamed file
    (four bytes a row), so that what a block needs is read and nothing else.
    """

    def __init__(
        self,
        changes: ChangeFile,
        blocks: Sequence[Micros],
        shared: Micros,
        *,
        until: int,
        exclude_hindsight: bool = False,
        scratch: Path | None = None,
    ) -> None:
        """Look through the change file once.

        Args:
            changes: the change file.
            blocks: codes of the series of each block.
            shared: codes of series that every block needs.
            until: microseconds UTC; what is published later belongs to no block.
            exclude_hindsight: leave out values whose vintage is unknown or later than their date.
            scratch: folder of the unnamed file; None = it is kept in memory.

        Raises:
            ValueError: there are more blocks than can be numbered.
        """
        if len(blocks) > MOST:
            message = f"{len(blocks)} blocks, at most {MOST} can be numbered"
            raise ValueError(message)
        count, none = int(np.searchsorted(changes.published, until, side="right")), len(blocks)
        number = np.full(len(changes.ids), none, dtype=np.uint16)
        for place, codes in enumerate(blocks):
            number[codes] = place
        common = np.zeros(len(changes.ids), dtype=bool)
        common[shared] = True
        self._order = _numbers(count, scratch)
        self._ends = np.zeros((-(-count // CHUNK), none + 1), dtype=np.int64)
        found = []
        for chunk, first in enumerate(range(0, count, CHUNK)):
            rows = slice(first, min(first + CHUNK, count))
            code = changes.code[rows]
            mine, every = number[code], common[code] if len(shared) else None
            if exclude_hindsight:
                vintage = changes.vintage[rows]
                out = (vintage == NEVER) | (vintage > changes.published[rows])
                mine[out] = none
                every = None if every is None else every & ~out
            self._order[rows] = np.argsort(mine, kind="stable")
            self._ends[chunk] = np.cumsum(np.bincount(mine, minlength=none + 1))
            if every is not None:
                found.append(first + np.flatnonzero(every))
        self._shared: Micros = np.concatenate(found).astype(np.int64) if found else np.empty(0, dtype=np.int64)

    def rows(self, block: int) -> Micros:
        """Rows of the change file a block needs, ascending."""
        parts = [np.empty(0, dtype=np.int64)]
        for chunk, ends in enumerate(self._ends):
            first = chunk * CHUNK
            start = int(ends[block - 1]) if block else 0
            parts.append(self._order[first + start : first + int(ends[block])].astype(np.int64) + first)
        own = np.concatenate(parts)
        return np.union1d(own, self._shared) if len(self._shared) else own


def _numbers(count: int, scratch: Path | None) -> NDArray[np.uint32]:
    """Room for numbers, in a file without a name where a folder is given.

    Raises:
        FullDiskError: there is no room for them; found out later, the process would end without a word.
    """
    if scratch is None or not count:
        return np.empty(count, dtype=np.uint32)
    with room_for(scratch), tempfile.TemporaryFile(dir=scratch) as stream:
        os.posix_fallocate(stream.fileno(), 0, count * np.dtype(np.uint32).itemsize)
        return np.memmap(stream, dtype=np.uint32, mode="w+", shape=(count,))
