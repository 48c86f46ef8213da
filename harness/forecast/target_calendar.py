"""Calendar columns of a target period: facts about its last day that anybody knows beforehand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UnknownNameError
from harness.core.time import Frequency, Ordinals, period_ends, period_ordinals
from harness.core.transform import Floats

Days = NDArray[np.datetime64]
ONE_PERIOD_TABLE_DAYS = 366
"""Length of the first period of a table with a single period (as `period_containing` has it)."""


def calendar_columns(frequency: Frequency, ends: Days, names: tuple[str, ...]) -> Floats:
    """Calendar columns of target periods.

    `month` (1-12), `quarter` (1-4, of the calendar year), `weekday` (0 = Monday), `day_of_month`, `week` (ISO 8601) and
    `year` (calendar) describe the period's last day. `days` counts the calendar days of the period; a session (B)
    counts as its own day, 1, whatever closure follows it.

    Args:
        frequency: the target's.
        ends: [horizon] last day of each target period, `datetime64[D]`; NaT = cannot be named.
        names: columns wanted, in order.

    Returns:
        [horizon, column]; NaN where the period cannot be named.

    Raises:
        UnknownNameError: no such column.

    >>> day = np.array(["2024-02-29", "NaT"], dtype="datetime64[D]")
    >>> calendar_columns(Frequency("M"), day, ("month", "week", "days")).tolist()
    [[2.0, 9.0, 29.0], [nan, nan, nan]]
    """
    columns = np.full((len(ends), len(names)), np.nan)
    named = ~np.isnat(ends)
    for place, name in enumerate(names):
        if name == "days":
            columns[named, place] = _days(frequency, ends[named])
        elif name in _OF_LAST_DAY:
            columns[named, place] = _OF_LAST_DAY[name](ends[named])
        else:
            raise UnknownNameError("calendar column", name, CALENDAR_COLUMNS)
    return columns


def _month(days: Days) -> Ordinals:
    return days.astype("datetime64[M]").astype(np.int64) % 12 + 1


def _year(days: Days) -> Ordinals:
    return days.astype("datetime64[Y]").astype(np.int64) + 1970


def _weekday(days: Days) -> Ordinals:
    return (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday


def _week(days: Days) -> Ordinals:
    thursdays = days.astype(np.int64) - _weekday(days) + 3  # the week belongs to the year of its Thursday
    new_year = thursdays.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    return (thursdays - new_year) // 7 + 1


def _day_of_month(days: Days) -> Ordinals:
    return days.astype(np.int64) - days.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + 1


def _days(frequency: Frequency, ends: Days) -> Floats:
    if frequency.kind in "DB":
        return np.ones(len(ends))
    if frequency.kind == "T":
        table = np.array(frequency.table, dtype="datetime64[D]").astype(np.int64)
        first = table[1] - table[0] if len(table) > 1 else ONE_PERIOD_TABLE_DAYS
        lengths = np.concatenate([[first], np.diff(table), [np.nan]])  # a day beyond the table has no length
        return np.asarray(lengths[np.searchsorted(table, ends.astype(np.int64))], dtype=np.float64)
    ordinals = period_ordinals(frequency, ends)
    lengths = period_ends(frequency, ordinals).astype(np.int64) - period_ends(frequency, ordinals - 1).astype(np.int64)
    return lengths.astype(np.float64)


_OF_LAST_DAY: dict[str, Callable[[Days], Ordinals]] = {
    "month": _month,
    "quarter": lambda days: (_month(days) - 1) // 3 + 1,
    "weekday": _weekday,
    "day_of_month": _day_of_month,
    "week": _week,
    "year": _year,
}
CALENDAR_COLUMNS = (*_OF_LAST_DAY, "days")
