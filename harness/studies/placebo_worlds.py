"""Two worlds in which there is nothing to be found: other inputs out of step with the target, a target without memory.

Periods, publications and their instants are the true ones, so the ragged edge is the same; only values differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.backtest.splits import Plan
from harness.core.recipe import Experiment, FeatureBlock
from harness.core.time import MICROS_PER_DAY, period_end
from harness.core.transform import LOGARITHMIC
from harness.data.changes import ChangeFile
from harness.studies.altered import rows_of, with_values
from harness.studies.inputs import other_series, own_series

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The cells of one series that ever had a value.

    Attributes:
        rows: places of all its changes with a value, in order of publication.
        cell: [row] place of the change's cell.
        period: [cell] ordinals, ascending.
        final: [cell] the value that stands at the archive's end (the last stated one where it was withdrawn).
    """

    rows: Integers
    cell: Integers
    period: Integers
    final: Floats


def cells_of_series(changes: ChangeFile, series_id: str) -> Cells:
    """The cells of a series, and which change belongs to which."""
    rows = rows_of(changes, series_id)
    rows = rows[~np.isnan(changes.value[rows])]
    period, cell = np.unique(changes.period[rows], return_inverse=True)
    final = np.empty(len(period))
    final[cell] = changes.value[rows]  # of several for one cell the last one stays
    return Cells(rows, cell.astype(np.int64), period, final)


# ---- other inputs, shifted


def shift_bounds(plan: Plan, changes: ChangeFile) -> dict[str, tuple[int, int]]:
    """By other series, the least and the largest shift, in its own periods; least > largest = it is too short.

    The least is more than the longest horizon, the target's span, the longest lag a feature reaches back, and the
    time a value waits for its publication, taken together.
    """
    experiment = plan.experiment
    target = next(iter(sorted(own_series(experiment) & set(plan.inputs))))
    ahead = (max(*experiment.horizons, 0) + experiment.target.transform.span) * _days_per_period(changes, target)
    bounds = {}
    for name in sorted(other_series(experiment)):
        days = _days_per_period(changes, name)
        back = max(_reach(block) for block in _blocks_on(name, experiment.features))
        least = back + math.ceil((ahead + _wait_in_days(changes, name)) / days) + 1
        bounds[name] = (least, len(cells_of_series(changes, name).period) - least)
    return bounds


def shifted(changes: ChangeFile, plan: Plan, bounds: dict[str, tuple[int, int]], fraction: float) -> ChangeFile:
    """Other inputs whose values belong to other periods; the target and its own history are the true ones.

    A series read as growth has its one-period steps turned round in a circle and its levels rebuilt (no jump where
    the circle closes); any other series has its values turned round. Revisions keep their relative (growth) or
    absolute size.

    Args:
        changes: the true changes.
        plan: the plan.
        bounds: least and largest shift by series (`shift_bounds`).
        fraction: in [0, 1]: where between the two.
    """
    value = changes.value.copy()
    for name, (least, most) in bounds.items():
        cells = cells_of_series(changes, name)
        by = round(least + fraction * (most - least))
        stated = changes.value[cells.rows]
        if _grows(name, plan.experiment) and (cells.final > 0).all() and (stated > 0).all():
            logs = np.log(cells.final)
            turned = logs[0] + np.concatenate(([0.0], np.cumsum(np.roll(np.diff(logs), by))))
            value[cells.rows] = np.exp(turned[cells.cell] + np.log(stated) - logs[cells.cell])
        else:
            turned = np.roll(cells.final, by)
            value[cells.rows] = turned[cells.cell] + (stated - cells.final[cells.cell])
    return with_values(changes, value)


def _blocks_on(name: str, blocks: Iterable[FeatureBlock]) -> list[FeatureBlock]:
    return [block for block in blocks if name == block.series or name in block.transform.inputs(block.series)]


def _reach(block: FeatureBlock) -> int:
    """Periods back from the newest known (or from the origin's) that a block may read."""
    windows = block.rolling_mean + block.rolling_std + block.rolling_min + block.rolling_max + block.ratio
    offsets = tuple(abs(offset) for offset in block.known_ahead)
    listed = (0, *block.latest, *block.lag, *windows, *block.difference, *block.log_growth, *offsets)
    return max(listed) + block.transform.lookback


def _grows(name: str, experiment: Experiment) -> bool:
    return any(
        block.transform.kind in LOGARITHMIC or block.transform.is_volatility or block.log_growth or block.ratio
        for block in _blocks_on(name, experiment.features)
    )


def _days_per_period(changes: ChangeFile, name: str) -> float:
    frequency, period = changes.series[name].parsed, cells_of_series(changes, name).period
    if len(period) < 2:
        return 1.0
    return (period_end(frequency, int(period[-1])) - period_end(frequency, int(period[0]))).days / (len(period) - 1)


def _wait_in_days(changes: ChangeFile, name: str) -> float:
    """How long a first value waits after its period, at most (99 % of the newer half: old ones may be back-filled)."""
    cells = cells_of_series(changes, name)
    first = np.unique(changes.period[cells.rows], return_index=True)[1]
    newer = first[len(first) // 2 :]
    ends = np.array([period_end(changes.series[name].parsed, int(o)) for o in cells.period[len(first) // 2 :]])
    days = changes.published[cells.rows[newer]] / MICROS_PER_DAY - ends.astype("datetime64[D]").astype(np.int64)
    return float(max(np.quantile(days, 0.99), 0.0))


# ---- the target, redrawn


def redrawn(changes: ChangeFile, plan: Plan, seed: int) -> ChangeFile:
    """A target whose one-period innovations are drawn from its own, independently; other inputs are the true ones.

    Levels are rebuilt from the first on. Every change of a cell states the redrawn number: revisions are left out,
    since one that can be foreseen is a gain that no leak explains, and the mean would no longer be the best forecast.
    Series of equal length are drawn alike, so a panel keeps its correlation.

    Args:
        changes: the true changes.
        plan: the plan; its target says what an innovation is.
        seed: of the draw.
    """
    target = plan.experiment.target
    transform = target.transform
    value = changes.value.copy()

    def put(name: str, levels: Floats) -> None:
        cells = cells_of_series(changes, name)
        value[cells.rows] = levels[cells.cell]

    for name in target.series:
        if transform.proxy == "parkinson":
            _put_ranges(changes, transform.high, transform.low, seed, value)
        elif transform.kind == "spread":
            own, other = cells_of_series(changes, name), cells_of_series(changes, transform.other)
            put(transform.other, other.final)
            put(name, _redrawn_spread(own, other, seed))
        else:
            levels = cells_of_series(changes, name).final
            logarithmic = transform.kind in LOGARITHMIC or transform.is_volatility
            put(name, _rebuilt(levels, seed, logarithmic=logarithmic and bool((levels > 0).all())))
    return with_values(changes, value)


def _rebuilt(levels: Floats, seed: int, *, logarithmic: bool) -> Floats:
    """Levels from the first on, with steps drawn from the observed ones with replacement."""
    base = np.log(levels) if logarithmic else levels
    steps = np.diff(base)
    if not len(steps):
        return levels
    drawn = steps[np.random.default_rng(seed).integers(0, len(steps), len(steps))]
    path = np.concatenate(([base[0]], base[0] + np.cumsum(drawn)))
    return np.exp(path) if logarithmic else path


def _redrawn_spread(own: Cells, other: Cells, seed: int) -> Floats:
    """The first series' levels such that the spread walks; where the other has no value, the true ones."""
    levels = own.final.copy()
    _, mine, theirs = np.intersect1d(own.period, other.period, return_indices=True)
    spread = own.final[mine] - other.final[theirs]
    levels[mine] = other.final[theirs] + _rebuilt(spread, seed, logarithmic=False)
    return levels


def _put_ranges(changes: ChangeFile, high: str, low: str, seed: int, value: Floats) -> None:
    """Highs and lows about the sessions' own middle, their ranges drawn from all sessions' ranges."""
    upper, lower = cells_of_series(changes, high), cells_of_series(changes, low)
    _, above, below = np.intersect1d(upper.period, lower.period, return_indices=True)
    highs, lows = np.log(upper.final[above]), np.log(lower.final[below])
    ranges, middle = highs - lows, (highs + lows) / 2.0
    drawn = ranges[np.random.default_rng(seed).integers(0, len(ranges), len(ranges))]
    for cells, places, levels in ((upper, above, middle + drawn / 2.0), (lower, below, middle - drawn / 2.0)):
        final = cells.final.copy()
        final[places] = np.exp(levels)
        value[cells.rows] = final[cells.cell]
