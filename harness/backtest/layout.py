"""Where the features of a row stand: everything by origin, series and horizon, or only what some row can use, once.

The numbers are the same either way. A run keeps them once; studies that look at single rows keep the plain form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.backtest.splits import Integers, Plan
from harness.core.recipe import Experiment, FeatureBlock
from harness.core.time import NEVER
from harness.core.transform import Floats
from harness.forecast.unrevised import by_horizon


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where rows and columns of a table of features stand.

    Attributes:
        origins: [stored origin] indices of the origins that are stored, ascending.
        columns: [horizon, feature] column of each feature at each horizon.
        width: columns in all.
    """

    origins: Integers
    columns: Integers
    width: int

    def rows(self, count: int) -> Integers:
        """[origin] where each of `count` origins is stored; -1 = it is not."""
        found = np.full(count, -1, dtype=np.int64)
        found[self.origins] = np.arange(len(self.origins))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A table that is being filled.

    Attributes:
        origins: [stored origin] indices of the origins.
        columns: of each feature [stored origin, series, horizon], or [stored origin, series, 1] where the horizon
            makes no difference.
    """

    origins: Integers
    columns: Sequence[Floats]

    def part(self, start: int, stop: int) -> Sheet:
        """The origins from one index to another."""
        first, last = np.searchsorted(self.origins, [start, stop]).tolist()
        return Sheet(self.origins[first:last], [column[first:last] for column in self.columns])


def plain(plan: Plan, design: Floats) -> tuple[Floats, Layout]:
    """A design [origin, series, horizon, feature] as a table [origin, series, column], and its layout."""
    origins, series, horizons, features = design.shape
    columns = np.arange(horizons * features).reshape(horizons, features)
    table = design.reshape(origins, series, horizons * features)
    return table, Layout(np.arange(len(plan.instants)), columns, horizons * features)


def plain_sheet(design: Floats) -> Sheet:
    """A design [origin, series, horizon, feature], to be filled."""
    return Sheet(np.arange(len(design)), [design[..., place] for place in range(design.shape[3])])


def compact(plan: Plan) -> Layout:
    """The layout of what some row can use: first the features all horizons share, then each horizon's own."""
    moving = np.array(_by_horizon(plan.experiment.features), dtype=bool)
    horizons, own = len(plan.experiment.horizons), int(moving.sum())
    shared = len(moving) - own
    columns = np.empty((horizons, len(moving)), dtype=np.int64)
    columns[:, ~moving] = np.arange(shared)
    columns[:, moving] = shared + np.arange(horizons * own).reshape(horizons, own)
    return Layout(np.flatnonzero(usable(plan)), columns, shared + horizons * own)


def compact_sheet(layout: Layout, table: Floats) -> Sheet:
    """A table [series, stored origin, column] of that layout, to be filled."""
    turned = np.moveaxis(table, 1, 0)
    return Sheet(layout.origins, [_view(turned, columns) for columns in layout.columns.T])


def _view(table: Floats, columns: Integers) -> Floats:
    """[origin, series, horizon] of columns at even distances, or [origin, series, 1] where they are one."""
    first, step = int(columns[0]), int(columns[1] - columns[0]) if len(columns) > 1 else 1
    return table[..., first : first + 1] if step == 0 else table[..., first : int(columns[-1]) + 1 : step]


def _by_horizon(blocks: Sequence[FeatureBlock]) -> list[bool]:
    return [flag for block in blocks for flag in by_horizon(block)]


def usable(plan: Plan) -> NDArray[np.bool_]:
    """[origin] whether a row of the origin can be asked or learned from: issued, or of a fitted phase with a label.

    A label can be learned from if it was not public at the row's origin and is by the last one.
    """
    found = np.zeros(len(plan.instants), dtype=bool)
    found[plan.first_issued :] = True
    phases = plan.phase[plan.first_issued :]
    latest = plan.experiment.target.outcome.kind == "latest"
    public = plan.outcomes.first_public if latest else plan.outcomes.matured_at
    for origin in np.flatnonzero(np.isin(plan.phase, phases) & ~found).tolist():
        at = public[:, plan.request[origin]]
        there = (at != NEVER) & (at > plan.known[origin]) & (at <= plan.known[-1])
        found[origin] = bool((there & plan.members.member[origin][:, np.newaxis]).any())
    return found


def number_type(experiment: Experiment) -> type[np.floating]:
    """What features are stored as: float32 where every model that reads any asks for it, else float64."""
    readers = [recipe for recipe in experiment.models if experiment.seen_blocks(recipe)]
    short = all(
        recipe.kind == "lightgbm" and recipe.search is None and dict(recipe.params).get("float32") is True
        for recipe in readers
    )
    return np.float32 if readers and short else np.float64
