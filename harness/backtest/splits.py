"""The plan, and which rows are matured training rows at each origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.backtest.membership import Membership
from harness.core.recipe import Experiment, FeatureBlock, Target
from harness.core.snapshot import Snapshot
from harness.core.time import NEVER
from harness.core.transform import Floats
from harness.data.outcomes import MATURED, Outcomes
from harness.data.walked_outcomes import Windows, read_outcomes
from harness.forecast.features import declared_inputs

WIDE = 1000
"""Series from which on origins are looked through one by one, so that no index has eight bytes."""
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything that is decided before a model runs.

    Attributes:
        inputs: stored ids of the target's and the features' series.
        instants: all origins in order of time: pseudo-origins, warm-up, scored.
        first_issued, first_scored: index of the first issued and of the first scored origin.
        known: [origin] microseconds up to which publications are known (origin minus latency).
        phase: [origin] index of the origin within its target period.
        starts, ends: [origin, horizon] ordinals of the first and last period of the target's window.
        end_days: [origin, horizon] last day of the target period.
        request: [origin, horizon] index into the outcomes' requests.
        outcomes: pinned outcomes [series, request].
        until: microseconds up to which the archive's content counts.
        members: who is asked at each origin.
        looked_up: hash of the change file that outcomes were looked up in, and these: a study may have others in
            `outcomes`.
    """

    experiment: Experiment
    inputs: tuple[str, ...]
    instants: tuple[datetime, ...]
    first_issued: int
    first_scored: int
    known: Integers
    phase: Integers
    starts: Integers
    ends: Integers
    end_days: NDArray[np.datetime64]
    request: Integers
    outcomes: Outcomes
    until: int
    members: Membership
    looked_up: tuple[str, Outcomes] | None = None

    @property
    def windows(self) -> Windows:
        """The asked target periods, in the order of `request`."""
        asked = np.unique(np.stack([self.starts.ravel(), self.ends.ravel()]), axis=1)
        return Windows(asked[0], asked[1])

    @property
    def issued(self) -> range:
        """Indices of the origins at which forecasts are issued (warm-up and scored)."""
        return range(self.first_issued, len(self.instants))

    def refit_origin(self, origin: int, cadence: int) -> int:
        """Index of the refit origin whose fit answers at `origin`; cadence counts from the first issued origin."""
        return origin - (origin - self.first_issued) % cadence

    def already_public(self, origin: int) -> Flags:
        """[series, horizon] pinned outcome (under `latest`: any value) public by this origin: no forecast (S4)."""
        latest = self.experiment.target.outcome.kind == "latest"
        public = self.outcomes.first_public if latest else self.outcomes.matured_at
        at = public[:, run_of(self.request[origin])]
        flags: Flags = (at != NEVER) & (at <= self.known[origin])
        return flags


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """The matured training rows of one origin and horizon, as indices; arrays [row], of 4 bytes where these hold them.

    Attributes:
        origins: index of the pseudo-origin.
        series: index of the target series.
        requests: index of the outcome request.
        periods: number of distinct target periods.
    """

    origins: Integers
    series: Integers
    requests: Integers
    periods: int


def training_set(plan: Plan, origin: int, horizon: int, snapshot: Snapshot) -> TrainingSet:
    """Rows whose label was public by this origin and not yet at their own (laws 3 and 4), of the origin's phase.

    Args:
        plan: the plan.
        origin: index of the origin T.
        horizon: index of the horizon.
        snapshot: what was known at T; labels under `latest` are read in it.
    """
    usable = np.ascontiguousarray(row_fates(plan, origin, horizon, snapshot) == USED)
    rolling = plan.experiment.training.rolling
    distinct = np.unique(plan.ends[: len(usable), horizon][usable.any(axis=1)])
    if rolling is not None and len(distinct) > rolling:
        usable[plan.ends[: len(usable), horizon] < distinct[-rolling]] = False
        distinct = distinct[-rolling:]
    rows, series = _places(usable)
    return TrainingSet(rows, series, narrow(plan.request[:, horizon])[rows], len(distinct))


def _places(usable: Flags) -> tuple[Integers, Integers]:
    """[row] index of the origin and of the series of what is set, origin by origin."""
    if usable.shape[1] < WIDE:
        rows, series = (narrow(places) for places in np.nonzero(usable))
        return rows, series
    counts = usable.sum(axis=1)
    each = [narrow(np.flatnonzero(one)) for one in usable]
    return np.repeat(narrow(np.arange(len(usable))), counts), np.concatenate([*each, narrow(np.empty(0, np.int64))])


def narrow(places: Integers) -> Integers:
    """Places in as few bytes as hold them."""
    small = not len(places) or int(places.max()) <= np.iinfo(np.int32).max
    return places.astype(np.int32) if small else places


def too_short(plan: Plan, periods: Mapping[int, int]) -> dict[int, str]:
    """Why horizons have too little to learn from, by index; those that have enough are left out.

    Args:
        plan: the plan.
        periods: index of the horizon -> distinct matured target periods.
    """
    minimum = plan.experiment.training.minimum
    found = {place: f"{count} matured target periods, minimum {minimum}" for place, count in periods.items()}
    return {place: why for place, why in found.items() if periods[place] < minimum}


USED, OTHER_PHASE, NOT_MATURED, WAS_PUBLIC, NO_OUTCOME, HINDSIGHT, NO_MEMBER = range(7)
FATES = (
    "used", "other phase", "not matured", "already public at its origin", "no outcome", "hindsight excluded",
    "no member at its origin",
)  # fmt: skip


def row_fates(plan: Plan, origin: int, horizon: int, snapshot: Snapshot | None) -> NDArray[np.int8]:
    """[earlier origin, series] why a row is, or is not, a training row at this origin (index into `FATES`).

    Args:
        plan: the plan.
        origin: index of the origin T.
        horizon: index of the horizon.
        snapshot: what was known at T; labels under `latest` are read in it, else it is not needed.
    """
    requests = run_of(plan.request[:origin, horizon])
    latest = plan.experiment.target.outcome.kind == "latest"
    table = plan.outcomes
    public = (table.first_public if latest else table.matured_at)[:, requests]
    fate = np.full(
        public.shape, USED, dtype=np.int8
    )  # [series, earlier origin], as outcomes lie, and turned at the end
    if plan.experiment.exclude_hindsight:
        np.copyto(fate, HINDSIGHT, where=table.hindsight[:, requests])
    if not latest:
        np.copyto(fate, NO_OUTCOME, where=table.status[:, requests] != MATURED)
    np.copyto(fate, WAS_PUBLIC, where=(public != NEVER) & (public <= plan.known[:origin]))
    np.copyto(fate, NOT_MATURED, where=(public == NEVER) | (public > plan.known[origin]))
    np.copyto(fate, OTHER_PHASE, where=plan.phase[:origin] != plan.phase[origin])
    np.copyto(fate, NO_MEMBER, where=~plan.members.member[:origin].T)
    fate = fate.T
    if latest and snapshot is not None:
        rows, series = np.nonzero(fate == USED)
        absent = np.isnan(training_labels(plan, (rows, series, np.full(len(rows), horizon)), snapshot))
        fate[rows[absent], series[absent]] = NO_OUTCOME
    return fate


def run_of(places: Integers) -> Integers | slice:
    """Places as a slice where they follow one another: what is looked up there is then no copy."""
    if len(places) and (np.diff(places) == 1).all():
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def training_labels(plan: Plan, cells: tuple[Integers, Integers, Integers], snapshot: Snapshot) -> Floats:
    """[row] labels in the target's unit; NaN = there is none.

    Args:
        plan: the plan.
        cells: [row] index of the pseudo-origin, of the series and of the horizon.
        snapshot: what was known at T; labels under `latest` are read in it.
    """
    origins, series, horizons = cells
    if plan.experiment.target.outcome.kind != "latest" or not len(origins):
        labels: Floats = plan.outcomes.value[series, narrow(plan.request)[origins, horizons]]
        return labels
    windows = Windows(plan.starts[origins, horizons], plan.ends[origins, horizons])
    target = snapshot.target or plan.experiment.target
    return read_outcomes(snapshot, target, plan.members.places(target.series)[series], windows)[0]


@lru_cache(maxsize=8)
def target_inputs(target: Target) -> frozenset[str]:
    """Stored ids of every series the target is made of."""
    transform = target.transform
    apart = {name for name in (transform.other, transform.high, transform.low) if name}
    return frozenset(apart if transform.proxy == "parkinson" else apart.union(target.series))


def inputs_of(blocks: Sequence[FeatureBlock], target: Target) -> tuple[str, ...]:
    """Stored ids of every series that a target and some feature blocks are made of, ascending."""
    own, more = target_inputs(target), declared_inputs(blocks, target)
    return in_order(own if more <= own else own | more)


@lru_cache(maxsize=8)
def in_order(names: frozenset[str]) -> tuple[str, ...]:
    """Ids, ascending; the models of a run mostly share them."""
    return tuple(sorted(names))
