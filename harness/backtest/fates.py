"""How many rows are training rows, and why others are not, counted over series that mature alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.backtest.splits import (
    FATES,
    HINDSIGHT,
    NO_OUTCOME,
    NOT_MATURED,
    OTHER_PHASE,
    USED,
    WAS_PUBLIC,
    Plan,
)
from harness.core.time import NEVER
from harness.data.outcomes import MATURED

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Trained:
    """The rows before one origin at one horizon.

    Attributes:
        fates: rows by fate, in order of `FATES`.
        rows: training rows (the newest of a rolling window).
        marked: of these, with a label of hindsight.
        periods: distinct target periods among them.
    """

    fates: tuple[int, ...]
    rows: int
    marked: int
    periods: int


def fates_alike(plan: Plan) -> bool:
    """Whether a row's fate follows from its outcome alone: no universe, no label that is read in the snapshot."""
    target = plan.experiment.target
    return not target.universe and target.outcome.kind != "latest"


class Fates:
    """Series counted by when a period's outcome matured, whether it did and whether it is hindsight."""

    def __init__(self, plan: Plan) -> None:
        """Count every requested period once.

        Args:
            plan: a plan of which `fates_alike` holds.
        """
        self.plan = plan
        kinds = [self._kinds(request) for request in range(plan.outcomes.status.shape[1])]
        width = max((len(kind[0]) for kind in kinds), default=0)
        size = (len(kinds), width)
        self.public, self.count = np.full(size, NEVER), np.zeros(size, dtype=np.int64)
        self.matured, self.hindsight = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
        for request, (public, matured, hindsight, count) in enumerate(kinds):
            some = slice(0, len(public))
            self.public[request, some], self.matured[request, some] = public, matured
            self.hindsight[request, some], self.count[request, some] = hindsight, count

    def _kinds(self, request: int) -> tuple[Integers, Integers, Integers, Integers]:
        """Instant of maturity, whether matured, whether hindsight, and the number of series; [kind]."""
        table = self.plan.outcomes
        public, status = table.matured_at[:, request], table.status[:, request] == MATURED
        hindsight = table.hindsight[:, request]
        if len(public) and all((one == one[0]).all() for one in (public, status, hindsight)):
            return public[:1], status[:1].astype(np.int64), hindsight[:1].astype(np.int64), np.array([len(public)])
        keys = np.stack([public, status.astype(np.int64), hindsight.astype(np.int64)])
        kinds, count = np.unique(keys, axis=1, return_counts=True)
        return kinds[0], kinds[1], kinds[2], count.astype(np.int64)

    def at(self, origin: int, horizon: int) -> Trained:
        """Rows before an origin, as `row_fates` and `training_set` find them one by one."""
        plan = self.plan
        request = plan.request[:origin, horizon]
        public, count, hindsight = self.public[request], self.count[request], self.hindsight[request]
        fate = np.full(public.shape, USED, dtype=np.int8)
        if plan.experiment.exclude_hindsight:
            fate[hindsight] = HINDSIGHT
        fate[~self.matured[request]] = NO_OUTCOME
        fate[(public != NEVER) & (public <= plan.known[:origin, None])] = WAS_PUBLIC
        fate[(public == NEVER) | (public > plan.known[origin])] = NOT_MATURED
        fate[plan.phase[:origin] != plan.phase[origin]] = OTHER_PHASE
        fates = np.bincount(fate.ravel(), weights=count.ravel(), minlength=len(FATES)).astype(np.int64)
        used = np.where(fate == USED, count, 0)
        by_row = used.sum(axis=1)
        periods = _distinct(plan.ends[:origin, horizon][by_row > 0])
        rolling = plan.experiment.training.rolling
        if rolling is not None and len(periods) > rolling:
            periods = periods[-rolling:]
            used[plan.ends[:origin, horizon] < periods[0]] = 0
        return Trained(
            tuple(int(number) for number in fates), int(used.sum()), int(used[hindsight].sum()), len(periods)
        )


def _distinct(periods: Integers) -> Integers:
    """Distinct values, ascending; those of ascending ones, as target periods of ascending origins are, unsorted."""
    if (periods[1:] < periods[:-1]).any():
        return np.unique(periods)
    first: Flags = np.append(np.ones(min(1, len(periods)), dtype=bool), periods[1:] != periods[:-1])
    distinct: Integers = periods[first]
    return distinct
