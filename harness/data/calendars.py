"""Which days are sessions or business days, and since when a closure was known.

The calendars themselves are the work of pandas-market-calendars and holidays; this file only adds when an unscheduled
closure was announced. Scheduled holidays count as always known, as the library states them today.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import DataError, UnknownNameError, UserError
from harness.core.series import Series
from harness.core.time import EPOCH, Ordinals, end_of_day, micros

Days = NDArray[np.datetime64]
FIRST_DAY = date(1900, 1, 1)
LAST_SESSION_DAY = date(2035, 12, 31)
LAST_BUSINESS_DAY = date(2100, 12, 31)
HOLIDAYS_PREFIX = "holidays:"
HALF_WINDOW = 366
"""A weekday trades around a day if it traded within so many days of it (1968 had months of Wednesdays off)."""


@dataclass(frozen=True, slots=True, eq=False)
class BusinessCalendar:
    """The business days of one named calendar, 1900 to 2100.

    Attributes:
        name: the calendar's name; "" = Monday to Friday.
        days: ascending epoch days.
    """

    name: str
    days: Ordinals

    def is_business_day(self, days: Days) -> NDArray[np.bool_]:
        """Whether each day is a business day."""
        return np.isin(_numbers(days), self.days)

    def add_business_days(self, days: Days, n: int) -> Days:
        """The n-th business day after each day; before it for negative n; on or after it for n = 0.

        >>> friday, saturday = np.array(["2024-05-03", "2024-05-04"], dtype="datetime64[D]")
        >>> business_calendar("").add_business_days(np.array([friday, saturday]), 1).astype(str).tolist()
        ['2024-05-06', '2024-05-06']

        Raises:
            UserError: the answer lies outside 1900 to 2100.
        """
        number = _numbers(days)
        if n > 0:
            places = np.searchsorted(self.days, number, side="right") + n - 1
        else:
            places = np.searchsorted(self.days, number, side="left") + n
        outside = (places < 0) | (places >= len(self.days)) | (number < _epoch_day(FIRST_DAY))
        if outside.any():
            raise UserError(
                "business day outside the calendar",
                value=np.atleast_1d(days)[np.atleast_1d(outside)][0],
                rule=f"calendars reach from {FIRST_DAY} to {LAST_BUSINESS_DAY}",
            )
        return cast("Days", self.days[places].astype("datetime64[D]"))


@lru_cache(maxsize=64)
def business_calendar(name: str) -> BusinessCalendar:
    """The business days of a named calendar.

    Args:
        name: an exchange or bond market of pandas-market-calendars ("XNYS", "SIFMA_US"), a country, subdivision or
            financial calendar of holidays ("holidays:US", "holidays:GB/ENG", "holidays:ECB"; "holidays:GB" has only
            what all parts of the kingdom share, so not Easter Monday), or "" for Monday to Friday.

    Raises:
        UnknownNameError: no such calendar.
        UserError: the installed library cannot compute it.
    """
    return BusinessCalendar(name, _open_days(name))


def session_days(series: Series) -> Ordinals:
    """Epoch days of every session ever scheduled, 1900 to 2035: days that traded and unscheduled closures.

    Ascending and read-only. A superset of what is known at any instant; it does not depend on the clock.

    Raises:
        UserError: the series has no calendar, or a declared closure falls on a weekday that never trades.
    """
    return _schedule(*_key(series)).scheduled


def sessions_between(series: Series, first_day: date, last_day: date) -> Ordinals:
    """Epoch days from `first_day` to `last_day` (both included) that really traded, as known in hindsight."""
    schedule = _schedule(*_key(series))
    traded = np.delete(schedule.scheduled, schedule.places)
    low, high = np.searchsorted(traded, [_epoch_day(first_day), _epoch_day(last_day) + 1])
    return traded[low:high]


def sessions_known(series: Series, instant: datetime) -> Ordinals:
    """Epoch days of the sessions as known at an instant: those scheduled, less the closures announced by then.

    An unscheduled closure for which no announcement is declared counts as announced when its day begins in the
    series' zone: late rather than early.
    """
    schedule = _schedule(*_key(series))
    return np.delete(schedule.scheduled, schedule.places[schedule.announced <= micros(instant)])


def closures(series: Series) -> tuple[Ordinals, Ordinals]:
    """Unscheduled closures: their epoch days, ascending, and the microseconds UTC at which each was announced."""
    schedule = _schedule(*_key(series))
    return schedule.scheduled[schedule.places], schedule.announced


@dataclass(frozen=True, slots=True, eq=False)
class _Schedule:
    """Scheduled sessions (epoch days), the places of the unscheduled closures in them, and their announcements."""

    scheduled: Ordinals
    places: Ordinals
    announced: Ordinals


def _key(series: Series) -> tuple[str, str, tuple[tuple[date, str], ...]]:
    if series.parsed.kind != "B":
        raise UserError(
            "only a series of sessions has a session calendar",
            value=f"{series.id} ({series.frequency})",
            fix='declare frequency = "B" and a calendar',
        )
    return series.calendar, series.zone, series.closures


@lru_cache(maxsize=64)
def _schedule(name: str, zone: str, declared: tuple[tuple[date, str], ...]) -> _Schedule:
    traded = _open_days(name)
    traded = traded[traded <= _epoch_day(LAST_SESSION_DAY)]
    announced = {day: micros(end_of_day(_day(day - 1), zone)) for day in _unscheduled(name, traded)}
    for day, text in declared:
        number = _epoch_day(day)
        if not _weekday_trades(traded, number):
            raise UserError(
                "a closure on a day that is never a session", value=f"{day:%A} {day}", rule=f"calendar {name}"
            )
        announced[number] = micros(_announcement(text, zone))
    days = np.array(sorted(announced), dtype=np.int64)
    scheduled = np.union1d(traded, days)
    instants = np.array([announced[int(day)] for day in days], dtype=np.int64)
    schedule = _Schedule(scheduled, np.searchsorted(scheduled, days).astype(np.int64), instants)
    for array in (schedule.scheduled, schedule.places, schedule.announced):
        array.flags.writeable = False
    return schedule


def _announcement(text: str, zone: str) -> datetime:
    """An announcement's instant; a date alone is the end of that day."""
    try:
        if len(text) == len("2012-10-28"):
            return end_of_day(date.fromisoformat(text), zone)
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(
            "unreadable announcement of a closure", value=repr(text), rule="2012-10-28 or 2012-10-28T21:00:00-04:00"
        ) from error


def _weekday_trades(traded: Ordinals, day: int) -> bool:
    low, high = np.searchsorted(traded, [day - HALF_WINDOW, day + HALF_WINDOW])
    return bool(np.any((traded[low:high] - day) % 7 == 0))


def _unscheduled(name: str, traded: Ordinals) -> list[int]:
    """Days closed out of turn that would have been sessions: ad hoc days less weekends, rest days and Good Fridays.

    Good Fridays stand in some libraries' ad hoc lists because their rule is intricate; nobody was surprised by one.
    """
    if name.startswith(HOLIDAYS_PREFIX):
        return []
    from pandas.tseries.holiday import GoodFriday  # noqa: PLC0415 - pandas is slow to import

    market, span = _market(name), (str(FIRST_DAY), str(LAST_SESSION_DAY))
    with _library_warnings():
        regular = market.regular_holidays
        known = [GoodFriday.dates(*span), *([regular.holidays(*span)] if regular is not None else [])]
        listed = {int(_epoch_days([day])[0]) for day in market.adhoc_holidays}
    listed -= set(traded.tolist()).union(*(_epoch_days(days).tolist() for days in known))
    reached = (day for day in listed if _epoch_day(FIRST_DAY) <= day <= _epoch_day(LAST_SESSION_DAY))
    return [day for day in reached if _weekday_trades(traded, day)]


@lru_cache(maxsize=64)
def _open_days(name: str) -> Ordinals:
    if not name:
        every = np.arange(_epoch_day(FIRST_DAY), _epoch_day(LAST_BUSINESS_DAY) + 1, dtype=np.int64)
        days = every[np.is_busday(every.astype("datetime64[D]"))]
    elif name.startswith(HOLIDAYS_PREFIX):
        days = _working_days(name)
    else:
        days = _trading_days(name)
    days.flags.writeable = False
    return days


def _trading_days(name: str) -> Ordinals:
    market = _market(name)
    with _library_warnings():
        try:
            days = market.valid_days(str(FIRST_DAY), str(LAST_BUSINESS_DAY), tz=None)
        except NotImplementedError as error:
            raise UserError(
                "the installed pandas-market-calendars cannot compute this calendar",
                value=name,
                fix="name another exchange of the same country, or a holidays: calendar",
            ) from error
    return _epoch_days(days)


def _working_days(name: str) -> Ordinals:
    import holidays  # noqa: PLC0415 - slow to import

    place, _, part = name.removeprefix(HOLIDAYS_PREFIX).partition("/")
    countries = holidays.list_supported_countries()
    calendar: holidays.HolidayBase
    if place in countries and (not part or part in countries[place]):
        calendar = holidays.country_holidays(place, subdiv=part or None)
    elif place in holidays.list_supported_financial() and not part:
        calendar = holidays.financial_holidays(place)
    else:
        known = [*holidays.list_supported_financial(), *countries, *(f"{place}/{p}" for p in countries.get(place, ()))]
        raise UnknownNameError("calendar", name, [HOLIDAYS_PREFIX + item for item in known])
    every = range(_epoch_day(FIRST_DAY), _epoch_day(LAST_BUSINESS_DAY) + 1)
    return np.array([day for day in every if calendar.is_working_day(_day(day))], dtype=np.int64)


@lru_cache(maxsize=64)
def _market(name: str) -> Any:
    import pandas_market_calendars as markets  # noqa: PLC0415 - slow to import

    known = markets.get_calendar_names()
    if name not in known:
        raise UnknownNameError("calendar", name, known)
    with _library_warnings():
        return markets.get_calendar(name)


@contextmanager
def _library_warnings() -> Iterator[None]:
    """Silence what the library says about its own calls into pandas and about opening hours that no longer hold."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"DatetimeIndex\.weekday is deprecated")
        warnings.filterwarnings("ignore", message=r".* are discontinued", category=UserWarning)
        yield


def _epoch_day(day: date) -> int:
    return (day - EPOCH).days


def _day(number: int) -> date:
    return date.fromordinal(EPOCH.toordinal() + number)


def _numbers(days: Days) -> Ordinals:
    return days.astype("datetime64[D]").astype(np.int64)


def _epoch_days(stamps: Any) -> Ordinals:
    import pandas as pd  # noqa: PLC0415 - slow to import

    index = pd.DatetimeIndex(stamps)
    naive = index.tz_localize(None) if index.tz is not None else index
    return _numbers(naive.to_numpy())
