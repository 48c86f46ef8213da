"""The newest known period of every series at ascending instants, told from the changes without any snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harness.core.time import NEVER
from harness.data.changes import ChangeFile
from harness.data.declaration import Declarations
from harness.data.standing import has_withdrawals

Integers = NDArray[np.int64]
CHUNK = 1 << 18
"""Changes looked at together, so that what is made of them stays in the processor's cache."""
NOTHING = NEVER
"""Stands for the newest period of a series of which nothing is known."""


def newest_suffices(changes: ChangeFile) -> bool:
    """Whether the newest period a series was ever stated of is the newest known: no withdrawals, events or sessions."""
    if len(changes.events.code) or has_withdrawals(changes):
        return False
    declared = changes.series
    shapes = declared.shapes if isinstance(declared, Declarations) else declared.values()
    return all(one.parsed.kind != "B" for one in shapes)


class Newest:
    """Walks forward through a change file of which `newest_suffices` holds."""

    def __init__(self, changes: ChangeFile, *, exclude_hindsight: bool = False) -> None:
        """Stand before the first change.

        Args:
            changes: the change file.
            exclude_hindsight: leave out values whose vintage is unknown or later than their date.
        """
        self._changes, self._exclude, self._done = changes, exclude_hindsight, 0
        self._newest = np.full(len(changes.ids), NOTHING)

    def advance(self, at: int) -> Integers:
        """[code] ordinal of the newest period known at an instant; `NOTHING` = none. Changes with the next call.

        Args:
            at: microseconds UTC, not before the last one.
        """
        changes = self._changes
        end = int(np.searchsorted(changes.published, at, side="right"))
        for rows in chunks(self._done, end):
            code, period = changes.code[rows].astype(np.int64), changes.period[rows]
            if self._exclude:
                kept = (changes.vintage[rows] != NEVER) & (changes.vintage[rows] <= changes.published[rows])
                code, period = code[kept], period[kept]
            np.maximum.at(self._newest, code, period)
        self._done = max(self._done, end)
        return self._newest


def chunks(start: int, end: int) -> Iterator[slice]:
    """Rows [start, end) a bounded part at a time."""
    for first in range(start, end, CHUNK):
        yield slice(first, min(first + CHUNK, end))
