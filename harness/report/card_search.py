"""The section of a model card on tuning: how much was searched, what was chosen, and what to know of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from harness.report.facts import moment_text
from harness.report.markdown import bullets, grid, text
from harness.report.search_text import counted, effort_line, narrowed_of, range_text
from harness.report.text import number, seconds, share

if TYPE_CHECKING:
    from harness.report.run import Run

NOTHING = "No hyperparameters were searched in this run; those above were fixed beforehand."
FEATURES = "features"


def searched(run: Run, model: str) -> Iterator[str]:
    """Searches and trials of a model, its ranges, the settings chosen, warnings, and the effort on the target.

    Args:
        run: a finished run.
        model: its name.
    """
    recipe: Any = next(one for one in _models(run) if one["name"] == model)
    search, trials = recipe.get("search"), run.trials().filter(model=model)
    effort = effort_line(run.effort())
    if not search:
        yield NOTHING
        yield from [bullets(effort)] if effort else []
        return
    states = dict(trials.group_by("state").len().iter_rows())
    made = run.manifest.get("studies")
    count = len(made.get(model, {})) if isinstance(made, dict) else 0
    yield bullets(
        f"{counted(count)} inside training windows, one every {search['retune_every'] or 'refit'}"
        + (" origins" if search["retune_every"] else ""),
        f"{trials.height} trials: "
        + ", ".join(f"{states.get(state, 0)} {state}" for state in ("complete", "pruned", "failed"))
        + f"; {seconds(trials['seconds'].sum())}",
        f"sampler: {search['sampler']}; pruner: {search['pruner']}; {search['folds']} inner folds; "
        f"objective: {search['objective']} on inner rows",
        f"drawn by the function {search['function']}" if search["function"] else "",
        effort,
    )
    spaces = run.search_spaces().filter(model=model)
    if spaces.height:
        yield grid(
            ["searched", "range", "declared", "at edge (searches)", "importance"],
            [
                [one["parameter"], range_text(one), _loaded(one["default"]), one["at_edge"], share(one["importance"])]
                for one in spaces.iter_rows(named=True)
            ],
        )
    yield from _chosen(trials, str(_zone(run)))
    warned = [*_warnings(run, model), *(said for name, said in narrowed_of(run.manifest) if name == model)]
    if warned:
        yield bullets(*(f"warning: {one}" for one in warned))


def searched_names(recipe: Mapping[str, object]) -> list[str]:
    """Names in the space of a recorded model; a function's are known from its trials only."""
    search: Any = recipe.get("search")
    return [str(one["name"]) for one in search["space"]] if search else []


def candidates(recipe: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The model tables a search chooses among, besides the recorded model's own."""
    search: Any = recipe.get("search")
    return list(search["candidates"]) if search else []


def reachable_blocks(recipe: Mapping[str, object]) -> list[str]:
    """Names of every feature block that a recorded model may come to see."""
    search: Any = recipe.get("search")
    found: list[Any] = [*_list(recipe.get(FEATURES))]
    for one in search["space"] if search else []:
        if str(one["name"]).rpartition(".")[2] == FEATURES:
            found += [name for choice in one["choices"] for name in _list(choice)]
    found += [name for one in candidates(recipe) for name in _list(one.get(FEATURES))]
    return list(dict.fromkeys(map(str, found)))


def plain(value: object) -> str:
    """A recorded value as an experiment file has it: pairs are a table.

    >>> plain([["alpha", 1.0], ["fit", True]]), plain(0.05)
    ('alpha = 1.0, fit = True', '0.05')
    """
    if isinstance(value, list) and value and all(isinstance(one, list) and len(one) == 2 for one in value):
        return ", ".join(f"{name} = {plain(one)}" for name, one in value)
    return ", ".join(map(plain, value)) if isinstance(value, list) else str(value)


def _chosen(trials: pl.DataFrame, zone: str) -> Iterator[str]:
    best = trials.filter("best").sort("origin")
    if not best.height:
        yield "No search had a trial: the declared defaults were fitted."
        return
    newest = best.row(-1, named=True)
    yield text(
        f"Newest choice ({moment_text(newest['origin'], zone)}): trial {newest['trial']}"
        f"{' (the declared defaults)' if newest['trial'] == 0 else ''}, {setting_text(newest['setting'])}; objective "
        f"{number(newest['value'])}"
    )
    times = best.group_by("setting", maintain_order=True).agg(pl.len(), pl.col("origin").max())
    yield grid(
        ["chosen setting", "searches", "last at"],
        [
            [setting_text(setting), count, moment_text(last, zone)]
            for setting, count, last in times.sort("len", "origin", descending=True).iter_rows()
        ],
    )


def setting_text(setting: str) -> str:
    """A recorded setting in words.

    >>> setting_text('{"num_leaves": 4, "features": ["own", "gdp"]}')
    'num_leaves = 4, features = own + gdp'
    """
    parts = json.loads(setting).items()
    return ", ".join(f"{name} = {_value(value)}" for name, value in parts) or "nothing drawn"


def _value(value: object) -> str:
    if isinstance(value, list):
        return " + ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return "the library's" if value is None else str(value)


def _loaded(default: str) -> str:
    return _value(json.loads(default))


def _warnings(run: Run, model: str) -> Sequence[str]:
    facts: Any = run.manifest.get("facts", {})
    told = facts.get("warnings", {}).get(model, {})
    return [f"{said} ({cells} cells)" for said, cells in told.items() if "tuned" in said]


def _models(run: Run) -> list[Mapping[str, object]]:
    experiment: Any = run.manifest["experiment"]
    return list(experiment["models"])


def _zone(run: Run) -> object:
    experiment: Any = run.manifest["experiment"]
    return experiment["origins"].get("zone", "UTC")


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
