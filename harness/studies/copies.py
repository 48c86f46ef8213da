"""Inputs that are the target under another name, and columns that say what is still to come.

High correlation alone proves nothing about trending numbers, so both the values and their changes must agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.splits import Plan, target_inputs
from harness.core.recipe import FeatureBlock
from harness.core.time import NEVER, Frequency, micros, period_containing, period_end
from harness.core.transform import Floats, Transform
from harness.data.outcomes import MATURED
from harness.studies.near_origin import Arrivals
from harness.studies.plain_cells import MISSING, PlainSeries, evenly, order_at, standing, transformed
from harness.studies.plain_prices import adjusted, factors
from harness.studies.verdict import Finding

ALIKE = 0.999
EQUAL = 0.9
LEAST = 12
"""Fewer pairs than this are no evidence."""
OFFSETS = range(-2, 3)
"""Target periods by which an input's value may come before (above 0) or after the target's equal one."""
SERIES = 5
"""Target series of a panel that are compared."""
COPIES = {
    "series_id": pl.String(),
    "transform": pl.String(),
    "target": pl.String(),
    "ahead": pl.Int64(),
    "pairs": pl.Int64(),
    "correlation": pl.Float64(),
    "correlation_of_changes": pl.Float64(),
    "equal_share": pl.Float64(),
}
KNOWING = {
    "column": pl.String(),
    "horizon": pl.Int32(),
    "rows": pl.Int64(),
    "correlation": pl.Float64(),
    "correlation_of_changes": pl.Float64(),
}
Values = dict[int, float]


def near_copies(plan: Plan, data: Mapping[str, PlainSeries]) -> tuple[pl.DataFrame, list[Finding]]:
    """Inputs whose transformed values are the target's, at an offset of -2 to 2 target periods, as the archive ends.

    Returns:
        The closest offset of every (input, transform, target series); and a finding for each that is a near-copy.
    """
    experiment = plan.experiment
    own = target_inputs(experiment.target)
    rows, findings = [], []
    pairs = {(block.series, block.transform) for block in experiment.features if block.series and _reads(block)}
    for place in evenly(range(len(experiment.target.series)), SERIES):
        name = experiment.target.series[place]
        base = data[experiment.target.transform.inputs(name)[0]].series.parsed
        target = dict(enumerate(_in_order(_final(plan, data, experiment.target.transform, name), base)))
        days = {end: position for position, (end, _) in target.items()}
        numbers = {position: value for position, (_, value) in target.items()}
        for series_id, transform in sorted(pairs, key=repr):
            if set(transform.inputs(series_id)) & own:
                continue
            given = _final(plan, data, transform, series_id)
            source = _by_target_period(given, data[series_id].series.parsed, base)
            placed = {days[end]: value for end, value in source.items() if end in days}
            found = [(ahead, *_likeness(placed, numbers, ahead)) for ahead in OFFSETS]
            ahead, count, alike, changes, equal = max(found, key=lambda row: (_strength(row[1:]), -abs(row[0])))
            described = f"{transform.kind} {transform.span}"
            rows.append((series_id, described, name, ahead, count, _shown(alike), _shown(changes), _shown(equal)))
            if count >= LEAST and ((abs(alike) >= ALIKE and abs(changes) >= ALIKE) or equal >= EQUAL):
                findings.append(_copy(series_id, name, ahead, (count, alike, equal)))
    return pl.DataFrame(rows, schema=COPIES, orient="row"), findings


def _copy(series_id: str, target: str, ahead: int, seen: tuple[int, float, float]) -> Finding:
    when = f"{abs(ahead)} target periods {'ahead' if ahead > 0 else 'back'}" if ahead else "of the same period"
    worse = ": it states the target's FUTURE" if ahead > 0 else ""
    return Finding(
        "facts", "near-copy of the target", stage="inputs", series_id=series_id, row=f"{target}, {when}",
        expected="an input other than the target",
        found=f"correlation {seen[1]:.6f}, {seen[2]:.0%} equal up to scale and shift over {seen[0]} periods{worse}",
        cells=seen[0],
    )  # fmt: skip


def knowing_columns(
    plan: Plan, design: Floats, arrived: Mapping[str, Arrivals], data: Mapping[str, PlainSeries]
) -> tuple[pl.DataFrame, list[Finding]]:
    """Columns that run with the labels although their newest known period ends before the target period does.

    Args:
        plan: the plan.
        design: [origin, series, horizon, feature].
        arrived: when new periods of every input came out.
        data: everything stated of the inputs.

    Returns:
        The closest columns by horizon, and a finding for each whose values and changes both correlate by 0.999.
    """
    experiment = plan.experiment
    rows, findings = [], []
    columns = [(block, name) for block in experiment.features for name in block.columns()]
    newest = {name: _newest_ends(plan, arrived[name], data[name].series.parsed) for name in plan.inputs}
    for series in evenly(range(len(experiment.target.series)), SERIES):
        own = experiment.target.series[series]
        for place, step in enumerate(experiment.horizons):
            labels = _labels(plan, series, place)
            for column, (block, name) in enumerate(columns):
                if name.removeprefix(f"{block.name}.") in block.calendar:
                    continue
                source = block.series or own
                known = np.max([newest[each] for each in block.transform.inputs(source)], axis=0)
                values = design[:, series, place, column]
                kept = _ignorant(plan, place, known, ~np.isnan(labels) & ~np.isnan(values))
                seen = _correlations(values[kept], labels[kept])
                rows.append((name, step, seen[0], _shown(seen[1]), _shown(seen[2])))
                if seen[0] >= LEAST and min(abs(seen[1]), abs(seen[2])) >= ALIKE:
                    findings.append(_knowing((source, own), name, step, seen))
    frame = pl.DataFrame(rows, schema=KNOWING, orient="row")
    return frame.sort(pl.col("correlation").abs(), descending=True, nulls_last=True).head(10), findings


def _ignorant(plan: Plan, place: int, known: Floats, there: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Origins whose newest known input period ends before the target period: the last of each target period."""
    behind = known < plan.end_days[:, place].astype("datetime64[D]").astype(np.int64)
    kept = np.flatnonzero(behind & there)
    ends = plan.ends[kept, place]
    newest: NDArray[np.intp] = kept[np.append(ends[1:] != ends[:-1], np.ones(min(1, len(kept)), dtype=bool))]
    return newest


def _knowing(names: tuple[str, str], column: str, step: int, seen: tuple[int, float, float]) -> Finding:
    count, alike, changes = seen
    return Finding(
        "facts", "column knows the label", stage="design", series_id=names[0], row=f"{names[1]}, h = {step}",
        column=column, expected="an input that ends before the target period does not fix its outcome",
        found=f"correlation {alike:.6f} with the labels of {count} rows, {changes:.6f} of changes", cells=count,
    )  # fmt: skip


def _reads(block: FeatureBlock) -> bool:
    return len(block.columns()) > len(block.calendar)


def _labels(plan: Plan, series: int, place: int) -> Floats:
    """[origin] matured outcomes that were no public knowledge at their own origin; NaN = none."""
    request = plan.request[:, place]
    table = plan.outcomes
    public = table.first_public if plan.experiment.target.outcome.kind == "latest" else table.matured_at
    at = public[series, request]
    usable = (table.status[series, request] == MATURED) & ((at == NEVER) | (at > plan.known))
    labels: Floats = np.where(usable, table.value[series, request], np.nan)
    return labels


def _newest_ends(plan: Plan, arrived: Arrivals, frequency: Frequency) -> Floats:
    """[origin] epoch day on which the newest known period of an input ends; -inf = nothing known."""
    out = np.full(len(plan.instants), -np.inf)
    for origin, moment in enumerate(plan.instants):
        newest = arrived.newest_by(micros(moment - plan.experiment.origins.latency))
        if newest is not None:
            out[origin] = np.datetime64(period_end(frequency, newest), "D").astype(np.int64)
    return out


def _final(plan: Plan, data: Mapping[str, PlainSeries], transform: Transform, name: str) -> Values:
    """Transformed values by ordinal, as the archive ends."""
    inputs = transform.inputs(name)
    order = order_at(data[inputs[0]].series, plan.until)
    counting = {each: factors(data[each], plan.until, plan.experiment.target.prices) for each in inputs}
    levels = {
        each: {
            order.position(period): adjusted(stated.value, period, counting[each])
            for period in data[each].stated
            if (stated := standing(data[each], period, plan.until)) is not None
        }
        for each in inputs
    }

    def level(which: str, position: int) -> float:
        return levels[which].get(position, MISSING)

    out = {}
    for position in sorted(place for place in levels[inputs[0]] if place is not None):
        value = transformed(transform, name, level, position - transform.span + 1, position)
        ordinal = order.ordinal(position)
        if ordinal is not None and not math.isnan(value):
            out[ordinal] = value
    return out


def _in_order(values: Values, frequency: Frequency) -> Iterator[tuple[int, float]]:
    """(period, value) from the first to the last period; sessions and years alike follow one another."""
    if frequency.kind == "B":
        yield from sorted(values.items())
    elif values:
        yield from ((period, values.get(period, MISSING)) for period in range(min(values), max(values) + 1))


def _by_target_period(values: Values, given: Frequency, wanted: Frequency) -> Values:
    """Values by the target period that their own period ends in; of several the newest."""
    if given == wanted:
        return values
    ends = {period: period_end(given, period) for period in sorted(values)}
    return {
        period_containing(wanted, end): values[period]
        for period, end in ends.items()
        if wanted.kind != "T" or wanted.table[0] <= end <= wanted.table[-1]
    }


def _likeness(given: Values, target: Values, ahead: int) -> tuple[int, float, float, float]:
    """Pairs (input at t, target at t + ahead), correlation of values and of changes, and share equal up to a line."""
    both = [
        (value, target[t + ahead])
        for t, value in sorted(given.items())
        if not math.isnan(target.get(t + ahead, MISSING))
    ]
    x, y = np.array([one for one, _ in both]), np.array([one for _, one in both])
    return (*_correlations(x, y), _equal_share(x, y))


def _correlations(x: Floats, y: Floats) -> tuple[int, float, float]:
    return len(x), _correlation(x, y), _correlation(np.diff(x), np.diff(y))


def _correlation(x: Floats, y: Floats) -> float:
    """Correlation; NaN where there are too few or they do not vary."""
    if len(x) < LEAST - 1 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return MISSING
    a, b = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else MISSING


def _equal_share(x: Floats, y: Floats) -> float:
    """Share of pairs on one line, among those that are not at the usual value (a rate at rest equals any other)."""
    moved = np.diff(x) != 0
    if len(x) < LEAST or moved.sum() < LEAST // 2 or np.ptp(y) == 0:
        return MISSING
    slope = float(median((np.diff(y)[moved] / np.diff(x)[moved]).tolist()))
    shift = float(median((y - slope * x).tolist()))
    away = y != median(y.tolist())
    if slope == 0 or away.sum() < LEAST // 2:
        return MISSING
    close = np.abs(y - slope * x - shift) <= 1e-3 * float(np.std(y))
    return float(close[away].mean())


def _strength(seen: tuple[int, float, float, float]) -> float:
    _, alike, changes, equal = seen
    both = min(abs(alike), abs(changes))
    return max(0.0 if math.isnan(both) else both, 0.0 if math.isnan(equal) else equal)


def _shown(number: float) -> float | None:
    return None if math.isnan(number) else number
