"""Training and asked rows of one horizon for steps, with holes, ties and a constant column."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from harness.core.frames import KEY_SCHEMA, Rows
from harness.core.recipe import Recipe, Step
from harness.core.transform import Floats
from harness.forecast.catalog import build, resolve_params
from harness.forecast.protocol import Forecaster
from harness.forecast.steps import StepPipeline, StepRows, by_horizon, resolve_step

COLUMNS = ("own.latest_1", "own.latest_2", "gdp.latest_1", "own.month", "own.constant")


def step(kind: str, **params: object) -> Step:
    return Step(kind, resolve_step(kind, params))


def table(count: int = 40, *, seed: int = 1, holes: float = 0.0, series: tuple[str, ...] = ("a",)) -> Rows:
    """Rows of horizon 1, one per series and month; the label is made of the first and third column."""
    draw = np.random.default_rng(seed)
    names = [name for _ in range(count) for name in series]
    months = [place for place in range(count) for _ in series]
    X = draw.normal(size=(len(names), len(COLUMNS)))
    X[:, 1] = np.round(X[:, 1], 0)
    X[:, 3] = [1 + month % 12 for month in months]
    X[:, 4] = 0.1
    y = 2.0 * X[:, 0] - X[:, 2] + 0.1 * draw.normal(size=len(names))
    X[:, :3][draw.random(size=(len(names), 3)) < holes] = np.nan
    days = [date(2000, 1, 28) + timedelta(days=31 * month) for month in months]
    keys = pl.DataFrame(
        {
            "series_id": names,
            "pseudo_origin": [datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=40) for day in days],
            "horizon": [1] * len(names),
            "period": days,
        },
        schema=KEY_SCHEMA,
    )
    return Rows(pl.DataFrame({name: X[:, place] for place, name in enumerate(COLUMNS)}), keys, y)


def asked_like(rows: Rows) -> Rows:
    return Rows(rows.X, rows.keys)


def only(rows: Rows) -> StepRows:
    """The rows of the one horizon there is, in canonical order."""
    ((_, _, found),) = by_horizon(rows)
    return found


def fitted(rows: Rows, *steps: Step, seed: int = 3) -> tuple[StepPipeline, StepRows]:
    """A pipeline fitted on the rows, and the rows it trains on."""
    pipeline = StepPipeline(steps)
    return pipeline, pipeline.fit(only(rows), seed=seed, horizon=1)


def through(training: Rows, asked: Rows, *steps: Step) -> Floats:
    """What the asked rows become."""
    return fitted(training, *steps)[0].transform(only(asked)).X


def model(kind: str, *steps: Step, folder: str = "", **params: object) -> Forecaster:
    recipe = Recipe("made", kind, resolve_params(kind, params), features=("own",), steps=steps)
    return build(recipe, folder=folder)
