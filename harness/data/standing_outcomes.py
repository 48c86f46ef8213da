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
from harness.data.standing import NOWHERE, Layout, rows_as_of

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


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
    changes: ChangeFile, target: Target, tables: Sequence[Layout], ends: Integers, due: Integers, end: int
) -> tuple[Floats, Flags, Flags, Flags]:
    """Value, missing, withdrawn (or never stated), made of hindsight; arrays [request, series].

    Args:
        changes: the change file.
        target: what is forecast.
        tables: where the changes lie of what the target is made of (`outcomes.input_groups`).
        ends: [request] ordinals of the target periods.
        due: [request, series] microseconds UTC at which each is read; NEVER = it is not.
        end: microseconds UTC up to which the archive's content counts.
    """
    first = changes.series[target.series[0]]
    sessions = sessions_known(first, instant(end)) if first.parsed.kind == "B" else None
    simple = target.transform.kind in ("level", "spread")
    shifts = (0,) if simple else (0, target.transform.span)
    absent, marked = np.zeros(due.shape, dtype=bool), np.zeros(due.shape, dtype=bool)
    levels: list[list[Floats]] = []
    for table in tables:
        levels.append([])
        for shift in shifts:
            level, late = _level(table, earlier(ends, shift, sessions), due)
            gone = np.isnan(level)
            marked |= late & ~gone
            if shift == 0:
                absent |= gone
            levels[-1].append(level)
    value = _transformed(target, levels)
    if sessions is not None:
        value[~np.isin(ends, sessions)] = np.nan
    return value, np.isnan(value), absent, marked


def earlier(ends: Integers, shift: int, sessions: Integers | None) -> Integers:
    """Ordinals of the periods `shift` before some periods."""
    if sessions is None:
        return ends - shift
    places = np.searchsorted(sessions, ends, side="right") - 1 - shift
    return np.where(places >= 0, sessions[np.maximum(places, 0)], np.iinfo(np.int32).min).astype(np.int64)


def _level(table: Layout, periods: Integers, due: Integers) -> tuple[Floats, Flags]:
    """Levels as they stood, and whether they are hindsight; arrays [request, series]."""
    change = rows_as_of(table, periods, due)
    changes, at = table.changes, np.maximum(change, 0)
    if not len(changes.value):
        return np.full(change.shape, np.nan), np.zeros(change.shape, dtype=bool)
    level, vintage = changes.value.take(at), changes.vintage.take(at)
    level[change == NOWHERE] = np.nan
    return level, (vintage == NEVER) | (vintage > changes.published.take(at))


def _transformed(target: Target, levels: Sequence[Sequence[Floats]]) -> Floats:
    """[request, series] the target from the few levels it is made of, by the arithmetic of every other transform."""
    own, transform = levels[0], target.transform
    if transform.kind in ("level", "spread"):
        return apply_transform(transform, own[0], other=levels[1][0] if len(levels) > 1 else None)
    window = np.full((*own[0].shape, transform.span + 1), np.nan)
    window[..., 0], window[..., -1] = own[1], own[0]
    out: Floats = apply_transform(transform, window)[..., -1]
    return out
