"""Checks of how values move: revisions against earlier revisions, jumps of base or unit."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator

import numpy as np
import polars as pl

from harness.data.assertions.judged import Asked, Judged, flags, judged
from harness.data.assertions.rules import Jump, Revision

Row = tuple[int, int, float]


def _publications(rows: pl.DataFrame, name: str) -> Iterator[list[Row]]:
    """(place, day of the period, value) of one series, publication by publication, periods ascending."""
    mine = rows.with_row_index("place").filter((pl.col("series_id") == name) & pl.col("value").is_not_null())
    ordered = mine.sort("published", "period", "place").with_columns(pl.col("period").cast(pl.Int64))
    for _, part in ordered.group_by("published", maintain_order=True):
        yield part.select("place", "period", "value").rows()


def revision(check: Revision, rows: pl.DataFrame, asked: pl.Series, about: Asked) -> Judged:
    """Revisions against k times the root mean square of those published strictly earlier."""
    failing: dict[int, str] = {}
    spoken: list[int] = []
    unclear: list[int] = []
    for name in about.series:
        standing: dict[int, float] = {}
        squares = array("d")  # read by numpy where it lies: a list would be copied at every publication
        for told in _publications(rows, name):
            sigma = float(np.sqrt(np.mean(np.frombuffer(squares)))) if len(squares) >= check.minimum else 0.0
            new: list[float] = []
            for place, period, value in told:
                before = standing.get(period)
                size = None if before is None or before == value else _size(before, value, relative=check.relative)
                if size is not None:
                    spoken.append(place)
                    if not sigma or np.isnan(size):
                        unclear.append(place)
                    elif abs(size) > check.k * sigma:
                        failing[place] = f"revised from {before!r}, {abs(size) / sigma:.1f} sigma of earlier revisions"
                if place not in failing or about.taken or place < about.held:
                    standing[period] = value
                    new += [] if size is None or np.isnan(size) else [size * size]
            squares.extend(new)
    return judged(rows.height, asked & flags(rows.height, spoken), failing, flags(rows.height, unclear))


def _size(before: float, value: float, *, relative: bool) -> float:
    if not relative:
        return value - before
    return (value - before) / abs(before) if before else float("nan")


def jump(check: Jump, rows: pl.DataFrame, asked: pl.Series, about: Asked) -> Judged:
    """Values that are a multiple of what they follow; of the first, and of what follows a zero, nobody can tell."""
    failing: dict[int, str] = {}
    spoken: list[int] = []
    unclear: list[int] = []
    for name in about.series:
        standing: dict[int, float] = {}
        periods: list[int] = []
        for told in _publications(rows, name):
            for place, period, value in told:
                spoken.append(place)
                at = bisect_left(periods, period)
                prior = standing[periods[at - 1]] if at else None
                known = [one for one in (standing.get(period), prior) if one]
                said = [why for one in known if (why := _jumped(one, value, check))]
                if said:
                    failing[place] = said[0]
                elif not known:
                    unclear.append(place)
                if not said or about.taken or place < about.held:
                    if period not in standing:
                        insort(periods, period)
                    standing[period] = value
    return judged(rows.height, asked & flags(rows.height, spoken), failing, flags(rows.height, unclear))


def _jumped(before: float, value: float, check: Jump) -> str:
    ratio = value / before
    if ratio < 0.0 and check.signs:
        return f"another sign than {before!r} before it"
    if not 1.0 / check.factor < abs(ratio) < check.factor:
        return f"{ratio:.6g} times {before!r} before it"
    return ""
