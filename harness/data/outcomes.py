"""Which value is the truth for a target period, and from which instant on it is known (labels and scores alike).

Publications are counted, not changes (S8); growth is taken in the as-of of the instant the end period's release came
out (S11); a forward window holds the sessions after the origin (S12).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.core.ahead import beside
from harness.core.recipe import Target
from harness.core.series import Series
from harness.core.time import NEVER, end_of_day, instant, period_end
from harness.core.transform import Floats
from harness.data.announced import DELISTING, EVENT_KINDS
from harness.data.calendars import sessions_known
from harness.data.changes import MANY, ChangeFile
from harness.data.due import after_all, assumed_maturity
from harness.data.mapped import let_go
from harness.data.releases import nth_releases
from harness.data.standing import Cells, Layout, assumed_rows, dates, first_values, layout
from harness.data.standing_outcomes import looked_up, standing_outcomes
from harness.data.walked_outcomes import Windows, input_groups, walked_outcomes
from harness.record.platform import threads_for

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
MATURED, PENDING, NO_OUTCOME, WITHDRAWN, DELISTED = range(5)
OUTCOME_STATUS = ("matured", "pending", "no_outcome", "withdrawn", "delisted")
REQUESTS = 1 << 17
"""Outcomes looked up together, so that what is made of them stays in the processor's cache."""
YOUNG = timedelta(days=365)
"""A `latest` outcome of a period that ended less than this before the archive's end is marked immature."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Outcomes of every target series and asked period; all arrays [series, request].

    Attributes:
        value: the pinned outcome in the target's unit; NaN unless matured.
        matured_at: microseconds UTC at which it became public; NEVER = not yet, or never.
        first_public: microseconds UTC at which any value of the end period was first public; NEVER = not yet.
        status: index into `OUTCOME_STATUS`.
        release: which publication it is (0 for `after` and `latest`).
        hindsight: made of a value put under an earlier date than its vintage (pseudo real time).
        immature: a `latest` outcome that is still young.
    """

    value: Floats
    matured_at: Integers
    first_public: Integers
    status: NDArray[np.int8]
    release: Integers
    hindsight: Flags
    immature: Flags


def outcomes(changes: ChangeFile, target: Target, windows: Windows, *, until: int | None = None) -> Outcomes:
    """Pinned outcomes of the asked target periods.

    Args:
        changes: the change file.
        target: what is forecast and which release is the truth.
        windows: the asked target periods.
        until: microseconds up to which the archive's content counts; None = the smallest `known_through` of the inputs.

    Raises:
        UserError: `release k > 1` of a source that reports changes only, or `after N days` shorter than the lag rule.
    """
    groups = input_groups(target)
    several = len(groups) > 1  # the ids of one are distinct
    inputs = tuple(sorted({name for ids in groups for name in ids} if several else groups[0]))
    end = min(changes.known_through[name] for name in inputs) if until is None else until
    stated = [_stated(changes, target, ids, windows.ends) for ids in groups]
    let_go(changes, at_least=MANY)
    asked = _Asked(changes, target, stated, inputs, end, cell_by_cell=looked_up(changes, target, inputs))
    found = _Found.of(len(windows.ends), len(target.series))
    each = len(windows.ends)
    if asked.cell_by_cell:  # what need not be known together need not be held together
        each = max(1, REQUESTS // max(1, len(target.series)))
    parts = [slice(start, start + each) for start in range(0, len(windows.ends), max(1, each))]
    with ThreadPoolExecutor(threads_for(found.value.size)) as pool:
        filled = list(pool.map(lambda part: _fill(found, asked, windows, part), parts))
    let_go(changes, at_least=MANY)
    apart = any(differs for differs, _ in filled)
    for part, (differs, _) in zip(parts, filled, strict=True):
        if apart and not differs:
            found.first_public[part] = found.matured_at[part]
    return found.outcomes(target, apart=apart, marked=any(some for _, some in filled))


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """What outcomes are asked of.

    Attributes:
        changes: the change file.
        target: what is forecast.
        stated: what was stated of each group of inputs.
        inputs: stored ids of all of them, ascending.
        end: microseconds UTC up to which the archive's content counts.
        cell_by_cell: whether an outcome is looked up by itself; else all are read from one walk of snapshots.
    """

    changes: ChangeFile
    target: Target
    stated: Sequence[_Stated]
    inputs: tuple[str, ...]
    end: int
    cell_by_cell: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Outcomes in the making; arrays [request, series], those of the results as in `Outcomes`.

    Attributes:
        young: [request] whether a `latest` outcome of it is still young.
    """

    value: Floats
    matured_at: Integers
    first_public: Integers
    status: NDArray[np.int8]
    hindsight: Flags
    young: Flags

    @classmethod
    def of(cls, requests: int, series: int) -> _Found:
        """Nothing yet: memory that is not written to is not taken either."""
        shape = requests, series
        value, matured_at, first = np.empty(shape), np.empty(shape, np.int64), np.empty(shape, np.int64)
        status, hindsight = np.empty(shape, np.int8), np.zeros(shape, dtype=bool)
        return cls(value, matured_at, first, status, hindsight, np.zeros(requests, dtype=bool))

    def outcomes(self, target: Target, *, apart: bool, marked: bool) -> Outcomes:
        """The finished outcomes.

        Args:
            target: what is forecast.
            apart: whether `first_public` differs from `matured_at` anywhere.
            marked: whether anything is hindsight.
        """
        shape = self.value.T.shape
        nothing: Flags = np.broadcast_to(np.zeros(1, dtype=bool), shape)
        counted = target.outcome.number if target.outcome.kind in ("first", "release") else 0
        return Outcomes(
            self.value.T,
            self.matured_at.T,
            self.first_public.T if apart else self.matured_at.T,
            self.status.T,
            np.broadcast_to(np.int64(counted), shape),
            self.hindsight.T if marked else nothing,
            (self.status.T == MATURED) & self.young if self.young.any() else nothing,
        )


def _fill(found: _Found, asked: _Asked, windows: Windows, part: slice) -> tuple[bool, bool]:
    """Outcomes of some requests; whether `first_public` differs from `matured_at`, and whether any is hindsight.

    Where it does not differ, `first_public` is left as it is.
    """
    changes, target, end = asked.changes, asked.target, asked.end
    some = Windows(windows.starts[part], windows.ends[part])
    due, first, assumed, captured = _instants(asked, some.ends)
    # what is not public by the end is pending; a hole in the capture is known as such from its publication on
    pending = (due == NEVER) | (due > end)
    value, missing, withdrawn, marked = _evaluated(asked, some, np.where(pending, NEVER, due))
    status = np.full(due.shape, MATURED, dtype=np.int8)
    status[missing | ~captured] = NO_OUTCOME
    if withdrawn.any():
        status[withdrawn & captured & (first != NEVER) & (first <= due)] = WITHDRAWN
    status[pending] = PENDING
    for row in _rows_with_delistings(changes, [one.ids for one in asked.stated]):
        ex, valued = _delisting(changes, target.transform.inputs(target.series[row]), end)
        awaited = valued & (some.ends == ex) & (status[:, row] == PENDING)
        status[(some.ends >= ex) & (status[:, row] != MATURED) & ~awaited, row] = DELISTED
    status[_never_trades(changes.series[asked.inputs[0]], some.ends, end)] = NO_OUTCOME
    matured = status == MATURED
    value[~matured] = np.nan
    if target.outcome.kind == "latest":
        found.young[part] = _young(changes.series[target.series[0]], some.ends, end)
    due[(status == PENDING) | (status == DELISTED)] = NEVER
    first[first > end] = NEVER
    found.value[part], found.matured_at[part], found.status[part] = value, due, status
    apart = not np.array_equal(first, due)
    if apart:
        found.first_public[part] = first
    marked = (marked | assumed) & matured
    if marked.any():
        found.hindsight[part] = marked
    return apart, bool(marked.any())


@dataclass(frozen=True, slots=True, eq=False)
class _Stated:
    """What was stated of some inputs.

    Attributes:
        ids: stored ids, one per target series or a single one that all share.
        laid: where their changes lie.
        opening: [period, series] row of the first change with a value.
        assumed: [period, series] row of the assumed change; None = there is not a single one.
        cells: their asked periods.
        due: [asked period, series] when the pinned release is due, whatever was assumed; None = it follows from the
            first value.
        captured: [asked period, series] whether it was captured.
    """

    ids: tuple[str, ...]
    laid: Layout
    opening: NDArray[np.int32]
    assumed: NDArray[np.int32] | None
    cells: Cells
    due: Integers | None
    captured: Flags


def _stated(changes: ChangeFile, target: Target, ids: tuple[str, ...], ends: Integers) -> _Stated:
    cells, rule = Cells.of(changes, ids, ends), target.outcome
    captured: Flags = np.broadcast_to(np.ones(1, dtype=bool), cells.shape)
    due: Integers | None = None
    counted = partial(nth_releases, changes, cells, ids, rule.number)
    with beside(counted, threads=1 if rule.kind in {"after", "latest"} else threads_for(len(changes.code))) as counts:
        laid = layout(changes, ids)
        opening, assumed = first_values(laid), assumed_rows(laid)
        if rule.kind == "after":
            due = after_all(changes, ids, cells, laid.of(opening, cells.periods), rule.number)
        elif rule.kind != "latest":
            due, captured = counts()
    return _Stated(ids, laid, opening, assumed, cells, due, captured)


def _instants(asked: _Asked, ends: Integers) -> tuple[Integers, Integers, Flags, Flags]:
    """Due instant, first public instant, whether assumed, whether captured; arrays [request, series]."""
    changes, target = asked.changes, asked.target
    shape = (len(ends), len(target.series))
    due, first = np.full(shape, NEVER), np.full(shape, NEVER)
    undue, unseen = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    assumed, captured = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
    for one in asked.stated:
        opening = dates(changes, one.laid.of(one.opening, ends))
        before = None if one.assumed is None else dates(changes, one.laid.of(one.assumed, ends))
        mine, whole = _due(asked, one, ends, (opening, before))
        np.maximum(due, mine, out=due)
        np.maximum(first, opening, out=first)
        undue |= mine == NEVER
        unseen |= opening == NEVER
        if before is not None and target.outcome.kind in {"first", "release"}:
            assumed |= before != NEVER
        captured &= whole
    due[undue], first[unseen] = NEVER, NEVER
    return due, first, assumed, captured


def _due(
    asked: _Asked, stated: _Stated, ends: Integers, dated: tuple[Integers, Integers | None]
) -> tuple[Integers, Flags]:
    """When the pinned release of each cell is due, and whether it was captured; arrays [request, series]."""
    (opening, before), rule, place, end = dated, asked.target.outcome, stated.cells.place(ends), asked.end
    whole = stated.captured[place]
    if stated.due is None:
        return np.where((opening == NEVER) | (opening > end), NEVER, end), whole
    mine = stated.due[place]
    if before is None or rule.kind == "after":
        return mine, whole
    there = before != NEVER
    for row in np.flatnonzero(there.any(axis=0)) if rule.number > 1 else ():
        before[:, row] = assumed_maturity(asked.changes.series[stated.ids[row]], ends, before[:, row], rule.number)
    return np.where(there, before, mine), whole | there


def _young(series: Series, ends: Integers, end: int) -> Flags:
    cutoff = instant(end) - YOUNG
    return np.array([end_of_day(period_end(series.parsed, int(o)), series.zone) > cutoff for o in ends], dtype=bool)


def _never_trades(series: Series, ends: Integers, end: int) -> Flags:
    """Target days known by the archive's end not to have been sessions."""
    if series.parsed.kind != "B" or not len(ends):
        return np.zeros(len(ends), dtype=bool)
    return ~np.isin(ends, sessions_known(series, instant(end)))


def _delisting(changes: ChangeFile, names: Sequence[str], end: int) -> tuple[int, bool]:
    """Ordinal of the first period from which an input is delisted, and whether that has (or will have) a final value.

    Args:
        changes: the change file.
        names: stored ids of the inputs of one target series.
        end: microseconds UTC up to which announcements count.
    """
    rows = changes.events
    codes = [changes.code_of(name) for name in names]
    mine = (rows.kind == EVENT_KINDS.index(DELISTING)) & np.isin(rows.code, codes) & (rows.announced <= end)
    if not mine.any():
        return int(np.iinfo(np.int64).max), False
    ex = int(rows.ex[mine].min())
    return ex, bool((~np.isnan(rows.value[mine & (rows.ex == ex)])).any())


def _rows_with_delistings(changes: ChangeFile, groups: Sequence[tuple[str, ...]]) -> list[int]:
    """Places of the target series any input of which has a delisting."""
    gone = set(changes.events.code[changes.events.kind == EVENT_KINDS.index(DELISTING)].tolist())
    if not gone:
        return []
    names = {changes.ids[code] for code in gone}
    series = max(groups, key=len)
    if any(len(ids) == 1 and ids[0] in names for ids in groups):
        return list(range(len(series)))
    return [row for row, name in enumerate(series) if name in names]


def _evaluated(asked: _Asked, windows: Windows, due: Integers) -> tuple[Floats, Flags, Flags, Flags]:
    """Every outcome in the as-of of its own instant: looked up cell by cell, or read from one forward walk."""
    changes, target = asked.changes, asked.target
    if asked.cell_by_cell:
        laid = [one.laid for one in asked.stated]
        return standing_outcomes(changes, target, laid, windows.ends, due, asked.end)
    value, missing, withdrawn, marked = walked_outcomes(changes, target, windows, asked.inputs, due.T)
    return value.T, missing.T, withdrawn.T, marked.T
