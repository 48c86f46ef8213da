"""What a series was known to be at an instant, by the plainest definition: loops over its change rows.

Audits compare the package with this. It imports nothing that they check: no replay, no features, no outcomes, no
vectorised transforms. Periods, days and session calendars are the vocabulary that both sides speak.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from harness.core.errors import UserError
from harness.core.recipe import Target
from harness.core.series import AVAILABILITIES, Series
from harness.core.time import EPOCH, NEVER, Ordinals, instant, period_containing
from harness.core.transform import Transform
from harness.data.announced import EVENT_KINDS
from harness.data.calendars import sessions_known
from harness.data.changes import ChangeFile

MISSING = math.nan
Level = Callable[[str, int], float]
"""(stored id, position) -> level; NaN = unpublished or withdrawn."""


@dataclass(frozen=True, slots=True)
class Stated:
    """One change of one period.

    Attributes:
        published: microseconds UTC.
        value: NaN = withdrawn.
        vintage: microseconds UTC of the number's own vintage; NEVER = hindsight.
        assumed: dated by a rule before the first vintage.
    """

    published: int
    value: float
    vintage: int
    assumed: bool

    @property
    def hindsight(self) -> bool:
        """Whether the number comes from a later vintage than its date, or from none that is known (S5)."""
        return self.vintage == NEVER or self.vintage > self.published


@dataclass(frozen=True, slots=True)
class PlainEvent:
    """One price event.

    Attributes:
        kind: one of `EVENT_KINDS`.
        ex: ordinal of the first period after it.
        announced: microseconds UTC.
        value: ratio, amount or final value; NaN = unknown.
    """

    kind: str
    ex: int
    announced: int
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class PlainSeries:
    """One series and everything ever stated of it.

    Attributes:
        series: its declaration.
        stated: changes by period ordinal, in order of publication.
        events: price events, in order of announcement.
    """

    series: Series
    stated: dict[int, list[Stated]]
    events: tuple[PlainEvent, ...] = ()


def plain_series(changes: ChangeFile, names: Iterable[str]) -> dict[str, PlainSeries]:
    """Everything stated of some series, by stored id."""
    found = {}
    for name in names:
        stated: dict[int, list[Stated]] = {}
        rows = np.flatnonzero(changes.code == changes.codes[name])
        columns = (changes.period, changes.published, changes.value, changes.vintage, changes.availability)
        for period, at, value, vintage, how in zip(*(column[rows].tolist() for column in columns), strict=True):
            assumed = AVAILABILITIES[how] == "assumed"
            stated.setdefault(period, []).append(Stated(at, value, vintage, assumed))
        for said in stated.values():
            said.sort(key=lambda one: one.published)  # stable: of two at one instant the later row stands
        found[name] = PlainSeries(changes.series[name], stated, _events(changes, name))
    return found


def _events(changes: ChangeFile, name: str) -> tuple[PlainEvent, ...]:
    rows = np.flatnonzero(changes.events.code == changes.codes[name])
    told = (changes.events.kind, changes.events.ex, changes.events.announced, changes.events.value)
    return tuple(
        PlainEvent(EVENT_KINDS[kind], ex, at, value)
        for kind, ex, at, value in zip(*(column[rows].tolist() for column in told), strict=True)
    )


def standing(one: PlainSeries, period: int, at: int, *, exclude_hindsight: bool = False) -> Stated | None:
    """The newest statement of a period published by an instant; None = none, or it was withdrawn.

    Args:
        one: the series.
        period: ordinal.
        at: microseconds UTC.
        exclude_hindsight: as if values of a later vintage than their date did not exist.
    """
    newest: Stated | None = None
    for stated in one.stated.get(period, []):
        if stated.published <= at and not (exclude_hindsight and stated.hindsight):
            newest = stated
    return None if newest is None or math.isnan(newest.value) else newest


def first_public(one: PlainSeries, period: int) -> int | None:
    """Microseconds UTC at which any value of a period was first public."""
    for stated in one.stated.get(period, []):
        if not math.isnan(stated.value):
            return stated.published
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """The order of a series' periods as known at one instant: calendar units, or numbered sessions.

    Attributes:
        series: its declaration.
        sessions: ascending epoch days of the sessions; None = positions are ordinals.
    """

    series: Series
    sessions: Ordinals | None

    def position(self, ordinal: int) -> int | None:
        """Position of a period; None for a day that is no session."""
        if self.sessions is None:
            return ordinal
        place = bisect_right(self.sessions, ordinal) - 1
        return place if place >= 0 and self.sessions[place] == ordinal else None

    def ordinal(self, position: int) -> int | None:
        """Ordinal of the period at a position; None beyond the sessions."""
        if self.sessions is None:
            return position
        return int(self.sessions[position]) if 0 <= position < len(self.sessions) else None

    def containing(self, day: date) -> int | None:
        """Position of the period a local day lies in (of sessions, the last one not after it); None = unknown."""
        if self.sessions is not None:
            place = bisect_right(self.sessions, (day - EPOCH).days) - 1
            return place if 0 <= place < len(self.sessions) - 1 else None
        try:
            return period_containing(self.series.parsed, day)
        except UserError:  # outside a declared table of periods
            return None


def order_at(series: Series, at: int) -> Order:
    """The order of periods known at an instant in microseconds UTC."""
    known = sessions_known(series, instant(at)) if series.parsed.kind == "B" else None
    return Order(series, known)


def log(value: float) -> float:
    """Natural logarithm; NaN of what is not positive."""
    return math.log(value) if value > 0 else MISSING


def transformed(transform: Transform, series_id: str, level: Level, start: int, end: int) -> float:
    """The transformed value of the period at position `end`, NaN = undefined.

    Args:
        transform: what to compute.
        series_id: the series it is computed of.
        level: levels of ONE as-of.
        start: first position of the window of a realised volatility; otherwise not used.
        end: position of the period.
    """
    kind, span = transform.kind, transform.span
    if kind == "realised_volatility":
        total = 0.0
        for position in range(start, end + 1):
            total += _variance(transform, series_id, level, position)
        return 100.0 * math.sqrt(total / (end - start + 1))
    new = level(series_id, end)
    if kind == "level":
        return new
    if kind == "spread":
        return new - level(transform.other, end)
    return _change(kind, new, level(series_id, end - span))


def _change(kind: str, new: float, old: float) -> float:
    if kind == "difference":
        return new - old
    if kind in ("log_growth", "log_return"):
        return 100.0 * (log(new) - log(old))
    gone = kind == "return" and new == 0  # all is lost
    return 100.0 * (new / old - 1.0) if (new > 0 or gone) and old > 0 else MISSING


def _variance(transform: Transform, series_id: str, level: Level, position: int) -> float:
    if transform.proxy == "parkinson":
        width = log(level(transform.high, position)) - log(level(transform.low, position))
        return width * width / (4.0 * math.log(2.0))
    step = log(level(series_id, position)) - log(level(series_id, position - 1))
    return step * step


def same(expected: float, found: float, *, exact: bool = False) -> bool:
    """Whether two numbers agree: to the bit, or to a relative 1e-9 where arithmetic came in; NaN equals NaN.

    >>> same(1.0, 1.0 + 1e-12), same(1.0, 1.0 + 1e-12, exact=True), same(math.nan, math.nan)
    (True, False, True)
    """
    if math.isnan(expected) or math.isnan(found):
        return math.isnan(expected) and math.isnan(found)
    return expected == found or (not exact and math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-11))


def evenly(places: range, count: int) -> list[int]:
    """At most `count` of some places, evenly spaced, the first and the last among them.

    >>> evenly(range(10, 20), 4), evenly(range(3), 5)
    ([10, 13, 16, 19], [0, 1, 2])
    """
    if len(places) <= count:
        return list(places)
    if count == 1:
        return [places[-1]]
    return [places[step * (len(places) - 1) // (count - 1)] for step in range(count)]


def looked_at(target: Target, data: Mapping[str, PlainSeries], count: int) -> list[int]:
    """Indices of at most `count` target series, evenly spaced, and of as many of those with price events.

    Args:
        target: what is forecast.
        data: everything stated of its inputs.
        count: how many.
    """
    names = target.series
    moved = [row for row, one in enumerate(names) if any(data[name].events for name in target.transform.inputs(one))]
    return sorted({*evenly(range(len(names)), count), *(moved[place] for place in evenly(range(len(moved)), count))})
