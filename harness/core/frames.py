"""The frames that cross from room to room: training and forecast rows, and the schema of forecasts."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from harness.core.transform import Floats

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
