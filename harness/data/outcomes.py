"""Which value is the truth for a target period, and from which instant on it is known (labels and scores alike).

Publications are counted, not changes (S8); growth is taken in the as-of of the instant the end period's release came
out (S11); a forward window holds the sessions after the origin (S12).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.core.recipe import Target
from harness.core.series import Series
from harness.core.snapshot import Panel, Snapshot, TargetPanel, target_panel
from harness.core.time import NEVER, end_of_day, instant, micros, period_end, period_ends
from harness.core.transform import Floats, window_means
from harness.data.announced import DELISTING, EVENT_KINDS
from harness.data.calendars import sessions_known
from harness.data.changes import ChangeFile
from harness.data.lags import release_micros
from harness.data.past import past_of
from harness.data.releases import assumed_dates, check_countable, nth_release
from harness.data.replay import Replay
from harness.data.universe import everyone

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
MATURED, PENDING, NO_OUTCOME, WITHDRAWN, DELISTED = range(5)
OUTCOME_STATUS = ("matured", "pending", "no_outcome", "withdrawn", "delisted")
YOUNG = timedelta(days=365)
"""A `latest` outcome of a period that ended less than this before the archive's end is marked immature."""


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Target periods asked for; arrays of equal length [request].

    Attributes:
        starts: ordinal of the first period of the target's own window (= `ends` unless the target is a forward window).
        ends: ordinal of the target period.
    """

    starts: Integers
    ends: Integers


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
    inputs = sorted({name for series_id in target.series for name in target.transform.inputs(series_id)})
    end = min(changes.known_through[name] for name in inputs) if until is None else until
    due = np.full((len(target.series), len(windows.ends)), NEVER, dtype=np.int64)
    first = due.copy()
    assumed = np.zeros(due.shape, dtype=bool)
    captured = np.ones(due.shape, dtype=bool)
    for row, series_id in enumerate(target.series):
        names = target.transform.inputs(series_id)
        due[row], first[row], assumed[row], captured[row] = _instants(changes, target, names, windows.ends, end)
    # what is not public by the end is pending; a hole in the capture is known as such from its publication on
    pending = (due == NEVER) | (due > end)
    never_trades = _never_trades(changes.series[inputs[0]], windows.ends, end)
    value, missing, withdrawn, marked = _evaluate_all(changes, target, windows, inputs, np.where(pending, NEVER, due))
    status = np.full(due.shape, MATURED, dtype=np.int8)
    status[missing | ~captured] = NO_OUTCOME
    status[withdrawn & captured & (first != NEVER) & (first <= due)] = WITHDRAWN
    status[pending] = PENDING
    for row, series_id in enumerate(target.series):
        ex, valued = _delisting(changes, target.transform.inputs(series_id), end)
        awaited = valued & (windows.ends == ex) & (status[row] == PENDING)
        status[row, (windows.ends >= ex) & (status[row] != MATURED) & ~awaited] = DELISTED
    status[:, never_trades] = NO_OUTCOME
    value[status != MATURED] = np.nan
    young = np.zeros(due.shape, dtype=bool)
    if target.outcome.kind == "latest":
        young = (status == MATURED) & _young(changes.series[target.series[0]], windows.ends, end)[None, :]
    counted = target.outcome.number if target.outcome.kind in ("first", "release") else 0
    return Outcomes(
        value,
        np.where((status == PENDING) | (status == DELISTED), NEVER, due),
        np.where(first > end, NEVER, first),
        status,
        np.full(due.shape, counted, dtype=np.int64),
        (marked | assumed) & (status == MATURED),
        young,
    )


def _instants(
    changes: ChangeFile, target: Target, names: Sequence[str], ends: Integers, end: int
) -> tuple[Integers, Integers, Flags, Flags]:
    """For one target series: due instant, first public instant, whether assumed, whether captured; arrays [request]."""
    rule = target.outcome
    due = np.full(len(ends), NEVER, dtype=np.int64)
    first = due.copy()
    known, valued = np.ones(len(ends), dtype=bool), np.ones(len(ends), dtype=bool)
    hindsight = np.zeros(len(ends), dtype=bool)
    captured = np.ones(len(ends), dtype=bool)
    for name in names:
        series = changes.series[name]
        published = changes.publications_of(name)
        opening = _first_values(changes, name, ends)
        periods, dates = changes.assumed_of(name)
        before = assumed_dates(periods, dates, ends)
        if rule.kind == "after":
            mine, whole = _after(changes, series, ends, rule.number), np.ones(len(ends), dtype=bool)
        elif rule.kind == "latest":
            mine = np.where((opening == NEVER) | (opening > end), NEVER, end)
            whole = np.ones(len(ends), dtype=bool)
        else:
            check_countable(published, rule.number, name)
            mine, whole = nth_release(published, ends, rule.number)
            shifted = _assumed_maturity(series, ends, before, rule.number)
            mine, whole = np.where(before != NEVER, shifted, mine), whole | (before != NEVER)
        known &= mine != NEVER
        valued &= opening != NEVER
        due, first = np.maximum(due, mine), np.maximum(first, opening)
        hindsight |= before != NEVER
        captured &= whole
    counted = rule.kind in {"first", "release"}
    return np.where(known, due, NEVER), np.where(valued, first, NEVER), hindsight & counted, captured


def _first_values(changes: ChangeFile, series_id: str, ends: Integers) -> Integers:
    """Microseconds UTC at which any value of each period was first public; NEVER where none ever was."""
    past = past_of(changes, series_id)
    stated = ~np.isnan(past.value)
    periods, opening = np.unique(past.period[stated], return_index=True)  # rows are in order of publication
    return assumed_dates(periods, past.published[stated][opening], ends)


def _assumed_maturity(series: Series, ends: Integers, before: Integers, number: int) -> Integers:
    """An assumed cell matures at its lag rule plus number - 1 publication intervals (one period of the series each)."""
    if number == 1:
        return before
    out = before.copy()
    places = np.flatnonzero(before != NEVER)
    if len(places):
        later = ends[places] + (number - 1)
        out[places] = np.maximum(release_micros(series, later), before[places])
    return out


def _after(changes: ChangeFile, series: Series, ends: Integers, days: int) -> Integers:
    """Microseconds UTC of the last moment of day `days` after each period.

    Raises:
        UserError: the lag rule publishes an asked period that has a value later than that.
    """
    due = _days_after(series, ends, days)
    dated = np.isin(ends, _dated_by_rule(changes, series))
    if dated.any():
        late = ends[dated][due[dated] < release_micros(series, ends[dated])]
        if len(late):
            raise UserError(
                "outcome matures before the value is published",
                value=f"after {days} days, {series.id}, period {period_end(series.parsed, int(late[0]))}",
                rule="after N days may not be shorter than the series' lag rule",
                fix="raise N",
            )
    return due


def _dated_by_rule(changes: ChangeFile, series: Series) -> Integers:
    """Ordinals of the periods that have a value and a release day by rule (a release calendar ends somewhere)."""
    if series.lag is None:
        return np.empty(0, dtype=np.int64)
    past = past_of(changes, series.id)
    periods = np.unique(past.period[~np.isnan(past.value)])
    if series.lag.kind != "dates":
        return periods
    listed = np.array([end for end, _ in (*series.lag.dates, *series.lag.exceptions)], dtype="datetime64[D]")
    return periods[np.isin(period_ends(series.parsed, periods), listed)]


def _days_after(series: Series, ends: Integers, days: int) -> Integers:
    lasts = [period_end(series.parsed, int(ordinal)) + timedelta(days=days) for ordinal in ends]
    return np.array([micros(end_of_day(day, series.zone)) for day in lasts], dtype=np.int64)


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


def _evaluate_all(
    changes: ChangeFile, target: Target, windows: Windows, inputs: Sequence[str], due: Integers
) -> tuple[Floats, Flags, Flags, Flags]:
    """Walk the due instants forward in one pass and read every outcome in the as-of of its own instant."""
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
    used, place = np.unique(rows, return_inverse=True)
    for slot in zip(*(transform.inputs(target.series[int(row)]) for row in used), strict=True):
        panel = snapshot.panel(slot[0])
        line_of = {name: line for line, name in enumerate(panel.ids)}
        lines = np.array([line_of[name] for name in slot], dtype=np.int64)[place]
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
