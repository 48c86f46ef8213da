"""Two naive rivals and their scores by functime, which has no drift and no historic mean; from the same Parquet file.

    .venv-bench/bin/python experiments/benchmarks/peer_functime.py rivals B file.parquet [--series 1000]

polars uses every core, whatever `--workers` says. The last line printed is the job's report.
"""

from __future__ import annotations

import sys

import polars as pl
from functime.backtesting import backtest
from functime.cross_validation import expanding_window_split
from functime.forecasting import naive, snaive
from functime.metrics import mae, mase, rmse, rmsse, smape
from peer_side import STEP, asked, figures
from terms import HORIZONS, UNITS, Report, panel_of

KEYS = ["series_id", "period"]


def main(arguments: list[str]) -> None:
    """Run the job and print its report."""
    options = asked(__doc__, ["rivals"]).parse_args(arguments)
    panel = panel_of(options.panel, series=options.series, periods=options.periods)
    report, step = Report(), STEP[panel.frequency]
    with report.stage("read"):
        frame = pl.read_parquet(options.file, columns=[*KEYS, "value"])
        frame = frame.with_columns(pl.col("period").cast(pl.Datetime("us")))
    with report.stage("forecast"):
        models = {"last_value": naive(freq=step), "seasonal_last_value": snaive(freq=step, sp=panel.season)}
        split = expanding_window_split(test_size=HORIZONS, n_splits=options.origins, step_size=1)
        found = {name: backtest(model, HORIZONS, frame, split, residualize=False) for name, model in models.items()}
    with report.stage("score"):
        for number, (train, test) in split(frame).items():
            known, outcome = train.collect(), test.collect()
            for forecasts in found.values():
                answered = forecasts.filter(pl.col("split") == number).drop("split")
                for metric in (mae, rmse, smape):
                    metric(outcome, answered)
                for metric in (mase, rmsse):
                    metric(outcome, answered, y_train=known, sp=panel.season)
    for name, forecasts in found.items():
        both = forecasts.join(frame.rename({"value": "outcome"}), on=KEYS)
        report.check |= figures(name, both["outcome"].to_numpy(), both["value"].to_numpy())
    report.check[UNITS] = float(panel.series * options.origins)
    report.close()


if __name__ == "__main__":
    main(sys.argv[1:])
