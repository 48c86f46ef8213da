"""Calendars against closures everybody remembers and against step-by-step definitions."""

from __future__ import annotations

import socket
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import UnknownNameError, UserError
from harness.core.series import Series
from harness.core.time import Timeline
from harness.data.calendars import business_calendar, closures, session_days, sessions_between, sessions_known

NEW_YORK = Series(id="sp500", frequency="B", zone="America/New_York", calendar="XNYS")
SANDY = (date(2012, 10, 29), date(2012, 10, 30))
BUSH = date(2018, 12, 5)
"""The day of mourning for a president, announced on the first of December."""


def _days(numbers: np.ndarray) -> list[date]:
    return numbers.astype("datetime64[D]").tolist()


def _stamps(*days: str) -> np.ndarray:
    return np.array(days, dtype="datetime64[D]")


@pytest.mark.parametrize(
    ("calendar", "first", "last", "traded"),
    [
        ("XNYS", date(2001, 9, 10), date(2001, 9, 18), [date(2001, 9, 10), date(2001, 9, 17), date(2001, 9, 18)]),
        ("NYSE", date(2012, 10, 27), date(2012, 10, 31), [date(2012, 10, 31)]),
        ("XNYS", date(2018, 12, 4), date(2018, 12, 6), [date(2018, 12, 4), date(2018, 12, 6)]),
        ("XNYS", date(2024, 3, 28), date(2024, 4, 1), [date(2024, 3, 28), date(2024, 4, 1)]),  # Good Friday
        ("XLON", date(2022, 9, 16), date(2022, 9, 20), [date(2022, 9, 16), date(2022, 9, 20)]),  # a queen's funeral
        ("XNYS", date(2024, 7, 6), date(2024, 7, 7), []),
    ],
)
def test_the_days_that_traded_are_known_in_hindsight(
    calendar: str, first: date, last: date, traded: list[date]
) -> None:
    series = Series(id="x", frequency="B", zone="America/New_York", calendar=calendar)
    assert _days(sessions_between(series, first, last)) == traded


def test_the_schedule_holds_unscheduled_closures_but_no_holidays_or_weekends() -> None:
    scheduled = set(_days(session_days(NEW_YORK)))
    closed = {*SANDY, BUSH, date(2001, 9, 11), date(2001, 9, 14)}
    assert closed <= scheduled
    assert closed <= set(_days(closures(NEW_YORK)[0]))
    assert not {date(2024, 12, 25), date(2024, 7, 4), date(2024, 3, 29), date(2024, 7, 6)} & scheduled


def test_the_schedule_is_ascending_reaches_from_1960_to_2035_and_cannot_be_changed() -> None:
    scheduled = session_days(NEW_YORK)
    assert (np.diff(scheduled) > 0).all()
    assert _days(scheduled)[0] < date(1960, 1, 4)
    assert _days(scheduled)[-1] == date(2035, 12, 31)
    with pytest.raises(ValueError, match="read-only"):
        scheduled[0] = 0


def test_trading_days_and_closures_make_up_the_schedule() -> None:
    traded = sessions_between(NEW_YORK, date(1900, 1, 1), date(2035, 12, 31))
    days, _ = closures(NEW_YORK)
    assert not set(traded) & set(days)
    np.testing.assert_array_equal(np.union1d(traded, days), session_days(NEW_YORK))


def test_an_unannounced_closure_is_known_from_the_midnight_it_begins() -> None:
    midnight = datetime(2012, 10, 29, 4, tzinfo=UTC)  # daylight saving time in New York
    before = _days(sessions_known(NEW_YORK, midnight - timedelta(microseconds=1)))
    at = _days(sessions_known(NEW_YORK, midnight))
    assert set(before) - set(at) == {SANDY[0]}
    assert SANDY[1] in at


def test_a_declared_announcement_moves_the_instant_a_closure_is_known() -> None:
    declared = Series(
        id="x",
        frequency="B",
        zone="America/New_York",
        calendar="XNYS",
        closures=((BUSH, "2018-12-01T12:00:00-05:00"), (SANDY[1], "2012-10-28")),
    )
    announced = datetime(2018, 12, 1, 17, tzinfo=UTC)
    assert BUSH in _days(sessions_known(declared, announced - timedelta(seconds=1)))
    assert BUSH not in _days(sessions_known(declared, announced))
    assert BUSH in _days(sessions_known(NEW_YORK, announced))
    # a date alone is the end of that day
    assert SANDY[1] in _days(sessions_known(declared, datetime(2012, 10, 29, 3, 59, tzinfo=UTC)))
    assert SANDY[1] not in _days(sessions_known(declared, datetime(2012, 10, 29, 4, tzinfo=UTC)))


def test_a_closure_the_library_does_not_know_may_be_declared() -> None:
    day = date(2030, 3, 5)
    declared = Series(
        id="x", frequency="B", zone="America/New_York", calendar="XNYS", closures=((day, "2030-03-01T12:00:00Z"),)
    )
    assert day in _days(session_days(declared))
    assert day in _days(sessions_between(NEW_YORK, day, day))
    assert _days(sessions_between(declared, day, day)) == []
    assert day in _days(sessions_known(declared, datetime(2030, 3, 1, 11, tzinfo=UTC)))
    assert day not in _days(sessions_known(declared, datetime(2030, 3, 1, 12, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("closure", "reason"),
    [
        ((date(2024, 5, 4), "2024-05-01"), "never a session: Saturday 2024-05-04"),
        ((date(2024, 5, 6), "soon"), "unreadable announcement"),
        ((date(2024, 5, 6), "2024-13-01"), "unreadable announcement"),
        ((date(2024, 5, 6), "2024-05-01T12:00:00"), "without a time zone"),
    ],
)
def test_a_closure_that_cannot_be_is_refused(closure: tuple[date, str], reason: str) -> None:
    series = Series(id="x", frequency="B", zone="America/New_York", calendar="XNYS", closures=(closure,))
    with pytest.raises(UserError, match=reason):
        session_days(series)


@pytest.mark.parametrize("calendar", ["XNYS", "NYSE", "XLON", "JPX", "SIFMA_US"])
def test_known_sessions_are_the_scheduled_ones_less_every_closure_announced_by_then(calendar: str) -> None:
    series = Series(id="x", frequency="B", zone="America/New_York", calendar=calendar)
    days, announced = closures(series)
    for year in range(1965, 2030, 4):
        moment = datetime(year, 10, 30, 12, tzinfo=UTC)
        micro = int(moment.timestamp()) * 1_000_000
        gone = {int(day) for day, told in zip(days, announced, strict=True) if told <= micro}
        expected = [day for day in session_days(series).tolist() if day not in gone]
        assert sessions_known(series, moment).tolist() == expected


def test_an_announced_closure_shortens_distances_without_renumbering_days() -> None:
    before = Timeline(NEW_YORK.parsed, sessions_known(NEW_YORK, datetime(2012, 10, 28, tzinfo=UTC)))
    after = Timeline(NEW_YORK.parsed, sessions_known(NEW_YORK, datetime(2012, 10, 31, tzinfo=UTC)))
    friday, wednesday = date(2012, 10, 26), date(2012, 10, 31)
    assert before.containing(wednesday) - before.containing(friday) == 3
    assert after.containing(wednesday) - after.containing(friday) == 1
    assert before.end(before.containing(wednesday)) == after.end(after.containing(wednesday)) == wednesday


def test_good_friday_is_no_surprise_to_the_bond_market() -> None:
    bonds = Series(id="x", frequency="B", zone="America/New_York", calendar="SIFMA_US")
    assert date(2024, 3, 29) not in _days(session_days(bonds))
    assert date(2024, 3, 29) not in _days(closures(bonds)[0])


def test_months_of_closed_wednesdays_are_closures_of_the_schedule() -> None:
    days = _days(closures(NEW_YORK)[0])
    assert sum(day.year == 1968 and day.weekday() == 2 for day in days) > 20
    assert not any(day.weekday() > 4 for day in days)


def test_a_bank_calendar_of_holidays_can_be_a_session_calendar() -> None:
    sonia = Series(id="x", frequency="B", zone="Europe/London", calendar="holidays:GB/ENG")
    assert _days(sessions_between(sonia, date(2020, 5, 7), date(2020, 5, 11))) == [date(2020, 5, 7), date(2020, 5, 11)]
    assert len(closures(sonia)[0]) == 0


def test_a_series_without_sessions_has_no_session_calendar() -> None:
    with pytest.raises(UserError, match="only a series of sessions"):
        session_days(Series(id="cpi", frequency="M"))


@pytest.mark.parametrize(
    ("name", "holidays", "business_days"),
    [
        ("", [], ["2024-12-25", "2024-01-01"]),
        ("SIFMA_US", ["2024-10-14", "2024-11-11", "2024-03-29"], ["2024-11-12"]),  # bonds rest, shares trade
        ("XNYS", ["2024-03-29", "2012-10-29"], ["2024-10-14", "2024-11-11"]),
        ("holidays:US", ["2024-11-11", "2024-07-04"], ["2024-03-29"]),
        ("holidays:ECB", ["2024-05-01", "2024-12-26", "2024-04-01"], ["2024-10-03", "2024-05-09"]),
        ("holidays:GB/ENG", ["2020-05-08", "2024-04-01", "2022-09-19"], ["2020-05-04", "2024-01-02"]),
        ("holidays:GB/SCT", ["2024-01-02"], ["2024-04-01"]),
    ],
)
def test_named_calendars_know_their_holidays(name: str, holidays: list[str], business_days: list[str]) -> None:
    calendar = business_calendar(name)
    assert not calendar.is_business_day(_stamps(*holidays)).any()
    assert calendar.is_business_day(_stamps(*business_days)).all()
    assert not calendar.is_business_day(_stamps("2024-06-15", "2024-06-16")).any()


def test_where_the_weekend_is_friday_so_is_the_calendars() -> None:
    riyadh = business_calendar("holidays:SA")
    assert riyadh.is_business_day(_stamps("2024-05-03", "2024-05-04", "2024-05-05")).tolist() == [False, False, True]


def _step_by_step(name: str, day: date, n: int) -> date:
    """The n-th business day after (before) a day by walking over the days one at a time."""
    one = timedelta(days=1 if n >= 0 else -1)
    open_on = business_calendar(name).is_business_day
    left = abs(n)
    if n == 0:
        while not open_on(np.array([day], dtype="datetime64[D]"))[0]:
            day += one
    while left:
        day += one
        left -= int(open_on(np.array([day], dtype="datetime64[D]"))[0])
    return day


@pytest.mark.parametrize("name", ["", "SIFMA_US", "holidays:GB/ENG"])
@given(day=st.dates(date(1990, 1, 1), date(2040, 1, 1)), n=st.integers(-8, 8))
def test_adding_business_days_is_walking_over_the_days(name: str, day: date, n: int) -> None:
    added = business_calendar(name).add_business_days(np.array([day], dtype="datetime64[D]"), n)
    assert added.tolist() == [_step_by_step(name, day, n)]


@given(day=st.dates(date(1990, 1, 1), date(2040, 1, 1)), n=st.integers(0, 30))
def test_monday_to_friday_is_numpys_own_business_week(day: date, n: int) -> None:
    stamp = np.array([day], dtype="datetime64[D]")
    roll = "forward" if n == 0 else "backward"
    assert business_calendar("").add_business_days(stamp, n) == np.busday_offset(stamp, n, roll=roll)


@pytest.mark.parametrize(("day", "n"), [("1899-12-31", 0), ("1900-01-02", -5), ("2100-12-30", 9), ("1850-01-01", 1)])
def test_business_days_beyond_the_calendar_are_refused(day: str, n: int) -> None:
    with pytest.raises(UserError, match="outside the calendar"):
        business_calendar("").add_business_days(_stamps("2024-05-03", day), n)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SIFMAUSA", "SIFMAUS"),
        ("Sifma_US", "SIFMA_US"),
        ("holidays:GBX", "holidays:GB"),
        ("holidays:GB/ENX", "holidays:GB/ENG"),
        ("holidays:ECBB", "holidays:ECB"),
    ],
)
def test_an_unknown_calendar_is_refused_with_the_nearest_known_one(name: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=f"did you mean '{meant}'"):
        business_calendar(name)
    with pytest.raises(UnknownNameError, match="unknown calendar"):
        session_days(Series(id="x", frequency="B", calendar=name))


def test_a_name_near_to_nothing_is_answered_briefly() -> None:
    with pytest.raises(UnknownNameError, match=r"and \d+ more") as caught:
        business_calendar("0000000000")
    assert len(str(caught.value)) < 1000


def test_a_calendar_the_library_fails_on_is_refused_with_a_way_out() -> None:
    with pytest.raises(UserError, match="cannot compute this calendar: ASEX"):
        business_calendar("ASEX")


@pytest.mark.parametrize("calendar", ["XHKG", "TASE"])
def test_the_librarys_own_warnings_do_not_reach_the_user(calendar: str) -> None:
    # any warning is an error in this suite
    assert len(session_days(Series(id="x", frequency="B", calendar=calendar))) > 30_000


def test_calendars_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        message = "a calendar asked for the network"
        raise AssertionError(message)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(AssertionError, match="asked for the network"):
        socket.create_connection(("localhost", 9))
    assert len(session_days(Series(id="x", frequency="B", calendar="XSTO"))) > 30_000
    assert len(business_calendar("holidays:SE").days) > 40_000


def test_importing_the_calendars_does_not_import_the_slow_libraries() -> None:
    slow = ("pandas", "pandas_market_calendars", "holidays")
    script = f"import sys, harness.data.calendars, harness.data.lags; print(*[m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
