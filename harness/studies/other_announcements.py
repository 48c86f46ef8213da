"""What is announced about series after an instant, made another: price events and memberships of universes.

What was announced by then stays as it was. Other events are possible ones: no dividend reaches the price it is paid on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.time import NEVER
from harness.core.transform import Floats
from harness.data.announced import DELISTING, DIVIDEND, EVENT_KINDS, MEMBER_KEY, SPLIT
from harness.data.changes import ChangeFile, EventRows

Micros = NDArray[np.int64]
Flags = NDArray[np.bool_]
DAYS = 400
"""By how many days another membership may begin earlier or later, and how long it may last."""
IS_SPLIT, IS_DIVIDEND, IS_DELISTING = (EVENT_KINDS.index(kind) for kind in (SPLIT, DIVIDEND, DELISTING))


def announced_later(changes: ChangeFile, cut: int) -> int:
    """Events and memberships announced after an instant in microseconds UTC."""
    return int((changes.events.announced > cut).sum()) + int((changes.members["announced"] > cut).sum())


def announcements(changes: ChangeFile) -> Micros:
    """Microseconds UTC of every announcement."""
    return np.concatenate([changes.events.announced, changes.members["announced"].to_numpy()])


def without_later(changes: ChangeFile, cut: int) -> ChangeFile:
    """The archive view without what was announced after an instant."""
    kept = changes.events.announced <= cut
    return replace(
        changes, events=_events(changes.events, kept), members=changes.members.filter(pl.col("announced") <= cut)
    )


def announced_at(changes: ChangeFile, mapped: Callable[[Micros], Micros]) -> ChangeFile:
    """The archive view with announcements moved to other instants."""
    events = replace(changes.events, announced=mapped(changes.events.announced))
    order = np.lexsort((events.kind, events.ex, events.code, events.announced))
    moved = changes.members.with_columns(pl.Series("announced", mapped(changes.members["announced"].to_numpy())))
    return replace(changes, events=_events(events, order), members=_in_order(moved))


def other_later(changes: ChangeFile, later: Flags, cut: int, random: np.random.Generator) -> ChangeFile:
    """The archive view with other events and memberships announced after an instant.

    Args:
        changes: its values are noise already where they came later.
        later: [change] whether the value is noise.
        cut: microseconds UTC.
        random: of the noise.
    """
    if not announced_later(changes, cut) and not (changes.events.kind == IS_DIVIDEND).any():
        return changes
    events = _other_events(changes, later, cut, random)
    value = _above_dividends(changes, later, events)
    return replace(changes, value=value, events=events, members=_other_members(changes.members, cut, random))


def _events(rows: EventRows, chosen: NDArray[np.int64] | Flags) -> EventRows:
    return EventRows(**{name: getattr(rows, name)[chosen] for name in EventRows.__dataclass_fields__})


def _other_events(changes: ChangeFile, later: Flags, cut: int, random: np.random.Generator) -> EventRows:
    """Later events with other ratios, amounts and ex-dates anywhere in the series' life."""
    events = changes.events
    ex, value = events.ex.copy(), events.value.copy()
    for row in np.flatnonzero(events.announced > cut).tolist():
        mine = changes.code == events.code[row]
        periods, levels = changes.period[mine], changes.value[mine & ~later]
        kind = events.kind[row]
        if kind == IS_SPLIT:
            value[row] = 10.0 ** random.uniform(-1.0, 1.0)
        elif kind == IS_DIVIDEND:
            value[row] = random.uniform(0.05, 0.9) * levels[levels > 0].min(initial=1.0)
            worthless = changes.period[mine & ~later & (changes.value == 0)]  # nothing is paid on nothing
            periods = periods[periods <= worthless.min(initial=np.iinfo(np.int64).max)]
        elif not np.isnan(value[row]):
            value[row] = 10.0 ** random.uniform(-3.0, 6.0)
        if len(periods):
            ex[row] = random.choice(np.unique(periods))
    return replace(events, ex=ex, value=value)


def _above_dividends(changes: ChangeFile, later: Flags, events: EventRows) -> Floats:
    """Values whose positive noise lies above every dividend of their series."""
    largest = np.zeros(len(changes.ids))
    paid = events.kind == IS_DIVIDEND
    np.maximum.at(largest, events.code[paid], events.value[paid])
    value: Floats = changes.value + np.where(later & (changes.value > 0), largest[changes.code], 0.0)
    return value


def _other_members(members: pl.DataFrame, cut: int, random: np.random.Generator) -> pl.DataFrame:
    """Later memberships of other series of the universe, on other days."""
    named = {name: part["code"].unique().sort() for (name,), part in members.group_by("universe")}
    rows = []
    for row in members.iter_rows(named=True):
        if row["announced"] > cut:
            codes = named[row["universe"]]
            first = row["first"] + int(random.integers(-DAYS, DAYS))
            last = NEVER if random.random() < 0.5 else first + int(random.integers(0, DAYS))
            row |= {"code": codes[int(random.integers(len(codes)))], "first": first, "last": last}
        rows.append(row)
    made = pl.DataFrame(rows, schema=members.schema)
    return _in_order(made.unique(subset=MEMBER_KEY, keep="first", maintain_order=True))


def _in_order(members: pl.DataFrame) -> pl.DataFrame:
    return members.sort("announced", "universe", "code", "first", maintain_order=True)
