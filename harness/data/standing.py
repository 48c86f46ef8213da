"""What stood when: statements of many series found per (series, period) in a few passes, no series by itself.

A lookup is laid over the cells (series x asked period) once; changes and publications are in order of time, so the
first statement of a cell is the one written last when they are walked backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.core.time import NEVER
from harness.data.changes import ChangeFile
from harness.data.derive import ASSUMED

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
CHUNK = 1 << 22
"""Rows looked at together, to bound the working memory."""
NOWHERE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells of some series and periods; flat places are series-major.

    Attributes:
        row_of: [code] place of a series code among the series; NOWHERE = another series.
        periods: distinct ordinals, ascending.
        count: number of series.
        low: ordinal of element 0 of `columns`.
        columns: [ordinal - low] place among `periods`; NOWHERE = not asked.
    """

    row_of: Integers
    periods: Integers
    count: int
    low: int
    columns: Integers

    @classmethod
    def of(cls, changes: ChangeFile, ids: Sequence[str], ordinals: Integers) -> Cells:
        """The cells of some series (stored ids, distinct) and of every distinct ordinal."""
        row_of = np.full(len(changes.ids), NOWHERE, dtype=np.int64)
        row_of[[changes.code_of(name) for name in ids]] = np.arange(len(ids))
        periods = np.unique(ordinals).astype(np.int64)
        low = int(periods[0]) if len(periods) else 0
        columns = np.full(int(periods[-1]) - low + 1 if len(periods) else 0, NOWHERE, dtype=np.int64)
        columns[periods - low] = np.arange(len(periods))
        return cls(row_of, periods, len(ids), low, columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Series by asked periods."""
        return self.count, len(self.periods)

    def place(self, ordinals: Integers) -> Integers:
        """Column of each ordinal, NOWHERE where it is not among the periods."""
        inside = (ordinals >= self.low) & (ordinals < self.low + len(self.columns))
        if inside.all():
            return self.columns[ordinals - self.low]
        out = np.full(len(ordinals), NOWHERE, dtype=np.int64)
        out[inside] = self.columns[ordinals[inside] - self.low]
        return out

    def flat(self, codes: NDArray[np.int32], ordinals: Integers) -> tuple[Integers, Flags | None]:
        """Flat cells of rows, and which rows have one (None = all do; the others are left out of the first)."""
        rows, columns = self.row_of[codes], self.place(ordinals)
        there = (rows >= 0) & (columns >= 0)
        if there.all():
            return rows * len(self.periods) + columns, None
        return rows[there] * len(self.periods) + columns[there], there


def _backwards(length: int) -> Iterator[slice]:
    for end in range(length, 0, -CHUNK):
        yield slice(max(0, end - CHUNK), end)


def first_rows(changes: ChangeFile, cells: Cells, wanted: Callable[[slice], Flags] | None = None) -> Integers:
    """[series, period] row of the first change of each cell; NOWHERE = there is none.

    Args:
        changes: the change file.
        cells: which cells.
        wanted: of a slice of rows, which count; None = all.
    """
    found = np.full(cells.shape, NOWHERE, dtype=np.int64)
    flat = found.reshape(-1)
    for part in _backwards(len(changes.code)):
        rows = np.arange(part.start, part.stop)
        if wanted is not None:
            rows = rows[wanted(part)]
        mine, there = cells.flat(changes.code[rows], changes.period[rows])
        rows = rows if there is None else rows[there]
        flat[mine[::-1]] = rows[::-1]  # of several for one cell the earliest is written last
    return found


def first_public(changes: ChangeFile, cells: Cells) -> Integers:
    """[series, period] microseconds UTC at which any value was first public; NEVER = none ever was."""
    every = not np.isnan(changes.value).any()
    rows = first_rows(changes, cells, None if every else lambda part: ~np.isnan(changes.value[part]))
    return _dates(changes, rows)


def assumed_dates(changes: ChangeFile, cells: Cells) -> Integers:
    """[series, period] date (microseconds UTC) of the assumed row; NEVER = there is none."""
    if not (changes.availability == ASSUMED).any():
        return np.broadcast_to(np.int64(NEVER), cells.shape)
    return _dates(changes, first_rows(changes, cells, lambda part: changes.availability[part] == ASSUMED))


def _dates(changes: ChangeFile, rows: Integers) -> Integers:
    if not len(changes.published):
        return np.full(rows.shape, NEVER, dtype=np.int64)
    dates = changes.published[np.maximum(rows, 0)].astype(np.int64)
    dates[rows == NOWHERE] = NEVER
    return dates


class AsOf:
    """The change that stood in a cell at an instant, for many cells and instants at once."""

    def __init__(self, changes: ChangeFile, cells: Cells) -> None:
        """Lay the changes of the cells out.

        Args:
            changes: the change file.
            cells: all cells that will be asked for.
        """
        self._changes, self._cells = changes, cells
        self._first = first_rows(changes, cells).reshape(-1)
        counted = np.zeros(len(self._first), dtype=np.int64)
        later: list[Integers] = []
        for part in _backwards(len(changes.code)):
            rows = np.arange(part.start, part.stop)
            mine, there = cells.flat(changes.code[part], changes.period[part])
            rows = rows if there is None else rows[there]
            counted += np.bincount(mine, minlength=len(counted))
            again = rows != self._first[mine]
            later.append(np.stack([mine[again], rows[again]]))
        cell, row = np.concatenate(later[::-1], axis=1) if later else np.empty((2, 0), dtype=np.int64)
        order = np.argsort(cell, kind="stable")  # rows are in order of time within a cell
        self._cell, self._row = cell[order], row[order]
        self._revised = counted > 1

    def rows(self, series: Integers, ordinals: Integers, instants: Integers) -> Integers:
        """Row of the newest change at or before each instant; NOWHERE = none by then.

        Args:
            series: [request] place of the series among those of the cells.
            ordinals: [request] period.
            instants: [request] microseconds UTC.
        """
        columns = self._cells.place(ordinals)
        flat = np.where(columns >= 0, series * len(self._cells.periods) + columns, 0)
        found = np.where(columns >= 0, self._first[flat] if len(self._first) else NOWHERE, NOWHERE)
        if not len(self._changes.published):
            return found
        found[self._changes.published[np.maximum(found, 0)] > instants] = NOWHERE
        some = np.flatnonzero((found >= 0) & self._revised[flat])
        if len(some):
            found[some] = self._newest(flat[some], instants[some], found[some])
        return found

    def _newest(self, flat: Integers, instants: Integers, first: Integers) -> Integers:
        """The same where a cell has later changes: their dates ascend within it, so halving finds the newest."""
        low, high = np.searchsorted(self._cell, flat, side="left"), np.searchsorted(self._cell, flat, side="right")
        start = low.copy()
        published = self._changes.published
        while (low < high).any():
            middle = np.minimum((low + high) // 2, len(self._row) - 1)
            known = (low < high) & (published[self._row[middle]] <= instants)
            high = np.where((low < high) & ~known, middle, high)
            low = np.where(known, middle + 1, low)
        return np.where(low > start, self._row[np.maximum(low - 1, 0)], first)
