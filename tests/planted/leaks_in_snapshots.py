"""Leaks in what is known at an origin, in the purge of training rows and in the outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np

import harness.backtest.splits as splits_room
import harness.data.declaration as declaration_room
import harness.data.outcomes as outcomes_room
from harness.backtest.splits import MATURED, NOT_MATURED, USED, Plan
from harness.core.time import NEVER
from harness.data.changes import ChangeFile
from harness.data.external import issues_from
from harness.data.matrix import Matrices
from harness.data.replay import Replay
from tests.planted.leaks import Patch, Plant, around, everywhere
from tests.planted.leaks_in_rows import dated_by_period


def without_latency(patch: Patch) -> None:
    def leak(honest: Any, *args: Any, latency: timedelta = timedelta(0), **more: Any) -> None:
        honest(*args, **more)

    around(patch, Replay, "__init__", leak)


def replayed_by_period(patch: Patch) -> None:
    def leak(honest: Any, self: Replay, changes: ChangeFile, *args: Any, **more: Any) -> None:
        honest(self, dated_by_period(changes), *args, **more)

    around(patch, Replay, "__init__", leak)


def issued_early(patch: Patch) -> None:
    def leak(honest: Any, self: Replay, origin: Any) -> None:
        honest(self, origin)
        if self._pending:
            _, forecasts = self._pending.pop(0)
            self._issues += issues_from(
                forecasts, self._changes.ids, lambda code, _: self._matrices.levels(self._changes.ids[code])
            )

    around(patch, Replay, "advance", leak)


def declared_whole(patch: Patch) -> None:
    patch.setattr(declaration_room, "declared_by", lambda series, _: series)


def declared_through(patch: Patch) -> None:
    def leak(honest: Any, self: Replay, changes: ChangeFile, ids: Any, **more: Any) -> None:
        honest(self, changes, ids, **more)
        known, plain = changes.known_through, self._declared

        class Through:
            def by(self, known_at: int) -> Any:
                declared = plain.by(known_at)
                return {name: replace(declared[name], description=f"known through {known[name]}") for name in declared}

        self._declared = Through()  # type: ignore[assignment]

    around(patch, Replay, "__init__", leak)


def as_wide_as_ever(patch: Patch) -> None:
    def leak(honest: Any, self: Matrices, at: int) -> None:
        honest(self, at)
        self._seen[:] = True

    around(patch, Matrices, "announce", leak)


def dated_by_next(patch: Patch, *, known: bool) -> None:
    """Cells carry the instant of their next change: those that have a value, or those that have none yet."""

    def leak(honest: Any, self: Matrices, start: int, end: int) -> None:
        honest(self, start, end)
        rows = slice(end, end + 6) if self._chosen is None else self._chosen[end : end + 6]
        code, period, published = (array[rows] for array in self._rows[:3])
        cells = self._row_start[code] + self._column_of[period - self._low[code]]
        wanted = np.isnan(self.values[cells]) != known
        self.published[cells[wanted]] = published[wanted]
        self._seen[(self._seen_start[code] + self._column_of[period - self._low[code]])[wanted]] = True

    around(patch, Matrices, "apply", leak)


def with_fates(leak: Callable[[np.ndarray, np.ndarray, Plan, int], np.ndarray]) -> Plant:
    """`leak(fates, whether an outcome is ever matured, plan, origin)` in the place of the fates."""

    def plant(patch: Patch) -> None:
        honest = splits_room.row_fates

        def leaky(plan: Plan, origin: int, horizon: int, snapshot: Any) -> np.ndarray:
            some = plan.outcomes.status[:, plan.request[:origin, horizon]].T == MATURED
            return leak(honest(plan, origin, horizon, snapshot), some, plan, origin)

        everywhere(patch, honest, leaky)

    return plant


def unpurged(fates: np.ndarray, ever: np.ndarray, plan: Plan, origin: int) -> np.ndarray:
    return np.where((fates == NOT_MATURED) & ever, USED, fates).astype(np.int8)


def own_cutoffs(fates: np.ndarray, ever: np.ndarray, plan: Plan, origin: int) -> np.ndarray:
    """Every series is cut as many rows before its own end as the first one is."""
    first = (fates[:, :1] == USED) & (fates == NOT_MATURED) & ever
    return np.where(first, USED, fates).astype(np.int8)


def one_release_early(patch: Patch) -> None:
    honest = splits_room.row_fates

    def leaky(plan: Plan, origin: int, horizon: int, snapshot: Any) -> np.ndarray:
        known, at = plan.known.copy(), plan.outcomes.matured_at
        later = at[(at != NEVER) & (at > known[origin])]
        known[origin] = later.min() if len(later) else known[origin]
        return honest(replace(plan, known=known), origin, horizon, snapshot)

    everywhere(patch, honest, leaky)


def final_labels(patch: Patch) -> None:
    """What a period's growth is in the final history, under the date of its first release."""

    def leak(honest: Any, asked: Any, windows: Any, due: np.ndarray) -> Any:
        end = int(asked.changes.published.max())
        return honest(asked, windows, np.where(due == NEVER, due, np.maximum(due, end)))

    around(patch, outcomes_room, "_evaluated", leak)
