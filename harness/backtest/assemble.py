"""From cells and outcomes to the tables of a run: forecasts, errors, scores, leaderboard, and what the data were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from harness.backtest.data_facts import input_facts, origin_facts, public_shares
from harness.backtest.panel_scores import Panel, panel_tables
from harness.backtest.scales import Scales, scales_of
from harness.backtest.splits import Plan
from harness.core.frames import UTC_INSTANT
from harness.core.recipe import Recipe
from harness.core.time import MICROSECOND, NEVER, end_of_day, micros
from harness.data.changes import ChangeFile
from harness.data.outcomes import OUTCOME_STATUS
from harness.forecast.catalog import entry_for, reference_name
from harness.record.cells import Cell, tidy
from harness.score.decision import Kpi
from harness.score.grid import STRETCHES
from harness.score.spec import ScoreSpec, functional_of

CELL = ["series_id", "origin", "horizon"]
TIDY_ROWS = 2_000_000
"""Point forecasts of a run above which no tidy table of them is written: they stay in their cells."""
SCORE_ROWS = 500_000
"""Score rows above which there are none by series."""
NOTES = 1000
"""Series whose lack of a scale is noted by name at most."""
FORECAST_COLUMNS = [
    "run_id", "model", "series_id", "origin", "horizon", "period", "quantile", "value", "status", "answered_by",
    "trained_at", "last_known_period", "info_gap", "reason", "phase", "days_to_release", "issue_age", "scored",
]  # fmt: skip
ERROR_COLUMNS = [
    *FORECAST_COLUMNS, "outcome", "outcome_status", "outcome_release", "outcome_published_at", "hindsight", "immature",
    "error", "best_rival", "best_rival_error", "reference_value",
]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Tables by name, and JSON facts for the manifest."""

    frames: Mapping[str, pl.DataFrame]
    facts: Mapping[str, object]


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
    plan: Plan, changes: ChangeFile, cells: Mapping[str, list[Cell]], run_id: str = "", *, scales: Scales | None = None
) -> ScoreRows:
    """Forecasts beside their outcomes.

    Args:
        plan: of the cells.
        changes: its change file.
        cells: of every model.
        run_id: of the run.
        scales: of MASE and RMSSE; None = those that end at the first scored origin of `plan`.
    """
    truth = _truth(plan)
    forecasts = _forecasts(plan, cells).join(truth.select([*CELL, "days_to_release", "scored"]), on=CELL, how="left")
    forecasts = forecasts.with_columns(pl.lit(run_id).alias("run_id")).select(FORECAST_COLUMNS)
    points = forecasts.filter(pl.col("quantile").is_null())
    scales = scales or scales_of(plan, changes)
    rows = points.join(truth.drop("days_to_release", "scored"), on=CELL, how="left").join(
        scales.frame(plan.experiment.target), on="series_id"
    )
    rivals = [recipe.name for recipe in plan.experiment.models if recipe.rival]
    rows = rows.join(_spans(plan, changes), on="model", how="left").with_columns(
        pl.col("model").is_in(rivals).alias("is_rival")
    )
    return ScoreRows(forecasts, rows, scales.notes)


def assemble(
    plan: Plan, changes: ChangeFile, cells: Mapping[str, list[Cell]], run_id: str, *, scaled_by: Plan | None = None
) -> Results:
    """All tables of a run, from its cells and the outcomes of its plan.

    Above `TIDY_ROWS` forecasts there is no tidy table of them (`tidy_parts` makes it), above `SCORE_ROWS` no score of
    each series.

    Args:
        plan: of the cells.
        changes: its change file.
        cells: of every model.
        run_id: of the run.
        scaled_by: the plan whose first scored origin the scale of MASE and RMSSE ends at; None = `plan`.
    """
    experiment, spec = plan.experiment, score_spec(plan, changes)
    scales = scales_of(scaled_by or plan, changes)
    panel = Panel(plan, cells, _held_spans(plan, changes), _micros_of(_declared_spans(plan)), scales)
    tables = panel_tables(panel, spec, by_series=score_cuts(plan) <= SCORE_ROWS)
    frames = {
        "scores": tables.scores,
        "common_sample": tables.common_sample,
        "against_rivals": tables.against_rivals,
        "leaderboard": tables.leaderboard,
        "inputs": input_facts(plan, changes),
        "origins": origin_facts(plan, changes),
    }
    if forecast_rows(plan) <= TIDY_ROWS:
        found = score_rows(plan, changes, cells, run_id, scales=scales)
        errors = _errors(found.rows, tables.leaderboard, spec.reference)
        frames = {"forecasts": found.forecasts, "errors": errors, **frames}
    facts = {
        "outcome_rule": str(experiment.target.outcome),
        "scale_notes": _noted(scales.notes),
        "share_already_public": public_shares(plan, changes),
        **_outcome_facts(plan),
        "pseudo_real_time": experiment.pseudo_real_time,
        "unknown_cutoff": sorted(spec.unknown_cutoff),
        "reference": spec.reference,
        "warnings": _warnings(cells),
        "functional_notes": _functional_notes(plan),
        "on_revised_data": [
            recipe.name
            for recipe in experiment.models
            if not (recipe.rival or recipe.source or recipe.features) and entry_for(recipe.kind).fitted
        ],
        "vintage": experiment.vintage,
        "on_latest_rows": list(experiment.on_latest_rows),
        "first_scored": plan.instants[plan.first_scored].isoformat(),
        "last_scored": plan.instants[-1].isoformat(),
        "pseudo_origins": plan.first_issued,
        "warm_up": plan.first_scored - plan.first_issued,
    }
    return Results(frames, facts)


def forecast_rows(plan: Plan) -> int:
    """Point forecasts asked of all models together."""
    asked = int(plan.members.member[plan.first_issued :].sum())
    return asked * len(plan.experiment.horizons) * len(plan.experiment.models)


def score_cuts(plan: Plan) -> int:
    """Rows of the score table with those of each series: whole and by thirds."""
    experiment = plan.experiment
    return (1 + len(STRETCHES)) * len(experiment.target.series) * len(experiment.horizons) * len(experiment.models)


def _noted(notes: Mapping[str, str]) -> dict[str, str]:
    """Why series have no scale: each by name, or how many of each kind where these are very many."""
    if len(notes) <= NOTES:
        return dict(notes)
    counted = Counter(notes.values())
    return {f"{count} series": why for why, count in sorted(counted.items())}


def _outcome_facts(plan: Plan) -> dict[str, object]:
    """How many asked cells of scored origins have which outcome, are immature, or made of hindsight."""
    counts, table = np.zeros(len(OUTCOME_STATUS), dtype=np.int64), plan.outcomes
    immature = hindsight = 0
    for origin in range(plan.first_scored, len(plan.instants)):
        asked = plan.members.member[origin]
        request = plan.request[origin]
        counts += np.bincount(table.status[:, request][asked].ravel(), minlength=len(counts))
        immature += int(table.immature[:, request][asked].sum())
        hindsight += int(table.hindsight[:, request][asked].sum())
    named = sorted((name, int(count)) for name, count in zip(OUTCOME_STATUS, counts, strict=True) if count)
    return {"outcomes": dict(named), "immature": immature, "hindsight_outcomes": hindsight}


def _micros_of(spans: Mapping[str, tuple[datetime, datetime]]) -> dict[str, tuple[int | None, int | None]]:
    return {name: (micros(first), micros(last)) for name, (first, last) in spans.items()}


def _held_spans(plan: Plan, changes: ChangeFile) -> dict[str, tuple[int | None, int | None]]:
    """Microseconds UTC of the first and last issue each model is held to; None = no limit."""
    rows = _spans(plan, changes).with_columns(pl.col("issued_first", "issued_last").dt.epoch("us"))
    return {model: (first, last) for model, first, last in rows.iter_rows()}


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
    days = (pl.col("published") - pl.col("origin").cast(pl.Int64)) / 86_400_000_000
    return frame.with_columns(
        pl.when("public").then(pl.col("published").cast(UTC_INSTANT)).alias("outcome_published_at"),
        pl.when("public").then(days).alias("days_to_release"),
    ).drop("published", "public")


def _forecasts(plan: Plan, cells: Mapping[str, list[Cell]]) -> pl.DataFrame:
    """All cells as one frame; a failed or abstained row of a model with a declared fallback carries the fallback's."""
    own = {
        name: tidy(mine).with_columns(pl.lit(name).alias("model"), pl.lit(name).alias("answered_by"))
        for name, mine in cells.items()
    }
    recipes = {recipe.name: recipe for recipe in plan.experiment.models}
    for name, (first, last) in _declared_spans(plan).items():
        inside = pl.col("origin").is_between(pl.lit(first, UTC_INSTANT), pl.lit(last, UTC_INSTANT))
        own[name] = own[name].with_columns(
            pl.when(inside).then("value").alias("value"),
            pl.when(inside).then("status").otherwise(pl.lit("not_issued")).alias("status"),
            pl.when(inside).then("reason").otherwise(pl.lit("outside the declared span")).alias("reason"),
        )
    return pl.concat([_with_fallback(own, recipes, name) for name in own])


def _declared_spans(plan: Plan) -> dict[str, tuple[datetime, datetime]]:
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


def score_spec(plan: Plan, changes: ChangeFile) -> ScoreSpec:
    """How this plan is scored (fixed before any result)."""
    experiment = plan.experiment
    transform = experiment.target.transform
    declared = experiment.kpi
    kpi = None if declared is None else Kpi(declared.unit, declared.under, declared.over, declared.abstain)
    return ScoreSpec(
        primary=experiment.score_primary,
        span=_span_in_origins(plan),
        kpi=kpi,
        ratio_levels=transform.kind == "level",
        volatility=transform.is_volatility,
        unknown_cutoff=frozenset(
            recipe.name for recipe in experiment.models if recipe.source and not _cutoff_known(recipe, changes)
        ),
        reference=reference_name(experiment.target),
        latency=experiment.origins.latency,
    )


def _cutoff_known(recipe: Recipe, changes: ChangeFile) -> bool:
    mine = changes.forecasts.filter(pl.col("source") == recipe.source)
    return recipe.cutoff_known and bool(mine.height) and mine["cutoff"].null_count() == 0


def _span_in_origins(plan: Plan) -> int:
    """Periods spanned by the target, counted in scored origins: the most origins within one span of target periods."""
    span = plan.experiment.target.transform.span
    if span == 1:
        return 1
    series = plan.experiment.target.series[0]
    own = plan.starts[plan.first_scored :, 0]
    if plan.experiment.target.transform.is_volatility:
        closes = plan.ends[plan.first_scored :, 0]
        inside = np.searchsorted(own, closes, side="right") - np.arange(len(own))
    else:
        inside = np.searchsorted(own, own + span, side="left") - np.arange(len(own))
    if not len(inside):
        message = f"no scored origin of {series}"
        raise ValueError(message)
    return max(1, int(inside.max()))


def _spans(plan: Plan, changes: ChangeFile) -> pl.DataFrame:
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
            declared = _declared_spans(plan).get(recipe.name)
            first = declared[0] if declared and start else first
            last = declared[1] if declared and end else last
        rows.append((recipe.name, first, last))
    schema = {"model": pl.String(), "issued_first": UTC_INSTANT, "issued_last": UTC_INSTANT}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _errors(rows: pl.DataFrame, board: pl.DataFrame, reference: str) -> pl.DataFrame:
    """The audit table: every point forecast, its outcome, its error (outcome - forecast) and the best rival's."""
    rows = rows.with_columns((pl.col("outcome") - pl.col("value")).alias("error"))
    best = board.select("horizon", "best_rival").unique()
    rows = rows.join(best, on="horizon", how="left")
    rival = rows.select([*CELL, pl.col("model").alias("best_rival"), pl.col("error").alias("best_rival_error")])
    stand_in = rows.filter(pl.col("model") == reference).select([*CELL, pl.col("value").alias("reference_value")])
    joined = rows.join(rival, on=[*CELL, "best_rival"], how="left", maintain_order="left").join(
        stand_in, on=CELL, how="left", maintain_order="left"
    )
    return joined.select(ERROR_COLUMNS)


def _functional_notes(plan: Plan) -> list[str]:
    """Models that forecast something else than the headline metric rewards (S26)."""
    primary = plan.experiment.score_primary
    return [
        f"{recipe.name} forecasts the {recipe.functional}, {primary} rewards the {functional_of(primary)}"
        for recipe in plan.experiment.models
        if not recipe.rival and recipe.functional not in ("", functional_of(primary))
    ]


def _warnings(cells: Mapping[str, list[Cell]]) -> dict[str, dict[str, int]]:
    """Warnings of each model with the number of cells they hold for."""
    counted: dict[str, dict[str, int]] = {}
    for name, mine in cells.items():
        for cell in mine:
            found = cell.facts.get("warnings", [])
            for text in found if isinstance(found, list) else []:
                seen = counted.setdefault(name, {})
                seen[str(text)] = seen.get(str(text), 0) + 1
    return counted
