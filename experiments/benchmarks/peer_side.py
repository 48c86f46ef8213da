"""What the scripts of several peers do alike: take arguments, read the panel as a matrix, add up what is compared.

It runs in `.venv-bench` and knows nothing of the harness.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray
from terms import DAILY, HORIZONS, LAGS, MEANS, MONTHLY, ORIGINS, PANELS, Panel

STEP = {DAILY: "1d", MONTHLY: "1mo"}
"""From one period to the next, as polars writes it."""
Floats = NDArray[np.float64]


def asked(doc: str | None, ways: Sequence[str]) -> argparse.ArgumentParser:
    """The arguments of every job: which way of several, the panel, its file and size, origins, workers."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=sorted(ways))
    parser.add_argument("panel", choices=sorted(PANELS))
    parser.add_argument("file", type=Path)
    for name in ("series", "periods"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--origins", type=int, default=ORIGINS)
    parser.add_argument("--workers", type=int, default=2)
    return parser


def read(file: Path) -> tuple[Floats, NDArray[np.datetime64]]:
    """A panel as values [series, period], and the last days of its periods."""
    frame = pl.read_parquet(file, columns=["series_id", "period", "value"])
    count = frame["series_id"].n_unique()
    values = frame["value"].to_numpy().reshape(count, -1)
    return values, frame["period"][: values.shape[1]].to_numpy()


def cutoffs(periods: int, origins: int, horizons: int = HORIZONS) -> range:
    """How many periods are known at each of the last origins whose farthest target is in the panel.

    >>> list(cutoffs(30, 3, 12))
    [16, 17, 18]
    """
    return range(periods - horizons - origins + 1, periods - horizons + 1)


def outcomes(values: Floats, origins: int, horizons: int = HORIZONS) -> Floats:
    """[series, origin, horizon] of a panel.

    >>> outcomes(np.arange(5.0)[np.newaxis], 2, 2).tolist()
    [[[2.0, 3.0], [3.0, 4.0]]]
    """
    known = cutoffs(values.shape[1], origins, horizons)
    return np.stack([values[:, one : one + horizons] for one in known], axis=1)


def before(panel: Panel) -> int:
    """Unknown values put before each series, for peers whose first row is the first of which all lags are there."""
    return max(*LAGS[panel.frequency], *MEANS[panel.frequency])


def lengthened(values: Floats, days: NDArray[np.datetime64], count: int) -> tuple[pd.DatetimeIndex, Floats]:
    """A panel with so many unknown values before the first of each series, and the periods of all."""
    index = pd.DatetimeIndex(days, freq="infer")
    whole = pd.date_range(end=index[-1], periods=count + len(index), freq=index.freq)
    return whole, np.pad(values, ((0, 0), (count, 0)), constant_values=np.nan)


def figures(name: str, outcome: Floats, forecast: Floats) -> dict[str, float]:
    """Scores over all forecasts together, by the name we give the model.

    >>> figures("a", np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    {'a n': 2.0, 'a mae': 1.0, 'a rmse': 1.4142135623730951, 'a smape': 0.25}
    """
    error = outcome - forecast
    size = np.abs(outcome) + np.abs(forecast)
    return {
        f"{name} n": float(error.size),
        f"{name} mae": float(np.abs(error).mean()),
        f"{name} rmse": float(np.sqrt(np.square(error).mean())),
        f"{name} smape": float((np.abs(error) / size).mean()),
    }
