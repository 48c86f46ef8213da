"""Signs that a column of prices was adjusted with hindsight: for splits and dividends nobody knew of at the time."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from harness.core.transform import Floats
from harness.data.changes import ChangeFile
from harness.data.declaration import kinds_of
from harness.data.past import Past, past_of
from harness.data.rescaled import maybe_rescaled, rescaled_at_once

NAMES = re.compile(r"(^|[^a-z])(adj|adjusted)($|[^a-z])|adj_?close|adjclose")
FEWEST = 60
"""Values below which the tick grid says nothing."""
TICKS, GRID = 100.0, 1e-6
"""Ticks per unit of price, and how far from one (relative to the price, as 32-bit data are) is still on the grid."""
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
    if priced and NAMES.search(series.id.rpartition("/")[2].lower()):
        return "its name says that it is adjusted"
    events = (changes.events.code == changes.code_of(series_id)).any()
    found = off_grid_early(_newest_values(past)) if priced and not events else ""
    return found or (rescaled_at_once(past) if rescaled and series.scale != "rebased" else "")


def look_adjusted(changes: ChangeFile, series_ids: Sequence[str]) -> list[str]:
    """`looks_adjusted` of each series; what publications multiply is looked for in all of them at once.

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
    return [
        _signs(changes, name, rescaled=name in rescaled) if priced[kind] or name in rescaled else ""
        for name, kind in zip(series_ids, kinds, strict=True)
    ]


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
