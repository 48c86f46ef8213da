"""Declarations that are taken, and declarations that are refused with their reason."""

from __future__ import annotations

from datetime import date, datetime, time

import pytest

from harness.core.errors import UserError
from harness.core.identity import digest
from harness.core.series import LagRule, Series, lag_rule
from harness.core.time import parse_frequency


def test_a_series_knows_its_frequency_in_full() -> None:
    series = Series(id="uk/cpi", frequency="q", zone="Europe/London")
    assert series.frequency == "Q-DEC"
    assert series.parsed == parse_frequency("Q-DEC")


def test_two_spellings_of_one_declaration_are_equal_and_have_one_identity() -> None:
    short, full = Series(id="a", frequency="Q"), Series(id="a", frequency="Q-DEC")
    assert short == full
    assert hash(short) == hash(full)
    assert digest(short) == digest(full)
    assert digest(short) != digest(Series(id="a", frequency="Q-JAN"))


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"frequency": "X"}, "unknown frequency"),
        ({"zone": "Europe/Londom"}, "unknown time zone"),
        ({"zone": "../etc/passwd"}, "unknown time zone"),
        ({"zone": "Europe"}, "unknown time zone"),
        ({"id": ""}, "may not be empty"),
        ({"id": "two words"}, "blanks"),
        ({"scale": "chained"}, "unknown scale"),
        ({"decimals": -1}, "decimals out of range"),
        ({"decimals": 16}, "decimals out of range"),
        ({"frequency": "B"}, "needs its calendar"),
        ({"frequency": "T"}, "table of period ends"),
    ],
)
def test_a_wrong_declaration_is_refused_with_its_reason(declared: dict[str, object], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Series(**{"id": "x", "frequency": "M"} | declared)  # type: ignore[arg-type]


def test_a_lag_rule_is_read_from_the_table_of_a_dataset_file() -> None:
    table = {
        "kind": "last_business_day",
        "calendar": "SIFMA_US",
        "at": time(8, 30),
        "zone": "America/New_York",
        "exceptions": [[date(2013, 9, 30), date(2013, 10, 30)]],
    }
    assert lag_rule(table) == LagRule(
        "last_business_day",
        calendar="SIFMA_US",
        at=time(8, 30),
        zone="America/New_York",
        exceptions=((date(2013, 9, 30), date(2013, 10, 30)),),
    )


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({}, "unknown lag kind"),
        ({"kind": "monthly"}, "unknown lag kind"),
        ({"kind": "calendar_days", "days": 3}, "unknown key"),
        ({"kind": "calendar_days", "n": 1.5}, "n has the wrong type"),
        ({"kind": "calendar_days", "n": True}, "n has the wrong type"),
        ({"kind": "calendar_days", "at": "08:30"}, "at is a time of day"),
        ({"kind": "calendar_days", "zone": "Mars/Base"}, "unknown time zone"),
        ({"kind": "dates", "dates": [[date(2020, 3, 31)]]}, "pairs of dates"),
        ({"kind": "dates", "dates": [[date(2020, 3, 31), datetime(2020, 4, 20)]]}, "pairs of dates"),  # noqa: DTZ001
        ({"kind": "nth_weekday", "n": 5}, "n out of range"),
        ({"kind": "nth_weekday"}, "n out of range"),
        ({"kind": "nth_weekday", "n": 1, "weekday": 7}, "weekday out of range"),
        ({"kind": "nth_business_day", "n": 0}, "n out of range"),
        ({"kind": "nth_business_day", "n": 23}, "n out of range"),
        ({"kind": "day_of_month", "n": 0}, "n out of range"),
        ({"kind": "day_of_month", "n": -1}, "n out of range"),
        ({"kind": "day_of_month", "n": 32}, "n out of range"),
    ],
)
def test_a_wrong_lag_rule_is_refused_with_its_reason(table: dict[str, object], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        lag_rule(table)


@pytest.mark.parametrize(
    "table",
    [
        {"kind": "calendar_days", "n": -7},
        {"kind": "nth_weekday", "n": -1, "weekday": 4},
        {"kind": "nth_business_day", "n": -15},
        {"kind": "day_of_month", "n": 31, "months_after": 0},
        {"kind": "business_days", "at": None},
    ],
)
def test_rules_at_the_edge_of_what_is_allowed_are_taken(table: dict[str, object]) -> None:
    assert lag_rule(table).kind == table["kind"]
