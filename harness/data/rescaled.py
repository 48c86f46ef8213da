"""Publications that multiply nearly the whole history of a series by one factor: of one series, or found among all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.core.time import instant
from harness.core.transform import Floats
from harness.data.changes import ChangeFile
from harness.data.past import Past

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
CHUNK = 1 << 16
"""Changes looked at together, so that what is made of them stays in the processor's cache."""
RESTATED, ALIKE, LEAST_MOVE, FEWEST = 0.8, 0.95, 1e-3, 20
"""Share of the history one publication restates, share of it by one factor, how far that factor is from 1, and values
restated at least."""


def rescaled_at_once(past: Past) -> str:
    """Whether one publication multiplies nearly the whole history known by then by one factor; "" when none does.

    Args:
        past: the changes of a series, in order of publication.
    """
    low, high = past.span
    standing, done = np.full(high - low + 1, np.nan), 0
    edges = np.concatenate(([0], np.flatnonzero(np.diff(past.published)) + 1, [len(past.published)]))
    for large in np.flatnonzero(np.diff(edges) >= FEWEST):
        start, end = int(edges[large]), int(edges[large + 1])
        standing[past.period[done:start] - low] = past.value[done:start]  # of several for one period the last stays
        places, now = past.period[start:end] - low, past.value[start:end]
        before, known = standing[places], int((~np.isnan(standing)).sum())
        standing[places], done = now, end
        both = _both(before, now)
        if both.sum() < max(FEWEST, RESTATED * known):
            continue
        factor = _factor(before[both], now[both])
        if factor is not None:
            day = instant(int(past.published[start])).date()
            return f"what was published on {day} multiplies {both.sum()} of {known} earlier values by {factor:.4g}"
    return ""


def maybe_rescaled(changes: ChangeFile, series_ids: Sequence[str] | None = None) -> set[int]:
    """Codes of the series of which `rescaled_at_once` may say something, found in a few passes over all changes.

    A history is counted as shorter than it is where values of it are withdrawn next to it: so none is passed over.

    Args:
        changes: the change file.
        series_ids: stored ids of those that are looked at; None = of all.

    Raises:
        UnknownNameError: no such series.
    """
    many = _restated(changes)
    if series_ids is not None:
        asked = np.zeros_like(many)
        asked[changes.codes_of(series_ids)] = True
        many &= asked
    return _Walk.over(changes, many).found() if many.any() else set()


def _both(before: Floats, now: Floats) -> Flags:
    return ~np.isnan(before) & ~np.isnan(now) & (before > 0)


def _factor(before: Floats, now: Floats) -> float | None:
    """By what nearly all values were multiplied; None = by no one factor, or hardly."""
    ratios = now / before
    factor = float(np.median(ratios))
    alike = np.abs(ratios - factor) <= 0.1 * abs(factor - 1.0)
    return factor if abs(factor - 1.0) >= LEAST_MOVE and alike.mean() >= ALIKE else None


def _restated(changes: ChangeFile) -> Flags:
    """[code] whether enough values of a series were published together: they stand side by side."""
    apart, many = FEWEST - 1, np.zeros(len(changes.ids), dtype=bool)
    for start in range(0, len(changes.code) - apart, CHUNK):
        code, published = (rows[start : start + CHUNK + apart] for rows in (changes.code, changes.published))
        many[code[apart:][(code[apart:] == code[:-apart]) & (published[apart:] == published[:-apart])]] = True
    return many


@dataclass(frozen=True, slots=True, eq=False)
class _Walk:
    """One walk forward over the changes of some series.

    Attributes:
        changes: the change file.
        many: [code] the series.
        first: [code] what added to a period gives its cell.
        standing: [cell] newest value; NaN = none.
        marks: [cell] room for the place of a row among those looked at together.
        known: [code] values that stand.
    """

    changes: ChangeFile
    many: Flags
    first: Integers
    standing: Floats
    marks: NDArray[np.int32]
    known: Integers

    @classmethod
    def over(cls, changes: ChangeFile, many: Flags) -> _Walk:
        """Stand before the first change."""
        size = len(many)
        low, high = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
        for start in range(0, len(changes.code), CHUNK):
            code, period = changes.code[start : start + CHUNK].astype(np.int64), changes.period[start : start + CHUNK]
            np.minimum.at(low, code, period)
            np.maximum.at(high, code, period)
        spans = np.where(many, high - low + 1, 0)
        first = np.where(many, spans.cumsum() - spans - low, 0)
        cells = int(spans.sum())
        return cls(changes, many, first, np.full(cells, np.nan), np.empty(cells, np.int32), np.zeros(size, np.int64))

    def found(self) -> set[int]:
        """Codes of the series that a publication may have rescaled."""
        out, whole = set[int](), bool(self.many.all())
        for rows in self._chunks():
            code, published = self.changes.code[rows].astype(np.int64), self.changes.published[rows]
            period, value = self.changes.period[rows], self.changes.value[rows]
            if not whole:
                mine = self.many[code]
                code, published, period, value = code[mine], published[mine], period[mine], value[mine]
            self._apply(code, published, self.first.take(code) + period, value, out)
        return out

    def _chunks(self) -> Iterator[slice]:
        """Rows looked at together; what was published of a series at one instant is not parted."""
        code, published, start = self.changes.code, self.changes.published, 0
        while start < len(code):
            stop = min(start + CHUNK, len(code))
            low, high = (int(np.searchsorted(published, published[stop - 1], side)) for side in ("left", "right"))
            stop = low + int(np.searchsorted(code[low:high], code[stop - 1], side="right"))
            yield slice(start, stop)
            start = stop

    def _apply(self, code: Integers, published: Integers, cell: Integers, now: Floats, out: set[int]) -> None:
        """Compare rows with what stands, then let them stand; those of a cell that comes again go one after another."""
        if not len(code):
            return
        places = np.arange(len(cell), dtype=np.int32)
        self.marks[cell] = places
        last = self.marks.take(cell) == places
        if published[0] != published[-1] and not last.all():
            middle = published[len(published) // 2]
            cut = int(np.searchsorted(published, middle, side="right" if middle == published[0] else "left"))
            self._apply(code[:cut], published[:cut], cell[:cut], now[:cut], out)
            self._apply(code[cut:], published[cut:], cell[cut:], now[cut:], out)
            return
        before = self.standing.take(cell)
        self.standing[cell] = now  # of several for one cell the last stays
        stood, stands = ~np.isnan(before), ~np.isnan(now)
        np.subtract.at(self.known, code[last & stood & ~stands], 1)
        self._compare(code, published, before, now, out)
        np.add.at(self.known, code[last & stands & ~stood], 1)

    def _compare(self, code: Integers, published: Integers, before: Floats, now: Floats, out: set[int]) -> None:
        """Add the series of which what was published together is nearly all of its history times a factor."""
        begins = np.flatnonzero((code[1:] != code[:-1]) | (published[1:] != published[:-1])) + 1
        starts = np.concatenate(([0], begins))
        both = _both(before, now)
        pairs, above, below = (
            np.add.reduceat(flags, starts, dtype=np.int64)
            for flags in (both, both & (now > before), both & (now < before))
        )
        enough = pairs >= np.maximum(FEWEST, RESTATED * self.known[code[starts]])
        # times one factor, and no other, nearly all of them move to one side
        ends = np.append(begins, len(code))
        for group in np.flatnonzero(enough & (np.maximum(above, below) >= ALIKE * pairs * (1.0 - 1e-9))).tolist():
            rows = slice(int(starts[group]), int(ends[group]))
            if _factor(before[rows][both[rows]], now[rows][both[rows]]) is not None:
                out.add(int(code[rows.start]))
