"""Feature rows written down a second time, one number at a time, from what was published by their own origin.

Compared with the design, so that a row that knows more than it could is caught whatever part of the package is wrong.
Nothing is imported that is checked: neither features nor replay.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from harness.backtest.splits import Plan
from harness.core.recipe import FeatureBlock
from harness.core.time import MICROS_PER_DAY, Frequency, day_before, local_day, micros, period_containing
from harness.studies.plain_cells import MISSING, Order, PlainSeries, Stated, log, order_at, standing, transformed
from harness.studies.plain_prices import adjusted, factors

Values = dict[int, float]
"""Known transformed values by position."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What one block's input was at one origin.

    Attributes:
        order: the order of its periods.
        values: transformed values by position.
        levels: the statements they are made of, by stored id and position, each with its level (of prices: adjusted).
        inputs: stored ids that the value of a period is made of.
    """

    order: Order
    values: Values
    levels: Mapping[str, dict[int, tuple[Stated, float]]]
    inputs: tuple[str, ...]


def plain_rows(plan: Plan, data: Mapping[str, PlainSeries], origin: int, series: int) -> list[list[float]]:
    """Feature values [horizon][column] of one target series at one (pseudo-)origin; NaN = missing.

    Args:
        plan: the plan; only its experiment, its instants and its target periods are read.
        data: everything stated of the plan's inputs.
        origin: index of the origin; only what was published by it, less the latency, is used.
        series: index of the target series.
    """
    experiment = plan.experiment
    moment = plan.instants[origin]
    own = experiment.target.series[series]
    base = data[experiment.target.transform.inputs(own)[0]].series.parsed
    ends: list[date | None] = plan.end_days[origin].astype("datetime64[D]").tolist()
    rows: list[list[float]] = [[] for _ in ends]
    for block in experiment.features:
        if len(block.columns()) > len(block.calendar):
            known = known_input(plan, data, block, moment, block.series or own)
            shared = _newest_numbers(block, known, moment)
            for row, end in zip(rows, ends, strict=True):
                row.extend(shared + _ahead(block, known, end))
        for row, end in zip(rows, ends, strict=True):
            row.extend(_calendar_number(base, end, column) for column in block.calendar)
    return [[number if math.isfinite(number) else MISSING for number in row] for row in rows]


def is_exact(block: FeatureBlock, column: str) -> bool:
    """Whether a column is a stated number or an age as it is, so that not one bit may differ."""
    operation = column.removeprefix(f"{block.name}.")
    copied = ("latest", "lag", "known_ahead", "rolling_min", "rolling_max")
    return operation == "age" or (block.transform.kind == "level" and operation.startswith(copied))


def known_input(plan: Plan, data: Mapping[str, PlainSeries], block: FeatureBlock, moment: datetime, name: str) -> Known:
    """What one input of a block was at an instant, by its stored id."""
    experiment, transform = plan.experiment, block.transform
    at = micros(moment - experiment.origins.latency)
    inputs = transform.inputs(name)
    order = order_at(data[inputs[0]].series, at)
    levels: dict[str, dict[int, tuple[Stated, float]]] = {}
    for each in inputs:
        levels[each] = {}
        counting = factors(data[each], at, experiment.target.prices, exclude_hindsight=experiment.exclude_hindsight)
        for period in data[each].stated:
            stated = standing(data[each], period, at, exclude_hindsight=experiment.exclude_hindsight)
            position = order.position(period)
            if stated is not None and position is not None:
                levels[each][position] = stated, adjusted(stated.value, period, counting)

    def level(which: str, position: int) -> float:
        return levels[which][position][1] if position in levels[which] else MISSING

    values = {}
    for position in levels[inputs[0]]:
        value = transformed(transform, name, level, position - transform.span + 1, position)
        if not math.isnan(value):
            values[position] = value
    return Known(order, values, levels, inputs)


def _newest_numbers(block: FeatureBlock, known: Known, moment: datetime) -> list[float]:
    """Everything but `known_ahead` and the calendar, in the order of the block's columns."""
    values, places = known.values, sorted(known.values)
    newest = places[-1] if places else None
    numbers = [values[places[-k]] if k <= len(places) else MISSING for k in block.latest]
    if block.lag:
        here = known.order.containing(local_day(moment, known.order.series.zone))
        numbers += [MISSING if here is None else values.get(here - k, MISSING) for k in block.lag]

    def over(count: int, statistic: Callable[[list[float]], float]) -> float:
        if newest is None or any(newest - back not in values for back in range(count)):
            return MISSING
        return statistic([values[newest - back] for back in reversed(range(count))])

    def back(count: int, of: Callable[[float, float], float]) -> float:
        if newest is None or newest - count not in values:
            return MISSING
        return of(values[newest], values[newest - count])

    numbers += [over(count, _mean) for count in block.rolling_mean]
    numbers += [over(count, _deviation) for count in block.rolling_std]
    numbers += [over(count, min) for count in block.rolling_min]
    numbers += [over(count, max) for count in block.rolling_max]
    numbers += [back(count, lambda new, old: new - old) for count in block.difference]
    numbers += [back(count, lambda new, old: 100.0 * (log(new) - log(old))) for count in block.log_growth]
    numbers += [over(count, _ratio) for count in block.ratio]
    if block.age:
        numbers.append(_age(known, newest, moment))
    return numbers


def _age(known: Known, newest: int | None, moment: datetime) -> float:
    if newest is None:
        return MISSING
    complete = max(known.levels[name][newest][0].published for name in known.inputs)
    return (micros(moment) - complete) / MICROS_PER_DAY


def _ahead(block: FeatureBlock, known: Known, end: date | None) -> list[float]:
    here = known.order.containing(end) if end is not None and block.known_ahead else None
    return [MISSING if here is None else known.values.get(here + offset, MISSING) for offset in block.known_ahead]


def _mean(window: list[float]) -> float:
    total = 0.0
    for value in window:
        total += value
    return total / len(window)


def _deviation(window: list[float]) -> float:
    middle = _mean(window)
    return math.sqrt(sum((value - middle) ** 2 for value in window) / (len(window) - 1))


def _ratio(window: list[float]) -> float:
    middle = _mean(window)
    return window[-1] / middle if middle != 0 else MISSING


def _calendar_number(frequency: Frequency, end: date | None, column: str) -> float:
    if end is None:
        return MISSING
    if column == "days":
        return float(
            (end - day_before(frequency, period_containing(frequency, end))).days if frequency.kind != "B" else 1
        )
    numbers = {
        "month": end.month,
        "quarter": (end.month + 2) // 3,
        "weekday": end.weekday(),
        "day_of_month": end.day,
        "week": end.isocalendar().week,
        "year": end.year,
    }
    return float(numbers[column])
