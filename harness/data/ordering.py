"""Rows of a frame put in order by columns of integers, by one number for all of them where one holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

BLOCK = 1 << 18
"""Rows compared at a time: they stay in the processor's cache."""
WIDE, SECOND = 1 << 32, 1_000_000
"""Instants that reach farther than this many microseconds are counted in seconds where they are whole ones."""
MOST = 1 << 62
"""Orders that one number may tell apart."""


def in_order(frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """The rows sorted by integer columns, rows alike in them as they stood; at once where they are sorted already."""
    keys = [frame[name].to_numpy() for name in columns]
    if is_sorted(keys):
        return frame
    key = one_key(keys)
    if key is None:
        return frame.sort(columns, maintain_order=True)
    ranked = pl.DataFrame({"key": key})
    del keys, key  # before the rows are taken
    rows = ranked.select(pl.arg_sort_by("key", maintain_order=True)).to_series()
    del ranked
    return frame[rows]


def is_sorted(columns: Sequence[NDArray[Any]]) -> bool:
    """Whether rows ascend by their first column, rows alike in it by the second, and so on.

    Args:
        columns: [row] integers without gaps.
    """
    for start in range(0, max(len(columns[0]) - 1, 0), BLOCK):
        rows = slice(start, start + BLOCK + 1)
        tied: NDArray[np.bool_] | None = None
        for column in columns:
            before, after = column[rows][:-1], column[rows][1:]
            falls = before > after
            if (falls if tied is None else falls & tied).any():
                return False
            tied = before == after if tied is None else tied & (before == after)
    return True


def one_key(columns: Sequence[NDArray[Any]]) -> NDArray[np.int64] | None:
    """[row] a number that orders rows as the columns do; None = there are too many orders for one.

    >>> one_key([np.array([2, 1, 1]), np.array([10, 30, 20])]).tolist()
    [21, 20, 10]

    Args:
        columns: [row] integers without gaps, one row at least.
    """
    lows, units, spans, size = [int(column.min()) for column in columns], list[int](), list[int](), 1
    for column, low in zip(columns, lows, strict=True):
        units.append(_unit(column, low, int(column.max())))
        spans.append((int(column.max()) - low) // units[-1] + 1)
        size *= spans[-1]
        if size > MOST:
            return None
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for start in range(0, len(key), BLOCK):
        part = key[start : start + BLOCK]
        for column, low, unit, span in zip(columns, lows, units, spans, strict=True):
            part *= span
            above = np.subtract(column[start : start + BLOCK], low, dtype=np.int64)
            part += above if unit == 1 else above // unit
    return key


def _unit(column: NDArray[Any], low: int, high: int) -> int:
    """In what a column that reaches far is counted, nothing left over."""
    if high - low < WIDE or high - low > MOST:
        return 1
    blocks = range(0, len(column), BLOCK)
    whole = all(not ((column[start : start + BLOCK] - low) % SECOND).any() for start in blocks)
    return SECOND if whole else 1
