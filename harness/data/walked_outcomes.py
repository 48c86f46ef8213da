"""What one snapshot states of asked target periods, and the walk that takes every outcome from its own as-of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.core.recipe import Target
from harness.core.snapshot import Panel, Snapshot, TargetPanel, target_panel
from harness.core.time import NEVER, instant
from harness.core.transform import Floats, window_means
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.data.universe import everyone

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Target periods asked for; arrays of equal length [request].

    Attributes:
        starts: ordinal of the first period of the target's own window (= `ends` unless the target is a forward window).
        ends: ordinal of the target period.
    """

    starts: Integers
    ends: Integers


def input_groups(target: Target) -> list[tuple[str, ...]]:
    """Stored ids of what the target is made of: one id per target series, or a single one that all share."""
    own = [] if target.transform.proxy == "parkinson" else [target.series]
    transform = target.transform
    return own + [(name,) for name in (transform.other, transform.high, transform.low) if name]


def walked_outcomes(
    changes: ChangeFile, target: Target, windows: Windows, inputs: Sequence[str], due: Integers
) -> tuple[Floats, Flags, Flags, Flags]:
    """Every outcome in the as-of of its own instant, read from one forward walk over the due instants.

    Args:
        changes: the change file.
        target: what is forecast.
        windows: the asked target periods.
        inputs: stored ids of what the target is made of.
        due: microseconds UTC at which each is due; NEVER = not asked; array [series, request].

    Returns:
        Value in the target's unit (NaN = none), whether it is missing, whether its end level is absent, whether it is
        made of hindsight; arrays [series, request].
    """
    value = np.full(due.shape, np.nan)
    missing = np.zeros(due.shape, dtype=bool)
    withdrawn, marked = missing.copy(), missing.copy()
    rows, requests = np.nonzero(due != NEVER)
    if not len(rows):
        return value, missing, withdrawn, marked
    times = due[rows, requests]
    order = np.argsort(times, kind="stable")
    edges = np.flatnonzero(np.diff(times[order])) + 1
    # an outcome is read whoever was a member when it came out
    replay, whole = Replay(changes, inputs), everyone(target)
    for group in np.split(order, edges):
        replay.advance(instant(int(times[group[0]])))
        snapshot = replay.snapshot(whole, copy=False)
        some = requests[group]
        asked = Windows(windows.starts[some], windows.ends[some])
        values, gone, seen = read_outcomes(snapshot, target, rows[group], asked)
        value[rows[group], some] = values
        missing[rows[group], some] = np.isnan(values)
        withdrawn[rows[group], some] = gone
        marked[rows[group], some] = seen
    return value, missing, withdrawn, marked


def read_outcomes(snapshot: Snapshot, target: Target, rows: Integers, windows: Windows) -> tuple[Floats, Flags, Flags]:
    """The target's value at the asked periods as one snapshot states it.

    Args:
        snapshot: the as-of of the outcome's instant (or, for labels under `latest`, of the origin).
        target: what is forecast.
        rows: [request] index into `target.series`.
        windows: [request] the asked periods.

    Returns:
        Value (NaN = not there), whether the end period's level is absent (never stated, or withdrawn), whether a
        hindsight value is in it; arrays [request].
    """
    timeline = snapshot.panel(target.transform.inputs(target.series[0])[0]).timeline
    if timeline.sessions is None:
        starts, ends, traded = windows.starts, windows.ends, np.ones(len(windows.ends), dtype=bool)
    else:
        starts = np.searchsorted(timeline.sessions, windows.starts, side="left").astype(np.int64)
        ends = (np.searchsorted(timeline.sessions, windows.ends, side="right") - 1).astype(np.int64)
        traded = np.isin(windows.ends, timeline.sessions)
    panel = target_panel(snapshot, target, since=int(starts.min()))
    if target.transform.is_volatility:
        values = _window_volatility(panel, rows, starts, ends)
    else:
        values = _pick(panel.values, rows, ends - panel.first, np.nan)
    values = np.where(traded, values, np.nan)
    absent, marked = _marks(snapshot, target, rows, starts, ends)
    return values, absent, marked


def _pick(matrix: Floats, rows: Integers, columns: Integers, default: float) -> Floats:
    inside = (columns >= 0) & (columns < matrix.shape[1])
    out = np.full(len(rows), default)
    out[inside] = matrix[rows[inside], columns[inside]]
    return out


def _window_volatility(panel: TargetPanel, rows: Integers, starts: Integers, ends: Integers) -> Floats:
    out = np.full(len(rows), np.nan)
    for width in np.unique(ends - starts + 1):
        if width < 1:
            continue
        same = np.flatnonzero(ends - starts + 1 == width)
        means = window_means(panel.steps, int(width))
        out[same] = 100.0 * np.sqrt(_pick(means, rows[same], ends[same] - panel.first, np.nan))
    return out


def _marks(snapshot: Snapshot, target: Target, rows: Integers, starts: Integers, ends: Integers) -> tuple[Flags, Flags]:
    """Whether the end level is absent, and whether any level used is hindsight."""
    absent = np.zeros(len(rows), dtype=bool)
    marked = absent.copy()
    transform = target.transform
    back = () if transform.kind in ("level", "spread") or transform.is_volatility else (transform.span,)
    for ids in input_groups(target):
        panel = snapshot.panel(ids[0])
        at = panel.names.rows_of(ids) if len(ids) > 1 or len(target.series) == 1 else None
        lines = rows if at is None else at[rows]
        if len(ids) == 1 and len(target.series) > 1:
            lines = np.full(len(rows), panel.row(ids[0]), dtype=np.int64)
        columns = ends - panel.first
        absent |= np.isnan(_pick(panel.values, lines, columns, np.nan))
        late = _hindsight(panel)
        for shift in (0, *back):
            marked |= _pick(late, lines, columns - shift, 0.0) > 0
        if transform.is_volatility:
            total = np.concatenate((np.zeros((len(late), 1)), np.cumsum(late, axis=1)), axis=1)
            low = np.clip(starts - panel.first, 0, late.shape[1])
            high = np.clip(columns + 1, 0, late.shape[1])
            marked |= total[lines, high] > total[lines, low]
    return absent, marked


def _hindsight(panel: Panel) -> Floats:
    """1 where the standing value comes from a later vintage than its date, or from none that is known."""
    late = (panel.vintage == NEVER) | (panel.vintage > panel.published)
    marked: Floats = (~np.isnan(panel.values) & late).astype(np.float64)
    return marked
