"""The current matrices of a replay: every panel's newest values, kept in flat buffers that changes are written into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.core.names import Names
from harness.core.series import Series
from harness.core.snapshot import Panel
from harness.core.time import NEVER, Ordinals, Timeline, period_end
from harness.core.transform import Floats
from harness.data.calendars import closures, session_days, sessions_between
from harness.data.panels import Group, session_places, timeline
from harness.record.memory import give_back

Micros = NDArray[np.int64]
Rows = tuple[NDArray[np.int32], Micros, Micros, Floats, Micros]
CHUNK = 1 << 20
"""Changes written at a time, to bound the working memory."""


@dataclass(frozen=True, slots=True, eq=False)
class _Grid:
    """One panel's place in the buffers.

    Attributes:
        ids: its series, one per row.
        codes: [row] their codes.
        series: a declaration that stands for all of them.
        low: ordinal of the first period anything is ever stated of.
        days: [column] epoch days of the sessions, for B only.
        width: columns.
        start: where its first row begins in the flat buffers.
        seen_start: where its columns begin in the flat marks of periods seen.
    """

    ids: Names
    codes: Micros
    series: Series
    low: int
    days: Ordinals | None
    width: int
    start: int
    seen_start: int

    @property
    def cells(self) -> slice:
        """Its part of the flat buffers."""
        return slice(self.start, self.start + len(self.ids) * self.width)

    @property
    def columns(self) -> slice:
        """Its part of the flat marks."""
        return slice(self.seen_start, self.seen_start + self.width)


class Matrices:
    """Newest value, its publication and its vintage by series and period, for all panels."""

    def __init__(
        self, groups: Sequence[Group], size: int, rows: Rows, chosen: Micros | None = None, *, dated: bool = True
    ) -> None:
        """Lay out empty matrices wide enough for all rows.

        Args:
            groups: the series of each panel.
            size: codes are below it.
            rows: [change] code, period ordinal, published, value, vintage, in order of publication.
            chosen: the rows that count, ascending; None = all of them.
            dated: whether publications and vintages are kept; else all of them are NEVER.
        """
        self._size, self._rows, self._chosen, self._alone = size, rows, chosen, len(groups) == 1
        self._dated = dated
        count = len(rows[0]) if chosen is None else len(chosen)
        parts = (self._rows[3][self._part(first, count)] for first in range(0, count, CHUNK))
        self._withdrawn = any(bool(np.isnan(part).any()) for part in parts)
        self._orders: dict[str, tuple[int, Timeline]] = {}
        self._place_all([self._grid(group) for group in groups])
        if count > CHUNK:
            give_back(*self._rows)

    def _part(self, first: int, end: int) -> slice | Micros:
        """The next rows, as many as are looked at together."""
        rows = slice(first, min(first + CHUNK, end))
        return rows if self._chosen is None else self._chosen[rows]

    def _grid(self, group: Group) -> _Grid:
        every = slice(None) if self._chosen is None else self._chosen
        period = self._rows[1][every]
        ids, codes, series = group.ids, group.codes, group.series
        if not self._alone:
            mine = np.zeros(self._size, dtype=bool)
            mine[codes] = True
            period = period[mine[self._rows[0][every]]]
        if not len(period):
            nothing = np.empty(0, np.int64) if series.parsed.kind == "B" else None
            return _Grid(ids, codes, series, 0, nothing, 0, 0, 0)
        low, high = int(period.min()), int(period.max())
        if series.parsed.kind != "B":
            return _Grid(ids, codes, series, low, None, high - low + 1, 0, 0)
        used = np.zeros(high - low + 1, dtype=bool)
        used[period - low] = True
        traded = sessions_between(series, period_end(series.parsed, low), period_end(series.parsed, high))
        session_places(traded, np.flatnonzero(used) + low, series)
        scheduled = session_days(series)
        days = scheduled[np.searchsorted(scheduled, low) : np.searchsorted(scheduled, high, side="right")]
        return _Grid(ids, codes, series, low, days, len(days), 0, 0)

    def _place_all(self, grids: list[_Grid]) -> None:
        """Give every grid its place in new, empty buffers, and every code the way to its cells."""
        size = self._size
        self._row_start, self._seen_start = np.zeros(size, np.int64), np.zeros(size, np.int64)
        # the column of (code, ordinal) stands in `_column_of` at ordinal - low[code]
        self._low, self._plain = np.zeros(size, np.int64), len(grids) == 1 and grids[0].days is None
        tables: list[Ordinals] = []
        start = seen = looked = 0
        self._grids: list[_Grid] = []
        for grid in grids:
            placed = _Grid(grid.ids, grid.codes, grid.series, grid.low, grid.days, grid.width, start, seen)
            self._grids.append(placed)
            table = _column_table(placed)
            codes = grid.codes
            self._row_start[codes] = start + np.arange(len(codes)) * grid.width
            self._seen_start[codes] = seen
            self._low[codes] = grid.low - looked
            tables.append(table)
            start, seen, looked = start + len(codes) * grid.width, seen + grid.width, looked + len(table)
        self._column_of = np.concatenate([np.empty(0, np.int64), *tables])
        self.values, self._seen = np.full(start, np.nan), np.zeros(seen, dtype=bool)
        never = np.full(1, NEVER)
        self.published, self.vintage = (
            np.full(start, NEVER) if self._dated else np.broadcast_to(never, start) for _ in range(2)
        )

    def announce(self, at: int) -> None:
        """Take out the columns of closures announced by an instant, and renew the order of periods.

        Args:
            at: microseconds UTC.
        """
        kept: list[Ordinals | None] = [None] * len(self._grids)
        for place, grid in enumerate(self._grids):
            if grid.days is None:
                self._orders.setdefault(grid.ids[0], (0, timeline(grid.series, at)))
                continue
            closed, announced = closures(grid.series)
            known = int((announced <= at).sum())
            if self._orders.get(grid.ids[0], (-1, None))[0] == known:
                continue
            self._orders[grid.ids[0]] = (known, timeline(grid.series, at))
            kept[place] = np.flatnonzero(~np.isin(grid.days, closed[announced <= at]))
        if any(
            columns is not None and len(columns) < grid.width for columns, grid in zip(kept, self._grids, strict=True)
        ):
            self._narrow(kept)

    def _narrow(self, kept: list[Ordinals | None]) -> None:
        old = list(self._grids)
        before = (self.values, self.published, self.vintage) if self._dated else (self.values,)
        seen = self._seen
        narrower = []
        for grid, columns in zip(old, kept, strict=True):
            days = grid.days if columns is None or grid.days is None else grid.days[columns]
            width = grid.width if columns is None else len(columns)
            narrower.append(_Grid(grid.ids, grid.codes, grid.series, grid.low, days, width, 0, 0))
        self._place_all(narrower)
        for grid, new, columns in zip(old, self._grids, kept, strict=True):
            picked = slice(None) if columns is None else columns
            for source, sink in zip(before, (self.values, self.published, self.vintage), strict=False):
                sink[new.cells] = source[grid.cells].reshape(len(grid.ids), grid.width)[:, picked].ravel()
            self._seen[new.columns] = seen[grid.columns][picked]

    def apply(self, start: int, end: int) -> None:
        """Write the changes of the chosen rows [start, end); of several for one cell the last one stays."""
        for first in range(start, end, CHUNK):
            rows = self._part(first, end)
            code, period, value = (array[rows] for array in (self._rows[0], self._rows[1], self._rows[3]))
            if self._plain:
                # one panel of calendar periods: two numbers tell the span seen
                cell = period + self._row_start[code]
                cell -= self._grids[0].low
                self._seen[[int(period.min()) - self._grids[0].low, int(period.max()) - self._grids[0].low]] = True
            else:
                column = self._column_of[period - self._low[code]]
                cell = self._row_start[code] + column
                self._seen[self._seen_start[code] + column] = True
            self.values[cell] = value
            if self._dated:
                gone = np.isnan(value) if self._withdrawn else None
                for sink, dates in ((self.published, self._rows[2][rows]), (self.vintage, self._rows[4][rows])):
                    sink[cell] = dates if gone is None else np.where(gone, NEVER, dates)
            if end - first > CHUNK:  # of what is mapped from a file no more than a part is held
                give_back(*self._rows)

    def panels(self) -> Iterator[Panel]:
        """Views of what is known, from the first to the last period anything was published of."""
        for grid in self._grids:
            seen = np.flatnonzero(self._seen[grid.columns])
            span = slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 0)
            order = self._orders[grid.ids[0]][1]
            shape = (len(grid.ids), grid.width)
            first = 0
            if len(seen):
                first = grid.low + span.start
                if grid.days is not None and order.sessions is not None:
                    first = int(np.searchsorted(order.sessions, grid.days[span.start]))
            views = (
                buffer[grid.cells].reshape(shape)[:, span] for buffer in (self.values, self.published, self.vintage)
            )
            yield Panel(grid.ids, order, first, *views)

    def levels(self, series_id: str) -> tuple[int, Floats]:
        """First known ordinal of one series and its levels from there to the newest known, consecutive ordinals."""
        grid = next(grid for grid in self._grids if series_id in grid.ids.places)
        row = self.values[grid.cells].reshape(len(grid.ids), grid.width)[grid.ids.places[series_id]]
        known = np.flatnonzero(~np.isnan(row))
        if not len(known):
            return 0, np.empty(0)
        if grid.days is None:
            return grid.low + int(known[0]), row[known[0] : known[-1] + 1].copy()
        days = grid.days[known]
        out = np.full(int(days[-1] - days[0]) + 1, np.nan)
        out[days - days[0]] = row[known]
        return int(days[0]), out


def _column_table(grid: _Grid) -> Ordinals:
    """Column of each ordinal from `low` on; -1 = no session, or one known to be closed, of which nothing is stated."""
    if grid.days is None:
        return np.arange(grid.width, dtype=np.int64)
    if not grid.width:
        return np.empty(0, dtype=np.int64)
    table = np.full(int(grid.days[-1]) - grid.low + 1, -1, dtype=np.int64)
    table[grid.days - grid.low] = np.arange(grid.width)
    return table
