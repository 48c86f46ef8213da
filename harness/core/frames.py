"""The frames that cross from room to room: training and forecast rows, and the schema of forecasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.transform import Floats

Integers = NDArray[np.int64]
UTC_INSTANT = pl.Datetime("us", "UTC")
LARGE = 1 << 21
"""Bytes of what is read together from which on a table is let go of afterwards."""
REACH = 1 << 25
"""Bytes of a table that are passed over together at most: of rows far apart whole pages are read, in between too."""

KEY_SCHEMA = pl.Schema(
    {
        "series_id": pl.String(),
        "pseudo_origin": UTC_INSTANT,
        "horizon": pl.Int32(),
        "period": pl.Date(),
    }
)
ANSWER_SCHEMA = pl.Schema(
    {
        "series_id": pl.String(),
        "horizon": pl.Int32(),
        "period": pl.Date(),
        "quantile": pl.Float64(),
        "value": pl.Float64(),
    }
)
"""What a forecaster's predict returns: quantile null = point forecast, value null = abstained."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Feature rows, each frozen at its own (pseudo-)origin (law 3).

    Attributes:
        X: [row, feature] Float64 columns in a fixed order; null/NaN = missing. May have no columns.
        keys: [row] series_id, pseudo_origin, horizon, period (the target period's last day).
        y: [row] matured label in the target's unit, or None for rows to be forecast.
    """

    X: pl.DataFrame
    keys: pl.DataFrame
    y: Floats | None = None

    def __len__(self) -> int:
        return self.keys.height


@dataclass(frozen=True, slots=True, eq=False)
class RowKeys:
    """Keys of rows, as places in the tables of a plan: what they name is looked up when somebody asks.

    Attributes:
        series_ids: stored ids of the target's series.
        series: [row] place of the row's series among them.
        origins: [row] place of its pseudo-origin.
        steps: [row] place of its horizon.
        instants: [origin] microseconds UTC; only those of the rows need to be filled in.
        horizons: [horizon] the horizons.
        periods: [origin, horizon] last day of the target period, `datetime64[D]`.
    """

    series_ids: tuple[str, ...]
    series: Integers
    origins: Integers
    steps: Integers
    instants: Integers
    horizons: Integers
    periods: NDArray[np.datetime64]

    def frame(self) -> pl.DataFrame:
        """The same as a frame of `KEY_SCHEMA`."""
        if len(self.series) == 1:
            names = pl.Series("series_id", [self.series_ids[int(self.series[0])]], dtype=pl.String)
        else:
            names = pl.Series("series_id", self.series_ids, dtype=pl.String).gather(self.series)
        return pl.DataFrame(
            [
                names,
                pl.Series("pseudo_origin", self.instants[self.origins]).cast(UTC_INSTANT),
                pl.Series("horizon", self.horizons.astype(np.int32)[self.steps]),
                pl.Series("period", self.periods.astype("datetime64[D]")[self.origins, self.steps]).cast(pl.Date),
            ]
        )


def _nothing() -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Features of rows, read out of the table that holds them when they are asked for: no copy of all of them exists.

    Attributes:
        table: [cell, column] numbers, float64 or float32; NaN = missing.
        cell: [place] cell of the row at each place.
        columns: [horizon, feature] column of each feature at each horizon.
        let_go: gives back what reading the table took besides what was read: it may lie in a file.
    """

    table: Floats
    cell: Integers
    columns: Integers
    let_go: Callable[[], None] = _nothing

    def read(self, step: int, part: slice) -> Floats:
        """[place, feature] features of the rows at some places, all of one horizon."""
        rows = self.cell[part]
        reach = (int(rows.max()) - int(rows.min()) + 1) * self.table.strides[0] if len(rows) else 0
        pieces = max(1, min(len(rows), -(-reach // REACH)))
        found = list[Floats]()
        for some in np.array_split(rows, pieces):
            found.append(self._read(step, some))
            if pieces > 1 or found[-1].nbytes >= LARGE:
                self.let_go()
        return found[0] if pieces == 1 else np.concatenate(found)

    def _read(self, step: int, rows: Integers) -> Floats:
        columns = self.columns[step]
        if len(columns) == self.table.shape[1] and (np.diff(columns) == 1).all():
            return np.take(self.table, rows, axis=0)
        out = np.empty((len(rows), len(columns)), dtype=self.table.dtype)
        if not len(columns):  # a model that looks at no feature
            return out
        edges = [0, *(np.flatnonzero(np.diff(columns) != 1) + 1).tolist(), len(columns)]
        for start, stop in pairwise(edges):
            first = int(columns[start])
            out[:, start:stop] = self.table[rows, first : first + stop - start]
        return out


class CutRows(Rows):
    """Rows held as arrays, in the order direct learners want; their frames are made when somebody asks for them."""

    __slots__ = ("_frames", "cells", "columns", "order", "row_keys")
    _frames: dict[str, pl.DataFrame]
    row_keys: RowKeys
    columns: tuple[str, ...]
    cells: Cells
    order: Integers

    def __init__(
        self, columns: tuple[str, ...], row_keys: RowKeys, order: Integers, cells: Cells, y: Floats | None = None
    ) -> None:
        """Hold the arrays.

        Args:
            columns: names of the features.
            row_keys: keys [row].
            order: [place] the row at each place by (horizon, series id, pseudo-origin, period).
            cells: features by place in that order.
            y: [row] matured label, or None.
        """
        held: dict[str, Any] = {"columns": columns, "row_keys": row_keys, "order": order, "cells": cells, "y": y}
        for name, value in {**held, "_frames": {}}.items():
            object.__setattr__(self, name, value)

    @property
    def X(self) -> pl.DataFrame:
        """[row, feature] as a frame."""
        if "X" not in self._frames:
            turned = np.empty((len(self.columns), len(self.order)))
            for step, _, part in self.parts():
                turned[:, self.order[part]] = self.cells.read(step, part).T
            self._frames["X"] = pl.DataFrame([pl.Series(name, turned[k]) for k, name in enumerate(self.columns)])
        return self._frames["X"]

    @property
    def keys(self) -> pl.DataFrame:
        """[row] keys as a frame."""
        if "keys" not in self._frames:
            self._frames["keys"] = self.row_keys.frame()
        return self._frames["keys"]

    def __len__(self) -> int:
        return len(self.order)

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.X, self.keys, self.y)

    def parts(self) -> Iterator[tuple[int, int, slice]]:
        """Each horizon, ascending: its place among the horizons, the horizon, and its places in the order."""
        counts = np.bincount(self.row_keys.steps, minlength=len(self.row_keys.horizons))
        start = 0
        for step in np.argsort(self.row_keys.horizons).tolist():
            if counts[step]:
                yield step, int(self.row_keys.horizons[step]), slice(start, start + int(counts[step]))
            start += int(counts[step])
