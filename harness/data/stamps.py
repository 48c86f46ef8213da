"""Give dates their meaning: which period a stamp names, and at which instant a publication happened."""

from __future__ import annotations

import calendar as month_lengths
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from harness.core.errors import DataError, UserError
from harness.core.series import check_zone
from harness.core.time import LAST_DAY, Frequency, end_of_day, no_instant, period_containing, period_end
from harness.data.columns import refuse_beyond_years
from harness.data.declared import Stamp
from harness.data.tables import RawTable

INSTANT = pl.Datetime("us", "UTC")
_QUARTER = re.compile(r"(\d{4})[- ]?[Qq]([1-4])")
_MONTH = re.compile(r"(\d{4})[-Mm](\d{1,2})")
_YEAR = re.compile(r"\d{4}")
_STAMPED = {"last": "the last day", "first": "the first day", "month": "in the last month"}


def period_of(value: object, frequency: Frequency, stamp: Stamp = "last", date_format: str = "") -> date:
    """The last day of the period that a stamp names.

    Args:
        value: a date, a datetime, or text: an ISO date, a date in `date_format`, or a name like 2010Q1, 2010-03, 2010.
        frequency: the series' frequency.
        stamp: what a date is of its period: the `last` day, the `first`, or any day of its last `month`.
        date_format: strftime form of text, tried before the forms above.

    Raises:
        ValueError: not a date, or not such a day of a period.

    >>> from harness.core.time import parse_frequency
    >>> period_of("2010Q1", parse_frequency("Q"))
    datetime.date(2010, 3, 31)
    >>> period_of("2010-01-01", parse_frequency("Q"), "first")
    datetime.date(2010, 3, 31)
    """
    text = str(value) if isinstance(value, int) else value
    if isinstance(text, str) and not _in_form(text, date_format):
        if _QUARTER.fullmatch(text) or _YEAR.fullmatch(text):
            return _named_period(text, frequency)
        month = _MONTH.fullmatch(text)
        if month:
            text = _month_day(int(month[1]), int(month[2]), first=stamp == "first")
    moment = moment_of(text, date_format)
    if isinstance(moment, datetime):
        if moment.timetz() != time():
            message = "a period is a day, not an instant"
            raise ValueError(message)
        moment = moment.date()
    return _stamped_period(moment, frequency, stamp)


def _named_period(text: str, frequency: Frequency) -> date:
    """2010Q1 or 2010, where quarters or years end as in the calendar."""
    quarter = _QUARTER.fullmatch(text)
    kind, month = ("Q", 3 * int(quarter[2])) if quarter else ("A", 12)
    day = _month_day(int(text[:4]), month, first=False)
    if frequency.kind != kind or period_end(frequency, period_containing(frequency, day)) != day:
        message = f"names a calendar {'quarter' if quarter else 'year'}, and the series has frequency {frequency}"
        raise ValueError(message)
    return day


def _month_day(year: int, month: int, *, first: bool) -> date:
    return date(year, month, 1 if first or not 1 <= month <= 12 else month_lengths.monthrange(year, month)[1])


def _stamped_period(day: date, frequency: Frequency, stamp: Stamp) -> date:
    if frequency.kind in "DB":
        return day
    try:
        end = period_end(frequency, period_containing(frequency, day))
        fits = {
            "last": day == end,
            "month": (day.year, day.month) == (end.year, end.month),
            "first": stamp == "first" and _starts_period(day, frequency),
        }
    except UserError as error:
        raise ValueError(str(error)) from error
    if fits[stamp]:
        return end
    hint = ' (is stamp = "first" or "month" meant?)' if stamp == "last" else f" (stamp = {stamp!r})"
    message = f"not {_STAMPED[stamp]} of a period of frequency {frequency}: its period ends on {end}{hint}"
    raise ValueError(message)


def _starts_period(day: date, frequency: Frequency) -> bool:
    if frequency.kind == "T" and day <= frequency.table[0]:
        return True
    before = date.fromordinal(day.toordinal() - 1)
    return period_end(frequency, period_containing(frequency, before)) == before


def _in_form(text: str, date_format: str) -> datetime | None:
    """The datetime a text names in the declared form, None when it is not in that form."""
    try:
        return datetime.strptime(text, date_format) if date_format else None  # noqa: DTZ007 - its zone comes later
    except ValueError:
        return None


def moment_of(value: object, date_format: str = "") -> date | datetime:
    """A date, or a datetime with its offset if it has one; text is read in the given form, else as ISO 8601.

    Raises:
        ValueError: not a date.
    """
    if isinstance(value, (date, datetime)):
        return value
    if isinstance(value, str):
        formed = _in_form(value, date_format)
        if formed is not None:
            return formed if re.search(r"%[HIMScXT]", date_format) else formed.date()
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            parsed = None
        if parsed is not None:
            return parsed if ":" in value or "T" in value else parsed.date()
    expected = f"of the form {date_format}" if date_format else "like 2010-03-31 (or declare date_format)"
    message = f"not a date {expected}"
    raise ValueError(message)


def mapped(table: RawTable, name: str, convert: Callable[[object], date], rows: pl.Series) -> pl.Series:
    """Some rows of a column converted to dates, each distinct value once.

    Args:
        table: the table.
        name: its column.
        convert: raises ValueError for what it cannot take.
        rows: row numbers, from 0.

    Returns:
        Date, same length as `rows`.

    Raises:
        DataError: an empty field, or one that `convert` refused; the first such row is named.
    """
    column = table.column(name).gather(rows)
    empty = column.is_null().arg_true()
    if len(empty):
        raise DataError(f"{table.place(int(rows[int(empty[0])]), name)}: no date", rule="every row needs one")
    _refuse_beyond_years(table, name, column, rows)
    answers: dict[object, date] = {}
    for value in column.unique(maintain_order=True).to_list():
        try:
            answers[value] = _dated(convert(value))
        except ValueError as error:
            row = int(rows[int((column == value).arg_true()[0])])
            raise DataError(f"{table.place(row, name)}: {error}", value=repr(str(value))) from error
    return column.replace_strict(list(answers), list(answers.values()), return_dtype=pl.Date())


def _refuse_beyond_years(table: RawTable, name: str, column: pl.Series, rows: pl.Series | range) -> None:
    """Refuse native dates and instants, at some rows of a table, of years that no calendar here has."""
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        refuse_beyond_years(column, lambda place: table.place(int(rows[place]), name))


def _dated(period: date) -> date:
    """A period, unless it is of the last year of the calendar, in which nothing can be published any more."""
    if period.year == date.max.year:
        message = f"no period is of the year {period.year}; where that stands for no date, leave the row out"
        raise ValueError(message)
    return period


class Read(NamedTuple):
    """A column of stamps, read.

    Attributes:
        stamps: dates (Date), or instants (Datetime UTC).
        unclear: [row] whether it is a local time that the clocks of the declared zone skip or have twice; the later
            reading counts.
    """

    stamps: pl.Series
    unclear: pl.Series


def moments(table: RawTable, name: str, *, zone: str = "", date_format: str = "") -> pl.Series:
    """The stamps of `read_stamps` alone; arguments and errors are the same."""
    return read_stamps(table, name, zone=zone, date_format=date_format).stamps


def read_stamps(table: RawTable, name: str, *, zone: str = "", date_format: str = "") -> Read:
    """A column of publication stamps: dates (Date), or instants (Datetime UTC).

    Dates stay dates, for they end with the day of each series' own zone. A column of naive datetimes all at 00:00
    holds dates; other naive ones need a zone.

    Args:
        table: the table.
        name: its column.
        zone: zone declared for the stamps; "" = none.
        date_format: strftime form of text; "" = ISO 8601.

    Raises:
        DataError: unreadable stamps, times without a zone, mixed zones, dates mixed with times.
    """
    column = table.column(name)
    _refuse_beyond_years(table, name, column, range(len(column)))
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone:
        return _clear(column.dt.convert_time_zone("UTC").cast(INSTANT))
    parsed = _parsed(table, name, date_format)
    where = f"{table.label}, column {name!r}"
    days = _as_days(parsed)
    if days is not None:
        return _clear(column.replace_strict(list(days), list(days.values()), default=None, return_dtype=pl.Date()))
    readings = {value: _readings(moment, zone, where) for value, moment in parsed.items()}
    if not zone:
        _refuse_mixed(_one_per_offset(parsed), where)
    later = [max(one) for one in readings.values()]
    unclear = [value for value, one in readings.items() if one[0] != one[-1]]
    stamps = column.replace_strict(list(readings), later, default=None, return_dtype=INSTANT)
    return Read(stamps, column.is_in(unclear).fill_null(value=False)) if unclear else _clear(stamps)


def _clear(stamps: pl.Series) -> Read:
    return Read(stamps, pl.repeat(value=False, n=len(stamps), dtype=pl.Boolean, eager=True))


def _parsed(table: RawTable, name: str, date_format: str) -> dict[object, date | datetime]:
    """What each distinct stamp of a column says."""
    column = table.column(name)
    parsed: dict[object, date | datetime] = {}
    for value in column.drop_nulls().unique(maintain_order=True).to_list():
        try:
            parsed[value] = moment_of(value, date_format)
        except ValueError as error:
            row = int((column == value).arg_true()[0])
            raise DataError(f"{table.place(row, name)}: {error}", value=repr(str(value))) from error
    return parsed


def _refuse_mixed(per_offset: dict[timedelta | None, datetime], where: str) -> None:
    """Refuse instants of several offsets where no zone is declared."""
    if len(per_offset) > 1:
        raise DataError(
            f"{where}: mixed zones",
            value=", ".join(sorted(str(moment)[-6:] for moment in per_offset.values())),
            rule="stamps of one column share one zone",
            fix='declare zone = "Europe/London" (offsets are checked against it), or write every stamp in UTC',
        )


@dataclass(slots=True)
class Forms:
    """What the stamps of a column are, of which parts are read one after the other.

    Attributes:
        days: whether those of each part are days.
        per_offset: an instant of each offset there is.
    """

    days: set[bool] = field(default_factory=set)
    per_offset: dict[timedelta | None, datetime] = field(default_factory=dict)

    @property
    def differ(self) -> bool:
        """Whether some are days and some are instants: together they may mean something else."""
        return len(self.days) > 1

    def note(self, table: RawTable, name: str, date_format: str) -> None:
        """Look at the next part; native instants have their zone, and dates are days.

        Raises:
            DataError: an unreadable stamp.
        """
        dtype = table.column(name).dtype
        if dtype != pl.String:
            self.days.add(dtype == pl.Date)
            return
        parsed = _parsed(table, name, date_format)
        if parsed:
            self.days.add(_as_days(parsed) is not None)
            self.per_offset = _one_per_offset(parsed) | self.per_offset

    def refuse_mixed(self, where: str) -> None:
        """Refuse instants of several offsets.

        Raises:
            DataError: there are.
        """
        if True not in self.days:
            _refuse_mixed(self.per_offset, where)


def _as_days(parsed: dict[object, date | datetime]) -> dict[object, date] | None:
    days: dict[object, date] = {}
    for value, moment in parsed.items():
        if isinstance(moment, datetime):
            if moment.tzinfo is not None or moment.time() != time():
                return None
            days[value] = moment.date()
        else:
            days[value] = moment
    return days


def _one_per_offset(parsed: dict[object, date | datetime]) -> dict[timedelta | None, datetime]:
    return {moment.utcoffset(): moment for moment in parsed.values() if isinstance(moment, datetime)}


def _readings(moment: date | datetime, zone: str, where: str) -> tuple[datetime, ...]:
    """The instants that a stamp may be: two of a local time that the clocks skip or have twice."""
    if not isinstance(moment, datetime):
        raise DataError(
            f"{where}: some stamps have a time of day and some have not",
            value=moment,
            rule="a column holds dates or instants",
            fix="give each row its time of day, or none",
        )
    if not date.min < moment.date() < LAST_DAY:
        raise no_instant(f"{moment.isoformat()} in {where}")
    if zone:
        check_zone(zone)
    local = ZoneInfo(zone) if zone else None
    if moment.tzinfo is not None:
        if local is not None and moment.utcoffset() not in (moment.astimezone(local).utcoffset(), UTC.utcoffset(None)):
            raise DataError(
                f"{where}: offset is not that of {zone}", value=moment.isoformat(), rule="mixed zones are refused"
            )
        return (moment.astimezone(UTC),)
    if local is None:
        raise DataError(
            f"{where}: stamps with a time of day but no zone",
            value=moment.isoformat(),
            rule="an instant needs a zone",
            fix='declare zone = "Europe/London" on the [[source]]',
        )
    return tuple(moment.replace(tzinfo=local, fold=fold).astimezone(UTC) for fold in (0, 1))


def as_instants(stamps: pl.Series, zone: str) -> pl.Series:
    """Stamps as UTC instants: a date is the end of that day in the series' zone."""
    if stamps.dtype != pl.Date:
        return stamps
    days = stamps.drop_nulls().unique().to_list()
    return stamps.replace_strict(days, [end_of_day(day, zone) for day in days], default=None, return_dtype=INSTANT)
