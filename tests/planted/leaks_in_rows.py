"""Leaks in the feature rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import harness.backtest.design as design_room
from harness.backtest.design import RowBuilder
from harness.backtest.latest_rows import LatestRows
from harness.backtest.splits import Plan
from harness.core.time import end_of_day, micros, period_ends
from harness.data.changes import ChangeFile
from harness.forecast.features import feature_names
from tests.planted.leaks import Patch, Plant, everywhere, final_growth, final_values, firsts

Leak = Callable[[Plan, ChangeFile, np.ndarray, int], None]
"""(plan, changes, rows [origin, series, horizon, feature] to be spoilt, last origin)"""


def in_design(leak: Leak) -> Plant:
    def plant(patch: Patch) -> None:
        honest = design_room.build_design

        def leaky(plan: Plan, changes: ChangeFile, *, last: int | None = None) -> np.ndarray:
            rows = honest(plan, changes, last=last)
            leak(plan, changes, rows, len(plan.instants) - 1 if last is None else last)
            return rows

        everywhere(patch, honest, leaky)

    return plant


def column(plan: Plan, name: str) -> int:
    return feature_names(plan.experiment.features).index(name)


def newest_known(plan: Plan, changes: ChangeFile, series_id: str, origin: int) -> int:
    known = (changes.code == changes.codes[series_id]) & (changes.published <= plan.known[origin])
    return int(changes.period[known].max(initial=0))


def centred(plan: Plan, changes: ChangeFile, rows: np.ndarray, last: int) -> None:
    for place, series_id in enumerate(plan.experiment.target.series):
        growth = final_growth(changes, series_id)
        for origin in range(last + 1):
            middle = newest_known(plan, changes, series_id, origin)
            window = [growth.get(middle + step, np.nan) for step in (-1, 0, 1)]
            rows[origin, place, :, column(plan, "own.rolling_mean_3")] = np.mean(window)


def lag_in_rows(plan: Plan, changes: ChangeFile, rows: np.ndarray, last: int) -> None:
    """Row k before the end of a table of first releases, cut where its fastest series ends."""
    tables = {name: sorted(final_growth(firsts(changes), name).items()) for name in plan.experiment.target.series}
    for origin in range(last + 1):
        newest = max(newest_known(plan, changes, name, origin) for name in tables)
        for place, table in enumerate(tables.values()):
            until = [value for period, value in table if period <= newest]
            rows[origin, place, :, column(plan, "own.lag_1")] = until[-1] if until else np.nan


def filled(plan: Plan, changes: ChangeFile, rows: np.ndarray, last: int, *, weight: float) -> None:
    """Missing values get the next one (weight 1), or lie on the line between the last and the next."""
    for place, series_id in enumerate(plan.experiment.target.series):
        growth = final_growth(changes, series_id)
        for origin in range(last + 1):
            wanted = int(plan.ends[origin, 0]) - 1
            before, after = [p for p in growth if p < wanted], [p for p in growth if p > wanted]
            missing = wanted not in growth and wanted < newest_known(plan, changes, series_id, origin) + 1
            if missing and before and after:
                value = weight * growth[min(after)] + (1 - weight) * growth[max(before)]
                rows[origin, place, :, column(plan, "own.lag_1")] = value


def realised(plan: Plan, changes: ChangeFile, rows: np.ndarray, last: int) -> None:
    rate = final_values(changes, "made/rate")
    for origin in range(last + 1):
        for step, period in enumerate(plan.ends[origin].tolist()):
            rows[origin, :, step, column(plan, "rate.known_ahead_0")] = rate.get(period, np.nan)


def dated_by_period(changes: ChangeFile) -> ChangeFile:
    """As if every value had been public when its period ended, the newest one at once."""
    ends = np.zeros(len(changes.period), dtype=np.int64)
    for name, code in changes.codes.items():
        mine, one = changes.code == code, changes.series[name]
        days = period_ends(one.parsed, changes.period[mine].astype(np.int64)).tolist()
        ends[mine] = [micros(end_of_day(day, one.zone)) for day in days]
    order = np.lexsort((changes.published, ends))
    taken = {name: getattr(changes, name)[order] for name in ("code", "period", "value", "vintage", "availability")}
    return replace(changes, published=ends[order], **taken)


def joined_on_period(patch: Patch) -> None:
    honest = design_room.build_design
    everywhere(patch, honest, lambda plan, changes, *, last=None: honest(plan, dated_by_period(changes), last=last))


def refreshed(patch: Patch) -> None:
    honest = RowBuilder.__init__

    def leaky(self: RowBuilder, plan: Plan, rows: np.ndarray, blocks: Any, changes: ChangeFile) -> None:
        honest(self, plan, rows, blocks, changes)
        self.latest = LatestRows(plan, blocks, changes) if blocks else None

    patch.setattr(RowBuilder, "__init__", leaky)


def as_of_refit(patch: Patch) -> None:
    """The rows of every origin are made anew with the final numbers of the cells that were known."""

    def leak(plan: Plan, changes: ChangeFile, rows: np.ndarray, last: int) -> None:
        for place, series_id in enumerate(plan.experiment.target.series):
            growth = final_growth(changes, series_id)
            for origin in range(last + 1):
                newest = newest_known(plan, changes, series_id, origin)
                rows[origin, place, :, column(plan, "own.latest_1")] = growth.get(newest, np.nan)

    in_design(leak)(patch)
