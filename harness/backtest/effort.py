"""What a run adds to the effort on its target, and spaces that were narrowed after results had been seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from harness.backtest.keys import RecipeIdentity, target_identity
from harness.backtest.splits import Plan, target_inputs
from harness.core.identity import canonical, digest
from harness.core.recipe import Experiment, Recipe
from harness.core.search import Domain, domain_from, narrowed
from harness.data.changes import ChangeFile
from harness.record.home import Home
from harness.record.registry import Effort, effort_from
from harness.record.runs import list_runs
from harness.record.shelves import Shelves
from harness.record.studies import read_study

FIRST = 24
"""Periods whose first values tell one series from another: enough to be its own, and never moved by later data."""
Board = Sequence[tuple[Recipe, RecipeIdentity]]


def fingerprint(changes: ChangeFile, series_id: str) -> str:
    """What a series is by its values, whatever it is called: the first value of each of its first periods.

    Later values, revisions and transforms leave it alone; history put before its beginning does not.

    Args:
        changes: the change file.
        series_id: stored id.
    """
    mine = np.flatnonzero((changes.code == changes.code_of(series_id)) & ~np.isnan(changes.value))
    order = mine[np.lexsort((changes.published[mine], changes.period[mine]))]
    periods, first = np.unique(changes.period[order], return_index=True)
    values = changes.value[order][first][:FIRST]
    return digest("series", periods[:FIRST].tolist(), values.tolist())


def fingerprints(changes: ChangeFile, experiment: Experiment) -> dict[str, str]:
    """Source series of a target -> fingerprint."""
    return {name: fingerprint(changes, name) for name in sorted(target_inputs(experiment.target))}


def look_of(identity: RecipeIdentity, experiment: Experiment, how: str) -> str:
    """Identity of one look: a recipe as it was scored, on whatever name the series goes by."""
    target = {name: value for name, value in target_identity(experiment.target).items() if name != "series"}
    return digest("look", identity.text, identity.vintage, canonical(target), canonical(experiment.training), how)


def effort_of(
    plan: Plan,
    changes: ChangeFile,
    board: Board,
    shelves: Shelves,
    studies: Mapping[str, Mapping[int, str]],
    how: str = "run",
) -> Effort:
    """What a finished run did: its models (the rivals are everyone's) and their searches.

    Args:
        plan: of the run.
        changes: its change file.
        board: its models.
        shelves: where its searches are recorded.
        studies: model -> (index of the origin of a search -> key).
        how: `run`, or `holdout`.
    """
    looks = [
        (look_of(identity, plan.experiment, how), recipe.name, how) for recipe, identity in board if not recipe.rival
    ]
    searches = [
        (key, name, plan.instants[origin].isoformat(), len(read_study(shelves.studies, key).trials))
        for name, keys in studies.items()
        for origin, key in keys.items()
    ]
    return Effort(fingerprints(changes, plan.experiment), looks, searches)


def study_effort(plan: Plan, changes: ChangeFile, board: Board, how: Sequence[str]) -> Effort:
    """What an audit's altered worlds add: each model was scored once more in every such way."""
    looks = [
        (look_of(identity, plan.experiment, way), recipe.name, way)
        for way in how
        for recipe, identity in board
        if not recipe.rival
    ]
    return Effort(fingerprints(changes, plan.experiment), looks)


def narrowed_spaces(experiment: Experiment, effort: Effort, run_id: str, home: Home) -> Iterator[tuple[str, str]]:
    """(model, sentence) for every range that leaves out what an earlier finished run on the same series searched.

    Args:
        experiment: of this run.
        effort: of this run.
        run_id: of this run.
        home: whose runs are looked at.
    """
    own = set(effort.fingerprints.values())
    seen: set[tuple[str, str]] = set()
    for run in list_runs(home):
        theirs = effort_from(run)
        if run.get("run_id") == run_id or run.get("status") != "complete" or theirs is None:
            continue
        if not own & set(theirs.fingerprints.values()):
            continue
        for name, domain, before in _shared(experiment, run):
            told = f"its range ({domain.text()}) leaves out values that run {str(run.get('run_id'))[:12]} had searched"
            if narrowed(before, domain) and (name, domain.name) not in seen:
                seen.add((name, domain.name))
                yield name, f"narrowed after results were seen: {domain.name}: {told} ({before.text()})"


def _shared(experiment: Experiment, run: Mapping[str, object]) -> Iterator[tuple[str, Domain, Domain]]:
    """(model, range now, range then) of models of one kind that both runs search."""
    recorded = run.get("experiment")
    models = recorded.get("models", []) if isinstance(recorded, dict) else []
    for recipe in experiment.models:
        for then in models:
            search = then.get("search")
            if recipe.search is None or then.get("kind") != recipe.kind or not search:
                continue
            before = {saved["name"]: domain_from(saved) for saved in search["space"]}
            for domain in recipe.search.space:
                if domain.name in before:
                    yield recipe.name, domain, before[domain.name]
