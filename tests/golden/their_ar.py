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


@dataclass(frozen=True, slots=True)
class Choices:
    """How an autoregression is specified and estimated.

    Attributes:
        errors: likelihood of the errors.
        scale_floor: whether the scale may not fall below 0.001.
        bounded: whether coefficients are kept stationary; without it, least squares (for normal errors only).
        growth: simple = x_t / x_(t-1) - 1, log = ln x_t - ln x_(t-1); a rate is differenced in either case.
        orders: compared by BIC.
        common_sample: whether all orders are compared on the sample of the longest.
        after: steps of periods after this day are used.
    """

    errors: Literal["student", "normal"] = "student"
    scale_floor: bool = True
    bounded: bool = True
    growth: Literal["simple", "log"] = "simple"
    orders: Sequence[int] = (1, 2)
    common_sample: bool = False
    after: date = date(1997, 7, 1)


THEIRS = Choices()


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Estimates of one order: y_t = constant + slopes . (y_(t-1), .., y_(t-p)); bic up to a constant."""

    constant: float
    slopes: Floats
    bic: float


def forecast(vintage: Vintage, choices: Choices, *, rate: bool) -> Floats:
    """Levels [13 quarters] after the vintage's newest quarter."""
    steps = steps_of(vintage, choices, rate=rate)
    longest = max(choices.orders)
    fits = [fit(steps[longest - order if choices.common_sample else 0 :], order, choices) for order in choices.orders]
    best = min(fits, key=lambda one: one.bic)
    if choices.common_sample:
        best = fit(steps, len(best.slopes), choices)
    path = list(steps)
    for _ in range(STEPS):
        path.append(best.constant + sum(slope * path[-1 - lag] for lag, slope in enumerate(best.slopes)))
    future = np.array(path[len(steps) :])
    last = vintage.levels[-1]
    if rate:
        return last + np.cumsum(future)
    return last * (np.cumprod(1.0 + future) if choices.growth == "simple" else np.exp(np.cumsum(future)))


def steps_of(vintage: Vintage, choices: Choices, *, rate: bool) -> Floats:
    """One-quarter steps, as fractions."""
    levels = vintage.levels
    if rate:
        steps = np.diff(levels)
    else:
        steps = levels[1:] / levels[:-1] - 1.0 if choices.growth == "simple" else np.diff(np.log(levels))
    return steps[np.array([period > choices.after for period in vintage.periods[1:]])]


def fit(values: Floats, order: int, choices: Choices) -> Fit:
    """Estimate one order on everything that is given."""
    outcome = values[order:]
    lags = np.column_stack([values[order - lag : len(values) - lag] for lag in range(1, order + 1)] or [outcome[:, :0]])
    design = np.column_stack([np.ones(len(outcome)), lags])
    start = np.linalg.lstsq(design, outcome, rcond=None)[0]
    scale = float(np.std(outcome - design @ start))
    price = (order + 3) * float(np.log(len(outcome)))
    if not choices.bounded:
        squares = float(np.mean((outcome - design @ start) ** 2))
        return Fit(float(start[0]), start[1:], len(outcome) * float(np.log(squares)) + price)
    cost = _cost(outcome, lags, choices)
    floor = FLOOR if choices.scale_floor else 1e-9
    bounds = [(None, None)] * (order + 1) + [(floor, None), (2.1, 30.0)]
    found = minimize(cost, np.concatenate([start, [scale, 5.0]]), bounds=bounds, method="L-BFGS-B")
    if not found.success:
        raise RuntimeError(found.message)
    return Fit(float(found.x[0]), stationary(found.x[1 : order + 1]), 2.0 * float(found.fun) + price)


def stationary(raw: Floats) -> Floats:
    """Coefficients from unbounded parameters."""
    if len(raw) == 1:
        return 0.99 * np.tanh(raw)
    second = 0.99 * np.tanh(raw[1])
    return np.array([(1.0 - second) * np.tanh(raw[0] / 2.0), second])


def _cost(outcome: Floats, lags: Floats, choices: Choices) -> Callable[[Floats], float]:
    """Minus the conditional log likelihood of (constant, raw coefficients, scale, degrees of freedom)."""
    count = len(outcome)

    def cost(theta: Floats) -> float:
        scale, freedom = theta[-2], theta[-1]
        scaled = (outcome - theta[0] - lags @ stationary(theta[1:-2])) / scale
        if choices.errors == "normal":
            return float(0.5 * np.sum(scaled**2) + count * (np.log(scale) + 0.5 * np.log(2.0 * np.pi)))
        peak = gammaln((freedom + 1.0) / 2.0) - gammaln(freedom / 2.0) - 0.5 * np.log(freedom * np.pi) - np.log(scale)
        return float((freedom + 1.0) / 2.0 * np.sum(np.log1p(scaled**2 / freedom)) - count * peak)

    return cost
