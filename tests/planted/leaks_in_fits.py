"""Leaks in steps and models, which are fitted on the rows of all origins, whatever is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harness.backtest.design import RowBuilder
from harness.core.frames import Rows
from harness.forecast.boosting import LightGBM
from harness.forecast.steps.pipeline import StepPipeline
from harness.forecast.steps.rows import StepRows, by_horizon
from tests.planted.leaks import Patch, Plant, around

ALL_ROWS: dict[str, Any] = {}
"""The rows of all origins with their labels, as the newest fit could have had them."""


def with_all_rows(patch: Patch) -> None:
    def leak(honest: Any, self: RowBuilder, origin: int, sets: Any, *rest: Any) -> Any:
        plan = self.plan
        many = np.indices((len(plan.request), len(plan.experiment.target.series), len(sets)))
        origins, series, places = (axis.ravel() for axis in many)
        horizons = np.array(sorted(sets))[places]
        kept = self._stored.origins[origins] >= 0
        origins, series, horizons = origins[kept], series[kept], horizons[kept]
        rows = self._cut(origins, series, horizons)
        labels = plan.outcomes.value[series, plan.request[origins, horizons]]
        ALL_ROWS["rows"] = Rows(rows.X, rows.keys, labels)
        ALL_ROWS["later"] = origins > origin
        return honest(self, origin, sets, *rest)

    around(patch, RowBuilder, "training", leak)


def fitted_on_all(kind: str) -> Plant:
    """A step is fitted on the rows of all origins, and only then applied to the training rows."""

    def plant(patch: Patch) -> None:
        with_all_rows(patch)

        def leak(honest: Any, self: StepPipeline, rows: StepRows, *, seed: int, horizon: int, **_: Any) -> Any:
            every = next(table for step, _, table in by_horizon(ALL_ROWS["rows"]) if step == horizon)
            for place, (name, step) in enumerate(self._named()):
                step.fit(_usable(every, name) if name == kind else rows, seed=seed + place)
                rows, every = step.transform(rows), step.transform(every)
            return rows

        around(patch, StepPipeline, "fit", leak)

    return plant


def _usable(rows: StepRows, kind: str) -> StepRows:
    """Rows a step can be fitted on: scores need labels, and components need every value."""
    there = np.ones(len(rows), dtype=bool) if rows.y is None or kind != "select" else ~np.isnan(rows.y)
    if kind in ("select", "pca"):
        there &= ~np.isnan(rows.X).any(axis=1)
    return rows.taken(np.flatnonzero(there))


def stopped_on_later_rows(patch: Patch) -> None:
    """The number of trees is the one that is best on rows after the origin."""
    with_all_rows(patch)

    def leak(honest: Any, self: LightGBM, rows: Any, snapshot: Any, *, seed: int) -> None:
        every, later = ALL_ROWS["rows"], ALL_ROWS["later"]
        errors = {}
        for rounds in range(1, 16):
            self._rounds = rounds
            honest(self, rows, snapshot, seed=seed)
            answers = self.predict(replace(every, y=None), snapshot)["value"].to_numpy()
            errors[rounds] = float(np.nansum((answers - every.y)[later] ** 2))
        self._rounds = min(errors, key=lambda one: errors[one])
        honest(self, rows, snapshot, seed=seed)

    around(patch, LightGBM, "fit", leak)
