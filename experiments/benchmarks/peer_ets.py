"""Exponential smoothing by statsforecast, fitted at every origin or once, from the same Parquet file.

    .venv-bench/bin/python experiments/benchmarks/peer_ets.py auto B file.parquet [--series 40] [--origins 3]

- `auto`: AutoETS at every origin, without damped trends (statsforecast counts the first factor of those twice).
- `simple`: simple exponential smoothing, estimated at every origin.
- `once`: the same, estimated at the first origin and smoothed on from there.

The last line printed is the job's report.
"""

from __future__ import annotations

import sys

import numpy as np
import polars as pl
from peer_side import STEP, asked, figures
from statsforecast import StatsForecast
from statsforecast.models import AutoETS
from terms import COMPONENTS, HORIZONS, SIMPLE, UNITS, Report, panel_of

WAYS = {"auto": (COMPONENTS, True), "simple": (SIMPLE, True), "once": (SIMPLE, False)}
"""Components, and whether they are estimated at every origin."""


def main(arguments: list[str]) -> None:
    """Run one job and print its report."""
    options = asked(__doc__, list(WAYS)).parse_args(arguments)
    panel, report = panel_of(options.panel, series=options.series, periods=options.periods), Report()
    columns = {"series_id": "unique_id", "period": "ds", "value": "y"}
    with report.stage("read"):
        frame = pl.read_parquet(options.file, columns=list(columns)).rename(columns)
    components, refit = WAYS[options.way]
    model = AutoETS(season_length=panel.season, model=components, damped=False, alias="ets")
    forecaster = StatsForecast([model], freq=STEP[panel.frequency], n_jobs=options.workers)
    with report.stage("forecast"):
        found = forecaster.cross_validation(h=HORIZONS, df=frame, n_windows=options.origins, step_size=1, refit=refit)
    with report.stage("score"):
        report.check |= figures("ets", found["y"].to_numpy(), found["ets"].to_numpy().astype(np.float64))
    report.check[UNITS] = float(panel.series * options.origins)
    report.close()


if __name__ == "__main__":
    main(sys.argv[1:])
