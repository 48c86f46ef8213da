"""The vintages of `uk_macro`, read plainly from the committed tables: nothing of the harness is used here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FOLDER = Path(__file__).parents[2] / "datasets" / "uk_macro"
SERIES = ("cpi", "gdp", "earnings", "unemployment")


@dataclass(frozen=True, slots=True, eq=False)
class Vintage:
    """One series as it stood at one label.

    Attributes:
        label: last day of the quarter after the newest one in it.
        periods: [quarter] last days.
        levels: [quarter].
    """

    label: date
    periods: list[date]
    levels: Floats


def vintages(series: str) -> list[Vintage]:
    """Every vintage of a series, oldest first: per quarter the newest value published by the label."""
    changes = pl.read_parquet(FOLDER / "changes.parquet").filter(pl.col("series") == series).sort("published_at")
    labels = pl.read_parquet(FOLDER / "publications.parquet").filter(pl.col("series") == series)["published_at"].sort()
    out = []
    for label in labels:
        known = changes.filter(pl.col("published_at") <= label).group_by("period").agg(pl.col("value").last())
        known = known.sort("period")
        out.append(Vintage(label, known["period"].to_list(), known["value"].to_numpy()))
    return out


def shipped(source: str, series: str) -> Mapping[date, Floats]:
    """Levels [step] that came with the dataset, by label; the first step is the label's own quarter."""
    rows = pl.read_parquet(FOLDER / "forecasts.parquet")
    rows = rows.filter((pl.col("source") == source) & (pl.col("series") == series)).sort("issued_at", "period")
    return {label: part["value"].to_numpy() for (label,), part in rows.group_by("issued_at", maintain_order=True)}


def four_quarter_growth(levels: Floats) -> Floats:
    """100 (ln x_t - ln x_(t-4)) of each quarter from the fifth."""
    grown: Floats = 100.0 * (np.log(levels[4:]) - np.log(levels[:-4]))
    return grown
