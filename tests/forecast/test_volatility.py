"""HAR equals the regression it is defined by, and learns only from windows that lie inside the known history."""

from __future__ import annotations

import json

import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS

from harness.core.errors import UnknownNameError, UserError
from harness.core.recipe import Recipe
from harness.core.snapshot import Snapshot
from harness.core.transform import Transform
from harness.forecast.catalog import build, resolve_params
from harness.forecast.volatility import Har, ewma
from tests.forecast.made_snapshots import GAP, asked, made, points

WIDTH = 5
TRANSFORM = Transform("realised_volatility", WIDTH, proxy="squared_log_return")


def prices(length: int, seed: int = 0) -> list[float]:
    """A walk whose volatility is persistent."""
    rng = np.random.default_rng(seed)
    log_variance, out, price = 0.0, [], 100.0
    for _ in range(length):
        log_variance = 0.95 * log_variance + 0.3 * float(rng.normal())
        price *= float(np.exp(0.01 * np.exp(log_variance / 2.0) * rng.normal()))
        out.append(price)
    return out


def model(**params: object) -> Har:
    made_of = build(Recipe("har", "har", resolve_params("har", params)))
    assert isinstance(made_of, Har)
    return made_of


def known(levels: list[float]) -> Snapshot:
    return made({"sp": levels}, TRANSFORM, frequency="D")


def answered(forecaster: Har, snapshot: Snapshot, horizons: tuple[int, ...]) -> list[float | None]:
    return points(forecaster.predict(asked(snapshot, horizons), snapshot))


def by_definition(levels: list[float], start: int, *, log: bool, fit_on: int) -> float:
    """Corsi's regression written session by session: fitted on the first `fit_on` levels, asked at the end of all."""
    moves = np.diff(np.log(levels)) ** 2

    def volatility(first: int, after: int) -> float:
        value = 100.0 * np.sqrt(np.mean(moves[first:after]))
        return float(np.log(value) if log else value)

    def design(at: int) -> list[float]:
        return [1.0, *(volatility(at + 1 - width, at + 1) for width in (1, 5, 22))]

    sessions = range(21, fit_on - 1 - start - WIDTH + 1)
    fitted = OLS([volatility(at + start, at + start + WIDTH) for at in sessions], [design(at) for at in sessions]).fit()
    predicted = float(fitted.predict([design(len(moves) - 1)])[0])
    return float(np.exp(predicted + np.mean(fitted.resid**2) / 2.0)) if log else predicted


@pytest.mark.parametrize("measure", ["log", "volatility"])
@pytest.mark.parametrize("later", [0, 7])
def test_har_is_corsis_regression(measure: str, later: int) -> None:
    levels = prices(200)
    forecaster = model(measure=measure)
    forecaster.fit(None, known(levels[: 200 - later]), seed=0)
    # the origin's own session is unknown, so horizon h starts h + 1 sessions after the newest known one
    expected = [by_definition(levels, h + 1, log=measure == "log", fit_on=200 - later) for h in (1, 2, 10)]
    assert answered(forecaster, known(levels), (1, 2, 10)) == pytest.approx(expected, rel=1e-8)


def test_no_label_reaches_beyond_the_known_history() -> None:
    """With no session to spare for a label there is no regression, and one more session brings it back."""
    rows = 3 * 4
    shortest = 22 + rows - 1 + 2 + WIDTH - 1
    levels = prices(shortest + 1, seed=2)
    for length, missing in ((shortest, True), (shortest + 1, False)):
        forecaster = model()
        forecaster.fit(None, known(levels[:length]), seed=0)
        assert (answered(forecaster, known(levels[:length]), (1,)) == [None]) is missing


def test_a_missing_session_inside_the_newest_window_is_not_glossed_over() -> None:
    levels = prices(200)
    forecaster = model()
    forecaster.fit(None, known(levels), seed=0)
    assert answered(forecaster, known([*levels[:190], GAP, *levels[191:]]), (1,)) == [None]


def test_a_window_starting_beyond_the_fitted_ones_is_not_answered() -> None:
    levels = prices(200)
    forecaster = model(max_ahead=5)
    forecaster.fit(None, known(levels), seed=0)
    given = answered(forecaster, known(levels), (4, 5))
    assert given[0] is not None
    assert given[1] is None


def test_a_linear_fit_never_falls_below_what_it_has_seen() -> None:
    levels = prices(150)
    forecaster = model(measure="volatility")
    forecaster.fit(None, known(levels), seed=0)
    stored = json.loads(forecaster.dump())
    smallest = stored["sp"]["2"]["smallest"]
    labels = [
        100.0 * np.sqrt(np.mean(np.diff(np.log(levels))[at : at + WIDTH] ** 2)) for at in range(23, 149 - WIDTH + 1)
    ]
    assert smallest == pytest.approx(min(labels))
    stored["sp"]["2"]["coefficients"][0] = -1000.0
    forecaster.load(json.dumps(stored))
    assert answered(forecaster, known(levels), (1,)) == [smallest]


@pytest.mark.parametrize(
    ("params", "error"),
    [({"measure": "variance"}, UnknownNameError), ({"windows": [0, 5]}, UserError), ({"max_ahead": 0}, UserError)],
    ids=str,
)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, object], error: type[UserError]) -> None:
    with pytest.raises(error):
        model(**params)


def test_har_is_for_volatility_only() -> None:
    with pytest.raises(UserError, match="realised volatility"):
        model().fit(None, made({"a": prices(100)}), seed=0)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_a_decay_outside_zero_and_one_is_refused(decay: float) -> None:
    with pytest.raises(UserError, match="decay"):
        ewma(decay=decay)
