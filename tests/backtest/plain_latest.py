"""Training rows of the latest vintage by their definition: loops over cells of the raw releases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from harness.core.recipe import Target
from harness.core.snapshot import Snapshot
from tests.forecast.feature_snapshots import GAP, panel, snapshot

Cell = tuple[float, datetime]
Stated = list[tuple[datetime, float | None]]
BEFORE = date(2014, 12, 31)
"""A quarter's end before everything."""


def stated(releases: pl.DataFrame) -> dict[str, dict[date, Stated]]:
    """Series -> period -> (publication, value or None for withdrawn), oldest first."""
    found: dict[str, dict[date, Stated]] = {}
    for name, period, at, value in releases.sort("published_at", maintain_order=True).iter_rows():
        found.setdefault(name, {}).setdefault(period, []).append((at, value))
    return found


def cells_at(mine: dict[date, Stated], refit: datetime, row: datetime, flaw: str) -> dict[date, Cell]:
    """Period -> (value standing at the refit origin, first publication), of what had a value by the row's origin."""
    edge, until = refit if flaw == "edge" else row, row if flaw == "frozen" else refit
    found: dict[date, Cell] = {}
    for period, told in mine.items():
        firsts = [at for at, value in told if value is not None]
        standing = [value for at, value in told if at <= until]
        if firsts and firsts[0] <= edge and standing and standing[-1] is not None:
            found[period] = (standing[-1], firsts[0])
    return found


def restated(
    releases: dict[str, dict[date, Stated]],
    frequencies: Mapping[str, str],
    instants: tuple[datetime, datetime, timedelta],
    target: Target,
    *,
    flaw: str = "",
) -> Snapshot:
    """What the row of one pseudo-origin is made of at one refit origin.

    Args:
        releases: as `stated` has them.
        frequencies: frequency by series, "Q" or "M".
        instants: refit origin, pseudo-origin, latency.
        target: what is forecast.
        flaw: "edge" forgets what the pseudo-origin did not know yet, "frozen" takes its values.
    """
    refit, row, latency = instants
    panels = []
    for frequency in sorted(set(frequencies.values())):
        ids = [name for name, own in frequencies.items() if own == frequency]
        cells = {name: cells_at(releases[name], refit - latency, row - latency, flaw) for name in ids}
        periods = list(ends(frequency, BEFORE, row.date()))
        levels = {name: [cells[name][day][0] if day in cells[name] else GAP for day in periods] for name in ids}
        stamps = [[stamp(cells[name].get(day)) for day in periods] for name in ids]
        panels.append(panel(frequency, levels, end=periods[-1], published=np.array(stamps, dtype=np.int64)))
    return snapshot(*panels, origin=row, zones=["Europe/London"] * len(panels), target=target)


def stamp(cell: Cell | None) -> int:
    return 0 if cell is None else (cell[1] - datetime(1970, 1, 1, tzinfo=cell[1].tzinfo)) // timedelta(microseconds=1)


def ends(frequency: str, first: date, last: date) -> Iterator[date]:
    """Last days of consecutive months or quarters."""
    day = first
    while day <= last + timedelta(days=100):
        yield day
        for _ in range(3 if frequency == "Q" else 1):
            day = (day + timedelta(days=1)).replace(day=28) + timedelta(days=4)
            day -= timedelta(days=day.day)
