"""Steps that work on every column by itself: impute, winsorise, scale, rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np

from harness.core.errors import UserError
from harness.core.transform import Floats
from harness.forecast.steps.protocol import array, numbers
from harness.forecast.steps.rows import StepRows

STRATEGIES = ("median", "mean", "most_frequent", "constant")
SCALINGS = ("standard", "robust", "minmax")


def per_column(X: Floats, statistic: Callable[[Floats], float]) -> Floats:
    """[column] a statistic of each column's known values; NaN where none is known.

    >>> per_column(np.array([[1.0, np.nan], [3.0, np.nan]]), np.mean).tolist()
    [2.0, nan]
    """
    known = [column[~np.isnan(column)] for column in X.T]
    return np.array([float(statistic(values)) if len(values) else np.nan for values in known], dtype=np.float64)


class Impute:
    """Missing values become one number per column: its median, mean or most frequent value, or a constant.

    A column that is missing in every training row counts as 0. Of equally frequent values the smallest is taken.

    Args:
        strategy: `median`, `mean`, `most_frequent` or `constant`.
        value: the constant.
        indicator: adds a column `NAME.missing` of 0 and 1 for every column with a missing value in training.
    """

    takes_missing = True
    storable = True

    def __init__(self, *, strategy: str = "median", value: float = 0.0, indicator: bool = False) -> None:
        self.strategy, self.value, self.indicator = strategy, float(value), indicator
        self.warnings: list[str] = []
        self._fill: Floats = np.empty(0)
        self._marked: list[int] = []

    def fit(self, rows: StepRows, *, seed: int) -> None:
        """One number per column of the training rows."""
        if self.strategy == "constant":
            self._fill = np.full(len(rows.columns), self.value)
        else:
            statistic = {"median": np.median, "mean": np.mean, "most_frequent": _most_frequent}[self.strategy]
            found = per_column(rows.X, cast("Callable[[Floats], float]", statistic))
            self._fill = np.where(np.isnan(found), 0.0, found)
        self._marked = np.flatnonzero(np.isnan(rows.X).any(axis=0)).tolist() if self.indicator else []

    def transform(self, rows: StepRows) -> StepRows:
        """Fill what is missing."""
        missing = np.isnan(rows.X)
        filled = np.where(missing, self._fill, rows.X)
        names = tuple(f"{rows.columns[place]}.missing" for place in self._marked)
        return rows.with_columns(rows.columns + names, np.hstack([filled, missing[:, self._marked].astype(float)]))

    def parameters(self) -> dict[str, object]:
        """Fill values, and the columns that got an indicator."""
        return {"fill": numbers(self._fill), "marked": self._marked}

    def restore(self, parameters: Mapping[str, object]) -> None:
        """Take over what `parameters` gave."""
        self._fill, self._marked = array(parameters["fill"]), cast("list[int]", parameters["marked"])


def _most_frequent(values: Floats) -> float:
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[np.argmax(counts)])


class Winsorise:
    """Values beyond two quantiles of the training rows are moved to them; missing stays missing.

    Args:
        limits: lower and upper quantile level (linear interpolation between order statistics).
    """

    takes_missing = True
    storable = True

    def __init__(self, *, limits: Sequence[float] = (0.01, 0.99)) -> None:
        if len(limits) != 2 or not all(_is_level(level) for level in limits) or limits[0] >= limits[1]:
            raise UserError(
                "winsorise: limits are a lower and an upper quantile level",
                value=list(limits),
                rule="two numbers from 0 to 1, ascending",
                fix="limits = [0.01, 0.99]",
            )
        self.limits = (float(limits[0]), float(limits[1]))
        self.warnings: list[str] = []
        self._low: Floats = np.empty(0)
        self._high: Floats = np.empty(0)

    def fit(self, rows: StepRows, *, seed: int) -> None:
        """Both quantiles of every column."""
        self._low, self._high = (
            per_column(rows.X, lambda values, level=level: float(np.quantile(values, level)))  # type: ignore[misc]
            for level in self.limits
        )

    def transform(self, rows: StepRows) -> StepRows:
        """Clip; a column that had no value in training passes as it is."""
        low, high = (
            np.where(np.isnan(self._low), -np.inf, self._low),
            np.where(np.isnan(self._high), np.inf, self._high),
        )
        return rows.with_columns(rows.columns, np.clip(rows.X, low, high))

    def parameters(self) -> dict[str, object]:
        """The quantiles."""
        return {"low": numbers(self._low), "high": numbers(self._high)}

    def restore(self, parameters: Mapping[str, object]) -> None:
        """Take over what `parameters` gave."""
        self._low, self._high = array(parameters["low"]), array(parameters["high"])


def _is_level(level: object) -> bool:
    return isinstance(level, (int, float)) and not isinstance(level, bool) and 0.0 <= level <= 1.0


class Scale:
    """(value - centre) / scale per column; missing stays missing, a constant column becomes 0.

    Args:
        method: `standard` = mean and standard deviation (n in the denominator), `robust` = median and interquartile
            range, `minmax` = minimum and range.
    """

    takes_missing = True
    storable = True

    def __init__(self, *, method: str = "standard") -> None:
        self.method = method
        self.warnings: list[str] = []
        self._centre: Floats = np.empty(0)
        self._scale: Floats = np.empty(0)

    def fit(self, rows: StepRows, *, seed: int) -> None:
        """Centre and scale of every column."""
        centre, scale = _CENTRES[self.method]
        lowest = per_column(rows.X, np.min)
        constant = per_column(rows.X, np.max) == lowest
        self._centre = np.where(constant, lowest, per_column(rows.X, centre))
        spread = per_column(rows.X, scale)
        self._scale = np.where(constant | (spread == 0.0), 1.0, spread)

    def transform(self, rows: StepRows) -> StepRows:
        """Centre and divide; a column that had no value in training passes as it is."""
        centre, scale = np.nan_to_num(self._centre, nan=0.0), np.nan_to_num(self._scale, nan=1.0)
        return rows.with_columns(rows.columns, (rows.X - centre) / scale)

    def parameters(self) -> dict[str, object]:
        """Centres and scales."""
        return {"centre": numbers(self._centre), "scale": numbers(self._scale)}

    def restore(self, parameters: Mapping[str, object]) -> None:
        """Take over what `parameters` gave."""
        self._centre, self._scale = array(parameters["centre"]), array(parameters["scale"])


def _interquartile(values: Floats) -> float:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high - low)


_CENTRES: Mapping[str, tuple[Callable[[Floats], float], Callable[[Floats], float]]] = {
    "standard": (np.mean, np.std),
    "robust": (np.median, _interquartile),
    "minmax": (np.min, np.ptp),
}


class Rank:
    """A value becomes its place among the training values of its column, from 0 (below all) to 1 (above all).

    The place of v is (#{x < v} + #{x <= v}) / 2n, the empirical distribution function with ties in the middle.
    Missing stays missing.
    """

    takes_missing = True
    storable = True

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._sorted: list[Floats] = []

    def fit(self, rows: StepRows, *, seed: int) -> None:
        """Known training values of every column, in order."""
        self._sorted = [np.sort(column[~np.isnan(column)]) for column in rows.X.T]

    def transform(self, rows: StepRows) -> StepRows:
        """Places; a column that had no value in training becomes missing."""
        ranked = [_places(known, column) for known, column in zip(self._sorted, rows.X.T, strict=True)]
        return rows.with_columns(rows.columns, np.column_stack(ranked))

    def parameters(self) -> dict[str, object]:
        """The training values in order."""
        return {"sorted": [known.tolist() for known in self._sorted]}

    def restore(self, parameters: Mapping[str, object]) -> None:
        """Take over what `parameters` gave."""
        self._sorted = [array(known) for known in cast("list[object]", parameters["sorted"])]


def _places(known: Floats, values: Floats) -> Floats:
    if not len(known):
        return np.full(len(values), np.nan)
    below = np.searchsorted(known, values, side="left") + np.searchsorted(known, values, side="right")
    return np.where(np.isnan(values), np.nan, below / (2.0 * len(known)))
