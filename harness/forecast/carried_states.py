"""States of additive exponential smoothing of many series together, to the bits of `smoothed_states` one by one.

They are carried on from one origin to the next: of a series whose earlier values are the ones smoothed before, only
the new values are smoothed; that of a series any earlier value of which changed is smoothed again from its start.

A state is a column of [part, series]: level, trend, and where any series has them the seasonal terms, each at the
position modulo the season, so that histories that end at different positions go on side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.core.snapshot import Micros
from harness.core.transform import Floats
from harness.forecast.smoothed_states import State, Weights, carried

FEW = 16
"""Series below which it is faster to smooth one after the other."""
LEVEL, TREND, SEASONS = 0, 1, 2
"""Parts of a state; the seasonal terms are the parts from `SEASONS` on."""


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """Histories without a hole.

    Attributes:
        values: [series, period]; what is outside of a history does not matter.
        first: position of column 0 on the timeline.
        begin, end: [series] first column of each history, and the one after its last.
        used: [series] how many of its first values the state before it depends on.
    """

    values: Floats
    first: int
    begin: Micros
    end: Micros
    used: Micros

    @property
    def alone(self) -> Floats:
        """[series, period] values; NaN outside of a history."""
        width = self.values.shape[1]
        if (self.begin == 0).all() and (self.end == width).all():
            return self.values
        column = np.arange(width)
        return np.where((column >= self.begin[:, None]) & (column < self.end[:, None]), self.values, np.nan)


class Carried:
    """The newest state of each series smoothed so far, and what it was smoothed from."""

    def __init__(self, weights: Sequence[Weights]) -> None:
        """Nothing is smoothed yet.

        Args:
            weights: [series] smoothing parameters; NaN = this one cannot be smoothed, its states are NaN.
        """
        told = [(one.level, one.trend, one.seasonal, one.damping) for one in weights]
        self.weights = np.array(told, dtype=np.float64).reshape(-1, 4).T
        self.first, self.seen = 0, np.empty((len(weights), 0))
        self._forget(0)

    def _forget(self, parts: int) -> None:
        count = len(self.seen)
        self.begin, self.end, self.used = (np.zeros(count, dtype=np.int64) for _ in range(3))
        self.start, self.state = np.full((parts, count), np.nan), np.full((parts, count), np.nan)

    def after(self, places: Micros, given: Stretches, parts: int, starts: Callable[[Micros], Floats]) -> Floats:
        """States [part, series] after some histories.

        Args:
            places: which of the series each history is of; each at most once.
            given: the histories.
            parts: of a state.
            starts: states [part, series] before the histories in some of the rows of `given`, asked where they are not
                known. They are trusted to be the same for histories whose first values, as many as are used, are.
        """
        self._align(given.first, given.values.shape[1], parts)
        values, width = given.alone, given.values.shape[1]
        begin, end, seen = self.begin[places], self.end[places] - given.first, self.seen[places]
        changed = (seen != values) & ~np.isnan(seen)
        alike = (begin == given.begin + given.first) & (end > given.begin) & (self.used[places] == given.used)
        same = np.where(changed.any(axis=1), np.argmax(changed, axis=1), width)  # the columns before it
        started = alike & (same >= given.begin + given.used)
        kept = alike & (same == width)
        start, fresh = self.start[:, places], np.flatnonzero(~started)
        if len(fresh):
            start[:, fresh] = starts(fresh)
        states = np.where(kept, self.state[:, places], start)
        _smooth(states, self.weights[:, places], values, np.where(kept, end, given.begin), given)
        self.seen[places], self.start[:, places], self.state[:, places] = values, start, states
        self.begin[places], self.end[places] = given.begin + given.first, given.end + given.first
        self.used[places] = given.used
        return states

    def _align(self, first: int, width: int, parts: int) -> None:
        """Hold what was seen in the columns that are given now, and states of as many parts."""
        if parts != len(self.state):
            self._forget(parts)
        if (first, width) == (self.first, self.seen.shape[1]):
            return
        lost = (self.begin < first) | (self.end > first + width)
        self.end[lost] = self.begin[lost]
        seen, later = np.full((len(self.seen), width), np.nan), self.first - first
        low, high = max(0, later), min(width, later + self.seen.shape[1])
        if low < high:
            seen[:, low:high] = self.seen[:, low - later : high - later]
        self.first, self.seen = first, seen


def _smooth(states: Floats, weights: Floats, values: Floats, since: Micros, given: Stretches) -> None:
    """Carry states on, in place, over the columns from `since` to the end of each history."""
    for low, high in pairwise(np.unique(np.concatenate([since, given.end])).tolist()):
        rows = np.flatnonzero((since <= low) & (given.end >= high))
        if len(rows) >= FEW:
            some = np.ascontiguousarray(values[rows, low:high].T)
            states[:, rows] = carried_together(states[:, rows], weights[:, rows], some, given.first + low)
            continue
        for row in rows.tolist():
            own = Weights(*weights[:, row].tolist())
            state = carried(state_of(states[:, row], given.first + low), own, values[row, low:high])
            states[:, row] = parts_of(state, given.first + high, len(states))


def carried_together(states: Floats, weights: Floats, values: Floats, first: int) -> Floats:
    """States [part, series] after some more values (`smoothed_states.carried` of each series).

    Args:
        states: [part, series] before them.
        weights: [4, series] as in `Weights`.
        values: [period, series].
        first: position of the first period.
    """
    level, trend, seasons = states[LEVEL], states[TREND], states[SEASONS:].copy()
    of_level, of_trend, of_season, damping = weights
    level_stays, trend_stays, season_stays = 1.0 - of_level, (1.0 - of_trend) * damping, 1.0 - of_season
    for position, value in enumerate(values, first):
        drift, before = damping * trend, level
        season = seasons[position % len(seasons)] if len(seasons) else None
        level = of_level * (value if season is None else value - season) + level_stays * (before + drift)
        trend = of_trend * (level - before) + trend_stays * trend
        if season is not None:
            season[:] = of_season * (value - level) + season_stays * season
    return np.vstack([level, trend, seasons])


def ahead_together(states: Floats, weights: Floats, end: Micros, steps: int) -> Floats:
    """Forecasts [series, step] from states (`smoothed_states.ahead` of each series).

    Args:
        states: [part, series].
        weights: [4, series] as in `Weights`.
        end: [series] position of the first step.
        steps: how many.
    """
    level, trend, seasons = states[LEVEL], states[TREND], states[SEASONS:]
    path, every = np.empty((steps, len(end))), np.arange(len(end))
    for step in range(steps):
        trend = weights[3] * trend
        level = level + trend
        path[step] = level + (seasons[(end + step) % len(seasons), every] if len(seasons) else 0.0)
    return path.T


def parts_of(state: State, position: int, parts: int) -> Floats:
    """One state as [part].

    >>> parts_of((1.0, 2.0, (5.0, 4.0, 3.0)), 1, 5).tolist()
    [1.0, 2.0, 5.0, 3.0, 4.0]
    >>> parts_of((1.0, 2.0, ()), 1, 5).tolist()
    [1.0, 2.0, 0.0, 0.0, 0.0]

    Args:
        state: level, trend and seasonal terms, the one of the season that comes next last.
        position: of the period that comes next.
        parts: how many; the terms of a state without any are 0.
    """
    level, trend, seasons = state
    out = np.zeros(parts)
    out[LEVEL], out[TREND] = level, trend
    for later, season in enumerate(reversed(seasons)):
        out[SEASONS + (position + later) % len(seasons)] = season
    return out


def state_of(parts: Floats, position: int) -> State:
    """One state from [part], the period that comes next being at a position.

    >>> state_of(np.array([1.0, 2.0, 5.0, 3.0, 4.0]), 1)
    (1.0, 2.0, (5.0, 4.0, 3.0))
    """
    level, trend, *seasons = parts.tolist()
    return level, trend, tuple(seasons[(position - 1 - place) % len(seasons)] for place in range(len(seasons)))
