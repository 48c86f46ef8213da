from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from harness.core.recipe import Experiment, Schedule

TARGET = '[target]\nseries = ["stock.close"]\ntransform = "log_return"\n'


def origins(every: str, more: str = "first = 2012-01-03") -> str:
    return f"[origins]\nevery = {every}\n{more}\n"


@pytest.mark.parametrize(
    ("phrase", "schedule"),
    [
        ("month end", Schedule("month_end")),
        ("business month end", Schedule("business_month_end")),
        ("Quarter  End", Schedule("quarter_end")),
        ("session", Schedule("sessions")),
        ("5 sessions", Schedule("sessions", n=5)),
        ("friday", Schedule("weekday", weekday=4)),
        ("weekday monday", Schedule("weekday", weekday=0)),
        ("third friday", Schedule("nth_weekday", n=3, weekday=4)),
        ("2nd tuesday", Schedule("nth_weekday", n=2, weekday=1)),
    ],
)
def test_phrases_become_schedules(load: Callable[..., Experiment], phrase: str, schedule: Schedule) -> None:
    assert load(target=TARGET, origins=origins(f'"{phrase}"')).origins.every == schedule


@pytest.mark.parametrize("phrase", ["quarter", "0 sessions", "5", "fifth friday", "third fryday", "every day", ""])
def test_other_phrases_are_refused(refused: Callable[..., list[str]], phrase: str) -> None:
    (problem,) = refused(target=TARGET, origins=origins(f'"{phrase}"'))
    assert problem.startswith("origins.every")


def test_listed_origins_are_ordered_local_and_the_first_after_the_warm_up_is_scored(
    load: Callable[..., Experiment],
) -> None:
    listed = "[2012-06-29T16:30:00, 2012-03-30, 2012-09-28T21:00:00Z]"
    found = load(target=TARGET, origins=origins(listed, "warm_up = 1")).origins
    half_past_four = datetime(2012, 6, 29, 16, 30, tzinfo=ZoneInfo("America/New_York"))
    assert found.every.dates == (date(2012, 3, 30), half_past_four, datetime(2012, 9, 28, 21, tzinfo=UTC))
    assert found.first == date(2012, 6, 29)
    midnight = load(target=TARGET, origins=origins("[2012-06-30T03:59:00Z, 2012-06-30T04:00:01Z]", "")).origins
    assert midnight.first == date(2012, 6, 29)  # a minute to midnight in New York


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (origins("[]"), "at least one origin"),
        (origins('["2012-01-03"]'), "without quotes"),
        (origins("[2012-01-03, 2012-01-03]"), "twice"),
        (origins("[2012-01-03]", "warm_up = 1"), "leaves none"),
        (origins("[2012-01-03, 2012-02-01]", "first = 2012-01-03\nwarm_up = 1"), "only 0 of the listed origins"),
        (origins("[2012-01-03]", "first = 2012-02-01"), "after every listed origin"),
        (origins('"month end"', "first = 2012-01-31\nlast = 2011-12-31"), "before the first scored origin"),
        (origins('"month end"', 'first = "2012-01-31"'), "a date without quotes"),
        (origins('"month end"', "first = 2012-01-31T17:00:00"), "without a time of day"),
        (origins('"month end"', "first = 2012-01-31\nwarm_up = -1"), "0 or more"),
        (origins('"month end"', "first = 2012-01-31\ntime = 25"), "a local time of day"),
        (origins('"month end"', 'first = 2012-01-31\ntime = "25:00"'), "a local time of day"),
        (origins('"month end"', "first = 2012-01-31\npseudo = [2012-02-29]"), "precede the first origin"),
        (origins('"month end"', "first = 2012-01-31\nevry = 1"), 'did you mean "every"?'),
        (origins('"month end"', "first = 0001-01-31"), "between the years 1800 and 2200"),
        (origins('"month end"', "first = 2012-01-31\nlast = 9999-12-31"), "between the years 1800 and 2200"),
        (origins("[0001-01-01]", ""), "between the years 1800 and 2200"),
        (origins('"session"', 'first = 2012-01-31\ncalendar = "XNYS"'), 'every = "business month end" only'),
        (origins('"business month end"', 'first = 2012-01-31\ncalendar = "XNYZ"'), "unknown calendar"),
    ],
)
def test_wrong_origins_are_refused(refused: Callable[..., list[str]], section: str, message: str) -> None:
    problems = refused(target=TARGET, origins=section)
    assert any(message in line for line in problems), problems


@pytest.mark.parametrize(
    ("written", "latency"),
    [
        ('"1 day"', timedelta(days=1)),
        ('"15 minutes"', timedelta(minutes=15)),
        ('"2hours"', timedelta(hours=2)),
        ("0", timedelta(0)),
    ],
)
def test_latency_is_a_number_and_a_unit(load: Callable[..., Experiment], written: str, latency: timedelta) -> None:
    section = origins('"month end"', f"first = 2012-01-31\nlatency = {written}")
    assert load(target=TARGET, origins=section).origins.latency == latency


@pytest.mark.parametrize(
    "written",
    ["15", '"15"', '"a day"', '"3 fortnights"', '"-1 day"', '"100000000 days"', '"99999999999999 weeks"', "true"],
)
def test_other_latencies_are_refused(refused: Callable[..., list[str]], written: str) -> None:
    (problem,) = refused(target=TARGET, origins=origins('"month end"', f"first = 2012-01-31\nlatency = {written}"))
    assert problem.startswith("origins.latency")


@pytest.mark.parametrize("written", ["17:30:00", '"17:30"'])
def test_a_time_of_day_may_be_quoted(load: Callable[..., Experiment], written: str) -> None:
    section = origins('"month end"', f"first = 2012-01-31\ntime = {written}")
    assert load(target=TARGET, origins=section).origins.every.at == time(17, 30)


@pytest.mark.parametrize(
    ("every", "message"), [('"session"', "not a series of sessions"), ('"business month end"', "missing")]
)
def test_business_days_need_a_calendar(
    load: Callable[..., Experiment], refused: Callable[..., list[str]], every: str, message: str
) -> None:
    quarterly = '[target]\nseries = ["rate"]\n'
    (problem,) = refused(target=quarterly, origins=origins(every))
    assert message in problem
    assert load(target=TARGET, origins=origins(every)).origins.every.calendar == ""
    named = origins('"business month end"', 'first = 2012-01-31\ncalendar = "holidays:GB"')
    assert load(target=quarterly, origins=named).origins.every.calendar == "holidays:GB"
