"""What a worker does: answer the origins of a task, all series together or block by block, and store every cell."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import threadpoolctl

from harness.backtest.block_fits import TogetherError, of_block
from harness.backtest.blocks import Asked, answer_in_blocks, can_be_cut, restricted
from harness.backtest.keys import RecipeIdentity
from harness.backtest.liberty import Liberty
from harness.backtest.spent import Spent
from harness.backtest.splits import Plan
from harness.backtest.witness import Told, World
from harness.backtest.work import Floats, Stored, fit_alone, walk
from harness.core.errors import UserError
from harness.core.recipe import Recipe
from harness.data.changes import ChangeFile, open_changes
from harness.record.cells import write_cell
from harness.record.memory import Watch, peak_memory
from harness.record.shelves import Shelves


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What every worker of a run shares; sent once per worker.

    Attributes:
        plan: the plan.
        changes: folder of the change file (memory-mapped by each worker), or the open change file (this process alone).
        design: file of the frozen feature rows (memory-mapped), or the rows themselves; None when no model needs any.
        shelves: where cells, fits and searches are stored.
        liberty, labels, clocks: as in `World`; a run has none.
        work: folder for scratch files of the run; None = there is none.
        block: series that are held at a time, where a panel can be answered in blocks; 0 = all.
        watched: whether the memory that is held is looked at.
    """

    plan: Plan
    changes: Path | ChangeFile
    design: Path | Floats | None
    shelves: Shelves
    liberty: Liberty | None = None
    labels: Path | None = None
    clocks: Mapping[str, int] = field(default_factory=dict)
    work: Path | None = None
    block: int = 0
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """Some series of a fit.

    Attributes:
        span: rows of the target's series.
        told: what all series tell of the fit.
    """

    span: slice
    told: Told


@dataclass(frozen=True, slots=True)
class Task:
    """A stretch of one refit-aligned walk: several recipes only when they share their inputs and need no fit.

    Attributes:
        recipes: the recipes, with their identities.
        origins: indices of the origins to answer, ascending.
        keys: cell keys [recipe][origin].
        fit_keys: fit key per (recipe, refit origin).
        study_keys: study key per (recipe, origin of its search).
        part: the series that are fitted, where nothing is answered: the only fit key is that of the part.
    """

    recipes: tuple[tuple[Recipe, RecipeIdentity], ...]
    origins: tuple[int, ...]
    keys: tuple[tuple[str, ...], ...]
    fit_keys: Mapping[tuple[int, int], str] = field(default_factory=dict)
    study_keys: Mapping[tuple[int, int], str] = field(default_factory=dict)
    part: Part | None = None


def run_task(context: Context, task: Task, pool: Executor | None = None) -> Spent:
    """Answer every origin of a task and store the cells; the same bits whatever worker it runs on.

    Args:
        context: what every worker shares.
        task: what is answered.
        pool: threads in which naive rivals answer, and cells are written, side by side; None = one after the other.

    Raises:
        UserError: the process ran out of memory; the cells done so far are stored.
    """
    if not context.watched:
        return _run(context, task, pool)
    with Watch() as watch:
        spent = _run(context, task, pool)
        spent.held = watch.most()
    return spent


def _run(context: Context, task: Task, pool: Executor | None) -> Spent:
    spent, start = Spent(), time.perf_counter()
    design = np.load(context.design, mmap_mode="r") if isinstance(context.design, Path) else context.design
    changes = open_changes(context.changes, verify=False)
    labels = None if context.labels is None else ChangeFile.open(context.labels, verify=False)
    shelves = context.shelves
    world = World(context.plan, changes, design, shelves.fits, context.liberty, labels, shelves.studies, context.clocks)
    spent.add("", "open", start)
    try:
        with threadpoolctl.threadpool_limits(1):
            if task.part is not None:
                _fit_part(world, task, task.part, spent)
            elif not _in_blocks(world, context, task, spent, pool):
                _at_once(world, context, task, spent, pool)
    except MemoryError as error:
        raise UserError(
            "out of memory",
            value=", ".join(recipe.name for recipe, _ in task.recipes),
            rule="finished cells are stored; nothing is half written",
            fix="free memory, use --workers 1 or a smaller --memory, and run the same command again to resume",
        ) from error
    spent.peak = peak_memory()
    return spent


def _fit_part(world: World, task: Task, part: Part, spent: Spent) -> None:
    """Fit some series at the only refit origin there is, and store that."""
    ((recipe, identity),), (((_, origin), key),) = task.recipes, task.fit_keys.items()
    plan = restricted(world.plan, part.span)
    here = replace(world, plan=plan, told={origin: part.told})
    fit_alone(here, recipe, of_block(identity, plan), origin, key, spent)


def _in_blocks(world: World, context: Context, task: Task, spent: Spent, pool: Executor | None) -> bool:
    """Answer in blocks of series where there are to be several; False = nothing was done."""
    recipes, shelf = [recipe for recipe, _ in task.recipes], context.shelves.cells
    count = len(context.plan.experiment.target.series)
    if not (0 < context.block < count and isinstance(shelf, Path) and can_be_cut(context.plan, recipes, shelf)):
        return False
    if task.fit_keys and (context.liberty is not None or context.labels is not None):  # a study's walk is its own
        return False
    asked = Asked(task.recipes, task.origins, task.keys, {origin: key for (_, origin), key in task.fit_keys.items()})
    try:
        answer_in_blocks(world, asked, shelf, context.block, spent=spent, pool=pool)
    except TogetherError:
        spent.cells = 0
        return False
    return True


def _at_once(world: World, context: Context, task: Task, spent: Spent, pool: Executor | None) -> None:
    """Answer all series of an origin together."""
    shelf, stored = context.shelves.cells, Stored(task.fit_keys, task.study_keys)
    place = {origin: number for number, origin in enumerate(task.origins)}
    writing: list[Future[None]] = []
    for index, origin, cell in walk(world, task.recipes, task.origins, spent=spent, stored=stored, pool=pool):
        start, key = time.perf_counter(), task.keys[index][place[origin]]
        if pool is None:
            write_cell(shelf, key, cell)
        else:
            writing.append(pool.submit(write_cell, shelf, key, cell))
            while len(writing) > len(task.recipes):  # no more than one origin waits in memory
                writing.pop(0).result()
        spent.add("", "write", start)
        spent.cells += 1
    for one in writing:
        one.result()
