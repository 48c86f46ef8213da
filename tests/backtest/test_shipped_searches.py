"""The shipped experiments with searches, made small: planned, and the same bits from one worker, two, and again."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.backtest.planning import build_plan
from harness.backtest.runner import board_of
from harness.backtest.searched import study_keys
from harness.core.recipe import Experiment, Recipe
from harness.data.changes import ChangeFile
from harness.experiment.launch import prepare
from harness.experiment.load import load_experiment
from harness.record.home import Home

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SMALL = {
    "uk_inflation_tuned": (date(2023, 6, 30), 80, 8),
    "sp500_volatility_tuned": (date(2018, 11, 1), 960, 52),
}
"""First scored origin, distinct matured periods before a fit, and origins between two searches."""
TRIALS = 6
pytestmark = pytest.mark.slow


def few_trials(model: Recipe, retune: int) -> Recipe:
    if model.search is None:
        return model
    return replace(model, search=replace(model.search, trials=TRIALS, folds=2, retune_every=retune))


def made_small(name: str) -> Experiment:
    """The shipped experiment with few origins and trials; every model and every range stays."""
    first, minimum, retune = SMALL[name]
    whole = load_experiment(EXPERIMENTS / f"{name}.toml")
    return replace(
        whole,
        origins=replace(whole.origins, first=first, warm_up=0),
        training=replace(whole.training, minimum=minimum),
        models=tuple(few_trials(model, retune) for model in whole.models),
    )


@pytest.mark.parametrize(("name", "searches"), [("uk_inflation_tuned", 18), ("sp500_volatility_tuned", 9)])
def test_a_shipped_search_is_planned_once_a_year(name: str, searches: int, home: Home) -> None:
    ready = prepare(EXPERIMENTS / f"{name}.toml", home)
    changes = ChangeFile.open(ready.changes)
    plan = build_plan(ready.experiment, changes)
    keys = study_keys(plan, changes, board_of(plan.experiment))
    assert {"gbm_tuned", "orders"} <= set(keys)
    assert {len(mine) for mine in keys.values()} == {searches}


@pytest.mark.parametrize("name", SMALL)
def test_one_worker_two_workers_and_a_reproduction_give_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: 2)
    small = made_small(name)
    one, two = (hs.backtest(small, home=tmp_path / str(count), workers=count) for count in (1, 2))
    assert one.id == two.id
    tables = sorted(path.name for path in one.files.folder.glob("*.parquet"))
    assert {"forecasts.parquet", "leaderboard.parquet"} <= set(tables)
    for table in tables:
        assert (one.files.folder / table).read_bytes() == (two.files.folder / table).read_bytes(), table
    assert one.manifest["cell_checksums"] == two.manifest["cell_checksums"]
    mine, theirs = (run.trials().drop("seconds") for run in (one, two))
    assert mine.equals(theirs)
    made = dict(mine.group_by("model", "study").len().group_by("model").agg(pl.col("len").max()).iter_rows())
    assert made == {model.name: TRIALS for model in small.models if model.search}
    again = hs.reproduce(one.id, home=tmp_path / "1", workers=2)
    assert again.reproduced
    assert again.exact
    assert (again.searches, again.trials) == (mine["study"].n_unique(), mine.height)
    assert hs.verify(tmp_path / "2").intact
