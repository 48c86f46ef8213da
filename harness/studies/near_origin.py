"""How close to the origins values came out, and how old the newest of them were: same-day releases, stale inputs."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from statistics import median

import numpy as np
import polars as pl

from harness.backtest.splits import Plan
from harness.core.series import Series
from harness.core.time import EPOCH, Ordinals, end_of_day, instant, local_day, micros, period_end
from harness.data.calendars import sessions_between
from harness.data.changes import ChangeFile
from harness.studies.plain_cells import PlainSeries, first_public
from harness.studies.plain_members import PlainMembers
from harness.studies.plain_prices import delisted
from harness.studies.verdict import Finding

MICROS_PER_HOUR = 3_600_000_000
SAME_DAY = {
    "series_id": pl.String(),
    "scored_origins": pl.Int64(),
    "with_same_day": pl.Int64(),
    "before": pl.Int64(),
    "at": pl.Int64(),
    "after": pl.Int64(),
    "date_only": pl.Int64(),
    "hours_to_nearest_before": pl.Float64(),
    "hours_to_nearest_after": pl.Float64(),
}
STALE = {
    "series_id": pl.String(),
    "unit": pl.String(),
    "usual_lag": pl.Float64(),
    "usual_gap": pl.Float64(),
    "limit": pl.Float64(),
    "oldest": pl.Float64(),
    "stale": pl.Int64(),
    "share": pl.Float64(),
    "first": pl.Datetime("us", "UTC"),
}
GAPS = 0.95
"""Share of the gaps between new periods that count as usual: a quarter's end, a long weekend."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When new periods of one series came out.

    Attributes:
        published: microseconds UTC, ascending.
        newest: ordinal of the newest period public from then on.
        fresh: (instant, period) of every publication that made a newer period public than any before it.
    """

    published: list[int]
    newest: list[int]
    fresh: list[tuple[int, int]]

    def newest_by(self, at: int) -> int | None:
        """Ordinal of the newest period public at an instant in microseconds UTC; None = nothing yet."""
        place = bisect_right(self.published, at) - 1
        return self.newest[place] if place >= 0 else None


def arrivals(one: PlainSeries) -> Arrivals:
    """When new periods of a series first came out; a period withdrawn later counts as having been there."""
    first = sorted((at, period) for period in one.stated if (at := first_public(one, period)) is not None)
    published: list[int] = []
    newest: list[int] = []
    fresh: dict[int, int] = {}
    for at, period in first:
        if not newest or period > newest[-1]:
            fresh[at] = period  # of several at one instant the newest stays
        published.append(at)
        newest.append(max(period, newest[-1]) if newest else period)
    return Arrivals(published, newest, list(fresh.items()))


def same_day(plan: Plan, changes: ChangeFile) -> tuple[pl.DataFrame, list[Finding]]:
    """Publications on a scored origin's own local day, per input: what decides which of them are known.

    A stamp at the local midnight that ends its day is a date without a time of day.

    Returns:
        One row per input, counts over all scored origins; and a finding per input some of whose same-day publications
        are known only because the end of a day counts as known, or come out later that day.
    """
    scored = range(plan.first_scored, len(plan.instants))
    rows, findings = [], []
    for name in plan.inputs:
        mine = changes.publications.code == changes.codes[name]
        published = sorted(set(changes.publications.published[mine].tolist()))
        near = _own_days(plan, scored, published, changes.series[name].zone)
        with_one = sum(bool(one.before + one.at + one.after) for one in near)
        before, there = sum(one.before for one in near), sum(one.at for one in near)
        after, dated = sum(one.after for one in near), sum(one.dated for one in near)
        nearest = _nearest(plan, scored, published)
        rows.append((name, len(scored), with_one, before, there, after, dated, *nearest))
        odd = [origin for origin, one in zip(scored, near, strict=True) if one.at + one.after + one.dated]
        if odd:
            said = (
                f"{before} before, {there} at and {after} after the origin's instant; {dated} are dates without a time"
            )
            findings.append(
                Finding(
                    "facts", "same day", plan.instants[odd[0]], "inputs", series_id=name,
                    expected="releases on other days than the origin's",
                    found=f"{with_one} of {len(scored)} scored origins have one on their own day: {said}",
                    cells=with_one,
                )
            )  # fmt: skip
    return pl.DataFrame(rows, schema=SAME_DAY, orient="row"), findings


@dataclass(frozen=True, slots=True)
class _OwnDay:
    """Publications on one origin's own day: before, at and after what is known, and dates without a time among them."""

    before: int
    at: int
    after: int
    dated: int


def _own_days(plan: Plan, scored: range, published: list[int], zone: str) -> list[_OwnDay]:
    by_day: dict[date, list[int]] = defaultdict(list)
    for at in published:
        by_day[local_day(instant(at), zone)].append(at)
    found = []
    for origin in scored:
        known = micros(plan.instants[origin] - plan.experiment.origins.latency)
        day = local_day(plan.instants[origin], zone)
        near, over = by_day.get(day, []), micros(end_of_day(day, zone))
        counts = (sum(at < known for at in near), sum(at == known for at in near), sum(at > known for at in near))
        found.append(_OwnDay(*counts, sum(at == over for at in near)))
    return found


def _nearest(plan: Plan, scored: range, published: list[int]) -> tuple[float | None, float | None]:
    """Hours from the newest publication known to the origin, and on to the next one: the least over all origins."""
    before: list[float] = []
    after: list[float] = []
    for origin in scored:
        known = micros(plan.instants[origin] - plan.experiment.origins.latency)
        place = bisect_right(published, known)
        before += [(known - published[place - 1]) / MICROS_PER_HOUR] if place else []
        after += [(published[place] - known) / MICROS_PER_HOUR] if place < len(published) else []
    return min(before, default=None), min(after, default=None)


def stale_inputs(
    plan: Plan, data: Mapping[str, PlainSeries], members: PlainMembers, arrived: Mapping[str, Arrivals]
) -> tuple[pl.DataFrame, list[Finding]]:
    """How long before each scored origin the newest known period of every input ended, against what is usual.

    Usual are the lag with which new periods come out plus one and a half times the median gap between them (or the
    longest of all but 5 % of the gaps, if that is longer), so that a missed release shows. Days count; of sessions,
    sessions. Origins at which a series is known to be delisted, or is read only for targets that are no members, do not
    count.

    Returns:
        One row per input, and a finding per input that was staler than that at a scored origin.
    """
    rows, findings = [], []
    for name in plan.inputs:
        clock = _Clock(data[name].series)
        lag, gap, limit = _usual(arrived[name], clock)
        ages: list[tuple[float, int]] = []
        for origin in _read_at(plan, data[name], members, name):
            known = micros(plan.instants[origin] - plan.experiment.origins.latency)
            newest = arrived[name].newest_by(known)
            age = math.inf if newest is None else clock.age(newest, known)
            ages.append((age, origin))
        late = [(age, origin) for age, origin in ages if age > limit]
        first = plan.instants[late[0][1]] if late else None
        oldest = max(ages)[0] if ages else None
        share = len(late) / len(ages) if ages else None
        rows.append((name, clock.unit, lag, gap, limit, oldest, len(late), share, first))
        if late:
            findings.append(
                Finding(
                    "facts", "stale input", first, "inputs", series_id=name,
                    expected=f"newest known period ended at most {limit:g} {clock.unit} before the origin",
                    found=f"{late[0][0]:g} {clock.unit} there, at most {max(late)[0]:g}; "
                    f"so at {len(late)} of {len(ages)} scored origins ({len(late) / len(ages):.0%})",
                    cells=len(late),
                )
            )  # fmt: skip
    return pl.DataFrame(rows, schema=STALE, orient="row"), findings


def _read_at(plan: Plan, one: PlainSeries, members: PlainMembers, name: str) -> Iterator[int]:
    """Scored origins at which an input is read and has not ended, as was known there."""
    target = plan.experiment.target
    mine = [row for row, own in enumerate(target.series) if name in target.transform.inputs(own)]
    others = {
        each for block in plan.experiment.features if block.series for each in block.transform.inputs(block.series)
    }
    for origin in range(plan.first_scored, len(plan.instants)):
        moment = plan.instants[origin]
        ended = delisted(one, micros(moment - plan.experiment.origins.latency))
        gone = ended is not None and period_end(one.series.parsed, ended[0]) <= local_day(moment, one.series.zone)
        if not gone and (name in others or any(members.asked(origin, row) for row in mine)):
            yield origin


class _Clock:
    """Counts days, or for a series of sessions the sessions that traded."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.unit = "sessions" if series.parsed.kind == "B" else "days"
        self._sessions: Ordinals | None = None
        if series.parsed.kind == "B":
            self._sessions = sessions_between(series, date(1900, 1, 1), date(2035, 12, 31))

    def at(self, day: date) -> int:
        """Number of a day."""
        number = (day - EPOCH).days
        return number if self._sessions is None else int(np.searchsorted(self._sessions, number, side="right"))

    def age(self, period: int, known: int) -> float:
        """Days or sessions from a period's last day to the local day of an instant in microseconds UTC."""
        end = period_end(self.series.parsed, period)
        return float(self.at(local_day(instant(known), self.series.zone)) - self.at(end))


def _usual(arrived: Arrivals, clock: _Clock) -> tuple[float, float, float]:
    """Usual lag of new periods, usual gap between them, and the age up to which the newest is not stale."""
    fresh = arrived.fresh
    # the first publication states a whole past at once: no measure of how late new periods come out
    lags = sorted(clock.age(period, at) for at, period in fresh[1:]) or [0.0]
    days = [clock.at(local_day(instant(at), clock.series.zone)) for at, _ in fresh]
    gaps = sorted(float(late - early) for early, late in pairwise(days)) or [math.inf]
    lag, gap = _late(lags), float(median(gaps))
    return float(median(lags)), gap, lag + max(1.5 * gap, _late(gaps))


def _late(ascending: list[float]) -> float:
    return ascending[min(len(ascending) - 1, math.ceil(GAPS * len(ascending)) - 1)]


def all_arrivals(data: Mapping[str, PlainSeries], names: Iterable[str]) -> dict[str, Arrivals]:
    """`arrivals` of several series, by stored id."""
    return {name: arrivals(data[name]) for name in names}
