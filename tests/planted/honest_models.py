# ruff: noqa: DTZ005, NPY002, T201, I001 - they do what users do
"""Users' classes that look suspicious and are honest: what they answer is made of what they were handed, and only that.

The file is copied beside a made experiment, with a module and a package that it imports.
"""

import contextlib
import functools
import logging
import tempfile
import time
import warnings
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from family.tables import WEIGHTS
from harness.core.snapshot import target_panel
from neighbour import mean_of

STARTED = datetime.now()
SEASON = {month: (month % 3) / 100 for month in range(1, 13)}


class Rowwise:
    """Least squares on the rows, as they come: the last bits depend on their order."""

    def matrix(self, rows):
        X = rows.X.fill_null(0.0).fill_nan(0.0).to_numpy()
        return np.column_stack([np.ones(len(X)), rows.keys["horizon"].to_numpy(), X])

    def fit(self, rows, snapshot, *, seed):
        self.seed = seed
        self.coefficients = np.linalg.lstsq(self.matrix(rows), rows.y, rcond=None)[0]

    def predict(self, rows, snapshot):
        return self.answer(rows, self.matrix(rows) @ self.coefficients)

    def answer(self, rows, values):
        return rows.keys.select("series_id", "horizon", "period").with_columns(
            pl.lit(None, dtype=pl.Float64).alias("quantile"), pl.Series("value", values, dtype=pl.Float64)
        )


class Trended(Rowwise):
    """A cubic trend in calendar years, which no textbook recommends: numerically as bad as can be."""

    def matrix(self, rows):
        year = rows.keys["period"].dt.ordinal_day().to_numpy() / 366 + rows.keys["period"].dt.year().to_numpy()
        return np.column_stack([np.ones(len(year)), year, year**2, year**3, super().matrix(rows)[:, 2:]])


class Cancelling(Rowwise):
    """Says about nothing: what is left of large numbers that cancel is rounding."""

    def fit(self, rows, snapshot, *, seed):
        self.level = float(np.sum(rows.y) / len(rows.y))
        self.rest = float(np.mean(rows.y - self.level))

    def predict(self, rows, snapshot):
        return self.answer(rows, [self.rest] * len(rows))


class Optimised(Rowwise):
    """Absolute errors and a little shrinkage, minimised step by step by scipy, which is imported when it is needed."""

    def fit(self, rows, snapshot, *, seed):
        from scipy.optimize import minimize

        X, y = self.matrix(rows), rows.y
        start = np.zeros(X.shape[1])
        self.coefficients = minimize(lambda b: np.mean(np.logaddexp(0, 3 * (y - X @ b) ** 2)) + 0.1 * b @ b, start).x


class Forest(Rowwise):
    """Trees on rows brought into an order of their own first."""

    def fit(self, rows, snapshot, *, seed):
        from sklearn.ensemble import RandomForestRegressor

        order = rows.keys.with_row_index("place").sort("horizon", "series_id", "pseudo_origin")["place"].to_numpy()
        self.trees = RandomForestRegressor(10, random_state=seed % 2**32).fit(self.matrix(rows)[order], rows.y[order])

    def predict(self, rows, snapshot):
        return self.answer(rows, self.trees.predict(self.matrix(rows)))


class Squares(Rowwise):
    """A sum of squares, taken row after row."""

    def fit(self, rows, snapshot, *, seed):
        self.size = sum(value**2 for value in rows.y) ** 0.5 / len(rows)

    def predict(self, rows, snapshot):
        return self.answer(rows, [self.size] * len(rows))


class Filing(Rowwise):
    """Writes its rows to a temporary file and reads them back, all within one call."""

    def fit(self, rows, snapshot, *, seed):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "rows.parquet"
            rows.X.write_parquet(place)
            back = pl.read_parquet(place)
        with tempfile.NamedTemporaryFile("w+") as file:
            file.write(str(back.height))
            file.seek(0)
            self.height = int(file.read())
        super().fit(rows, snapshot, seed=seed)

    def predict(self, rows, snapshot):
        return self.answer(rows, self.matrix(rows) @ self.coefficients / self.height)


class Talking(Rowwise):
    """Prints, logs and warns, with the time of day and how long it took."""

    def fit(self, rows, snapshot, *, seed):
        since = time.perf_counter()
        super().fit(rows, snapshot, seed=seed)
        self.took = time.perf_counter() - since
        print("fitted at", datetime.now(), "in", self.took, "since", STARTED)
        logging.getLogger(__name__).warning("fitted in %s", self.took)
        warnings.warn(f"only {len(rows)} rows", stacklevel=2)


class Seeded(Rowwise):
    """Random, by its own seed and that of the cell."""

    def fit(self, rows, snapshot, *, seed):
        super().fit(rows, snapshot, seed=seed)
        self.noise = np.random.default_rng([seed % 2**32, 7]).normal(0, 0.01, 3)
        np.random.seed(11)
        self.more = np.random.rand()

    def predict(self, rows, snapshot):
        spread = np.random.default_rng(self.seed).normal(size=4).mean()
        return self.answer(rows, self.matrix(rows) @ self.coefficients + self.noise.sum() + self.more + spread)


class Tabled(Rowwise):
    """Uses a table of constants of its own and others of a package and a module beside it."""

    def predict(self, rows, snapshot):
        season = [SEASON[period.month] + WEIGHTS[period.month % 2] for period in rows.keys["period"]]
        return self.answer(rows, mean_of(self.matrix(rows) @ self.coefficients, np.array(season)))


@functools.cache
def weight(horizon, length):
    return 0.5**horizon / length


class Caching(Rowwise):
    """Keeps what a pure function has said, and what it has worked out for a snapshot."""

    def fit(self, rows, snapshot, *, seed):
        self.done = {}
        super().fit(rows, snapshot, seed=seed)

    def predict(self, rows, snapshot):
        if snapshot.origin not in self.done:
            self.done[snapshot.origin] = target_panel(snapshot).values[0][-1]
        weights = [weight(horizon, 3) for horizon in rows.keys["horizon"]]
        return self.answer(rows, self.done[snapshot.origin] * np.array(weights))


class Smoothed(Rowwise):
    """A two-sided filter over the revised history, all inside one snapshot; rows are not looked at."""

    def fit(self, rows, snapshot, *, seed):
        self.slope = np.diff(self.trend(snapshot)).mean()

    def trend(self, snapshot):
        values = target_panel(snapshot).values[0]
        values = values[~np.isnan(values)]
        bends = np.diff(np.eye(len(values)), 2, axis=0)
        return np.linalg.solve(np.eye(len(values)) + 1600 * bends.T @ bends, values)

    def predict(self, rows, snapshot):
        ahead = rows.keys["horizon"].to_numpy() + 1
        return self.answer(rows, self.trend(snapshot)[-1] + self.slope * ahead)


class Trying(Rowwise):
    """Looks for a faster library and for its settings, and does without."""

    def fit(self, rows, snapshot, *, seed):
        with contextlib.suppress(ImportError):
            import no_such_faster_library  # noqa: F401
        self.settings = Path.home() / ".config" / "settings"
        assert not self.settings.exists()
        super().fit(rows, snapshot, seed=seed)


class Pooled(Rowwise):
    """Spreads its work over threads and processes."""

    def fit(self, rows, snapshot, *, seed):
        from multiprocessing import get_context
        from multiprocessing.pool import ThreadPool

        from joblib import Parallel, delayed
        from sklearn.ensemble import RandomForestRegressor

        order = rows.keys.with_row_index("place").sort("horizon", "series_id", "pseudo_origin")["place"].to_numpy()
        X, y = self.matrix(rows)[order], rows.y[order]
        trees = RandomForestRegressor(4, random_state=seed % 2**32, n_jobs=2).fit(X, y)
        semaphore = get_context("spawn").BoundedSemaphore(2)
        with semaphore, ThreadPool(2) as pool:
            parts = pool.map(float, y)
        parts += Parallel(n_jobs=2, prefer="threads")(delayed(abs)(value) for value in y[:3])
        self.level = float(np.sum(parts)) / len(y) + trees.predict(X[:1])[0]

    def predict(self, rows, snapshot):
        return self.answer(rows, [self.level] * len(rows))


class Failing(Rowwise):
    """Fails at a different place each time it is asked, and says so at length."""

    def predict(self, rows, snapshot):
        raise RuntimeError(f"{self!r} {rows.X.to_numpy()[0, 0]} {time.perf_counter()} " + "and it goes on " * 40)


class Unusable(Rowwise):
    """Answers what cannot be taken."""

    def __init__(self, how):
        self.how = how

    def predict(self, rows, snapshot):
        fine = super().predict(rows, snapshot)
        return {
            "nothing": lambda: None,
            "a hole": lambda: fine.filter(pl.col("horizon") > 0),
            "not a number": lambda: fine.with_columns(value=pl.lit(float("nan"))),
            "a repeat": lambda: pl.concat([fine, fine]),
            "words": lambda: fine.with_columns(value=pl.lit("much")),
        }[self.how]()


class Exiting(Rowwise):
    def predict(self, rows, snapshot):
        raise SystemExit(3)


class Centre:
    """A step of the user's that also notes how long it took."""

    def fit(self, X, y=None):
        since = time.perf_counter()
        self.mean_ = np.nanmean(X, axis=0)
        self.took_ = time.perf_counter() - since
        self.at = datetime.now()
        return self

    def transform(self, X):
        return X - self.mean_
