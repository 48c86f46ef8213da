"""Runs of the harness on `uk_macro` with the forecasts that other code made beside its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from harness.backtest.runner import execute
from harness.data.archive import Archive
from harness.data.ingest import ingest
from harness.experiment import load_experiment
from harness.record.home import open_home
from harness.record.runs import find_run, read_table

DATASETS = Path(__file__).parents[2] / "datasets"
HORIZONS = (0, 1, 2, 4, 8)
GROWTH = "{ log_growth = 4 }"

EXPERIMENT = """
schema = 1
name = "golden"
datasets = ["uk_macro"]

[target]
series = ["{series}"]
transform = {transform}

[origins]
every = "quarter end"
first = 2010-03-31

[horizons]
steps = [0, 1, 2, 4, 8]

[models.ar]
kind = "autoregression"

[models.their_ar]
kind = "external"
source = "ar_p"

[models.their_random_walk]
kind = "external"
source = "random_walk"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run said.

    Attributes:
        forecasts: model, horizon, period, value.
        rmse: by (model, horizon), as on the leaderboard.
    """

    forecasts: pl.DataFrame
    rmse: Mapping[tuple[str, int], float]

    def values(self, model: str) -> pl.DataFrame:
        """horizon, period, value of one model's answers."""
        return self.forecasts.filter(pl.col("model") == model).select("horizon", "period", "value")


def archived(folder: Path) -> Path:
    """Read the dataset into an archive under a home folder.

    Returns:
        The change file's folder.
    """
    home = open_home(folder)
    home.root.mkdir(parents=True, exist_ok=True)
    archive = Archive.open(home.archive)
    ingest(DATASETS / "uk_macro", archive, raw_dir=home.raw)
    return archive.export(home.changes)


def run(folder: Path, changes: Path, series: str, transform: str = GROWTH) -> Run:
    """Run the harness's own models and both external sources on one series of the dataset."""
    (folder / "experiments").mkdir(exist_ok=True)
    (folder / "datasets").exists() or (folder / "datasets").symlink_to(DATASETS)
    file = folder / "experiments" / f"{series}.toml"
    file.write_text(EXPERIMENT.replace("{series}", series).replace("{transform}", transform), encoding="utf-8")
    home = open_home(folder)
    files = find_run(home, execute(load_experiment(file), changes, home, workers=1))
    board = read_table(files, "leaderboard")
    forecasts = read_table(files, "forecasts")
    return Run(
        forecasts.filter(pl.col("status") == "ok"),
        {(model, horizon): value for model, horizon, value in board.select("model", "horizon", "value").rows()},
    )
