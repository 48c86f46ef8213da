"""The state of additive exponential smoothing of one series, from its start or from any state on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.core.transform import Floats

State = tuple[float, float, tuple[float, ...]]
"""Level, trend and the seasonal terms, the one of the season that comes next last."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Smoothing parameters.

    Attributes:
        level, trend, seasonal: weights of the newest value in the level, of the newest change of level in the trend,
            and of the newest deviation from the level in the seasonal term.
        damping: factor of the trend from one period to the next; 1 = none.
    """

    level: float
    trend: float = 0.0
    seasonal: float = 0.0
    damping: float = 1.0


def carried(state: State, weights: Weights, values: Floats) -> State:
    """The state after some more values.

    >>> carried((1.0, 0.0, ()), Weights(0.5), np.array([2.0, 2.0]))
    (1.75, 0.0, ())

    Source: Hyndman, Koehler, Ord, Snyder (2008), table 2.1, in the recursive form of component A,A.
    """
    level, trend, seasons = state[0], state[1], list(state[2])
    for value in values.tolist():
        season = seasons[-1] if seasons else 0.0
        drift, before = weights.damping * trend, level
        level = weights.level * (value - season) + (1.0 - weights.level) * (before + drift)
        trend = weights.trend * (level - before) + (1.0 - weights.trend) * weights.damping * trend
        if seasons:
            newest = weights.seasonal * (value - level) + (1.0 - weights.seasonal) * season
            seasons = [newest, *seasons[:-1]]
    return level, trend, tuple(seasons)


def ahead(state: State, weights: Weights, steps: int) -> Floats:
    """Forecasts [step] from a state.

    >>> ahead((10.0, 2.0, (1.0, -1.0)), Weights(0.5, damping=0.5), 3).tolist()
    [10.0, 12.5, 10.75]
    """
    level, trend, seasons = state
    path = np.empty(steps)
    for step in range(steps):
        trend = weights.damping * trend
        level = level + trend
        path[step] = level + (seasons[len(seasons) - 1 - step % len(seasons)] if seasons else 0.0)
    return path
