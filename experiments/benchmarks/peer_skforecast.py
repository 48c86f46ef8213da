"""A global LightGBM by skforecast, one period ahead, fitted again at every origin, from the same Parquet file.

    .venv-bench/bin/python experiments/benchmarks/peer_skforecast.py boosting A file.parquet [--origins 12]

Lags, rolling means and LightGBM's parameters are those of `terms.py`, with what ours fixes; no code of the series.
Unknown values before each series make its rows those of ours. The last line printed is the job's report.
"""

from __future__ import annotations

import sys

import pandas as pd
from peer_known import Known
from peer_side import asked, before, cutoffs, figures, lengthened, outcomes, read
from skforecast.model_selection import TimeSeriesFold, backtesting_forecaster_multiseries
from skforecast.preprocessing import RollingFeatures
from skforecast.recursive import ForecasterRecursiveMultiSeries
from terms import FIXED, LAGS, MEANS, TREES, Report, native, panel_of


def main(arguments: list[str]) -> None:
    """Run the job and print its report."""
    options = asked(__doc__, ["boosting"]).parse_args(arguments)
    panel, report = panel_of(options.panel, series=options.series, periods=options.periods), Report()
    with report.stage("read"):
        values, days = read(options.file)
        index, padded = lengthened(values, days, before(panel) + 1)
        padded[:, 0] = 0.0  # skforecast leaves out leading unknown values; this one is in no row that is trained on
        names = [f"s{number}" for number in range(len(values))]
        wide = pd.DataFrame(padded.T, index=index, columns=names)
    means = MEANS[panel.frequency]
    forecaster = ForecasterRecursiveMultiSeries(
        Known(n_estimators=TREES, n_jobs=options.workers, lag1=0, **native(), **FIXED),
        lags=list(LAGS[panel.frequency]),
        window_features=RollingFeatures(stats=["mean"] * len(means), window_sizes=list(means)),
        encoding=None,
    )
    first = cutoffs(len(index), options.origins, 1)[0]
    folds = TimeSeriesFold(steps=1, initial_train_size=first, refit=True, fixed_train_size=False, verbose=False)
    with report.stage("forecast and score"):
        _, found = backtesting_forecaster_multiseries(
            forecaster,
            {name: wide[name] for name in names},
            folds,
            metric=["mean_absolute_error", "mean_squared_error"],
            n_jobs=1,
            show_progress=False,
            suppress_warnings=True,
        )
    answered = found.pivot(columns="level", values="pred")[names].to_numpy().T
    report.check |= figures("gbm", outcomes(values, options.origins, 1)[:, :, 0], answered)
    report.close()


if __name__ == "__main__":
    main(sys.argv[1:])
