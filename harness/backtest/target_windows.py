"""Which target periods each origin asks for, by horizon, and the phase of the origin within its own period."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.core.recipe import Experiment
from harness.core.series import Series
from harness.core.time import Timeline, day_before, local_day, period_containing
from harness.data.calendars import sessions_known

Integers = NDArray[np.int64]


def target_windows(
    experiment: Experiment, series: Series, instants: list[datetime]
) -> tuple[Integers, Integers, Integers]:
    """Ordinals of the target windows [origin, horizon] and the phase of every origin [origin]."""
    steps = np.array(experiment.horizons, dtype=np.int64)
    width = experiment.target.transform.span if experiment.target.transform.is_volatility else 1
    starts = np.empty((len(instants), len(steps)), dtype=np.int64)
    ends = starts.copy()
    inside = np.empty(len(instants), dtype=np.int64)
    _check_table(series, instants, experiment.horizons, width)
    for row, moment in enumerate(instants):
        day = local_day(moment, series.zone)
        if series.parsed.kind == "B":
            timeline = Timeline(series.parsed, sessions_known(series, moment))
            position = timeline.containing(day)
            assert timeline.sessions is not None  # noqa: S101 - narrows the type; Timeline of B always has sessions
            starts[row] = timeline.sessions[position + steps]
            ends[row] = timeline.sessions[position + steps + width - 1]
            inside[row] = timeline.sessions[position]
        else:
            inside[row] = period_containing(series.parsed, day)
            starts[row] = inside[row] + steps
            ends[row] = starts[row] + width - 1
    begins = np.flatnonzero(np.concatenate(([True], inside[1:] != inside[:-1])))
    phase = np.arange(len(inside)) - np.repeat(begins, np.diff(np.append(begins, len(inside))))
    return starts, ends, phase.astype(np.int64)


def _check_table(series: Series, instants: list[datetime], horizons: tuple[int, ...], width: int) -> None:
    """Every target period lies in the table of period ends.

    Raises:
        UserError: one does not, named by its origin and horizon.
    """
    table = series.period_table
    if series.parsed.kind != "T":
        return
    begins = day_before(series.parsed, 0)
    for moment in instants:
        day = local_day(moment, series.zone)
        place = "" if begins < day <= table[-1] else f"origin {day} lies outside"
        inside = period_containing(series.parsed, day) if not place else 0
        for step in sorted(horizons) if not place else ():
            more = inside + step + width - len(table)
            if more > 0:
                place = f"origin {day}, h = {step} needs {more} more period end{'s'[: more - 1]}"
                break
            if inside + step < 0:
                place = f"origin {day}, h = {step} needs {-inside - step} earlier"
                break
        if place:
            raise UserError(
                "a target period outside the period table",
                value=f"the period table runs from {table[0]} to {table[-1]}; {place}",
                rule="every origin and every target period lies in the declared table",
                fix="extend period_table, or set an earlier [origins] last (a later first)",
            )
