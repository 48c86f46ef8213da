"""Periods and days against pandas' own period arithmetic and the clock changes of real places."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import UserError
from harness.core.time import (
    MONTHS,
    WEEKDAYS,
    Timeline,
    end_of_day,
    instant,
    local_day,
    micros,
    parse_frequency,
    period_containing,
    period_end,
    period_ends,
    period_ordinals,
)

FREQUENCIES = ["D", "M", *(f"W-{d}" for d in WEEKDAYS), *(f"Q-{m}" for m in MONTHS), *(f"A-{m}" for m in MONTHS)]
ZONES = [
    "UTC",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Havana",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
]
days = st.dates(date(1900, 1, 1), date(2100, 12, 31))


@pytest.mark.parametrize("text", FREQUENCIES)
@given(day=days, ahead=st.integers(-500, 500))
def test_periods_follow_one_another_as_pandas_periods_do(text: str, day: date, ahead: int) -> None:
    frequency = parse_frequency(text)
    reference = pd.Period(pd.Timestamp(day), freq=text.replace("A-", "Y-"))
    ordinal = period_containing(frequency, day)
    assert period_end(frequency, ordinal) == reference.end_time.date()
    assert period_end(frequency, ordinal + ahead) == (reference + ahead).end_time.date()


@pytest.mark.slow
@pytest.mark.parametrize("text", [*FREQUENCIES, "B"])
@given(some=st.lists(days, max_size=20))
def test_many_days_give_what_single_days_give(text: str, some: list[date]) -> None:
    frequency = parse_frequency(text)
    stamps = np.array(some, dtype="datetime64[D]")
    ordinals = period_ordinals(frequency, stamps)
    assert ordinals.tolist() == [period_containing(frequency, day) for day in some]
    assert period_ends(frequency, ordinals).tolist() == [period_end(frequency, int(o)) for o in ordinals]
    assert period_ordinals(frequency, period_ends(frequency, ordinals)).tolist() == ordinals.tolist()


def test_a_week_ends_on_its_anchor_and_the_next_begins_the_day_after() -> None:
    wednesdays = parse_frequency("W-WED")
    week = period_containing(wednesdays, date(2024, 5, 8))
    assert period_end(wednesdays, week) == date(2024, 5, 8)
    assert period_containing(wednesdays, date(2024, 5, 9)) == week + 1


def test_fiscal_quarters_and_years_end_in_their_month() -> None:
    january, april = parse_frequency("Q-JAN"), parse_frequency("A-APR")
    assert period_end(january, period_containing(january, date(2024, 2, 1))) == date(2024, 4, 30)
    assert period_end(january, period_containing(january, date(2024, 1, 31))) == date(2024, 1, 31)
    assert period_end(april, period_containing(april, date(2024, 4, 30))) == date(2024, 4, 30)
    assert period_end(april, period_containing(april, date(2024, 5, 1))) == date(2025, 4, 30)


def test_a_declared_table_holds_52_and_53_week_years() -> None:
    ends = (date(2021, 1, 30), date(2022, 1, 29), date(2023, 1, 28), date(2024, 2, 3))
    retail = parse_frequency("T", ends)
    assert [period_containing(retail, day) for day in ends] == [0, 1, 2, 3]
    assert period_containing(retail, date(2023, 1, 29)) == 3
    assert period_ends(retail, np.arange(4)).tolist() == list(ends)
    assert period_ordinals(retail, np.array(["2020-06-01", "2024-02-03"], dtype="datetime64[D]")).tolist() == [0, 3]


@pytest.mark.parametrize("day", [date(2024, 2, 4), date(2020, 1, 30)])
def test_a_day_outside_the_table_is_refused_alone_and_among_others(day: date) -> None:
    retail = parse_frequency("T", (date(2021, 1, 30), date(2022, 1, 29), date(2024, 2, 3)))
    with pytest.raises(UserError, match=f"outside the period table: {day}"):
        period_containing(retail, day)
    with pytest.raises(UserError, match=f"outside the period table: {day}"):
        period_ordinals(retail, np.array(["2021-01-30", str(day)], dtype="datetime64[D]"))


@pytest.mark.parametrize("row", [-1, 2])
def test_a_row_outside_the_table_is_refused_alone_and_among_others(row: int) -> None:
    table = parse_frequency("T", (date(2021, 1, 30), date(2022, 1, 29)))
    with pytest.raises(UserError, match="outside the period table"):
        period_end(table, row)
    with pytest.raises(UserError, match="outside the period table"):
        period_ends(table, np.array([0, row]))


@pytest.mark.parametrize("text", ["", "W", "W-MONDAY", "X", "D-MON", "M-JAN", "Q-FOO", "T", "T-1"])
def test_what_is_no_frequency_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="frequency"):
        parse_frequency(text)


@pytest.mark.parametrize("table", [(date(2021, 1, 2), date(2021, 1, 1)), (date(2021, 1, 1), date(2021, 1, 1))])
def test_a_table_out_of_order_is_refused(table: tuple[date, ...]) -> None:
    with pytest.raises(UserError, match="ascending"):
        parse_frequency("T", table)


@pytest.mark.parametrize(
    ("text", "stands_for"), [("Q", "Q-DEC"), ("a", "A-DEC"), ("w-fri", "W-FRI"), ("q-jan", "Q-JAN")]
)
def test_short_and_small_spellings_are_the_same_frequency(text: str, stands_for: str) -> None:
    assert str(parse_frequency(text)) == stands_for
    assert parse_frequency(text) == parse_frequency(stands_for)


def test_the_last_day_of_2012_in_new_york_ends_in_2013_utc_and_stays_in_its_quarter() -> None:
    ending = end_of_day(date(2012, 12, 31), "America/New_York")
    assert ending == datetime(2013, 1, 1, 5, tzinfo=UTC)
    quarters = parse_frequency("Q")
    in_zone = period_containing(quarters, local_day(ending, "America/New_York"))
    assert period_end(quarters, in_zone) == date(2012, 12, 31)
    assert period_containing(quarters, local_day(ending, "UTC")) == in_zone + 1  # the careless reading


@pytest.mark.parametrize(
    ("day", "zone", "ends"),
    [
        (date(2024, 3, 30), "Europe/London", "2024-03-31T00:00"),  # the clocks change in the night after
        (date(2024, 3, 31), "Europe/London", "2024-03-31T23:00"),
        (date(2024, 10, 26), "Europe/London", "2024-10-26T23:00"),
        (date(2024, 10, 27), "Europe/London", "2024-10-28T00:00"),
        (date(2024, 3, 10), "America/New_York", "2024-03-11T04:00"),
        (date(2018, 11, 3), "America/Sao_Paulo", "2018-11-04T03:00"),  # 00:00 became 01:00: no such midnight
        (date(2018, 2, 17), "America/Sao_Paulo", "2018-02-18T03:00"),  # 00:00 became 23:00: a day of 25 hours
        (date(2023, 11, 4), "America/Havana", "2023-11-05T04:00"),  # 01:00 became 00:00: the first midnight ends it
        (date(2010, 11, 6), "America/St_Johns", "2010-11-07T03:30"),  # 00:01 became 23:01: the second midnight does
        (date(2011, 12, 29), "Pacific/Apia", "2011-12-30T10:00"),  # the thirtieth was left out
    ],
)
def test_a_day_ends_at_its_last_instant_whatever_the_clocks_do(day: date, zone: str, ends: str) -> None:
    assert end_of_day(day, zone) == datetime.fromisoformat(ends).replace(tzinfo=UTC)


@pytest.mark.parametrize("zone", ZONES)
@given(day=st.dates(date(1971, 1, 1), date(2037, 12, 31)))
def test_the_end_of_a_day_belongs_to_it_and_the_next_microsecond_does_not(zone: str, day: date) -> None:
    ending = end_of_day(day, zone)
    assert local_day(ending, zone) == day
    assert local_day(ending + timedelta(microseconds=1), zone) == day + timedelta(days=1)
    assert ending.astimezone(ZoneInfo(zone)).date() == day + timedelta(days=1)


@given(st.datetimes(timezones=st.sampled_from(ZONES).map(ZoneInfo)).filter(lambda moment: 1800 < moment.year < 2200))
def test_an_instant_survives_its_integer_form(moment: datetime) -> None:
    assert instant(micros(moment)) == moment.astimezone(UTC)
    assert micros(moment) == pd.Timestamp(moment.astimezone(UTC)).as_unit("us").asm8.astype(np.int64)


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(UserError, match="without a time zone"):
        micros(datetime(2020, 3, 31, 17))  # noqa: DTZ001 - the specimen


def test_saturday_belongs_to_fridays_session_and_monday_is_one_further() -> None:
    week = np.array(["2024-05-02", "2024-05-03", "2024-05-06", "2024-05-07"], dtype="datetime64[D]").astype(np.int64)
    timeline = Timeline(parse_frequency("B"), week)
    friday = timeline.containing(date(2024, 5, 3))
    assert timeline.containing(date(2024, 5, 4)) == timeline.containing(date(2024, 5, 5)) == friday
    assert timeline.end(friday + 1) == date(2024, 5, 6)
    assert timeline.position(timeline.ordinal(friday)) == friday


@pytest.mark.parametrize("day", [date(2024, 5, 1), date(2024, 5, 7), date(2024, 5, 8)])
def test_days_whose_session_the_calendar_cannot_tell_are_refused(day: date) -> None:
    week = np.array(["2024-05-02", "2024-05-03", "2024-05-06", "2024-05-07"], dtype="datetime64[D]").astype(np.int64)
    with pytest.raises(UserError, match="outside the known sessions"):
        Timeline(parse_frequency("B"), week).containing(day)


def test_positions_of_calendar_units_are_their_ordinals() -> None:
    timeline = Timeline(parse_frequency("M"))
    may = timeline.containing(date(2024, 5, 2))
    assert timeline.position(may) == timeline.ordinal(may) == may
    assert timeline.end(may) == date(2024, 5, 31)
