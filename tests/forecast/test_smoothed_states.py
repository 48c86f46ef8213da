"""States carried from origin to origin are those of smoothing the whole history again, and those of statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from harness.core.snapshot import Micros
from harness.core.transform import Floats
from harness.forecast.carried_states import FEW, Carried, Stretches, parts_of, state_of
from harness.forecast.histories import Work
from harness.forecast.projection import Fitted, Method
from harness.forecast.smoothed_states import State, Weights, carried
from harness.forecast.smoothing import _Ets, ets, smoothed_levels, theta

SEASON = 4
WAVE = np.tile([3.0, -1.0, 0.5, -2.5], 15) + np.random.default_rng(5).normal(0, 1, 60).cumsum() + 40.0


def work(values: Floats, season: int = SEASON) -> Work:
    return Work(np.array(values), 0, season)


def fitted(method: Method) -> Fitted:
    found = method.estimate(work(WAVE[:40]))
    assert found is not None
    return found


def by_statsmodels(given: Fitted, values: Floats, trend: str, *, damped: bool) -> list[float]:
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


# ---- starting states


def started(values: Floats, seasonal: str, season: int, *, trend: bool) -> State:
    """By statsmodels, from the whole history."""
    model = ETSModel(
        values, trend="add" if trend else None, seasonal="add" if seasonal == "add" else None,
        seasonal_periods=season if seasonal == "add" else None, initialization_method="heuristic",
    )  # fmt: skip
    seasons = np.asarray(model.initial_seasonal)[::-1].tolist() if seasonal == "add" else []
    return float(model.initial_level), float(model.initial_trend), tuple(seasons)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    season=st.integers(2, 14),
    count=st.integers(10, 90),
    seasonal=st.sampled_from(["none", "add"]),
    trend=st.booleans(),
)
@example(seed=1, season=12, count=59, seasonal="add", trend=True)
@example(seed=1, season=4, count=15, seasonal="add", trend=True)
@example(seed=1, season=2, count=60, seasonal="add", trend=False)
def test_the_start_is_that_of_the_whole_history_and_depends_on_no_more_than_it_says(
    seed: int, season: int, count: int, seasonal: str, *, trend: bool
) -> None:
    values = np.random.default_rng(seed).normal(10.0, 3.0, count)
    method = _Ets("add", "add" if trend else "none", False, seasonal, 50)
    if seasonal == "add" and count < max(2 * season, 10 + 2 * (season // 2)):
        return
    start = method.start(work(values, season), seasonal)
    assert start == started(values, seasonal, season, trend=trend)
    used = int(method.used(np.array(count), np.array(seasonal == "add"), season))
    assert start == method.start(work(values[:used], season), seasonal)
    # the specimen: the last value that is used tells
    other = np.array(values)
    other[used - 1] += 50.0
    assert start != method.start(work(other, season), seasonal)


def test_multiplicative_errors_are_refused_for_values_that_are_not_positive() -> None:
    given, values = fitted(ets(error="mul", seasonal="none").method), np.array(WAVE)
    values[3] = -1.0
    with pytest.raises(ValueError, match="strictly positive"):
        ets(error="mul", seasonal="none").method.project(given, work(values), 2)
    assert ets(seasonal="none").method.project(given, work(values), 2) is not None


# ---- carried on


def stretches(values: Floats, first: int = 0) -> Stretches:
    end = np.full(len(values), values.shape[1])
    return Stretches(values, first, np.zeros_like(end), end, np.ones_like(end))


class Started:
    """Starts at the first value; knows which rows it was asked for."""

    def __init__(self, values: Floats) -> None:
        self.values, self.asked = values, list[int]()

    def __call__(self, rows: Micros) -> Floats:
        self.asked += rows.tolist()
        return np.vstack([self.values[rows, 0], np.zeros(len(rows))])


@pytest.mark.parametrize("count", [1, 2 * FEW])
def test_only_new_values_are_smoothed_and_only_revised_series_again(count: int) -> None:
    panel = np.array([WAVE + row for row in range(count)])
    carrier, places = Carried([Weights(0.3)] * count), np.arange(count)
    for end in (20, 21, 21, 40):
        start = Started(panel[:, :end])
        states = carrier.after(places, stretches(panel[:, :end]), 2, start)
        assert states[0].tolist() == [smoothed_levels(row[:end], 0.3)[-1] for row in panel]
        assert start.asked == (places.tolist() if end == 20 else [])
    for column, asked in ((0, [0]), (30, [])):  # what is no starting value leaves the starting state
        panel[0, column] += 5.0
        start = Started(panel[:, :41])
        states = carrier.after(places, stretches(panel[:, :41]), 2, start)
        assert states[0].tolist() == [smoothed_levels(row[:41], 0.3)[-1] for row in panel]
        assert start.asked == asked


def test_a_state_is_carried_on_and_not_smoothed_anew() -> None:
    """A state that is no one's is told by what comes of it."""
    carrier, values = Carried([Weights(0.3)] * 2), np.array([WAVE, WAVE])
    carrier.after(np.arange(2), stretches(values[:, :20]), 2, Started(values))
    carrier.state[0] += 100.0
    values[1, 10] += 1.0
    states = carrier.after(np.arange(2), stretches(values[:, :21]), 2, Started(values))
    assert states[0, 0] == carried((smoothed_levels(WAVE[:20], 0.3)[-1] + 100.0, 0.0, ()), Weights(0.3), WAVE[20:21])[0]
    assert states[0, 1] == smoothed_levels(values[1, :21], 0.3)[-1]


def test_what_left_the_columns_is_forgotten() -> None:
    carrier, one = Carried([Weights(0.3)]), np.array([0])
    carrier.after(one, stretches(WAVE[None, :30]), 2, Started(WAVE[None]))
    revised = WAVE[None, :].copy()
    revised[0, 25] += 5.0
    for end in (20, 40):  # what was the newest is out of sight, and comes back as another value
        states = carrier.after(one, stretches(revised[:, :end]), 2, Started(revised))
        assert states[0].tolist() == [smoothed_levels(revised[0, :end], 0.3)[-1]]
    later = carrier.after(one, stretches(revised[:, 10:40], 10), 2, Started(revised[:, 10:]))
    assert later[0].tolist() == [smoothed_levels(revised[0, 10:40], 0.3)[-1]]


@given(st.integers(0, 50), st.lists(st.floats(-5, 5), max_size=5))
def test_a_state_is_laid_out_by_position_and_taken_back(position: int, seasons: list[float]) -> None:
    state = (1.0, 2.0, tuple(seasons))
    parts = parts_of(state, position, 2 + len(seasons))
    assert state_of(parts, position) == state
    if seasons:
        assert parts[2 + position % len(seasons)] == seasons[-1]


@pytest.mark.parametrize("method", [ets(seasonal="add", trend="add").method, theta().method])
def test_a_projection_remembers_nothing(method: Method) -> None:
    given = fitted(method)
    before = method.project(given, work(WAVE[:40]), 3)
    other = method.project(given, work(WAVE[5:41]), 3)
    again = method.project(given, work(WAVE[:40]), 3)
    assert before is not None
    assert other is not None
    assert again is not None
    assert before.tolist() == again.tolist() != other.tolist()
