"""Guess how a column of dates is written, what it stamps, and at which frequency it runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from harness.core.errors import DataError
from harness.core.series import Series
from harness.core.time import MONTHS, WEEKDAYS, parse_frequency, period_containing, period_end
from harness.data.calendars import sessions_between
from harness.data.declared import Stamp
from harness.data.stamps import moment_of, period_of
from harness.data.tables import RawTable

PERIOD = (
    "period", "reference_period", "ref_period", "date", "observation_date", "ds", "time", "month", "quarter", "year",
    "week", "day", "timestamp",
)  # fmt: skip
DATE_FORMATS = ("", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d", "%b %Y", "%b-%y", "%m/%Y")
CALENDARS = ("XNYS", "XLON", "XETR", "XTKS")
MOSTLY = 0.5
"""Share of dates, or of numbers, from which on a column is meant as one of them."""
NEARLY = 0.9
"""The same of a column whose name says nothing."""
SAMPLE = 1000
"""Rows that tell in which form a column's dates are written, where not all of its entries are dates."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The period column, understood.

    Attributes:
        frequency, calendar, stamp: as declared for a series and its source.
        date_format: its form; "" = ISO or names of periods.
        periods: distinct period ends, ascending.
    """

    frequency: str
    calendar: str
    stamp: Stamp
    date_format: str
    periods: tuple[date, ...]


def date_formats(column: pl.Series) -> tuple[str, ...]:
    """The forms in which every entry of a column is a date ("" = ISO or a period's name); () = no dates."""
    if column.null_count() == len(column):
        return ()
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        return ("",)
    values = column.drop_nulls().unique(maintain_order=True).to_list()
    if column.dtype.is_integer():
        named = column.name.lower() in PERIOD
        return ("",) if values and named and all(1500 <= value <= 2200 for value in values) else ()
    if column.dtype != pl.String or not values:
        return ()
    if all(re.fullmatch(r"\d{4}", value) for value in values) and column.name.lower() not in PERIOD:
        return ()
    return tuple(form for form in DATE_FORMATS if all(plain_day(value, form) is not None for value in values))


def plain_day(value: object, date_format: str) -> date | None:
    """A day inside the period that a stamp names, whatever the frequency; None = no date, nor one of the year 9999."""
    day = _plain_day(value, date_format)
    return None if day is not None and day.year == date.max.year else day


def _plain_day(value: object, date_format: str) -> date | None:
    for kind in ("Q", "M", "A") if date_format == "" and isinstance(value, (str, int)) else ():
        try:
            if re.fullmatch(r"\d{4}([- ]?[Qq][1-4]|[-Mm]\d{1,2})?", str(value)):
                return period_of(value, parse_frequency(kind), "month")
        except ValueError:
            continue
    try:
        moment = moment_of(value, date_format)
    except ValueError:
        return None
    return moment.date() if isinstance(moment, datetime) else moment


def refuse_no_day(table: RawTable, names: Sequence[str], *, likely: bool = False) -> None:
    """Refuse a table in which a column of dates has other entries among them, with the first of these.

    Args:
        table: the table.
        names: columns that may be meant as one of dates; those named like one of periods are looked at first.
        likely: whether all of them are named as if they were.

    Raises:
        DataError: there is such a column.
    """
    for name in sorted(names, key=lambda name: name.lower() not in PERIOD):
        column = table.frame[name]
        if column.dtype != pl.String:
            continue
        sample = column.drop_nulls().head(SAMPLE)
        counts = sample.value_counts().rows()
        known = {form: sum(n for one, n in counts if plain_day(one, form) is not None) for form in DATE_FORMATS}
        form = max(known, key=known.__getitem__)
        if known[form] <= (MOSTLY if likely or name.lower() in PERIOD else NEARLY) * len(sample):
            continue
        wrong = [value for value in column.drop_nulls().unique().to_list() if plain_day(value, form) is None]
        if wrong:
            rows = column.is_in(wrong).arg_true()
            raise DataError(
                f"{table.place(int(rows[0]), name)}: not a date",
                value=f"{column[int(rows[0])]!r}; {len(rows)} such of {len(column)} rows",
                rule="the other entries of this column are dates, and every row needs one",
                fix="correct it, or take the row out, and run harness new again",
            )


def guess_timing(table: RawTable, period: str, formats: Sequence[str]) -> Timing:
    """Frequency and stamp of the period column, in the form that leaves the fewest holes in it.

    Raises:
        DataError: no form makes a regular series of it.
    """
    values = table.frame[period].drop_nulls().unique(maintain_order=True).to_list()
    read = [timing for form in formats if (timing := _regular(values, form)) is not None]
    if not read:
        refuse_no_day(table, [period])
        raise DataError(
            "the dates follow no known frequency",
            value=f"{table.label}, column {period!r}: {', '.join(str(value) for value in values[:6])} ...",
            rule="days, sessions, weeks, months, quarters or years, one stamp for each",
            fix="write dataset.toml by hand (datasets/README.md); a declared table of periods serves 52/53-week years",
        )
    best = max(read, key=_filled)
    calendar = _calendar(best.periods) if best.frequency == "B" else ""
    return replace(best, calendar=calendar)


def reaching(timing: Timing, stamps: Sequence[object]) -> Timing:
    """The timing of some periods as that of all from the first to the last of these and others.

    Args:
        timing: of some rows.
        stamps: further entries of the period column; what is no period is passed over.
    """
    frequency, ends = parse_frequency(timing.frequency), set(timing.periods)
    for value in stamps:
        with suppress(ValueError):
            ends.add(period_of(value, frequency, timing.stamp, timing.date_format))
    first, last = min(ends), max(ends)
    if frequency.kind == "B":
        days = sessions_between(Series("x", "B", calendar=timing.calendar), first, last)
        ends |= {date(1970, 1, 1) + timedelta(days=int(day)) for day in days}
    else:
        ends |= {
            period_end(frequency, number)
            for number in range(period_containing(frequency, first), period_containing(frequency, last))
        }
    return replace(timing, periods=tuple(sorted(ends)))


def _regular(values: Sequence[object], date_format: str) -> Timing | None:
    """The first frequency and stamp under which every value names a period of its own."""
    days = sorted({day for value in values if (day := plain_day(value, date_format)) is not None})
    for frequency, stamp in _candidates(days):
        try:
            ends = {period_of(value, parse_frequency(frequency), stamp, date_format) for value in values}
        except ValueError:
            continue
        if len(ends) == len(values):
            return Timing(frequency, "", stamp, date_format, tuple(sorted(ends)))
    return None


def _filled(timing: Timing) -> float:
    """Share of the periods between the first and the last that are there."""
    frequency = parse_frequency(timing.frequency)
    first, last = (period_containing(frequency, timing.periods[place]) for place in (0, -1))
    return len(timing.periods) / (last - first + 1) * (1.4 if frequency.kind == "B" else 1.0)


def _candidates(days: Sequence[date]) -> list[tuple[str, Stamp]]:
    """Frequencies and stamps that fit the usual distance of the dates, likeliest first."""
    if len(days) < 3:
        return []
    gap = float(np.median(np.diff([day.toordinal() for day in days])))
    stamps: tuple[Stamp, ...] = ("last", "first", "month")
    if gap <= 4:
        return [("D" if any(day.weekday() >= 5 for day in days) else "B", "last")]
    if 6 <= gap <= 8:
        return [(f"W-{WEEKDAYS[days[-1].weekday()]}", "last")]
    kinds = {
        "M": 27 <= gap <= 32,
        "Q": 85 <= gap <= 95,
        "A": 355 <= gap <= 375,
    }
    kind = next((kind for kind, fits in kinds.items() if fits), "")
    anchored = {"M": ["M"], "Q": ["Q-DEC", "Q-JAN", "Q-FEB"], "A": [f"A-{m}" for m in ("DEC", *MONTHS[:-1])]}
    return [(frequency, stamp) for frequency in anchored.get(kind, []) for stamp in stamps]


def _calendar(days: Sequence[date]) -> str:
    """The calendar, of a few well-known ones, whose sessions fit the days best."""
    wanted = np.array([(day - date(1970, 1, 1)).days for day in days])

    def misfit(name: str) -> int:
        sessions = sessions_between(Series("x", "B", calendar=name), days[0], days[-1])
        return len(np.setxor1d(sessions, wanted))

    return min(CALENDARS, key=misfit)
