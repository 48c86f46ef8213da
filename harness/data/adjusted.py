"""Signs that a column of prices was adjusted with hindsight: for splits and dividends nobody knew of at the time."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.core.transform import Floats
from harness.data.changes import ChangeFile
from harness.data.declaration import kinds_of
from harness.data.past import Integers, Past, past_of, rows_of
from harness.data.rescaled import maybe_rescaled, rescaled_at_once

NAMES = re.compile(r"(^|[^a-z])(adj|adjusted)($|[^a-z])|adj_?close|adjclose")
FEWEST = 60
"""Values below which the tick grid says nothing."""
TICKS, GRID = 100.0, 1e-6
"""Ticks per unit of price, and how far from one (relative to the price, as 32-bit data are) is still on the grid."""
TOGETHER = 1 << 7
"""Series that are looked at together."""
ON, OFF = 0.95, 0.5
"""Share on the grid in the newest stretch, and off it in the oldest, from which a series looks adjusted."""


def looks_adjusted(changes: ChangeFile, series_id: str) -> str:
    """Why a series looks adjusted with hindsight; "" when it does not.

    Three signs: its name; prices on the tick grid of two decimals lately and off it early (no events declared); and a
    publication that multiplies nearly the whole history by one factor (not of a series declared `rebased`).

    Args:
        changes: the change file.
        series_id: stored id.

    Raises:
        UnknownNameError: no such series.
    """
    return _signs(changes, series_id, rescaled=True)


def _signs(changes: ChangeFile, series_id: str, *, rescaled: bool) -> str:
    """The same, where it may be known that no publication rescaled it."""
    series = changes.series[changes.ids[changes.code_of(series_id)]]
    if series_id not in changes.known_through:
        return ""
    past = past_of(changes, series_id)
    priced = series.parsed.kind in "BD" and bool((past.value[~np.isnan(past.value)] > 0).all())
    if priced and _says_so(series.id):
        return "its name says that it is adjusted"
    events = (changes.events.code == changes.code_of(series_id)).any()
    found = off_grid_early(_newest_values(past)) if priced and not events else ""
    return found or (rescaled_at_once(past) if rescaled and series.scale != "rebased" else "")


def look_adjusted(changes: ChangeFile, series_ids: Sequence[str]) -> list[str]:
    """`looks_adjusted` of each series; what publications multiply, and grids, are looked for in all of them at once.

    Args:
        changes: the change file.
        series_ids: stored ids.

    Raises:
        UnknownNameError: no such series.
    """
    rescaled = {changes.ids[code] for code in maybe_rescaled(changes, series_ids)}
    kinds, priced = kinds_of(changes.series, series_ids), dict[object, bool]()
    for name, kind in zip(series_ids, kinds, strict=True):
        if kind not in priced:
            priced[kind] = changes.series[name].parsed.kind in "BD"
    prices = [name for name, kind in zip(series_ids, kinds, strict=True) if priced[kind]]
    suspect = rescaled | {name for name in prices if _says_so(name)} | maybe_off_grid(changes, prices)
    return [_signs(changes, name, rescaled=name in rescaled) if name in suspect else "" for name in series_ids]


def _says_so(series_id: str) -> bool:
    return NAMES.search(series_id.rpartition("/")[2].lower()) is not None


def maybe_off_grid(changes: ChangeFile, series_ids: Sequence[str]) -> set[str]:
    """The series among some in which `off_grid_early` finds something, found in blocks of series.

    Args:
        changes: the change file.
        series_ids: stored ids.
    """
    codes, found = np.unique(changes.codes_of(series_ids)), set[str]()
    for start in range(0, len(codes), TOGETHER):
        block = codes[start : start + TOGETHER]
        found |= {changes.ids[code] for code in block[_off_grid_early(_newest_of(changes, block))].tolist()}
    return found


def _newest_of(changes: ChangeFile, codes: Integers) -> Floats:
    """[series, period] newest values of some series, ascending; NaN = none."""
    rows = rows_of(changes, codes)
    period, series = changes.period[rows].astype(np.int64), np.searchsorted(codes, changes.code[rows])
    low, high = (int(period.min()), int(period.max())) if len(rows) else (0, 0)
    newest: Floats = np.full((len(codes), high - low + 1), np.nan)
    newest[series, period - low] = changes.value[rows]  # of several the last stays
    return newest


def _off_grid_early(newest: Floats) -> NDArray[np.bool_]:
    """[series] whether `off_grid_early` says something of the values there are."""
    known = ~np.isnan(newest)
    off = known & (np.abs(newest * TICKS - np.round(newest * TICKS)) > GRID * TICKS * newest)
    rank = known.cumsum(axis=1, dtype=np.int32)
    count = rank[:, -1:]
    early, late = count // 3, np.maximum(FEWEST // 3, count // 10)
    first, last = (off & (rank <= early)).sum(axis=1), (off & (rank > count - late)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        told: NDArray[np.bool_] = (first / early[:, 0] > OFF) & (1.0 - last / late[:, 0] >= ON)
    return told & (count[:, 0] >= FEWEST)


def off_grid_early(values: Floats) -> str:
    """Whether prices are on the grid of two decimals in their newest tenth and mostly off it in their oldest third.

    >>> old, new = 33.0 * np.arange(1, 61) / 7.0, 10.0 + np.arange(60) / 100.0
    >>> off_grid_early(np.concatenate((old, new)))
    'off the tick grid of 0.01 in 88% of its oldest third, on it in 100% of its newest tenth'
    >>> off_grid_early(np.concatenate((new, new)))
    ''

    Args:
        values: [period] prices, oldest first, without gaps.
    """
    if len(values) < FEWEST:
        return ""
    off = np.abs(values * TICKS - np.round(values * TICKS)) > GRID * TICKS * values
    early, late = off[: len(off) // 3], off[-max(FEWEST // 3, len(off) // 10) :]
    if early.mean() <= OFF or 1.0 - late.mean() < ON:
        return ""
    return (
        f"off the tick grid of 0.01 in {early.mean():.0%} of its oldest third, "
        f"on it in {1.0 - late.mean():.0%} of its newest tenth"
    )


def _newest_values(past: Past) -> Floats:
    """The newest value of every period that has one, oldest period first."""
    newest = np.full(past.span[1] - past.span[0] + 1, np.nan)
    newest[past.period - past.span[0]] = past.value
    known: Floats = newest[~np.isnan(newest)]
    return known
