"""Snapshots made by hand: panels of given levels, every one public a while before the origin unless said otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np

from harness.core.recipe import Target
from harness.core.series import Series
from harness.core.snapshot import Panel, Snapshot
from harness.core.time import NEVER, Timeline, micros, parse_frequency
from harness.forecast.features import Targets

GAP = float("nan")
ORIGIN = datetime(2024, 11, 29, 17, tzinfo=UTC)


def day_number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def panel(
    frequency: str,
    levels: dict[str, Sequence[float]],
    *,
    end: date,
    published: np.ndarray | None = None,
    sessions: Sequence[date] | None = None,
    table: tuple[date, ...] = (),
) -> Panel:
    """Levels by series id, oldest first; the last column is the period that contains `end`."""
    parsed = parse_frequency(frequency, table)
    timeline = Timeline(parsed, None if sessions is None else np.array([day_number(day) for day in sessions]))
    values = np.array(list(levels.values()), dtype=np.float64)
    if published is None:
        published = np.full(values.shape, micros(ORIGIN - timedelta(days=30)))
    stamps = np.where(np.isnan(values), NEVER, published)
    first = timeline.containing(end) - values.shape[1] + 1
    for array in (values, stamps):
        array.flags.writeable = False  # a replay lends its matrix, it does not give it away
    return Panel(tuple(levels), timeline, first, values, stamps, stamps)


def snapshot(
    *panels: Panel, origin: datetime = ORIGIN, zones: Sequence[str] = (), target: Target | None = None
) -> Snapshot:
    """A snapshot of panels; `zones` names their zones in order (default UTC)."""
    series = {
        name: Series(
            id=name,
            frequency=str(held.timeline.frequency),
            zone=zones[place] if zones else "UTC",
            calendar="XNYS" if held.timeline.frequency.kind == "B" else "",
            period_table=held.timeline.frequency.table,
        )
        for place, held in enumerate(panels)
        for name in held.ids
    }
    return Snapshot(origin, micros(origin), panels, series, target)


def asked(*series_ids: str, ends: Sequence[date | None] = (date(2024, 12, 31),)) -> Targets:
    """One horizon for each end."""
    return Targets(series_ids, tuple(range(len(ends))), np.array(ends, dtype="datetime64[D]"))
