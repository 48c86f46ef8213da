"""Exponential smoothing and the theta method: estimated at a refit, then smoothed again with those parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.core.errors import UnknownNameError, UserError
from harness.core.snapshot import Micros
from harness.core.transform import Floats
from harness.forecast.carried_states import LEVEL, SEASONS, Carried, Stretches, ahead_together, parts_of
from harness.forecast.histories import Flags, Histories, Work
from harness.forecast.imported import imported
from harness.forecast.projection import Fitted, Together
from harness.forecast.smoothed_states import State, Weights, ahead, carried
from harness.forecast.univariate import Univariate, WorksOn

HEURISTIC_LENGTH = 10
"""Values that the heuristic starting states of exponential smoothing need."""
LINE = np.linalg.pinv(np.column_stack([np.ones(HEURISTIC_LENGTH), np.arange(1.0, HEURISTIC_LENGTH + 1)]))
"""Level and trend [2, value] of the straight line through so many values by least squares."""
SETTLED = 12
"""Seasons of positive values that the heuristic starting states of a model with multiplicative errors ask for."""
HEURISTIC_SEASONS = 5
"""Full seasons at most from which the heuristic starting states are, unless more are needed for as many values."""
CYCLES = 3
"""Full seasons below which no seasonality is estimated."""
NO_WEIGHTS = Weights(math.nan, math.nan, math.nan, math.nan)
COMPONENTS = ("none", "add", "mul")


def ets(
    *,
    error: str = "add",
    trend: str = "none",
    damped: bool = False,
    seasonal: str = "auto",
    max_iterations: int = 50,
    works_on: WorksOn = "step",
) -> Univariate:
    """Exponential smoothing by maximum likelihood, starting states by heuristic, history after the newest gap.

    Args:
        error: `add` or `mul` (positive values only).
        trend: `none`, `add` or `mul`.
        damped: whether the trend is damped.
        seasonal: `none`, `add`, `mul`, or `auto` = `add` where it lowers the corrected AIC and there are three
            seasons of history.
        max_iterations: of the optimiser.
        works_on: `step`, `level` or `target`.

    Raises:
        UserError: an unknown component, or a damped trend without a trend.

    Source: Hyndman, Koehler, Ord, Snyder (2008), Forecasting with Exponential Smoothing; starting states: chapter 2.6.
    """
    for what, value, allowed in (
        ("error", error, COMPONENTS[1:]),
        ("trend", trend, COMPONENTS),
        ("seasonal", seasonal, (*COMPONENTS, "auto")),
    ):
        if value not in allowed:
            raise UnknownNameError(f"ets {what}", value, allowed)
    if damped and trend == "none":
        raise UserError("ets: damped without a trend", fix='add trend = "add"')
    return Univariate(_Ets(error, trend, damped, seasonal, max_iterations), works_on)


def theta(*, theta: float = 2.0, deseasonalize: bool = True, works_on: WorksOn = "step") -> Univariate:
    """The theta method: simple exponential smoothing plus part of a linear trend, history after the newest gap.

    Args:
        theta: the theta line's coefficient; 2 is the original method.
        deseasonalize: remove seasonality first where a test at 10 % finds it and there are three seasons of history;
            multiplicative for positive levels, additive otherwise.
        works_on: `step`, `level` or `target`.

    Raises:
        UserError: theta below 1.

    Source: Assimakopoulos and Nikolopoulos (2000); Hyndman and Billah (2003), equation 10.
    """
    if theta < 1:
        raise UserError("theta: coefficient out of range", value=theta, rule="1 or more")
    return Univariate(_Theta(theta, deseasonalize, "auto" if works_on == "level" else "add"), works_on)


@dataclass(frozen=True, slots=True)
class _Ets:
    error: str
    trend: str
    damped: bool
    seasonal: str
    max_iterations: int

    def _model(self, values: Floats, season: int, seasonal: str) -> Any:
        return imported("statsmodels.tsa.exponential_smoothing.ets", "ETSModel")(
            values,
            error=self.error,
            trend=None if self.trend == "none" else self.trend,
            damped_trend=self.damped,
            seasonal=None if seasonal == "none" else seasonal,
            seasonal_periods=None if seasonal == "none" else season,
            initialization_method="heuristic",
        )

    def _choices(self, work: Work) -> tuple[str, ...]:
        """Seasonal components to compare; none at all where the history is too short for the one that was asked for."""
        if self.seasonal == "none":
            return ("none",)
        enough = work.season > 1 and len(work.values) >= max(HEURISTIC_LENGTH, CYCLES * work.season)
        if self.seasonal == "auto":
            return ("none", "add") if enough else ("none",)
        if work.season < 2:
            raise UserError("ets: a seasonal component needs a season", value=work.season, fix="declare it in [target]")
        return (self.seasonal,) if enough else ()

    def estimate(self, work: Work) -> Fitted | None:
        work = work.newest_stretch()
        if len(work.values) < HEURISTIC_LENGTH or np.ptp(work.values) == 0.0:
            return None
        tried: list[tuple[float, str, Any]] = []
        for seasonal in self._choices(work):
            model = self._model(work.values, work.season, seasonal)
            result = model.fit(disp=False, maxiter=self.max_iterations)
            tried.append((float(result.aicc), seasonal, result))
        if not tried:
            return None
        _, seasonal, best = min(tried, key=lambda one: one[0])
        params = [float(value) for value in best.params]
        if not np.isfinite(params).all():
            raise ValueError("ets: the likelihood has no finite maximum here")
        return {
            "seasonal": seasonal,
            "params": params,
            "variance": float(np.mean((work.values - best.fittedvalues) ** 2)),
        }

    def project(self, fitted: Fitted, work: Work, steps: int) -> Floats | None:
        work = work.newest_stretch()
        seasonal = str(fitted["seasonal"])
        if len(work.values) < shortest(seasonal, work.season):
            return None
        params = np.array(fitted["params"])
        if "mul" in (self.trend, seasonal):
            smoothed = self._model(work.values, work.season, seasonal).smooth(params)
            path: Floats = np.asarray(smoothed.forecast(steps), dtype=np.float64)
            return path
        weights = self.weights(params, seasonal)
        return ahead(carried(self.start(work, seasonal), weights, work.values), weights, steps)

    def together(self, fitted: Sequence[Fitted]) -> Together | None:
        return None if "mul" in (self.trend, self.seasonal) else _EtsTogether(self, fitted)

    def used(self, count: Micros, seasonal: Flags, season: int) -> Micros:
        """[series] how many of so many values the starting state depends on: the first ones, however many follow."""
        most: Micros | int = max(HEURISTIC_LENGTH, SETTLED * season)
        if self.error == "add":
            least = -(-(HEURISTIC_LENGTH + 2 * (season // 2)) // season)
            most = season * np.maximum(np.minimum(HEURISTIC_SEASONS, count // season), least)
        return np.where(seasonal, np.minimum(count, most), HEURISTIC_LENGTH)

    def weights(self, params: Floats, seasonal: str) -> Weights:
        """Parameters of the recursion from those of the model, which are in terms of the one-step error."""
        named = iter(params.tolist())
        level = next(named)
        trend = next(named) / level if self.trend != "none" else 0.0
        season = next(named) / (1.0 - level) if seasonal != "none" else 0.0
        return Weights(level, trend, season, next(named) if self.damped else 1.0)

    def start(self, work: Work, seasonal: str) -> State:
        """The heuristic starting state: of the first values only, however many follow.

        Raises:
            ValueError: the errors are multiplicative and a value is not positive.
        """
        if seasonal == "none" and self.error == "add":
            level, trend = LINE.dot(work.values[:HEURISTIC_LENGTH, None])[:, 0].tolist()
            return level, (trend or 0.0) if self.trend != "none" else 0.0, ()
        used = int(self.used(np.array(len(work.values)), np.array(seasonal != "none"), work.season))
        model = self._model(work.values[:used], work.season, seasonal)
        seasons = () if seasonal == "none" else tuple(np.asarray(model.initial_seasonal)[::-1].tolist())
        return float(model.initial_level), float(model.initial_trend or 0.0), seasons


def shortest(seasonal: str, season: int) -> int:
    """How many values a starting state needs at least."""
    return HEURISTIC_LENGTH if seasonal == "none" else max(HEURISTIC_LENGTH, 2 * season)


@dataclass(frozen=True, slots=True)
class _Theta:
    theta: float
    deseasonalize: bool
    seasonality: str

    def estimate(self, work: Work) -> Fitted | None:
        work = work.newest_stretch()
        count = len(work.values)
        if count < 5 or np.ptp(work.values) == 0.0:
            return None
        seasonal = self.deseasonalize and work.season > 1 and count >= CYCLES * work.season
        model = imported("statsmodels.tsa.forecasting.theta", "ThetaModel")(
            work.values,
            period=work.season if seasonal else None,
            deseasonalize=seasonal,
            method=self.seasonality,
        )
        result = model.fit(disp=False)
        indices = np.asarray(result.forecast_components(work.season).seasonal) if seasonal else np.empty(0)
        neutral = 0.0 if str(model.method).startswith("add") else 1.0
        fitted: dict[str, object] = {
            "trend": float(result.params["b0"]),
            "alpha": float(result.params["alpha"]),
            "multiplicative": neutral == 1.0,
            # the index of the position p is element p modulo the season, wherever the history starts
            "seasonal": [float(one) for one in np.roll(indices, (work.first + count) % work.season)],
        }
        adjusted = _adjusted(work, fitted)
        levels = smoothed_levels(adjusted, float(str(fitted["alpha"])))
        fitted["variance"] = float(np.mean((adjusted[1:] - levels[:-1]) ** 2))
        return fitted

    def project(self, fitted: Fitted, work: Work, steps: int) -> Floats | None:
        work = work.newest_stretch()
        alpha, trend, count = float(str(fitted["alpha"])), float(str(fitted["trend"])), len(work.values)
        adjusted = _adjusted(work, fitted)
        level, _, _ = carried((float(adjusted[0]), 0.0, ()), Weights(alpha), adjusted)
        ahead = np.arange(steps, dtype=np.float64)
        if alpha > 0.0:
            ahead += 1.0 / alpha - (1.0 - alpha) ** count / alpha
        path: Floats = level + (self.theta - 1.0) / self.theta * trend * ahead
        indices = _indices(fitted, work.first + count + np.arange(steps))
        return path * indices if fitted["multiplicative"] else path + indices

    def together(self, fitted: Sequence[Fitted]) -> Together:
        return _ThetaTogether(self.theta, fitted)


class _EtsTogether:
    """Additive components; a series that fails has no finite state, so it is asked by itself."""

    def __init__(self, method: _Ets, fitted: Sequence[Fitted]) -> None:
        self.method, self.seasonal = method, np.array([fit["seasonal"] != "none" for fit in fitted])
        self.carried = Carried([_weights_or_none(method, fit) for fit in fitted])

    def project(self, places: Micros, histories: Histories, steps: int) -> Floats:
        path, season = np.full((len(places), steps), np.nan), histories.season
        since, count = histories.stretch, histories.end - histories.stretch
        rows = np.flatnonzero(count >= np.where(self.seasonal[places], shortest("add", season), HEURISTIC_LENGTH))
        histories, places, since = histories.taken(rows), places[rows], since[rows]
        used = self.method.used(count[rows], self.seasonal[places], season)
        given = Stretches(histories.values, histories.first, since, histories.end, used)
        parts = SEASONS + (season if self.seasonal.any() else 0)

        def starts(some: Micros) -> Floats:
            out = np.full((parts, len(some)), np.nan)
            for column, row in enumerate(some.tolist()):
                values, first = histories.values[row, since[row] : histories.end[row]], int(since[row])
                work = Work(np.array(values), histories.first + first, season)
                with suppress(ValueError):
                    state = self.method.start(work, "add" if self.seasonal[places[row]] else "none")
                    out[:, column] = parts_of(state, work.first, parts)
            return out

        states = self.carried.after(places, given, parts, starts)
        end = histories.first + histories.end
        path[rows] = ahead_together(states, self.carried.weights[:, places], end, steps)
        return path


def _weights_or_none(method: _Ets, fit: Fitted) -> Weights:
    try:
        return method.weights(np.array(fit["params"]), str(fit["seasonal"]))
    except ZeroDivisionError:
        return NO_WEIGHTS


class _ThetaTogether:
    def __init__(self, theta: float, fitted: Sequence[Fitted]) -> None:
        self.theta = theta
        self.alpha, self.trend = (np.array([float(str(fit[name])) for fit in fitted]) for name in ("alpha", "trend"))
        self.multiplicative = np.array([bool(fit["multiplicative"]) for fit in fitted])
        cycles = [_cycle(fit) for fit in fitted]
        season = math.lcm(*map(len, cycles))
        self.indices = np.array([np.resize(cycle, season) for cycle in cycles])  # [series, position modulo the season]
        self.carried = Carried([Weights(alpha) for alpha in self.alpha.tolist()])

    def project(self, places: Micros, histories: Histories, steps: int) -> Floats:
        alpha, trend, since, end = self.alpha[places], self.trend[places], histories.stretch, histories.end
        indices, multiplicative = self.indices[places], self.multiplicative[places, None]
        column = indices[:, (histories.first + np.arange(histories.values.shape[1])) % indices.shape[1]]
        adjusted = np.where(multiplicative, histories.values / column, histories.values - column)
        given = Stretches(adjusted, histories.first, since, end, np.ones_like(end))
        states = self.carried.after(
            places, given, SEASONS, lambda some: np.vstack([adjusted[some, since[some]], np.zeros(len(some))])
        )
        # powers are the scalar ones: those of arrays differ from them in the last bit
        counted = zip(alpha.tolist(), (end - since).tolist(), strict=True)
        faded = np.array([(1.0 - one) ** count if one > 0.0 else 0.0 for one, count in counted])
        gain = np.where(alpha > 0.0, 1.0 / alpha - faded / alpha, 0.0)
        ahead = np.arange(steps, dtype=np.float64) + gain[:, None]
        path = states[LEVEL][:, None] + ((self.theta - 1.0) / self.theta * trend)[:, None] * ahead
        place = (histories.first + end[:, None] + np.arange(steps)) % indices.shape[1]
        index = np.take_along_axis(indices, place, axis=1)
        return np.asarray(np.where(multiplicative, path * index, path + index), dtype=np.float64)


def smoothed_levels(values: Floats, alpha: float) -> Floats:
    """Levels of simple exponential smoothing started at the first value; element t is the forecast of t + 1.

    >>> smoothed_levels(np.array([1.0, 2.0, 2.0]), 0.5).tolist()
    [1.0, 1.5, 1.75]
    """
    out = np.empty(len(values))
    level = float(values[0])
    for place, value in enumerate(values.tolist()):
        level = alpha * value + (1.0 - alpha) * level
        out[place] = level
    return out


def _cycle(fitted: Fitted) -> Floats:
    """Seasonal indices by position modulo their number; one that changes nothing where there is no seasonality."""
    indices = np.array(fitted["seasonal"], dtype=np.float64)
    return indices if len(indices) else np.array([1.0 if fitted["multiplicative"] else 0.0])


def _indices(fitted: Fitted, positions: Micros) -> Floats:
    cycle = _cycle(fitted)
    return cycle[positions % len(cycle)]


def _adjusted(work: Work, fitted: Fitted) -> Floats:
    indices = _indices(fitted, work.first + np.arange(len(work.values)))
    return work.values / indices if fitted["multiplicative"] else work.values - indices
