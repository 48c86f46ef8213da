"""Outcomes read cell by cell in the as-of of their own instants: no snapshot is built, whatever the instants are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.core.recipe import Target
from harness.core.time import NEVER, instant
from harness.core.transform import Floats, apply_transform
from harness.data.calendars import closures, sessions_known
from harness.data.changes import ChangeFile
from harness.data.prices import Adjuster
from harness.data.standing import NOWHERE, Layout, layout, rows_as_of

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
REQUESTS = 1 << 21
"""Outcomes looked up together, to bound the working memory."""


def looked_up(changes: ChangeFile, target: Target, inputs: Sequence[str]) -> bool:
    """Whether a cell's outcome depends on a few cells of one fixed order of periods, on raw levels.

    Windows of volatility need whole stretches, price events move levels, and a closure announced on the way renumbers
    sessions: these are read from a walk of snapshots.
    """
    if target.transform.is_volatility or not Adjuster(changes, tuple(inputs)).idle:
        return False
    series = changes.series[inputs[0]]
    return series.parsed.kind != "B" or not len(closures(series)[1])


def standing_outcomes(
    changes: ChangeFile, target: Target, groups: Sequence[tuple[str, ...]], ends: Integers, due: Integers
) -> tuple[Floats, Flags, Flags, Flags]:
    """Value, missing, withdrawn (or never stated), made of hindsight; arrays [series, request].

    Args:
        changes: the change file.
        target: what is forecast.
        groups: stored ids of what the target is made of (`outcomes.input_groups`).
        ends: [request] ordinals of the target periods.
        due: [series, request] microseconds UTC at which each is read; NEVER = it is not.
    """
    value = np.full(due.shape, np.nan)
    missing, absent, marked = (np.zeros(due.shape, dtype=bool) for _ in range(3))
    first = changes.series[groups[0][0]]
    sessions = sessions_known(first, instant(int(due.max()))) if first.parsed.kind == "B" else None
    simple = target.transform.kind in ("level", "spread")
    shifts = (0,) if simple else (0, target.transform.span)
    asked = [earlier(ends, shift, sessions) for shift in shifts]
    tables = [(ids, layout(changes, ids)) for ids in groups]
    each = max(1, REQUESTS // max(1, len(ends)))
    for start in range(0, len(due), each):
        part = slice(start, start + each)
        rows, requests = np.nonzero(due[part] != NEVER)
        rows += start
        if len(rows):
            levels, gone, late = _read(changes, tables, asked, (rows, requests, due[rows, requests]))
            found = _transformed(target, levels)
            value[rows, requests], missing[rows, requests] = found, np.isnan(found)
            absent[rows, requests], marked[rows, requests] = gone, late
    if sessions is not None:
        closed = ~np.isin(ends, sessions)
        value[:, closed], missing[:, closed] = np.nan, due[:, closed] != NEVER
    return value, missing, absent, marked


def earlier(ends: Integers, shift: int, sessions: Integers | None) -> Integers:
    """Ordinals of the periods `shift` before some periods."""
    if sessions is None:
        return ends - shift
    places = np.searchsorted(sessions, ends, side="right") - 1 - shift
    return np.where(places >= 0, sessions[np.maximum(places, 0)], np.iinfo(np.int32).min).astype(np.int64)


def _read(
    changes: ChangeFile,
    tables: Sequence[tuple[tuple[str, ...], Layout]],
    asked: Sequence[Integers],
    wanted: tuple[Integers, Integers, Integers],
) -> tuple[list[list[Floats]], Flags, Flags]:
    """Levels by input and shift, whether an end level is absent, whether any level used is hindsight; [request]."""
    rows, requests, instants = wanted
    absent, marked = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    levels: list[list[Floats]] = []
    for ids, table in tables:
        series = rows if len(ids) > 1 else np.zeros(len(rows), dtype=np.int64)
        levels.append([])
        for shift, periods in enumerate(asked):
            change = rows_as_of(table, series, periods[requests], instants)
            there = change != NOWHERE
            at = np.where(there, change, 0)
            level = np.where(there, changes.value[at], np.nan)
            vintage = changes.vintage[at]
            late = (vintage == NEVER) | (vintage > changes.published[at])
            marked |= late & ~np.isnan(level)
            if shift == 0:
                absent |= np.isnan(level)
            levels[-1].append(level)
    return levels, absent, marked


def _transformed(target: Target, levels: Sequence[Sequence[Floats]]) -> Floats:
    """[request] the target from the few levels it is made of, by the arithmetic of every other transform."""
    own, transform = levels[0], target.transform
    if transform.kind in ("level", "spread"):
        return apply_transform(transform, own[0], other=levels[1][0] if len(levels) > 1 else None)
    window = np.full((len(own[0]), transform.span + 1), np.nan)
    window[:, 0], window[:, -1] = own[1], own[0]
    out: Floats = apply_transform(transform, window)[:, -1]
    return out
