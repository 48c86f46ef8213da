"""The size of every series' seasonal-naive error, which MASE and RMSSE divide by (S26)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.splits import Plan, target_inputs
from harness.core.recipe import Target
from harness.core.time import NEVER, SEASONS, Timeline, instant
from harness.core.transform import Floats
from harness.data.calendars import sessions_known
from harness.data.changes import ChangeFile
from harness.data.outcomes import MATURED, Outcomes, outcomes
from harness.data.past import past_of
from harness.data.walked_outcomes import Windows
from harness.score.point import MINIMUM_SCALE_VALUES, seasonal_naive_scale

Flags = NDArray[np.bool_]
ROWS = 4096
"""Series whose past is held at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """Scales of the target's series, in its order.

    Attributes:
        mae, rmse: [series] in the unit of the target; NaN = there is none.
        notes: series -> why there is none.
    """

    mae: Floats
    rmse: Floats
    notes: Mapping[str, str]

    def frame(self, target: Target) -> pl.DataFrame:
        """One row per series: series_id, scale_mae, scale_rmse (null = none)."""
        values = {"series_id": list(target.series), "scale_mae": self.mae, "scale_rmse": self.rmse}
        schema = {"series_id": pl.String(), "scale_mae": pl.Float64(), "scale_rmse": pl.Float64()}
        return pl.DataFrame(values, schema=schema).with_columns(pl.col("scale_mae", "scale_rmse").fill_nan(None))


def scales_of(plan: Plan, changes: ChangeFile) -> Scales:
    """Seasonal-naive error of pinned outcomes matured before the first scored origin, per series."""
    target = plan.experiment.target
    series = changes.series[_first_input(target)]
    known = int(plan.known[plan.first_scored])
    first, last = _span(plan, changes)
    if series.parsed.kind == "B":
        timeline = Timeline(series.parsed, sessions_known(series, instant(known)))
        assert timeline.sessions is not None  # noqa: S101 - Timeline of B always has sessions
        own = timeline.sessions[(timeline.sessions >= first) & (timeline.sessions <= last)]
    else:
        own = np.arange(first, last + 1, dtype=np.int64)
    season = target.season or SEASONS.get(series.parsed.kind, 1)
    width = target.transform.span if target.transform.is_volatility else 1
    if len(own) < width:
        own = own[:0]
    windows = Windows(own[: len(own) - width + 1], own[width - 1 :])
    tables = _pinned(plan, changes, windows, known)

    def past_of_rows(rows: slice) -> tuple[Floats, Flags]:
        """[series, period] outcomes, and which of them had matured."""
        values, seen = (np.empty((rows.stop - rows.start, len(windows.ends)), dtype) for dtype in (np.float64, bool))
        for table, into, columns in tables:
            at = table.matured_at[rows, columns]
            values[:, into] = table.value[rows, columns]
            seen[:, into] = (at != NEVER) & (at <= known) & (table.status[rows, columns] == MATURED)
        return values, seen

    return _in_blocks(target.series, past_of_rows, season)


Columns = NDArray[np.int64] | slice


def _pinned(plan: Plan, changes: ChangeFile, windows: Windows, known: int) -> list[tuple[Outcomes, Columns, Columns]]:
    """Outcomes of some target periods as known at an instant: table, which of the periods, and columns of the table.

    A release that came out stays what it was: those that the plan looked up are not looked up again. Under `latest`,
    and where a day may turn out to have been no session, they are.
    """
    asked, target = plan.windows, plan.experiment.target
    everything = slice(0, len(windows.ends))
    own = plan.looked_up is not None and plan.looked_up[0] == changes.hash and plan.looked_up[1] is plan.outcomes
    if not own or target.outcome.kind == "latest" or changes.series[_first_input(target)].parsed.kind == "B":
        return [(outcomes(changes, target, windows, until=known), everything, everything)]
    place = {pair: column for column, pair in enumerate(zip(asked.starts.tolist(), asked.ends.tolist(), strict=True))}
    pairs = zip(windows.starts.tolist(), windows.ends.tolist(), strict=True)
    columns = np.array([place.get(pair, -1) for pair in pairs], dtype=np.int64)
    there, lacking = np.flatnonzero(columns >= 0), np.flatnonzero(columns < 0)
    rest = Windows(windows.starts[lacking], windows.ends[lacking])
    found: list[tuple[Outcomes, Columns, Columns]] = [(plan.outcomes, _span_of(there), _span_of(columns[there]))]
    if len(lacking):
        found.append((outcomes(changes, target, rest, until=known), _span_of(lacking), slice(0, len(lacking))))
    return found


def _span_of(places: NDArray[np.int64]) -> Columns:
    """Consecutive places as a slice, which is a view."""
    if len(places) and (np.diff(places) == 1).all():
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def _first_input(target: Target) -> str:
    return target.transform.inputs(target.series[0])[0]


def _span(plan: Plan, changes: ChangeFile) -> tuple[int, int]:
    """Ordinals of the first and last period any input of the target ever had a value of."""
    inputs = target_inputs(plan.experiment.target)
    if len(inputs) == len(changes.ids):
        return int(changes.period.min()), int(changes.period.max())
    spans = [past_of(changes, one).span for one in inputs]
    return min(span[0] for span in spans), max(span[1] for span in spans)


def seasonal_scales(names: tuple[str, ...], values: Floats, seen: Flags, season: int) -> Scales:
    """`seasonal_naive_scale` of every row, up to its newest seen value; rows that lack the same cells go together.

    Args:
        names: [series].
        values: [series, period] outcomes.
        seen: [series, period] which of them count.
        season: season length in periods.
    """
    return _in_blocks(names, lambda rows: (values[rows], seen[rows]), season)


def _in_blocks(names: tuple[str, ...], past_of_rows: Callable[[slice], tuple[Floats, Flags]], season: int) -> Scales:
    """`seasonal_scales` a block of series at a time, which is all that is held of what they are made of."""
    mae, rmse = np.full(len(names), np.nan), np.full(len(names), np.nan)
    notes: dict[str, str] = {}
    for start in range(0, len(names), ROWS):
        block = slice(start, min(start + ROWS, len(names)))
        values, seen = past_of_rows(block)
        for rows in _alike(seen):
            newest = np.flatnonzero(seen[rows[0]])
            end = int(newest[-1]) + 1 if len(newest) else 0
            past = np.where(seen[rows, :end], values[rows, :end], np.nan)
            _fill(names, start + rows, past, season, (mae, rmse, notes))
    return Scales(mae, rmse, notes)


def _alike(seen: Flags) -> list[NDArray[np.int64]]:
    """Rows that are equal, together."""
    if (seen == seen[:1]).all():
        return [np.arange(len(seen), dtype=np.int64)]
    place = np.unique(np.packbits(seen, axis=1), axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(place, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(place[order])) + 1)


def _fill(
    names: tuple[str, ...],
    rows: NDArray[np.int64],
    past: Floats,
    season: int,
    into: tuple[Floats, Floats, dict[str, str]],
) -> None:
    """Scales of rows that lack the same cells."""
    mae, rmse, notes = into
    for row in np.flatnonzero(np.isinf(past).any(axis=1))[:1].tolist():
        seasonal_naive_scale(past[row], season, 1)  # refuses it
    steps = np.abs(past[:, season:] - past[:, :-season]) if past.shape[1] > season else past[:, :0]
    steps = np.ascontiguousarray(steps[:, ~np.isnan(steps[0])])
    if steps.shape[1] and (~np.isnan(past[0])).sum() >= MINIMUM_SCALE_VALUES:
        absolute, squared = np.mean(steps, axis=1), np.sqrt(np.mean(np.square(steps), axis=1))
        mae[rows], rmse[rows] = np.where(absolute > 0.0, absolute, np.nan), np.where(squared > 0.0, squared, np.nan)
        nothing = ~(absolute > 0.0)
    else:
        nothing = np.ones(len(rows), dtype=bool)
    if nothing.any():
        why = seasonal_naive_scale(past[int(np.argmax(nothing))], season, 1).reason or ""  # the same for all of them
        notes |= {names[row]: why for row in rows[nothing].tolist()}
