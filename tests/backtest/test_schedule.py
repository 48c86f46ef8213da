"""Origins: the schedule's days, in the target's zone, carried back in the same phase."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import numpy as np
import pandas as pd
import pytest

from harness.backtest.schedule import local_instant, origin_instants
from harness.core.errors import UserError
from harness.core.recipe import Origins, Schedule
from harness.core.series import Series
from harness.core.time import end_of_day

QUARTERLY = Series(id="gdp", frequency="Q", zone="Europe/London")
SESSIONS = Series(id="sp500", frequency="B", zone="America/New_York", calendar="XNYS")
LOW, HIGH = datetime(2000, 1, 1, 12, tzinfo=UTC), datetime(2003, 1, 1, 12, tzinfo=UTC)


def days(every: Schedule, series: Series = QUARTERLY, first: date = date(2001, 1, 1)) -> list[date]:
    zone = series.zone
    found = origin_instants(Origins(every, first, zone=zone), series, LOW, HIGH)
    local = [pd.Timestamp(moment).tz_convert(zone) - pd.Timedelta(microseconds=1) for moment in found]
    return [stamp.date() for stamp in local]


def test_quarter_ends_are_calendar_quarter_ends_at_the_end_of_the_day() -> None:
    found = origin_instants(
        Origins(Schedule("quarter_end"), date(2001, 3, 31), zone="Europe/London"), QUARTERLY, LOW, HIGH
    )
    expected = [
        end_of_day(stamp.date(), "Europe/London") for stamp in pd.date_range("2000-03-31", "2002-12-31", freq="QE")
    ]
    assert found == expected


def test_month_ends_match_pandas() -> None:
    assert days(Schedule("month_end")) == [
        stamp.date() for stamp in pd.date_range("2000-01-31", "2002-12-31", freq="ME")
    ]


def test_business_month_ends_match_pandas_on_a_plain_week() -> None:
    expected = [stamp.date() for stamp in pd.date_range("2000-01-31", "2002-12-31", freq="BME")]
    assert days(Schedule("business_month_end")) == expected


def test_business_month_end_skips_a_bank_holiday() -> None:
    found = days(Schedule("business_month_end", calendar="XNYS"))
    assert date(2002, 3, 28) in found  # 29 March 2002 was Good Friday
    assert date(2002, 3, 29) not in found


@pytest.mark.parametrize(("weekday", "alias"), [(0, "W-MON"), (4, "W-FRI"), (6, "W-SUN")])
def test_weekly_origins_match_pandas(weekday: int, alias: str) -> None:
    expected = [stamp.date() for stamp in pd.date_range("2000-01-01", "2003-01-01", freq=alias)]
    assert days(Schedule("weekday", weekday=weekday)) == expected


def test_third_friday_matches_pandas() -> None:
    expected = [stamp.date() for stamp in pd.date_range("2000-01-01", "2003-01-01", freq="WOM-3FRI")]
    assert days(Schedule("nth_weekday", n=3, weekday=4)) == expected


def test_every_fifth_session_counts_traded_days_from_the_first_origin_both_ways() -> None:
    found = days(Schedule("sessions", n=5), SESSIONS, first=date(2001, 9, 10))
    assert date(2001, 9, 10) in found
    # 11-14 September 2001 did not trade: five sessions on from the 10th is the 21st
    assert found[found.index(date(2001, 9, 10)) + 1] == date(2001, 9, 21)
    gaps = np.diff([np.busday_count("2000-01-01", day) for day in found])
    assert gaps.min() >= 5


def test_sessions_are_refused_for_a_series_without_sessions() -> None:
    with pytest.raises(UserError, match="sessions"):
        days(Schedule("sessions", n=5))


def test_explicit_dates_out_of_order_are_refused() -> None:
    with pytest.raises(UserError, match="order"):
        days(Schedule("dates", dates=(date(2001, 5, 1), date(2001, 4, 1))))


def test_declared_pseudo_origins_replace_the_rule_before_the_first_origin() -> None:
    found = days(Schedule("quarter_end", pseudo=(date(2000, 2, 10),)), first=date(2002, 6, 30))
    assert found == [date(2000, 2, 10), date(2002, 6, 30), date(2002, 9, 30), date(2002, 12, 31)]


def test_a_local_time_that_happens_twice_is_the_later_one_and_one_that_never_happens_is_late() -> None:
    twice = local_instant(date(2024, 10, 27), time(1, 30), "Europe/London")
    assert twice == datetime(2024, 10, 27, 1, 30, tzinfo=UTC)
    never = local_instant(date(2024, 3, 31), time(1, 30), "Europe/London")
    assert never == datetime(2024, 3, 31, 1, 30, tzinfo=UTC)
