"""Where two tables differ: bit for bit, or beyond a tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

RELATIVE, ABSOLUTE = 1e-6, 1e-9
"""How far numbers may be apart that were computed on different numeric platforms."""
KEYS = ("model", "rival", "series_id", "origin", "horizon", "quantile", "stretch", "period")


@dataclass(frozen=True, slots=True)
class TableDifference:
    """The first cell in which a table differs, and how many do.

    Attributes:
        table: its name.
        row: the row's keys in words; "" = the tables differ in shape.
        column: the column.
        recorded, found: both values, numbers with all their digits.
        cells: number of cells of this column that differ.
    """

    table: str
    row: str
    column: str
    recorded: str
    found: str
    cells: int


def table_differences(name: str, recorded: pl.DataFrame, found: pl.DataFrame, *, exact: bool) -> list[TableDifference]:
    """Every column in which two tables differ, with the first row that does.

    Args:
        name: what the table is called.
        recorded: as stored.
        found: as derived again.
        exact: every bit; else numbers within `RELATIVE` or `ABSOLUTE`, everything else equal.
    """
    if recorded.schema != found.schema:
        return [TableDifference(name, "", "columns", str(dict(recorded.schema)), str(dict(found.schema)), 1)]
    if recorded.height != found.height:
        return [TableDifference(name, "", "rows", str(recorded.height), str(found.height), 1)]
    keys = [key for key in KEYS if key in recorded.columns]
    recorded, found = (
        frame.sort(keys, nulls_last=True, maintain_order=True) if keys else frame for frame in (recorded, found)
    )
    out = []
    for column in recorded.columns:
        wrong = np.flatnonzero(_differ(recorded[column], found[column], exact=exact))
        if len(wrong):
            place = int(wrong[0])
            row = ", ".join(f"{key} {recorded[key][place]}" for key in keys if recorded[key][place] is not None)
            old, new = (repr(frame[column][place]) for frame in (recorded, found))
            out.append(TableDifference(name, row, column, old, new, len(wrong)))
    return out


def _differ(one: pl.Series, other: pl.Series, *, exact: bool) -> NDArray[np.bool_]:
    if one.dtype != pl.Float64:
        unlike: NDArray[np.bool_] = one.ne_missing(other).to_numpy()
        return unlike
    nulls = one.is_null().to_numpy() != other.is_null().to_numpy()
    left, right = (series.fill_null(0.0).to_numpy() for series in (one, other))
    if exact:
        return np.asarray(nulls | (left.view(np.int64) != right.view(np.int64)))
    near = np.isclose(left, right, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
    return np.asarray(nulls | ~near)


def farthest(recorded: pl.DataFrame, found: pl.DataFrame) -> float:
    """The largest relative distance between numbers of two tables of one shape; 0 = none differs."""
    largest = 0.0
    for column, dtype in recorded.schema.items():
        if dtype == pl.Float64:
            left, right = (frame[column].fill_null(0.0).to_numpy() for frame in (recorded, found))
            scale = np.maximum(np.abs(left), np.abs(right))
            apart = np.abs(left - right)
            with np.errstate(invalid="ignore", divide="ignore"):
                relative = np.where(apart > 0, apart / scale, 0.0)
            largest = max(largest, float(np.nanmax(relative, initial=0.0)))
    return largest if math.isfinite(largest) else math.inf
