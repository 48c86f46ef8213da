"""The tidy tables of a run, a row per forecast: whole, or a block of series at a time where they are very many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.scales import Scales, scales_of
from harness.backtest.splits import Plan
from harness.core.frames import UTC_INSTANT
from harness.core.names import Names, names_of
from harness.core.recipe import Recipe
from harness.core.time import MICROS_PER_DAY, MICROSECOND, NEVER, end_of_day
from harness.data.changes import ChangeFile
from harness.data.outcomes import OUTCOME_STATUS, Outcomes
from harness.forecast.catalog import reference_name
from harness.record.cells import Cell, tidy
from harness.record.panel_cells import PanelAnswers

Integers = NDArray[np.int64]
PART_ROWS = 1 << 18
"""Forecasts of a block of series at most, unless one series alone has more."""
CELL = ["series_id", "origin", "horizon"]
FORECAST_COLUMNS = [
    "run_id", "model", "series_id", "origin", "horizon", "period", "quantile", "value", "status", "answered_by",
    "trained_at", "last_known_period", "info_gap", "reason", "phase", "days_to_release", "issue_age", "scored",
]  # fmt: skip
ERROR_COLUMNS = [
    *FORECAST_COLUMNS, "outcome", "outcome_status", "outcome_release", "outcome_published_at", "hindsight", "immature",
    "error", "best_rival", "best_rival_error", "reference_value",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class ScoreRows:
    """What is scored, before it is.

    Attributes:
        forecasts: every forecast asked for, columns of `FORECAST_COLUMNS`.
        rows: every point forecast beside its outcome, as `score_tables` takes them.
        scale_notes: series -> why MASE and RMSSE have no scale.
    """

    forecasts: pl.DataFrame
    rows: pl.DataFrame
    scale_notes: Mapping[str, str]


def score_rows(
    plan: Plan,
    changes: ChangeFile,
    cells: Mapping[str, list[Cell]],
    run_id: str = "",
    *,
    scales: Scales | None = None,
    spans: pl.DataFrame | None = None,
) -> ScoreRows:
    """Forecasts beside their outcomes.

    Args:
        plan: of the cells.
        changes: its change file.
        cells: of every model.
        run_id: of the run.
        scales: of MASE and RMSSE; None = those that end at the first scored origin of `plan`.
        spans: what externals are held to, as `issue_spans`; None = those of the target of `plan`.
    """
    truth = _truth(plan)
    beside = [name for name in truth.columns if name not in {*CELL, "days_to_release", "scored"}]
    found = forecast_rows(plan, cells).join(truth, on=CELL, how="left").with_columns(pl.lit(run_id).alias("run_id"))
    forecasts, rows = found.select(FORECAST_COLUMNS), found.select([*FORECAST_COLUMNS, *beside])
    del truth, found
    if rows["quantile"].null_count() < rows.height:
        rows = rows.filter(pl.col("quantile").is_null())
    scales = scales or scales_of(plan, changes)
    rows = rows.join(scales.frame(plan.experiment.target), on="series_id")
    rivals = [recipe.name for recipe in plan.experiment.models if recipe.rival]
    rows = rows.join((issue_spans(plan, changes) if spans is None else spans), on="model", how="left").with_columns(
        pl.col("model").is_in(rivals).alias("is_rival")
    )
    return ScoreRows(forecasts, rows, scales.notes)


def tidy_parts(
    plan: Plan,
    changes: ChangeFile,
    cells: Mapping[str, list[Cell]],
    run_id: str,
    board: pl.DataFrame,
    *,
    only: Sequence[str] | None = None,
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The tables `forecasts` and `errors` in blocks of series: in memory are the cells and one block.

    Within a block rows stand as in the whole table: by model, origin, series and horizon.

    Args:
        plan: of the cells.
        changes: its change file.
        cells: of every model.
        run_id: of the run.
        board: its leaderboard, which knows the best rivals.
        only: some series of the target, in its order; None = all of them.
    """
    spans, scales, reference = (
        issue_spans(plan, changes),
        scales_of(plan, changes),
        reference_name(plan.experiment.target),
    )
    for rows in _blocks(plan, cells, only):
        part, mine = _of_series(plan, rows), Scales(scales.mae[rows], scales.rmse[rows], scales.notes)
        some = {name: restricted(all_of_it, part.experiment.target.series) for name, all_of_it in cells.items()}
        found = score_rows(part, changes, some, run_id, scales=mine, spans=spans)
        yield found.forecasts, error_rows(found.rows, board, reference)


def restricted(cells: Sequence[Cell], series: Sequence[str]) -> list[Cell]:
    """Cells as if only some series had been asked.

    Args:
        cells: of one model.
        series: stored ids, in the order of the target.
    """
    names = names_of(series)
    return [Cell(_some(cell, names), cell.facts, cell.checksum) for cell in cells]


def _some(cell: Cell, names: Names) -> PanelAnswers | pl.DataFrame:
    given = cell.panel
    if given is None:
        return cell.frame.filter(pl.col("series_id").is_in(names.column.implode()))
    places = np.array([given.series.places.get(name, -1) for name in names], dtype=np.int64)
    rows = places[places >= 0]
    kept = {name: getattr(given, name)[rows] for name in BY_SERIES}
    return replace(given, series=Names(given.series[row] for row in rows.tolist()), **kept)


BY_SERIES = ("value", "status", "reason", "answered", "last_known", "last", "issue_age")
"""What of a panel's answers has a row per series."""


def _blocks(plan: Plan, cells: Mapping[str, list[Cell]], only: Sequence[str] | None) -> Iterator[Integers]:
    """Rows of the target's series, so many together that their forecasts are not above `PART_ROWS`."""
    names = names_of(plan.experiment.target.series)
    rows = np.arange(len(names), dtype=np.int64)
    if only is not None:
        rows = np.array(sorted(names.places[name] for name in only), dtype=np.int64)
    forecasts = sum(_height(cell) for mine in cells.values() for cell in mine)
    width = max(1, PART_ROWS * len(names) // max(1, forecasts))
    for start in range(0, len(rows), width):
        yield rows[start : start + width]


def _height(cell: Cell) -> int:
    panel = cell.panel
    return cell.frame.height if panel is None else panel.value.size


def _of_series(plan: Plan, rows: Integers) -> Plan:
    """The plan as far as some series of its target go."""
    names = Names(plan.experiment.target.series[row] for row in rows.tolist())
    experiment = replace(plan.experiment, target=replace(plan.experiment.target, series=names))
    table = {one.name: getattr(plan.outcomes, one.name)[rows] for one in fields(Outcomes)}
    members = replace(plan.members, series=names, member=plan.members.member[:, rows])
    return replace(plan, experiment=experiment, outcomes=Outcomes(**table), members=members)


def _truth(plan: Plan) -> pl.DataFrame:
    """Pinned outcome of every issued (series, origin, horizon) that is asked."""
    issued = np.array(plan.issued)
    names, steps = plan.experiment.target.series, plan.experiment.horizons
    series, rows, places = (
        part.ravel() for part in np.meshgrid(np.arange(len(names)), issued, np.arange(len(steps)), indexing="ij")
    )
    asked = plan.members.member[rows, series]
    series, rows, places = series[asked], rows[asked], places[asked]
    requests = plan.request[rows, places]
    table = plan.outcomes
    latest = plan.experiment.target.outcome.kind == "latest"
    matured_at = (table.first_public if latest else table.matured_at)[series, requests]
    origins = np.array([int(moment.timestamp() * 1_000_000) for moment in plan.instants])[rows]
    public = matured_at != NEVER
    frame = pl.DataFrame(
        {
            "series_id": pl.Series(names, dtype=pl.String()).gather(series),
            "origin": pl.Series(origins).cast(UTC_INSTANT),
            "horizon": pl.Series(np.array(steps, dtype=np.int32)[places]),
            "outcome": pl.Series(table.value[series, requests]).fill_nan(None),
            "outcome_status": pl.Series(OUTCOME_STATUS, dtype=pl.String()).gather(
                table.status[series, requests].astype(np.int64)
            ),
            "outcome_release": table.release[series, requests],
            "published": matured_at,
            "hindsight": table.hindsight[series, requests],
            "immature": table.immature[series, requests],
            "scored": rows >= plan.first_scored,
            "public": public,
        }
    )
    days = (pl.col("published") - pl.col("origin").cast(pl.Int64)) / MICROS_PER_DAY
    return frame.with_columns(
        pl.when("public").then(pl.col("published").cast(UTC_INSTANT)).alias("outcome_published_at"),
        pl.when("public").then(days).alias("days_to_release"),
    ).drop("published", "public")


def forecast_rows(plan: Plan, cells: Mapping[str, list[Cell]]) -> pl.DataFrame:
    """All cells as one frame; a failed or abstained row of a model with a declared fallback carries the fallback's."""
    own = {
        name: tidy(mine).with_columns(pl.lit(name).alias("model"), pl.lit(name).alias("answered_by"))
        for name, mine in cells.items()
    }
    recipes = {recipe.name: recipe for recipe in plan.experiment.models}
    for name, (first, last) in declared_spans(plan).items():
        inside = pl.col("origin").is_between(pl.lit(first, UTC_INSTANT), pl.lit(last, UTC_INSTANT))
        own[name] = own[name].with_columns(
            pl.when(inside).then("value").alias("value"),
            pl.when(inside).then("status").otherwise(pl.lit("not_issued")).alias("status"),
            pl.when(inside).then("reason").otherwise(pl.lit("outside the declared span")).alias("reason"),
        )
    return pl.concat([_with_fallback(own, recipes, name) for name in own])


def declared_spans(plan: Plan) -> dict[str, tuple[datetime, datetime]]:
    """First and last instant of the externals that declare `from` or `to` (no cell knows of it)."""
    zone, spans = plan.experiment.origins.zone, {}
    for recipe in plan.experiment.models:
        start, end = recipe.span
        if recipe.source and (start or end):
            first = end_of_day(start - timedelta(days=1), zone) + MICROSECOND if start else plan.instants[0]
            spans[recipe.name] = (first, end_of_day(end, zone) if end else plan.instants[-1])
    return spans


def _with_fallback(own: Mapping[str, pl.DataFrame], recipes: Mapping[str, Recipe], name: str) -> pl.DataFrame:
    frame, chain = own[name], name
    while recipes[chain].fallback:
        chain = recipes[chain].fallback
        other = own[chain].filter((pl.col("status") == "ok") & pl.col("quantile").is_null())
        stand_in = other.select([*CELL, pl.col("value").alias("other")])
        lost = pl.col("status").is_in(["failed", "abstained"]) & pl.col("other").is_not_null()
        frame = frame.join(stand_in, on=CELL, how="left", maintain_order="left").with_columns(
            pl.when(lost).then("other").otherwise("value").alias("value"),
            pl.when(lost).then(pl.lit(chain)).otherwise("answered_by").alias("answered_by"),
            pl.when(lost).then(pl.lit("fallback")).otherwise("status").alias("status"),
        ).drop("other")  # fmt: skip
    answered = pl.col("status").is_in(["ok", "fallback"])
    return frame.with_columns(pl.when(answered).then("answered_by").otherwise(None).alias("answered_by"))


def issue_spans(plan: Plan, changes: ChangeFile) -> pl.DataFrame:
    """First and last issue an external is held to (its declared span, else its first and last issue)."""
    rows = []
    for recipe in plan.experiment.models:
        first = last = None
        if recipe.source:
            codes = [changes.code_of(name) for name in plan.experiment.target.series]
            mine = changes.forecasts.filter((pl.col("source") == recipe.source) & pl.col("code").is_in(codes))
            issued = mine["issued"].cast(UTC_INSTANT)
            first, last = issued.min(), issued.max()
            start, end = recipe.span
            declared = declared_spans(plan).get(recipe.name)
            first = declared[0] if declared and start else first
            last = declared[1] if declared and end else last
        rows.append((recipe.name, first, last))
    schema = {"model": pl.String(), "issued_first": UTC_INSTANT, "issued_last": UTC_INSTANT}
    return pl.DataFrame(rows, schema=schema, orient="row")


def error_rows(rows: pl.DataFrame, board: pl.DataFrame, reference: str) -> pl.DataFrame:
    """The audit table: every point forecast, its outcome, its error (outcome - forecast) and the best rival's."""
    rows = rows.with_columns((pl.col("outcome") - pl.col("value")).alias("error"))
    best = board.select("horizon", "best_rival").unique()
    rows = rows.join(best, on="horizon", how="left")
    # a horizon has one best rival, so that of a cell is found by the cell
    rival = rows.filter(pl.col("model") == pl.col("best_rival")).select(
        [*CELL, pl.col("error").alias("best_rival_error")]
    )
    stand_in = rows.filter(pl.col("model") == reference).select([*CELL, pl.col("value").alias("reference_value")])
    for other in (rival, stand_in):
        rows = rows.join(other, on=CELL, how="left", maintain_order="left")
    return rows.select(ERROR_COLUMNS)
