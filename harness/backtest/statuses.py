"""How often every model gave which kind of answer, and why: counted in the cells, whatever the number of series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.splits import Plan
from harness.backtest.tidy import declared_spans, forecast_rows
from harness.core.frames import UTC_INSTANT
from harness.core.recipe import Recipe
from harness.record.cells import Cell
from harness.record.panel_cells import ABSTAINED, FAILED, OK, STATUSES, PanelAnswers

KEYS = ["model", "horizon", "scored", "status", "reason"]
SCHEMA = pl.Schema(
    {
        "model": pl.String(),
        "horizon": pl.Int32(),
        "scored": pl.Boolean(),
        "status": pl.String(),
        "reason": pl.String(),
        "cells": pl.Int64(),
        "trained_first": UTC_INSTANT,
        "trained_last": UTC_INSTANT,
    }
)
WORDS = (*STATUSES, "fallback")
Row = tuple[str, int, bool, str, str | None, int, datetime | None, datetime | None]
"""Of `SCHEMA`."""


def status_counts(plan: Plan, cells: Mapping[str, list[Cell]]) -> pl.DataFrame:
    """One row per model, horizon, status and reason, apart for warm-up and scored origins.

    Args:
        plan: of the cells.
        cells: of every model, one per issued origin.

    Returns:
        Columns of `SCHEMA`, in order of `KEYS`: `cells` point forecasts asked for; `trained_first`, `trained_last` of
        the fits that answered, null for models that fit nothing.
    """
    rows, frames = list[Row](), list[pl.DataFrame]()
    for recipe in plan.experiment.models:
        for part in _of_model(plan, cells, recipe):
            if isinstance(part, pl.DataFrame):
                frames.append(part)
            else:
                rows += part
    whole = pl.concat([pl.DataFrame(rows, schema=SCHEMA, orient="row"), *frames])
    counted = whole.group_by(KEYS).agg(
        pl.col("cells").sum(), pl.col("trained_first").min(), pl.col("trained_last").max()
    )
    return counted.select(SCHEMA.names()).sort(KEYS)


def counts_of(forecasts: pl.DataFrame) -> pl.DataFrame:
    """The same of tidy rows.

    Args:
        forecasts: `Run.forecasts()`.
    """
    points = forecasts.filter(pl.col("quantile").is_null())
    counted = points.group_by(KEYS).agg(
        pl.len().cast(pl.Int64()).alias("cells"),
        pl.col("trained_at").min().alias("trained_first"),
        pl.col("trained_at").max().alias("trained_last"),
    )
    return counted.select(SCHEMA.names()).sort(KEYS)


def _of_model(plan: Plan, cells: Mapping[str, list[Cell]], recipe: Recipe) -> Iterator[pl.DataFrame | list[Row]]:
    chain = _chain(plan, recipe)
    spans = declared_spans(plan).keys() & set(chain)
    for number, origin in enumerate(plan.issued):
        scored = origin >= plan.first_scored
        panels = [cells[name][number].panel for name in chain]
        own = [panel for panel in panels if panel is not None and not spans and panel.series == _names(panels)]
        if len(own) == len(chain):
            yield _counted(recipe.name, own, scored=scored)
            continue
        some = forecast_rows(plan, {name: [cells[name][number]] for name in chain})
        yield counts_of(some.filter(pl.col("model") == recipe.name).with_columns(pl.lit(scored).alias("scored")))


def _names(panels: Sequence[PanelAnswers | None]) -> tuple[str, ...]:
    return panels[0].series if panels[0] is not None else ()


def _chain(plan: Plan, recipe: Recipe) -> list[str]:
    """The model, and those that stand in for it one after the other."""
    by_name, chain = {one.name: one for one in plan.experiment.models}, [recipe]
    while chain[-1].fallback:
        chain.append(by_name[chain[-1].fallback])
    return [one.name for one in chain]


def _counted(model: str, panels: Sequence[PanelAnswers], *, scored: bool) -> list[Row]:
    """Rows of one cell as matrices; the panels are those of the model and of its stand-ins, of the same series."""
    mine, status = panels[0], panels[0].status
    for other in panels[1:]:
        lost = ((status == FAILED) | (status == ABSTAINED)) & (other.status == OK) & ~np.isnan(other.value)
        status = np.where(lost, np.uint8(len(STATUSES)), status)
    width = max(1, len(mine.reasons))
    reason, answered, each = mine.reason, mine.answered, 1
    if _alike(status) and _alike(reason) and _alike(answered):
        status, reason, answered, each = status[:1], reason[:1], answered[:1], mine.shape[0]
    codes = status.astype(np.int64) * width + reason
    rows: list[Row] = []
    for place, step in enumerate(mine.horizons.tolist()):
        counts = np.bincount(codes[:, place])
        fitted = np.bincount(codes[:, place], answered[:, place])
        for code in np.flatnonzero(counts).tolist():
            word, why = WORDS[code // width], mine.reasons[code % width] if code % width else None
            at = mine.trained_at if fitted[code] else None
            rows.append((model, step, scored, word, why, int(counts[code]) * each, at, at))
    return rows


def _alike(array: NDArray[Any]) -> bool:
    """Whether all elements are one and the same."""
    return bool(array.size) and (not any(array.strides) or bool((array == array[0, 0]).all()))
