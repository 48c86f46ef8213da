"""Exponential smoothing and the theta method: estimated at a refit, then smoothed again with those parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.core.errors import UnknownNameError, UserError
from harness.core.transform import Floats
from harness.forecast.imported import imported
from harness.forecast.smoothed_states import Carrier, State, Weights, ahead
from harness.forecast.univariate import Fitted, Univariate, Work, WorksOn

HEURISTIC_LENGTH = 10
"""Values that the heuristic starting states of exponential smoothing need."""
SETTLED = 12
"""Seasons after which the heuristic starting states of a seasonal model stay, whatever follows."""
CYCLES = 3
"""Full seasons below which no seasonality is estimated."""
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
    carrier: Carrier = field(default_factory=Carrier, compare=False, repr=False)

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
        enough = HEURISTIC_LENGTH if seasonal == "none" else max(HEURISTIC_LENGTH, 2 * work.season)
        if len(work.values) < enough:
            return None
        params = np.array(fitted["params"])
        if "mul" in (self.trend, seasonal):
            smoothed = self._model(work.values, work.season, seasonal).smooth(params)
            path: Floats = np.asarray(smoothed.forecast(steps), dtype=np.float64)
            return path
        weights = self._weights(params, seasonal)
        settles = max(enough, SETTLED * work.season if seasonal != "none" else 0)
        key = seasonal, work.first, len(work.values) >= settles or len(work.values)
        state = self.carrier.state(key, weights, work.values, lambda: self._first(work, seasonal, settles))
        return ahead(state, weights, steps)

    def _weights(self, params: Floats, seasonal: str) -> Weights:
        """Parameters of the recursion from those of the model, which are in terms of the one-step error."""
        named = iter(params.tolist())
        level = next(named)
        trend = next(named) / level if self.trend != "none" else 0.0
        season = next(named) / (1.0 - level) if seasonal != "none" else 0.0
        return Weights(level, trend, season, next(named) if self.damped else 1.0)

    def _first(self, work: Work, seasonal: str, settles: int) -> State:
        """The heuristic starting state: of the first values only, however many follow."""
        model = self._model(work.values[:settles], work.season, seasonal)
        seasons = () if seasonal == "none" else tuple(np.asarray(model.initial_seasonal)[::-1].tolist())
        return float(model.initial_level), float(model.initial_trend or 0.0), seasons


@dataclass(frozen=True, slots=True)
class _Theta:
    theta: float
    deseasonalize: bool
    seasonality: str
    carrier: Carrier = field(default_factory=Carrier, compare=False, repr=False)

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
        level, _, _ = self.carrier.state(work.first, Weights(alpha), adjusted, lambda: (float(adjusted[0]), 0.0, ()))
        ahead = np.arange(steps, dtype=np.float64)
        if alpha > 0.0:
            ahead += 1.0 / alpha - (1.0 - alpha) ** count / alpha
        path: Floats = level + (self.theta - 1.0) / self.theta * trend * ahead
        indices = _indices(fitted, work.first + count + np.arange(steps))
        return path * indices if fitted["multiplicative"] else path + indices


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


def _indices(fitted: Fitted, positions: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    indices = np.array(fitted["seasonal"], dtype=np.float64)
    if not len(indices):
        return np.full(len(positions), 1.0 if fitted["multiplicative"] else 0.0)
    return indices[positions % len(indices)]


def _adjusted(work: Work, fitted: Fitted) -> Floats:
    indices = _indices(fitted, work.first + np.arange(len(work.values)))
    return work.values / indices if fitted["multiplicative"] else work.values - indices
