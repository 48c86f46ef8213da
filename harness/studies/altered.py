"""The same publications, altered in one respect: known at once, never revised, or later; the truth is not touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.core.series import Series
from harness.core.time import MICROS_PER_DAY, NEVER, end_of_day, micros, period_end
from harness.data.changes import ChangeFile
from harness.data.prefixes import prefix_digests

Integers = NDArray[np.int64]


def no_lag(changes: ChangeFile) -> ChangeFile:
    """Every cell known from the end of its period on, at the latest.

    A publication comes out as much earlier as its newest period waited after its end, so vintages stay whole (levels
    of two of them are never mixed, law 5) and revisions keep their delays. A value that a publication states for the
    first time for an older period is known from that period's end.

    Args:
        changes: the true changes.

    Returns:
        Changes with the same values; only `published` (and `vintage` with it) is earlier.
    """
    published = changes.published.copy()
    for code, rows in _by_series(changes):
        series = changes.series[changes.ids[code]]
        ends = _period_ends(series, changes.period[rows])
        published[rows] = _without_lag(changes.period[rows], changes.published[rows], ends, _firsts(changes, rows))
    vintage = np.where(_pseudo(changes), changes.vintage, np.minimum(changes.vintage, published))
    return _sorted(changes, published=published, vintage=vintage)


def latest_vintage(changes: ChangeFile) -> ChangeFile:
    """Every cell has from its first publication on the value that stands at the archive's end.

    Args:
        changes: the true changes.

    Returns:
        One change per cell; cells withdrawn by the end are gone.
    """
    kept, value = [], changes.value.copy()
    for _, rows in _by_series(changes):
        first = rows[_firsts(changes, rows)]
        first = first[np.argsort(changes.period[first], kind="stable")]
        final = _last_rows(changes, rows)
        final = final[np.isin(changes.period[final], changes.period[first])]
        value[first] = changes.value[final]
        kept.append(first)
    chosen = np.concatenate([np.empty(0, dtype=np.int64), *kept])
    return _sorted(changes, value=value, rows=chosen[~np.isnan(value[chosen])])


def delayed(changes: ChangeFile, days: int) -> ChangeFile:
    """Every change and publication the same number of days later; external forecasts stay where they are.

    Args:
        changes: the true changes.
        days: calendar days of 24 hours, at least 0.
    """
    by = days * MICROS_PER_DAY
    publications = changes.publications
    return replace(
        changes,
        published=changes.published + by,
        vintage=later(changes.vintage, days),
        publications=replace(publications, published=publications.published + by),
    )


def later(moments: Integers, days: int) -> Integers:
    """Instants (microseconds UTC) some days later; NEVER stays NEVER."""
    return np.where(moments == NEVER, NEVER, moments + days * MICROS_PER_DAY)


def untouched(changes: ChangeFile, altered: ChangeFile, series: tuple[str, ...]) -> bool:
    """Whether nothing was altered of some series."""
    end = [int(np.iinfo(np.int64).max)]
    return prefix_digests(changes, series, (), end) == prefix_digests(altered, series, (), end)


def with_values(changes: ChangeFile, value: NDArray[np.float64]) -> ChangeFile:
    """The same changes with other values [change]."""
    return replace(changes, value=value)


def rows_of(changes: ChangeFile, series_id: str) -> Integers:
    """Places of the changes of one series, in order of publication."""
    return np.flatnonzero(changes.code == changes.code_of(series_id)).astype(np.int64)


def _by_series(changes: ChangeFile) -> Iterator[tuple[int, Integers]]:
    """Codes that have changes, and the places of these in order of publication."""
    order = np.argsort(changes.code, kind="stable").astype(np.int64)
    for rows in np.split(order, np.flatnonzero(np.diff(changes.code[order])) + 1):
        if len(rows):
            yield int(changes.code[rows[0]]), rows


def _firsts(changes: ChangeFile, rows: Integers) -> Integers:
    """Among rows of one series, the places of the first value of every cell."""
    stated = np.flatnonzero(~np.isnan(changes.value[rows]))
    places: Integers = stated[np.unique(changes.period[rows][stated], return_index=True)[1]]
    return places


def _last_rows(changes: ChangeFile, rows: Integers) -> Integers:
    """The last change of every cell, by ascending period."""
    backwards = rows[::-1]
    last: Integers = backwards[np.unique(changes.period[backwards], return_index=True)[1]]
    return last


def _without_lag(period: Integers, published: Integers, ends: Integers, firsts: Integers) -> Integers:
    """[change] new instants of one series; arrays in order of publication."""
    newest = np.maximum.accumulate(period)
    whole = np.searchsorted(published, published, side="right") - 1  # the last row of the same publication
    newest = newest[whole]
    opened, place = np.unique(newest, return_inverse=True)
    first_row = np.searchsorted(newest, opened)  # newest is ascending
    row_of_newest = np.array([np.flatnonzero(period == one)[0] for one in opened], dtype=np.int64)
    wait = np.maximum(published[first_row] - ends[row_of_newest], 0)
    moved = published - wait[place]
    moved = np.minimum.accumulate(moved[::-1])[::-1]  # the order of publications stays
    moved[firsts] = np.minimum(moved[firsts], ends[firsts])
    return moved


def _period_ends(series: Series, ordinals: Integers) -> Integers:
    """[change] microseconds UTC at which each period ends in its series' zone."""
    distinct, place = np.unique(ordinals, return_inverse=True)
    ends = np.array([_end(series, int(one)) for one in distinct], dtype=np.int64)
    return ends[place]


@lru_cache(maxsize=1 << 16)
def _end(series: Series, ordinal: int) -> int:
    return micros(end_of_day(period_end(series.parsed, ordinal), series.zone))


def _pseudo(changes: ChangeFile) -> NDArray[np.bool_]:
    """[change] whether a value stood under an earlier date than its vintage already before anything was altered."""
    late: NDArray[np.bool_] = (changes.vintage == NEVER) | (changes.vintage > changes.published)
    return late


def _sorted(changes: ChangeFile, *, rows: Integers | None = None, **columns: Any) -> ChangeFile:
    """The changes with other columns, some of the rows, in order of (published, code, period)."""
    altered = replace(changes, **columns)
    picked = np.arange(len(altered.period)) if rows is None else rows
    keys = (altered.period[picked], altered.code[picked], altered.published[picked])
    picked = picked[np.lexsort(keys)]
    names = ("code", "period", "published", "value", "vintage", "availability")
    return replace(altered, **{name: getattr(altered, name)[picked] for name in names})
