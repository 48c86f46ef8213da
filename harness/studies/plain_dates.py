"""When a row of a raw table became public, by the plainest means: one row, one rule, one day at a time.

The raw-batch scramble alters what this says was public only later. It shares nothing with the reading under test but
the declarations and the calendars: whoever reads a period, a stamp or a lag rule otherwise is found out.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.series import LagRule, Series
from harness.core.time import EPOCH, NEVER, Frequency
from harness.data.calendars import business_calendar
from harness.data.declared import Source

UNKNOWN = NEVER
START = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def stamped(column: pl.Series, zone: str, source_zone: str, date_format: str) -> NDArray[np.int64]:
    """[row] microseconds UTC at which a stamp says something was public; a day is its end in the series' zone."""
    read = {value: _read(value, date_format) for value in column.unique().to_list()}
    told = [moment for moment in read.values() if isinstance(moment, datetime)]
    days = all(moment.tzinfo is None and moment.time() == time() for moment in told)
    found = {value: _instant(moment, zone, source_zone, days=days) for value, moment in read.items()}
    return np.array([found[value] for value in column.to_list()], dtype=np.int64)


def ruled(column: pl.Series, source: Source, series: Series) -> NDArray[np.int64]:
    """[row] microseconds UTC at which the lag rule publishes a row's period; UNKNOWN = no period, or no rule."""
    found: dict[object, int] = {}
    for value in column.unique().to_list():
        end = period_named(value, series.parsed, source.stamp, source.text.date_format)
        found[value] = UNKNOWN if end is None or series.lag is None else released(series.lag, end, series.zone)
    return np.array([found[value] for value in column.to_list()], dtype=np.int64)


def period_named(value: object, frequency: Frequency, stamp: str, date_format: str) -> date | None:
    """The last day of the period that a date, or a name like 2010Q1, 2010-03 or 2010, belongs to; None = unreadable.

    >>> from harness.core.time import parse_frequency
    >>> period_named("2010-02-03", parse_frequency("Q"), "month", "")
    datetime.date(2010, 3, 31)
    """
    text = str(value).strip()
    quarter, month = re.fullmatch(r"(\d{4})[- ]?[Qq]([1-4])", text), re.fullmatch(r"(\d{4})[-Mm](\d{1,2})", text)
    moment = _read(value, date_format)
    if date_format and moment is not None:
        pass
    elif quarter:
        moment = month_end(int(quarter[1]), 3 * int(quarter[2]))
    elif re.fullmatch(r"\d{4}", text):
        moment = date(int(text), 12, 31)
    elif month and 1 <= int(month[2]) <= 12:
        first = date(int(month[1]), int(month[2]), 1)
        moment = first if stamp == "first" else month_end(first.year, first.month)
    if moment is None:
        return None
    return _last_day(moment.date() if isinstance(moment, datetime) else moment, frequency)


def _last_day(day: date, frequency: Frequency) -> date | None:
    if frequency.kind in "DB":
        return day
    if frequency.kind == "T":
        return next((end for end in frequency.table if end >= day), None)
    if frequency.kind == "W":
        while day.weekday() != frequency.anchor:
            day += DAY
        return day
    length = {"M": 1, "Q": 3, "A": 12}[frequency.kind]
    while (day.month - frequency.anchor) % length:
        day = month_end(day.year, day.month) + DAY
    return month_end(day.year, day.month)


def month_end(year: int, month: int) -> date:
    """The last day of a month."""
    return date(year, month, monthrange(year, month)[1])


def released(rule: LagRule, end: date, zone: str) -> int:
    """Microseconds UTC at which a lag rule publishes the period ending on a day; UNKNOWN = its calendar lacks it.

    Args:
        rule: the lag rule.
        end: last day of the period.
        zone: of the series; the rule's own goes before it.
    """
    listed = {**dict(rule.dates if rule.kind == "dates" else ()), **dict(rule.exceptions)}
    if end in listed:
        day: date | None = listed[end]
    else:
        day = None if rule.kind == "dates" else _by_rule(rule, end)
    if day is None:
        return UNKNOWN
    if rule.at is None:
        return _micros(_over(day, rule.zone or zone))
    clock = datetime.combine(day, rule.at, ZoneInfo(rule.zone or zone))
    return max(_micros(clock.replace(fold=fold)) for fold in (0, 1))


def _by_rule(rule: LagRule, end: date) -> date | None:
    opens = _opens(rule.calendar)
    if rule.kind == "calendar_days":
        return end + rule.n * DAY
    if rule.kind == "business_days":
        return _business_days_from(end, rule.n, opens)
    place = end.year * 12 + end.month - 1 + rule.months_after
    last = month_end(place // 12, place % 12 + 1)
    days = [last.replace(day=number) for number in range(1, last.day + 1)]
    if rule.kind == "day_of_month":
        return days[min(rule.n, last.day) - 1]
    if rule.kind == "nth_weekday":
        days = [day for day in days if day.weekday() == rule.weekday]
    else:
        days = [day for day in days if opens(day)]
    n = -1 if rule.kind == "last_business_day" else rule.n
    return days[n - 1 if n > 0 else n] if len(days) >= abs(n) else None


def _business_days_from(day: date, n: int, opens: Callable[[date], bool]) -> date:
    """The n-th business day after a day; for n <= 0 the |n|-th before the first one not before it."""
    left, step = (n, DAY) if n > 0 else (-n, -DAY)
    while n <= 0 and not opens(day):
        day += DAY
    while left:
        day += step
        left -= opens(day)
    return day


@lru_cache(maxsize=16)
def _opens(calendar: str) -> Callable[[date], bool]:
    open_days = frozenset(business_calendar(calendar).days.tolist())
    return lambda day: (day - EPOCH).days in open_days


def _read(value: object, date_format: str) -> date | datetime | None:
    if value is None or isinstance(value, (date, datetime)):
        return value
    text = str(value).strip()
    if date_format:
        try:
            return datetime.strptime(text, date_format)  # noqa: DTZ007 - the zone is given beside it
        except ValueError:
            pass
    try:
        return date.fromisoformat(text) if len(text) <= len("2020-01-01") else datetime.fromisoformat(text)
    except ValueError:
        return None


def _instant(moment: date | datetime | None, zone: str, source_zone: str, *, days: bool) -> int:
    if moment is None:
        return UNKNOWN
    if isinstance(moment, datetime) and not days:
        local = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(source_zone or zone))
        return _micros(local)
    return _micros(_over(moment.date() if isinstance(moment, datetime) else moment, zone))


def _over(day: date, zone: str) -> datetime:
    """The midnight that ends a day."""
    return datetime.combine(day + DAY, time(), ZoneInfo(zone))


def _micros(moment: datetime) -> int:
    return (moment - START) // timedelta(microseconds=1)
