"""Pinned outcomes and training rows written down a second time, one cell at a time, from publications and changes.

Releases are counted by publications that cover the period (S8), growth is taken in the as-of of the end period's own
release (S11), windows look forward (S12), prices are adjusted by the events known then (S13), a label matures with its
release (law 4) and is a row only of a member of the time. Nothing checked is imported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from harness.backtest.splits import Plan
from harness.core.series import Series
from harness.core.time import Frequency, end_of_day, local_day, micros, period_end
from harness.data.changes import ChangeFile
from harness.data.lags import release_micros
from harness.studies.plain_cells import (
    MISSING,
    Stated,
    first_public,
    order_at,
    plain_series,
    standing,
    transformed,
)
from harness.studies.plain_members import PlainMembers
from harness.studies.plain_prices import Factors, adjusted, delisted, factors


@dataclass(frozen=True, slots=True)
class Truth:
    """The pinned outcome of one series and target period.

    Attributes:
        status: `matured`, `pending`, `no_outcome`, `withdrawn` or `delisted`.
        due: microseconds UTC at which it became public; None = not by the archive's end.
        value: NaN unless matured.
        first: microseconds UTC at which any value of the period was first public; None = not by the archive's end.
        hindsight: a value put under an earlier date than its vintage is in it.
    """

    status: str
    due: int | None
    value: float
    first: int | None
    hindsight: bool


@dataclass(frozen=True, slots=True)
class PlainLabel:
    """One training row: pseudo-origin, series, last ordinal of the target window, and the label."""

    origin: int
    series: int
    period: int
    label: float


class PlainTruth:
    """Answers what the outcome of a cell is, remembering what it was asked."""

    def __init__(self, plan: Plan, changes: ChangeFile) -> None:
        """Stand ready.

        Args:
            plan: its experiment, instants and archive end are used, none of its results.
            changes: the change file.
        """
        self.plan, self.target, self.until = plan, plan.experiment.target, plan.until
        names = {name for one in self.target.series for name in self.target.transform.inputs(one)}
        self.data = plain_series(changes, sorted(names))
        self.members = PlainMembers(plan, changes)
        self.covers = {name: _coverage(changes, name) for name in self.data}
        self._base = self.data[self.target.transform.inputs(self.target.series[0])[0]].series
        self._sessions = order_at(self._base, self.until)
        self._memory: dict[tuple[int, int, int], Truth] = {}
        self._windows: dict[tuple[int, int], tuple[int, int]] = {}
        self._factors: dict[tuple[str, int, bool], Factors] = {}

    @property
    def frequency(self) -> Frequency:
        """Frequency of the target."""
        return self._base.parsed

    def window(self, origin: int, horizon: int) -> tuple[int, int]:
        """First and last ordinal of the target's window: forward from the period that contains the origin (S12)."""
        if (origin, horizon) not in self._windows:
            self._windows[origin, horizon] = self._window(origin, horizon)
        return self._windows[origin, horizon]

    def _window(self, origin: int, horizon: int) -> tuple[int, int]:
        moment = self.plan.instants[origin]
        order = order_at(self._base, micros(moment))
        here = order.containing(local_day(moment, self._base.zone))
        width = self.target.transform.span if self.target.transform.is_volatility else 1
        if here is None:
            message = f"origin {moment} lies outside the known periods"
            raise ValueError(message)
        start, end = order.ordinal(here + horizon), order.ordinal(here + horizon + width - 1)
        if start is None or end is None:
            message = f"the target period of origin {moment}, h = {horizon} lies outside the known sessions"
            raise ValueError(message)
        return start, end

    def of(self, series: int, start: int, end: int) -> Truth:
        """The pinned outcome of one target series (its index) and window (ordinals)."""
        key = (series, start, end)
        if key not in self._memory:
            self._memory[key] = self._of(*key)
        return self._memory[key]

    def _of(self, series: int, start: int, end: int) -> Truth:
        found = self._pinned(series, start, end)
        never_traded = self._base.parsed.kind == "B" and self._sessions.position(end) is None
        if found.status == "matured" or never_traded:
            return found
        ended = self._ended(series)
        if ended is None or end < ended[0]:
            return found
        awaited = found.status == "pending" and end == ended[0] and ended[1]
        return found if awaited else Truth("delisted", None, MISSING, found.first, hindsight=False)

    def _ended(self, series: int) -> tuple[int, bool] | None:
        """First period from which one of the inputs is delisted, and whether a final value of that period is told."""
        names = self.target.transform.inputs(self.target.series[series])
        ends = [ended for name in names if (ended := delisted(self.data[name], self.until)) is not None]
        first = min((ex for ex, _ in ends), default=None)
        return None if first is None else (first, any(valued for ex, valued in ends if ex == first))

    def _pinned(self, series: int, start: int, end: int) -> Truth:
        """The outcome as if no series ever ended."""
        names = self.target.transform.inputs(self.target.series[series])
        told = [self._due(name, end) for name in names]
        firsts = [first_public(self.data[name], end) for name in names]
        due = latest_of([at for at, _ in told])
        first = latest_of(firsts)
        shown = first if first is not None and first <= self.until else None
        if self._base.parsed.kind == "B" and self._sessions.position(end) is None:
            return Truth("no_outcome", due, MISSING, shown, hindsight=False)  # that day never traded
        if due is None or due > self.until:
            return Truth("pending", None, MISSING, shown, hindsight=False)
        if not all(captured for _, captured in told):
            return Truth("no_outcome", due, MISSING, shown, hindsight=False)
        if any(standing(self.data[name], end, due) is None for name in names) and first is not None and first <= due:
            return Truth("withdrawn", due, MISSING, shown, hindsight=False)
        value, marked = self.value(series, (start, end), due)
        if math.isnan(value):
            return Truth("no_outcome", due, MISSING, shown, hindsight=False)
        counted = self.target.outcome.kind in ("first", "release")
        assumed = counted and any(self._assumed(name, end) is not None for name in names)
        return Truth("matured", due, value, shown, marked or assumed)

    def value(
        self, series: int, window: tuple[int, int], at: int, *, exclude_hindsight: bool = False
    ) -> tuple[float, bool]:
        """The target's value in ONE as-of, and whether a hindsight number is in it.

        Args:
            series: index of the target series.
            window: first and last ordinal.
            at: microseconds UTC of the as-of.
            exclude_hindsight: as if hindsight values did not exist.
        """
        order = order_at(self._base, at)
        used: list[Stated] = []

        def level(name: str, position: int) -> float:
            ordinal = order.ordinal(position)
            if ordinal is None:
                return MISSING
            stated = standing(self.data[name], ordinal, at, exclude_hindsight=exclude_hindsight)
            if stated is None:
                return MISSING
            used.append(stated)
            return adjusted(stated.value, ordinal, self._counting(name, at, exclude_hindsight=exclude_hindsight))

        end = order.position(window[1])
        if end is None:
            return MISSING, False
        start = end
        if self.target.transform.is_volatility:
            inside = [place for day in range(window[0], window[1] + 1) if (place := order.position(day)) is not None]
            start = inside[0]  # of sessions planned, only those that traded
        number = transformed(self.target.transform, self.target.series[series], level, start, end)
        return number, any(one.hindsight for one in used)

    def _counting(self, name: str, at: int, *, exclude_hindsight: bool) -> Factors:
        """The events of a series that count at an instant."""
        key = (name, at, exclude_hindsight)
        if key not in self._factors:
            one, prices = self.data[name], self.target.prices
            self._factors[key] = factors(one, at, prices, exclude_hindsight=exclude_hindsight)
        return self._factors[key]

    def _due(self, name: str, end: int) -> tuple[int | None, bool]:
        """Microseconds UTC at which an input's part is public, and whether that publication was captured."""
        rule, one = self.target.outcome, self.data[name]
        if rule.kind == "after":
            last = period_end(one.series.parsed, end) + timedelta(days=rule.number)
            return micros(end_of_day(last, one.series.zone)), True
        if rule.kind == "latest":
            first = first_public(one, end)
            return (self.until if first is not None and first <= self.until else None), True
        assumed = self._assumed(name, end)
        if assumed is not None:
            return _assumed_maturity(one.series, end, assumed, rule.number), True
        seen: dict[int, bool] = {}
        for at, low, high, captured in self.covers[name]:
            if low <= end <= high:
                seen[at] = seen.get(at, False) or captured
        instants = sorted(seen)
        if len(instants) < rule.number:
            return None, True
        return instants[rule.number - 1], seen[instants[rule.number - 1]]

    def _assumed(self, name: str, end: int) -> int | None:
        """Date of the row that stands for the time before the first vintage; None = there is none."""
        return next((one.published for one in self.data[name].stated.get(end, []) if one.assumed), None)


def _coverage(changes: ChangeFile, name: str) -> list[tuple[int, int, int, bool]]:
    """Publications of a series: instant, first and last period covered, captured."""
    table = changes.publications
    rows = np.flatnonzero(table.code == changes.codes[name])
    columns = (table.published, table.first, table.last, table.captured)
    return list(zip(*(column[rows].tolist() for column in columns), strict=True))


def _assumed_maturity(series: Series, end: int, assumed: int, number: int) -> int:
    """An assumed value is no release: it matures at its lag rule plus number - 1 publication intervals."""
    if number == 1:
        return assumed
    return max(assumed, int(release_micros(series, np.array([end + number - 1], dtype=np.int64))[0]))


def latest_of(instants: list[int | None]) -> int | None:
    """The latest of several instants; None if one is missing.

    >>> latest_of([3, 5]), latest_of([3, None])
    (5, None)
    """
    known = [at for at in instants if at is not None]
    return max(known) if known and len(known) == len(instants) else None


def plain_labels(truth: PlainTruth, origin: int, horizon: int, series: list[int]) -> list[PlainLabel]:
    """The matured training rows of one origin, in order of pseudo-origin and series.

    A row is one if its label was public by this origin (less the latency), was not yet at its own, and its origin has
    the same place in its target period. In a universe, its series was a member at its own origin.

    Args:
        truth: the plain outcomes of a plan.
        origin: index of the origin T.
        horizon: target periods ahead.
        series: indices of the target series looked at.
    """
    plan, rule = truth.plan, truth.target.outcome.kind
    latency, exclude = plan.experiment.origins.latency, plan.experiment.exclude_hindsight
    now, phases = micros(plan.instants[origin] - latency), _phases(truth)
    rows = []
    for earlier in range(origin):
        if phases[earlier] != phases[origin]:
            continue
        window = truth.window(earlier, horizon)
        for one in series:
            found = truth.of(one, *window)
            public = found.first if rule == "latest" else found.due
            then = micros(plan.instants[earlier] - latency)
            if public is None or not then < public <= now or (exclude and found.hindsight):
                continue
            if not truth.members.asked(earlier, one):
                continue
            label = found.value
            if rule == "latest":
                label = truth.value(one, window, now, exclude_hindsight=exclude)[0]
            if not math.isnan(label):
                rows.append(PlainLabel(earlier, one, window[1], label))
    rolling = plan.experiment.training.rolling
    kept = {row.period for row in rows}
    if rolling is not None:
        kept = set(sorted(kept)[-rolling:])
    return [row for row in rows if row.period in kept]


def _phases(truth: PlainTruth) -> list[int]:
    """Place of every origin within its target period; the first period's origins are taken from the plan.

    Origins before them may have been dropped, so nobody can count from its beginning.
    """
    plan = truth.plan
    inside = [truth.window(origin, 0)[0] for origin in range(len(plan.instants))]
    phases: list[int] = []
    for place, period in enumerate(inside):
        if period == inside[0]:
            phases.append(int(plan.phase[place]))
        else:
            phases.append(phases[-1] + 1 if period == inside[place - 1] else 0)
    return phases


def asked_cells(plan: Plan) -> list[tuple[int, int, int]]:
    """Every issued cell as (origin, series, place of the horizon), in order of origin."""
    count, places = len(plan.experiment.target.series), range(len(plan.experiment.horizons))
    return [(origin, series, place) for origin in plan.issued for series in range(count) for place in places]
