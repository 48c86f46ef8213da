"""Asked targets on the target's own timeline, and targets assembled from known and forecast one-period steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import UnknownNameError
from harness.core.frames import ANSWER_SCHEMA, Rows
from harness.core.names import names_of
from harness.core.snapshot import NO_POSITION, Micros, Snapshot, TargetPanel, target_panel
from harness.core.time import Timeline, period_ordinals
from harness.core.transform import Floats, Transform, from_steps

ROWS = 1024
"""Series summed together, so that what is summed stays in the cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The targets one predict call asks for, placed on the target's timeline as known at the origin.

    [asked] is one dimension of rows, or a whole grid: `row` [series, 1] and `position` [1, horizon], which broadcast.

    Attributes:
        panel: the target's own history inside the snapshot.
        transform: of the target.
        season: season length in target periods.
        row: [asked] row of the series in `panel`.
        position: [asked] position of the target period (windowed target: of its last session).
    """

    panel: TargetPanel
    transform: Transform
    season: int
    row: Micros
    position: Micros

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the answers."""
        return np.broadcast_shapes(self.row.shape, self.position.shape)

    @property
    def last(self) -> Micros:
        """[asked] position of the newest published level (volatility: proxy); NO_POSITION = nothing is known."""
        return self.panel.last[self.row]

    @property
    def gap(self) -> Micros:
        """[asked] periods from the newest published level to the target; 0 where nothing is known."""
        return np.where(self.last == NO_POSITION, 0, self.position - np.maximum(self.last, -(2**40)))


def ask(rows: Rows, snapshot: Snapshot) -> Asked:
    """Place the asked rows on the timeline of the snapshot's target.

    Raises:
        UnknownNameError: a row names a series that is no series of the target.
        UserError: the snapshot has no target.
    """
    panel = target_panel(snapshot)
    places, names = names_of(panel.ids).places, rows.keys["series_id"].to_list()
    try:
        row = np.fromiter(map(places.__getitem__, names), dtype=np.int64, count=len(names))
    except KeyError:
        raise UnknownNameError("target series", min(set(names) - set(places)), places) from None
    target = snapshot.target
    assert target is not None  # noqa: S101 - target_panel has refused a snapshot without one
    days = rows.keys["period"].to_numpy().astype("datetime64[D]")
    return Asked(panel, target.transform, target.season or 1, row, positions(panel.timeline, days))


def ask_grid(snapshot: Snapshot, names: tuple[str, ...], days: NDArray[np.datetime64]) -> Asked:
    """Ask for every target period of every one of some target series.

    Args:
        snapshot: what is known.
        names: series of its target, one per row of the answer.
        days: [horizon] last days of the target periods.
    """
    panel, target = target_panel(snapshot), snapshot.target
    assert target is not None  # noqa: S101 - target_panel has refused a snapshot without one
    rows = names_of(panel.ids).rows_of(names) if names != panel.ids else None
    row = np.arange(len(names), dtype=np.int64) if rows is None else rows
    position = positions(panel.timeline, days.astype("datetime64[D]"))
    return Asked(panel, target.transform, target.season or 1, row[:, None], position[None, :])


def positions(timeline: Timeline, days: np.ndarray[tuple[int], np.dtype[np.datetime64]]) -> Micros:
    """Positions of the periods that many days lie in (vectorised `Timeline.position`)."""
    return ordinal_positions(timeline, period_ordinals(timeline.frequency, days))


def ordinal_positions(timeline: Timeline, ordinals: Micros) -> Micros:
    """Positions of many ordinals; for a day that is no session, of the session before it."""
    if timeline.sessions is None:
        return ordinals
    return np.searchsorted(timeline.sessions, ordinals, side="right").astype(np.int64) - 1


def cells(matrix: Floats, row: Micros, column: Micros) -> Floats:
    """Elements of [series, period] at (row, column), which broadcast; NaN outside the matrix. Not to be written to."""
    inside = (column >= 0) & (column < matrix.shape[1])
    shape = np.broadcast_shapes(row.shape, column.shape)
    if not inside.any():
        return np.broadcast_to(np.full(1, np.nan), shape)
    if inside.all():
        if row.shape == (len(matrix), 1) and column.shape[:-1] == (1,) and (row[:, 0] == np.arange(len(matrix))).all():
            every: Floats = matrix.take(column[0], axis=1)  # the same columns of all rows, in their order
            return every
        return np.broadcast_to(matrix[row, column], shape)
    rows, columns, there = np.broadcast_arrays(row, column, inside)
    out = np.full(shape, np.nan)
    out[there] = matrix[rows[there], columns[there]]
    return out


def values_at(asked: Asked, position: Micros) -> Floats:
    """[asked] transformed value of each row's series at a position; NaN where it is not known."""
    return cells(asked.panel.values, asked.row, position - asked.panel.first)


def newest_column(matrix: Floats) -> Micros:
    """[series] column of the newest known value, -1 where there is none.

    >>> newest_column(np.array([[1.0, np.nan], [np.nan, np.nan]])).tolist()
    [0, -1]
    """
    out = np.full(len(matrix), -1, dtype=np.int64)
    open_rows = np.arange(len(matrix))
    for column in range(matrix.shape[1] - 1, -1, -1):  # from the newest back: nearly all are found in the first few
        known = ~np.isnan(matrix[open_rows, column] if len(open_rows) < len(matrix) else matrix[:, column])
        out[open_rows[known]] = column
        open_rows = open_rows[~known]
        if not len(open_rows):
            break
    return out


def seasonal_newest(matrix: Floats, season: int) -> Floats:
    """[series, season] newest known value of each phase (column modulo season); NaN where none is known.

    >>> seasonal_newest(np.array([[1.0, 2.0, 3.0, np.nan]]), 2).tolist()
    [[3.0, 2.0]]
    """
    out = np.full((len(matrix), season), np.nan)
    every = np.arange(len(matrix))
    for phase in range(min(season, matrix.shape[1])):
        part = matrix[:, phase::season]
        newest = newest_column(part)
        alike = len(newest) > 0 and newest[0] >= 0 and bool((newest == newest[0]).all())
        out[:, phase] = part[:, newest[0]] if alike else cells(part, every, newest)
    return out


def known_mean(matrix: Floats) -> Floats:
    """[series] mean of the known values, summed oldest to newest so that missing columns do not touch its bits.

    >>> known_mean(np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])).tolist()
    [2.0, nan]
    """
    out = np.full(len(matrix), np.nan)
    if not matrix.shape[1]:
        return out
    for start in range(0, len(matrix), ROWS):
        part = np.ascontiguousarray(matrix[start : start + ROWS].T)  # [period, series]
        total, count = _summed(part), np.full(part.shape[1], len(part))
        if np.isnan(total).any():
            known = ~np.isnan(part)
            total, count = _summed(np.where(known, part, 0.0)), known.sum(axis=0)
        out[start : start + ROWS] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return out


def _summed(part: Floats) -> Floats:
    """[series] sums over [period, series], one after the other; those of nothing but -0.0 are 0.0."""
    # numpy adds one by one, but for the last axis: that is the series, unless there is just one
    total: Floats = np.add.reduce(part, axis=0) if part.shape[1] > 1 else np.cumsum(part, axis=0)[-1]
    return total + 0.0


def steps_needed(asked: Asked) -> int:
    """How many steps after the newest known level the farthest asked target needs."""
    return max(0, int(asked.gap.max())) if asked.gap.size else 0


def assemble(asked: Asked, future: Floats) -> Floats:
    """Targets from one-period steps: known ones from the snapshot, the others from a forecast.

    A step that is missing *inside* the known history (a gap) makes the target NaN. When the target period itself is
    already in the snapshot (a later release is forecast) every step is known and the snapshot's value comes out.

    Args:
        asked: what is asked.
        future: [series, k] forecast of the step k + 1 periods after the series' newest known level; for realised
            volatility of that session's variance proxy. NaN = not forecast.

    Returns:
        [asked] target value; NaN where a step is missing.
    """
    transform = asked.transform
    if transform.kind in ("level", "spread"):
        return _extended(asked, future)
    window = np.empty((*asked.shape, transform.span))
    for offset in range(transform.span):
        window[..., offset] = _step_at(asked, future, asked.position - (transform.span - 1) + offset)
    if transform.is_volatility:
        return volatility(window)
    return from_steps(transform, np.zeros(asked.shape), window)


def volatility(proxies: Floats) -> Floats:
    """Realised volatility 100 sqrt(mean v) of windows of variance proxies [..., session], summed in order."""
    total = np.cumsum(proxies, axis=-1)[..., -1]
    with np.errstate(invalid="ignore"):
        rooted: Floats = 100.0 * np.sqrt(total / proxies.shape[-1])
    return rooted


def _step_at(asked: Asked, future: Floats, position: Micros) -> Floats:
    last = asked.last
    nothing = last == NO_POSITION
    ahead = position - np.where(nothing, position, last)
    known = cells(asked.panel.steps, asked.row, position - asked.panel.first)
    forecast = cells(future, asked.row, ahead - 1)
    return np.where(nothing, np.nan, np.where(ahead <= 0, known, forecast))


def _extended(asked: Asked, future: Floats) -> Floats:
    gap = asked.gap
    window = np.zeros((*asked.shape, max(1, steps_needed(asked))))
    for offset in range(window.shape[-1]):
        forecast = cells(future, asked.row, np.full_like(asked.row, offset))
        window[..., offset] = np.where(offset < gap, forecast, 0.0)
    return from_steps(asked.transform, values_at(asked, asked.position - np.maximum(gap, 0)), window)


def answers(keys: pl.DataFrame, values: Floats, *, quantile: float | None = None) -> pl.DataFrame:
    """The frame a forecaster returns; a value that is not finite is an abstention (null), never an answer.

    Args:
        keys: [asked] series_id, horizon, period.
        values: [asked] forecasts in the target's unit.
        quantile: which quantile the values are; None = point forecasts.
    """
    finite = np.where(np.isfinite(values), values, np.nan)
    level = pl.Series("quantile", [quantile], dtype=pl.Float64).new_from_index(0, len(finite))
    named = [keys[name] for name in ("series_id", "horizon", "period")]
    made = pl.DataFrame([*named, level, pl.Series("value", finite, dtype=pl.Float64, nan_to_null=True)])
    return made if made.schema == ANSWER_SCHEMA else made.cast(ANSWER_SCHEMA)
