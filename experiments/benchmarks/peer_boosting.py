"""A global LightGBM by mlforecast, one period ahead, fitted again at every origin, from the same Parquet file.

    .venv-bench/bin/python experiments/benchmarks/peer_boosting.py A file.parquet [--as documented] [--origins 12]

Lags, rolling means and LightGBM's parameters are those of `terms.py`; rows are all of which anything is known, as ours.

- `documented`: as mlforecast's pages show it, an `LGBMRegressor` that chooses for itself how histograms are built.
- `fixed`: the same with the parameters that ours fixes.
- `coded`: that, and the series as a categorical code besides.

The last line printed is the job's report.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import lightgbm as lgb
import numpy as np
import polars as pl
from mlforecast import MLForecast
from mlforecast.lag_transforms import RollingMean
from peer_side import STEP, figures
from terms import FIXED, LAGS, MEANS, ORIGINS, PANELS, TREES, Report, native, panel_of

CODE = "code"


class Known(lgb.LGBMRegressor):
    """LightGBM on the rows of which anything is known, as ours: all but the first of each series."""

    def fit(self, X: pl.DataFrame, y: np.ndarray, **asked: object) -> Known:
        """Train on those rows."""
        known = ~np.isnan(X["lag1"].to_numpy())
        return super().fit(X.to_numpy()[known], y[known], **asked)

    def predict(self, X: pl.DataFrame, **asked: object) -> np.ndarray:
        """Answer from the matrix of these columns."""
        return super().predict(X.to_numpy(), **asked)


class Coded(lgb.LGBMRegressor):
    """LightGBM with the code of the series as its last column, and categorical, as ours has it."""

    def fit(self, X: pl.DataFrame, y: np.ndarray, **asked: object) -> Coded:
        """Train on the rows of which anything is known: all but the first of each series."""
        known = ~np.isnan(X["lag1"].to_numpy())
        matrix = self.matrix(X)[known]
        return super().fit(matrix, y[known], categorical_feature=[matrix.shape[1] - 1], **asked)

    def predict(self, X: pl.DataFrame, **asked: object) -> np.ndarray:
        """Answer from the matrix of these columns."""
        return super().predict(self.matrix(X), **asked)

    @staticmethod
    def matrix(X: pl.DataFrame) -> np.ndarray:
        """[row, feature], the code last."""
        return X.select(pl.exclude(CODE), CODE).to_numpy()


FORMS: dict[str, tuple[type[lgb.LGBMRegressor], dict[str, object]]] = {
    "documented": (Known, {"verbosity": -1}),
    "fixed": (Known, FIXED),
    "coded": (Coded, FIXED),
}
"""Who learns, and what it is told besides what both sides are held to."""


def main(arguments: list[str]) -> None:
    """Run the job and print its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panel", choices=sorted(PANELS))
    parser.add_argument("file", type=Path)
    parser.add_argument("--series", type=int, default=0)
    parser.add_argument("--periods", type=int, default=0)
    parser.add_argument("--origins", type=int, default=ORIGINS)
    parser.add_argument("--workers", type=int, default=2, help="threads")
    parser.add_argument("--as", dest="form", choices=sorted(FORMS), default="documented")
    options = parser.parse_args(arguments)
    panel = panel_of(options.panel, series=options.series, periods=options.periods)
    report = Report()
    coded = options.form == "coded"
    with report.stage("read"):
        frame = read(options.file, coded=coded)
    with report.stage("forecast"):
        learner, further = FORMS[options.form]
        model = learner(n_estimators=TREES, n_jobs=options.workers, **{**native(), **further})
        forecaster = MLForecast(
            {"gbm": model},
            freq=STEP[panel.frequency],
            lags=list(LAGS[panel.frequency]),
            lag_transforms={1: [RollingMean(size) for size in MEANS[panel.frequency]]},
            num_threads=options.workers,
        )
        found = forecaster.cross_validation(
            frame,
            n_windows=options.origins,
            h=1,
            step_size=1,
            static_features=[CODE] if coded else [],
            dropna=False,
            refit=True,
        )
    with report.stage("score"):
        report.check |= figures("gbm", found["y"].to_numpy(), found["gbm"].to_numpy())
    report.close()


def read(file: Path, *, coded: bool) -> pl.DataFrame:
    """The panel in the columns that mlforecast asks for; with the series as a categorical code where asked."""
    columns = {"series_id": "unique_id", "period": "ds", "value": "y"}
    frame = pl.read_parquet(file, columns=list(columns)).rename(columns)
    return (
        frame
        if not coded
        else frame.with_columns((pl.col("unique_id").rank("dense").cast(pl.Float64) - 1.0).alias(CODE))
    )


if __name__ == "__main__":
    main(sys.argv[1:])
