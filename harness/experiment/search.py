"""[models.NAME.search]: how a model is tuned inside each training window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.backtest.tuning.space import NESTED, declared_value
from harness.core.errors import UserError
from harness.core.reading import Table, meant
from harness.core.recipe import Recipe
from harness.core.search import KIND, PRUNERS, SAMPLERS, STEPS, Domain, Search, as_value
from harness.experiment.keys import KEYS, LEAST
from harness.experiment.ranges import read_range
from harness.experiment.usercode import code_of
from harness.forecast.boosting_params import DEFAULTS
from harness.forecast.user_class import is_user_class


def read_searches(
    recipes: Sequence[Recipe | None], tables: Sequence[tuple[str, Table]], folder: Path, primary: str
) -> tuple[Recipe, ...]:
    """The models that could be made out, each with the search its table declares.

    Args:
        recipes: one per table, None where it could not be made out.
        tables: name and table of every model.
        folder: the experiment file's folder, where functions are looked for.
        primary: the metric a search minimises.
    """
    known = {recipe.name: recipe for recipe in recipes if recipe is not None}
    searched = {name for name, table in tables if "search" in table.values}
    out = []
    for recipe, (_, table) in zip(recipes, tables, strict=True):
        if recipe is None:
            continue
        if "search" not in table.values:
            out.append(recipe)
            continue
        plain = {name: one for name, one in known.items() if name not in searched and not one.source}
        inner = table.table("search")
        if recipe.source:
            table.bad("search", "an external forecast has nothing to tune", hint="remove it")
        out.append(replace(recipe, search=_read_search(inner, recipe, plain, folder, primary)))
    return tuple(out)


def completed_search(recipe: Recipe, folder: Path, primary: str) -> Search | None:
    """The search of a model built in Python with defaults, metric and code hash filled in as from a file.

    Raises:
        UserError: a function that is not there.
    """
    search = recipe.search
    if search is None:
        return None
    code = code_of(search.function, folder) if search.function else ""
    space = tuple(_completed(recipe, search, one) for one in search.space)
    return replace(search, space=space, code=code, objective=search.objective or primary)


def _completed(recipe: Recipe, search: Search, one: Domain) -> Domain:
    given = replace(one, choices=tuple(map(as_value, one.choices)))
    return replace(given, default=_default(recipe, search.candidates, one.name)) if one.default is None else given


def _read_search(table: Table, recipe: Recipe, plain: Mapping[str, Recipe], folder: Path, primary: str) -> Search:
    table.only(KEYS["search"])
    trials = (
        table.integer("trials", 40, least=LEAST["trials"])
        if "trials" in table.values or "seconds" not in table.values
        else None
    )
    if "seconds" in table.values and table.number("seconds", 60.0, least=0.0) == 0.0:
        table.bad("seconds", "a number above 0")
    function, space, candidates = "", tuple[Domain, ...](), tuple[Recipe, ...]()
    if table.required("space", "[models.NAME.search.space]"):
        if isinstance(table.values["space"], str):
            function = table.text("space")
        else:
            candidates = _candidates(table, recipe, plain)
            space = _read_space(table.table("space"), recipe, candidates)
    return Search(
        space=space,
        function=function,
        code=_function_code(table, function, folder),
        trials=trials,
        seconds=table.number("seconds", 60.0, least=0.0) if "seconds" in table.values else None,
        sampler=next(one for one in SAMPLERS if one == table.word("sampler", "tpe", SAMPLERS)),
        pruner=next(one for one in PRUNERS if one == table.word("pruner", "none", PRUNERS)),
        batch=table.integer("batch", 4, least=LEAST["batch"]),
        patience=table.integer("patience", 0, least=1) if "patience" in table.values else 0,
        folds=table.integer("folds", 3, least=LEAST["folds"]),
        retune_every=table.integer("retune_every", 1, least=LEAST["retune_every"])
        if "retune_every" in table.values
        else None,
        candidates=candidates,
        objective=primary,
    )


def _function_code(table: Table, function: str, folder: Path) -> str:
    if not function:
        return ""
    if not is_user_class(function):
        table.bad("space", 'a table of ranges, or "module:function" beside the experiment file')
        return ""
    try:
        return code_of(function, folder)
    except UserError as error:
        table.bad("space", "; ".join(filter(None, (error.what, error.value, error.rule))), hint=error.fix)
        return ""


def _candidates(table: Table, recipe: Recipe, plain: Mapping[str, Recipe]) -> tuple[Recipe, ...]:
    """The model tables that `kind` chooses among, besides the model's own."""
    space = table.table("space")
    if KIND not in space.values:
        return ()
    inner = space.table(KIND)
    names = [name for name in inner.texts("choice") if name != recipe.name]
    found = []
    for name in names:
        if name in plain:
            found.append(plain[name])
        else:
            known = ", ".join(sorted(set(plain) - {recipe.name})) or "none"
            hint = meant(name, plain)
            inner.problems.add(
                f'{inner.at("choice")}: "{name}"', f"no model table to choose, there are {known}", hint=hint
            )
    for one in found:
        if recipe.functional and one.functional != recipe.functional:
            inner.problems.add(
                f'{inner.at("choice")}: "{one.name}"',
                f"forecasts the {one.functional or 'neither mean nor median'}, {recipe.name} the {recipe.functional}",
            )
    if not found:
        inner.problems.add(inner.at("choice"), "names no other model table", hint='kind = { choice = ["ets"] }')
    return tuple(found)


def _read_space(space: Table, recipe: Recipe, candidates: Sequence[Recipe]) -> tuple[Domain, ...]:
    """Every range of a space, those with a condition after what they depend on."""
    if not space.values:
        space.problems.add(space.path, "nothing to search", hint="add num_leaves = { int = [4, 64], log = true }")
    found: list[Domain] = []
    owners = {one.name for one in candidates}
    kinds = (recipe.name, *(one.name for one in candidates))
    if candidates:
        found.append(Domain(KIND, "choice", choices=kinds, default=recipe.name))
    for key in space.values:
        if key == KIND:
            continue
        owner = key if key in owners else ""
        of_kind = ((KIND, (owner or recipe.name,)),) if candidates else ()
        for name, inner in _ranges(space, key, nested=bool(owner)):
            domain = read_range(inner, name)
            if domain is not None:
                default = _default(recipe, candidates, name)
                found.append(replace(domain, default=default, when=(*of_kind, *domain.when)))
    return _in_order(space, found)


def _ranges(space: Table, key: str, *, nested: bool) -> list[tuple[str, Table]]:
    """Name and table of every range under a key: the key itself, or what is nested in it."""
    inner = space.table(key)
    if not nested and key != STEPS and not key.endswith(NESTED):
        return [(key, inner)]
    found = []
    for name in inner.values:
        deeper = STEPS in (name, key) or (nested and name.endswith(NESTED))
        within = _ranges(inner, name, nested=True) if deeper else [(name, inner.table(name))]
        found += [(f"{key}.{rest}", table) for rest, table in within]
    return found


def _default(recipe: Recipe, candidates: Sequence[Recipe], name: str) -> object:
    """What is declared for a name of the space; None = it is left to the library."""
    first, _, rest = name.partition(".")
    owner = next((one for one in candidates if one.name == first), None)
    base, local = (recipe, name) if owner is None else (owner, rest)
    return declared_value(base, local, library=DEFAULTS if base.kind == "lightgbm" else {})


def _in_order(space: Table, found: Sequence[Domain]) -> tuple[Domain, ...]:
    """Ranges after those their conditions name; a condition that can never hold is noted."""
    by_name = {one.name: one for one in found}
    for one in found:
        for name, allowed in one.when:
            if name not in by_name:
                space.problems.add(
                    f"{space.at(one.name)}.when: {name}",
                    f"not searched, so it cannot be a condition; searched are {', '.join(by_name)}",
                    hint=meant(name, by_name),
                )
            elif not all(by_name[name].holds(value) for value in allowed):
                space.problems.add(
                    f"{space.at(one.name)}.when: {name}", f"never has that value, it is {by_name[name].text()}"
                )
    out: list[Domain] = []
    waiting = list(found)
    while waiting:
        done = {one.name for one in out}
        ready = [one for one in waiting if all(name in done or name not in by_name for name, _ in one.when)]
        if not ready:
            space.problems.add(space.at(waiting[0].name), "its condition depends on itself")
            break
        out += ready
        waiting = [one for one in waiting if one not in ready]
    return tuple(out)


def plain_name(name: str, candidates: Sequence[Recipe]) -> tuple[str, str]:
    """The model table a name belongs to ("" = the model's own), and the name within it.

    >>> plain_name("ets.trend", [Recipe("ets", "ets")]), plain_name("features", [])
    (('ets', 'trend'), ('', 'features'))
    """
    first, _, rest = name.partition(".")
    return (first, rest) if first in {one.name for one in candidates} else ("", name)
