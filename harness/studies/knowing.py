"""Columns that say what is still to come: labels of periods that had not ended when the column's own numbers did.

Two signs are looked for. A column runs with the labels (values and changes correlate by 0.999); or next to it little is
left of the error that the target's own past leaves, which no honest leading indicator achieves. What is left is
measured on labels and on final values, since an input made of these tells an early release but for its revision; and
beside a short past and a long one, since a centred average hides the future behind the past it is averaged with.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.splits import Plan, target_inputs
from harness.core.recipe import FeatureBlock
from harness.core.time import EPOCH, NEVER, day_before, local_day, period_containing, period_end
from harness.core.transform import Floats
from harness.data.outcomes import MATURED
from harness.studies.copies import ALIKE, LEAST, SERIES, Values, correlations, final_values, shown
from harness.studies.error_left import error_left
from harness.studies.plain_cells import MISSING, PlainSeries, evenly, first_public
from harness.studies.verdict import Finding

LEFT = 0.1
"""Share of the error of the target's own past that is worth a word where an input leaves no more than it."""
NEWEST = 12
"""Values of the target's long past, beside that of the same season."""
SHORT = 2
"""Of these in the short past."""
DAYS_OF_A_WEEK = 7
LISTED = 10
"""Closest columns listed."""
KNOWING = {
    "column": pl.String(),
    "horizon": pl.Int32(),
    "rows": pl.Int64(),
    "correlation": pl.Float64(),
    "correlation_of_changes": pl.Float64(),
    "error_left": pl.Float64(),
}
FIXES = "an input that ends before the target period does not fix its outcome"
LEAVES = f"an input of earlier periods leaves over {LEFT:.0%} of the error of the target's own past"
Flags = NDArray[np.bool_]


def knowing_columns(plan: Plan, design: Floats, data: Mapping[str, PlainSeries]) -> tuple[pl.DataFrame, list[Finding]]:
    """Columns that tell the labels although what they are made of ended before the target period.

    Args:
        plan: the plan.
        design: [origin, series, horizon, feature].
        data: everything stated of the inputs.

    Returns:
        The closest columns by horizon: rows whose target period had not ended, correlation of values and of changes,
        and, of inputs that ended before the target period began, `error_left`: the residual of a regression of the
        labels, or of the final values, on the target's own past (newest, the one before or the twelve newest, same
        season) and the column, as a share of that without the column (with and without extreme rows, whichever is
        larger), the smallest of these. And a finding for each column whose values and changes both correlate by 0.999,
        and for each column, or block of them, that leaves a tenth of it at most.
    """
    experiment = plan.experiment
    ends = Ends(plan, data)
    rows: list[tuple[object, ...]] = []
    findings = []
    for series in evenly(range(len(experiment.target.series)), SERIES):
        name = experiment.target.series[series]
        final = final_values(plan, data, experiment.target.transform, name)
        for place in range(len(experiment.horizons)):
            asked = asked_of(plan, data, ends, final, (series, place))
            first = 0
            for block in experiment.features:
                width = len(block.columns())
                values = design[:, series, place, first : first + width]
                listed, found = _judged(asked, block, values, ends)
                rows += listed
                findings += found
                first += width
    frame = pl.DataFrame(rows, schema=KNOWING, orient="row")
    return frame.sort(pl.col("correlation").abs(), descending=True, nulls_last=True).head(LISTED), findings


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Labels of one target series at one horizon, and what its own past said; days are those since the epoch.

    Attributes:
        name, step: the series and the horizon.
        own: stored ids of all that the target is made of.
        labels: [origin] NaN = none.
        final: [origin] what the archive ends with in their place; None where that is the label.
        past: [origin, regressor] what was known of the target: its newest values, then that of the same season, if any.
        periods: [origin] ordinal of the target period.
        begins, over: [origin] last day before the target period, and its own last day.
    """

    name: str
    step: int
    own: frozenset[str]
    labels: Floats
    final: Floats | None
    past: Floats
    periods: NDArray[np.int64]
    begins: Floats
    over: Floats


def asked_of(plan: Plan, data: Mapping[str, PlainSeries], ends: Ends, final: Values, where: tuple[int, int]) -> Asked:
    """Labels and past of one target series at one horizon; `where`: its place and that of the horizon."""
    target = plan.experiment.target
    series, place = where
    name = target.series[series]
    frequency = data[target.transform.inputs(name)[0]].series.parsed
    starts = {period: _day(day_before(frequency, period)) for period in np.unique(plan.starts[:, place]).tolist()}
    labels = _labels(plan, series, place)
    ended = np.array([final.get(period, MISSING) for period in plan.ends[:, place].tolist()])
    return Asked(
        name,
        plan.experiment.horizons[place],
        frozenset(target_inputs(target)),
        labels,
        None if target.outcome.kind == "latest" else np.where(np.isfinite(labels), ended, np.nan),
        _own_past(plan, ends, final, where, frequency.kind),
        plan.ends[:, place],
        np.array([starts[period] for period in plan.starts[:, place].tolist()], dtype=np.float64),
        plan.end_days[:, place].astype("datetime64[D]").astype(np.float64),
    )


def _labels(plan: Plan, series: int, place: int) -> Floats:
    """[origin] matured outcomes that were no public knowledge at their own origin; NaN = none."""
    request = plan.request[:, place]
    table = plan.outcomes
    public = table.first_public if plan.experiment.target.outcome.kind == "latest" else table.matured_at
    at = public[series, request]
    usable = (table.status[series, request] == MATURED) & ((at == NEVER) | (at > plan.known))
    labels: Floats = np.where(usable, table.value[series, request], np.nan)
    return labels


def _own_past(plan: Plan, ends: Ends, final: Values, where: tuple[int, int], kind: str) -> Floats:
    """[origin, regressor] the target's newest known values, then the same season's, as the archive ends.

    Final numbers know rather more than those of the origin did: what a column adds to them is not overstated.
    """
    series, place = where
    target = plan.experiment.target
    season = target.season or (DAYS_OF_A_WEEK if kind == "D" else 0)
    newest = np.min([ends.newest(each, 1) for each in target.transform.inputs(target.series[series])], axis=0)
    periods = sorted(final)
    rows = []
    for known, wanted in zip(newest.tolist(), plan.ends[:, place].tolist(), strict=True):
        at = bisect_right(periods, known) - 1
        row = [final[periods[at - back]] if at >= back else MISSING for back in range(NEWEST)]
        if season and kind not in "BT":
            seasons = 0 if at < 0 else max(0, math.ceil((wanted - known) / season))
            row.append(final.get(wanted - season * seasons, MISSING))
        rows.append(row)
    return np.array(rows, dtype=np.float64)


def _judged(
    asked: Asked, block: FeatureBlock, values: Floats, ends: Ends
) -> tuple[list[tuple[object, ...]], list[Finding]]:
    """What each column of a block tells of one horizon's labels, and the block as a whole if no column does alone."""
    rows: list[tuple[object, ...]] = []
    findings: list[Finding] = []
    source = block.series or asked.name
    inputs, names = block.transform.inputs(source), (source, asked)
    before: list[tuple[int, Flags]] = []
    for column, (name, operation) in enumerate(_operations(block)):
        known = np.max([ends.days(each, *operation) for each in inputs], axis=0)
        there = np.isfinite(asked.labels) & np.isfinite(values[:, column])
        kept = _newest_of_each(asked, there & (known < asked.over))
        seen = correlations(values[kept, column], asked.labels[kept])
        left = Left(0, MISSING)
        if not asked.own & set(inputs):
            before.append((column, there & (known <= asked.begins)))
            left = left_by(asked, values, before[-1:])
        rows.append((name, asked.step, seen[0], shown(seen[1]), shown(seen[2]), shown(left.share)))
        moves = f"{seen[1]:.6f}", f"{seen[2]:.6f} of changes"
        if seen[0] >= LEAST and min(abs(seen[1]), abs(seen[2])) >= ALIKE:
            said = f"correlation {moves[0]} with the labels of {seen[0]} rows, {moves[1]}"
            findings.append(_knows(names, name, FIXES, said, seen[0]))
        elif left.share <= LEFT:
            said = f"leaves {left}; correlation {moves[0]}, {moves[1]}"
            findings.append(_knows(names, name, LEAVES, said, left.rows))
    able = [(column, rows_there) for column, rows_there in before if rows_there.sum() >= LEAST]
    if not findings and len(able) > 1:
        left = left_by(asked, values, able)
        if left.share <= LEFT:
            said = f"together they leave {left}"
            findings.append(_knows(names, f"{block.name}: {len(able)} columns", LEAVES, said, left.rows))
    return rows, findings


def _operations(block: FeatureBlock) -> list[tuple[str, tuple[str, int]]]:
    """The columns of a block that read its input: name, operation, and its number (0 = none)."""
    read = [name for name in block.columns() if name.removeprefix(f"{block.name}.") not in block.calendar]
    split = [(name, name.removeprefix(f"{block.name}.").rpartition("_")) for name in read]
    return [(name, (head, int(tail)) if head and tail.isdecimal() else (tail, 0)) for name, (head, _, tail) in split]


def _newest_of_each(asked: Asked, rows: Flags) -> NDArray[np.intp]:
    """Of the origins marked, the last of each target period."""
    kept = np.flatnonzero(rows)
    periods = asked.periods[kept]
    newest: NDArray[np.intp] = kept[np.append(periods[1:] != periods[:-1], np.ones(min(1, len(kept)), dtype=bool))]
    return newest


@dataclass(frozen=True, slots=True)
class Left:
    """What columns leave of the error of the target's own past.

    Attributes:
        rows: compared.
        share: NaN = too little to tell.
        final: whether final values were told, not labels.
    """

    rows: int
    share: float
    final: bool = False

    def __str__(self) -> str:
        """In words."""
        return f"{self.share:.1%}{' of the final values' * self.final}, {self.rows} rows"


def left_by(asked: Asked, values: Floats, columns: Sequence[tuple[int, Flags]]) -> Left:
    """The least that some columns leave, of labels or final values, beside the short past or the long one."""
    there = np.all([rows for _, rows in columns], axis=0)
    given = values[:, [column for column, _ in columns]]
    found = [
        Left(len(kept), error_left(past[kept], given[kept], told[kept]), final)
        for told, final in ((asked.labels, False), (asked.final, True))
        if told is not None
        for past in _pasts(asked.past)
        for kept in [_newest_of_each(asked, there & np.isfinite(told) & np.isfinite(past).all(axis=1))]
    ]
    return min(found, key=lambda one: (math.isnan(one.share), one.share))


def _pasts(past: Floats) -> Iterator[Floats]:
    """[origin, regressor] the two newest values and the same season's; then all there are."""
    yield np.delete(past, np.s_[SHORT:NEWEST], axis=1)
    yield past


def _knows(names: tuple[str, Asked], column: str, rule: str, said: str, rows: int) -> Finding:
    source, asked = names
    return Finding(
        "facts", "column knows the label", stage="design", series_id=source, row=f"{asked.name}, h = {asked.step}",
        column=column, expected=rule, found=said, cells=rows,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """The newest periods of every input that were public at each origin, looked up once."""

    plan: Plan
    data: Mapping[str, PlainSeries]
    _newest: dict[tuple[str, int], Floats] = field(default_factory=dict)
    _days: dict[tuple[str, str, int], Floats] = field(default_factory=dict)

    def newest(self, name: str, rank: int) -> Floats:
        """[origin] ordinal of the newest (1), second newest (2), .. period public then; -inf = there was none."""
        if (name, rank) not in self._newest:
            self._newest[name, rank] = _ranked(self.plan, self.data[name], rank)
        return self._newest[name, rank]

    def days(self, name: str, operation: str, number: int) -> Floats:
        """[origin] last day of the newest period that a column may be made of; -inf = there was none."""
        asked = (name, operation, number) if operation in ("latest", "lag") else (name, "latest", 1)
        if asked not in self._days:
            self._days[asked] = self._last_days(*asked)
        return self._days[asked]

    def _last_days(self, name: str, operation: str, number: int) -> Floats:
        frequency = self.data[name].series.parsed
        newest = self.newest(name, number if operation == "latest" else 1)
        if operation == "lag" and frequency.kind not in "BT":
            zone = self.data[name].series.zone
            here = [period_containing(frequency, local_day(moment, zone)) for moment in self.plan.instants]
            newest = np.minimum(newest, np.array(here, dtype=np.float64) - number)
        known = set(newest[np.isfinite(newest)].tolist())
        last = {period: _day(period_end(frequency, int(period))) for period in known}
        return np.array([last.get(period, -math.inf) for period in newest.tolist()])


def _ranked(plan: Plan, one: PlainSeries, rank: int) -> Floats:
    first = sorted((at, period) for period in one.stated if (at := first_public(one, period)) is not None)
    out = np.full(len(plan.instants), -np.inf)
    known: list[int] = []
    place = 0
    for origin, moment in enumerate(plan.known.tolist()):
        while place < len(first) and first[place][0] <= moment:
            insort(known, first[place][1])
            place += 1
        if len(known) >= rank:
            out[origin] = known[-rank]
    return out


def _day(day: date) -> int:
    return (day - EPOCH).days
