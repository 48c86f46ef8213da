"""Feature columns of many origins at once, from inputs every value of which was published once, oldest period first.

Where nothing is ever revised, what an origin knew of a series is the beginning of its final history, so each column
is computed once per (series, period) and read at the newest period known at each origin. The arithmetic is that of
`features`, window by window and in the same order, so the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.core.recipe import FeatureBlock
from harness.core.snapshot import Micros, Snapshot
from harness.core.time import MICROS_PER_DAY, NEVER, local_day, micros
from harness.core.transform import Floats, apply_transform
from harness.forecast.feature_input import BlockInput, block_input, position_of
from harness.forecast.target_calendar import calendar_columns
from harness.forecast.window_statistics import logarithm, ratio

CHUNK_BYTES = 1 << 21
"""About what the numbers of one chunk of series take: they stay in the processor's cache."""
Column = Callable[[Floats], Floats]
T = TypeVar("T")


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Origins:
    """The origins asked for, ascending.

    Attributes:
        moments: the instants.
        known: [origin] microseconds up to which publications are known.
        ends: [origin, horizon] last day of each target period, `datetime64[D]`; NaT = it cannot be named.
    """

    moments: Sequence[datetime]
    known: Micros
    ends: NDArray[np.datetime64]


class Settled:
    """The input of one block over all origins: its transformed values, and the newest period known at each."""

    def __init__(self, source: BlockInput, origins: Origins) -> None:
        """Read nothing yet.

        Args:
            source: the input in a snapshot that is not before the last origin.
            origins: the origins.
        """
        self.source, self.origins = source, origins
        self.width = source.panel.values.shape[1]

    def values(self, rows: slice) -> Floats:
        """[series, period] transformed values of some of the input's rows."""
        levels = self.source.panel.values
        further = {kind: levels[row] for kind, row in self.source.companions}
        return apply_transform(self.source.transform, levels[self.source.rows[rows]], **further)

    def published(self, rows: slice) -> Micros:
        """[series, period] instant at which all levels of a period were public."""
        instants = self.source.panel.published[self.source.rows[rows]]
        for _, row in self.source.companions:
            instants = np.maximum(instants, self.source.panel.published[row])
        return instants

    def in_order(self, rows: slice) -> bool:
        """Whether these histories have no hole and each period came out after those before it."""
        panel = self.source.panel
        for chosen in (self.source.rows[rows], *(row for _, row in self.source.companions)):
            published = np.where(np.isnan(panel.values[chosen]), NEVER, panel.published[chosen])
            later = np.maximum.accumulate(published, axis=1)
            if ((published != NEVER) & (published != later)).any():
                return False
        known = ~np.isnan(self.values(rows))
        begins = known[:, 1:] & ~known[:, :-1]
        return bool((begins.sum(axis=1) + known[:, :1].sum(axis=1) <= 1).all())

    def newest(self, rows: slice, values: Floats) -> Micros:
        """[series, origin] column of the newest known period; -1 = nothing is known."""
        known = ~np.isnan(values)
        count, origins = len(values), len(self.origins.known)
        place, column = np.nonzero(known)
        since = np.searchsorted(self.origins.known, self.published(rows)[place, column])
        at = place * (origins + 1) + since
        counted = np.bincount(at, minlength=count * (origins + 1)).reshape(count, origins + 1)[:, :origins]
        held = np.cumsum(counted, axis=1)
        begins = np.argmax(known, axis=1)[:, np.newaxis] if known.shape[1] else np.zeros((count, 1), dtype=np.int64)
        newest: Micros = np.where(held > 0, begins + held - 1, -1)
        return newest


def settled(
    snapshot: Snapshot, block: FeatureBlock, series_ids: tuple[str, ...], origins: Origins, threads: int = 1
) -> Settled | None:
    """The input of a block whose levels were never revised, if its columns can be read off the final history.

    Args:
        snapshot: what is known at the last origin (or later): nothing in it was published twice.
        block: a block that reads an input.
        series_ids: stored ids of the target series.
        origins: the origins.
        threads: threads to look with.

    Returns:
        None where a history has a hole, or a period came out before an older one: look at each origin instead.
    """
    found = Settled(block_input(snapshot, block, series_ids), origins)
    chunks = _chunks(len(found.source.rows), found.width * 3)
    return found if all(_spread(found.in_order, chunks, threads)) else None


def fill(
    out: Sequence[Floats],
    block: FeatureBlock,
    found: Settled,
    threads: int = 1,
    *,
    then: Callable[[], object] = nothing,
) -> None:
    """Write the columns of a block that its input makes.

    Args:
        out: where they belong, in the order of `feature_names` (without those of the calendar): [origin, series,
            horizon] each, or [origin, series, 1] where the horizon makes no difference (`by_horizon`).
        block: the block.
        found: its input.
        threads: threads to compute with; every number is computed by one of them.
        then: is called each time the columns of some series are written.
    """
    origins, series = out[0].shape[:2]
    chunks = _chunks(series, found.width * 3 + origins * sum(column.shape[2] for column in out))
    if len(found.source.rows) < series:  # one input for all series
        chunks = [slice(0, series)]

    def write(rows: slice) -> None:
        _fill([column[:, rows] for column in out], block, found, rows)
        then()

    _spread(write, chunks, threads)


def by_horizon(block: FeatureBlock) -> list[bool]:
    """Whether a column differs from horizon to horizon, in the order of `feature_names`."""
    later = len(block.known_ahead) + len(block.calendar)
    return [False] * (len(block.columns()) - later) + [True] * later


def _fill(out: Sequence[Floats], block: FeatureBlock, found: Settled, rows: slice) -> None:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = found.values(rows)
        newest = found.newest(rows, values)
        for place, column in zip(out, _columns(block, found, rows, values, newest), strict=True):
            column[~np.isfinite(column)] = np.nan
            place[...] = column


def _columns(block: FeatureBlock, found: Settled, rows: slice, values: Floats, newest: Micros) -> Iterator[Floats]:
    """Columns in the order of `feature_names`, each broadcasting to [origin, series, horizon]."""
    at_edge = _AtEdge(newest, found.width)
    yield from (at_edge(_moved(values, count - 1)) for count in block.latest)
    if block.lag:
        source = found.source
        days = (local_day(moment, source.zone) for moment in found.origins.moments)
        here = np.array([source.panel.timeline.containing(day) for day in days], dtype=np.int64) - source.panel.first
        yield from (_at(values, newest, (here - lag)[:, np.newaxis]) for lag in block.lag)
    yield from (at_edge(_mean(values, count)) for count in block.rolling_mean)
    yield from (at_edge(_deviation(values, count)) for count in block.rolling_std)
    yield from (at_edge(_extreme(values, count, np.minimum)) for count in block.rolling_min)
    yield from (at_edge(_extreme(values, count, np.maximum)) for count in block.rolling_max)
    yield from (at_edge(values - _moved(values, span)) for span in block.difference)
    if block.log_growth:
        logs = logarithm(values)
        yield from (at_edge(100.0 * (logs - _moved(logs, span))) for span in block.log_growth)
    yield from (at_edge(ratio(values, _mean(values, count))) for count in block.ratio)
    if block.age:
        now = np.array([micros(moment) for moment in found.origins.moments], dtype=np.int64)
        published = np.take_along_axis(found.published(rows), np.maximum(newest, 0), axis=1) if found.width else newest
        age = (now - np.where(newest < 0, 0, published)) / MICROS_PER_DAY
        yield np.where(newest < 0, np.nan, age).T[:, :, np.newaxis]
    if block.known_ahead:
        ends = found.origins.ends
        places = [position_of(found.source, end) for end in ends.ravel().astype("datetime64[D]").astype(object)]
        there = np.array(places, dtype=np.int64).reshape(ends.shape)
        column = np.where(there == NEVER, -1 - max(map(abs, block.known_ahead)), there - found.source.panel.first)
        yield from (_at(values, newest, column + offset) for offset in block.known_ahead)


class _AtEdge:
    """Reads a column of every (series, period) at the newest period known at each origin."""

    def __init__(self, newest: Micros, width: int) -> None:
        self._table = np.full((len(newest), width + 1), np.nan)
        self._places = np.where(newest < 0, width, newest) + np.arange(len(newest))[:, np.newaxis] * (width + 1)

    def __call__(self, column: Floats) -> Floats:
        """[origin, series, 1] of a column [series, period]."""
        self._table[:, :-1] = column
        return np.take(self._table, self._places.T)[:, :, np.newaxis]


def _at(values: Floats, newest: Micros, columns: Micros) -> Floats:
    """[origin, series, horizon] values at given columns [origin, horizon], where they were known."""
    there = (columns[:, np.newaxis] >= 0) & (columns[:, np.newaxis] <= newest.T[:, :, np.newaxis])
    if not there.any():
        return np.full(there.shape, np.nan)
    inside = np.clip(columns, 0, values.shape[1] - 1)
    return np.where(there, np.moveaxis(values[:, inside], 0, 1), np.nan)


def _moved(values: Floats, periods: int) -> Floats:
    """[series, period] the value so many periods before; NaN = before the first."""
    out = np.full_like(values, np.nan)
    if periods < values.shape[1]:
        out[:, periods:] = values[:, : values.shape[1] - periods]
    return out


def _summed(values: Floats, count: int, term: Column) -> Floats:
    """[series, window] sum of the terms of each whole window, from its oldest period to its newest."""
    size = values.shape[1] - count + 1
    total = term(values[:, :size])
    for offset in range(1, count):
        total = total + term(values[:, offset : offset + size])
    return total


def _whole(values: Floats, count: int, windows: Callable[[], Floats]) -> Floats:
    """[series, period] a statistic of the window ending at each period; NaN where the window is not whole."""
    out = np.full_like(values, np.nan)
    if count <= values.shape[1]:
        out[:, count - 1 :] = windows()
    return out


def _mean(values: Floats, count: int) -> Floats:
    return _whole(values, count, lambda: _summed(values, count, lambda one: one) / count)


def _deviation(values: Floats, count: int) -> Floats:
    def windows() -> Floats:
        means = _mean(values, count)[:, count - 1 :]
        spread: Floats = np.sqrt(_summed(values, count, lambda one: (one - means) * (one - means)) / (count - 1))
        return spread

    return _whole(values, count, windows)


def _extreme(values: Floats, count: int, pick: Callable[[Floats, Floats], Floats]) -> Floats:
    def windows() -> Floats:
        size = values.shape[1] - count + 1
        found = values[:, :size]
        for offset in range(1, count):
            found = pick(found, values[:, offset : offset + size])
        return found + 0.0

    return _whole(values, count, windows)


def calendar_of(snapshot: Snapshot, block: FeatureBlock, origins: Origins) -> Floats:
    """[origin, 1, horizon, column] calendar columns of a block."""
    first = snapshot.target.series[0] if snapshot.target else next(iter(snapshot.series))
    own = snapshot.target.transform.inputs(first)[0] if snapshot.target else first
    frequency = snapshot.panel(own).timeline.frequency
    columns = calendar_columns(frequency, origins.ends.ravel(), block.calendar)
    return columns.reshape(len(origins.moments), 1, -1, len(block.calendar))


def without_calendar(block: FeatureBlock) -> FeatureBlock:
    """The part of a block that its input makes."""
    return replace(block, calendar=())


def _chunks(count: int, numbers: int) -> list[slice]:
    step = max(1, CHUNK_BYTES // (8 * max(1, numbers)))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _spread(work: Callable[[slice], T], chunks: Sequence[slice], threads: int) -> list[T]:
    if threads < 2 or len(chunks) < 2:
        return [work(chunk) for chunk in chunks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, chunks))
