"""Who is asked at an origin by the plainest definition: of each stint the newest announcement, looked up one by one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from harness.backtest.splits import Plan
from harness.core.time import EPOCH, NEVER, local_day, micros
from harness.data.changes import ChangeFile


@dataclass(frozen=True, slots=True)
class Stint:
    """One announcement about a membership.

    Attributes:
        series_id: whose.
        first: epoch day on which it begins.
        last: epoch day on which it ends; None = open.
        announced: microseconds UTC.
    """

    series_id: str
    first: int
    last: int | None
    announced: int


def is_member(told: list[Stint], series_id: str, day: date, at: int) -> bool:
    """Whether a series is a member on a day by what was announced up to an instant in microseconds UTC."""
    newest: dict[int, Stint] = {}
    for stint in sorted(told, key=lambda one: one.announced):
        if stint.series_id == series_id and stint.announced <= at:
            newest[stint.first] = stint
    here = (day - EPOCH).days
    return any(one.first <= here and (one.last is None or here <= one.last) for one in newest.values())


class PlainMembers:
    """Answers who is asked at the origins of a plan, remembering what it was asked."""

    def __init__(self, plan: Plan, changes: ChangeFile) -> None:
        """Stand ready.

        Args:
            plan: its experiment and instants are used, none of its results.
            changes: the change file.
        """
        self._plan, target = plan, plan.experiment.target
        self.whole = not target.universe
        """Whether every series of the target is asked everywhere."""
        self._told: dict[str, list[Stint]] = {name: [] for name in target.series}
        for row in changes.members.iter_rows(named=True) if target.universe else ():
            name = changes.ids[row["code"]]
            if row["universe"] == target.universe and name in self._told:
                last = None if row["last"] == NEVER else row["last"]
                self._told[name].append(Stint(name, row["first"], last, row["announced"]))
        self._memory: dict[tuple[int, int], bool] = {}

    def asked(self, origin: int, series: int) -> bool:
        """Whether a target series (its index) is asked at an origin (its index)."""
        if self.whole:
            return True
        if (origin, series) not in self._memory:
            name, moment = self._plan.experiment.target.series[series], self._plan.instants[origin]
            day = local_day(moment, self._plan.experiment.origins.zone)
            self._memory[origin, series] = is_member(self._told[name], name, day, self._at(origin))
        return self._memory[origin, series]

    def announced(self, origin: int) -> set[str]:
        """Target series that were announced as members, of whatever days, by an origin."""
        if self.whole:
            return set(self._told)
        at = self._at(origin)
        return {name for name, told in self._told.items() if any(stint.announced <= at for stint in told)}

    def _at(self, origin: int) -> int:
        return micros(self._plan.instants[origin] - self._plan.experiment.origins.latency)
