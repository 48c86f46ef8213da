"""Reporting lags against release days that can be read off a calendar."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError, UnknownNameError, UserError
from harness.core.series import LagRule, Series
from harness.core.time import NEVER, end_of_day, instant, micros, period_containing, period_ordinals
from harness.data.lags import (
    check_rule,
    estimate_lag,
    estimated_rule,
    measured_lag,
    release_days,
    release_micros,
    require_late_rule,
)

DAY = 86_400_000_000


def _ends(*days: str) -> np.ndarray:
    return np.array(days, dtype="datetime64[D]")


def _released(series: Series, *days: str) -> list[str]:
    moments = release_micros(series, period_ordinals(series.parsed, _ends(*days)))
    return [f"{instant(int(micro)):%Y-%m-%dT%H:%M}" for micro in moments]


def _monthly(rule: LagRule | None, zone: str = "America/New_York", frequency: str = "M") -> Series:
    return Series(id="x", frequency=frequency, zone=zone, lag=rule)


@pytest.mark.parametrize(
    ("rule", "end", "released"),
    [
        (LagRule("calendar_days", n=45), "2023-12-31", "2024-02-14"),
        (LagRule("calendar_days"), "2023-12-31", "2023-12-31"),
        (LagRule("calendar_days", n=-7), "2024-03-31", "2024-03-24"),
        (LagRule("business_days", n=1), "2024-08-31", "2024-09-02"),  # a Saturday: Monday is the first after it
        (LagRule("business_days", n=1, calendar="SIFMA_US"), "2024-08-31", "2024-09-03"),  # Monday is Labor Day
        (LagRule("business_days", n=0), "2024-08-31", "2024-09-02"),
        (LagRule("business_days", n=0), "2024-05-31", "2024-05-31"),
        (LagRule("business_days", n=-1), "2024-05-31", "2024-05-30"),
        (LagRule("business_days", n=-1), "2024-06-30", "2024-06-28"),  # a Sunday: Friday is the first before it
        (LagRule("nth_weekday", n=1, weekday=4), "2024-05-31", "2024-06-07"),  # the first Friday
        (LagRule("nth_weekday", n=2, weekday=5), "2024-05-31", "2024-06-08"),  # the month begins on a Saturday
        (LagRule("nth_weekday", n=3, weekday=2, months_after=2), "2023-11-30", "2024-01-17"),
        (LagRule("nth_weekday", n=-1, weekday=1, months_after=0), "2024-04-30", "2024-04-30"),
        (LagRule("nth_weekday", n=-2, weekday=4), "2024-04-30", "2024-05-24"),
        (LagRule("nth_business_day", n=1), "2024-05-31", "2024-06-03"),
        (LagRule("nth_business_day", n=1), "2024-06-30", "2024-07-01"),  # the month begins on a business day
        (LagRule("nth_business_day", n=3, calendar="XNYS"), "2023-12-31", "2024-01-04"),
        (LagRule("nth_business_day", n=-2), "2024-05-31", "2024-06-27"),
        (LagRule("last_business_day"), "2024-02-29", "2024-03-29"),
        (LagRule("last_business_day", calendar="SIFMA_US"), "2024-02-29", "2024-03-28"),  # Good Friday
        (LagRule("last_business_day", calendar="SIFMA_US"), "2012-12-31", "2013-01-31"),
        (LagRule("last_business_day", months_after=2), "2012-11-30", "2013-01-31"),
        (LagRule("day_of_month", n=20), "2024-10-31", "2024-11-20"),
        (LagRule("day_of_month", n=31), "2024-01-31", "2024-02-29"),
        (LagRule("day_of_month", n=31), "2023-01-31", "2023-02-28"),
        (LagRule("dates", dates=((date(2024, 3, 31), date(2024, 5, 9)),)), "2024-03-31", "2024-05-09"),
    ],
)
def test_each_kind_of_rule_names_the_day_a_calendar_shows(rule: LagRule, end: str, released: str) -> None:
    assert release_days(rule, _ends(end)).astype(str).tolist() == [released]


@given(
    st.lists(st.dates(date(1990, 1, 1), date(2040, 1, 1)), max_size=12),
    st.sampled_from([-4, -3, -2, -1, 1, 2, 3, 4]),
    st.integers(0, 6),
    st.integers(0, 3),
)
def test_the_nth_weekday_is_found_by_listing_the_month(ends: list[date], n: int, weekday: int, after: int) -> None:
    rule = LagRule("nth_weekday", n=n, weekday=weekday, months_after=after)
    for end, found in zip(ends, release_days(rule, np.array(ends, dtype="datetime64[D]")).tolist(), strict=True):
        months = end.year * 12 + end.month - 1 + after
        first = date(months // 12, months % 12 + 1, 1)
        month = [first + timedelta(days=k) for k in range(31)]
        listed = [day for day in month if day.month == first.month and day.weekday() == weekday]
        assert found == listed[n - 1 if n > 0 else n]


def test_a_rule_without_a_time_means_the_end_of_the_day_in_the_series_zone() -> None:
    series = _monthly(LagRule("calendar_days"))
    assert _released(series, "2012-12-31", "2024-05-31") == ["2013-01-01T05:00", "2024-06-01T04:00"]


def test_half_past_eight_in_new_york_on_the_last_business_day_across_the_year_end_and_daylight_saving() -> None:
    rule = LagRule("last_business_day", calendar="SIFMA_US", at=time(8, 30))
    assert _released(_monthly(rule), "2012-11-30", "2012-12-31", "2013-02-28") == [
        "2012-12-31T13:30",
        "2013-01-31T13:30",
        "2013-03-28T12:30",  # the twenty-ninth is Good Friday
    ]


def test_a_rules_own_zone_goes_before_the_series_zone() -> None:
    rule = LagRule("calendar_days", n=1, at=time(9), zone="Europe/London")
    assert _released(_monthly(rule), "2024-03-31", "2024-10-31") == ["2024-04-01T08:00", "2024-11-01T09:00"]


@pytest.mark.parametrize(
    ("zone", "end", "at", "released"),
    [
        ("America/New_York", "2024-03-10", time(2, 30), "2024-03-10T07:30"),  # skipped: 03:30, not 01:30
        ("America/New_York", "2024-11-03", time(1, 30), "2024-11-03T06:30"),  # twice: the second
        ("Europe/London", "2024-03-31", time(1, 30), "2024-03-31T01:30"),
        ("Europe/London", "2024-10-27", time(1, 30), "2024-10-27T01:30"),
        ("America/Sao_Paulo", "2018-11-04", time(0, 0), "2018-11-04T03:00"),  # no midnight on that day
        ("America/Sao_Paulo", "2018-11-03", None, "2018-11-04T03:00"),
        ("America/Sao_Paulo", "2018-11-04", time(9, 0), "2018-11-04T11:00"),
        ("America/Sao_Paulo", "2018-11-02", time(9, 0), "2018-11-02T12:00"),
    ],
)
def test_a_local_time_that_is_skipped_or_repeated_is_the_later_instant(
    zone: str, end: str, at: time | None, released: str
) -> None:
    assert _released(_monthly(LagRule("calendar_days", at=at), zone, "D"), end) == [released]


@given(
    st.dates(date(1975, 1, 1), date(2035, 1, 1)),
    st.times(),
    st.sampled_from(["America/New_York", "America/Sao_Paulo", "Europe/London", "Australia/Lord_Howe"]),
)
def test_no_reading_of_the_local_time_is_later_than_the_rules_instant(day: date, at: time, zone: str) -> None:
    series = _monthly(LagRule("calendar_days", at=at), zone, "D")
    ours = int(release_micros(series, np.array([period_containing(series.parsed, day)]))[0])
    clock = datetime.combine(day, at, tzinfo=ZoneInfo(zone))
    readings = {micros(clock.replace(fold=fold)) for fold in (0, 1)}
    assert ours == max(readings)
    assert ours <= micros(end_of_day(day, zone)) + 3600 * 1_000_000


def test_sessions_are_released_after_their_own_day() -> None:
    rule = LagRule("calendar_days", at=time(16))
    prices = Series(id="x", frequency="B", zone="America/New_York", calendar="XNYS", lag=rule)
    assert _released(prices, "2024-03-08", "2024-03-11") == ["2024-03-08T21:00", "2024-03-11T20:00"]


def test_a_dated_exception_replaces_the_rule_for_its_period_alone() -> None:
    shutdown = LagRule("day_of_month", n=18, at=time(8, 30), exceptions=((date(2013, 9, 30), date(2013, 10, 30)),))
    assert _released(_monthly(shutdown), "2013-08-31", "2013-09-30", "2013-10-31") == [
        "2013-09-18T12:30",
        "2013-10-30T12:30",
        "2013-11-18T13:30",
    ]


def test_a_release_calendar_must_name_every_period() -> None:
    rule = LagRule("dates", dates=((date(2024, 3, 31), date(2024, 5, 9)),))
    with pytest.raises(UserError, match="no release date for a period: 2024-06-30") as caught:
        _released(_monthly(rule, frequency="Q"), "2024-03-31", "2024-06-30")
    assert "dates" in caught.value.fix


def test_an_exception_may_fill_a_release_calendar() -> None:
    rule = LagRule(
        "dates",
        dates=((date(2024, 3, 31), date(2024, 5, 9)),),
        exceptions=((date(2024, 3, 31), date(2024, 5, 10)), (date(2024, 6, 30), date(2024, 8, 15))),
    )
    assert release_days(rule, _ends("2024-03-31", "2024-06-30")).astype(str).tolist() == ["2024-05-10", "2024-08-15"]


@pytest.mark.parametrize("kind", ["dates", "exceptions"])
def test_a_release_dated_for_a_day_on_which_no_period_ends_is_refused(kind: str) -> None:
    pairs = ((date(2024, 3, 30), date(2024, 5, 9)),)
    rule = LagRule("dates", dates=pairs) if kind == "dates" else LagRule("calendar_days", exceptions=pairs)
    with pytest.raises(UserError, match=r"no period ends: 2024-03-30.*ends on 2024-03-31"):
        _released(_monthly(rule, frequency="Q"), "2024-03-31")


def test_a_series_without_a_rule_is_refused_with_one_to_add() -> None:
    with pytest.raises(UserError, match="without a reporting-lag rule: x") as caught:
        _released(_monthly(None), "2024-03-31")
    assert "lag = {" in caught.value.fix


def test_an_unknown_business_calendar_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'SIFMAUS'"):
        _released(_monthly(LagRule("last_business_day", calendar="SIFMA-US")), "2024-03-31")


def test_no_periods_have_no_releases() -> None:
    nothing = np.empty(0, dtype=np.int64)
    for rule in (LagRule("calendar_days"), LagRule("last_business_day"), LagRule("dates")):
        assert release_micros(_monthly(rule), nothing).shape == (0,)


@given(st.lists(st.integers(600, 700), min_size=1, max_size=30))
def test_many_periods_give_what_single_periods_give(quarters: list[int]) -> None:
    series = _monthly(LagRule("nth_business_day", n=3, calendar="XNYS", at=time(8, 30)), frequency="Q-JAN")
    ordinals = np.array(quarters) + 1970 * 4 - 600
    single = [int(release_micros(series, ordinals[place : place + 1])[0]) for place in range(len(ordinals))]
    assert release_micros(series, ordinals).tolist() == single


def _observed(series: Series, ordinals: np.ndarray, early: dict[int, int]) -> np.ndarray:
    """First publications a day before the rule's instant, but later than it by some days at some places."""
    moments = release_micros(series, ordinals) - DAY
    for place, days in early.items():
        moments[place] += (1 + days) * DAY
    return moments


def test_a_rule_that_is_late_enough_for_99_of_100_holds_and_for_98_does_not() -> None:
    series = _monthly(LagRule("calendar_days", n=20))
    ordinals = np.arange(24_000, 24_100)
    one = require_late_rule(series, ordinals, _observed(series, ordinals, {7: 3}))
    assert (one.n, one.held, one.share) == (100, 99, 0.99)
    with pytest.raises(DataError, match="of 2 of 100 periods") as caught:
        require_late_rule(series, ordinals, _observed(series, ordinals, {7: 3, 50: 12}))
    assert "2004-03-31 by 12.0 days, 2000-08-31 by 3.0 days" in caught.value.value
    assert "release calendar" in caught.value.fix


def test_a_publication_at_the_rules_very_instant_holds_and_a_microsecond_after_does_not() -> None:
    series = _monthly(LagRule("calendar_days", n=20))
    ordinals = np.arange(24_000, 24_002)
    check = check_rule(series, ordinals, release_micros(series, ordinals) + np.array([0, 1]))
    assert (check.n, check.held) == (2, 1)
    assert [end for end, _ in check.worst] == [date(2000, 2, 29)]


def test_an_exception_makes_a_rule_hold_where_it_was_early() -> None:
    plain, ordinals = LagRule("calendar_days", n=20), np.arange(24_000, 24_012)
    observed = _observed(_monthly(plain), ordinals, {3: 10})
    assert check_rule(_monthly(plain), ordinals, observed).held == 11
    repaired = LagRule("calendar_days", n=20, exceptions=((date(2000, 4, 30), date(2000, 5, 31)),))
    assert check_rule(_monthly(repaired), ordinals, observed).share == 1.0


def test_periods_nobody_observed_are_left_out_of_the_check() -> None:
    series, ordinals = _monthly(LagRule("calendar_days", n=20)), np.arange(24_000, 24_003)
    observed = np.array([release_micros(series, ordinals)[0], NEVER, NEVER])
    assert require_late_rule(series, ordinals, observed).n == 1
    none = require_late_rule(series, ordinals, np.full(3, NEVER))
    assert none.n == 0
    assert math.isnan(none.share)


def test_only_the_five_worst_periods_are_listed_latest_first() -> None:
    series, ordinals = _monthly(LagRule("calendar_days", n=20)), np.arange(24_000, 24_020)
    check = check_rule(series, ordinals, _observed(series, ordinals, {place: place + 1 for place in range(8)}))
    assert [days for _, days in check.worst] == [8.0, 7.0, 6.0, 5.0, 4.0]


@given(st.lists(st.integers(-20, 90), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_the_estimated_lag_is_the_least_observed_one_that_covers_the_share(lags: list[int], share: float) -> None:
    lag = estimate_lag(np.array(lags), share)
    assert lag in lags
    assert np.mean(np.array(lags) <= lag) >= share - 1e-12
    shorter = [other for other in lags if other < lag]
    assert not shorter or np.mean(np.array(lags) <= max(shorter)) < share
    assert lag == np.quantile(lags, share, method="inverted_cdf")


@pytest.mark.parametrize(("lags", "share"), [([], 0.99), ([1], 0.0), ([1], 1.01)])
def test_a_lag_cannot_be_estimated_from_nothing_or_for_an_impossible_share(lags: list[int], share: float) -> None:
    with pytest.raises(UserError):
        estimate_lag(np.array(lags), share)


def test_an_estimate_uses_only_the_releases_published_by_the_origin() -> None:
    series = _monthly(None, "Europe/London")
    ordinals = np.arange(24_000, 24_006)
    lags = [20, 22, 19, 21, 60, 20]
    ends = [date(2000, 1, 31), date(2000, 2, 29), date(2000, 3, 31), date(2000, 4, 30), date(2000, 5, 31)]
    ends.append(date(2000, 6, 30))
    published = np.array(
        [micros(end_of_day(end + timedelta(days=n), "Europe/London")) for end, n in zip(ends, lags, strict=True)]
    )
    known_at = int(published[3])
    assert estimated_rule(series, ordinals, published, known_at=known_at) == LagRule("calendar_days", n=22)
    later = np.where(published > known_at, published + 30 * DAY, published)
    assert estimated_rule(series, ordinals, later, known_at=known_at) == LagRule("calendar_days", n=22)
    assert estimated_rule(series, ordinals, published, known_at=int(published.max())).n == 60
    with pytest.raises(UserError, match="no release to estimate"):
        estimated_rule(series, ordinals, published, known_at=int(published[0]) - 1)


def test_an_estimated_rule_is_late_for_the_releases_it_was_estimated_from() -> None:
    ordinals = np.arange(24_000, 24_040)
    source = _monthly(LagRule("nth_weekday", n=2, weekday=2, at=time(9, 30)), "Europe/London")
    published = release_micros(source, ordinals)
    rule = estimated_rule(source, ordinals, published, known_at=int(published.max()))
    assert check_rule(_monthly(rule, "Europe/London"), ordinals, published).share == 1.0


def test_a_measured_lag_counts_local_days_and_the_end_of_a_day_belongs_to_it() -> None:
    ends = _ends("2012-12-31", "2013-03-31", "2013-06-30", "2013-09-30")
    published = np.array(
        [
            micros(end_of_day(date(2012, 12, 31), "America/New_York")),  # 2013 in UTC already
            micros(datetime(2013, 4, 20, 12, 30, tzinfo=UTC)),
            micros(datetime(2013, 6, 28, 12, 30, tzinfo=UTC)),  # before its period ended
            NEVER,
        ]
    )
    lag = measured_lag(ends, published, "America/New_York")
    assert (lag.n, lag.minimum, lag.median, lag.maximum) == (3, -2.0, 0.0, 20.0)
    careless = measured_lag(ends, published, "UTC")
    assert careless.median == 1.0


def test_a_lag_measured_on_nothing_is_unknown() -> None:
    lag = measured_lag(_ends("2024-03-31"), np.array([NEVER]), "UTC")
    assert lag.n == 0
    assert math.isnan(lag.median)


def test_a_release_beyond_the_calendar_is_refused() -> None:
    series = Series("x", "M", zone="Europe/London", lag=LagRule("calendar_days", n=40))
    late = period_ordinals(series.parsed, np.array(["9998-12-31", "9999-11-30"], dtype="datetime64[D]"))
    assert release_micros(series, late[:1])[0] > 0
    with pytest.raises(DataError, match="10000-01-09, by the lag rule of x for period 9999-11-30"):
        release_micros(series, late)
