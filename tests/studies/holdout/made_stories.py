"""Committed datasets as they stood on an earlier day and as they are now: what a holdout needs to be rolled on."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import polars as pl

from harness.data.tables import read_packaged

ROOT = Path(__file__).parents[3]
PACKAGED = ("sp500", "default", "core_cpi")
BEGINS = date(2006, 1, 1)
"""First day of what is kept of these, to be quick."""
DATED = {"changes": "published_at", "publications": "published_at", "forecasts": "issued_at"}
"""Tables of `uk_macro`, and the column that says when a row came out."""


def delivered(dataset: str, into: Path, through: date = date.max) -> Path:
    """A dataset's folder with what had come out through a day: the same declarations, shorter files."""
    folder = into / "datasets" / dataset
    folder.mkdir(parents=True, exist_ok=True)
    declared = (ROOT / "datasets" / dataset / "dataset.toml").read_text()
    if dataset == "us_markets":  # an installed package cannot be cut short, a file can
        for name in PACKAGED:
            declared = declared.replace(f'reader = "arch:{name}"', f'file = "{name}.csv"')
            rows = read_packaged(f"arch:{name}").frame.with_columns(pl.col("date").cast(pl.Date))
            rows.filter(pl.col("date").is_between(BEGINS, through)).write_csv(folder / f"{name}.csv")
    else:
        for name, column in DATED.items():
            rows = pl.read_parquet(ROOT / "datasets" / dataset / f"{name}.parquet")
            rows.filter(pl.col(column) <= through).write_parquet(folder / f"{name}.parquet")
        shutil.copy(ROOT / "datasets" / dataset / "LICENSE", folder)
    (folder / "dataset.toml").write_text(declared)
    return folder


def shipped(name: str, into: Path, *changes: tuple[str, str]) -> Path:
    """A committed experiment with some lines of it replaced, each of which must be there."""
    text = (ROOT / "experiments" / f"{name}.toml").read_text()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    path = into / "experiments" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


TUNED = """
schema = 1
name = "tuned"
question = "Does tuning help?"
datasets = ["uk_macro"]
seed = 7

[target]
series = ["cpi"]
transform = { log_growth = 4 }

[origins]
every = "quarter end"
first = 2014-03-31

[horizons]
steps = [1]

[training]
minimum = 24

[features.own]
latest = [1, 2]

[models.gbm]
kind = "lightgbm"
params = { num_leaves = 4, min_data_in_leaf = 5, n_estimators = 20 }

[models.gbm.search]
trials = 3
folds = 2
retune_every = 12

[models.gbm.search.space]
num_leaves = { int = [2, 8] }

[holdout]
model = "gbm"
if_confirmed = "use it"
if_not = "leave it"
"""


def tuned(into: Path) -> Path:
    """A small experiment that searches: three trials every three years."""
    path = into / "experiments" / "tuned.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(TUNED)
    return path


def sparse(into: Path) -> Path:
    """`sp500_volatility` with an origin every 22 sessions, and without its slower models."""
    return shipped(
        "sp500_volatility",
        into,
        ('every = "5 sessions"', 'every = "22 sessions"'),
        ("first = 2010-01-04", "first = 2013-01-02"),
        ("minimum = 250", "minimum = 60"),
        ("n_estimators = 100", "n_estimators = 10"),
    )
