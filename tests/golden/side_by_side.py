"""Their autoregression turned into ours, one change at a time; run as a module, it prints the tables."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
from threadpoolctl import threadpool_limits

from tests.golden.their_ar import THEIRS, Choices, forecast
from tests.golden.vintages import SERIES, Floats, Vintage, shipped, vintages

HORIZONS = (0, 1, 2, 4, 8)
FIRST = date(2010, 3, 31)
CHANGES: Sequence[tuple[str, dict[str, object]]] = (
    ("theirs, rebuilt", {}),
    ("the largest likelihood, not where the search stops", {"estimator": "student"}),
    ("normal errors", {"estimator": "normal"}),
    ("coefficients not kept stationary", {"estimator": "least squares"}),
    ("log growth", {"growth": "log"}),
    ("orders compared on one common sample", {"common_sample": True}),
    ("orders 0 to 4", {"orders": range(5)}),
    ("history from 1990: ours, rebuilt", {"after": date(1990, 1, 1)}),
)


def chain() -> list[tuple[str, Choices]]:
    """What is changed and the choices after it, from theirs to ours."""
    out, choices = [], THEIRS
    for name, change in CHANGES:
        choices = replace(choices, **change)  # type: ignore[arg-type]
        out.append((name, choices))
    return out


def is_rate(series: str) -> bool:
    return series == "unemployment"


def scored_values(series: str, paths: Iterable[tuple[Vintage, Floats]]) -> dict[tuple[int, date], float]:
    """Forecasts by (horizon, label of the target quarter): four-quarter log growth, or the rate, in per cent."""
    out = {}
    labels = [vintage.label for vintage in vintages(series)]
    for vintage, path in paths:
        place = labels.index(vintage.label)
        whole = np.concatenate([vintage.levels, path])
        for horizon in HORIZONS:
            if place + horizon < len(labels):
                out[horizon, labels[place + horizon]] = _target(series, whole, len(vintage.levels) + horizon)
    return out


def first_figures(series: str) -> dict[date, float]:
    """The target of each quarter from the first vintage that holds the quarter."""
    out: dict[date, float] = {}
    for vintage in vintages(series):
        out.setdefault(vintage.periods[-1], _target(series, vintage.levels, len(vintage.levels) - 1))
    return out


def rmse(series: str, values: dict[tuple[int, date], float]) -> list[float]:
    """Root mean squared error by horizon."""
    truth = first_figures(series)
    errors = {
        horizon: [truth[period] - value for (h, period), value in values.items() if h == horizon and period in truth]
        for horizon in HORIZONS
    }
    return [float(np.sqrt(np.mean(np.square(errors[horizon])))) for horizon in HORIZONS]


def origins(series: str) -> list[Vintage]:
    return [vintage for vintage in vintages(series) if vintage.label >= FIRST]


def rebuilt(series: str, choices: Choices) -> dict[tuple[int, date], float]:
    """Forecasts of every scored origin under some choices."""
    with threadpool_limits(1):
        paths = [(vintage, forecast(vintage, choices, rate=is_rate(series))) for vintage in origins(series)]
    return scored_values(series, paths)


def as_shipped(source: str, series: str) -> dict[tuple[int, date], float]:
    """Forecasts that came with the dataset, at every scored origin."""
    given = shipped(source, series)
    return scored_values(series, [(vintage, given[vintage.label]) for vintage in origins(series)])


def table(series: str) -> list[tuple[str, list[float]]]:
    """RMSE by horizon of each link of the chain."""
    rows = [("theirs, as shipped", rmse(series, as_shipped("ar_p", series)))]
    return rows + [(name, rmse(series, rebuilt(series, choices))) for name, choices in chain()]


def _target(series: str, levels: Floats, place: int) -> float:
    if is_rate(series):
        return 100.0 * float(levels[place])
    ratio = levels[place] / levels[place - 4]
    return 100.0 * float(np.log(ratio)) if ratio > 0.0 else float("inf")


def main() -> None:
    """Print the tables of README.md."""
    for series in SERIES:
        head = [series, *(f"h = {horizon}" for horizon in HORIZONS)]
        rows = [[name, *(f"{one:.3f}" if one < 100.0 else "> 100" for one in values)] for name, values in table(series)]
        lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
        lines.insert(1, "|---" * len(head) + "|")
        sys.stdout.write("\n".join(lines) + "\n\n")


if __name__ == "__main__":
    main()
