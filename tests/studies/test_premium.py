"""What a liberty pretends, on data where it can be computed by hand; what it cannot move is said and left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.backtest.design import build_design
from harness.core.recipe import Step
from harness.data.changes import ChangeFile
from harness.forecast.features import feature_names
from harness.record.home import Home
from harness.studies.premium import (
    BOTH,
    FUTURE,
    LATEST,
    LIBERTIES,
    NO_LAG,
    OVERSAMPLED,
    PREMIUM_SCHEMA,
    STEPS,
    _with_future_inputs,
    _with_helped,
    premium,
    price,
    realised_inputs,
)
from tests.backtest.made_runs import AR, END, RIDGE, TREES, exported, quarter, releases, run, small
from tests.studies.made_studies import longer, plan_of

STEPPED = replace(TREES, name="stepped", steps=(Step("impute"), Step("scale")))
KNN = replace(
    RIDGE,
    name="nearest",
    params=(("estimator", "sklearn.neighbors.KNeighborsRegressor"), ("estimator_params", (("n_neighbors", 1),))),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("premium")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


@pytest.fixture(scope="module")
def table(place: Path, changes: Path) -> pl.DataFrame:
    plan = plan_of(longer((AR, RIDGE, STEPPED, KNN), place), changes)
    return dict(premium(plan, changes, Home(place / "home"), workers=1).tables)["premium"]


def of(table: pl.DataFrame, liberty: str, model: str, horizon: int) -> dict[str, object]:
    one = table.filter((pl.col("liberty") == liberty) & (pl.col("model") == model) & (pl.col("horizon") == horizon))
    assert one.height == 1
    return one.row(0, named=True)


@pytest.mark.slow
def test_every_liberty_has_a_row_for_every_model_and_horizon(table: pl.DataFrame) -> None:
    assert table.schema == PREMIUM_SCHEMA
    assert dict(table.group_by("liberty").len().iter_rows()) == dict.fromkeys(LIBERTIES, 2 * (4 + 4))


@pytest.mark.slow
def test_without_lag_the_last_value_is_the_answer_of_a_nowcast(table: pl.DataFrame) -> None:
    given = of(table, NO_LAG, "last_value", 0)
    assert (given["unfaithful"], given["premium"], given["known"]) == (pytest.approx(0.0, abs=1e-9), 100.0, 1.0)
    assert of(table, NO_LAG, "last_value", 1)["known"] == 0.0


@pytest.mark.slow
def test_without_lag_the_next_quarter_is_forecast_from_one_quarter_nearer(table: pl.DataFrame) -> None:
    frame = releases().filter(pl.col("series_id") == "cpi").sort("published_at")
    firsts = frame.group_by("period", maintain_order=True).agg(pl.col("value").first(), pl.col("published_at").first())

    def growth(number: int) -> float:
        """Growth of a quarter as first published: both levels of that publication."""
        seen = firsts.filter(pl.col("period") == quarter(number))["published_at"][0]
        known = frame.filter(pl.col("published_at") <= seen).group_by("period", maintain_order=True).last()
        levels = [known.filter(pl.col("period") == quarter(q))["value"][0] for q in (number, number - 1)]
        return float(100 * np.log(levels[0] / levels[1]))

    # the newest quarter at the end of quarter q is q - 1 and, without a lag, q; what came out by quarter(25) is scored
    scored = range(11, 24)
    faithful = [growth(q + 1) - growth(q - 1) for q in scored]
    unfaithful = [growth(q + 1) - growth(q) for q in scored]
    row = of(table, NO_LAG, "last_value", 1)
    assert row["n"] == len(faithful)
    assert row["faithful"] == pytest.approx(np.sqrt(np.mean(np.square(faithful))), rel=1e-9)
    assert row["unfaithful"] == pytest.approx(np.sqrt(np.mean(np.square(unfaithful))), rel=1e-9)
    assert row["premium"] == pytest.approx(100 * (1 - row["unfaithful"] / row["faithful"]))  # type: ignore[operator]


@pytest.mark.slow
def test_the_faithful_column_is_the_run(table: pl.DataFrame, place: Path, changes: Path) -> None:
    asked = longer((AR, RIDGE, STEPPED, KNN), place)
    board = run(asked, changes, place / "home").leaderboard
    shown = table.filter(pl.col("liberty") == BOTH).select("horizon", "model", "faithful", "n")
    assert shown.sort("horizon", "model").equals(
        board.select("horizon", "model", pl.col("value").alias("faithful"), "n").sort("horizon", "model")
    )


@pytest.mark.slow
def test_copies_of_what_is_to_be_forecast_flatter_a_model_that_learns_by_heart(table: pl.DataFrame) -> None:
    row = of(table, OVERSAMPLED, "nearest", 0)
    assert isinstance(row["premium"], float)
    assert row["premium"] > 10.0


@pytest.mark.slow
def test_what_a_liberty_does_not_concern_is_said(table: pl.DataFrame, place: Path, changes: Path) -> None:
    assert of(table, STEPS, "ar", 0)["note"] == "not affected: it has no steps"
    assert of(table, STEPS, "ar", 0)["unfaithful"] is None
    assert of(table, STEPS, "stepped", 0)["note"] == ""
    assert of(table, OVERSAMPLED, "drift", 1)["note"] == "not affected: it learns from no rows"
    assert of(table, FUTURE, "ar", 1)["note"] == "not affected: it has no block on another series"
    plan = plan_of(small((AR,), place), changes)
    told: list[tuple[int, int]] = []
    check = premium(plan, changes, Home(place / "home"), workers=1, progress=lambda *done: told.append(done))
    assert told[-1] == (check.cells, check.cells) == (3 * 5 * len(plan.issued),) * 2
    notes = dict(check.tables)["premium"].filter(pl.col("unfaithful").is_null())
    assert dict(notes.select("liberty", "note").unique().iter_rows()) == {
        STEPS: "not applicable: no model has steps",
        OVERSAMPLED: "not applicable: no model learns from rows",
        FUTURE: "not applicable: no model has blocks on other series",
    }


def test_the_price_counts_models_fitted_again(place: Path, changes: Path) -> None:
    plan = plan_of(longer((AR, RIDGE, STEPPED, KNN), place), changes)
    assert price(plan) == pytest.approx(3 + 1 / 4 + 3 / 4 + 3 / 4)
    assert price(plan_of(longer((AR,), place), changes)) == 3.0


@pytest.mark.slow
def test_without_revisions_the_latest_vintage_pretends_nothing(place: Path, tmp_path: Path) -> None:
    once = exported(releases().unique(["series_id", "period"], keep="first", maintain_order=True), tmp_path / "archive")
    plan = plan_of(small((AR,), place), once)
    mine = dict(premium(plan, once, Home(tmp_path / "home"), workers=1).tables)["premium"]
    notes = set(mine.filter(pl.col("liberty") == LATEST)["note"])
    assert notes == {"not affected: nothing it reads is altered"}


def test_realised_inputs_are_those_of_the_target_period(place: Path, changes: Path) -> None:
    true = ChangeFile.open(changes)
    plan = _with_future_inputs(plan_of(longer((RIDGE,), place), changes))
    assert [block.known_ahead for block in plan.experiment.features] == [(), (0,)]
    design = build_design(plan, true)
    column = feature_names(plan.experiment.features).index("gdp.known_ahead_0")
    assert np.isnan(design[..., column]).all()
    told = realised_inputs(plan, true, design)
    known = releases().filter((pl.col("series_id") == "gdp") & (pl.col("published_at") <= END)).sort("published_at")
    level = dict(known.group_by("period").last().select("period", "value").iter_rows())
    row = plan.first_scored  # the end of quarter 11
    expected = [100 * np.log(level[quarter(q)] / level[quarter(q - 1)]) for q in (11, 12)]
    np.testing.assert_allclose(told[row, 0, :, column], expected)
    kept = [place for place in range(design.shape[-1]) if place != column]
    np.testing.assert_array_equal(told[..., kept], design[..., kept])


def test_a_model_whose_stand_in_moved_is_shown_as_moved(place: Path) -> None:
    helped = replace(AR, name="helped", fallback="ridge")
    asked = longer((AR, RIDGE, helped), place)
    assert _with_helped(asked, ["ridge"]) == {"ridge", "helped"}
    assert _with_helped(asked, []) == set()
