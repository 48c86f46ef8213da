"""A trial against LightGBM alone: one year of searches of `uk_inflation_tuned`, with LightGBM's own time apart."""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm as lgb

import harness as hs

ROOT = Path(__file__).parents[2]
spent = {"train": 0.0, "calls": 0.0}
_train = lgb.train


def timed_train(*given: Any, **named: Any) -> lgb.Booster:
    """LightGBM's training, with its time added up (its bins are built inside it)."""
    start = time.perf_counter()
    done = _train(*given, **named)
    spent["train"] += time.perf_counter() - start
    spent["calls"] += 1
    return done


def main() -> None:
    """Print milliseconds a trial."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    lgb.train = timed_train
    whole = hs.load_experiment(ROOT / "experiments" / "uk_inflation_tuned.toml")
    tuned = tuple(model for model in whole.models if model.name == "gbm_tuned")
    origins = replace(whole.origins, last=whole.origins.first.replace(year=whole.origins.first.year + 1), warm_up=0)
    with tempfile.TemporaryDirectory() as home:
        run = hs.backtest(replace(whole, models=tuned, origins=origins), home=Path(home), workers=1)
        trials = run.trials()
    recorded = float(trials["seconds"].sum())
    number = trials.height
    print(f"{number} trials of LightGBM (8 parameters, 3 inner folds, 5 horizons), in ms a trial")
    print(f"  whole trial: rows, fit, forecasts, score    {1000 * recorded / number:8.1f}")
    print(f"  LightGBM's training alone, {spent['calls']:.0f} calls    {1000 * spent['train'] / number:8.1f}")


if __name__ == "__main__":
    main()
