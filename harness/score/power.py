"""How small a difference a test on so many origins could still find, judged by a loss difference already seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from harness.score.aggregate import primary_losses, primary_values
from harness.score.dependence import ROUNDING, finite_series, panel_loss_difference
from harness.score.grid import Floats, read
from harness.score.rivals import MINIMUM_ORIGINS, ORIGINS_PER_OVERLAP, bandwidth_of
from harness.score.significance import long_run_variance
from harness.score.spec import ScoreSpec

POWER: Final = 0.8
SQUARED: Final = ("rmse", "rmsse")
"""Metrics that are the root of a mean loss."""


@dataclass(frozen=True, slots=True)
class SeenDifference:
    """One model against one rival as they were seen so far, on the cells the model is held to.

    Attributes:
        horizon: target periods ahead.
        model, rival: the two.
        difference: [origin] loss of the model minus loss of the rival, averaged over series, in order of time.
        bandwidth: L of SEMANTICS 27.
        value, rival_value: their primary metric.
    """

    horizon: int
    model: str
    rival: str
    difference: Floats
    bandwidth: int
    value: float
    rival_value: float


@dataclass(frozen=True, slots=True)
class Power:
    """What a one-sided Diebold-Mariano test on origins to come could find.

    Attributes:
        n: origins to come.
        effective: how many independent ones they are worth: n / (1 + 2 sum of the autocorrelations up to L), n at most,
            since negative autocorrelations of a short past are mostly chance.
        smallest: mean loss difference that is found with the power asked for; None = no test could be made.
    """

    n: int
    effective: float
    smallest: float | None


def seen_differences(rows: pl.DataFrame, spec: ScoreSpec, model: str) -> tuple[SeenDifference, ...]:
    """Loss differences of one model with every rival, per horizon, on headline errors.

    Args:
        rows: one row per (model, series_id, origin, horizon); columns as `grid.SCHEMA`, any order.
        spec: how they are scored.
        model: the model.

    Returns:
        In order of horizon and rival; horizons without a cell, and infinite losses, are left out.

    Raises:
        DataError: rows that cannot be laid on one planned grid (see `grid.read`).

    Source:
        SEMANTICS 24 and 27.
    """
    grid, models = read(rows, spec.reference)
    mine = next(one for one in models if one.model == model)
    sample, loss = grid.scorable & mine.in_span, primary_losses(grid, mine, spec)
    values = primary_values(grid, loss, spec, sample)
    found = []
    for rival in (one for one in models if one.is_rival and one.model != model):
        rival_loss = primary_losses(grid, rival, spec)
        rival_values = primary_values(grid, rival_loss, spec, sample)
        for place, horizon in enumerate(grid.horizons.tolist()):
            cells = sample & (grid.horizon == place) & np.isfinite(loss) & np.isfinite(rival_loss)
            if cells.any():
                _, difference = panel_loss_difference(grid.origin[cells], loss[cells], rival_loss[cells])
                overlap = bandwidth_of(grid, cells, spec)
                pair = (float(values[place]), float(rival_values[place]))
                found.append(SeenDifference(horizon, model, rival.model, difference, overlap, *pair))
    return tuple(sorted(found, key=lambda one: (one.horizon, one.rival)))


def power_of(difference: ArrayLike, *, bandwidth: int, n: int, level: float, power: float = POWER) -> Power:
    """What could be found on `n` origins to come, if they are like those that were seen.

    The variance of the seen loss difference is taken for that to come; its mean is not used.

    Args:
        difference: loss differences seen, one per origin in time order.
        bandwidth: L of SEMANTICS 27.
        n: origins to come whose outcome will have matured.
        level: of the one-sided test.
        power: probability with which the difference is to be found.

    Returns:
        `Power`; `smallest` is None where the test needs more origins or the seen differences have no variance.

    Raises:
        DataError: differences that are not finite.

    Source:
        Diebold and Mariano (1995), section 1, solved for the mean difference; the correction of Harvey, Leybourne and
        Newbold (1997), equation 9, and their t(n - 1).

    >>> power_of([1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 1.0, -1.0], bandwidth=0, n=36, level=0.05).effective
    36.0
    """
    d = finite_series("difference", difference)
    steps = bandwidth + 1
    if d.size <= steps or float(np.var(d)) <= (ROUNDING * np.abs(d).max(initial=0.0)) ** 2:
        return Power(n, float("nan"), None)
    whole = max(long_run_variance(d, steps), float(np.var(d)))
    effective = n * float(np.var(d)) / whole
    correction = (n + 1 - 2 * steps + steps * (steps - 1) / n) / n if n else 0.0
    if n < max(2, steps + 1) or correction <= 0.0:
        return Power(n, effective, None)
    needed = float(stdtrit(n - 1, 1.0 - level)) + float(stdtrit(n - 1, power))
    return Power(n, effective, needed * math.sqrt(whole / n / correction))


def in_metric(metric: str, rival_value: float, smallest: float) -> float | None:
    """A mean loss difference as a difference of the metric, below the rival's value; None = below zero loss.

    >>> in_metric("rmse", 5.0, 9.0), in_metric("mae", 5.0, 2.0), in_metric("rmse", 5.0, 30.0)
    (1.0, 2.0, None)
    """
    if metric in SQUARED:
        left = rival_value**2 - smallest
        return None if left < 0.0 else rival_value - math.sqrt(left)
    return smallest if smallest <= rival_value or metric == "qlike" else None


def origins_needed(bandwidth: int) -> int:
    """Origins below which no verdict is given.

    >>> origins_needed(0), origins_needed(4)
    (10, 25)
    """
    return max(MINIMUM_ORIGINS, ORIGINS_PER_OVERLAP * (bandwidth + 1))
