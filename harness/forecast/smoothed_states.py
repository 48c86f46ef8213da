"""States of additive exponential smoothing, carried on from one origin to the next while the history before stays.

The state after a period is a function of the state before it and of that period's value, so a history that begins with
values smoothed before is carried on from there, to the same bits as from its start; a history in which any earlier
value changed is smoothed again from its first value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class Carrier:
    """The newest state of each history smoothed so far, by what it was smoothed with."""

    _held: dict[object, tuple[Floats, State]] = field(default_factory=dict)

    def state(self, key: object, weights: Weights, values: Floats, first: Callable[[], State]) -> State:
        """The state after a history.

        Args:
            key: what tells this series and its parameters from others; equal keys cost time, never bits.
            weights: smoothing parameters.
            values: [period] the history, without a hole.
            first: the state before the history; asked where there is nothing to carry on. It may depend on the first
                values only, and is trusted to be the same for histories that begin alike.
        """
        held = self._held.get((key, weights))
        if held is not None and len(held[0]) <= len(values) and np.array_equal(values[: len(held[0])], held[0]):
            state = carried(held[1], weights, values[len(held[0]) :])
        else:
            state = carried(first(), weights, values)
        self._held[key, weights] = np.array(values), state
        return state
