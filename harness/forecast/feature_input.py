"""One feature block's input as known at an origin: its transformed values, read only where a feature asks for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.core.recipe import FeatureBlock
from harness.core.snapshot import Micros, Panel, Snapshot
from harness.core.time import NEVER
from harness.core.transform import Floats, Transform, apply_transform

PanelRows = NDArray[np.intp]
MARGIN = 16
"""Periods read beyond the ones needed, so that a ragged edge or a few gaps need no second look."""
WIDEN = 4
"""Factor by which the tail grows for the series whose gaps made it too short."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockInput:
    """Where the levels of a block's input stand in a snapshot; all of them share one panel.

    Attributes:
        panel: levels and publication instants of the snapshot.
        zone: zone in which the input's days end.
        transform: applied to the levels, inside this snapshot.
        rows: [series] panel rows of the transformed levels (for proxy `parkinson`: the one row of the high).
        companions: (`other`, `high` or `low`, its single panel row) of the further levels the transform reads.
    """

    panel: Panel
    zone: str
    transform: Transform
    rows: PanelRows
    companions: tuple[tuple[str, PanelRows], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Newest:
    """The newest end of a block's input.

    Attributes:
        recent: [series, k] the asked k-th newest known values, missing periods skipped; NaN = fewer are known.
        window: [series, period] consecutive periods, the last one being the newest known; NaN = missing.
        published: [series] microseconds UTC at which the newest known value was complete; NEVER = nothing known.
    """

    recent: Floats
    window: Floats
    published: Micros


def block_input(snapshot: Snapshot, block: FeatureBlock, series_ids: tuple[str, ...]) -> BlockInput:
    """Find the levels a block reads.

    Args:
        snapshot: what is known at the origin.
        block: the block; its `series` "" stands for `series_ids`.
        series_ids: stored ids of the target series, at least one.

    Raises:
        UnknownNameError: an input is not in the snapshot.
        UserError: the inputs differ in frequency, calendar or zone.
    """
    transform = block.transform
    names = (block.series,) if block.series else series_ids
    if transform.proxy == "parkinson":
        names = (transform.high,)
    panel = snapshot.panel(names[0])

    def rows(wanted: tuple[str, ...]) -> PanelRows:
        try:
            return _panel_rows(panel.ids, wanted)
        except KeyError as missing:
            snapshot.panel(missing.args[0])  # unknown altogether: says so, with the nearest name
            raise UserError(
                f"inputs of feature block {block.name!r} differ in frequency, calendar or zone",
                value=f"{names[0]}, {missing.args[0]}",
                rule="one block has one timeline",
                fix="make one block of each",
            ) from None

    asked = ((kind, getattr(transform, kind)) for kind in ("other", "high", "low"))
    companions = tuple((kind, rows((name,))) for kind, name in asked if name)
    return BlockInput(panel, snapshot.series[names[0]].zone, transform, rows(names), companions)


@lru_cache(maxsize=256)
def _panel_rows(ids: tuple[str, ...], wanted: tuple[str, ...]) -> PanelRows:
    place = {name: row for row, name in enumerate(ids)}
    rows = np.array([place[name] for name in wanted], dtype=np.intp)
    rows.flags.writeable = False
    return rows


def _transformed(source: BlockInput, rows: PanelRows, levels: Callable[[PanelRows], Floats]) -> Floats:
    further = {kind: levels(row) for kind, row in source.companions}
    return apply_transform(source.transform, levels(rows), **further)


def values_at(source: BlockInput, positions: Micros) -> Floats:
    """Transformed values of single periods.

    Args:
        source: the input.
        positions: [period] positions on the input's timeline, in any order; NEVER = no period.

    Returns:
        [series, period]; NaN = not published, withdrawn or no such period.
    """
    held = source.panel.values.shape[1]
    columns = np.where(positions == NEVER, -1, positions - source.panel.first)
    back = columns[:, np.newaxis] + np.arange(-source.transform.lookback, 1)  # [period, lookback + 1]
    inside = (back >= 0) & (back < held) & (positions != NEVER)[:, np.newaxis]
    if not inside.any():
        return np.full((len(source.rows), len(positions)), np.nan)
    safe = np.where(inside, back, 0)

    def levels(rows: PanelRows) -> Floats:
        found: Floats = np.where(inside, source.panel.values[rows[:, np.newaxis, np.newaxis], safe], np.nan)
        return found

    values: Floats = _transformed(source, source.rows, levels)[..., -1]
    return values


def position_of(source: BlockInput, end: date | None) -> int:
    """Position of the input period a day lies in; NEVER when the day is not named or beyond the known calendar."""
    if end is None:
        return NEVER
    try:
        return source.panel.timeline.containing(end)
    except UserError:  # beyond the sessions scheduled by then nothing can have been published
        return NEVER


def newest(source: BlockInput, latest: tuple[int, ...], width: int) -> Newest:
    """The newest known values and the window ending at the newest, per series.

    Only the tail that is needed is read and transformed: its length follows from `latest` and `width`, and grows for
    the series with gaps alone, so the cost does not depend on the length of the history.

    Args:
        source: the input.
        latest: k of the k-th newest known values wanted, each >= 1.
        width: consecutive periods wanted, ending at the newest known, >= 1.
    """
    held, count = source.panel.values.shape[1], len(source.rows)
    answer = Newest(
        np.full((count, len(latest)), np.nan),
        np.full((count, width), np.nan),
        np.full(count, NEVER, dtype=np.int64),
    )
    pending, tail = np.arange(count), max(width, *latest, 1) + MARGIN
    while len(pending) and held:
        start = max(0, held - tail)
        rows = source.rows[pending]
        values = _tail(source, rows, start)
        known = ~np.isnan(values)
        counts = known.sum(axis=1)
        columns = np.nonzero(known)[1]  # row by row, oldest first
        ends = np.cumsum(counts)
        last = np.full(len(rows), -1)
        last[counts > 0] = columns[ends[counts > 0] - 1]
        done = (counts >= max(latest, default=1)) & (last >= width - 1)
        short = np.flatnonzero(~done)  # only their past is looked at: a few young series must not cost everyone's
        done[short] = np.isnan(source.panel.values[rows[short], :start]).all(axis=1)
        ready = pending[done]
        answer.recent[ready] = _kth_newest(values[known], counts, ends, latest)[done]
        answer.window[ready] = _windows(values, last, width)[done]
        found = last >= 0
        answer.published[pending[found]] = _published(source, rows[found], start + last[found])
        pending, tail = pending[~done], tail * WIDEN
    return answer


def _tail(source: BlockInput, rows: PanelRows, start: int) -> Floats:
    first = max(0, start - source.transform.lookback)
    return _transformed(source, rows, lambda asked: source.panel.values[asked, first:])[:, start - first :]


def _kth_newest(flat: Floats, counts: PanelRows, ends: PanelRows, latest: tuple[int, ...]) -> Floats:
    wanted = np.array(latest, dtype=np.intp)
    there = counts[:, np.newaxis] >= wanted
    if not there.any():
        return np.full(there.shape, np.nan)
    places = np.where(there, ends[:, np.newaxis] - wanted, 0)
    return np.where(there, flat[places], np.nan)


def _windows(values: Floats, last: PanelRows, width: int) -> Floats:
    columns = last[:, np.newaxis] + np.arange(1 - width, 1)
    return np.where(columns >= 0, np.take_along_axis(values, np.maximum(columns, 0), axis=1), np.nan)


def _published(source: BlockInput, rows: PanelRows, columns: PanelRows) -> Micros:
    """Instant at which the levels of the newest period were all public (levels of older periods do not count)."""
    published = source.panel.published
    instants = published[rows, columns]
    for _, row in source.companions:
        instants = np.maximum(instants, published[row, columns])
    return instants
