"""Training rows rebuilt at a refit origin from its own snapshot, shifted by the lag: the marked rival of frozen rows.

It is common practice elsewhere, and not what a model would have seen on the day: the row of pseudo-origin s holds the
cells that had a value by s, with the numbers that stand at the refit origin T. Every T has its own rows, so the cost
grows with the square of the number of origins; rows are therefore built at refit origins only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.backtest.splits import Integers, Plan
from harness.core.recipe import FeatureBlock
from harness.core.snapshot import Panel, Snapshot
from harness.core.time import NEVER
from harness.core.transform import Floats
from harness.data.changes import ChangeFile
from harness.data.firsts import Firsts, first_published, first_values
from harness.forecast.features import Targets, declared_inputs, feature_names, feature_rows

Micros = NDArray[np.int64]


class LatestRows:
    """Feature values of one recipe's training rows, made of the latest vintage at each refit origin."""

    def __init__(self, plan: Plan, blocks: tuple[FeatureBlock, ...], changes: ChangeFile) -> None:
        """Nothing is read before the first rows are asked for.

        Args:
            plan: the plan.
            blocks: the recipe's feature blocks, in its order.
            changes: the changes.
        """
        self._plan, self._blocks, self._changes = plan, blocks, changes

    @cached_property
    def _firsts(self) -> Firsts:
        experiment = self._plan.experiment
        return first_values(
            self._changes,
            declared_inputs(self._blocks, experiment.target),
            exclude_hindsight=experiment.exclude_hindsight,
        )

    def training(self, origins: Integers, series: Integers, horizons: Integers, snapshot: Snapshot) -> Floats:
        """Feature values of training rows, every number from one snapshot.

        Args:
            origins: [row] index of the pseudo-origin, before the refit origin.
            series: [row] index of the target series.
            horizons: [row] index of the horizon.
            snapshot: what is known at the refit origin; nothing published later can enter.

        Returns:
            [row, feature], columns as `feature_names` of the blocks; NaN = missing.
        """
        experiment = self._plan.experiment
        out = np.full((len(origins), len(feature_names(self._blocks))), np.nan)
        panels = _dated(snapshot, self._firsts)
        for origin in np.unique(origins).tolist():
            earlier = replace(
                snapshot,
                origin=self._plan.instants[origin],
                known_at=int(self._plan.known[origin]),
                panels=tuple(one.as_of(int(self._plan.known[origin])) for one in panels),
                issues=(),
            )
            members = self._plan.members.names(origin)
            targets = Targets(members, experiment.horizons, self._plan.end_days[origin])
            rows, place = np.flatnonzero(origins == origin), self._plan.members.places(members)
            out[rows] = feature_rows(earlier, self._blocks, targets)[place[series[rows]], horizons[rows]]
        return out


@dataclass(frozen=True, slots=True, eq=False)
class _Dated:
    """A panel of the refit origin and the instant each of its cells first had a value ([series, period])."""

    panel: Panel
    firsts: Micros
    earliest: Micros
    """[period] the same of the earliest series; NEVER = none."""

    def as_of(self, known: int) -> Panel:
        """The cells that had a value by an instant, up to the last such period, dated by their first publication."""
        reached = np.flatnonzero((self.earliest != NEVER) & (self.earliest <= known))
        stop = int(reached[-1]) + 1 if len(reached) else 0
        firsts, values = self.firsts[:, :stop], self.panel.values[:, :stop]
        there = (firsts != NEVER) & (firsts <= known) & ~np.isnan(values)
        return replace(
            self.panel,
            values=np.where(there, values, np.nan),
            published=np.where(there, firsts, NEVER),
            vintage=np.where(there, self.panel.vintage[:, :stop], NEVER),
        )


def _dated(snapshot: Snapshot, firsts: Firsts) -> tuple[_Dated, ...]:
    found = []
    for panel in snapshot.panels:
        at = first_published(panel, firsts)
        last = np.iinfo(np.int64).max
        earliest = np.where(at == NEVER, last, at).min(axis=0, initial=last)
        found.append(_Dated(panel, at, np.where(earliest == last, NEVER, earliest)))
    return tuple(found)
