"""The plain reading of stamps, periods and lag rules agrees with the archive's own wherever that one is right."""

from __future__ import annotations

from datetime import date, datetime, time
from random import Random

import numpy as np
import polars as pl
import pytest

from harness.core.series import LagRule, Series
from harness.core.time import EPOCH, period_containing, period_ends
from harness.data.lags import release_micros
from harness.data.stamps import period_of
from harness.studies.plain_dates import UNKNOWN, period_named, released, stamped

DAY, AT = date(2012, 10, 28), time(9, 30)
RULES = [
    LagRule("calendar_days", n=20),
    LagRule("calendar_days", n=-3, at=AT),
    LagRule("business_days", n=5, calendar="XNYS"),
    LagRule("business_days", n=0),
    LagRule("business_days", n=-2, calendar="holidays:GB"),
    LagRule("nth_weekday", n=3, weekday=4, at=AT, zone="America/New_York"),
    LagRule("nth_weekday", n=-1, weekday=2, months_after=2),
    LagRule("nth_business_day", n=4, calendar="XNYS"),
    LagRule("nth_business_day", n=-3),
    LagRule("last_business_day", calendar="holidays:ECB"),
    LagRule("day_of_month", n=31),
    LagRule("day_of_month", n=30, months_after=0, at=time(2, 30), zone="Europe/London"),
    LagRule("calendar_days", n=9, exceptions=((date(2012, 3, 31), date(2012, 6, 15)),)),
]


@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York", "America/Sao_Paulo", "Asia/Tokyo"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind} {rule.n} {rule.calendar}")
def test_every_kind_of_rule_publishes_at_the_same_instant(rule: LagRule, zone: str) -> None:
    for frequency in ("M", "Q", "W-WED", "D"):
        if rule.exceptions and frequency not in "MQ":
            continue
        series = Series("one", frequency, zone=zone, lag=rule)
        first = period_containing(series.parsed, date(2012, 1, 5))
        ordinals = np.arange(first, first + 24, dtype=np.int64)
        ends = period_ends(series.parsed, ordinals).tolist()
        assert [released(rule, end, zone) for end in ends] == release_micros(series, ordinals).tolist()


def test_a_calendar_of_releases_that_lacks_a_period_says_nothing_of_it() -> None:
    rule = LagRule("dates", dates=((date(2012, 3, 31), date(2012, 4, 20)),))
    assert released(rule, date(2012, 4, 30), "UTC") == UNKNOWN
    assert released(rule, date(2012, 3, 31), "UTC") != UNKNOWN


@pytest.mark.parametrize("frequency", ["D", "W-WED", "M", "Q", "Q-JAN", "A", "A-MAR"])
@pytest.mark.parametrize("stamp", ["last", "first", "month"])
def test_stamps_name_the_same_period(frequency: str, stamp: str) -> None:
    parsed = Series("one", frequency).parsed
    random = Random(f"{frequency} {stamp}")
    read = 0
    for _ in range(300):
        day = EPOCH.fromordinal(EPOCH.toordinal() + random.randrange(9000, 18000))
        for value in (day, day.isoformat()):
            try:
                expected = period_of(value, parsed, stamp)  # type: ignore[arg-type]
            except ValueError:
                continue
            read += 1
            assert period_named(value, parsed, stamp, "") == expected
    assert read


@pytest.mark.parametrize(
    ("text", "frequency", "stamp"),
    [("2012Q3", "Q", "last"), ("2012-q1", "Q", "first"), ("2012", "A", "last"), ("2012-02", "M", "last"),
     ("2012M7", "M", "first"), ("2012-09", "Q", "month"), (2013, "A", "last")],
)  # fmt: skip
def test_names_of_periods_are_read_alike(text: object, frequency: str, stamp: str) -> None:
    parsed = Series("one", frequency).parsed
    assert period_named(text, parsed, stamp, "") == period_of(text, parsed, stamp)  # type: ignore[arg-type]


def test_a_declared_form_goes_before_the_others_and_nonsense_is_no_period() -> None:
    parsed = Series("one", "M").parsed
    assert period_named("31.01.2012", parsed, "last", "%d.%m.%Y") == date(2012, 1, 31)
    assert period_named("n/a", parsed, "last", "") is None


def test_a_day_ends_in_its_zone_and_a_time_of_day_counts() -> None:
    days = stamped(pl.Series(["2012-12-31", None]), "America/New_York", "", "")
    assert days.tolist() == [int(datetime.fromisoformat("2013-01-01T05:00:00+00:00").timestamp() * 1e6), UNKNOWN]
    times = stamped(pl.Series(["2012-07-31T16:30", "2012-12-31T00:00"]), "UTC", "America/New_York", "")
    told = [
        datetime.fromisoformat(text).timestamp() * 1e6 for text in ("2012-07-31T20:30+00:00", "2012-12-31T05:00+00:00")
    ]
    assert times.tolist() == told
