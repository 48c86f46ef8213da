"""Counting releases: the k-th publication that covers a period, changed or not (S8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.core.time import NEVER
from harness.data.changes import ChangeFile, PublicationRows
from harness.data.standing import Cells

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
PUBLICATIONS = 1 << 16
"""Publications looked at together, so that what is made of them stays in the processor's cache."""


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


def nth_releases(changes: ChangeFile, cells: Cells, ids: Sequence[str], number: int) -> tuple[Integers, Flags]:
    """Instant of the number-th publication covering each cell, and whether it was captured; arrays [period, series].

    Raises:
        UserError: releases of a source cannot be counted.
    """
    if number == 1:
        return first_releases(changes, cells)
    every = changes.publications
    order = np.argsort(every.code, kind="stable")
    edges = np.searchsorted(every.code[order], np.arange(len(changes.ids) + 1))
    found, captured = np.full(cells.shape, NEVER, dtype=np.int64), np.ones(cells.shape, dtype=bool)
    for row, name in enumerate(ids):
        code = changes.code_of(name)
        mine = order[edges[code] : edges[code + 1]]
        published = PublicationRows(**{one: getattr(every, one)[mine] for one in PublicationRows.__dataclass_fields__})
        check_countable(published, number, name)
        found[:, row], captured[:, row] = nth_release(published, cells.periods, number)
    return found, captured


def first_releases(changes: ChangeFile, cells: Cells) -> tuple[Integers, Flags]:
    """Instant of the first publication covering each cell, and whether it was captured, for a whole panel.

    Args:
        changes: the change file.
        cells: series and periods.

    Returns:
        As `nth_release` for number 1, arrays [period, series].
    """
    found = np.full(cells.shape, NEVER, dtype=np.int64)
    flat = found.reshape(-1)
    for covered, published, _ in _covered(changes, cells):
        flat[covered[::-1]] = published[::-1]  # of several for one cell the earliest is written last
    captured: Flags = np.broadcast_to(np.ones(1, dtype=bool), cells.shape)
    if not changes.publications.captured.all():
        captured = np.ones(cells.shape, dtype=bool)
        whole = captured.reshape(-1)
        whole[flat != NEVER] = False
        for covered, published, seen in _covered(changes, cells):
            whole[covered[seen & (published == flat[covered])]] = True
    return found, captured


def _covered(changes: ChangeFile, cells: Cells) -> Iterator[tuple[Integers, Integers, Flags]]:
    """Flat cell, instant and whether captured of every (publication, asked period) pair; later chunks come first."""
    every, count = changes.publications, cells.count
    reached = np.searchsorted(cells.periods, np.arange(cells.low, cells.low + len(cells.columns) + 1))
    for end in range(len(every.code), 0, -PUBLICATIONS):
        part = slice(max(0, end - PUBLICATIONS), end)
        row = cells.row_of.take(every.code[part].astype(np.int64))
        published, captured = every.published[part], every.captured[part]
        # asked periods from the first one covered up to, without, the first one after the last one covered
        low, high = (
            reached.take(np.clip(last - cells.low, 0, len(cells.columns)))
            for last in (every.first[part], every.last[part] + 1)
        )
        lengths = np.where(row >= 0, np.maximum(high - low, 0), 0)
        start = low * count + row
        if (lengths == 1).all():
            yield start, published, captured
        elif (lengths <= 1).all():
            there = lengths == 1
            yield start[there], published[there], captured[there]
        else:
            offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            yield (
                np.repeat(start, lengths) + offsets * count,
                np.repeat(published, lengths),
                np.repeat(captured, lengths),
            )
