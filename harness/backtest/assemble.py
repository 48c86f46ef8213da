"""From cells and outcomes to the tables of a run: forecasts, errors, scores, leaderboard, and what the data were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import numpy as np
import polars as pl

from harness.backtest.data_facts import input_facts, origin_facts, public_shares
from harness.backtest.panel_scores import Panel, panel_tables
from harness.backtest.scales import Scales, scales_of
from harness.backtest.splits import Plan, run_of
from harness.backtest.statuses import status_counts
from harness.backtest.tidy import declared_spans, error_rows, issue_spans, score_rows
from harness.core.ahead import beside
from harness.core.recipe import Recipe
from harness.core.time import micros
from harness.data.changes import ChangeFile
from harness.data.outcomes import OUTCOME_STATUS
from harness.data.standing import layout
from harness.forecast.catalog import entry_for, reference_name
from harness.record.cells import Cell
from harness.record.platform import threads_here
from harness.score.decision import Kpi
from harness.score.grid import STRETCHES
from harness.score.spec import ScoreSpec, functional_of

TIDY_ROWS = 2_000_000
"""Point forecasts of a run above which no tidy table of them is written: they stay in their cells."""
SCORE_ROWS = 500_000
"""Score rows above which there are none by series."""
NOTES = 1000
"""Series whose lack of a scale is noted by name at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Tables by name, and JSON facts for the manifest."""

    frames: Mapping[str, pl.DataFrame]
    facts: Mapping[str, object]


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
    threads = _threads(plan)
    with beside(partial(_told, plan, changes, cells), threads=threads) as told:
        scales = scales_of(scaled_by or plan, changes)
        layout.cache_clear()  # nothing more is looked up in it
        panel = panel_of(plan, changes, cells, scales)
        tables = panel_tables(panel, spec, by_series=score_cuts(plan) <= SCORE_ROWS, threads=threads)
        of_data = told()
    frames = {
        "scores": tables.scores,
        "common_sample": tables.common_sample,
        "against_rivals": tables.against_rivals,
        "leaderboard": tables.leaderboard,
        **of_data.frames,
    }
    if forecast_count(plan) <= TIDY_ROWS:
        found = score_rows(plan, changes, cells, run_id, scales=scales)
        errors = error_rows(found.rows, tables.leaderboard, spec.reference)
        frames = {"forecasts": found.forecasts, "errors": errors, **frames}
    facts = {
        "outcome_rule": str(experiment.target.outcome),
        "scale_notes": _noted(scales.notes),
        **of_data.facts,
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


def _told(plan: Plan, changes: ChangeFile, cells: Mapping[str, list[Cell]]) -> Results:
    """What is told of a run besides its scores: of the answers, and of the data behind them."""
    frames = {
        "statuses": status_counts(plan, cells),
        "inputs": input_facts(plan, changes),
        "origins": origin_facts(plan, changes),
    }
    return Results(frames, {"share_already_public": public_shares(plan, changes), **_outcome_facts(plan)})


def _threads(plan: Plan) -> int:
    """Threads to score with: one for a small run."""
    return threads_here() if forecast_count(plan) > TIDY_ROWS else 1


def panel_of(plan: Plan, changes: ChangeFile, cells: Mapping[str, list[Cell]], scales: Scales) -> Panel:
    """What is scored of a plan.

    Args:
        plan: of the cells.
        changes: its change file.
        cells: of every model.
        scales: of MASE and RMSSE.
    """
    return Panel(plan, cells, _held_spans(plan, changes), _micros_of(declared_spans(plan)), scales)


def forecast_count(plan: Plan) -> int:
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
        request, rows = run_of(plan.request[origin]), slice(None) if asked.all() else asked
        counts += np.bincount(table.status[:, request][rows].ravel("K"), minlength=len(counts))
        immature += int(table.immature[:, request][rows].sum())
        hindsight += int(table.hindsight[:, request][rows].sum())
    named = sorted((name, int(count)) for name, count in zip(OUTCOME_STATUS, counts, strict=True) if count)
    return {"outcomes": dict(named), "immature": immature, "hindsight_outcomes": hindsight}


def _micros_of(spans: Mapping[str, tuple[datetime, datetime]]) -> dict[str, tuple[int | None, int | None]]:
    return {name: (micros(first), micros(last)) for name, (first, last) in spans.items()}


def _held_spans(plan: Plan, changes: ChangeFile) -> dict[str, tuple[int | None, int | None]]:
    """Microseconds UTC of the first and last issue each model is held to; None = no limit."""
    rows = issue_spans(plan, changes).with_columns(pl.col("issued_first", "issued_last").dt.epoch("us"))
    return {model: (first, last) for model, first, last in rows.iter_rows()}


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
