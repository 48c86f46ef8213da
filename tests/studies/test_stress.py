"""Longer lags: the same cells and outcomes, later labels, and a loss that grows where news was lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.core.errors import UserError
from harness.core.recipe import Schedule, Training
from harness.core.time import MICROS_PER_DAY as DAY
from harness.core.time import NEVER
from harness.record.home import Home
from harness.studies.stress import STRESS_SCHEMA, price, stress, stressed_plan
from tests.backtest.made_runs import AR, RIDGE, exported, releases, small
from tests.studies.made_studies import longer, plan_of


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stress")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


def of(table: pl.DataFrame, model: str, horizon: int) -> dict[str, object]:
    return table.filter((pl.col("model") == model) & (pl.col("horizon") == horizon)).row(0, named=True)


@pytest.mark.slow
def test_a_lag_longer_by_a_day_changes_nothing_where_no_release_falls_on_it(place: Path, changes: Path) -> None:
    plan = plan_of(longer((AR, RIDGE), place), changes)
    check = stress(plan, changes, Home(place / "home"), 1, workers=1)
    table = dict(check.tables)["stress"]
    assert table.schema == STRESS_SCHEMA
    # 40 days after a quarter instead of 41: at the next quarter's end the same is known, save an unused age in days
    assert set(table.filter(pl.col("model") != "ridge")["worse"]) == {0.0}
    assert table["verdict"].to_list() == table["stressed_verdict"].to_list()
    assert price(plan) == 1.0


@pytest.mark.slow
def test_a_quarter_more_makes_the_last_value_one_quarter_older(place: Path, changes: Path) -> None:
    plan = plan_of(longer((AR, RIDGE), place), changes)
    table = dict(stress(plan, changes, Home(place / "home"), 92, workers=1).tables)["stress"]
    # h = 1 known two quarters before against three: h = 0 is now as far as h = 1 was, on other origins
    near, far = of(table, "last_value", 0), of(table, "last_value", 1)
    assert near["stressed"] != near["faithful"]
    assert far["n"] == plan_of_n(plan, 1)
    assert of(table, "ar", 0)["stressed"] != of(table, "ar", 0)["faithful"]


def plan_of_n(plan: object, place: int) -> int:
    outcomes, request = plan.outcomes, plan.request[plan.first_scored :, place]  # type: ignore[attr-defined]
    return int((outcomes.status[0, request] == 0).sum())


def test_labels_mature_later_and_keep_their_values(place: Path, changes: Path) -> None:
    plan = plan_of(longer((AR,), place), changes)
    late = stressed_plan(plan, 30)
    np.testing.assert_array_equal(late.outcomes.value, plan.outcomes.value)
    there = plan.outcomes.matured_at != NEVER
    np.testing.assert_array_equal((late.outcomes.matured_at - plan.outcomes.matured_at)[there], 30 * DAY)
    assert (late.outcomes.matured_at[~there] == NEVER).all()


@pytest.mark.slow
def test_what_was_public_does_not_become_a_scored_forecast(place: Path, changes: Path, tmp_path: Path) -> None:
    asked = small((RIDGE,), place, horizons=(-1,), training=Training(minimum=3))
    asked = replace(asked, origins=replace(asked.origins, every=Schedule("month_end")))
    plan = plan_of(asked, changes)
    # a quarter comes out 40 days after its end: two months later it is public, and with 30 days more it is not
    faithful, stressed = (
        sum(some.already_public(o).sum() for o in some.issued) for some in (plan, stressed_plan(plan, 30))
    )
    assert stressed < faithful
    table = dict(stress(plan, changes, Home(tmp_path), 30, workers=1).tables)["stress"]
    scored = [o for o in range(plan.first_scored, len(plan.instants)) if not plan.already_public(o)[0, 0]]
    assert set(table["n"]) == {sum(plan.outcomes.status[0, plan.request[o, 0]] == 0 for o in scored)}
    assert table["stressed"].null_count() == 0


def test_no_stress_is_refused(place: Path, changes: Path) -> None:
    plan = plan_of(longer((), place), changes)
    with pytest.raises(UserError, match="no stress at all"):
        stress(plan, changes, Home(place / "home"), 0)
