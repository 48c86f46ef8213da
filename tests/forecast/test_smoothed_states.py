"""States carried from origin to origin are those of smoothing the whole history again, and those of statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from harness.forecast.smoothed_states import Carrier, Weights
from harness.forecast.smoothing import ets, smoothed_levels, theta
from harness.forecast.univariate import Fitted, Method, Work

SEASON = 4
WAVE = np.tile([3.0, -1.0, 0.5, -2.5], 15) + np.random.default_rng(5).normal(0, 1, 60).cumsum() + 40.0


def work(values: np.ndarray) -> Work:
    return Work(np.array(values), 0, SEASON)


def fitted(method: Method) -> Fitted:
    found = method.estimate(work(WAVE[:40]))
    assert found is not None
    return found


def by_statsmodels(given: Fitted, values: np.ndarray, trend: str, *, damped: bool) -> list[float]:
    seasonal = str(given["seasonal"])
    model = ETSModel(
        values, error="add", trend=None if trend == "none" else trend, damped_trend=damped,
        seasonal=None if seasonal == "none" else seasonal,
        seasonal_periods=None if seasonal == "none" else SEASON, initialization_method="heuristic",
    )  # fmt: skip
    return list(model.smooth(np.array(given["params"])).forecast(6).tolist())


@pytest.mark.parametrize(
    ("trend", "damped", "seasonal"),
    [
        ("none", False, "none"),
        ("add", False, "none"),
        ("add", True, "add"),
        ("none", False, "add"),
        ("none", False, "mul"),
    ],
)
def test_every_origin_answers_as_statsmodels_does_on_the_whole_history(trend: str, damped: bool, seasonal: str) -> None:
    method = ets(trend=trend, damped=damped, seasonal=seasonal).method
    given = fitted(method)
    for end in (40, 41, 41, 44, 60, 45):
        path = method.project(given, work(WAVE[:end]), 6)
        assert path is not None
        assert path.tolist() == by_statsmodels(given, WAVE[:end], trend, damped=damped)


@pytest.mark.parametrize("method", [ets(seasonal="add", trend="add").method, theta().method])
@pytest.mark.parametrize("place", [38, 39])
def test_a_revised_history_is_smoothed_again_from_its_first_value(method: Method, place: int) -> None:
    given, revised = fitted(method), WAVE.copy()
    revised[place] += 5.0
    before = method.project(given, work(WAVE[:40]), 3)
    after = method.project(given, work(revised[:41]), 3)
    fresh = type(method)(*(getattr(method, name) for name in method.__dataclass_fields__ if name != "carrier"))
    alone = fresh.project(given, work(revised[:41]), 3)
    assert after is not None
    assert alone is not None
    assert before is not None
    assert after.tolist() == alone.tolist()
    # the specimen: carried on from the history as it stood before the revision, the answer is another one
    stale = method.project(given, work(np.concatenate([WAVE[:40], revised[40:41]])), 3)
    assert stale is not None
    assert stale.tolist() != after.tolist()


def test_only_new_values_are_smoothed() -> None:
    carrier, asked = Carrier(), []

    def first() -> tuple[float, float, tuple[float, ...]]:
        asked.append(1)
        return float(WAVE[0]), 0.0, ()

    for end in (20, 21, 40):
        state = carrier.state("a", Weights(0.3), WAVE[:end], first)
        assert state[0] == smoothed_levels(WAVE[:end], 0.3)[-1]
    assert len(asked) == 1
    carrier.state("a", Weights(0.3), WAVE[1:40], first)
    assert len(asked) == 2
