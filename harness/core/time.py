"""Periods and instants: what period a day belongs to, when a day ends, how far apart two periods are.

A period is a half-open interval (previous end, end] in its series' zone and is named by its last day. Periods are
stored as integer ordinals: calendar units for D, W, M, Q and A, the epoch day for sessions (B), the row of the
declared table for T.
"""

from __future__ import annotations

import calendar as month_lengths
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import DataError, UserError

FrequencyKind = Literal["D", "B", "W", "M", "Q", "A", "T"]
Ordinals = NDArray[np.int64]

WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
MICROS_PER_DAY = 86_400_000_000
EPOCH = date(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
LAST_DAY = date.max - timedelta(days=1)
"""From this day on, days have no end that is an instant in every zone."""
SEASONS = {"M": 12, "Q": 4, "W": 52, "A": 1, "B": 5, "D": 7}
"""Season length in periods by kind of frequency; that of B and D scales MASE and RMSSE only."""
NEVER = np.iinfo(np.int64).min
"""Marks 'no instant' in an int64 array of microseconds."""


def no_instant(value: object) -> DataError:
    """What is said of a day, or a time of day, at the edge of the calendar."""
    return DataError(
        "a date at the edge of the calendar",
        value=value,
        rule="days from 0001-01-02 to 9999-12-29 end, and have times of day, in every zone",
        fix="correct it; where it stands for no date, leave the field empty or the row out",
    )


def default_season(kind: str) -> int:
    """Season length of rivals and models where none is declared; 0 = none (B, D and tables of periods).

    >>> default_season("Q"), default_season("B")
    (4, 0)
    """
    return 0 if kind in "BDT" else SEASONS[kind]


def end_of_day(day: date, zone: str) -> datetime:
    """The instant a day ends: the next local midnight, which belongs to the day it ends.

    Raises:
        DataError: the day is the first of the calendar or one of its last two, whose end is no instant everywhere.

    >>> end_of_day(date(2012, 12, 31), "America/New_York").isoformat()
    '2013-01-01T05:00:00+00:00'
    """
    if not date.min < day < LAST_DAY:
        raise no_instant(day)
    following = day + timedelta(days=1)
    first = datetime(following.year, following.month, following.day, tzinfo=ZoneInfo(zone))
    second = first.replace(fold=1)
    if first.utcoffset() == second.utcoffset():
        return first.astimezone(UTC)
    # clocks skip or repeat this midnight: the later reading, unless the day before was already over
    later = max(first.astimezone(UTC), second.astimezone(UTC))
    return later if local_day(later, zone) == day else first.astimezone(UTC)


def local_day(instant: datetime, zone: str) -> date:
    """The local day an instant belongs to; midnight belongs to the day it ends.

    >>> local_day(datetime(2013, 1, 1, 5, tzinfo=UTC), "America/New_York")
    datetime.date(2012, 12, 31)
    """
    return (instant.astimezone(UTC) - MICROSECOND).astimezone(ZoneInfo(zone)).date()


def micros(instant: datetime) -> int:
    """Microseconds since 1970 UTC of an aware instant (the archive's integer form).

    Raises:
        UserError: the instant carries no zone.
    """
    if instant.tzinfo is None:
        raise UserError(
            "instant without a time zone",
            value=instant.isoformat(),
            rule="origins and publications are instants, so they need a zone",
            fix="pass an aware datetime, for example datetime(2020, 3, 31, 17, tzinfo=timezone.utc)",
        )
    delta = instant.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def instant(micro: int) -> datetime:
    """The aware UTC datetime of an integer form.

    >>> instant(0).isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(micro))


@dataclass(frozen=True, slots=True)
class Frequency:
    """How a series' periods follow one another.

    Attributes:
        kind: D calendar days, B sessions of a calendar, W weeks, M months, Q quarters, A years, T a declared table.
        anchor: last weekday of the week (0 = Monday) for W; last month of the year (1-12) for Q and A; else 0.
        table: the last days of all periods, ascending, for T only.
    """

    kind: FrequencyKind
    anchor: int = 0
    table: tuple[date, ...] = ()

    def __str__(self) -> str:
        if self.kind == "W":
            return f"W-{WEEKDAYS[self.anchor]}"
        if self.kind in "QA":
            return f"{self.kind}-{MONTHS[self.anchor - 1]}"
        return self.kind


def parse_frequency(text: str, table: tuple[date, ...] = ()) -> Frequency:
    """Read `D`, `B`, `W-MON`..`W-SUN`, `M`, `Q` (= `Q-DEC`), `Q-JAN`.., `A` (= `A-DEC`), or `T` with its table.

    >>> str(parse_frequency("Q"))
    'Q-DEC'

    Raises:
        UserError: the text is none of these, or a table is missing, unsorted or repeated.
    """
    kind, _, anchor = text.upper().partition("-")
    if kind in ("D", "B", "M") and not anchor:
        return Frequency(kind)  # type: ignore[arg-type]
    if kind == "W" and anchor in WEEKDAYS:
        return Frequency("W", WEEKDAYS.index(anchor))
    if kind in ("Q", "A") and (anchor or "DEC") in MONTHS:
        return Frequency(kind, MONTHS.index(anchor or "DEC") + 1)  # type: ignore[arg-type]
    if kind == "T" and not anchor:
        if not table or any(b <= a for a, b in pairwise(table)):
            raise UserError("frequency T needs a table of period ends", rule="ascending, without repeats")
        return Frequency("T", 0, table)
    raise UserError(
        "unknown frequency",
        value=repr(text),
        rule="one of D, B, W-MON..W-SUN, M, Q-JAN..Q-DEC, A-JAN..A-DEC, T",
        fix="weekly series carry the weekday their week ends on, for example W-WED",
    )


def _month_end(year: int, month: int) -> date:
    return date(year, month, month_lengths.monthrange(year, month)[1])


def period_containing(frequency: Frequency, day: date) -> int:
    """Ordinal of the period a local day lies in. For sessions this is the day itself: see `Timeline.containing`.

    >>> period_end(parse_frequency("W-WED"), period_containing(parse_frequency("W-WED"), date(2024, 5, 2)))
    datetime.date(2024, 5, 8)
    """
    days = (day - EPOCH).days
    if frequency.kind in "DB":
        return days
    if frequency.kind == "W":
        # 1970-01-01 was a Thursday (weekday 3): the week number of the next anchor day
        return -((-(days + 3 - frequency.anchor)) // 7)
    if frequency.kind == "M":
        return day.year * 12 + day.month - 1
    if frequency.kind == "T":
        return int(_table_rows(frequency, np.array([days], dtype=np.int64))[0])
    fiscal = day.year * 12 + day.month - 1 - (frequency.anchor % 12)
    return fiscal // (3 if frequency.kind == "Q" else 12)


@lru_cache(maxsize=64)
def _table_days(frequency: Frequency) -> Ordinals:
    return np.array([(day - EPOCH).days for day in frequency.table], dtype=np.int64)


def _table_rows(frequency: Frequency, days: Ordinals) -> Ordinals:
    """Rows of the period table that epoch days lie in; the first period is taken to be as long as the second."""
    ends = _table_days(frequency)
    outside = (days > ends[-1]) | (days <= (day_before(frequency, 0) - EPOCH).days)
    if outside.any():
        raise UserError(
            "day outside the period table",
            value=EPOCH + timedelta(days=int(days[outside][0])),
            fix="extend the table of period ends",
        )
    return np.searchsorted(ends, days).astype(np.int64)


def period_end(frequency: Frequency, ordinal: int) -> date:
    """The last day of a period, which names it.

    >>> period_end(parse_frequency("Q"), period_containing(parse_frequency("Q"), date(2024, 5, 2)))
    datetime.date(2024, 6, 30)
    """
    if frequency.kind in "DB":
        return EPOCH + timedelta(days=int(ordinal))
    if frequency.kind == "W":
        return EPOCH + timedelta(days=int(7 * ordinal - 3 + frequency.anchor))
    if frequency.kind == "M":
        return _month_end(ordinal // 12, ordinal % 12 + 1)
    if frequency.kind == "T":
        if not 0 <= ordinal < len(frequency.table):
            raise _outside_table(frequency, ordinal)
        return frequency.table[ordinal]
    length = 3 if frequency.kind == "Q" else 12
    last = ordinal * length + length - 1 + (frequency.anchor % 12)
    return _month_end(last // 12, last % 12 + 1)


def day_before(frequency: Frequency, ordinal: int) -> date:
    """The last day before a period; the first period of a table is taken to be as long as the second.

    >>> day_before(parse_frequency("Q"), period_containing(parse_frequency("Q"), date(2024, 5, 2)))
    datetime.date(2024, 3, 31)
    """
    if frequency.kind != "T" or ordinal != 0:
        return period_end(frequency, ordinal - 1)
    first = frequency.table[0]
    return first - (frequency.table[1] - first if len(frequency.table) > 1 else timedelta(days=366))


def _outside_table(frequency: Frequency, ordinal: int) -> UserError:
    table = frequency.table
    past = ordinal - len(table) + 1
    place = f"{past} after {table[-1]}, its last" if past > 0 else f"{-ordinal} before {table[0]}, its first"
    return UserError("period outside the period table", value=place, fix="extend the table of period ends")


def period_ends(frequency: Frequency, ordinals: Ordinals) -> NDArray[np.datetime64]:
    """Last days of many periods, as `datetime64[D]`, same shape as `ordinals`."""
    if frequency.kind in "DB":
        return ordinals.astype("datetime64[D]")
    if frequency.kind == "W":
        return (7 * ordinals - 3 + frequency.anchor).astype("datetime64[D]")
    if frequency.kind == "T":
        outside = (ordinals < 0) | (ordinals >= len(frequency.table))
        if outside.any():
            raise _outside_table(frequency, int(ordinals[outside][0]))
        return _table_days(frequency)[ordinals].astype("datetime64[D]")
    if frequency.kind == "M":
        months = ordinals
    else:
        length = 3 if frequency.kind == "Q" else 12
        months = ordinals * length + length - 1 + (frequency.anchor % 12)
    following: NDArray[np.datetime64] = (months - 1970 * 12 + 1).astype("datetime64[M]").astype("datetime64[D]")
    return (following.astype(np.int64) - 1).astype("datetime64[D]")


def period_ordinals(frequency: Frequency, days: NDArray[np.datetime64]) -> Ordinals:
    """Ordinals of the periods that many days lie in (vectorised `period_containing`)."""
    number = days.astype("datetime64[D]").astype(np.int64)
    if frequency.kind in "DB":
        return number
    if frequency.kind == "W":
        return -((-(number + 3 - frequency.anchor)) // 7)
    if frequency.kind == "T":
        return _table_rows(frequency, number)
    months = days.astype("datetime64[M]").astype(np.int64) + 1970 * 12
    if frequency.kind == "M":
        return months
    return (months - (frequency.anchor % 12)) // (3 if frequency.kind == "Q" else 12)


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The order of periods as known at one instant: ordinals of calendar units, or the sessions of a calendar.

    Positions are consecutive integers; two periods' distance is the difference of their positions. For every
    frequency but B a position *is* the ordinal. For B positions count the sessions known (or scheduled) then, so an
    announced closure changes distances from its announcement on, never the stored ordinals.

    Attributes:
        frequency: the frequency.
        sessions: ascending epoch days of the sessions, for B only.
    """

    frequency: Frequency
    sessions: Ordinals | None = None

    def containing(self, day: date) -> int:
        """Position of the period a local day lies in; for sessions the last session not after the day."""
        ordinal = period_containing(self.frequency, day)
        if self.sessions is None:
            return ordinal
        position = int(np.searchsorted(self.sessions, ordinal, side="right")) - 1
        if position < 0 or position == len(self.sessions) - 1:
            raise UserError("day outside the known sessions of the calendar", value=day)
        return position

    def position(self, ordinal: int) -> int:
        """Position of a period (for a day that is no session: of the session before it)."""
        if self.sessions is None:
            return ordinal
        return int(np.searchsorted(self.sessions, ordinal, side="right")) - 1

    def ordinal(self, position: int) -> int:
        """Ordinal of the period at a position."""
        return position if self.sessions is None else int(self.sessions[position])

    def end(self, position: int) -> date:
        """Last day of the period at a position."""
        return period_end(self.frequency, self.ordinal(position))
