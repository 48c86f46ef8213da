"""An autoregression with Student-t errors, written from its makers' description, and the choices that differ from ours.

The makers' recipe (defaults of `Choices`): quarter-on-quarter growth, or differences for a rate; quarters after
July 1997; y_t = c + a_1 y_(t-1) + .. + a_p y_(t-p) + e_t with p = 1 or 2 by BIC, each order on its own sample; errors
Student t with scale s and v degrees of freedom, conditional likelihood; coefficients kept stationary by
a_1 = 0.99 tanh(r) for p = 1, and a_2 = 0.99 tanh(r_2), a_1 = (1 - a_2) tanh(r_1 / 2) for p = 2; s >= 0.001 in
fractions, 2.1 <= v <= 30; L-BFGS-B with numerical gradients, started from least squares *as if r were a*, s its
residuals' standard deviation, v = 5; forecasts iterated 13 quarters and cumulated to levels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from tests.golden.vintages import Floats, Vintage

STEPS = 13
FLOOR = 0.001
FREEDOM = (2.1, 30.0)
NORMAL = (1e6, 1e6)
"""Degrees of freedom at which Student's t is normal."""
BORDER = 0.999


@dataclass(frozen=True, slots=True)
class Choices:
    """How an autoregression is specified and estimated.

    Attributes:
        estimator: `stopped` = their search for the largest Student-t likelihood, as it stops; `student` = the largest;
            `normal` = the largest under normal errors; `least squares` = that without keeping coefficients stationary.
        growth: simple = x_t / x_(t-1) - 1, log = ln x_t - ln x_(t-1); a rate is differenced in either case.
        orders: compared by BIC.
        common_sample: whether all orders are compared on the sample of the longest.
        after: steps of periods after this day are used.
    """

    estimator: Literal["stopped", "student", "normal", "least squares"] = "stopped"
    growth: Literal["simple", "log"] = "simple"
    orders: Sequence[int] = (1, 2)
    common_sample: bool = False
    after: date = date(1997, 7, 1)


THEIRS = Choices()


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Estimates of one order: y_t = constant + slopes . (y_(t-1), .., y_(t-p))."""

    constant: float
    slopes: Floats
    bic: float


def forecast(vintage: Vintage, choices: Choices, *, rate: bool) -> Floats:
    """Levels [13 quarters] after the vintage's newest quarter."""
    steps = steps_of(vintage, choices, rate=rate)
    best = chosen(steps, choices)
    path = steps.tolist()
    for _ in range(STEPS):
        path.append(best.constant + sum(slope * path[-1 - lag] for lag, slope in enumerate(best.slopes.tolist())))
    future = np.array(path[len(steps) :])
    last = vintage.levels[-1]
    if rate:
        return np.asarray(last + np.cumsum(future))
    return np.asarray(last * (np.cumprod(1.0 + future) if choices.growth == "simple" else np.exp(np.cumsum(future))))


def steps_of(vintage: Vintage, choices: Choices, *, rate: bool) -> Floats:
    """One-quarter steps, as fractions."""
    levels = vintage.levels
    if rate:
        steps = np.diff(levels)
    else:
        steps = levels[1:] / levels[:-1] - 1.0 if choices.growth == "simple" else np.diff(np.log(levels))
    return np.asarray(steps[np.array([period > choices.after for period in vintage.periods[1:]])])


def chosen(steps: Floats, choices: Choices) -> Fit:
    """The order with the smallest BIC, estimated on all steps."""
    longest = max(choices.orders) if choices.common_sample else 0
    fits = [fit(steps[max(0, longest - order) :], order, choices) for order in choices.orders]
    best = min(fits, key=lambda one: one.bic)
    return fit(steps, len(best.slopes), choices) if choices.common_sample else best


def fit(values: Floats, order: int, choices: Choices) -> Fit:
    """Estimate one order on everything that is given."""
    outcome = values[order:]
    lags = [values[order - lag : len(values) - lag] for lag in range(1, order + 1)]
    design = np.column_stack([np.ones(len(outcome)), *lags])
    start = np.linalg.lstsq(design, outcome, rcond=None)[0]
    residuals = outcome - design @ start
    inside = choices.estimator == "normal" and is_stationary(start[1:])
    if choices.estimator == "least squares" or inside:
        theta, cost = np.array([*start, 0.0, 0.0]), _normal_cost(residuals)
    elif choices.estimator == "stopped":
        theta, cost = _searched(outcome, lags, np.array([*start, np.std(residuals), 5.0]), FLOOR, FREEDOM)
    else:
        theta, cost = _largest(outcome, lags, start, FREEDOM if choices.estimator == "student" else NORMAL)
    slopes = start[1:] if choices.estimator == "least squares" or inside else stationary(theta[1:-2])
    return Fit(float(theta[0]), slopes, 2.0 * cost + (order + 3) * float(np.log(len(outcome))))


def is_stationary(slopes: Floats) -> bool:
    """Whether `stationary` can give these coefficients."""
    if len(slopes) < 2:
        return bool(np.all(np.abs(slopes) < 0.99))
    return bool(abs(slopes[1]) < 0.99 and abs(slopes[0]) < 1.0 - slopes[1])


def stationary(raw: Floats) -> Floats:
    """Coefficients from unbounded parameters."""
    if len(raw) == 1:
        return np.asarray(0.99 * np.tanh(raw))
    second = 0.99 * np.tanh(raw[1])
    return np.array([(1.0 - second) * np.tanh(raw[0] / 2.0), second])


def unbounded(slopes: Floats) -> Floats:
    """The inverse of `stationary`; coefficients outside are moved to the border first."""
    if len(slopes) == 1:
        return np.asarray(np.arctanh(np.clip(slopes / 0.99, -BORDER, BORDER)))
    second = np.clip(slopes[1] / 0.99, -BORDER, BORDER)
    first = np.clip(slopes[0] / (1.0 - 0.99 * second), -BORDER, BORDER)
    return np.array([2.0 * np.arctanh(first), np.arctanh(second)])


def _searched(
    outcome: Floats, lags: list[Floats], start: Floats, floor: float, freedom: tuple[float, float], **tight: float
) -> tuple[Floats, float]:
    bounds = [(None, None)] * (len(lags) + 1) + [(floor, None), freedom]
    found = minimize(_cost(outcome, lags), start, bounds=bounds, method="L-BFGS-B", options=tight)
    return found.x, float(found.fun)


def _largest(outcome: Floats, lags: list[Floats], slopes: Floats, freedom: tuple[float, float]) -> tuple[Floats, float]:
    """The same search in units in which it converges, from least squares proper and two degrees of freedom."""
    unit = float(np.std(outcome))
    scaled = [lag / unit for lag in lags]
    found = []
    for guess in (3.0, 10.0):
        start = np.array([slopes[0] / unit, *unbounded(slopes[1:]), 0.7, np.clip(guess, *freedom)])
        found.append(_searched(outcome / unit, scaled, start, FLOOR / unit, freedom, ftol=1e-14, gtol=1e-7))
    theta, cost = min(found, key=lambda one: one[1])
    return np.array([theta[0] * unit, *theta[1:]]), cost + len(outcome) * float(np.log(unit))


def _normal_cost(residuals: Floats) -> float:
    return float(0.5 * len(residuals) * (np.log(2.0 * np.pi * np.mean(residuals**2)) + 1.0))


def _cost(outcome: Floats, lags: list[Floats]) -> Callable[[Floats], float]:
    """Minus the conditional log likelihood of (constant, unbounded coefficients, scale, degrees of freedom)."""
    count = len(outcome)

    def cost(theta: Floats) -> float:
        scale, freedom = theta[-2], theta[-1]
        errors = outcome - theta[0]
        for slope, lag in zip(stationary(theta[1:-2]), lags, strict=True):
            errors = errors - slope * lag
        peak = gammaln((freedom + 1.0) / 2.0) - gammaln(freedom / 2.0) - 0.5 * np.log(freedom * np.pi) - np.log(scale)
        return float((freedom + 1.0) / 2.0 * np.sum(np.log1p((errors / scale) ** 2 / freedom)) - count * peak)

    return cost
