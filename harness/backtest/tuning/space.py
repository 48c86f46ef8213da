"""From drawn values to a recipe, and from a recipe to the values it declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.core.recipe import Recipe, Step
from harness.core.search import FEATURES, KIND, STEPS, Domain, Search

NESTED = "_params"
"""Parameters that are tables themselves (`estimator_params.alpha`) end so."""


def reachable(recipe: Recipe) -> tuple[Recipe, ...]:
    """The model tables a search may choose among: the model's own, then its candidates."""
    return (recipe, *(() if recipe.search is None else recipe.search.candidates))


def chosen(recipe: Recipe, values: Mapping[str, object]) -> Recipe:
    """The recipe with drawn values in place of declared ones, not to be searched again.

    Args:
        recipe: the model, with its search.
        values: name in the space -> value; names that belong to another model table are passed by.

    Raises:
        ValueError: a model table or a step that is not there.
    """
    kind = values.get(KIND, recipe.name)
    tables = {one.name: one for one in reversed(reachable(recipe))}
    base = tables.get(str(kind))
    if base is None:
        raise ValueError(f"kind: no model table {kind!a} to choose, there are {', '.join(sorted(tables))}")
    out = replace(base, name=recipe.name, fallback=recipe.fallback, functional=recipe.functional, search=None)
    for name, value in values.items():
        place = own_name(recipe, base, name)
        if place and value is not None:
            out = _with(out, place, value)
    return out


def own_name(recipe: Recipe, base: Recipe, name: str) -> str:
    """What a name of the space is called within the chosen model table; "" = it belongs to none or another one."""
    first, _, rest = name.partition(".")
    if name == KIND:
        return ""
    if first in {one.name for one in reachable(recipe)[1:]}:
        return rest if first == base.name else ""
    return name


def _with(recipe: Recipe, name: str, value: object) -> Recipe:
    first, _, rest = name.partition(".")
    if name == FEATURES:
        names = value if isinstance(value, tuple) else (value,)
        return replace(recipe, features=tuple(map(str, names)))
    if first == STEPS:
        place, _, param = rest.partition(".")
        steps = list(recipe.steps)
        if not place.isdecimal() or not 0 < int(place) <= len(steps):
            raise ValueError(f"{name}: no such step, the model has {len(steps)}")
        step = steps[int(place) - 1]
        steps[int(place) - 1] = Step(step.kind, _put(step.params, param, value), step.code)
        return replace(recipe, steps=tuple(steps))
    if rest and first.endswith(NESTED):
        inner = _put(_pairs(dict(recipe.params).get(first, ())), rest, value)
        return replace(recipe, params=_put(recipe.params, first, inner))
    return replace(recipe, params=_put(recipe.params, name, value))


def declared(search: Search) -> dict[str, object]:
    """The values of trial 0: what the recipe declares; a parameter left to the library is None."""
    values: dict[str, object] = {}
    for one in search.space:
        if one.active(values):
            values[one.name] = one.default
    return values


def declared_value(recipe: Recipe, name: str, *, library: Mapping[str, object]) -> object:
    """What a model table declares for a name of its space; None = nothing, it is left to the library.

    Args:
        recipe: the model table.
        name: within that table.
        library: what the library takes for parameters that are not given.
    """
    first, _, rest = name.partition(".")
    if name == KIND:
        return recipe.name
    if name == FEATURES:
        return recipe.features
    if first == STEPS:
        place, _, param = rest.partition(".")
        there = place.isdecimal() and 0 < int(place) <= len(recipe.steps)
        return dict(recipe.steps[int(place) - 1].params).get(param) if there else None
    params = dict(recipe.params)
    if rest and first.endswith(NESTED):
        return dict(_pairs(params.get(first, ()))).get(rest)
    return params.get(name, library.get(name))


def edges(space: Sequence[Domain], values: Mapping[str, object]) -> Iterator[str]:
    """A sentence for every drawn value at the edge of its range."""
    for one in space:
        if one.name in values and one.at_edge(values[one.name]):
            yield f"tuned: {one.name} is at the edge of its range ({one.text()}): better values may lie beyond"


def _put(params: tuple[tuple[str, object], ...], name: str, value: object) -> tuple[tuple[str, object], ...]:
    return tuple(sorted({**dict(params), name: value}.items()))


def _pairs(value: object) -> tuple[tuple[str, object], ...]:
    return value if isinstance(value, tuple) else ()
