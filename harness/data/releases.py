"""Counting releases: the k-th publication that covers a period, changed or not (S8)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.core.time import NEVER
from harness.data.changes import PublicationRows

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def check_countable(publications: PublicationRows, number: int, series_id: str) -> None:
    """Refuse to count releases of a source that reports changes only.

    Raises:
        UserError: `number` is above 1 and some publication cannot be counted.
    """
    if number > 1 and not publications.countable.all():
        raise UserError(
            "releases of this source cannot be counted",
            value=f"release {number} of {series_id}",
            rule="a source that reports changes only does not say when a value was confirmed unchanged",
            fix='use outcome = "after N days", or ingest its publications',
        )


def nth_release(publications: PublicationRows, ordinals: Integers, number: int) -> tuple[Integers, Flags]:
    """Instant of the number-th publication covering each period, and whether it was captured.

    >>> yes, zero = np.array([True, True]), np.zeros(2, dtype=np.int64)
    >>> seen = PublicationRows(zero.astype(np.int32), np.array([10, 20]), zero, np.array([1, 2]), yes, yes, yes)
    >>> nth_release(seen, np.array([0, 2]), 1)[0].tolist()
    [10, 20]

    Args:
        publications: of one series; several rows at one instant are one publication.
        ordinals: [request] period ordinals, in any order, repeats allowed.
        number: k >= 1.

    Returns:
        Microseconds UTC [request] (NEVER = not yet), captured [request] (True where there is none).
    """
    instants = np.full(len(ordinals), NEVER, dtype=np.int64)
    whole = np.ones(len(ordinals), dtype=bool)
    periods, place = np.unique(ordinals, return_inverse=True)
    low = np.searchsorted(periods, publications.first, side="left")
    high = np.searchsorted(periods, publications.last, side="right")
    lengths = np.maximum(high - low, 0)
    if not lengths.sum():
        return instants, whole
    offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    cells = np.repeat(low, lengths) + offsets
    times = np.repeat(publications.published, lengths)
    kept = np.repeat(publications.captured, lengths)
    order = np.lexsort((~kept, times, cells))
    cells, times, kept = cells[order], times[order], kept[order]
    new = np.concatenate(([True], (cells[1:] != cells[:-1]) | (times[1:] != times[:-1])))
    cells, times, kept = cells[new], times[new], kept[new]
    wanted = np.searchsorted(cells, np.arange(len(periods))) + number - 1
    there = wanted < np.searchsorted(cells, np.arange(len(periods)), side="right")
    hit = np.where(there, wanted, 0)
    return np.where(there, times[hit], NEVER)[place], (kept[hit] | ~there)[place]


def assumed_dates(periods: Integers, dates: Integers, ordinals: Integers) -> Integers:
    """Date (microseconds UTC) of the assumed row of each period; NEVER where there is none.

    >>> assumed_dates(np.array([4, 5]), np.array([40, 50]), np.array([5, 6])).tolist()[0]
    50

    Args:
        periods: ascending ordinals that have an assumed row.
        dates: their dates.
        ordinals: [request] asked ordinals.
    """
    if not len(periods):
        return np.full(len(ordinals), NEVER, dtype=np.int64)
    place = np.clip(np.searchsorted(periods, ordinals), 0, len(periods) - 1)
    return np.where(periods[place] == ordinals, dates[place], NEVER)
