"""Runs of the harness on `uk_macro`, with the forecasts that other code made on the same vintages beside its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.record.home import Home

ROOT = Path(__file__).parents[2]
EXPERIMENT = """
schema = 1
name = "golden"
datasets = ["uk_macro"]

[target]
series = {series}
transform = {transform}

[origins]
every = "quarter end"
first = 2010-03-31

[horizons]
steps = [0, 1, 2, 4, 8]

[models.ar]
kind = "autoregression"

[models.their_ar]
kind = "external"
source = "ar_p"

[models.their_random_walk]
kind = "external"
source = "random_walk"
"""


class Answers:
    """What the harness answered and scored, in per cent, for the four series.

    Attributes:
        errors: the audit tables of both runs below each other.
    """

    def __init__(self, growth: pl.DataFrame, rate: pl.DataFrame) -> None:
        per_cent = rate.with_columns(pl.col("value", "outcome") * 100.0)
        self.errors = pl.concat([growth, per_cent]).filter(pl.col("scored"))

    def values(self, series: str, model: str) -> dict[tuple[int, date], float]:
        """Answers by (horizon, target period)."""
        rows = self.errors.filter((pl.col("series_id") == f"uk_macro/{series}") & (pl.col("model") == model))
        return {(h, period): value for h, period, value in rows.select("horizon", "period", "value").rows()}

    def rmse(self, series: str, model: str) -> dict[int, float]:
        """By horizon."""
        rows = self.errors.filter((pl.col("series_id") == f"uk_macro/{series}") & (pl.col("model") == model))
        squares = (
            rows.drop_nulls("outcome").group_by("horizon").agg(((pl.col("outcome") - pl.col("value")) ** 2).mean())
        )
        return {horizon: square**0.5 for horizon, square in squares.rows()}


@pytest.fixture(scope="session")
def answers(uk_home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    """Two runs: four-quarter growth of three series, and the unemployment rate."""
    folder = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        growth = _errors(folder, uk_home, '["cpi", "gdp", "earnings"]', "{ log_growth = 4 }")
        yield Answers(growth, _errors(folder, uk_home, '["unemployment"]', '"level"'))


def _errors(folder: Path, home: Home, series: str, transform: str) -> pl.DataFrame:
    file = folder / "golden.toml"
    file.write_text(EXPERIMENT.replace("{series}", series).replace("{transform}", transform), encoding="utf-8")
    return hs.backtest(file, workers=1, home=home.root).errors()
