"""Who belongs to a universe, as announced by an instant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import UnknownNameError
from harness.core.recipe import Target
from harness.core.snapshot import Panel, Snapshot
from harness.core.time import EPOCH, NEVER

if TYPE_CHECKING:
    from harness.data.changes import ChangeFile

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Universe:
    """The memberships of one universe in order of their announcement; arrays [announcement].

    Attributes:
        name: its name.
        ids: stored ids of every series it ever names, in order of first announcement, then of id: a series that is
            announced later never moves the place of an earlier one.
        series: index into `ids`.
        first, last: epoch days of the membership's first and last day; NEVER = open.
        announced: microseconds UTC.
        stint: number of the (series, first day) the announcement is about.
    """

    name: str
    ids: tuple[str, ...]
    series: Integers
    first: Integers
    last: Integers
    announced: Integers
    stint: Integers

    def announced_by(self, known_at: int) -> tuple[str, ...]:
        """Series named as members, of whatever days, by an instant (microseconds UTC), in the order of `ids`."""
        count = int(np.searchsorted(self.announced, known_at, side="right"))
        return self.ids[: len(np.unique(self.series[:count]))]

    def first_announced(self, series_id: str) -> int:
        """Microseconds UTC at which a series was first named."""
        return int(self.announced[np.argmax(self.series == self.ids.index(series_id))])

    def members(self, day: date, known_at: int) -> frozenset[str]:
        """Members on a day by the newest announcement, up to an instant, about each stint.

        Args:
            day: the local day of the origin.
            known_at: microseconds UTC up to which announcements count.
        """
        count = int(np.searchsorted(self.announced, known_at, side="right"))
        newest = np.full(int(self.stint.max()) + 1 if len(self.stint) else 0, -1, dtype=np.int64)
        newest[self.stint[:count]] = np.arange(count)  # of several about one stint the last one stays
        rows = newest[newest >= 0]
        here = (day - EPOCH).days
        inside = (self.first[rows] <= here) & ((self.last[rows] == NEVER) | (here <= self.last[rows]))
        return frozenset(self.ids[place] for place in self.series[rows[inside]])


def universe_of(changes: ChangeFile, name: str) -> Universe:
    """The memberships of a universe.

    Raises:
        UnknownNameError: no membership names this universe.
    """
    rows = changes.members.filter(pl.col("universe") == name)
    if not rows.height:
        raise UnknownNameError("universe", name, changes.members["universe"].unique().to_list())
    ranked = rows.with_columns(
        pl.struct("code", "first").rank("dense").cast(pl.Int64).sub(1).alias("stint"),
    ).sort("announced", "code", "first")
    order = ranked["code"].unique(maintain_order=True)
    place = {code: number for number, code in enumerate(order.to_list())}
    return Universe(
        name,
        tuple(changes.ids[code] for code in order.to_list()),
        np.array([place[code] for code in ranked["code"].to_list()], dtype=np.int64),
        *(ranked[column].to_numpy() for column in ("first", "last", "announced", "stint")),
    )


def as_announced(snapshot: Snapshot, universe: Universe) -> Snapshot:
    """A snapshot without the series of its target that nobody had named as members by then (S20).

    The target's series come in the order of their first announcement.

    Args:
        snapshot: with a target of that universe.
        universe: its memberships.
    """
    target = snapshot.target
    if target is None:
        return snapshot
    asked = set(target.series)
    known = tuple(name for name in universe.announced_by(snapshot.known_at) if name in asked)
    hidden = asked - set(known)
    return replace(
        snapshot,
        target=replace(target, series=known),
        panels=tuple(kept for panel in snapshot.panels if (kept := _without(panel, asked, hidden)).ids),
        series={name: one for name, one in snapshot.series.items() if name not in hidden},
        issues=tuple(issue for issue in snapshot.issues if issue.series_id not in hidden),
    )


def everyone(target: Target) -> Target:
    """The target without its universe: every one of its series, whoever was a member when."""
    return replace(target, universe="")


def _without(panel: Panel, asked: set[str], hidden: set[str]) -> Panel:
    """A panel without the hidden rows, and without the first and last columns that only they had reached."""
    if asked.isdisjoint(panel.ids):
        return panel
    rows = [row for row, name in enumerate(panel.ids) if name not in hidden]
    stated = np.flatnonzero((panel.published[rows] != NEVER).any(axis=0)) if rows else np.empty(0, dtype=np.int64)
    span = slice(int(stated[0]), int(stated[-1]) + 1) if len(stated) else slice(0, 0)
    return Panel(
        tuple(panel.ids[row] for row in rows),
        panel.timeline,
        panel.first + span.start,
        panel.values[rows, span],
        panel.published[rows, span],
        panel.vintage[rows, span],
    )
