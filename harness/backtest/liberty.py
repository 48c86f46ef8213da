"""What a study may let models take when they are fitted, to price it; no run takes any."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from harness.backtest.splits import Plan, TrainingSet
from harness.core.frames import Rows
from harness.core.snapshot import Snapshot
from harness.core.time import NEVER
from harness.data.outcomes import MATURED
from harness.forecast.protocol import Forecaster


class Liberty(Protocol):
    """A liberty that a study lets models take when they are fitted, to price it; workers get a copy (picklable)."""

    def fit(self, forecaster: Forecaster, matured: Rows, everything: Rows, known: Snapshot, *, seed: int) -> None:
        """Fit a forecaster in the unfaithful way.

        Args:
            forecaster: unfitted, with its steps.
            matured: the training rows a faithful fit gets.
            everything: rows of the same horizons and phase at all origins, labelled with what was realised: also
                those that are only to be forecast.
            known: the snapshot a faithful fit gets.
            seed: the seed a faithful fit gets.
        """
        ...


def every_row(plan: Plan, origin: int, horizon: int) -> TrainingSet:
    """Rows of all origins, later ones included, that have an outcome: what no faithful fit may see.

    Args:
        plan: the plan.
        origin: index of the origin whose phase the rows share.
        horizon: index of the horizon.
    """
    requests, table = plan.request[:, horizon], plan.outcomes
    public = (table.first_public if plan.experiment.target.outcome.kind == "latest" else table.matured_at)[:, requests]
    usable = (table.status[:, requests] == MATURED) & ~((public != NEVER) & (public <= plan.known))
    if plan.experiment.exclude_hindsight:
        usable &= ~table.hindsight[:, requests]
    rows, series = np.nonzero((usable & (plan.phase == plan.phase[origin])).T)
    periods = len(np.unique(plan.ends[rows, horizon]))
    return TrainingSet(rows.astype(np.int64), series.astype(np.int64), requests[rows], periods)
