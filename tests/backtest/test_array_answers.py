"""Answers in the asked order are taken as arrays; one in which any key differs is not taken for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from harness.backtest.answers import checked_answers
from harness.core.frames import ANSWER_SCHEMA
from harness.record.panel_cells import ABSTAINED, ASKED, FAILED, OK, PanelAnswers
from tests.record.test_cells import panel

BLANK = replace(
    panel(datetime(2020, 4, 1, tzinfo=UTC), trained=None),
    value=np.full((2, 2), np.nan),
    status=np.full((2, 2), ASKED, dtype=np.uint8),
    answered=np.zeros((2, 2), dtype=bool),
)
DAYS = [date(2020, 6, 30), date(2020, 9, 30)]
GIVEN = pl.DataFrame(
    {
        "series_id": ["a", "a", "b", "b"],
        "horizon": [0, 1, 0, 1],
        "period": DAYS * 2,
        "quantile": [None] * 4,
        "value": [1.0, None, float("nan"), 4.0],
    },
    schema=ANSWER_SCHEMA,
)


def taken(given: pl.DataFrame, blank: PanelAnswers = BLANK) -> PanelAnswers:
    made = checked_answers(blank, given)
    assert isinstance(made, PanelAnswers)
    return made


def test_no_value_is_an_abstention_and_no_number_a_failure() -> None:
    made = taken(GIVEN)
    assert made.status.tolist() == [[OK, ABSTAINED], [FAILED, OK]]
    np.testing.assert_array_equal(made.value, [[1.0, np.nan], [np.nan, 4.0]])


def test_rows_that_are_not_asked_are_left_out() -> None:
    status = BLANK.status.copy()
    status[0, 1] = ABSTAINED
    made = taken(GIVEN.filter(pl.col("value").is_not_null()), replace(BLANK, status=status))
    assert made.status.tolist() == [[OK, ABSTAINED], [FAILED, OK]]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("series_id", ["a", "a", "b", "c"]),
        ("series_id", ["a", "a", "b", None]),
        ("horizon", [0, 1, 0, 2]),
        ("horizon", [0, 1, 0, None]),
        ("period", [*DAYS, DAYS[0], DAYS[0]]),
        ("period", [*DAYS, DAYS[0], None]),
        ("quantile", [None, None, None, 0.5]),
    ],
)
def test_an_answer_with_another_key_fails_as_a_whole(key: str, values: list[object]) -> None:
    made = taken(GIVEN.with_columns(pl.Series(key, values, dtype=ANSWER_SCHEMA[key])))
    assert (made.status == FAILED).all()
    assert made.reasons[-1].startswith("predict: the answer")
    assert np.isnan(made.value).all()
