"""The whole pipeline at one origin, every model of an experiment, with every hand-over kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
import polars as pl
import threadpoolctl

from harness.backtest.design import RowBuilder, build_design
from harness.backtest.keys import RecipeIdentity, blocks_of, recipe_identity
from harness.backtest.splits import Plan, training_set
from harness.backtest.witness import World
from harness.backtest.work import walk
from harness.core.recipe import Experiment, Recipe
from harness.core.transform import Floats
from harness.data.changes import ChangeFile
from harness.data.replay import Replay
from harness.forecast.catalog import build, entry_for
from harness.forecast.user_class import is_user_class
from harness.record.cells import Cell
from harness.studies.differing import Difference, compare, first_differences
from harness.studies.drawings import Drawing
from harness.studies.handover import KEYS, PLACES, Handover, Trace
from harness.studies.questions import Keeper, Question
from harness.studies.verdict import Finding

Board = tuple[tuple[Recipe, RecipeIdentity], ...]
Group = tuple[tuple[Recipe, RecipeIdentity], ...]


def board_of(experiment: Experiment) -> Board:
    """Every model of an experiment with its identity."""
    return tuple((recipe, recipe_identity(recipe, experiment)) for recipe in experiment.models)


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """What was handed over on the way to one origin.

    Attributes:
        origin: index of the origin.
        groups: hand-overs of each group of models that share what they are given, in the order of work.
        questions: what it takes to ask every model again, where that was wanted.
        drawings: what it takes to have every space function draw again, where that was wanted.
    """

    origin: int
    groups: tuple[tuple[Handover, ...], ...]
    questions: tuple[Question, ...] = ()
    drawings: tuple[Drawing, ...] = ()


def passage(
    plan: Plan,
    changes: ChangeFile,
    board: Board,
    origin: int,
    *,
    later: Plan | None = None,
    design: Floats | None = None,
    keep: bool = False,
) -> Passage:
    """Run the pipeline at one origin, from the archive view to the forecasts.

    Args:
        plan: the plan.
        changes: the archive view.
        board: the models.
        origin: index of the origin.
        later: the plan as it is: the rows frozen up to `origin`, as they stand among the training rows of its last
            origin, are handed over too (law 3).
        design: frozen rows that are known to be those of these changes; None = they are built.
        keep: keep the questions too.
    """
    if design is None:
        design = design_for(plan, changes, board, origin if later is None else len(plan.instants) - 1)
    world = World(plan, changes, design)
    groups: list[tuple[Handover, ...]] = []
    questions, drawings = list[Question](), list[Drawing]()
    recipes = {recipe.name: recipe for recipe, _ in board}
    for group in grouped(board, plan, origin):
        trace = Keeper(plan, recipes=recipes) if keep else Trace(plan)
        with threadpoolctl.threadpool_limits(1):
            for _ in walk(world, group, [origin], witness=trace):
                pass
        groups.append(tuple(trace.handovers))
        if isinstance(trace, Keeper):
            questions += trace.questions
            drawings += [Drawing(*one) for one in trace.drawings]
    if later is not None:
        rows = tuple(_frozen(World(later, changes, design), board, origin))
        groups += [rows] if rows else []  # no model may see any
    return Passage(origin, tuple(groups), tuple(questions), tuple(drawings))


def design_for(plan: Plan, changes: ChangeFile, board: Board, last: int) -> Floats | None:
    """The frozen rows up to an origin; None when no model is given any."""
    seen = any(plan.experiment.seen_blocks(recipe) for recipe, _ in board)
    return build_design(plan, changes, last=last) if seen else None


def grouped(board: Board, plan: Plan, origin: int) -> Iterator[Group]:
    """Models that are given the same series and sources and were fitted at the same origin; the unfitted ones last."""
    groups: dict[tuple[object, ...], list[tuple[Recipe, RecipeIdentity]]] = {}
    for recipe, identity in board:
        fitted = entry_for(recipe.kind).fitted or recipe.search is not None
        refit = plan.refit_origin(origin, identity.cadence) if fitted else origin
        groups.setdefault((identity.series, identity.sources, refit), []).append((recipe, identity))
    yield from (tuple(group) for group in groups.values())


def _frozen(world: World, board: Board, origin: int) -> Iterator[Handover]:
    """Rows frozen up to an origin, as they stand among the training rows of the last one."""
    plan = world.plan
    later = len(plan.instants) - 1
    experiment = plan.experiment
    for recipe, identity in board:
        if not recipe.features or world.design is None or not entry_for(recipe.kind).fitted:
            continue
        refit = plan.refit_origin(later, identity.cadence)
        replay = Replay(
            world.changes,
            identity.series,
            latency=experiment.origins.latency,
            exclude_hindsight=experiment.exclude_hindsight,
        )
        replay.advance(plan.instants[refit])
        snapshot = replay.snapshot(experiment.target)
        sets = {place: training_set(plan, refit, place, snapshot) for place in range(len(experiment.horizons))}
        sets = {place: some for place, some in sets.items() if len(some.origins)}
        if not sets:
            continue
        rows = RowBuilder(plan, world.design, blocks_of(recipe, experiment), world.changes).training(
            refit, sets, snapshot
        )
        table = pl.concat([rows.keys, rows.X.cast(pl.Float64)], how="horizontal")
        early = table.filter(pl.col("pseudo_origin") <= plan.instants[origin])
        yield Handover("frozen rows", recipe.name, origin, KEYS, early)


def differences(expected: Passage, found: Passage) -> Iterator[tuple[Handover, Difference]]:
    """The first hand-over that differs, of every model of every group."""
    for mine, theirs in zip_longest(expected.groups, found.groups, fillvalue=()):
        yield from first_differences(mine, theirs)


def otherwise(base: Passage, model: str, cell: Cell, plan: Plan) -> list[tuple[Handover, Difference]]:
    """How another cell of a model at an origin differs from what it answered in a passage; [] = the same bits."""
    trace = Trace(plan)
    trace.cell(model, base.origin, cell)
    mine = trace.handovers[0]
    told = next((one for group in base.groups for one in group if (one.stage, one.model) == (mine.stage, model)), None)
    difference = None if told is None else compare(told, mine)
    return [] if difference is None else [(mine, difference)]


def evidence(
    plan: Plan, board: Board, check: str, how: str, found: Iterable[tuple[Handover, Difference]]
) -> Iterator[Finding]:
    """Findings of some differences, each at the room or the user's class where it came in."""
    kinds = {recipe.name: recipe for recipe, _ in board}
    for handover, difference in found:
        yield Finding(
            check,
            how,
            plan.instants[handover.origin],
            handover.stage,
            place_of(handover, kinds.get(handover.model)),
            handover.model,
            difference.series_id,
            difference.row,
            difference.column,
            difference.expected,
            difference.found,
            difference.cells,
        )


def place_of(handover: Handover, recipe: Recipe | None) -> str:
    """The module behind a hand-over; of what a model does, its own."""
    if recipe is None or handover.stage in PLACES:
        return PLACES.get(handover.stage, "harness.backtest.work")
    if is_user_class(recipe.kind):
        return recipe.kind
    for step in recipe.steps:
        if is_user_class(step.kind):
            return step.kind
    if handover.stage == "fit" and recipe.steps:
        return "harness.forecast.steps"
    return type(build(replace(recipe, steps=()))).__module__


def chosen_origins(plan: Plan, wanted: int | None, *, cadence: int) -> list[int]:
    """Indices of the origins an audit looks at: the first, the last, a refit boundary, and others evenly between.

    Args:
        plan: the plan.
        wanted: how many; None = every scored one.
        cadence: the longest refit cadence of the models.
    """
    scored = list(range(plan.first_scored, len(plan.instants)))
    if wanted is None or wanted >= len(scored):
        return scored
    even = np.linspace(0, len(scored) - 1, max(wanted, 2)).round().astype(int)
    chosen = {scored[place] for place in even}
    boundaries = [origin for origin in scored[1:-1] if plan.refit_origin(origin, cadence) == origin]
    if wanted >= 3 and boundaries and not chosen & set(boundaries):
        inner = sorted(chosen - {scored[0], scored[-1]})
        middle = inner[len(inner) // 2]
        chosen = chosen - {middle} | {min(boundaries, key=lambda origin: abs(origin - middle))}
    return sorted(chosen)
