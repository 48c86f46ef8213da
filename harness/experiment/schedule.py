"""[origins]: when forecasts are issued, from phrases like "quarter end" or "third friday" to a schedule."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from harness.backtest.schedule import local_instant
from harness.core.reading import Table, meant
from harness.core.recipe import Origins, Schedule
from harness.core.time import local_day
from harness.experiment.keys import KEYS, LEAST

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NTH = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4}
PHRASES = {
    "month end": Schedule("month_end"),
    "business month end": Schedule("business_month_end"),
    "quarter end": Schedule("quarter_end"),
    "session": Schedule("sessions"),
}
EVERY = '"month end", "business month end", "quarter end", "session", "N sessions", "friday", "third friday" or dates'
YEARS = (1800, 2200)
"""First and last year in which an origin may lie."""
NEAR = f"a day between the years {YEARS[0]} and {YEARS[1]}"
LONGEST_LATENCY = timedelta(days=3660)
UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}


def read_origins(table: Table, zone: str) -> Origins | None:
    """The origins in the target's zone, or None where schedule or first origin cannot be made out."""
    table.only(KEYS["origins"])
    warm_up = table.integer("warm_up", 0, least=LEAST["warm_up"])
    latency = _read_latency(table)
    every = _read_schedule(table, zone)
    last, first = _near(table, "last"), _near(table, "first")
    if every is not None and every.kind == "dates" and "first" not in table.values:
        first = _first_listed(table, every, warm_up, zone)
    elif not table.required("first", "first = 2010-03-31, the first scored origin"):
        return None
    if every is None or first is None:
        return None
    return Origins(every, first, last, warm_up, latency, zone)


def _near(table: Table, key: str) -> date | None:
    """A day within `YEARS`, or None."""
    day = table.day(key)
    if day is None or is_near(day):
        return day
    table.bad(key, NEAR)
    return None


def is_near(day: date) -> bool:
    """Whether a day lies in a year that an origin may have.

    >>> is_near(date(2010, 3, 31)), is_near(date(1, 1, 31))
    (True, False)
    """
    return YEARS[0] <= day.year <= YEARS[1]


def _first_listed(table: Table, every: Schedule, warm_up: int, zone: str) -> date | None:
    if warm_up >= len(every.dates):
        table.bad("warm_up", f"leaves none of the {len(every.dates)} listed origins to be scored")
        return None
    day = every.dates[warm_up]
    return local_day(day, zone) if isinstance(day, datetime) else day


def _read_schedule(table: Table, zone: str) -> Schedule | None:
    at = _read_time(table)
    calendar = table.text("calendar")
    pseudo = _read_dates(table, "pseudo", at, zone) if "pseudo" in table.values else ()
    if not table.required("every", 'every = "quarter end"'):
        return None
    value = table.values["every"]
    if isinstance(value, list):
        dates = _read_dates(table, "every", at, zone)
        if not value:
            table.bad("every", "at least one origin is needed")
        return Schedule("dates", dates=dates, at=at, pseudo=pseudo or ()) if dates else None
    every = parse_every(value) if isinstance(value, str) else None
    if every is None:
        table.bad("every", EVERY, hint=meant(value, [*PHRASES, *WEEKDAYS, "third friday", "5 sessions"]))
        return None
    if calendar and every.kind != "business_month_end":
        table.bad("calendar", 'belongs to every = "business month end" only; sessions are those of the target')
    return replace(every, at=at, calendar=calendar, pseudo=pseudo or ())


def parse_every(phrase: str) -> Schedule | None:
    """The schedule a phrase names, or None.

    >>> parse_every("third friday") == Schedule("nth_weekday", n=3, weekday=4)
    True
    """
    words = phrase.lower().split()
    if " ".join(words) in PHRASES:
        return PHRASES[" ".join(words)]
    if (match := re.fullmatch(r"([1-9]\d*) sessions?", " ".join(words))) is not None:
        return Schedule("sessions", n=int(match[1]))
    if words and words[0] == "weekday":
        words = words[1:]
    if words and words[-1] in WEEKDAYS:
        weekday = WEEKDAYS.index(words[-1])
        if len(words) == 1:
            return Schedule("weekday", weekday=weekday)
        if len(words) == 2 and words[0] in NTH:
            return Schedule("nth_weekday", n=NTH[words[0]], weekday=weekday)
    return None


def _read_dates(table: Table, key: str, at: time | None, zone: str) -> tuple[date | datetime, ...] | None:
    """Dates, and datetimes made aware in `zone`, in order of time; None (and a note) when one of them is neither."""
    value = table.values[key]
    items = value if isinstance(value, list) else [value]
    days = [item for item in items if isinstance(item, date)]
    if len(days) != len(items):
        table.bad(key, "a list of dates or local datetimes without quotes, like [2020-03-31, 2020-06-30T17:00:00]")
        return None
    if not all(map(is_near, days)):
        table.bad(key, NEAR)
        return None
    local = ZoneInfo(zone)
    aware = [day.replace(tzinfo=local) if isinstance(day, datetime) and day.tzinfo is None else day for day in days]
    moments = {day if isinstance(day, datetime) else local_instant(day, at, zone): day for day in aware}
    if len(moments) != len(days):
        table.bad(key, "a date is listed twice")
        return None
    return tuple(moments[moment] for moment in sorted(moments))


def _read_time(table: Table) -> time | None:
    value = table.values.get("time")
    if value is None or (isinstance(value, time) and value.tzinfo is None):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d\d:\d\d(:\d\d)?", value):
        try:
            return time.fromisoformat(value)
        except ValueError:
            pass
    table.bad("time", 'a local time of day, like 17:00:00 or "17:00"', hint="leave it out for the end of the day")
    return None


def _read_latency(table: Table) -> timedelta:
    value = table.values.get("latency", "0 days")
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+) ?([a-z]+?)s?", value.strip())) is not None:
        seconds = UNITS.get(match[2])
        if seconds is not None:
            if int(match[1]) * seconds < LONGEST_LATENCY.total_seconds():
                return timedelta(seconds=int(match[1]) * seconds)
            table.bad("latency", f"shorter than {LONGEST_LATENCY.days} days")
            return timedelta(0)
    if value != 0 or isinstance(value, bool):
        table.bad("latency", 'a number and a unit, like "15 minutes", "2 hours" or "1 day"')
    return timedelta(0)
