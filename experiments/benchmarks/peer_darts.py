"""Naive rivals one series at a time, or a global LightGBM, by darts without PyTorch; from the same Parquet file.

    .venv-bench/bin/python experiments/benchmarks/peer_darts.py rivals B file.parquet [--series 200] [--origins 12]

- `rivals`: fitted to each series at each origin, and scored by darts' own metrics.
- `boosting`: one period ahead, fitted again at every origin to all series, with what ours fixes; rolling means are
  past covariates. Unknown values before each series make its rows those of ours.

The last line printed is the job's report.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from darts import TimeSeries
from darts.dataprocessing.transformers import WindowTransformer
from darts.metrics import mae, mase, rmse, rmsse, smape
from darts.models import NaiveDrift, NaiveMean, NaiveSeasonal, SKLearnModel
from peer_known import Known
from peer_side import Floats, asked, before, cutoffs, figures, lengthened, outcomes, read
from terms import FIXED, HORIZONS, LAGS, MEANS, TREES, UNITS, Panel, Report, native, panel_of


def main(arguments: list[str]) -> None:
    """Run one job and print its report."""
    options = asked(__doc__, list(JOBS)).parse_args(arguments)
    panel, report = panel_of(options.panel, series=options.series, periods=options.periods), Report()
    JOBS[options.way](panel, options, report)
    report.close()


def rivals(panel: Panel, options: argparse.Namespace, report: Report) -> None:
    """Four rivals, each refitted to each series at each origin."""
    with report.stage("read"):
        values, series = panelled(options)
    models = {
        "last_value": NaiveSeasonal(K=1),
        "seasonal_last_value": NaiveSeasonal(K=panel.season),
        "drift": NaiveDrift(),
        "historic_mean": NaiveMean(),
    }
    whole = {"last_points_only": False, "forecast_horizon": HORIZONS}
    first, found = cutoffs(values.shape[1], options.origins)[0], {}
    with report.stage("forecast"):
        for name, model in models.items():
            found[name] = model.historical_forecasts(
                series, start=first, start_format="position", retrain=True, verbose=False, **whole
            )
    with report.stage("score"):
        scaled = {"m": panel.season}
        told: list[dict[str, int]] = [{}, {}, {}, scaled, scaled]
        for name, model in models.items():
            model.backtest(
                series,
                historical_forecasts=found[name],
                metric=[mae, rmse, smape, mase, rmsse],
                metric_kwargs=told,
                **whole,
            )
    outcome = outcomes(values, options.origins)
    for name, forecasts in found.items():
        answered = np.array([[one.values(copy=False)[:, 0] for one in of_series] for of_series in forecasts])
        report.check |= figures(name, outcome, answered)
    report.check[UNITS] = float(panel.series * options.origins)


def boosting(panel: Panel, options: argparse.Namespace, report: Report) -> None:
    """LightGBM on all series together."""
    with report.stage("read"):
        values, series = panelled(options, before=before(panel))
    lags = [-lag for lag in reversed(LAGS[panel.frequency])]  # darts puts them in this order, lag 1 last
    learner = Known(n_estimators=TREES, n_jobs=options.workers, lag1=len(lags) - 1, **native(), **FIXED)
    model = SKLearnModel(lags=lags, lags_past_covariates=[-1], output_chunk_length=1, model=learner)
    answered = []
    with report.stage("forecast"):
        window = [
            {"function": "mean", "mode": "rolling", "window": size, "min_periods": size}
            for size in MEANS[panel.frequency]
        ]
        means = WindowTransformer(transforms=window, keep_non_transformed=False).transform(series)
        for known in cutoffs(len(series[0]), options.origins, 1):
            train, along = [one[:known] for one in series], [one[:known] for one in means]
            model.fit(train, past_covariates=along)
            told = model.predict(1, series=train, past_covariates=along, verbose=False)
            answered.append([one.values(copy=False)[0, 0] for one in told])
    with report.stage("score"):
        forecast: Floats = np.array(answered).T[:, :, np.newaxis]
        report.check |= figures("gbm", outcomes(values, options.origins, 1), forecast)


def panelled(options: argparse.Namespace, before: int = 0) -> tuple[Floats, list[TimeSeries]]:
    """The panel as a matrix and as darts' series, with unknown values before the first one."""
    values, days = read(options.file)
    index, padded = lengthened(values, days, before)
    return values, [TimeSeries(index, one[:, np.newaxis, np.newaxis]) for one in padded]


JOBS = {"rivals": rivals, "boosting": boosting}

if __name__ == "__main__":
    main(sys.argv[1:])
