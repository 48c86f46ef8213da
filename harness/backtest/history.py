"""Snapshots of a forward walk, each built once and booked as replay."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from harness.backtest.keys import RecipeIdentity
from harness.backtest.spent import Spent
from harness.backtest.splits import Plan
from harness.core.snapshot import Snapshot
from harness.data.changes import ChangeFile
from harness.data.replay import Replay

Integers = NDArray[np.int64]


class History:
    """Snapshots of a forward walk; asking twice for one origin builds one."""

    def __init__(
        self,
        changes: ChangeFile,
        plan: Plan,
        identity: RecipeIdentity,
        spent: Spent,
        *,
        copy: bool = True,
        dated: bool = True,
        rows: Integers | None = None,
    ) -> None:
        self.changes, self.plan, self.identity, self.spent = changes, plan, identity, spent
        self.copy, self.dated, self.rows = copy, dated, rows
        self.replay: Replay | None = None
        self.origin = -1
        self.snapshot: Snapshot | None = None

    def at(self, origin: int) -> Snapshot:
        """Everything known at an origin, in ascending order of origins."""
        if self.snapshot is None or origin != self.origin:
            start = time.perf_counter()
            if self.replay is None:
                self.replay = self._replay()
            self.replay.advance(self.plan.instants[origin])
            self.snapshot = self.replay.snapshot(self.plan.experiment.target, copy=self.copy)
            self.origin = origin
            self.spent.add("", "replay", start)
        return self.snapshot

    def outline(self, origin: int) -> Snapshot:
        """What is asked at an origin and nothing that is known: for a fit that reads its rows alone.

        So the matrices of a large panel are made when it is answered, not beside what the first fit needs.
        """
        known_at = int(self.plan.known[origin])
        return Snapshot(self.plan.instants[origin], known_at, (), {}, self.plan.experiment.target)

    def _replay(self) -> Replay:
        experiment = self.plan.experiment
        return Replay(
            self.changes,
            self.identity.series,
            latency=experiment.origins.latency,
            exclude_hindsight=experiment.exclude_hindsight,
            sources=self.identity.sources,
            rows=self.rows,
            dated=self.dated,
        )
