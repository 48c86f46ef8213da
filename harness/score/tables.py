"""The score tables of a run: scores, common sample, every rival, leaderboard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from harness.score.aggregate import score_frame
from harness.score.grid import Answers, Bools, Grid, read
from harness.score.leaderboard import board
from harness.score.rivals import compare_all, comparison_frame
from harness.score.spec import ScoreSpec

__all__ = ["ScoreSpec", "ScoreTables", "against_rivals", "common_sample", "leaderboard", "score_tables", "scores"]


@dataclass(frozen=True, slots=True)
class ScoreTables:
    """All tables of one run; each is described at the function of its name.

    Attributes:
        scores: headline scores on the planned grid.
        common_sample: secondary scores on the cells that every model answered.
        against_rivals: every model against every rival.
        leaderboard: one row per horizon and model.
    """

    scores: pl.DataFrame
    common_sample: pl.DataFrame
    against_rivals: pl.DataFrame
    leaderboard: pl.DataFrame


def score_tables(rows: pl.DataFrame, spec: ScoreSpec) -> ScoreTables:
    """All tables from one reading of the rows.

    Args:
        rows: one row per (model, series_id, origin, horizon); columns as `grid.SCHEMA`, any order.
        spec: how the run is scored.

    Returns:
        `ScoreTables`.

    Raises:
        DataError: rows that cannot be laid on one planned grid (see `grid.read`).

    Source:
        SEMANTICS 23 to 28.
    """
    grid, models = read(rows, spec.reference)
    comparisons = compare_all(grid, models, spec)
    return ScoreTables(
        scores=score_frame(grid, models, spec, _everywhere(grid)),
        common_sample=_common_scores(grid, models, spec),
        against_rivals=comparison_frame(comparisons),
        leaderboard=board(grid, models, spec, comparisons),
    )


def scores(rows: pl.DataFrame, spec: ScoreSpec) -> pl.DataFrame:
    """Headline scores on the planned grid: missing answers are scored with the reference, and counted.

    Args:
        rows: one row per (model, series_id, origin, horizon); columns as `grid.SCHEMA`, any order.
        spec: how the run is scored.

    Returns:
        One row per model, horizon, series (null = pooled over cells) and stretch (null = whole; "first", "middle",
        "last" third of the run's origins with a matured outcome):

        - `first_origin`, `last_origin`: of the cells the model is held to (an external: within its span);
        - `n` cells scored = `n_ok` + `n_fallback` + `n_reference`; `n_reference` = `n_failed` + `n_abstained` +
          `n_not_issued` + `n_missing` (no row at all);
        - not scored: `n_no_reference` (matured, but the reference has no forecast: left out for every model),
          `n_pending`, `n_no_outcome`, `n_withdrawn`, `n_delisted`;
        - `mae`, `rmse`, `bias` in the unit of the target; `mase`, `rmsse` over the `n_mase`, `n_rmsse` cells whose
          series has a scale; `smape` (ratio-scale levels, all outcomes positive) in per cent, `qlike` (volatility);
        - `kpi_total`, `kpi_mean` in the KPI's unit.

        A metric that is not defined is null; QLIKE is infinite if a volatility forecast is not positive.

    Raises:
        DataError: rows that cannot be laid on one planned grid (see `grid.read`).

    Source:
        SEMANTICS 24 to 26.
    """
    grid, models = read(rows, spec.reference)
    return score_frame(grid, models, spec, _everywhere(grid))


def common_sample(rows: pl.DataFrame, spec: ScoreSpec) -> pl.DataFrame:
    """Secondary scores, on the cells where every model gave its own forecast (status `ok`).

    Per horizon, a model without a single own forecast there takes no part and has no row. Externals take part, so
    outside the shortest external's span there is no common cell. Hard cells drop out with whoever abstained on them:
    never the headline.

    Args:
        rows: one row per (model, series_id, origin, horizon); columns as `grid.SCHEMA`, any order.
        spec: how the run is scored.

    Returns:
        Columns as `scores`; `n` may be 0.

    Raises:
        DataError: rows that cannot be laid on one planned grid (see `grid.read`).

    Source:
        SEMANTICS 24.
    """
    grid, models = read(rows, spec.reference)
    return _common_scores(grid, models, spec)


def against_rivals(rows: pl.DataFrame, spec: ScoreSpec) -> pl.DataFrame:
    """Every model against every always-on rival but itself, on the cells the model is held to.

    Args:
        rows: one row per (model, series_id, origin, horizon); columns as `grid.SCHEMA`, any order.
        spec: how the run is scored.

    Returns:
        One row per horizon, model and rival; columns as the fields of `rivals.Comparison`. The test's loss is the
        primary metric's: |error| for MAE, error^2 for RMSE, these over the series' scale for MASE and RMSSE, the
        terms of sMAPE and QLIKE.

    Raises:
        DataError: rows that cannot be laid on one planned grid (see `grid.read`).

    Source:
        SEMANTICS 24, 27 and 28.
    """
    grid, models = read(rows, spec.reference)
    return comparison_frame(compare_all(grid, models, spec))


def leaderboard(rows: pl.DataFrame, spec: ScoreSpec) -> pl.DataFrame:
    """Who is best at each horizon, and whether any model is shown to be better than every naive rival.

    Args:
        rows: one row per (model, series_id, origin, horizon); columns as `grid.SCHEMA`, any order.
        spec: how the run is scored.

    Returns:
        One row per horizon and model, rivals included, best first:

        - `rank` by `skill` = 1 - `value` / `best_rival_value`; `metric` names the primary metric, `value` is it;
        - `best_rival`: lowest primary metric of this horizon over the whole run, *chosen after the fact*;
          `best_rival_value`: its metric on the cells this model is held to;
        - `p_better_than_naive`: largest one-sided p against every rival (null for rivals, or if a test failed),
          `hardest_rival`: where it comes from; `verdict`: "better than naive" (p < 5 %), "not shown",
          "no verdict: ..." with the reason, or "naive rival";
        - `n_origins`, `bandwidth` (L), `autocorrelation_beyond` and `autocorrelation_band` of the hardest test,
          `dm_fallback`: notes of all tests;
        - counts, spans and KPI as in `scores`.

    Raises:
        DataError: rows that cannot be laid on one planned grid (see `grid.read`).

    Source:
        SEMANTICS 23, 24, 27 and 28.
    """
    grid, models = read(rows, spec.reference)
    return board(grid, models, spec, compare_all(grid, models, spec))


def _everywhere(grid: Grid) -> Bools:
    return np.ones(grid.outcome.size, dtype=np.bool_)


def _common_scores(grid: Grid, models: tuple[Answers, ...], spec: ScoreSpec) -> pl.DataFrame:
    common = grid.scorable.copy()
    parts: list[tuple[int, str]] = []
    for model in models:
        ok = (model.status == 0) & model.in_span & grid.scorable
        takes_part = np.bincount(grid.horizon[ok], minlength=grid.horizons.size) > 0  # [horizon]
        common &= ok | ~takes_part[grid.horizon]
        parts += [(horizon, model.model) for horizon in grid.horizons[takes_part].tolist()]
    keys = pl.DataFrame(parts, schema={"horizon": pl.Int32, "model": pl.String}, orient="row")
    return score_frame(grid, models, spec, common).join(
        keys, on=["horizon", "model"], how="semi", maintain_order="left"
    )
