"""Signs that a column of prices was adjusted with hindsight: for splits and dividends nobody knew of at the time."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.core.time import instant
from harness.core.transform import Floats
from harness.data.changes import ChangeFile
from harness.data.declaration import kinds_of
from harness.data.past import Past, past_of

Integers = NDArray[np.int64]
CHUNK = 1 << 18
"""Changes looked at together, so that what is made of them stays in the processor's cache."""
NAMES = re.compile(r"(^|[^a-z])(adj|adjusted)($|[^a-z])|adj_?close|adjclose")
FEWEST = 60
"""Values below which the tick grid says nothing."""
TICKS, GRID = 100.0, 1e-6
"""Ticks per unit of price, and how far from one (relative to the price, as 32-bit data are) is still on the grid."""
ON, OFF = 0.95, 0.5
"""Share on the grid in the newest stretch, and off it in the oldest, from which a series looks adjusted."""
RESTATED, ALIKE, LEAST_MOVE, FEWEST_RESTATED = 0.8, 0.95, 1e-3, 20
"""Share of the history one publication restates, share of it by one factor, and how far that factor is from 1."""


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
    series = changes.series[changes.ids[changes.code_of(series_id)]]
    if series_id not in changes.known_through:
        return ""
    past = past_of(changes, series_id)
    priced = series.parsed.kind in "BD" and bool((past.value[~np.isnan(past.value)] > 0).all())
    if priced and NAMES.search(series.id.rpartition("/")[2].lower()):
        return "its name says that it is adjusted"
    events = (changes.events.code == changes.code_of(series_id)).any()
    found = off_grid_early(_newest_values(past)) if priced and not events else ""
    return found or ("" if series.scale == "rebased" else rescaled_at_once(past))


def may_look_adjusted(changes: ChangeFile, series_ids: Sequence[str]) -> set[str]:
    """Of which series `looks_adjusted` has anything to look at, found in one pass; of the others it says nothing.

    Args:
        changes: the change file.
        series_ids: stored ids.
    """
    # changes of one series published together stand side by side
    apart, at_once = FEWEST_RESTATED - 1, set[str]()
    for start in range(0, len(changes.code) - apart, CHUNK):
        code, published = (rows[start : start + CHUNK + apart] for rows in (changes.code, changes.published))
        same = (code[apart:] == code[:-apart]) & (published[apart:] == published[:-apart])
        at_once |= {changes.ids[one] for one in np.unique(code[apart:][same]).tolist()}
    kinds, priced = kinds_of(changes.series, series_ids), dict[object, bool]()
    for name, kind in zip(series_ids, kinds, strict=True):
        if kind not in priced:
            priced[kind] = changes.series[name].parsed.kind in "BD"
    return {name for name, kind in zip(series_ids, kinds, strict=True) if name in at_once or priced[kind]}


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


def rescaled_at_once(past: Past) -> str:
    """Whether one publication multiplies nearly the whole history known by then by one factor.

    Args:
        past: the changes of a series, in order of publication.
    """
    low, high = past.span
    standing, done = np.full(high - low + 1, np.nan), 0
    edges = np.concatenate(([0], np.flatnonzero(np.diff(past.published)) + 1, [len(past.published)]))
    for large in np.flatnonzero(np.diff(edges) >= FEWEST_RESTATED):
        start, end = int(edges[large]), int(edges[large + 1])
        standing[past.period[done:start] - low] = past.value[done:start]  # of several for one period the last stays
        places, now = past.period[start:end] - low, past.value[start:end]
        before, known = standing[places], int((~np.isnan(standing)).sum())
        standing[places], done = now, end
        both = ~np.isnan(before) & ~np.isnan(now) & (before > 0)
        if both.sum() < max(FEWEST_RESTATED, RESTATED * known):
            continue
        ratios = now[both] / before[both]
        factor = float(np.median(ratios))
        alike = np.abs(ratios - factor) <= 0.1 * abs(factor - 1.0)
        if abs(factor - 1.0) >= LEAST_MOVE and alike.mean() >= ALIKE:
            day = instant(int(past.published[start])).date()
            return f"what was published on {day} multiplies {both.sum()} of {known} earlier values by {factor:.4g}"
    return ""


def _newest_values(past: Past) -> Floats:
    """The newest value of every period that has one, oldest period first."""
    newest = np.full(past.span[1] - past.span[0] + 1, np.nan)
    newest[past.period - past.span[0]] = past.value
    known: Floats = newest[~np.isnan(newest)]
    return known
