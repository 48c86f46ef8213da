"""The plain definition of a feature row: one number at a time, in ordinary Python, over whole histories.

Written from the definitions of `FeatureBlock`, not from the fast code. Two conventions fix the last bit: logarithms and
exponentials are numpy's, and sums run from the oldest period to the newest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from harness.core.errors import UserError
from harness.core.recipe import FeatureBlock
from harness.core.snapshot import Snapshot
from harness.core.time import Frequency, Timeline, instant, period_containing
from harness.core.transform import Transform
from harness.forecast.features import Targets

MISSING = math.nan
Values = dict[int, float]
"""Known values by position."""


def plain_feature_rows(snapshot: Snapshot, blocks: Sequence[FeatureBlock], targets: Targets) -> list[list[list[float]]]:
    """[series][horizon][feature], NaN = missing."""
    return [
        [
            [finite(number) for block in blocks for number in block_numbers(snapshot, block, series_id, end)]
            for end in targets.ends.tolist()
        ]
        for series_id in targets.series_ids
    ]


def block_numbers(snapshot: Snapshot, block: FeatureBlock, series_id: str, end: date | None) -> list[float]:
    numbers = []
    if len(block.columns()) > len(block.calendar):
        numbers += input_numbers(snapshot, block, block.series or series_id, end)
    if block.calendar:
        frequency = target_frequency(snapshot, series_id)
        numbers += [calendar_number(frequency, end, column) for column in block.calendar]
    return numbers


def input_numbers(snapshot: Snapshot, block: FeatureBlock, series_id: str, end: date | None) -> list[float]:
    inputs = block.transform.inputs(series_id)
    levels = {name: known_levels(snapshot, name) for name in inputs}
    timeline = snapshot.panel(inputs[0]).timeline
    values = transformed(block.transform, series_id, levels)
    known = sorted(values)
    newest = known[-1] if known else None

    def ending(count: int) -> list[float] | None:
        if newest is None or any(newest - back not in values for back in range(count)):
            return None
        return [values[newest - back] for back in reversed(range(count))]

    numbers = [values[known[-k]] if k <= len(known) else MISSING for k in block.latest]
    if block.lag:
        here = containing(timeline, local_day(snapshot.origin, snapshot.series[inputs[0]].zone))
        if here is None:
            raise UserError("the origin lies outside the input's known calendar")
        numbers += [values.get(here - k, MISSING) for k in block.lag]
    numbers += [statistic(mean, ending(n)) for n in block.rolling_mean]
    numbers += [statistic(standard_deviation, ending(n)) for n in block.rolling_std]
    numbers += [statistic(smallest, ending(n)) for n in block.rolling_min]
    numbers += [statistic(largest, ending(n)) for n in block.rolling_max]
    for n in block.difference:
        missing = newest is None or newest - n not in values
        numbers.append(MISSING if missing else values[newest] - values[newest - n])
    for n in block.log_growth:
        missing = newest is None or newest - n not in values or values[newest] <= 0 or values[newest - n] <= 0
        numbers.append(MISSING if missing else 100.0 * (log(values[newest]) - log(values[newest - n])))
    for n in block.ratio:
        window = ending(n)
        missing = window is None or mean(window) == 0
        numbers.append(MISSING if missing else values[newest] / mean(window))
    if block.age:
        numbers.append(MISSING if newest is None else age(snapshot, inputs, newest))
    target = None if end is None or not block.known_ahead else containing(timeline, end)
    numbers += [MISSING if target is None else values.get(target + offset, MISSING) for offset in block.known_ahead]
    return numbers


def known_levels(snapshot: Snapshot, series_id: str) -> Values:
    history = snapshot.history(series_id)
    listed = enumerate(history.values.tolist())
    return {history.first + place: value for place, value in listed if not math.isnan(value)}


def transformed(transform: Transform, series_id: str, levels: dict[str, Values]) -> Values:
    """The values that exist, from the levels of one snapshot."""
    own = levels[transform.high if transform.proxy == "parkinson" else series_id]
    values = {position: transformed_at(transform, series_id, levels, position) for position in own}
    return {position: value for position, value in values.items() if not math.isnan(value)}


def transformed_at(transform: Transform, series_id: str, levels: dict[str, Values], t: int) -> float:
    span = transform.span
    if transform.kind == "realised_volatility":
        proxies = [variance(transform, series_id, levels, t - back) for back in reversed(range(span))]
        return 100.0 * math.sqrt(mean(proxies))
    own = levels[series_id]
    if transform.kind == "level":
        return own[t]
    if transform.kind == "spread":
        return own[t] - levels[transform.other].get(t, MISSING)
    before = own.get(t - span, MISSING)
    if transform.kind == "difference":
        return own[t] - before
    change = 100.0 * (log(own[t]) - log(before))
    if transform.kind in ("log_growth", "log_return"):
        return change
    lost = transform.kind == "return" and own[t] == 0 and before > 0  # there is no logarithm of nothing
    with np.errstate(over="ignore"):
        return -100.0 if lost else 100.0 * float(np.expm1(change / 100.0))


def variance(transform: Transform, series_id: str, levels: dict[str, Values], t: int) -> float:
    if transform.proxy == "parkinson":
        width = log(levels[transform.high].get(t, MISSING)) - log(levels[transform.low].get(t, MISSING))
        return width * width / (4.0 * float(np.log(2.0)))
    step = log(levels[series_id].get(t, MISSING)) - log(levels[series_id].get(t - 1, MISSING))
    return step * step


def age(snapshot: Snapshot, inputs: Sequence[str], newest: int) -> float:
    published = []
    for name in inputs:
        history = snapshot.history(name)
        published.append(instant(int(history.published[newest - history.first])))
    return (snapshot.origin - max(published)) / timedelta(days=1)


def finite(number: float) -> float:
    return number if math.isfinite(number) else MISSING


def log(value: float) -> float:
    return float(np.log(value)) if value > 0 else MISSING


def statistic(of, window: list[float] | None) -> float:
    return MISSING if window is None else of(window)


def mean(window: list[float]) -> float:
    total = window[0]
    for value in window[1:]:
        total += value
    return total / len(window)


def standard_deviation(window: list[float]) -> float:
    middle = mean(window)
    total = 0.0
    for value in window:
        total += (value - middle) * (value - middle)
    return math.sqrt(total / (len(window) - 1))


def smallest(window: list[float]) -> float:
    return min(window) + 0.0


def largest(window: list[float]) -> float:
    return max(window) + 0.0


def local_day(origin: datetime, zone: str) -> date:
    return (origin - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date()


def containing(timeline: Timeline, day: date) -> int | None:
    """Position of the period a day lies in; None beyond what the calendar is known for."""
    if timeline.sessions is None:
        try:
            return period_containing(timeline.frequency, day)
        except UserError:
            return None
    epoch_day = (day - date(1970, 1, 1)).days
    sessions = timeline.sessions.tolist()
    if epoch_day < sessions[0] or epoch_day >= sessions[-1]:
        return None  # after the last scheduled session nobody knows whether another one came first
    return max(place for place, session in enumerate(sessions) if session <= epoch_day)


def target_frequency(snapshot: Snapshot, series_id: str) -> Frequency:
    inputs = snapshot.target.transform.inputs(series_id) if snapshot.target else (series_id,)
    return snapshot.panel(inputs[0]).timeline.frequency


def calendar_number(frequency: Frequency, end: date | None, column: str) -> float:
    if end is None:
        return MISSING
    numbers = {
        "month": end.month,
        "quarter": {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 2, 7: 3, 8: 3, 9: 3, 10: 4, 11: 4, 12: 4}[end.month],
        "weekday": end.weekday(),
        "day_of_month": end.day,
        "week": end.isocalendar().week,
        "year": end.year,
        "days": days_in_period(frequency, end),
    }
    return float(numbers[column])


def days_in_period(frequency: Frequency, end: date) -> int:
    if frequency.kind == "B":
        return 1
    day = end
    while in_period(frequency, day - timedelta(days=1), period_containing(frequency, end)):
        day -= timedelta(days=1)
    return (end - day).days + 1


def in_period(frequency: Frequency, day: date, ordinal: int) -> bool:
    try:
        return period_containing(frequency, day) == ordinal
    except UserError:
        return False
