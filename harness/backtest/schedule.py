"""When forecasts are issued: the origins of a schedule, and the same rule carried back before the first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from harness.core.errors import UserError
from harness.core.recipe import Origins, Schedule
from harness.core.series import Series
from harness.core.time import EPOCH, end_of_day, local_day
from harness.data.calendars import business_calendar, sessions_between

DAY = timedelta(days=1)


def local_instant(day: date, at: time | None, zone: str) -> datetime:
    """The instant a forecast is issued on a local day: its end, or the local time (of two, the later one)."""
    if at is None:
        return end_of_day(day, zone)
    naive = datetime.combine(day, at)
    both = [naive.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)]
    return max(both)


def origin_instants(origins: Origins, series: Series, earliest: datetime, latest: datetime) -> list[datetime]:
    """Every origin of the schedule within [earliest, latest], ascending.

    Args:
        origins: the schedule and its zone.
        series: the (first) target series, for its session calendar.
        earliest: nothing earlier is wanted (pseudo-origins reach back to it).
        latest: nothing later is wanted.

    Raises:
        UserError: sessions asked of a series that has none, or unsorted explicit dates.
    """
    schedule = origins.every
    if schedule.kind == "dates":
        listed = [_given(day, schedule, origins.zone) for day in (*schedule.pseudo, *schedule.dates)]
        if any(later <= earlier for earlier, later in pairwise(listed)):
            raise UserError("origins are not in order", rule="ascending, without repeats, pseudo-origins before them")
        return [moment for moment in listed if earliest <= moment <= latest]
    low, high = local_day(earliest, origins.zone) - DAY, local_day(latest, origins.zone) + DAY
    days = list(_days(origins, series, low, high))
    found = [local_instant(day, schedule.at, origins.zone) for day in days]
    if schedule.pseudo:
        start = local_instant(origins.first, schedule.at, origins.zone)
        declared = [_given(day, schedule, origins.zone) for day in schedule.pseudo]
        found = [*(moment for moment in declared if moment < start), *(moment for moment in found if moment >= start)]
    return [moment for moment in found if earliest <= moment <= latest]


def _given(day: date | datetime, schedule: Schedule, zone: str) -> datetime:
    if isinstance(day, datetime):
        return (day if day.tzinfo else day.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    return local_instant(day, schedule.at, zone)


def _months(low: date, high: date) -> Iterator[date]:
    year, month = low.year, low.month
    while date(year, month, 1) <= high:
        yield date(year, month, 1)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


def _month_end(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1) - DAY


def _days(origins: Origins, series: Series, low: date, high: date) -> Iterator[date]:
    schedule = origins.every
    if schedule.kind == "sessions":
        yield from _sessions(origins, series, low, high)
        return
    if schedule.kind == "weekday":
        start = low + timedelta(days=(schedule.weekday - low.weekday()) % 7)
        for number in range((high - start).days // 7 + 1):
            yield start + timedelta(days=7 * number)
        return
    for first in _months(low, high):
        day = _of_month(schedule, first, series)
        if day is not None and low <= day <= high:
            yield day


def _of_month(schedule: Schedule, first: date, series: Series) -> date | None:
    last = _month_end(first)
    if schedule.kind == "month_end":
        return last
    if schedule.kind == "quarter_end":
        return last if last.month % 3 == 0 else None
    if schedule.kind == "business_month_end":
        calendar = business_calendar(schedule.calendar or series.calendar)
        candidates = [last - number * DAY for number in range(15)]
        open_days = calendar.is_business_day(np.array(candidates, dtype="datetime64[D]"))
        return candidates[int(np.argmax(open_days))]
    nth = first + timedelta(days=(schedule.weekday - first.weekday()) % 7 + 7 * (schedule.n - 1))
    return nth if nth.month == first.month else None


def _sessions(origins: Origins, series: Series, low: date, high: date) -> Iterator[date]:
    """Every n-th session, counted from the first origin in both directions (on the days that really traded)."""
    if series.parsed.kind != "B":
        raise UserError(
            "origins by session need a series of sessions",
            value=f"{series.id} has frequency {series.frequency}",
            fix='use every = "month end", "friday", ... or declare frequency B with a calendar',
        )
    days = sessions_between(series, low, high)
    anchor = int(np.searchsorted(days, (origins.first - EPOCH).days, side="left"))
    for day in days[anchor % origins.every.n :: origins.every.n]:
        yield EPOCH + timedelta(days=int(day))
