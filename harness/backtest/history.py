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
        rows: Integers | None = None,
    ) -> None:
        self.copy = copy
        experiment = plan.experiment
        self.replay = Replay(
            changes,
            identity.series,
            latency=experiment.origins.latency,
            exclude_hindsight=experiment.exclude_hindsight,
            sources=identity.sources,
            rows=rows,
        )
        self.plan, self.spent = plan, spent
        self.origin = -1
        self.snapshot: Snapshot | None = None

    def at(self, origin: int) -> Snapshot:
        """Everything known at an origin, in ascending order of origins."""
        if self.snapshot is None or origin != self.origin:
            start = time.perf_counter()
            self.replay.advance(self.plan.instants[origin])
            self.snapshot = self.replay.snapshot(self.plan.experiment.target, copy=self.copy)
            self.origin = origin
            self.spent.add("", "replay", start)
        return self.snapshot
