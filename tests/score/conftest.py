"""Rows of small runs, written cell by cell."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

START = datetime(2010, 1, 1, tzinfo=UTC)
INSTANT = pl.Datetime("us", "UTC")
SCHEMA = {
    "model": pl.String,
    "is_rival": pl.Boolean,
    "series_id": pl.String,
    "origin": INSTANT,
    "horizon": pl.Int32,
    "period": pl.Date,
    "status": pl.String,
    "value": pl.Float64,
    "outcome": pl.Float64,
    "outcome_status": pl.String,
    "outcome_published_at": INSTANT,
    "scored": pl.Boolean,
    "phase": pl.Int32,
    "issued_first": INSTANT,
    "issued_last": INSTANT,
    "scale_mae": pl.Float64,
    "scale_rmse": pl.Float64,
}


def origin_at(step: int) -> datetime:
    """Instant of the step-th origin, 30 days apart."""
    return START + timedelta(days=30 * step)


def make_rows(
    models: dict[str, list[float | str | None]],
    outcomes: list[float | None],
    *,
    rivals: tuple[str, ...] = ("last_value",),
    series: str = "s",
    horizon: int = 1,
    public_after: float = 0.5,
    **overrides: Any,
) -> pl.DataFrame:
    """One row per model and origin; an answer is a number, None (no row at all), or a status other than ok.

    Outcomes that are None are pending; `public_after` counts origins until an outcome is public; `overrides` set a
    column, for all rows (a value) or per row (a function of model and step).
    """
    rows = []
    for model, answers in models.items():
        for step, (answer, outcome) in enumerate(zip(answers, outcomes, strict=True)):
            if answer is None:
                continue
            row = {
                "model": model,
                "is_rival": model in rivals,
                "series_id": series,
                "origin": origin_at(step),
                "horizon": horizon,
                "period": date(2010, 1, 31) + timedelta(days=30 * step),
                "status": answer if isinstance(answer, str) else "ok",
                "value": None if isinstance(answer, str) else answer,
                "outcome": outcome,
                "outcome_status": "pending" if outcome is None else "matured",
                "outcome_published_at": None
                if outcome is None
                else origin_at(step) + public_after * timedelta(days=30),
                "scored": True,
                "phase": 0,
                "issued_first": None,
                "issued_last": None,
                "scale_mae": 1.0,
                "scale_rmse": 2.0,
            }
            rows.append(row | {name: fact(model, step) if callable(fact) else fact for name, fact in overrides.items()})
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@pytest.fixture(scope="session")
def rows() -> Callable[..., pl.DataFrame]:
    return make_rows


@pytest.fixture(scope="session")
def at() -> Callable[[int], datetime]:
    return origin_at


@pytest.fixture(scope="session")
def reference() -> dict[str, Any]:
    """Numbers made by R, see reference/reference.R."""
    return json.loads((Path(__file__).parent / "reference" / "reference.json").read_text())
