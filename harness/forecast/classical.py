"""Autoregression and ARIMA: estimated at a refit, then filtered over each snapshot with those parameters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.core.errors import UnknownNameError, UserError
from harness.core.snapshot import Micros
from harness.core.transform import Floats
from harness.forecast.histories import Histories, Work
from harness.forecast.imported import imported
from harness.forecast.projection import Fitted, Together
from harness.forecast.univariate import Univariate, WorksOn

CRITERIA = ("aic", "bic", "hqic")
TRENDS = ("n", "c", "t", "ct")


def autoregression(
    *,
    max_lags: int = 4,
    lags: Sequence[int] = (),
    criterion: str = "bic",
    constant: bool = True,
    works_on: WorksOn = "step",
) -> Univariate:
    """Autoregression by least squares, iterated forward.

    Args:
        max_lags: orders 0..max_lags are compared on one common sample; ignored when `lags` is given.
        lags: fixed lags, for example (1, 4); () = choose the order.
        criterion: `aic`, `bic` or `hqic`.
        constant: whether there is an intercept.
        works_on: `step`, `level` or `target`.

    Raises:
        UserError: a lag below 1, or an unknown criterion.
    """
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion", criterion, CRITERIA)
    if max_lags < 0 or any(lag < 1 for lag in lags):
        raise UserError("autoregression: lags start at 1", value=list(lags) or max_lags)
    return Univariate(_Autoregression(max_lags, tuple(sorted(set(lags))), criterion, constant), works_on)


def arima(
    *,
    order: Sequence[int] = (1, 0, 1),
    seasonal_order: Sequence[int] = (0, 0, 0),
    trend: str = "c",
    max_iterations: int = 50,
    works_on: WorksOn = "step",
) -> Univariate:
    """Seasonal ARIMA by exact maximum likelihood (state space form, so missing values are bridged).

    Args:
        order: (p, d, q).
        seasonal_order: (P, D, Q), the season length being the target's, or (P, D, Q, season).
        trend: `n`, `c`, `t` or `ct`.
        max_iterations: of the optimiser.
        works_on: `step`, `level` or `target`.

    Raises:
        UserError: an order that is no order, or an unknown trend.
    """
    if len(order) != 3 or len(seasonal_order) not in (3, 4) or min(*order, *seasonal_order) < 0:
        raise UserError("arima: not an order", value=(tuple(order), tuple(seasonal_order)), rule="(p, d, q), all >= 0")
    if trend not in TRENDS:
        raise UnknownNameError("trend", trend, TRENDS)
    method = _Arima((order[0], order[1], order[2]), tuple(seasonal_order), trend, max_iterations)
    return Univariate(method, works_on)


@dataclass(frozen=True, slots=True)
class _Autoregression:
    max_lags: int
    lags: tuple[int, ...]
    criterion: str
    constant: bool

    def estimate(self, work: Work) -> Fitted | None:
        lags = self.lags or self._chosen(work.values)
        fitted = _least_squares(work.values, lags, constant=self.constant) if lags is not None else None
        if fitted is not None and _explosive(fitted):
            warnings.warn("the fitted autoregression is explosive: its path grows without bound", stacklevel=2)
        return fitted

    def _chosen(self, values: Floats) -> tuple[int, ...] | None:
        """The order with the smallest criterion among those the common sample can carry."""
        known = int((~np.isnan(values)).sum())
        highest = min(self.max_lags, (known - 4) // 3)
        scored = []
        for order in range(highest + 1):
            design, outcome = _regression(values, tuple(range(1, order + 1)), constant=self.constant, start=highest)
            if len(outcome) < design.shape[1] + 3:
                break
            scored.append((self._score(design, outcome), order))
        return tuple(range(1, min(scored)[1] + 1)) if scored else None

    def _score(self, design: Floats, outcome: Floats) -> float:
        count, size = len(outcome), int(design.shape[1])
        squares = float(np.sum(_residuals(design, outcome)[1] ** 2))
        price = {"aic": 2.0, "bic": math.log(count), "hqic": 2.0 * math.log(math.log(count))}[self.criterion]
        return count * math.log(max(squares / count, float(np.finfo(np.float64).tiny))) + price * (size + 1)

    def project(self, fitted: Fitted, work: Work, steps: int) -> Floats | None:
        lags, intercept, slopes = _unpacked(fitted)
        reach = max(lags, default=0)
        if len(work.values) < reach:
            return None
        if np.isnan(work.values[len(work.values) - reach :]).any():
            return self._bridged(fitted, work, steps)
        path = list(work.values[len(work.values) - reach :])
        for _ in range(steps):
            value = intercept
            for lag, slope in zip(lags, slopes, strict=True):
                value += slope * path[-lag]
            path.append(value)
        return np.array(path[reach:])

    def together(self, fitted: Sequence[Fitted]) -> Together:
        return _AutoregressionsTogether(fitted)

    def _bridged(self, fitted: Fitted, work: Work, steps: int) -> Floats:
        """State space form: a lag that is missing is replaced by its estimate given everything before it."""
        lags, intercept, slopes = _unpacked(fitted)
        ordered = [int(lag in lags) for lag in range(1, max(lags) + 1)]
        model = _sarimax(work.values, order=(ordered, 0, 0), trend="c", enforce_stationarity=False)
        params = np.array([intercept, *slopes, max(float(str(fitted["variance"])), np.finfo(float).tiny)])
        path: Floats = np.asarray(model.filter(params).forecast(steps))
        return path


class _AutoregressionsTogether:
    """Those with the same lags side by side; one that has to be bridged is asked by itself."""

    def __init__(self, fitted: Sequence[Fitted]) -> None:
        told = [_unpacked(fit) for fit in fitted]
        self.lags = sorted({tuple(lags) for lags, _, _ in told})
        self.kind = np.array([self.lags.index(tuple(lags)) for lags, _, _ in told])
        self.intercept = np.array([intercept for _, intercept, _ in told])
        self.slopes = np.full((max(map(len, self.lags)), len(told)), np.nan)
        for place, (_, _, slopes) in enumerate(told):
            self.slopes[: len(slopes), place] = slopes

    def project(self, places: Micros, histories: Histories, steps: int) -> Floats:
        out = np.full((len(places), steps), np.nan)
        for kind in np.unique(self.kind[places]).tolist():
            reach = max(self.lags[kind], default=0)
            rows = np.flatnonzero((self.kind[places] == kind) & (histories.end - histories.begin >= reach))
            known = histories.values[rows[:, None], histories.end[rows, None] - reach + np.arange(reach)]
            whole = ~np.isnan(known).any(axis=1)
            rows, known = rows[whole], known[whole]
            path, intercept, slopes = [*known.T], self.intercept[places[rows]], self.slopes[:, places[rows]]
            for _ in range(steps):
                value = intercept
                for lag, slope in zip(self.lags[kind], slopes, strict=False):
                    value = value + slope * path[-lag]
                path.append(value)
            out[rows] = np.array(path[reach:]).T
        return out


def _sarimax(values: Floats, **options: object) -> Any:
    return imported("statsmodels.tsa.statespace.sarimax", "SARIMAX")(values, **options)


def _explosive(fitted: Fitted) -> bool:
    """Whether a root of the autoregression's own polynomial lies outside the unit circle."""
    lags, _, slopes = _unpacked(fitted)
    polynomial = np.zeros(max(lags, default=0) + 1)
    polynomial[0] = 1.0
    polynomial[list(lags)] = [-slope for slope in slopes]
    return bool(np.abs(np.roots(polynomial)).max(initial=0.0) > 1.0)


@dataclass(frozen=True, slots=True)
class _Arima:
    order: tuple[int, int, int]
    seasonal_order: tuple[int, ...]
    trend: str
    max_iterations: int

    def _model(self, work: Work, unit: float = 1.0) -> Any:
        season = self.seasonal_order[3] if len(self.seasonal_order) == 4 else work.season
        seasonal = (*self.seasonal_order[:3], season if any(self.seasonal_order[:3]) else 0)
        if any(seasonal[:3]) and season < 2:
            raise UserError("arima: a seasonal order needs a season", value=season, fix="declare the target's season")
        return _sarimax(work.values / unit, order=self.order, seasonal_order=seasonal, trend=self.trend)

    def _too_short(self, work: Work) -> bool:
        season = self.seasonal_order[3] if len(self.seasonal_order) == 4 else work.season
        lost = self.order[1] + self.seasonal_order[1] * season
        lags = max(self.order[0], self.order[2]) + season * max(self.seasonal_order[0], self.seasonal_order[2])
        size = self.order[0] + self.order[2] + self.seasonal_order[0] + self.seasonal_order[2] + len(self.trend) + 1
        return int((~np.isnan(work.values)).sum()) < lost + max(lags + 3, 2 * size + 2)

    def estimate(self, work: Work) -> Fitted | None:
        if self._too_short(work):
            return None
        # The search stops by absolute thresholds: in other units than the series' own spread it may stop early.
        unit = float(np.nanstd(work.values))
        result = self._model(work, unit).fit(disp=0, maxiter=self.max_iterations, cov_type="none")
        params = [float(value) for value in result.params]
        trends = len(self.trend) if self.trend != "n" else 0
        params = [value * unit for value in params[:trends]] + [*params[trends:-1], params[-1] * unit**2]
        if not np.isfinite(params).all():
            raise ValueError("arima: the likelihood has no finite maximum here")
        return {"params": params, "variance": params[-1]}

    def project(self, fitted: Fitted, work: Work, steps: int) -> Floats | None:
        if self._too_short(work):
            return None
        path: Floats = np.asarray(self._model(work).filter(np.array(fitted["params"])).forecast(steps))
        return path


def _regression(values: Floats, lags: tuple[int, ...], *, constant: bool, start: int) -> tuple[Floats, Floats]:
    """Design [row, parameter] and outcome [row] of the rows whose outcome and lags are all known."""
    first = max([start, *lags])
    columns = [np.ones(max(0, len(values) - first))] if constant else []
    columns += [values[first - lag : len(values) - lag] for lag in lags]
    outcome = values[first:]
    design = np.column_stack(columns) if columns else np.empty((len(outcome), 0))
    complete = ~np.isnan(outcome) & ~np.isnan(design).any(axis=1)
    return design[complete], outcome[complete]


def _residuals(design: Floats, outcome: Floats) -> tuple[Floats, Floats]:
    coefficients: Floats = np.asarray(np.linalg.lstsq(design, outcome, rcond=None)[0], dtype=np.float64)
    return coefficients, outcome - design @ coefficients


def _least_squares(values: Floats, lags: tuple[int, ...], *, constant: bool) -> Fitted | None:
    if len(values) <= max(lags, default=0):
        return None
    design, outcome = _regression(values, lags, constant=constant, start=0)
    if len(outcome) < design.shape[1] + 2:
        return None
    coefficients, residuals = _residuals(design, outcome)
    slopes = coefficients[1:] if constant else coefficients
    return {
        "lags": list(lags),
        "intercept": float(coefficients[0]) if constant else 0.0,
        "slopes": [float(slope) for slope in slopes],
        "variance": float(np.mean(residuals**2)),
    }


def _unpacked(fitted: Fitted) -> tuple[list[int], float, list[float]]:
    lags, slopes = fitted["lags"], fitted["slopes"]
    if not isinstance(lags, list) or not isinstance(slopes, list):
        raise TypeError("a stored autoregression has lists of lags and slopes")
    return lags, float(str(fitted["intercept"])), slopes
