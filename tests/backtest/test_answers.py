"""Whatever a model answers, every asked row is there with a status and a reason, and nothing is invented."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from harness.core.recipe import Recipe
from tests.backtest.made_runs import MINE, Ran, exported, quarter, releases, run, small
from tests.backtest.row_scores import scored_twice  # noqa: F401 - compares every run of this module

REASONS = {
    "nothing": "returned NoneType, not a polars frame",
    "pandas": "returned DataFrame, not a polars frame",
    "a hole": "lacks rows that were asked for",
    "a repeat": "has repeated rows",
    "a stranger": "has rows that were not asked for",
    "a missing column": "lacks the column period",
    "words": "has the wrong types",
    "not a number": "is not a finite number",
    "infinity": "is not a finite number",
    "quantiles only": "lacks rows that were asked for",
    "an interrupted model": "ZeroDivisionError",
}
CELL = ["series_id", "origin", "horizon"]


def wrong(how: str) -> Recipe:
    return Recipe(how.replace(" ", "_"), "own_models:Wrong", (("how", how),), ("own",))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    place = tmp_path_factory.mktemp("answers")
    days = tuple(str(quarter(number) + timedelta(days=late)) for number in range(28) for late in (0, 1))
    never = replace(MINE, name="never", params=(("abstain_at", days),))
    models = (
        *(wrong(how) for how in (*REASONS, "another order", "quantiles too", "a quantile that is no number")),
        never,
        MINE,
    )
    asked = small(models, place)
    asked = replace(asked, origins=replace(asked.origins, first=quarter(23)))
    return run(asked, exported(releases(), place / "archive"), place / "home")


def test_the_fixture_asks_for_rows(ran: Ran) -> None:
    assert ran.forecasts.filter(pl.col("model") == "mine").height == 6


@pytest.mark.parametrize("how", REASONS)
def test_an_answer_that_cannot_be_taken_is_a_failure_at_every_asked_row(how: str, ran: Ran) -> None:
    rows = ran.forecasts.filter(pl.col("model") == how.replace(" ", "_"))
    right = ran.forecasts.filter(pl.col("model") == "mine")
    assert rows.select(CELL).equals(right.select(CELL))
    assert set(rows["status"]) == {"failed"}
    assert all(REASONS[how] in reason for reason in rows["reason"])
    assert rows["value"].null_count() == rows.height


def test_an_answer_in_another_order_is_the_same_answer(ran: Ran) -> None:
    rows = ran.forecasts.filter(pl.col("model") == "another_order")
    assert set(rows["status"]) == {"ok"}
    assert set(rows["value"]) == {1.5}
    assert rows.select(CELL).equals(ran.forecasts.filter(pl.col("model") == "mine").select(CELL))


def test_quantiles_stand_beside_the_point_and_are_not_scored_as_one(ran: Ran) -> None:
    rows = ran.forecasts.filter(pl.col("model") == "quantiles_too")
    assert rows.group_by("quantile").len().sort("quantile", nulls_last=False).rows() == [(None, 6), (0.9, 6)]
    board = ran.leaderboard
    both = [board.filter(pl.col("model") == name)["value"].to_list() for name in ("quantiles_too", "another_order")]
    assert both[0] == both[1]


def test_a_quantile_that_is_no_number_fails_beside_a_sound_point(ran: Ran) -> None:
    rows = ran.forecasts.filter(pl.col("model") == "a_quantile_that_is_no_number")
    told = rows.group_by("quantile", "status", "reason", "value").len().sort("quantile", nulls_last=False)
    assert told.rows() == [
        (None, "ok", None, 1.5, 6),
        (0.9, "failed", "predict: the answer is not a finite number", None, 6),
    ]


def test_an_abstention_is_none_of_these_failures(ran: Ran) -> None:
    rows = ran.forecasts.filter(pl.col("model") == "never")
    assert set(rows["status"]) == {"abstained"}
    assert set(rows["reason"]) == {"the model gave no value"}


def test_models_without_an_answer_share_the_value_of_the_reference_and_none_is_missing(ran: Ran) -> None:
    board = ran.leaderboard
    for horizon in (0, 1):
        part = board.filter(pl.col("horizon") == horizon)
        reference = part.filter(pl.col("model") == "last_value")["value"][0]
        silent = part.filter(pl.col("model").is_in(["never", *(how.replace(" ", "_") for how in REASONS)]))
        assert silent.height == len(REASONS) + 1
        assert set(silent["value"]) == {reference}
        assert part["n"].n_unique() == 1
