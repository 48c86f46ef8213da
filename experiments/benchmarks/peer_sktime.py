"""Naive rivals one series at a time, or AutoETS, by sktime; from the same Parquet file.

    .venv-bench/bin/python experiments/benchmarks/peer_sktime.py rivals B file.parquet [--series 200] [--origins 12]

- `rivals`: `evaluate` of each series, fitted at each origin, scored by sktime's own metrics.
- `ets`: components chosen by the corrected AIC at the newest origin, of `--asked` series spread evenly (0 = all);
  seconds are scaled to every series and origin.

The last line printed is the job's report.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pandas as pd
from peer_side import asked, cutoffs, figures, outcomes, read
from sktime.forecasting.ets import AutoETS
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.naive import NaiveForecaster
from sktime.performance_metrics.forecasting import (
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanAbsoluteScaledError,
    MeanSquaredError,
    MeanSquaredScaledError,
)
from sktime.split import ExpandingWindowSplitter
from terms import HORIZONS, UNITS, Panel, Report, panel_of

STEPS = np.arange(1, HORIZONS + 1)


def main(arguments: list[str]) -> None:
    """Run one job and print its report."""
    parser = asked(__doc__, list(JOBS))
    parser.add_argument("--asked", type=int, default=0, help="series of which AutoETS is asked (0 = all)")
    options = parser.parse_args(arguments)
    panel, report = panel_of(options.panel, series=options.series, periods=options.periods), Report()
    JOBS[options.way](panel, options, report)
    report.close()


def rivals(panel: Panel, options: argparse.Namespace, report: Report) -> None:
    """Four rivals, each refitted to each series at each origin, and scored meanwhile."""
    with report.stage("read"):
        values, days = read(options.file)
        index = pd.PeriodIndex(days, freq=panel.frequency)
        series = [pd.Series(one, index=index) for one in values]
    models = {
        "last_value": NaiveForecaster(strategy="last"),
        "seasonal_last_value": NaiveForecaster(strategy="last", sp=panel.season),
        "drift": NaiveForecaster(strategy="drift"),
        "historic_mean": NaiveForecaster(strategy="mean"),
    }
    windows = ExpandingWindowSplitter(
        fh=STEPS, initial_window=cutoffs(values.shape[1], options.origins)[0], step_length=1
    )
    scoring = [
        MeanAbsoluteError(),
        MeanSquaredError(square_root=True),
        MeanAbsolutePercentageError(symmetric=True),
        MeanAbsoluteScaledError(sp=panel.season),
        MeanSquaredScaledError(sp=panel.season, square_root=True),
    ]
    outcome = outcomes(values, options.origins)
    for name, model in models.items():
        with report.stage("forecast and score"):
            found = [evaluate(model, cv=windows, y=one, scoring=scoring, return_data=True) for one in series]
        answered = np.array([[np.asarray(path) for path in of_series["y_pred"]] for of_series in found])
        report.check |= figures(name, outcome, answered)
    report.check[UNITS] = float(panel.series * options.origins)


def ets(panel: Panel, options: argparse.Namespace, report: Report) -> None:
    """AutoETS of some of the series at the newest origin."""
    with report.stage("read"):
        values, days = read(options.file)
        known = cutoffs(values.shape[1], options.origins)[-1]
        index = pd.PeriodIndex(days[:known], freq=panel.frequency)
    chosen = np.unique(np.linspace(0, len(values) - 1, options.asked or len(values)).round().astype(int))
    for place in chosen:
        with report.stage("forecast"):
            model = AutoETS(auto=True, sp=panel.season, information_criterion="aicc", n_jobs=options.workers)
            model.fit(pd.Series(values[place, :known], index=index), fh=STEPS).predict()
    fits = panel.series * options.origins
    report.seconds["forecast"] *= fits / len(chosen)
    report.check = {"asked": float(len(chosen)), UNITS: float(fits)}


JOBS = {"rivals": rivals, "ets": ets}

if __name__ == "__main__":
    main(sys.argv[1:])
