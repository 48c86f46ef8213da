"""Exponential smoothing by statsforecast: refused in one message without it; statsmodels agrees where it is there."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from harness.core.errors import UserError
from harness.core.recipe import Recipe
from harness.forecast.auto_ets import LEAST, auto_ets
from harness.forecast.catalog import build, resolve_params
from harness.forecast.histories import Work
from harness.forecast.projection import Fitted
from harness.forecast.univariate import Univariate
from tests.forecast.made_snapshots import asked, made, points, wave

NONE = {"N": None, "A": "add", "M": "mul"}
with_extra = pytest.mark.skipif(
    "not __import__('importlib.util').util.find_spec('statsforecast')", reason="the extra statsforecast"
)


def test_without_the_extra_it_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsforecast.ets", None)
    with pytest.raises(UserError, match=r"needs statsforecast.*harness-backtest\[statsforecast\]"):
        build(Recipe("auto", "auto_ets", resolve_params("auto_ets", {})))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"components": "AN"}, "unknown components"),
        ({"components": "NNN"}, "unknown components"),
        ({"components": "AAM"}, "do not go together"),
        ({"components": "ANN", "damped": "yes"}, "damped without a trend"),
        ({"damped": "maybe"}, "auto_ets damped"),
    ],
)
def test_what_cannot_be_is_refused_before_the_library_is_asked_for(params: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        auto_ets(**params)


def history(count: int = 96, season: int = 4, seed: int = 1) -> Work:
    drawn = np.random.default_rng(seed)
    values = 100.0 + np.cumsum(drawn.normal(size=count)) + 5.0 * np.sin(2.0 * np.pi * np.arange(count) / season)
    return Work(values, 7, season)


def by_statsmodels(fitted: Fitted, work: Work) -> Any:
    """The same recursion with the same parameters, by somebody else."""
    error, trend, season, damped = str(fitted["components"])
    params = fitted["params"]
    assert isinstance(params, list)
    level, *rest = params[4:]
    drift = rest.pop(0) if trend != "N" else None
    model = ETSModel(
        work.values,
        error=NONE[error],
        trend=NONE[trend],
        damped_trend=damped == "D",
        seasonal=NONE[season],
        seasonal_periods=work.season if season != "N" else None,
        initialization_method="known",
        initial_level=level,
        initial_trend=drift,
        initial_seasonal=rest[::-1] if season != "N" else None,
    )
    return model.smooth([value for value in params[:4] if value is not None])


@with_extra
@pytest.mark.parametrize(
    ("components", "damped"), [("ANN", "no"), ("AAN", "yes"), ("ANA", "no"), ("AAA", "yes"), ("MAM", "no")]
)
def test_statsmodels_comes_to_the_same_with_its_parameters(components: str, damped: str) -> None:
    work = history()
    method = auto_ets(components=components, damped=damped).method
    fitted = method.estimate(work)
    assert fitted is not None
    reference = by_statsmodels(json.loads(json.dumps(fitted)), work)
    found = method.project(fitted, work, 6)
    near = 1e-5 if "M" in components else 1e-9
    assert found == pytest.approx(np.asarray(reference.forecast(6)), rel=near)
    assert fitted["variance"] == pytest.approx(np.mean((work.values - reference.fittedvalues) ** 2), rel=near)


@with_extra
@pytest.mark.parametrize("components", ["ANN", "MNN"])
def test_without_trend_and_season_statsmodels_estimates_the_same(components: str) -> None:
    work = history()
    fitted = auto_ets(components=components).method.estimate(work)
    assert fitted is not None
    model = ETSModel(work.values, error=NONE[components[0]], initialization_method="estimated")
    reference = model.fit(disp=False, maxiter=2000)
    assert fitted["variance"] == pytest.approx(np.mean((work.values - reference.fittedvalues) ** 2), rel=1e-4)


@with_extra
def test_a_longer_history_is_smoothed_from_the_period_whose_states_were_estimated() -> None:
    whole = history()
    newer = Work(whole.values[20:], whole.first + 20, whole.season)
    method = auto_ets().method
    fitted = method.estimate(newer)
    assert fitted is not None
    assert np.array_equal(method.project(fitted, whole, 3), method.project(fitted, newer, 3))
    later = Work(newer.values[1:], newer.first + 1, newer.season)
    assert method.project(fitted, later, 3) is None
    assert method.estimate(Work(whole.values[: LEAST - 1], 0, 4)) is None


@with_extra
def test_a_panel_is_answered_and_a_stored_fit_answers_alike() -> None:
    snapshot = made({"a": wave(60, seed=1), "b": wave(60, seed=2)})
    model = build(Recipe("auto", "auto_ets", resolve_params("auto_ets", {"works_on": "level"})))
    assert isinstance(model, Univariate)
    model.fit(None, snapshot, seed=1)
    again = build(Recipe("auto", "auto_ets", resolve_params("auto_ets", {"works_on": "level"})))
    assert isinstance(again, Univariate)
    again.load(model.dump())
    rows = asked(snapshot, (0, 1, 2))
    found = points(model.predict(rows, snapshot))
    assert None not in found
    assert found == points(again.predict(rows, snapshot))
