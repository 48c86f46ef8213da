"""The lag stress: the experiment run again with everything published n days later, scored on the same cells."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import polars as pl

from harness.backtest.place import Progress
from harness.backtest.splits import Plan
from harness.core.errors import UserError
from harness.record.cells import Cell
from harness.record.home import Home
from harness.studies.altered import delayed, later
from harness.studies.bench import Bench, World, ours, share
from harness.studies.verdict import PASSED, Check

STRESS_SCHEMA = pl.Schema(
    {
        "model": pl.String(),
        "horizon": pl.Int32(),
        "metric": pl.String(),
        "faithful": pl.Float64(),
        "stressed": pl.Float64(),
        "difference": pl.Float64(),
        "worse": pl.Float64(),
        "n": pl.Int64(),
        "verdict": pl.String(),
        "stressed_verdict": pl.String(),
    }
)
"""`worse` = 100 (stressed / faithful - 1) in per cent; the verdicts are those of the leaderboard."""
ROW = ["series_id", "horizon", "period"]


def stress(
    plan: Plan,
    changes_folder: Path,
    home: Home,
    days: int,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Check:
    """What is left of every result if each lag were some days longer: observed, by rule and assumed ones alike.

    Labels mature later with their publications; outcome values are the same. Cells whose outcome was public at the
    origin stay out of the scores, although the longer lag would make forecasts of them. External forecasts stay.

    Args:
        plan: of the experiment with its rivals.
        changes_folder: the archive state it was made on.
        home: where the faithful run's cells are found, or stored when it has not been run.
        days: calendar days added to every lag, at least 1.
        workers: worker processes; None = as many as cores allow.
        progress: called with (cells done, cells in all).

    Returns:
        A check that measures and never fails, with table `stress` (columns of `STRESS_SCHEMA`).

    Raises:
        UserError: fewer days than one, or as `backtest.runner.execute`.
    """
    if days < 1:
        raise UserError("no stress at all", value=f"--stress {days}", rule="days added to every lag, at least 1")
    began = time.perf_counter()
    names = [recipe.name for recipe in ours(plan.experiment)]
    total = len(names) * len(plan.issued)
    bench = Bench(plan, changes_folder, home, workers=workers, progress=progress, total=total)
    faithful = bench.faithful()
    honest = bench.scored(faithful).frames["leaderboard"]
    late = stressed_plan(plan, days)
    # labels under `latest` are read in the later snapshots themselves: they mature as late as everything else
    taken = bench.elsewhere(World(delayed(bench.changes, days), late, pinned=False), names)
    same_grid = {name: _on_the_grid(cells, faithful[name]) for name, cells in taken.items()}
    table = _compared(honest, bench.scored({**faithful, **same_grid}, late).frames["leaderboard"])
    return Check(
        "stress",
        PASSED,
        _said(table, days),
        tables=(("stress", table),),
        cells=bench.computed,
        seconds=time.perf_counter() - began,
    )


def price(plan: Plan) -> float:
    """What `stress` costs beyond the faithful run, in runs."""
    return share(plan.experiment, [recipe.name for recipe in ours(plan.experiment)])


def stressed_plan(plan: Plan, days: int) -> Plan:
    """The same origins and outcome values; outcomes mature some days later, for labels and for the tests' overlap."""
    table = plan.outcomes
    matured_at, first_public = later(table.matured_at, days), later(table.first_public, days)
    return replace(plan, outcomes=replace(table, matured_at=matured_at, first_public=first_public))


def _on_the_grid(cells: list[Cell], faithful: list[Cell]) -> list[Cell]:
    """Cells in which rows that are no forecasts of the faithful run are none either."""
    out = []
    for cell, other in zip(cells, faithful, strict=True):
        public = other.frame.filter(pl.col("status") == "already_public").select(ROW).unique()
        frame = cell.frame.join(public.with_columns(pl.lit(value=True).alias("public")), on=ROW, how="left")
        kept = frame.filter(pl.col("public").is_null() | pl.col("quantile").is_null())
        out.append(
            Cell(kept.with_columns(*_blanked(pl.col("public").fill_null(value=False))).drop("public"), cell.facts)
        )
    return out


def _blanked(public: pl.Expr) -> list[pl.Expr]:
    return [
        pl.when(public).then(pl.lit("already_public")).otherwise("status").alias("status"),
        *(pl.when(public).then(None).otherwise(name).alias(name) for name in ("value", "reason", "trained_at")),
    ]


def _compared(honest: pl.DataFrame, stressed: pl.DataFrame) -> pl.DataFrame:
    other = stressed.select(
        "horizon", "model", pl.col("value").alias("stressed"), pl.col("verdict").alias("stressed_verdict")
    )
    joined = honest.rename({"value": "faithful"}).join(other, on=["horizon", "model"], how="left")
    ratio = pl.when(pl.col("faithful") != 0.0).then(100.0 * (pl.col("stressed") / pl.col("faithful") - 1.0))
    table = joined.with_columns((pl.col("stressed") - pl.col("faithful")).alias("difference"), ratio.alias("worse"))
    return table.sort("horizon", "rank", "model").select(STRESS_SCHEMA.names()).cast(STRESS_SCHEMA)


def _said(table: pl.DataFrame, days: int) -> str:
    moved = table.filter(pl.col("worse").is_not_null() & ~pl.col("verdict").str.starts_with("naive"))
    turned = table.filter(pl.col("verdict").ne_missing(pl.col("stressed_verdict"))).height
    if moved.is_empty():
        return f"every lag {days} days longer: no model to compare"
    worst = moved.sort("worse").row(-1, named=True)
    return (
        f"every lag {days} days longer: {worst['metric']} of the models rises by {worst['worse']:.1f} % at most "
        f"({worst['model']}, h = {worst['horizon']}); {turned} of {table.height} verdicts change"
    )
