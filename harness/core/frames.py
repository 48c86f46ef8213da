"""The frames that cross from room to room: training and forecast rows, and the schema of forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.transform import Floats

Integers = NDArray[np.int64]
UTC_INSTANT = pl.Datetime("us", "UTC")

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
    """Keys of rows as arrays [row].

    Attributes:
        series_ids: stored ids of the target's series.
        series: place of the row's series among them.
        instants: pseudo-origin, microseconds UTC.
        horizons: the horizon.
        periods: last day of the target period, `datetime64[D]`.
    """

    series_ids: tuple[str, ...]
    series: Integers
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
                pl.Series("pseudo_origin", self.instants).cast(UTC_INSTANT),
                pl.Series("horizon", self.horizons.astype(np.int32)),
                pl.Series("period", self.periods.astype("datetime64[D]")).cast(pl.Date),
            ]
        )


class CutRows(Rows):
    """Rows held as arrays, in the order direct learners want; their frames are made when somebody asks for them."""

    __slots__ = ("_frames", "cells", "columns", "order", "row_keys")
    _frames: dict[str, pl.DataFrame]
    row_keys: RowKeys
    columns: tuple[str, ...]
    cells: Floats
    order: Integers

    def __init__(
        self, columns: tuple[str, ...], row_keys: RowKeys, order: Integers, cells: Floats, y: Floats | None = None
    ) -> None:
        """Hold the arrays.

        Args:
            columns: names of the features.
            row_keys: keys [row].
            order: [place] the row at each place by (horizon, series id, pseudo-origin, period).
            cells: [place, feature] features in that order; NaN = missing.
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
            turned[:, self.order] = self.cells.T
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

    def parts(self) -> Iterator[tuple[int, slice]]:
        """Each horizon, ascending, and its places."""
        steps = self.row_keys.horizons[self.order]
        found, starts = np.unique(steps, return_index=True)
        ends = [*starts[1:].tolist(), len(steps)]
        for step, start, end in zip(found.tolist(), starts.tolist(), ends, strict=True):
            yield step, slice(start, end)
