"""A small archive with revisions, an experiment of cheap models on it, and what a run of it left behind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import polars as pl

from harness.backtest.runner import execute
from harness.core.recipe import Experiment, FeatureBlock, Origins, Recipe, Schedule, Target, Training
from harness.core.series import Series
from harness.core.transform import Transform
from harness.data.archive import Archive
from harness.experiment.models import completed
from harness.record.home import Home
from harness.record.runs import RunFiles, find_run, read_manifest, read_table

QUARTERS = 28
LATER = ["run_id", "days_to_release", "scored"]
"""Columns that say what came after the origin, or which run it was."""
PHASES = {"cpi": 0.0, "gdp": 1.5, "pay": 0.7}
USER_CLASS = '''
import json
import time
import warnings

import polars as pl
from harness.core.snapshot import target_panel


class Newest:
    """Answers the newest published value of the target, scaled by what was learnt from the labels."""

    def __init__(self, scale=1.0, fail_after=None, abstain_at=(), refuse=False):
        self.scale, self.fail_after, self.abstain_at, self.refuse = scale, fail_after, abstain_at, refuse

    def fit(self, rows, snapshot, *, seed):
        if self.refuse:
            raise RuntimeError("it would not be fitted")
        self.mean = 0.0 if rows is None else float(rows.y.mean())
        self.seed = seed

    def predict(self, rows, snapshot):
        if self.fail_after and snapshot.origin.isoformat() > self.fail_after:
            raise RuntimeError("it broke")
        panel = target_panel(snapshot)
        newest = {name: values[-1] for name, values in zip(panel.ids, panel.values)}
        quiet = [snapshot.origin.isoformat()[:10] in self.abstain_at] * len(rows)
        value = [
            None if silent else self.scale * newest[name] + 0.1 * self.mean + self.seed * 1e-12
            for silent, name in zip(quiet, rows.keys["series_id"])
        ]
        return rows.keys.select("series_id", "horizon", "period").with_columns(
            pl.lit(None, dtype=pl.Float64).alias("quantile"), pl.Series("value", value, dtype=pl.Float64)
        )


class Storing(Newest):
    """Warns when it is fitted, and its fit can be stored."""

    def fit(self, rows, snapshot, *, seed):
        super().fit(rows, snapshot, seed=seed)
        warnings.warn(f"only {len(rows)} rows")

    def dump(self):
        return json.dumps([self.mean, self.seed])

    def load(self, text):
        self.mean, self.seed = json.loads(text)


class Slow(Newest):
    """Takes its time."""

    def predict(self, rows, snapshot):
        time.sleep(0.1)
        return super().predict(rows, snapshot)


class Wrong:
    """Answers what may not be answered."""

    def __init__(self, how):
        self.how = how

    def fit(self, rows, snapshot, *, seed):
        pass

    def predict(self, rows, snapshot):
        answer = rows.keys.select("series_id", "horizon", "period").with_columns(
            pl.lit(None, dtype=pl.Float64).alias("quantile"), pl.lit(1.5).alias("value")
        )
        return {
            "nothing": lambda: None,
            "pandas": lambda: answer.to_pandas(),
            "a hole": lambda: answer.head(len(answer) - 1),
            "a repeat": lambda: pl.concat([answer, answer.head(1)]),
            "a stranger": lambda: answer.with_columns(pl.col("horizon") + 40),
            "a missing column": lambda: answer.drop("period"),
            "words": lambda: answer.with_columns(pl.lit("much").alias("value")),
            "not a number": lambda: answer.with_columns(pl.lit(float("nan")).alias("value")),
            "infinity": lambda: answer.with_columns(pl.lit(float("inf")).alias("value")),
            "quantiles only": lambda: answer.with_columns(pl.lit(0.5).alias("quantile")),
            "an interrupted model": lambda: 1 / 0,
            "another order": lambda: answer.reverse(),
            "quantiles too": lambda: pl.concat(
                [answer.with_columns(pl.lit(0.9).alias("quantile")), answer.reverse()]
            ),
            "a quantile that is no number": lambda: pl.concat(
                [answer, answer.with_columns(pl.lit(0.9).alias("quantile"), pl.lit(float("nan")).alias("value"))]
            ),
        }[self.how]()
'''
AR = Recipe("ar", "autoregression", (("max_lags", 2),))
RIDGE = Recipe("ridge", "sklearn", (("estimator", "sklearn.linear_model.Ridge"),), ("own", "gdp"))
TREES = Recipe("gbm", "lightgbm", (("min_data_in_leaf", 2), ("n_estimators", 5), ("num_leaves", 4)), ("own", "gdp"))
MINE = Recipe("mine", "own_models:Newest", (("scale", 0.5),), ("own",))


def quarter(number: int) -> date:
    """The last day of the number-th quarter since the start of 2005."""
    year, last = 2005 + number // 4, number % 4 * 3 + 4
    return date(year + last // 13, (last - 1) % 12 + 1, 1) - timedelta(days=1)


def releases(seed: int = 1, names: Iterable[str] = ("cpi", "gdp")) -> pl.DataFrame:
    """Releases of quarterly levels: 40 days late, the last four quarters revised each time."""
    rows = []
    for name in sorted(names):
        random = Random(f"{seed} {name}")
        level, levels = 100.0, []
        for number in range(QUARTERS):
            season = 0.4 if number % 4 == 1 else -0.1
            level *= 1 + (0.6 + season * PHASES[name] + random.gauss(0, 0.4)) / 100
            levels.append(level)
        for number in range(QUARTERS):
            at = datetime.combine(quarter(number) + timedelta(days=40), datetime.min.time(), UTC)
            for back in range(min(4, number + 1)):
                revised = levels[number - back] * (1 + random.gauss(0, 0.002) * (back > 0))
                rows.append((name, quarter(number - back), at, round(revised, 3)))
    schema = {"series_id": pl.String(), "period": pl.Date(), "published_at": pl.Datetime("us", "UTC"),
              "value": pl.Float64()}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


END = datetime.combine(quarter(25) + timedelta(days=2), datetime.min.time(), UTC)
"""Up to when an archive is told of; two quarters more can be told later."""


def exported(frame: pl.DataFrame, folder: Path, *, known_through: datetime = END) -> Path:
    """The change folder of an archive that holds these releases up to an instant."""
    frame = frame.filter(pl.col("published_at") <= known_through)
    folder.mkdir(parents=True, exist_ok=True)
    archive = Archive.open(folder / "archive.duckdb")
    for name in frame["series_id"].unique().sort():
        archive.define(Series(name, "Q", zone="Europe/London"))
    archive.append(frame, source="made", known_through=known_through)
    return archive.export(folder / "changes")


def small(models: tuple[Recipe, ...], folder: Path, **more: object) -> Experiment:
    """Quarterly growth, from the third year on; user classes lie in `folder`, and `more` replaces parts of it."""
    (folder / "own_models.py").write_text(USER_CLASS)
    asked = Experiment(
        "made",
        Target(("cpi",), Transform("log_growth", 1), season=4),
        Origins(Schedule("quarter_end"), quarter(18), zone="Europe/London"),
        (0, 1),
        training=Training(minimum=5),
        features=(
            FeatureBlock("own", transform=Transform("log_growth", 1), latest=(1, 2), age=True),
            FeatureBlock("gdp", series="gdp", transform=Transform("log_growth", 1), latest=(1,)),
        ),
        models=models,
        folder=str(folder),
    )
    return completed(replace(asked, **more))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Ran:
    """What a run left: its tables and its manifest."""

    files: RunFiles

    @property
    def forecasts(self) -> pl.DataFrame:
        return read_table(self.files, "forecasts")

    @property
    def leaderboard(self) -> pl.DataFrame:
        return read_table(self.files, "leaderboard")

    @property
    def keys(self) -> dict[str, list[str]]:
        cells = read_manifest(self.files)["cells"]
        assert isinstance(cells, dict)
        return cells

    def of(self, *models: str) -> pl.DataFrame:
        """Forecasts of some models, without what came after the origin."""
        mine = self.forecasts.filter(pl.col("model").is_in(models)).drop(LATER)
        return mine.sort("model", "series_id", "origin", "horizon")


def run(asked: Experiment, changes: Path, home: Path, *, workers: int = 1) -> Ran:
    """Execute and read back."""
    where = Home(home)
    return Ran(find_run(where, execute(asked, changes, where, workers=workers)))
