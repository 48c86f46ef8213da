"""Who is best at each horizon, by how much, and whether that is more than luck: skill, rank and verdict."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import polars as pl

from harness.score.aggregate import SCHEMA as SCORES
from harness.score.aggregate import primary_losses, primary_values, score_frame
from harness.score.grid import Answers, Floats, Grid, Ints
from harness.score.rivals import MINIMUM_ORIGINS, ORIGINS_PER_OVERLAP, Comparison
from harness.score.significance import better_than_all
from harness.score.spec import ScoreSpec

LEVEL: Final = 0.05
BETTER: Final = "better than naive"
NOT_SHOWN: Final = "not shown"
RIVAL: Final = "naive rival"
NO_VERDICT: Final = "no verdict: "
UNKNOWN_CUTOFF: Final = (
    "the data cut-off of these forecasts is unknown, so short-horizon differences measure information, not method"
)

SCHEMA: Final[dict[str, Any]] = {
    "horizon": pl.Int32,
    "rank": pl.Int64,
    "model": pl.String,
    "is_rival": pl.Boolean,
    "metric": pl.String,
    "value": pl.Float64,
    "skill": pl.Float64,
    "best_rival": pl.String,
    "best_rival_value": pl.Float64,
    "p_better_than_naive": pl.Float64,
    "hardest_rival": pl.String,
    "verdict": pl.String,
    "n_origins": pl.Int64,
    "bandwidth": pl.Int64,
    "autocorrelation_beyond": pl.Float64,
    "autocorrelation_band": pl.Float64,
    "dm_fallback": pl.String,
    **{name: kind for name, kind in SCORES.items() if name.startswith(("n", "first_", "last_", "kpi_"))},
}


def board(
    grid: Grid, models: tuple[Answers, ...], spec: ScoreSpec, comparisons: tuple[Comparison, ...]
) -> pl.DataFrame:
    """One row per horizon and model, best first.

    Args:
        grid: the planned grid.
        models: answers of every model, rivals included.
        spec: primary metric and the externals without a verdict.
        comparisons: of every model with every rival (`rivals.compare_all`).

    Returns:
        Columns as `SCHEMA`; see `tables.leaderboard`.

    Source:
        SEMANTICS 23, 24 and 28; CONTRACT, "Plan, outcomes, scores" (best rival).
    """
    everywhere = np.ones(grid.outcome.size, dtype=np.bool_)
    whole = pl.col("series_id").is_null() & pl.col("stretch").is_null()
    pooled = score_frame(grid, models, spec, everywhere).filter(whole)
    values = {rival.model: _over_the_run(grid, rival, spec) for rival in models if rival.is_rival}
    return ranked(pooled, best_rivals(grid.horizons, values), comparisons, spec)


def ranked(
    pooled: pl.DataFrame, best: dict[int, str], comparisons: tuple[Comparison, ...], spec: ScoreSpec
) -> pl.DataFrame:
    """The leaderboard from whole pooled score rows, the best rival by horizon, and the comparisons; as `board`."""
    against = _by_model(comparisons)
    rows = []
    for row in pooled.iter_rows(named=True):
        pairs = against.get((row["horizon"], row["model"]), [])
        rows.append(row | _skill(row, best, pairs, spec) | _evidence(row, pairs, spec))
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row", strict=False) if rows else pl.DataFrame(schema=SCHEMA)
    ranked = frame.with_columns(_rank().over("horizon").cast(pl.Int64).alias("rank"))
    return ranked.sort("horizon", "rank", "model", nulls_last=True)


def _over_the_run(grid: Grid, rival: Answers, spec: ScoreSpec) -> Floats:
    return primary_values(grid, primary_losses(grid, rival, spec), spec, grid.scorable)


def best_rivals(horizons: Ints, over_the_run: dict[str, Floats]) -> dict[int, str]:
    """The rival with the lowest primary metric over the whole run, per horizon; chosen after the fact.

    Args:
        horizons: [horizon].
        over_the_run: the metric of each rival on all scorable cells [horizon], NaN where it is not defined.
    """
    best: dict[int, tuple[float, str]] = {}
    for rival, values in over_the_run.items():
        for horizon, value in zip(horizons.tolist(), values.tolist(), strict=True):
            if not math.isnan(value):
                best[horizon] = min(best.get(horizon, (math.inf, rival)), (value, rival))
    return {horizon: name for horizon, (_, name) in best.items()}


def _by_model(comparisons: tuple[Comparison, ...]) -> dict[tuple[int, str], list[Comparison]]:
    grouped: dict[tuple[int, str], list[Comparison]] = {}
    for pair in comparisons:
        grouped.setdefault((pair.horizon, pair.model), []).append(pair)
    return grouped


def _skill(row: dict[str, Any], best: dict[int, str], pairs: list[Comparison], spec: ScoreSpec) -> dict[str, Any]:
    """Value, and how far below the best rival's on the same cells."""
    horizon, model, value = row["horizon"], row["model"], row[spec.primary]
    rival = best.get(horizon)
    on_the_same = value if rival == model else next((pair.rival_value for pair in pairs if pair.rival == rival), None)
    skill = None
    if isinstance(value, float) and isinstance(on_the_same, float):
        skill = 1.0 - value / on_the_same if on_the_same > 0.0 else (0.0 if value == 0.0 else -math.inf)
    return {
        "metric": spec.primary,
        "value": value,
        "skill": skill,
        "best_rival": rival,
        "best_rival_value": on_the_same,
    }


def _evidence(row: dict[str, Any], pairs: list[Comparison], spec: ScoreSpec) -> dict[str, Any]:
    """The intersection-union p-value, where it comes from, and the verdict."""
    tested = [pair for pair in pairs if pair.p_value is not None]
    hardest = max(tested, key=lambda pair: pair.p_value or 0.0, default=None)
    complete = bool(pairs) and len(tested) == len(pairs) and not row["is_rival"]
    p_value = better_than_all([pair.p_value or 0.0 for pair in tested]) if complete else None
    notes = [f"{pair.rival}: {pair.fallback}" for pair in pairs if pair.fallback]
    shown = None if row["is_rival"] else hardest
    return {
        "p_better_than_naive": p_value,
        "hardest_rival": shown.rival if shown else None,
        "verdict": _verdict(row, pairs, p_value, spec),
        "n_origins": pairs[0].n_origins if pairs else None,
        "bandwidth": pairs[0].bandwidth if pairs else None,
        "autocorrelation_beyond": shown.autocorrelation_beyond if shown else None,
        "autocorrelation_band": shown.autocorrelation_band if shown else None,
        "dm_fallback": "; ".join(notes) or None,
    }


def _verdict(row: dict[str, Any], pairs: list[Comparison], p_value: float | None, spec: ScoreSpec) -> str:
    if row["is_rival"]:
        return RIVAL
    obstacle = _obstacle(row, pairs, spec)
    if obstacle:
        return f"{NO_VERDICT}{obstacle}"
    verdict = _answer(p_value, LEVEL)
    helped = row["n_fallback"]
    return f"{verdict}, {helped} of {row['n']} cells by its fallback" if helped else verdict


def _answer(p_value: float | None, level: float) -> str:
    return BETTER if p_value is not None and p_value < level else NOT_SHOWN


def at_level(board: pl.DataFrame, *, model: str, horizon: int, level: float) -> pl.DataFrame:
    """A leaderboard whose verdict on one model at one horizon goes by a level of its own; the other rows stay.

    Args:
        board: columns as `SCHEMA`.
        model: a model; one without a verdict stays without.
        horizon: target periods ahead.
        level: the model is better than naive where its p-value is below it.
    """
    verdicts = [
        text.replace(_answer(p_value, LEVEL), _answer(p_value, level), 1)
        if (name, step) == (model, horizon) and p_value is not None and not text.startswith(NO_VERDICT)
        else text
        for name, step, p_value, text in board.select("model", "horizon", "p_better_than_naive", "verdict").iter_rows()
    ]
    return board.with_columns(pl.Series("verdict", verdicts, dtype=pl.String))


def _obstacle(row: dict[str, Any], pairs: list[Comparison], spec: ScoreSpec) -> str | None:
    """Why nothing can be said about a model, if so."""
    overlap, origins = pairs[0].bandwidth, pairs[0].n_origins
    needed = max(MINIMUM_ORIGINS, ORIGINS_PER_OVERLAP * (overlap + 1))
    untested = [f"no test against {pair.rival} ({pair.fallback})" for pair in pairs if pair.p_value is None]
    obstacles = {
        "no outcome has matured": row["n"] == 0,
        f"no forecast of its own, every cell is scored with {spec.reference}": row["n"] == row["n_reference"],
        "no forecast of its own, its fallback answered": row["n_ok"] == 0,
        UNKNOWN_CUTOFF: row["model"] in spec.unknown_cutoff,
        f"{spec.primary} is not defined for these outcomes": row[spec.primary] is None,
        f"too few origins ({origins}; {needed} needed with a bandwidth of {overlap})": origins < needed,
        **dict.fromkeys(untested, True),
    }
    return next((reason for reason, holds in obstacles.items() if holds), None)


def _rank() -> pl.Expr:
    """Rank by skill, so that models held to different spans are compared with the same rival on their own."""
    return pl.col("skill").rank("min", descending=True)
