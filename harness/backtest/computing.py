"""Missing cells become tasks, and an engine runs them; features are built before, or beside those that need none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.backtest.bounds import block_width
from harness.backtest.design import Floats, build_design, build_rows
from harness.backtest.engine import Engine, InProcess, Workers, alongside
from harness.backtest.engines import LARGE, threads_of
from harness.backtest.first_window import asks_for_it
from harness.backtest.fit_parts import SPREAD, shared_fits
from harness.backtest.keys import cell_keys
from harness.backtest.place import Board, Place, Progress
from harness.backtest.splits import Plan
from harness.backtest.stages import CELLS, Stages
from harness.backtest.table_file import written_out
from harness.backtest.task import Context, Task
from harness.backtest.witness import World
from harness.core.recipe import Recipe
from harness.data.changes import ChangeFile
from harness.data.mapped import let_go
from harness.forecast.catalog import entry_for, learns_from_rows_alone
from harness.record.cells import Cell
from harness.record.memory import spare_memory, trim_heap
from harness.record.platform import are_bounded

STRETCHES = 6
"""Stretches of a model's origins at least. Each replays what came before it, so there are no more than it takes."""
LITTLE = 1000
"""Cells of naive rivals that take less time than the start of worker processes."""
ANSWERS, CHANGES = 2000, 150_000
"""Answers in a cell, and changes walked through, that cost as much again as a cell does."""


def tasks_of(
    plan: Plan,
    changes: ChangeFile,
    board: Board,
    keys: dict[str, list[str]],
    cells: dict[str, list[Cell | None]],
    searches: dict[str, dict[int, str]],
    engine: Engine,
) -> list[Task]:
    """The missing cells as tasks: stretches aligned to refit blocks, as many as suit the engine that runs them."""
    first = plan.first_issued
    tasks: list[Task] = []
    rivals = [(recipe, identity) for recipe, identity in board if recipe.rival]
    lacking = [
        origin for origin in plan.issued if any(cells[recipe.name][origin - first] is None for recipe, _ in rivals)
    ]
    for stretch in _stretches(lacking, 1, most=_walks_of(engine, plan)):
        chosen = tuple(tuple(keys[recipe.name][origin - first] for origin in stretch) for recipe, _ in rivals)
        tasks.append(Task(tuple(rivals), tuple(stretch), chosen))
    for recipe, identity in board:
        missing = [origin for origin in plan.issued if cells[recipe.name][origin - first] is None]
        if recipe.rival or not missing:
            continue
        refits = sorted({plan.refit_origin(origin, identity.cadence) for origin in missing})
        fit_keys: dict[tuple[int, int], str] = {}
        if entry_for(recipe.kind).fitted or recipe.search is not None:
            fits = cell_keys(identity, plan, changes, refits, "fit")
            fit_keys = {(0, refit): key for refit, key in zip(refits, fits, strict=True)}
        study_of = {(0, origin): key for origin, key in searches.get(recipe.name, {}).items()}
        walks = list(_stretches(missing, identity.stretch, first, most=_walks_of_model(engine, recipe, len(missing))))
        for stretch in walks[::-1]:  # the later, the more there is to learn from: what is short comes last
            chosen = (tuple(keys[recipe.name][origin - first] for origin in stretch),)
            tasks.append(Task(((recipe, identity),), tuple(stretch), chosen, fit_keys, study_of))
    return tasks


def _walks_of(engine: Engine, plan: Plan) -> int:
    """Stretches of the rivals' origins: of a large panel no more than run at once, since each walks all that is known.

    Small ones are cut finer, so that a worker that is done early finds more to do.
    """
    return engine.slots if len(plan.experiment.target.series) >= LARGE else STRETCHES


def _walks_of_model(engine: Engine, recipe: Recipe, origins: int) -> int:
    """Stretches of a model's origins: where fits run side by side one each, so that threads end together.

    Not where each stretch bins the rows of the first window.
    """
    apart = isinstance(engine, InProcess) and engine.fits > 1 and learns_from_rows_alone(recipe)
    return origins if apart and not asks_for_it(recipe) else max(STRETCHES, SPREAD * engine.slots)


def _stretches(origins: Sequence[int], cadence: int, first: int = 0, most: int = STRETCHES) -> Iterator[list[int]]:
    """Cut ascending origins into a few stretches that never split a refit block."""
    if not origins:
        return
    blocks: dict[int, list[int]] = {}
    for origin in origins:
        blocks.setdefault((origin - first) // cadence, []).append(origin)
    groups = list(blocks.values())
    per = max(1, -(-len(groups) // most))
    for start in range(0, len(groups), per):
        yield [origin for block in groups[start : start + per] for origin in block]


def _needs_features(plan: Plan, task: Task) -> bool:
    return any(plan.experiment.seen_blocks(recipe) for recipe, _ in task.recipes)


def _design(plan: Plan, changes: ChangeFile, place: Place, tasks: Sequence[Task]) -> Path | Floats | None:
    """The file of the frozen feature rows, or the rows themselves where no file may be written; None = none needed."""
    if not any(_needs_features(plan, task) for task in tasks):
        return None
    path = None if place.work is None else place.work / "design.npy"
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    if place.amended is None and place.liberty is None:
        design = build_rows(plan, changes, path)
        return design if path is None else path
    design = build_design(plan, changes)  # a liberty may learn from rows that no run can use
    if place.amended is not None:
        design = place.amended(plan, changes, design)
    if path is None:
        return design
    np.save(path, design)
    return path


def compute(
    plan: Plan,
    changes: ChangeFile,
    place: Place,
    engine: Engine,
    tasks: Sequence[Task],
    *,
    stages: Stages,
    progress: Progress | None,
) -> None:
    """Build the features and run the tasks; by threads of this process, those that need none while these are built.

    Not beside one another where threads are bounded: each has as many as there may be.
    """
    engine = InProcess() if isinstance(engine, Workers) and _is_little(plan, changes, tasks) else engine
    by_threads = isinstance(engine, InProcess) and engine.threads > 1 and not are_bounded()
    early = [task for task in tasks if by_threads and not _needs_features(plan, task)]
    early = [] if len(early) == len(tasks) else early
    rest = [task for task in tasks if task not in early]
    spare = spare_memory(place.memory)
    spare = spare // 2 if spare is not None and early else spare  # the rest is for the features built beside them
    block = block_width(plan, changes, spare, engine.threads if isinstance(engine, InProcess) else engine.slots)
    where = (place.shelves, place.liberty, place.labels, place.clocks, place.work)
    context = Context(plan, place.changes, None, *where, block=block, watched=stages.watch is not None)
    total, done = sum(len(task.recipes) * len(task.origins) for task in tasks), 0
    stages.idle = _idle(engine, tasks)

    def told(cells: int) -> None:
        nonlocal done
        done += cells
        if progress is not None:
            progress(done, total)

    def build() -> Path | Floats | None:
        return _design(plan, changes, place, rest)

    def answer_early() -> None:
        _run(engine, context, early, stages, told)
        stages.done(CELLS)

    told(0)  # whoever watches sees that it has begun
    design = alongside(build, answer_early) if early else build()
    if isinstance(design, Path) and not isinstance(engine, InProcess | Workers):
        written_out(design)
    settle(changes)
    stages.done("features")
    context = replace(context, design=design)
    with engine.kept(len(rest)) if isinstance(engine, Workers) else nullcontext():
        _estimated(engine, context, changes, rest, stages)
        _run(engine, context, rest, stages, told)
    settle(changes)
    stages.done(CELLS)


def _estimated(engine: Engine, context: Context, changes: ChangeFile, tasks: Sequence[Task], stages: Stages) -> None:
    """Have all workers estimate the fits of models of single series that are too few for them."""
    shelf = context.shelves.fits
    studied = context.liberty is not None or context.labels is not None  # a study's walk is its own
    if studied or not isinstance(shelf, Path) or not isinstance(engine, Workers):
        return
    world = World(context.plan, changes, None, shelf)
    shared = shared_fits(world, shelf, tasks, engine.slots, context.block)
    if shared:
        _run(engine, context, [task for one in shared for task in one.tasks()], stages, lambda _: None)
    for one in shared:
        one.join(world, shelf)


def _is_little(plan: Plan, changes: ChangeFile, tasks: Sequence[Task]) -> bool:
    """Whether naive rivals alone are asked, and for so little that worker processes would take longer to start."""
    answers = len(plan.experiment.target.series) * len(plan.experiment.horizons)
    each = 1 + answers / ANSWERS + len(changes.code) / CHANGES
    rivals = all(recipe.rival for task in tasks for recipe, _ in task.recipes)
    return rivals and each * sum(len(task.recipes) * len(task.origins) for task in tasks) <= LITTLE


def _idle(engine: Engine, tasks: Sequence[Task]) -> dict[str, int]:
    """The model of trees whose single fit, of one thread, is all there is to do here besides rivals -> the cores."""
    cores = engine.threads if isinstance(engine, InProcess) else 0
    cores = engine.count if isinstance(engine, Workers) else cores
    fits = [recipe for task in tasks for recipe, _ in task.recipes if not recipe.rival]
    alone = len(fits) == 1 and learns_from_rows_alone(fits[0]) and threads_of(fits[0]) == 1
    return {fits[0].name: cores} if alone and cores > 1 else {}


def _run(engine: Engine, context: Context, tasks: Sequence[Task], stages: Stages, told: Callable[[int], None]) -> None:
    for spent in engine.run(context, tasks):
        stages.slots = engine.slots  # known once a cluster has said how large it is
        stages.add(spent, apart=not isinstance(engine, InProcess))
        told(spent.cells)
    stages.killed += engine.killed if isinstance(engine, Workers) else 0


def settle(changes: ChangeFile) -> None:
    """Hand back, at the end of a stage, what it needed and the next one may not."""
    let_go(changes)
    trim_heap()
