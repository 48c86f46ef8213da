"""The placebo passes honest models and fails one that is shown the outcome, in both of its worlds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from harness.backtest import computing
from harness.core.recipe import FeatureBlock
from harness.core.transform import Transform
from harness.data.changes import ChangeFile
from harness.record.home import Home
from harness.studies.placebo import CIRCULAR, INDEPENDENT, OWN, bound, placebo, price
from harness.studies.placebo_worlds import cells_of_series, redrawn, shift_bounds, shifted
from harness.studies.verdict import FAILED, NOT_SHOWN, PASSED, Check
from tests.backtest.made_runs import AR, RIDGE, TREES, exported, releases
from tests.studies.made_studies import longer, plan_of, revealing

SHOWN = replace(RIDGE, params=(("estimator", "sklearn.linear_model.LinearRegression"),))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("placebo")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


def verdicts(check: Check, kind: str, model: str) -> set[str]:
    table = dict(check.tables)["placebo"]
    return set(table.filter((pl.col("placebo") == kind) & (pl.col("model") == model))["verdict"])


@pytest.mark.slow
def test_honest_models_pass(place: Path, changes: Path) -> None:
    plan = plan_of(longer((AR, RIDGE, TREES), place), changes)
    check = placebo(plan, changes, Home(place / "home"), workers=1)
    assert check.verdict == PASSED, check.findings
    assert verdicts(check, CIRCULAR, "ridge") == verdicts(check, INDEPENDENT, "ar") == {PASSED}
    assert not verdicts(check, CIRCULAR, "ar")  # it reads nothing but the target
    assert not list((place / "home").glob(".study-*"))


@pytest.mark.slow
def test_a_learner_that_is_shown_the_outcome_fails_both(
    place: Path, changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(longer((SHOWN,), place), changes)
    monkeypatch.setattr(computing, "build_rows", revealing("gdp.latest_1"))
    check = placebo(plan, changes, Home(tmp_path), workers=1)
    assert check.verdict == FAILED
    assert verdicts(check, CIRCULAR, "ridge") == verdicts(check, INDEPENDENT, "ridge") == {FAILED}
    found = check.findings[0]
    assert (found.model, found.how, found.row) == ("ridge", CIRCULAR, "horizon 0")
    assert found.expected == f"at most 3 of 5 worlds better than ridge{OWN}"
    assert "fail" not in verdicts(check, INDEPENDENT, "historic_mean")


@pytest.mark.slow
def test_what_cannot_be_tried_is_not_shown(place: Path, changes: Path, tmp_path: Path) -> None:
    only_others = replace(RIDGE, features=("gdp",))
    plan = plan_of(longer((only_others,), place), changes)
    check = placebo(plan, changes, Home(tmp_path), workers=1, redraws=1)
    assert check.verdict == NOT_SHOWN
    assert "without an own-history version: ridge" in check.said
    assert verdicts(check, INDEPENDENT, "ridge") == {NOT_SHOWN}  # one redraw: even always winning would be luck
    far = FeatureBlock("gdp", series="gdp", transform=Transform("log_growth", 1), latest=(20,))
    asked = longer((RIDGE,), place)
    plan = plan_of(replace(asked, features=(asked.features[0], far)), changes)
    check = placebo(plan, changes, Home(tmp_path), workers=1, redraws=1)
    assert check.verdict == NOT_SHOWN
    assert "too short to be shifted: gdp" in check.said


def test_the_price_counts_models_fitted_again(place: Path, changes: Path) -> None:
    plan = plan_of(longer((AR, RIDGE), place), changes)
    assert price(plan, shifts=5, redraws=10) == pytest.approx(10 + 6 / 2)


def test_luck_has_a_bound() -> None:
    assert [bound(tries, 0.5) for tries in (1, 9, 10, 20)] == [1, 9, 9, 17]  # qbinom(0.999, n, 0.5) in R


# ---- the worlds


def test_shifted_inputs_keep_their_stamps_and_their_growth_and_leave_the_target_alone(
    place: Path, changes: Path
) -> None:
    true = ChangeFile.open(changes)
    plan = plan_of(longer((RIDGE,), place), changes)
    bounds = shift_bounds(plan, true)
    # 1 + lookback 1 back, (h = 1 and one quarter's growth) and 40 days of waiting ahead, each rounded up, and one more
    assert bounds == {"gdp": (6, 25 - 6)}
    other = shifted(true, plan, bounds, 0.5)
    for name in ("code", "period", "published", "vintage"):
        np.testing.assert_array_equal(getattr(other, name), getattr(true, name))
    own = true.code == true.code_of("cpi")
    np.testing.assert_array_equal(other.value[own], true.value[own])
    before, after = (np.diff(np.log(cells_of_series(one, "gdp").final)) for one in (true, other))
    by = round(6 + 0.5 * 13)
    np.testing.assert_allclose(after, np.roll(before, by), rtol=1e-9)
    # a revision is as large as it was
    rows = np.flatnonzero(true.code == true.code_of("gdp"))
    cells, moved = cells_of_series(true, "gdp"), cells_of_series(other, "gdp")
    np.testing.assert_allclose(
        other.value[rows] / moved.final[moved.cell], true.value[rows] / cells.final[cells.cell], rtol=1e-12
    )


@pytest.mark.parametrize("kind", ["log_growth", "difference", "level"])
def test_a_redrawn_target_has_the_observed_steps_in_another_order(
    kind: str, place: Path, changes: Path, tmp_path: Path
) -> None:
    true = ChangeFile.open(changes)
    plan = plan_of(longer((), place), changes)
    target = replace(plan.experiment.target, transform=Transform(kind, 1))  # type: ignore[arg-type]
    plan = replace(plan, experiment=replace(plan.experiment, target=target))
    one, two = redrawn(true, plan, 1), redrawn(true, plan, 2)
    other = true.code == true.code_of("gdp")
    np.testing.assert_array_equal(one.value[other], true.value[other])
    shape = np.log if kind == "log_growth" else np.asarray
    observed, drawn = (np.diff(shape(cells_of_series(some, "cpi").final)) for some in (true, one))
    assert np.isclose(drawn[:, None], observed[None, :], rtol=1e-8).any(axis=1).all()
    assert not np.allclose(drawn, observed)
    assert not np.array_equal(one.value, two.value)
    np.testing.assert_array_equal(one.value, redrawn(true, plan, 1).value)


def test_a_redrawn_volatility_keeps_the_middle_of_every_session() -> None:
    from harness.studies.placebo_worlds import _put_ranges

    class Two:
        code = np.array([0, 1, 0, 1, 0, 1])
        period = np.array([1, 1, 2, 2, 3, 3])
        value = np.exp(np.array([1.2, 1.0, 1.5, 1.1, 1.9, 1.0]))

        def code_of(self, name: str) -> int:
            return ["high", "low"].index(name)

    value = Two.value.copy()
    _put_ranges(Two(), "high", "low", 5, value)  # type: ignore[arg-type]
    logs, before = np.log(value), np.log(Two.value)
    np.testing.assert_allclose(logs[::2] + logs[1::2], before[::2] + before[1::2])
    assert all(np.isclose(one, [0.2, 0.4, 0.9]).any() for one in logs[::2] - logs[1::2])
