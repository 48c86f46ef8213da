"""One experiment on one archive state: plan, cells in parallel, assembled results; a killed run resumes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.backtest.assemble import Results, assemble
from harness.backtest.block_fits import sweep
from harness.backtest.bounds import refuse_too_large
from harness.backtest.computing import compute, settle, tasks_of
from harness.backtest.data_facts import dataset_facts
from harness.backtest.effort import effort_of, narrowed_spaces
from harness.backtest.engine import Engine
from harness.backtest.engines import HERE, Where, engine_for, most_threads
from harness.backtest.keys import Known, cell_keys, recipe_identity, run_id
from harness.backtest.place import Board, Place, Progress
from harness.backtest.planning import build_plan
from harness.backtest.searched import on_record, study_keys, vouched
from harness.backtest.splits import Plan
from harness.backtest.stages import Stages
from harness.core.ahead import beside
from harness.core.errors import UserError
from harness.core.identity import canonical
from harness.core.recipe import Experiment
from harness.data.changes import ChangeFile, open_changes
from harness.forecast.catalog import always_on
from harness.record.cells import Cell, read_cell, read_written
from harness.record.files import refuse_unwritable
from harness.record.home import Home
from harness.record.memory import memory_limit, spare_memory
from harness.record.platform import (
    code_diff,
    code_hash,
    code_version,
    installed_packages,
    numeric_platform,
    threads_for,
    threads_here,
    threads_within,
)
from harness.record.registry import Effort, note
from harness.record.runs import RunFiles, start_run, write_run
from harness.record.scratch import drop_left, held, scratch_name
from harness.record.shelves import Shelves, sync
from harness.record.studies import VOUCHED
from harness.record.under_way import under_way

WORK = ".work-"
"""How the names of scratch folders of a run begin."""
Batches = Sequence[Mapping[str, object]]


def execute(
    experiment: Experiment,
    change_folder: Path,
    home: Home,
    *,
    workers: int | None = None,
    where: Where = HERE,
    progress: Progress | None = None,
    batches: Batches = (),
) -> str:
    """Run an experiment on a change file and store everything under the home folder.

    Args:
        experiment: resolved, without its rivals (they are added here and cannot be switched off).
        change_folder: the exported archive state.
        home: the home folder.
        workers: worker processes; None = as many as cores allow. workers x threads never exceed the cores.
        where: the engine that runs the tasks.
        progress: called with (cells done, cells in all).
        batches: facts about the archive's batches (`Archive.provenance`); those of the inputs are recorded.

    Returns:
        The run id.

    Raises:
        UserError: the plan is impossible, workers x threads exceed the cores, a model's training rows do not fit into
            memory, nothing can be written in the home folder, or workers were killed.
    """
    memory_limit()  # a wrong one is refused before anything is done
    refuse_unwritable(home.root)
    stages = Stages()
    with stages.watched(memory_limit(where.memory)), ExitStack() as until:
        changes = ChangeFile.open(change_folder)
        experiment = with_rivals(experiment)
        engine = engine_for(experiment, workers, where)
        until.enter_context(threads_within(None if workers is None else workers * most_threads(experiment)))
        plan = build_plan(experiment, changes)
        experiment = plan.experiment
        settle(changes)
        stages.done("plan")
        name = run_id(experiment, changes)
        files = RunFiles(name, home.runs / name)
        board = board_of(experiment)
        work = files.folder / f"{WORK}{scratch_name()}"
        place = Place(change_folder, home, work, memory=where.memory)
        begin = partial(_begin, home, files, experiment, work, until)
        keys, cells = cells_of(plan, board, place, engine, stages=stages, progress=progress, begin=begin)
        searches = study_keys(plan, changes, board)
        effort_told = partial(effort_of, plan, changes, board, home, searches)
        with beside(effort_told, threads=2 if workers is None else threads_here()) as counted:
            results = assemble(plan, changes, cells, files.run_id)
            effort = counted()
        settle(changes)
        stages.done("score")
        shutil.rmtree(work, ignore_errors=True)
        sweep(home.fits)
        manifest = {
            **run_manifest(plan, changes, board, results),
            **_searched(plan, searches, effort, files.run_id, home),
            "cells": keys,
            "cell_checksums": checksums(cells),
            "batches": _of_use(batches, plan),
        }
        write_run(files, manifest, results.frames, stages.record, code_diff=code_diff())
        note(home, effort, files.run_id, all_of_run=True)
        return files.run_id


def _searched(
    plan: Plan, searches: Mapping[str, Mapping[int, str]], effort: Effort, run: str, home: Home
) -> dict[str, object]:
    """What a manifest tells of searches and effort."""
    return {
        "studies": {
            name: {plan.instants[origin].isoformat(): key for origin, key in mine.items()}
            for name, mine in searches.items()
        },
        VOUCHED: vouched(searches, home),
        "effort": effort.record(),
        "narrowed": list(map(list, narrowed_spaces(plan.experiment, effort, run, home))),
    }


def _begin(home: Home, files: RunFiles, experiment: Experiment, work: Path, until: ExitStack) -> None:
    """Record that a run is under way and hold its scratch folder, until the stack is closed, or leave no trace."""
    try:
        locked = until.enter_context(under_way(files.folder))
        start_run(home, files.run_id, experiment, locked=locked)
        until.enter_context(held(work))  # an interrupted run takes it away, too
        drop_left(files.folder, f"{WORK}*")
    except BaseException:
        with suppress(OSError):  # it holds something: another run's record, or that of an earlier time
            files.folder.rmdir()
        raise


def cells_of(
    plan: Plan,
    board: Board,
    place: Place,
    engine: Engine,
    *,
    stages: Stages | None = None,
    progress: Progress | None = None,
    begin: Callable[[], object] | None = None,
) -> tuple[dict[str, list[str]], dict[str, list[Cell]]]:
    """Cells of a plan, found under their keys or computed.

    Args:
        plan: the plan; a study may hand over one whose outcomes or features are not those of the change file.
        board: the recipes to answer, with the identities their seeds and keys derive from.
        place: what is walked through, and where it is stored.
        engine: where tasks run.
        stages: where time is booked.
        progress: called with (cells done, cells in all).
        begin: called before anything is computed, once it is sure that it can be.

    Returns:
        Keys and cells of every recipe, one per issued origin, in order.

    Raises:
        UserError: a worker was killed, a cell vanished meanwhile, or a model's training rows do not fit into memory.
    """
    stages = Stages() if stages is None else stages
    changes = open_changes(place.changes)
    keys, searches, cells = _looked_up(plan, changes, board, place.shelves)
    settle(changes)
    stages.done("look up cells")
    tasks = tasks_of(plan, changes, board, keys, cells, searches, engine)
    if tasks:
        spare = spare_memory(place.memory)
        refuse_too_large(plan, tasks, place.shelves.cells, spare, engine, in_file=place.work is not None)
    if begin is not None:
        begin()
    if tasks:
        compute(plan, changes, place, engine, tasks, stages=stages, progress=progress)
    with ThreadPoolExecutor(1) as other:
        durable = other.submit(sync, place.shelves.cells)
        whole = _complete(place.shelves, keys, cells, threads_for(plan.outcomes.value.size))
        durable.result()
    stages.done("read cells")
    return keys, whole


def _looked_up(
    plan: Plan, changes: ChangeFile, board: Board, shelves: Shelves
) -> tuple[dict[str, list[str]], dict[str, dict[int, str]], dict[str, list[Cell | None]]]:
    """Keys of the cells of every model, keys of its searches by origin, and the cells; None = missing."""
    known: Known = {}
    keys = {
        recipe.name: cell_keys(identity, plan, changes, plan.issued, "cell", known=known) for recipe, identity in board
    }
    searches = {name: mine for name, mine in study_keys(plan, changes, board).items() if mine}
    cells = {name: [read_cell(shelves.cells, key) for key in mine] for name, mine in keys.items()}
    for recipe, identity in board:
        if recipe.name in searches:
            cells[recipe.name] = on_record(plan, identity, shelves, searches[recipe.name], cells[recipe.name])
    return keys, searches, cells


def board_of(experiment: Experiment) -> Board:
    """The recipes of a resolved experiment, with their identities."""
    return [(recipe, recipe_identity(recipe, experiment)) for recipe in experiment.models]


def with_rivals(experiment: Experiment) -> Experiment:
    """The experiment with the naive rivals that are in every run (law 7), first.

    Raises:
        UserError: a model carries the name of a rival.
    """
    rivals = always_on(experiment.target)
    taken = {rival.name for rival in rivals} & {model.name for model in experiment.models if not model.rival}
    if taken:
        raise UserError(
            "a model carries the name of an always-on rival",
            value=", ".join(sorted(taken)),
            rule="the naive rivals are in every run under their own names",
            fix="remove the model, or rename it",
        )
    names = [model.name for model in experiment.models if not model.rival]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError("two models share a name", value=", ".join(repeated), fix="rename one of them")
    return replace(experiment, models=(*rivals, *(model for model in experiment.models if not model.rival)))


def _complete(
    shelves: Shelves, keys: dict[str, list[str]], cells: dict[str, list[Cell | None]], threads: int
) -> dict[str, list[Cell]]:
    """Every cell, those read that were not there before: of large ones several at a time, each against its checksum."""
    lacking = [key for name, mine in keys.items() for key, cell in zip(mine, cells[name], strict=True) if cell is None]
    if threads == 1 or not isinstance(shelves.cells, Path):
        found = [read_written(shelves.cells, key) for key in lacking]
    else:
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(partial(read_written, shelves.cells), lacking))
    if None in found:
        key = lacking[found.index(None)]
        raise UserError("a cell vanished while the run was read", value=key, fix="run the same command again")
    there = iter(found)
    return {
        name: [one for one in (next(there) if cell is None else cell for cell in mine) if one is not None]
        for name, mine in cells.items()
    }


def checksums(cells: Mapping[str, Sequence[Cell]]) -> dict[str, list[str]]:
    """Checksums of stored cells, by model, in the order of their keys."""
    return {name: [cell.checksum for cell in mine] for name, mine in cells.items()}


def _of_use(batches: Batches, plan: Plan) -> list[Mapping[str, object]]:
    """The batches that say something of a series of the run."""
    used = {*plan.inputs, *plan.experiment.target.series}
    return [one for one in batches if isinstance(named := one.get("series"), list) and not used.isdisjoint(named)]


def run_manifest(plan: Plan, changes: ChangeFile, board: Board, results: Results) -> dict[str, object]:
    """What was run, on what and by what; without its cells, its searches and its effort."""
    experiment = plan.experiment
    return {
        "experiment": canonical(experiment),
        "archive": {
            "change_file": changes.hash,
            "state": changes.state,
            "known_through": {n: changes.known_through[n] for n in plan.inputs},
        },
        "folder": experiment.folder,
        "code": {"hash": code_hash(), "version": code_version()},
        "packages": installed_packages(),
        "platform": numeric_platform(),
        "recipes": {recipe.name: identity.text for recipe, identity in board},
        "datasets": dataset_facts(experiment),
        "facts": results.facts,
    }
