"""The leak premium: the experiment run unfaithfully, one liberty at a time, and what that would have pretended.

The plan, the pinned outcomes (scores, and labels with their maturity), the seeds and the headline metric are those of
the faithful run; external forecasts are left as they are. So a difference is the liberty's and nothing else's.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.backtest.design import columns_of
from harness.backtest.place import Progress
from harness.backtest.splits import Plan
from harness.core.recipe import Experiment, FeatureBlock, Recipe
from harness.core.time import NEVER, instant
from harness.data.changes import ChangeFile
from harness.data.outcomes import MATURED
from harness.data.past import past_of
from harness.data.replay import Replay
from harness.forecast.catalog import learns_from_rows
from harness.forecast.features import Targets, feature_rows
from harness.record.home import Home
from harness.studies.altered import latest_vintage, no_lag, untouched
from harness.studies.bench import Bench, Cells, World, ours, share
from harness.studies.inputs import blocks_on_others, reads_others
from harness.studies.liberties import OversampledFirst, StepsOnEverything
from harness.studies.verdict import PASSED, Check

Floats = NDArray[np.float64]
NO_LAG, LATEST, BOTH = "no lag", "latest vintage", "both"
STEPS, OVERSAMPLED = "steps fitted on everything", "over-sampling before the split"
FUTURE = "realised future inputs"
LIBERTIES: Mapping[str, str] = {
    NO_LAG: "every value is known from the end of its period on",
    LATEST: "every value is from its first publication on the one that stands today",
    BOTH: "no lag and latest vintage together",
    STEPS: "steps are fitted on all rows, later ones included; the model on matured ones",
    OVERSAMPLED: "all rows are over-sampled before the split by time, so copies of rows to be forecast are trained on",
    FUTURE: "other inputs come with their value for the period to be forecast",
}
PREMIUM_SCHEMA = pl.Schema(
    {
        "liberty": pl.String(),
        "model": pl.String(),
        "horizon": pl.Int32(),
        "metric": pl.String(),
        "faithful": pl.Float64(),
        "unfaithful": pl.Float64(),
        "difference": pl.Float64(),
        "premium": pl.Float64(),
        "n": pl.Int64(),
        "known": pl.Float64(),
        "note": pl.String(),
    }
)
"""`premium` = 100 (1 - unfaithful / faithful) in per cent; `known`: share of the scored cells whose target period had
a value at the origin in the altered world (there the answer is given away, and no premium of a method is left)."""


def premium(
    plan: Plan, changes_folder: Path, home: Home, *, workers: int | None = None, progress: Progress | None = None
) -> Check:
    """What each liberty would have pretended, for every model and horizon.

    Args:
        plan: of the experiment with its rivals.
        changes_folder: the archive state it was made on.
        home: where the faithful run's cells are found, or stored when it has not been run.
        workers: worker processes; None = as many as cores allow.
        progress: called with (cells done, cells in all).

    Returns:
        A check that measures and never fails, with table `premium` (columns of `PREMIUM_SCHEMA`).

    Raises:
        UserError: as `backtest.runner.execute`.
    """
    began = time.perf_counter()
    asked = _affected(plan.experiment)
    total = sum(map(len, asked.values())) * len(plan.issued)
    bench = Bench(plan, changes_folder, home, workers=workers, progress=progress, total=total)
    faithful = bench.faithful()
    honest = bench.scored(faithful).frames["leaderboard"]
    table = pl.concat([_measured(bench, name, names, faithful, honest) for name, names in asked.items()])
    return Check(
        "premium",
        PASSED,
        _said(table),
        tables=(("premium", table),),
        cells=bench.computed,
        seconds=time.perf_counter() - began,
    )


def price(plan: Plan) -> float:
    """What `premium` costs beyond the faithful run, in runs: models fitted again over models fitted."""
    return sum(share(plan.experiment, names) for names in _affected(plan.experiment).values())


def _affected(experiment: Experiment) -> dict[str, list[str]]:
    """Names of the models that a liberty could move, by liberty."""
    everyone = [recipe.name for recipe in ours(experiment)]
    learners = [recipe for recipe in ours(experiment) if recipe.features and learns_from_rows(recipe.kind)]
    return {
        NO_LAG: everyone,
        LATEST: everyone,
        BOTH: everyone,
        STEPS: [recipe.name for recipe in learners if recipe.steps],
        OVERSAMPLED: [recipe.name for recipe in learners],
        FUTURE: [recipe.name for recipe in learners if _blind(recipe, experiment)],
    }


def _blind(recipe: Recipe, experiment: Experiment) -> list[FeatureBlock]:
    """Blocks of a recipe on other series that do not declare their value for the target period as known ahead."""
    return [block for block in blocks_on_others(recipe, experiment) if 0 not in block.known_ahead]


def _measured(
    bench: Bench, liberty: str, names: Collection[str], faithful: Cells, honest: pl.DataFrame
) -> pl.DataFrame:
    world = _world(bench, liberty) if names else World()
    same = world.changes
    moved = [
        recipe.name
        for recipe, identity in bench.board
        if recipe.name in names and not (same is not None and untouched(bench.changes, same, identity.series))
    ]
    bench.spare(len(names) - len(moved))
    taken = bench.elsewhere(world, moved)
    scores = bench.scored({**faithful, **taken}).frames["leaderboard"] if taken else honest
    known = _shares_known(bench.plan, world.changes or bench.changes)
    reasons = _why_not(bench.plan.experiment, liberty, names)
    rows = _rows(honest, scores, _with_helped(bench.plan.experiment, moved), known, reasons)
    table = pl.DataFrame([(liberty, *row) for row in rows], schema=PREMIUM_SCHEMA, orient="row")
    return table.sort("horizon", pl.col("unfaithful").is_null(), "model", maintain_order=True)


def _with_helped(experiment: Experiment, moved: Collection[str]) -> set[str]:
    """The models computed again, and those that have one of them answer where they fail."""
    recipes = {recipe.name: recipe for recipe in experiment.models}
    out = set(moved)
    for name in recipes:
        chain = [name]
        while recipes[chain[-1]].fallback:
            chain.append(recipes[chain[-1]].fallback)
        if out & set(chain):
            out.add(name)
    return out


def _world(bench: Bench, liberty: str) -> World:
    if liberty == STEPS:
        return World(liberty=StepsOnEverything())
    if liberty == OVERSAMPLED:
        return World(liberty=OversampledFirst())
    if liberty == FUTURE:
        return World(plan=_with_future_inputs(bench.plan), amended=realised_inputs)
    altered = latest_vintage(bench.changes) if liberty in (LATEST, BOTH) else bench.changes
    return World(no_lag(altered) if liberty in (NO_LAG, BOTH) else altered)


def _with_future_inputs(plan: Plan) -> Plan:
    """The plan with a column for the target period's own value in every block on other series."""
    blocks = tuple(
        replace(block, known_ahead=(*block.known_ahead, 0))
        if reads_others(block, plan.experiment) and 0 not in block.known_ahead
        else block
        for block in plan.experiment.features
    )
    return replace(plan, experiment=replace(plan.experiment, features=blocks))


def realised_inputs(plan: Plan, changes: ChangeFile, design: Floats) -> Floats:
    """Feature rows in which `known_ahead_0` of other inputs is the value that stands at the archive's end.

    Args:
        plan: with the columns wanted among its features.
        changes: the true changes.
        design: [origin, series, horizon, feature] frozen rows.
    """
    experiment = plan.experiment
    future = tuple(
        FeatureBlock(block.name, block.series, block.transform, known_ahead=(0,))
        for block in experiment.features
        if reads_others(block, experiment) and 0 in block.known_ahead
    )
    replay = Replay(changes, plan.inputs)
    replay.advance(instant(max(changes.known_through[name] for name in plan.inputs)))
    last = replay.snapshot(experiment.target, copy=False)
    columns = columns_of(future, experiment.features)
    out = design.copy()
    for row, ends in enumerate(plan.end_days):
        asked = Targets(experiment.target.series, experiment.horizons, ends)
        out[row][..., columns] = feature_rows(last, future, asked)
    return out


def _rows(
    honest: pl.DataFrame,
    scores: pl.DataFrame,
    moved: Collection[str],
    known: Mapping[int, float],
    why_not: Mapping[str, str],
) -> Iterator[tuple[object, ...]]:
    """One row per model and horizon, without the liberty."""
    other = {(row["horizon"], row["model"]): row["value"] for row in scores.iter_rows(named=True)}
    for row in honest.sort("horizon", "rank", "model").iter_rows(named=True):
        name, before = row["model"], row["value"]
        after = other.get((row["horizon"], name)) if name in moved else None
        difference = None if before is None or after is None else after - before
        gain = None if after is None or not before else 100.0 * (1.0 - after / before)
        note = "" if name in moved else why_not.get(name, "not affected: nothing it reads is altered")
        yield (
            name,
            row["horizon"],
            row["metric"],
            before,
            after,
            difference,
            gain,
            row["n"],
            known[row["horizon"]],
            note,
        )


def _why_not(experiment: Experiment, liberty: str, names: Collection[str]) -> dict[str, str]:
    """Why a liberty could not move a model."""
    nobody = {
        STEPS: "not applicable: no model has steps",
        OVERSAMPLED: "not applicable: no model learns from rows",
        FUTURE: "not applicable: no model has blocks on other series",
    }
    single = {
        STEPS: "not affected: it has no steps",
        OVERSAMPLED: "not affected: it learns from no rows",
        FUTURE: "not affected: it has no block on another series",
    }
    reasons = {}
    for recipe in experiment.models:
        if recipe.source:
            reasons[recipe.name] = "left as it is: made elsewhere"
        elif recipe.name not in names:
            reasons[recipe.name] = (single if names else nobody).get(liberty, "")
    return reasons


def _shares_known(plan: Plan, changes: ChangeFile) -> dict[int, float]:
    """By horizon, the share of scored cells whose target period had its value at the origin."""
    target, scored = plan.experiment.target, range(plan.first_scored, len(plan.instants))
    first: dict[str, dict[int, int]] = {}
    for series_id in target.series:
        for name in target.transform.inputs(series_id):
            past = past_of(changes, name)
            stated = ~np.isnan(past.value)
            periods, rows = np.unique(past.period[stated], return_index=True)
            first[name] = dict(zip(periods.tolist(), past.published[stated][rows].tolist(), strict=True))
    shares = {}
    for place, step in enumerate(plan.experiment.horizons):
        given = asked = 0
        for origin in scored:
            matured = plan.outcomes.status[:, plan.request[origin, place]] == MATURED
            judged = matured & ~plan.already_public(origin)[:, place]
            for row, series_id in enumerate(target.series):
                if not judged[row]:
                    continue
                end = int(plan.ends[origin, place])
                at = [first[name].get(end, NEVER) for name in target.transform.inputs(series_id)]
                given += NEVER not in at and max(at) <= int(plan.known[origin])
                asked += 1
        shares[step] = given / asked if asked else 0.0
    return shares


def _said(table: pl.DataFrame) -> str:
    """What the liberties would have pretended at most, where the target was not simply given away."""
    measured = table.filter(pl.col("premium").is_not_null() & (pl.col("known") < 0.01)).sort("premium")
    if measured.is_empty():
        return "the experiment was run unfaithfully; no liberty moves any model where the target is not known"
    parts = []
    for liberty in LIBERTIES:
        mine = measured.filter(pl.col("liberty") == liberty)
        if mine.height:
            best = mine.row(-1, named=True)
            parts.append(f"{liberty} {best['premium']:+.1f} % ({best['model']}, h = {best['horizon']})")
    metric = measured["metric"][0]
    return f"largest share of {metric} that each liberty would have hidden: {'; '.join(parts)}"
