"""What stood when: statements of many series found per (series, period) in a few passes, no series by itself.

A lookup is laid over the cells (period x series) once; changes and publications are in order of time, so the first
statement of a cell is the one written last when they are walked backwards. What was published at one time is mostly of
one period and in order of series: tables are period-major, so that a walk writes, and reads, one place after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.core.time import NEVER
from harness.data.changes import ChangeFile
from harness.data.derive import ASSUMED

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
CHUNK = 1 << 16
"""Rows looked at together, so that what is made of them stays in the processor's cache."""
NOWHERE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells of some series and periods; flat places are period-major.

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
        row_of[changes.codes_of(ids)] = np.arange(len(ids))
        periods = np.unique(ordinals).astype(np.int64)
        low = int(periods[0]) if len(periods) else 0
        columns = np.full(int(periods[-1]) - low + 1 if len(periods) else 0, NOWHERE, dtype=np.int64)
        columns[periods - low] = np.arange(len(periods))
        return cls(row_of, periods, len(ids), low, columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Asked periods by series."""
        return len(self.periods), self.count

    def place(self, ordinals: Integers) -> Integers:
        """Column of each ordinal, NOWHERE where it is not among the periods."""
        inside = (ordinals >= self.low) & (ordinals < self.low + len(self.columns))
        if inside.all():
            return self.columns.take(ordinals - self.low)
        out = np.full(len(ordinals), NOWHERE, dtype=np.int64)
        out[inside] = self.columns[ordinals[inside] - self.low]
        return out

    def flat(self, codes: NDArray[np.int32], ordinals: Integers) -> tuple[Integers, Flags | None]:
        """Flat cells of rows, and which rows have one (None = all do; the others are left out of the first)."""
        rows, columns = self.row_of.take(codes.astype(np.int64)), self.place(ordinals)
        there = (rows >= 0) & (columns >= 0)
        if there.all():
            return columns * self.count + rows, None
        return columns[there] * self.count + rows[there], there


def _backwards(length: int) -> Iterator[slice]:
    for end in range(length, 0, -CHUNK):
        yield slice(max(0, end - CHUNK), end)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where the changes of some series lie, over all periods that any of them states.

    Attributes:
        changes: the change file.
        cells: the series and every period from the first to the last.
        first: [period, series] row of the first change; NOWHERE = there is none.
        starts: [flat cell + 1] where the later changes of each cell begin in `rows`; empty = nothing was ever revised.
        rows: the rows of all but the first change, cell by cell, in order of time within one.
    """

    changes: ChangeFile
    cells: Cells
    first: NDArray[np.int32]
    starts: Integers
    rows: NDArray[np.int32]

    def columns(self, ordinals: Integers) -> Integers:
        """Place of each asked period; NOWHERE = nobody ever stated it."""
        return self.cells.place(ordinals)

    def of(self, found: NDArray[np.int32], ordinals: Integers) -> NDArray[np.int32]:
        """[asked, series] entries of a table over all periods; not to be written to."""
        places = self.columns(ordinals)
        if not len(found):
            return np.full((len(ordinals), self.cells.count), NOWHERE, dtype=np.int32)
        if len(places) and (places >= 0).all() and (np.diff(places) == 1).all():
            return found[int(places[0]) : int(places[-1]) + 1]
        out: NDArray[np.int32] = found[np.maximum(places, 0)]
        out[places == NOWHERE] = NOWHERE
        return out


@lru_cache(maxsize=2)
def layout(changes: ChangeFile, ids: tuple[str, ...]) -> Layout:
    """Lay the changes of some series (stored ids, distinct, of one frequency) out."""
    mine = np.zeros(len(changes.ids), dtype=bool)
    mine[changes.codes_of(ids)] = True
    every = bool(mine.all())
    periods = changes.period if every else changes.period[mine[changes.code]]
    span = np.arange(periods.min(), periods.max() + 1) if len(periods) else np.empty(0, dtype=np.int64)
    cells = Cells.of(changes, ids, span)
    first = _first(changes, cells, None)
    starts, rows = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
    if len(periods) > int((first != NOWHERE).sum()):
        starts, rows = _revised(changes, cells, first.reshape(-1))
    return Layout(changes, cells, first, starts, rows)


def _first(changes: ChangeFile, cells: Cells, wanted: Callable[[slice], Flags] | None) -> NDArray[np.int32]:
    found = np.full(cells.shape, NOWHERE, dtype=np.int32)
    flat = found.reshape(-1)
    for part in _backwards(len(changes.code)):
        rows = np.arange(part.start, part.stop, dtype=np.int32)
        code, period = changes.code[part], changes.period[part]
        if wanted is not None:
            kept = np.flatnonzero(wanted(part))
            rows, code, period = rows[kept], code[kept], period[kept]
        mine, there = cells.flat(code, period)
        rows = rows if there is None else rows[there]
        flat[mine[::-1]] = rows[::-1]  # of several for one cell the earliest is written last
    return found


def _revised(changes: ChangeFile, cells: Cells, first: NDArray[np.int32]) -> tuple[Integers, NDArray[np.int32]]:
    """Where the rows of all but the first change of each cell begin, and these rows; see `Layout`."""
    count = np.zeros(len(first) + 1, dtype=np.int64)
    for _, mine in _later(changes, cells, first):
        np.add.at(count, mine + 1, 1)
    starts = count.cumsum()
    free, rows = starts[:-1].copy(), np.empty(int(starts[-1]), dtype=np.int32)
    for later, mine in _later(changes, cells, first):
        order = by_cell(mine)
        cell = mine[order]
        begins = np.flatnonzero(np.append(True, cell[1:] != cell[:-1]))
        lengths = np.diff(np.append(begins, len(cell)))
        rows[free[cell] + np.arange(len(cell)) - np.repeat(begins, lengths)] = later[order]
        free[cell[begins]] += lengths
    return starts, rows


def _later(changes: ChangeFile, cells: Cells, first: NDArray[np.int32]) -> Iterator[tuple[NDArray[np.int32], Integers]]:
    """Rows that are not the first change of their cell, in order of time, and their flat cells; parts with any."""
    for start in range(0, len(changes.code), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(changes.code)), dtype=np.int32)
        mine, there = cells.flat(changes.code[start : start + CHUNK], changes.period[start : start + CHUNK])
        rows = rows if there is None else rows[there]
        again = rows != first.take(mine)
        if again.any():
            yield rows[again], mine[again]


def by_cell(cells: Integers) -> Integers:
    """Places that sort cells, those alike as they stood: 16 bits at a time are sorted by counting."""
    order = np.argsort(cells.astype(np.uint16), kind="stable")
    for shift in range(16, int(cells.max()).bit_length(), 16):
        order = order[np.argsort((cells >> shift).astype(np.uint16)[order], kind="stable")]
    return order


def first_values(laid: Layout) -> NDArray[np.int32]:
    """[period, series] row of the first change with a value; NOWHERE = there is none."""
    changes = laid.changes
    if not has_withdrawals(changes):
        return laid.first
    return _first(changes, laid.cells, lambda part: ~np.isnan(changes.value[part]))


def has_withdrawals(changes: ChangeFile) -> bool:
    """Whether any value was ever withdrawn."""
    return bool(len(changes.value)) and bool(np.isnan(changes.value.min()))


def assumed_rows(laid: Layout) -> NDArray[np.int32] | None:
    """[period, series] row of the first assumed change; None = there is not a single one."""
    changes = laid.changes
    if not (changes.availability == ASSUMED).any():
        return None
    return _first(changes, laid.cells, lambda part: changes.availability[part] == ASSUMED)


def dates(changes: ChangeFile, rows: NDArray[np.int32]) -> Integers:
    """Microseconds UTC at which some changes were published; NEVER where there is none."""
    if not len(changes.published):
        return np.full(rows.shape, NEVER, dtype=np.int64)
    places = rows.astype(np.int64)
    lacking = places < 0
    found: Integers = changes.published.take(np.maximum(places, 0, out=places)).astype(np.int64, copy=False)
    if lacking.any():
        found[lacking] = NEVER
    return found


def rows_as_of(laid: Layout, ordinals: Integers, instants: Integers) -> Integers:
    """[asked, series] row of the newest change at or before each instant; NOWHERE = none by then.

    Args:
        laid: where the changes of some series lie.
        ordinals: [asked] periods.
        instants: [asked, series] microseconds UTC; one series may be asked at several instants.
    """
    found = np.broadcast_to(laid.of(laid.first, ordinals), instants.shape).astype(np.int64)
    if not len(laid.changes.published):
        return found
    found[laid.changes.published.take(np.maximum(found, 0)) > instants] = NOWHERE
    if len(laid.rows):
        count = laid.cells.count
        flat = np.broadcast_to((laid.columns(ordinals) * count)[:, None] + np.arange(count), instants.shape)
        some = np.nonzero(
            (found >= 0) & (laid.starts.take(flat + 1, mode="clip") > laid.starts.take(flat, mode="clip"))
        )
        found[some] = _newest(laid, flat[some], instants[some], found[some])
    return found


def _newest(laid: Layout, flat: Integers, instants: Integers, first: Integers) -> Integers:
    """The same where a cell has later changes: their dates ascend within it, so halving finds the newest."""
    low, high = laid.starts[flat], laid.starts[flat + 1]
    start = low.copy()
    published, rows = laid.changes.published, laid.rows
    while (low < high).any():
        middle = np.minimum((low + high) // 2, len(rows) - 1)
        known = (low < high) & (published[rows[middle]] <= instants)
        high = np.where((low < high) & ~known, middle, high)
        low = np.where(known, middle + 1, low)
    return np.where(low > start, rows[np.maximum(low - 1, 0)], first)
