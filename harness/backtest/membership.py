"""Who is asked at each origin: the members of the target's universe as announced by then, or every series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import FEW, UserError, listed
from harness.core.recipe import Experiment, Target
from harness.core.series import Series
from harness.core.time import NEVER, end_of_day, local_day, micros, period_end
from harness.data.announced import DELISTING, EVENT_KINDS
from harness.data.changes import ChangeFile
from harness.data.past import VALUELESS, beginnings, past_of
from harness.data.universe import Universe, universe_of
from harness.data.walked_outcomes import input_groups

DELISTED = EVENT_KINDS.index(DELISTING)
LAST_DAYS = timedelta(days=7)
"""A daily series that is known up to this long before its delisting is known to its end."""
FOREVER = int(np.iinfo(np.int64).max)
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Membership:
    """Members at every origin of a plan.

    Attributes:
        series: the target's series.
        member: [origin, series] whether the series is asked at the origin, by what was announced by then.
        order: the target's series in order of their first announcement (without a universe: as they are).
        announced: [origin] how many of `order` had been announced as members of any day by the origin.
    """

    series: tuple[str, ...]
    member: Flags
    order: tuple[str, ...]
    announced: Integers

    def rows(self, origin: int) -> Integers:
        """Indices into `series` of the members at an origin, ascending."""
        return np.flatnonzero(self.member[origin]).astype(np.int64)

    def names(self, origin: int) -> tuple[str, ...]:
        """Stored ids of the members at an origin, in the order of `series`."""
        if self.member[origin].all():
            return self.series
        return tuple(self.series[row] for row in self.rows(origin))

    def known(self, origin: int) -> tuple[str, ...]:
        """Stored ids announced by an origin: the series of the snapshot's target, in its order."""
        return self.order[: self.announced[origin]]

    def places(self, names: Sequence[str]) -> Integers:
        """[series] place of each of the target's series among some names; -1 = not there."""
        if names == self.series:
            return np.arange(len(self.series), dtype=np.int64)
        place = {name: number for number, name in enumerate(names)}
        return np.array([place.get(name, -1) for name in self.series], dtype=np.int64)

    def since(self, first: int) -> Membership:
        """The same from an origin on."""
        return Membership(self.series, self.member[first:], self.order, self.announced[first:])


def with_members(target: Target, changes: ChangeFile) -> Target:
    """The target with all series of its universe where it names none.

    Raises:
        UnknownNameError: no membership names the universe.
        UserError: a series of the target that no membership of its universe names.
    """
    if not target.universe:
        return target
    universe = universe_of(changes, target.universe)
    _refuse_strangers(target, universe)
    return target if target.series else replace(target, series=tuple(sorted(universe.ids)))


def membership(
    experiment: Experiment, changes: ChangeFile, instants: Sequence[datetime], known: Integers
) -> Membership:
    """Members at every origin; a series that no membership names is never one.

    Args:
        experiment: with its series and the origins' zone filled in.
        changes: the change file.
        instants: the origins.
        known: [origin] microseconds UTC up to which announcements count.
    """
    target = experiment.target
    shape = (len(instants), len(target.series))
    if not target.universe:
        everybody = np.full(len(instants), len(target.series), dtype=np.int64)
        return Membership(target.series, np.ones(shape, dtype=bool), target.series, everybody)
    universe = universe_of(changes, target.universe)
    order = tuple(name for name in universe.ids if name in set(target.series))
    firsts = np.array([universe.first_announced(name) for name in order], dtype=np.int64)
    member = np.zeros(shape, dtype=bool)
    for row, (moment, at) in enumerate(zip(instants, known, strict=True)):
        here = universe.members(local_day(moment, experiment.origins.zone), int(at))
        member[row] = [name in here for name in target.series]
    return Membership(target.series, member, order, np.searchsorted(firsts, known, side="right").astype(np.int64))


def data_start(experiment: Experiment, changes: ChangeFile) -> int:
    """Microseconds UTC of the first value of the target (of a universe: of a series announced as a member by then)."""
    target = experiment.target
    first = beginnings(changes).first_published
    inputs = list(dict.fromkeys(chain.from_iterable(input_groups(target))))
    codes = changes.codes_of(inputs)
    if (first[codes] == NEVER).any():
        raise UserError(
            "series without any ingested value",
            value=listed((name for name, at in zip(inputs, first[codes], strict=True) if at == NEVER), FEW),
            fix=VALUELESS,
        )
    if not target.universe:
        return int(first[codes].min())
    at = dict(zip(inputs, first[codes].tolist(), strict=True))
    opening = {series_id: min(at[name] for name in target.transform.inputs(series_id)) for series_id in target.series}
    universe = universe_of(changes, target.universe)
    started: list[int] = [max(moment, universe.first_announced(name)) for name, moment in opening.items()]
    return min(started)


def known_until(changes: ChangeFile, inputs: Sequence[str]) -> int:
    """Microseconds UTC up to which the archive knows all of some series.

    A series that is known to have ended, and known up to its end, holds nothing back.
    """
    ended = {
        changes.ids[code]: _last_days(changes.series[changes.ids[code]], int(ex))
        for code, ex, kind in zip(changes.events.code, changes.events.ex, changes.events.kind, strict=True)
        if kind == DELISTED
    }
    if not ended:
        return min(map(changes.known_through.__getitem__, inputs))
    ends = {name: changes.known_through[name] for name in inputs}
    open_ended = {name: at for name, at in ends.items() if not (name in ended and at >= ended[name])}
    return min((open_ended or ends).values())


def check_members(experiment: Experiment, members: Membership, instants: Sequence[datetime], first: int) -> None:
    """Every issued origin has somebody to ask, and no feature block names a single member.

    Args:
        experiment: resolved.
        members: who is asked when.
        instants: the origins.
        first: index of the first issued origin.

    Raises:
        UserError: it is not so.
    """
    target = experiment.target
    if not target.universe:
        return
    empty = [moment for moment, row in zip(instants[first:], members.member[first:], strict=True) if not row.any()]
    if empty:
        raise UserError(
            "an origin at which the universe has no member",
            value=f"{target.universe}, {len(empty)} origins, the first at {empty[0].isoformat()}",
            rule="members are those announced by the origin for its day",
            fix="set a later [origins] first, or append the earlier memberships",
        )
    apart = {target.transform.other, target.transform.high, target.transform.low}
    apart |= {name for block in experiment.features if block.series for name in block.transform.inputs(block.series)}
    named = sorted(apart & set(target.series))
    if named:
        raise UserError(
            "an input is a member of the target's universe",
            value=listed(named, FEW),
            rule="a member is in no snapshot before it is announced",
            fix='use series = "own", or define the series once more under another id',
        )


def needed_from(changes: ChangeFile, members: Membership, known: Integers, first: int) -> dict[str, int]:
    """Microseconds UTC by which each member's first true vintage must have come (S6): its first scored origin.

    A member without any hindsight value before its first true one may be asked before that.

    Args:
        changes: the change file.
        members: who is asked when.
        known: [origin] microseconds UTC.
        first: index of the first scored origin.
    """
    needed = {}
    for row, name in enumerate(members.series):
        past, asked = past_of(changes, name), np.flatnonzero(members.member[first:, row])
        plain = past.first_true_vintage == past.first_published
        needed[name] = FOREVER if plain or not len(asked) else int(known[first + asked[0]])
    return needed


def _last_days(series: Series, ex: int) -> int:
    """Microseconds UTC from which a series that ends at a period counts as known to its end."""
    if series.parsed.kind in "BD":
        return micros(end_of_day(period_end(series.parsed, ex) - LAST_DAYS, series.zone))
    return micros(end_of_day(period_end(series.parsed, ex - 2), series.zone))


def _refuse_strangers(target: Target, universe: Universe) -> None:
    strangers = sorted(set(target.series) - set(universe.ids))
    if strangers:
        raise UserError(
            "series that were never members of the target's universe",
            value=f"{listed(strangers, FEW)} (universe {universe.name})",
            rule="with a universe, every series of the target is named by a membership of it",
            fix="leave `series` out to take all of them",
        )
