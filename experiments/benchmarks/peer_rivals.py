"""The naive rivals by statsforecast, their scores by utilsforecast or fev, from the same Parquet file.

    .venv-bench/bin/python experiments/benchmarks/peer_rivals.py C file.parquet [--series 1000] [--workers 2]

The last line printed is the job's report. MASE, RMSSE, sMAPE and the scaled quantile loss are timed; MAE and RMSE,
which the two sides are compared by, are added up outside the clock. `--scores fev` scores arrays, window by window as
fev has it, by the same four metrics.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
from peer_side import STEP, figures
from statsforecast import StatsForecast
from statsforecast.models import HistoricAverage, Naive, RandomWalkWithDrift, SeasonalNaive
from terms import DAILY, HORIZONS, MONTHLY, ORIGINS, PANELS, UNITS, Panel, Report, panel_of
from utilsforecast.evaluation import evaluate
from utilsforecast.losses import mase, rmsse, scaled_quantile_loss, smape

NAMES = {
    "last_value": "Naive",
    "seasonal_last_value": "SeasonalNaive",
    "drift": "RWD",
    "historic_mean": "HistoricAverage",
}


def main(arguments: list[str]) -> None:
    """Run the job and print its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panel", choices=sorted(PANELS))
    parser.add_argument("file", type=Path)
    parser.add_argument("--series", type=int, default=0)
    parser.add_argument("--periods", type=int, default=0)
    parser.add_argument("--origins", type=int, default=ORIGINS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scores", choices=("utilsforecast", "fev"), default="utilsforecast")
    parser.add_argument("--engine", choices=("polars", "pandas"), default="polars", help="of the frames")
    options = parser.parse_args(arguments)
    panel = panel_of(options.panel, series=options.series, periods=options.periods)
    if options.scores == "fev" and options.engine != "polars":
        parser.error("--scores fev takes frames of polars")
    metrics = import_module("fev.metrics") if options.scores == "fev" else None  # before the clock starts
    report = Report()
    with report.stage("read"):
        frame = read(options.file)
        given = frame.to_pandas() if options.engine == "pandas" else frame
    with report.stage("forecast"):
        models = [Naive(), SeasonalNaive(panel.season), RandomWalkWithDrift(), HistoricAverage()]
        freq = STEP[panel.frequency] if options.engine == "polars" else {DAILY: "D", MONTHLY: "ME"}[panel.frequency]
        forecaster = StatsForecast(models, freq=freq, n_jobs=options.workers)
        found = forecaster.cross_validation(h=HORIZONS, df=given, n_windows=options.origins, step_size=1)
    with report.stage("score"):
        scores = by_arrays(metrics, found, given, panel) if metrics else scored(found, given, panel)
    report.check |= compared(found, scores)
    report.check[UNITS] = float(panel.series * options.origins)
    report.close()


def read(file: Path) -> pl.DataFrame:
    """The panel in the columns that the peers ask for."""
    return pl.read_parquet(file, columns=["series_id", "period", "value"]).rename(
        {"series_id": "unique_id", "period": "ds", "value": "y"}
    )


def scored(found: pl.DataFrame, train: pl.DataFrame, panel: Panel) -> pl.DataFrame:
    """Scores per series, cutoff, metric; the scaled quantile loss of a point forecast is that of its median."""
    scaled = [partial(metric, seasonality=panel.season) for metric in (mase, rmsse)]
    names = list(NAMES.values())
    scores = evaluate(found, metrics=[*scaled, smape], models=names, train_df=train)
    scaled_quantile_loss(found, models={name: name for name in names}, seasonality=panel.season, train_df=train, q=0.5)
    return scores


def by_arrays(metrics: ModuleType, found: pl.DataFrame, train: pl.DataFrame, panel: Panel) -> pl.DataFrame:
    """Scores over all series by cutoff and metric, from arrays [series, horizon, dimension]."""
    found = found.sort("unique_id", "cutoff", "ds")
    windows = found["cutoff"].unique().sort()
    shape = (panel.series, len(windows), HORIZONS, 1)
    outcome = found["y"].to_numpy().reshape(shape)
    answered = {name: found[name].to_numpy().astype(np.float64).reshape(shape) for name in NAMES.values()}
    values, days = train["y"].to_numpy().reshape(panel.series, -1), train["ds"][: panel.periods]
    rows: list[dict[str, object]] = []
    for number, cutoff in enumerate(windows):
        known = int((days <= cutoff).sum())
        past = {"y_past": values[:, :known].reshape(-1, 1), "y_past_lengths": np.full(panel.series, known)}
        for metric in ("MASE", "RMSSE", "SMAPE", "SQL"):
            row: dict[str, object] = {"metric": metric.lower()}
            for name, forecast in answered.items():
                path = forecast[:, number]
                row[name] = metrics.get_metric(metric).compute(
                    y_true=outcome[:, number],
                    y_pred=path,
                    q_pred=path[..., np.newaxis],
                    seasonality=panel.season,
                    quantile_levels=[0.5],
                    **past,
                )
                row[name] /= 2.0 if metric == "SMAPE" else 1.0  # to a share of the sum of both, as utilsforecast's
            rows.append(row)
    return pl.DataFrame(rows)


def compared(found: pl.DataFrame, scores: pl.DataFrame) -> dict[str, float]:
    """Scores over all series, cutoffs and horizons together, by our names; the library's own where there are."""
    check: dict[str, float] = {}
    outcome = np.asarray(found["y"])
    metric = np.asarray(scores["metric"]).astype(str)
    for ours, theirs in NAMES.items():
        check |= figures(ours, outcome, np.asarray(found[theirs]).astype(np.float64))
        values = np.asarray(scores[theirs]).astype(np.float64)
        check[f"{ours} mase"] = float(values[metric == "mase"].mean())
        check[f"{ours} smape"] = float(values[metric == "smape"].mean())
        check[f"{ours} rmsse"] = float(np.sqrt(np.square(values[metric == "rmsse"]).mean()))
    return check


if __name__ == "__main__":
    main(sys.argv[1:])
