"""Autoregression and ARIMA agree with statsmodels when they are fitted and when they are filtered again."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from statsmodels.tsa.ar_model import AutoReg, ar_select_order
from statsmodels.tsa.statespace.sarimax import SARIMAX

from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import Recipe
from harness.core.snapshot import Snapshot
from harness.core.transform import Transform
from harness.forecast.catalog import build, resolve_params
from harness.forecast.univariate import Univariate
from tests.forecast.made_snapshots import GAP, asked, made, points, wave

GROWTH = Transform("log_growth", 4)
HORIZONS = (0, 1, 2, 3, 4, 8)


def model(kind: str, **params: object) -> Univariate:
    made_of = build(Recipe(kind, kind, resolve_params(kind, params)))
    assert isinstance(made_of, Univariate)
    return made_of


def answered(forecaster: Univariate, snapshot: Snapshot, horizons=HORIZONS) -> list[float | None]:
    return points(forecaster.predict(asked(snapshot, horizons), snapshot))


def steps_of(levels: list[float]) -> np.ndarray:
    return 100.0 * np.diff(np.log(levels))


def over_four(known: np.ndarray, future: np.ndarray) -> list[float]:
    """Four-period growth at horizons 0, 1, .. from known steps and forecast ones."""
    path = np.concatenate([known, future])
    return [float(path[len(known) + h - 3 : len(known) + h + 1].sum()) for h in range(len(future))]


@pytest.mark.parametrize("criterion", ["aic", "bic", "hqic"])
@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_the_one_statsmodels_selects(criterion: str, seed: int) -> None:
    levels = wave(80, seed=seed)
    forecaster = model("autoregression", criterion=criterion)
    forecaster.fit(None, made({"a": levels}, GROWTH), seed=0)
    selected = ar_select_order(steps_of(levels), maxlag=4, ic=criterion, trend="c")
    fitted = forecaster.fitted["a"]
    assert fitted is not None
    assert fitted["lags"] == list(selected.ar_lags or [])


def test_autoregression_answers_as_statsmodels_does() -> None:
    levels = wave(80, seed=1)
    forecaster = model("autoregression", lags=[1, 4])
    snapshot = made({"a": levels}, GROWTH)
    forecaster.fit(None, snapshot, seed=0)
    steps = steps_of(levels)
    future = AutoReg(steps, lags=[1, 4], trend="c").fit().forecast(9)
    expected = over_four(steps, future)
    assert answered(forecaster, snapshot) == pytest.approx([expected[h] for h in HORIZONS], rel=1e-9)


def test_between_refits_parameters_stay_and_the_whole_revised_history_is_filtered() -> None:
    levels = wave(80, seed=1)
    forecaster = model("autoregression", lags=[1, 2])
    forecaster.fit(None, made({"a": levels[:60]}, GROWTH), seed=0)
    fitted = AutoReg(steps_of(levels[:60]), lags=[1, 2], trend="c").fit()
    revised = [*levels[:61], levels[61] * 1.02, levels[62]]
    steps = steps_of(revised)
    future = AutoReg(steps, lags=[1, 2], trend="c").predict(fitted.params, start=len(steps), end=len(steps) + 8)
    expected = over_four(steps, future)
    given = answered(forecaster, made({"a": revised}, GROWTH))
    assert given == pytest.approx([expected[h] for h in HORIZONS], rel=1e-9)
    unrevised = answered(forecaster, made({"a": levels[:63]}, GROWTH))
    assert abs(unrevised[-1] - given[-1]) > 1e-9  # type: ignore[operator]


def test_a_recent_gap_is_bridged_by_the_state_space_form() -> None:
    levels = [level * 1.03**place for place, level in enumerate(wave(80, seed=4))]  # an explosive root
    levels[-2] = GAP
    forecaster = model("autoregression", lags=[1, 2], works_on="level")
    snapshot = made({"a": levels})
    forecaster.fit(None, snapshot, seed=0)
    fitted = forecaster.fitted["a"]
    assert fitted is not None
    params = [fitted["intercept"], *fitted["slopes"], fitted["variance"]]  # type: ignore[misc]
    filtered = SARIMAX(np.array(levels), order=(2, 0, 0), trend="c", enforce_stationarity=False).filter(params)
    expected = filtered.forecast(9)
    assert answered(forecaster, snapshot) == pytest.approx([expected[h] for h in HORIZONS], rel=1e-9)


def test_the_newest_step_may_be_older_than_the_newest_level() -> None:
    """With the last level but one missing, two steps are unknown before the origin's own."""
    levels = wave(80, seed=1)
    snapshot = made({"a": [*levels[:78], GAP, levels[79]]}, GROWTH)
    forecaster = model("autoregression", lags=[1])
    forecaster.fit(None, snapshot, seed=0)
    path = AutoReg(steps_of(levels[:78]), lags=1, trend="c").fit().forecast(8)
    assert answered(forecaster, snapshot, (2, 3, 5)) == [
        None,
        pytest.approx(path[2:6].sum()),
        pytest.approx(path[4:].sum()),
    ]


def test_a_path_that_leaves_the_numbers_is_a_failure_with_the_reason() -> None:
    doubling = [2.0**place for place in range(40)]
    forecaster = model("autoregression", lags=[1], works_on="level")
    forecaster.fit(None, made({"a": doubling}), seed=0)
    with pytest.raises(ValueError, match="a: the forecast path is not finite"):
        answered(forecaster, made({"a": [*doubling, 1e308]}))


def test_an_old_gap_leaves_the_path_to_the_newest_lags() -> None:
    levels = wave(80, seed=4)
    holed = [*levels[:20], GAP, *levels[21:]]
    forecaster = model("autoregression", lags=[1, 2], works_on="level")
    forecaster.fit(None, made({"a": levels}), seed=0)
    assert answered(forecaster, made({"a": holed})) == answered(forecaster, made({"a": levels}))


def test_estimation_uses_only_rows_without_a_gap() -> None:
    levels = wave(60, seed=4)
    levels[30] = GAP
    forecaster = model("autoregression", lags=[1], works_on="level")
    forecaster.fit(None, made({"a": levels}), seed=0)
    pairs = [(a, b) for a, b in itertools.pairwise(levels) if not math.isnan(a + b)]
    slope, intercept = np.polyfit(*zip(*pairs, strict=True), 1)
    fitted = forecaster.fitted["a"]
    assert fitted is not None
    assert [fitted["intercept"], *fitted["slopes"]] == pytest.approx([intercept, slope])  # type: ignore[misc]


@pytest.mark.parametrize("gap", [False, True])
def test_arima_filters_with_the_fitted_parameters(*, gap: bool) -> None:
    levels = wave(80, seed=2)
    if gap:
        levels[70] = GAP
    forecaster = model("arima", order=[1, 0, 1], seasonal_order=[1, 0, 0])
    forecaster.fit(None, made({"a": levels[:60]}, GROWTH), seed=0)
    snapshot = made({"a": levels}, GROWTH)
    steps = steps_of(levels)
    fitted = SARIMAX(steps[:59], order=(1, 0, 1), seasonal_order=(1, 0, 0, 4), trend="c")
    stored = forecaster.fitted["a"]
    assert stored is not None
    params = np.array(stored["params"])
    assert fitted.loglike(params) == pytest.approx(fitted.fit(disp=0, maxiter=500).llf, abs=1e-4)
    future = SARIMAX(steps, order=(1, 0, 1), seasonal_order=(1, 0, 0, 4), trend="c").filter(params).forecast(9)
    expected = over_four(steps, future)
    assert answered(forecaster, snapshot) == pytest.approx([expected[h] for h in HORIZONS], rel=1e-6)


@pytest.mark.parametrize("transform", [GROWTH, Transform("difference", 4), Transform("growth", 4)], ids=str)
def test_a_random_walk_on_levels_or_steps_repeats_the_known_part(transform: Transform) -> None:
    """A model without lags or constant forecasts no further step: the answer is the path of zero steps."""
    levels = wave(40, seed=3)
    snapshot = made({"a": levels}, transform)
    expected = points(build(Recipe("path_zero", "path_zero")).predict(asked(snapshot, HORIZONS), snapshot))
    forecaster = model("autoregression", max_lags=0, constant=False)
    forecaster.fit(None, snapshot, seed=0)
    assert answered(forecaster, snapshot) == pytest.approx(expected)
    walk = model("arima", order=[0, 1, 0], trend="n", works_on="level")
    walk.fit(None, snapshot, seed=0)
    assert answered(walk, snapshot) == pytest.approx(expected, abs=1e-6)


def test_on_target_the_transformed_series_itself_is_continued() -> None:
    levels = wave(80, seed=1)
    snapshot = made({"a": levels}, GROWTH)
    forecaster = model("autoregression", lags=[1], works_on="target")
    forecaster.fit(None, snapshot, seed=0)
    yearly = 100.0 * (np.log(levels[4:]) - np.log(levels[:-4]))
    expected = AutoReg(yearly, lags=1, trend="c").fit().forecast(9)
    assert answered(forecaster, snapshot) == pytest.approx([expected[h] for h in HORIZONS], rel=1e-9)


def test_volatility_averages_known_and_forecast_variance() -> None:
    transform = Transform("realised_volatility", 3, proxy="squared_log_return")
    prices = wave(120, seed=5)
    snapshot = made({"sp": prices}, transform, frequency="D")
    forecaster = model("autoregression", lags=[1])
    forecaster.fit(None, snapshot, seed=0)
    daily = np.abs(steps_of(prices))
    fitted = AutoReg(daily, lags=1, trend="c").fit()
    variance = float(np.mean(fitted.resid**2))
    future = fitted.forecast(4) ** 2 + variance
    # h = 1 is the session after the origin's: its window is the second to fourth unknown session
    assert answered(forecaster, snapshot, (1,)) == pytest.approx([math.sqrt(future[1:4].mean())])


def test_one_hopeless_series_of_a_panel_abstains_and_is_named() -> None:
    snapshot = made({"a": [1e-300, 1e300] * 30, "b": wave(60)}, Transform("difference", 1))
    forecaster = model("arima")
    forecaster.fit(None, snapshot, seed=0)
    given = answered(forecaster, snapshot, (0,))
    assert given[0] is None
    assert given[1] is not None
    assert any(line.startswith("a: ") for line in forecaster.warnings)


def test_a_single_series_that_cannot_be_estimated_is_a_failure_with_the_reason() -> None:
    snapshot = made({"a": [1e-300, 1e300] * 30}, Transform("difference", 1))
    with pytest.raises(ValueError, match="a: "):
        model("arima").fit(None, snapshot, seed=0)


def test_the_fit_is_stored_as_plain_numbers() -> None:
    forecaster = model("autoregression", lags=[1])
    forecaster.fit(None, made({"a": wave(40)}, GROWTH), seed=0)
    assert set(json.loads(forecaster.dump())["fitted"]["a"]) == {"lags", "intercept", "slopes", "variance"}


@pytest.mark.parametrize(
    ("kind", "params", "error"),
    [
        ("autoregression", {"criterion": "bicc"}, UnknownNameError),
        ("autoregression", {"lags": [0]}, UserError),
        ("autoregression", {"max_lags": -1}, UserError),
        ("arima", {"order": [1, 0]}, UserError),
        ("arima", {"order": [1, -1, 0]}, UserError),
        ("arima", {"trend": "x"}, UnknownNameError),
    ],
)
def test_parameters_that_make_no_sense_are_refused(
    kind: str, params: dict[str, object], error: type[UserError]
) -> None:
    with pytest.raises(error):
        model(kind, **params)


def test_a_seasonal_order_needs_a_season() -> None:
    snapshot = made({"a": wave(40)}, GROWTH, season=1)
    with pytest.raises(UserError, match="season"):
        model("arima", seasonal_order=[1, 0, 0]).fit(None, snapshot, seed=0)


def test_volatility_has_no_level_to_work_on() -> None:
    transform = Transform("realised_volatility", 3, proxy="squared_log_return")
    with pytest.raises(UserError, match="no level"):
        model("ets", works_on="level").fit(None, made({"a": wave(40)}, transform, frequency="D"), seed=0)


@pytest.mark.parametrize(("growth", "warned"), [(1.5, True), (0.5, False)])
def test_an_explosive_autoregression_is_named_in_a_warning(growth: float, warned: bool) -> None:
    forecaster = model("autoregression", lags=[1], works_on="level")
    forecaster.fit(None, made({"a": [growth**step for step in range(30)]}), seed=0)
    assert any("explosive" in line for line in forecaster.warnings) is warned
