"""Exponential smoothing and theta agree with statsmodels when fitted and when smoothed again with fixed parameters."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.forecasting.theta import ThetaModel, ThetaModelResults
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import Recipe
from harness.core.snapshot import Snapshot
from harness.core.transform import Transform
from harness.forecast.catalog import build, resolve_params
from harness.forecast.univariate import Univariate
from tests.forecast.made_snapshots import GAP, asked, made, points, wave

HORIZONS = (0, 1, 2, 5)


def model(kind: str, **params: object) -> Univariate:
    made_of = build(Recipe(kind, kind, resolve_params(kind, {"works_on": "level", **params})))
    assert isinstance(made_of, Univariate)
    return made_of


def answered(forecaster: Univariate, snapshot: Snapshot) -> list[float | None]:
    return points(forecaster.predict(asked(snapshot, HORIZONS), snapshot))


@pytest.mark.parametrize(
    "parts",
    [
        {"seasonal": "none"},
        {"trend": "add", "damped": True, "seasonal": "add"},
        {"error": "mul", "trend": "add", "seasonal": "mul"},
    ],
    ids=str,
)
def test_ets_smooths_a_later_snapshot_with_the_fitted_parameters(parts: dict[str, object]) -> None:
    levels = wave(60, seed=1)
    options = {
        "error": parts.get("error", "add"),
        "trend": parts.get("trend"),
        "damped_trend": parts.get("damped", False),
        "seasonal": None if parts["seasonal"] == "none" else parts["seasonal"],
        "seasonal_periods": None if parts["seasonal"] == "none" else 4,
        "initialization_method": "heuristic",
    }
    forecaster = model("ets", **parts)
    forecaster.fit(None, made({"a": levels[:50]}), seed=0)
    params = ETSModel(np.array(levels[:50]), **options).fit(disp=False, maxiter=50).params
    for known in (levels[:50], [*levels[:40], levels[40] * 1.01, *levels[41:]]):
        expected = ETSModel(np.array(known), **options).smooth(params).forecast(6)
        assert answered(forecaster, made({"a": known})) == pytest.approx([expected[h] for h in HORIZONS], rel=1e-9)


def test_ets_chooses_a_seasonal_part_only_where_it_helps() -> None:
    rng = np.random.default_rng(0)
    plain = 100.0 + rng.normal(size=60)
    seasonal = plain + np.tile([5.0, -2.0, 0.0, -3.0], 15)
    forecaster = model("ets")
    forecaster.fit(None, made({"plain": plain.tolist(), "seasonal": seasonal.tolist()}), seed=0)
    chosen = {name: fitted["seasonal"] for name, fitted in forecaster.fitted.items() if fitted is not None}
    assert chosen == {"plain": "none", "seasonal": "add"}


@pytest.mark.parametrize("seasonal", [True, False])
@pytest.mark.parametrize("length", [48, 49, 51])
def test_theta_answers_as_statsmodels_does(length: int, *, seasonal: bool) -> None:
    levels = wave(length, seed=2)
    if seasonal:
        levels = [level * [1.05, 0.98, 1.0, 0.97][place % 4] for place, level in enumerate(levels)]
    forecaster = model("theta")
    snapshot = made({"a": levels})
    forecaster.fit(None, snapshot, seed=0)
    expected = np.asarray(ThetaModel(np.array(levels), period=4, method="auto").fit().forecast(6))
    assert answered(forecaster, snapshot) == pytest.approx([expected[h] for h in HORIZONS], rel=1e-9)


def test_a_short_history_has_the_small_sample_part_of_the_trend() -> None:
    levels = [100.0, 103.0, 99.0, 104.0, 101.0, 103.0, 102.5]
    forecaster = model("theta", deseasonalize=False)
    snapshot = made({"a": levels})
    forecaster.fit(None, snapshot, seed=0)
    expected = np.asarray(ThetaModel(np.array(levels), deseasonalize=False).fit().forecast(6))
    assert answered(forecaster, snapshot) == pytest.approx([expected[h] for h in HORIZONS], rel=1e-9)


def test_theta_smooths_a_later_snapshot_with_the_fitted_parameters() -> None:
    levels = wave(60, seed=2)
    forecaster = model("theta", deseasonalize=False, theta=1.5)
    forecaster.fit(None, made({"a": levels[:50]}), seed=0)
    fitted = ThetaModel(np.array(levels[:50]), deseasonalize=False).fit()
    later = ThetaModel(np.array(levels), deseasonalize=False)
    smoothing = ExponentialSmoothing(np.array(levels), initial_level=levels[0], initialization_method="known")
    alpha = float(fitted.params["alpha"])
    ahead = smoothing.fit(smoothing_level=alpha, optimized=False).forecast(1)
    expected = ThetaModelResults(float(fitted.params["b0"]), alpha, None, ahead, np.empty(0), False, later)
    by_reference = np.asarray(expected.forecast(6, theta=1.5))
    assert answered(forecaster, made({"a": levels})) == pytest.approx([by_reference[h] for h in HORIZONS], rel=1e-9)


@pytest.mark.parametrize("kind", ["ets", "theta"])
def test_history_before_the_newest_gap_is_left_out(kind: str) -> None:
    levels = wave(60, seed=3)
    holed = made({"a": [*levels[:20], GAP, *levels[21:]]})
    short = made({"a": levels[21:]})
    first, second = model(kind), model(kind)
    first.fit(None, holed, seed=0)
    second.fit(None, short, seed=0)
    assert answered(first, holed) == answered(second, short)


@pytest.mark.parametrize("kind", ["ets", "theta"])
def test_too_short_a_stretch_abstains(kind: str) -> None:
    levels = wave(60, seed=3)
    forecaster = model(kind)
    forecaster.fit(None, made({"a": levels}), seed=0)
    assert answered(forecaster, made({"a": levels})).count(None) == 0
    fresh = model(kind)
    snapshot = made({"a": [*levels[:55], GAP, *levels[56:]]})
    fresh.fit(None, snapshot, seed=0)
    assert answered(fresh, snapshot).count(None) == len(HORIZONS)


def test_a_seasonal_part_that_was_asked_for_is_not_dropped_in_silence() -> None:
    snapshot = made({"a": wave(10)})
    forecaster = model("ets", seasonal="add")
    forecaster.fit(None, snapshot, seed=0)
    assert answered(forecaster, snapshot) == [None] * len(HORIZONS)
    with pytest.raises(UserError, match="season"):
        forecaster.fit(None, made({"a": wave(30)}, season=1), seed=0)


def test_a_step_model_builds_growth_from_known_and_smoothed_steps() -> None:
    levels = wave(60, seed=4)
    snapshot = made({"a": levels}, Transform("log_growth", 4))
    forecaster = model("ets", works_on="step", seasonal="none")
    forecaster.fit(None, snapshot, seed=0)
    steps = 100.0 * np.diff(np.log(levels))
    fitted = ETSModel(steps, initialization_method="heuristic").fit(disp=False, maxiter=50)
    path = np.concatenate([steps, fitted.forecast(6)])
    expected = [path[len(steps) + h - 3 : len(steps) + h + 1].sum() for h in HORIZONS]
    assert answered(forecaster, snapshot) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("kind", "params", "error"),
    [
        ("ets", {"error": "none"}, UnknownNameError),
        ("ets", {"trend": "adds"}, UnknownNameError),
        ("ets", {"seasonal": "multiplicative"}, UnknownNameError),
        ("ets", {"damped": True}, UserError),
        ("theta", {"theta": 0.5}, UserError),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    kind: str, params: dict[str, object], error: type[UserError]
) -> None:
    with pytest.raises(error):
        model(kind, **params)
