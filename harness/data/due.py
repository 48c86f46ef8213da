"""When a pinned value is due that is counted in days, or that was assumed by the lag rule."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.core.series import Series
from harness.core.time import NEVER, end_of_day, micros, period_end, period_ends
from harness.data.changes import ChangeFile
from harness.data.lags import release_micros
from harness.data.standing import NOWHERE, Cells

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def assumed_maturity(series: Series, ends: Integers, before: Integers, number: int) -> Integers:
    """An assumed cell matures at its lag rule plus number - 1 publication intervals (one period of the series each)."""
    out = before.copy()
    places = np.flatnonzero(before != NEVER)
    if len(places):
        later = ends[places] + (number - 1)
        out[places] = np.maximum(release_micros(series, later), before[places])
    return out


def after_all(changes: ChangeFile, ids: Sequence[str], cells: Cells, opening: NDArray[np.int32], days: int) -> Integers:
    """Microseconds UTC of the last moment of day `days` after each period; array [period, series].

    Raises:
        UserError: the lag rule publishes an asked period that has a value later than that.
    """
    out = np.empty(cells.shape, dtype=np.int64)
    alike: dict[tuple[object, ...], tuple[Integers, Flags]] = {}
    for row, name in enumerate(ids):
        series = changes.series[name]
        kind = (series.frequency, series.zone, series.calendar, series.lag, series.period_table)
        if kind not in alike:
            due = _days_after(series, cells.periods, days)
            alike[kind] = due, _ruled_later(series, cells.periods, due)
        due, late = alike[kind]
        wrong = late & (opening[:, row] != NOWHERE)
        if wrong.any():
            raise UserError(
                "outcome matures before the value is published",
                value=f"after {days} days, {name}, period {period_end(series.parsed, int(cells.periods[wrong][0]))}",
                rule="after N days may not be shorter than the series' lag rule",
                fix="raise N",
            )
        out[:, row] = due
    return out


def _ruled_later(series: Series, ends: Integers, due: Integers) -> Flags:
    """Periods whose release day by rule lies after an instant (a release calendar ends somewhere)."""
    late = np.zeros(len(ends), dtype=bool)
    if series.lag is None:
        return late
    dated = np.ones(len(ends), dtype=bool)
    if series.lag.kind == "dates":
        listed = np.array([end for end, _ in (*series.lag.dates, *series.lag.exceptions)], dtype="datetime64[D]")
        dated = np.isin(period_ends(series.parsed, ends), listed)
    places = np.flatnonzero(dated)
    if len(places):
        late[places] = due[places] < release_micros(series, ends[places])
    return late


def _days_after(series: Series, ends: Integers, days: int) -> Integers:
    lasts = [period_end(series.parsed, int(ordinal)) + timedelta(days=days) for ordinal in ends]
    return np.array([micros(end_of_day(day, series.zone)) for day in lasts], dtype=np.int64)
