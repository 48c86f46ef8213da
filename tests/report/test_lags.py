"""What `harness lags` prints names the series whose dates are too early for a measurement, and no other."""

from __future__ import annotations

import polars as pl
import pytest

from harness.data.lag_table import LAG_SCHEMA
from harness.report.lags import lags_text

NAMED = "Out before their period ended"


def printed(**least: float | None) -> str:
    rows = [
        dict.fromkeys(LAG_SCHEMA) | {"series_id": name, "frequency": "M", "unit": "", "periods": 3, "lag_min": lag}
        for name, lag in least.items()
    ]
    return lags_text(pl.DataFrame(rows, schema=LAG_SCHEMA))


@pytest.mark.parametrize("lag", [0.0, 15.0, None])
def test_series_that_come_out_after_their_period_are_not_named(lag: float | None) -> None:
    assert NAMED not in printed(sales=lag)


def test_series_that_come_out_before_their_period_ends_are_named_with_how_much() -> None:
    text = printed(sales=40.0, lead=-25.0, survey=-9.0)
    assert f"{NAMED}: lead (up to 25 days), survey (up to 9 days). " in text


def test_of_many_the_first_are_named() -> None:
    assert " and 2 more. Surveys" in printed(**{f"s{number}": -1.0 for number in range(10)})
