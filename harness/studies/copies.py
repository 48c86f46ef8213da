"""Inputs that are the target under another name.

High correlation alone proves nothing about trending numbers, so both the values and their changes must agree; or
those of their ranks, which a copy that was ranked, cubed or squeezed into a range shares with the target.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

import numpy as np
import polars as pl

from harness.backtest.splits import Plan, target_inputs
from harness.core.recipe import FeatureBlock
from harness.core.time import Frequency, period_containing, period_end
from harness.core.transform import Floats, Transform
from harness.data.outcomes import MATURED
from harness.studies.plain_cells import MISSING, PlainSeries, evenly, order_at, standing, transformed
from harness.studies.plain_prices import adjusted, factors
from harness.studies.verdict import Finding

ALIKE = 0.999
EQUAL = 0.9
LEAST = 12
"""Fewer pairs than this are no evidence."""
OFFSETS = range(-2, 13)
"""Target periods by which an input's value may come before (above 0) or after the target's equal one."""
SERIES = 5
"""Target series of a panel that are compared."""
COPIES = {
    "series_id": pl.String(),
    "transform": pl.String(),
    "target": pl.String(),
    "target_values": pl.String(),
    "ahead": pl.Int64(),
    "pairs": pl.Int64(),
    "correlation": pl.Float64(),
    "correlation_of_changes": pl.Float64(),
    "equal_share": pl.Float64(),
    "correlation_of_ranks": pl.Float64(),
}
Values = dict[int, float]
FINAL, PINNED = "final values", "outcomes"
"""Which values of the target are compared."""


def near_copies(plan: Plan, data: Mapping[str, PlainSeries]) -> tuple[pl.DataFrame, list[Finding]]:
    """Inputs whose transformed values are the target's, at an offset of -2 to 12 target periods, as the archive ends.

    The target's values are those at the archive's end (`final`) and those that the outcome rule pins (`outcomes`): of a
    series that is revised, a copy of the first release is near the one and not the other.

    Returns:
        The closest offset of every (input, transform, target series), with the values that it is close to; and a
        finding for each that is a near-copy.
    """
    experiment = plan.experiment
    own = target_inputs(experiment.target)
    rows, findings = [], []
    pairs = {(block.series, block.transform) for block in experiment.features if block.series and _reads(block)}
    for place in evenly(range(len(experiment.target.series)), SERIES):
        name = experiment.target.series[place]
        base = data[experiment.target.transform.inputs(name)[0]].series.parsed
        target = dict(enumerate(_in_order(final_values(plan, data, experiment.target.transform, name), base)))
        days = {end: position for position, (end, _) in target.items()}
        numbers = {FINAL: {position: value for position, (_, value) in target.items()}}
        if experiment.target.outcome.kind != "latest":
            pinned = _pinned(plan, place)
            numbers[PINNED] = {days[end]: value for end, value in pinned.items() if end in days}
        for series_id, transform in sorted(pairs, key=repr):
            if set(transform.inputs(series_id)) & own:
                continue
            given = final_values(plan, data, transform, series_id)
            source = _by_target_period(given, data[series_id].series.parsed, base)
            placed = {days[end]: value for end, value in source.items() if end in days}
            found = [
                (of, ahead, *_likeness(placed, values, ahead)) for of, values in numbers.items() for ahead in OFFSETS
            ]
            of, ahead, count, *seen = max(found, key=lambda row: (_strength(row[3:]), -abs(row[1])))
            described = f"{transform.kind} {transform.span}"
            rows.append((series_id, described, name, of, ahead, count, *(shown(each) for each in seen)))
            alike, changes, equal, order = seen
            near = min(abs(alike), abs(changes)) >= ALIKE or equal >= EQUAL
            if count >= LEAST and (near or order >= ALIKE):
                ranks = f"correlation of ranks {order:.6f}"
                how = f"correlation {alike:.6f}, {equal:.0%} on one line" if near else ranks
                findings.append(_copy(series_id, (name, of), ahead, how, count))
    return pl.DataFrame(rows, schema=COPIES, orient="row"), findings


def _pinned(plan: Plan, series: int) -> Values:
    """Matured outcomes of one target series by the last period of their window."""
    table = plan.outcomes
    value, matured = table.value[series], table.status[series] == MATURED
    asked = zip(plan.ends.ravel().tolist(), plan.request.ravel().tolist(), strict=True)
    return {end: float(value[request]) for end, request in asked if matured[request]}


def _copy(series_id: str, target: tuple[str, str], ahead: int, how: str, count: int) -> Finding:
    periods = f"{abs(ahead)} target period{'s' * (abs(ahead) > 1)}"
    when = f"{periods} {'ahead' if ahead > 0 else 'back'}" if ahead else "of the same period"
    name, of = target
    return Finding(
        "facts", "near-copy of the target", stage="inputs", series_id=series_id, row=f"{name}, {when}",
        expected="an input other than the target",
        found=f"the target's {'FUTURE ' * (ahead > 0)}{of}: {how}, {count} periods", cells=count,
    )  # fmt: skip


def _reads(block: FeatureBlock) -> bool:
    return len(block.columns()) > len(block.calendar)


def final_values(plan: Plan, data: Mapping[str, PlainSeries], transform: Transform, name: str) -> Values:
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


def _likeness(given: Values, target: Values, ahead: int) -> tuple[int, float, float, float, float]:
    """Pairs (input at t, target at t + ahead), correlation of values, of changes, share on one line, of ranks."""
    both = [
        (value, target[t + ahead])
        for t, value in sorted(given.items())
        if not math.isnan(target.get(t + ahead, MISSING))
    ]
    x, y = np.array([one for one, _ in both]), np.array([one for _, one in both])
    return (*correlations(x, y), _equal_share(x, y), _order(x, y))


def _order(x: Floats, y: Floats) -> float:
    """The smaller correlation of ranks and of their changes; NaN where either hardly ever falls, or rises."""
    rises = [np.diff(each) > 0 for each in (x, y)]
    falls = [np.diff(each) < 0 for each in (x, y)]
    if min(int(each.sum()) for each in (*rises, *falls)) < LEAST // 2:
        return MISSING
    return min(abs(each) for each in correlations(_ranks(x), _ranks(y))[1:])


def _ranks(values: Floats) -> Floats:
    """Places in ascending order; equal values share the middle of theirs."""
    return pl.Series(values, dtype=pl.Float64()).rank("average").to_numpy()


def correlations(x: Floats, y: Floats) -> tuple[int, float, float]:
    """Pairs, and the correlation of their values and of their changes; NaN where there are too few or they rest."""
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


def _strength(seen: Sequence[float]) -> float:
    alike, changes, equal, order = seen
    return max(0.0 if math.isnan(each) else each for each in (min(abs(alike), abs(changes)), equal, order))


def shown(number: float) -> float | None:
    """A number as a table shows it: NaN is null."""
    return None if math.isnan(number) else number
