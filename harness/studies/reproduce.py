"""Derive a recorded run again, from its experiment and archive state alone, and compare it with the record."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from harness.backtest.assemble import assemble
from harness.backtest.engines import engine_for
from harness.backtest.keys import run_id
from harness.backtest.place import Place, Progress
from harness.backtest.planning import build_plan
from harness.backtest.runner import board_of, cells_of, checksums, with_rivals
from harness.backtest.searched import Board, study_keys
from harness.backtest.splits import Plan
from harness.core.errors import UnknownNameError
from harness.core.recipe import Experiment, Recipe
from harness.record.home import Home
from harness.record.platform import platform_differences
from harness.record.runs import read_table, stores
from harness.studies.compare import ABSOLUTE, RELATIVE, TableDifference, farthest, table_differences
from harness.studies.recorded import Recorded, UserCode, refuse_other_code
from harness.studies.searches_again import SearchesAgain, clocks, compared

OF_MODELS = ("forecasts", "errors", "scores", "against_rivals", "statuses")
"""Tables whose rows of one model do not depend on which other models were run."""


@dataclass(frozen=True, slots=True, eq=False)
class Reproduction:
    """What came of deriving a run again.

    Attributes:
        run_id, name: the run.
        models: models that were run again.
        platform: in what the numeric platform differs from the recorded one; () = every bit was compared.
        compared: rows per table that were compared.
        cells: cells whose checksums were compared; 0 on another platform.
        searches, trials: searches that were made again, and trials in them.
        differences: where record and derivation differ.
        farthest: largest relative distance of any two numbers.
        seconds: what it took.
    """

    run_id: str
    name: str
    models: tuple[str, ...]
    platform: tuple[str, ...]
    compared: Mapping[str, int]
    cells: int
    searches: int
    trials: int
    differences: tuple[TableDifference, ...]
    farthest: float
    seconds: float

    @property
    def reproduced(self) -> bool:
        """Whether everything compared is the same: bit for bit, or within the tolerances on another platform."""
        return not self.differences

    @property
    def exact(self) -> bool:
        """Whether bits were compared, not tolerances."""
        return not self.platform

    @property
    def tolerance(self) -> tuple[float, float]:
        """Relative and absolute tolerance numbers were compared with."""
        return (0.0, 0.0) if self.exact else (RELATIVE, ABSOLUTE)


def reproduce(
    run: Recorded,
    user_code: UserCode,
    *,
    models: Iterable[str] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Reproduction:
    """Derive a run again in a home of its own, so that no stored cell, fit or search is used.

    Only where the seconds of a search were over is taken from its record.

    Args:
        run: the record.
        user_code: hashes a user's class, to see whether its files are those recorded.
        models: models to run again, besides the rivals and the models that stand in for them; None = all.
        workers: worker processes; None = as many as the cores allow.
        progress: called with (cells done, cells in all).

    Raises:
        UserError: code, packages or a user's files are not those recorded.
        DamagedError: a table of the record is damaged.
        UnknownNameError: the run has no such model.
    """
    began = time.perf_counter()
    refuse_other_code(run, user_code)
    chosen = _chosen(run.experiment, models)
    plan = build_plan(with_rivals(replace(run.experiment, models=chosen)), run.changes)
    platform = tuple(platform_differences(run.part("platform")))
    with tempfile.TemporaryDirectory(prefix="harness-reproduce-") as folder:
        home = Home(Path(folder))
        place = Place(run.changes.folder, home, home.root / "work", clocks=clocks(run.manifest, run.home, chosen))
        board = board_of(plan.experiment)
        keys, cells = cells_of(plan, board, place, engine_for(plan.experiment, workers), progress=progress)
        searches = _searches(run, plan, board, home, exact=not platform)
    found = assemble(plan, run.changes, cells, run.files.run_id).frames
    names = tuple(recipe.name for recipe in plan.experiment.models)
    pairs = _pairs(run, found, None if models is None else names)
    wrong = [one for name, (old, new) in pairs.items() for one in table_differences(name, old, new, exact=not platform)]
    if models is None and run_id(plan.experiment, run.changes) != run.files.run_id:
        wrong.append(TableDifference("run", "", "id", run.files.run_id, run_id(plan.experiment, run.changes), 1))
    wrong += searches.differences
    if not platform:
        wrong += [*_cells(run, "cells", keys), *_cells(run, "cell_checksums", checksums(cells))]
    alike = [pair for pair in pairs.values() if pair[0].schema == pair[1].schema and pair[0].height == pair[1].height]
    return Reproduction(
        run.files.run_id,
        plan.experiment.name,
        names,
        platform,
        {name: old.height for name, (old, _) in pairs.items()},
        0 if platform else sum(len(mine) for mine in keys.values()),
        searches.searches,
        searches.trials,
        tuple(wrong),
        max((farthest(*pair) for pair in alike), default=0.0),
        time.perf_counter() - began,
    )


def _searches(run: Recorded, plan: Plan, board: Board, home: Home, *, exact: bool) -> SearchesAgain:
    """The searches just made in a home of their own against those recorded."""
    keys = {
        name: {plan.instants[origin].isoformat(): key for origin, key in mine.items()}
        for name, mine in study_keys(plan, run.changes, board).items()
    }
    return compared(run.manifest, run.home, (home, keys), exact=exact)


def _chosen(experiment: Experiment, names: Iterable[str] | None) -> tuple[Recipe, ...]:
    """The models to run again: those named, and those that answer in their place."""
    if names is None:
        return experiment.models
    by_name, wanted = {recipe.name: recipe for recipe in experiment.models}, set[str]()
    for name in names:
        if name not in by_name:
            raise UnknownNameError("model of this run", name, by_name)
        chain = name
        while chain and chain not in wanted:
            wanted.add(chain)
            chain = by_name[chain].fallback
    return tuple(recipe for recipe in experiment.models if recipe.rival or recipe.name in wanted)


def _pairs(
    run: Recorded, found: Mapping[str, pl.DataFrame], names: Sequence[str] | None
) -> dict[str, tuple[pl.DataFrame, pl.DataFrame]]:
    """Recorded and derived tables, of some models only where not all were run again."""
    asked = found if names is None else [name for name in OF_MODELS if name in found]
    pairs = {}
    for name in asked:
        if names is not None and not stores(run.manifest, name):
            continue  # of all models together it was too large to be stored
        old, new = read_table(run.files, name), found[name]
        if names is not None:
            old = old.filter(pl.col("model").is_in(list(names)))
            if "series_id" in old.columns and not old["series_id"].count():
                new = new.filter(pl.col("series_id").is_null())
        pairs[name] = (old, new)
    return pairs


def _cells(run: Recorded, what: str, found: Mapping[str, Sequence[str]]) -> list[TableDifference]:
    """Models whose cells are not those recorded, by key or by checksum."""
    recorded, wrong = run.part(what), []
    for name, mine in found.items():
        old = recorded.get(name)
        pairs = list(zip(old, mine, strict=False)) if isinstance(old, list) else []
        differ = [place for place, (one, other) in enumerate(pairs) if one != other]
        if differ:
            one, other = pairs[differ[0]]
            wrong.append(TableDifference(what, f"model {name}, origin {differ[0]}", "", one, other, len(differ)))
        elif len(pairs) != len(mine):
            wrong.append(TableDifference(what, f"model {name}", "number", str(len(pairs)), str(len(mine)), 1))
    return wrong
