"""What a search must be to its model and to the plan: every end of every range is tried before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.backtest.keys import retune_cadence
from harness.backtest.tuning.space import chosen, reachable
from harness.core.errors import UnknownNameError, UserError
from harness.core.reading import Problems, meant, shown
from harness.core.recipe import Recipe, Training
from harness.core.search import FEATURES, KIND, STEPS, Domain, Search
from harness.experiment.search import plain_name
from harness.forecast.catalog import build, entry_for, estimated, learns_from_rows, resolve_params
from harness.forecast.steps import STEPS as STEP_KINDS
from harness.forecast.steps import check_parameter


def check_searches(
    models: Sequence[Recipe], training: Training, blocks: Sequence[str], folder: str, problems: Problems
) -> None:
    """Note everything wrong with the searches of models that have no other problem."""
    for model in models:
        where = f"models.{model.name}"
        if model.search is None or any(line.startswith((f"{where}.", f"{where}:")) for line in problems.lines):
            continue
        try:
            retune_cadence(model, model.refit_every or training.refit_every)
        except UserError as error:
            problems.add(f"{where}.search.retune_every = {model.search.retune_every}", error.rule)
        _check_sampler(f"{where}.search", model.search, folder, problems)
        for domain in model.search.space:
            _check_domain(f"{where}.search.space.{domain.name}", model, model.search, domain, blocks, folder, problems)


def _check_sampler(where: str, search: Search, folder: str, problems: Problems) -> None:
    from harness.backtest.tuning.functions import load_function  # noqa: PLC0415 - only a search needs Optuna
    from harness.backtest.tuning.samplers import check_cmaes, grid_of  # noqa: PLC0415

    try:
        if search.function:
            load_function(search.function, folder)
        if search.sampler == "cmaes":
            check_cmaes()
        if search.sampler == "grid" and search.function:
            problems.add(where, "a grid needs a table of ranges, not a function")
        elif search.sampler == "grid":
            grid_of(search, 0)
    except UserError as error:
        told = f"{error.what}: {error.value}" if error.value else error.what
        problems.add(where, "; ".join(filter(None, (told, error.rule))), hint=error.fix)
    except Exception as error:  # noqa: BLE001 - a module of the user may raise anything when it is imported; it is told
        problems.add(f"{where}.space", f"cannot be imported: {type(error).__name__}: {error}")


def _check_domain(
    where: str,
    model: Recipe,
    search: Search,
    domain: Domain,
    blocks: Sequence[str],
    folder: str,
    problems: Problems,
) -> None:
    """Try every choice, or both ends, of one range."""
    owner, name = plain_name(domain.name, search.candidates)
    if name == KIND:
        return
    base = next(one for one in reachable(model) if one.name == (owner or model.name))
    if name == FEATURES:
        _check_features(where, base, domain, blocks, problems)
        return
    for value in domain.choices or (_number(domain, domain.low), _number(domain, domain.high)):
        values = {**_condition(search, domain), domain.name: value}
        try:
            _check_name(base, name, value)
            setting = chosen(model, values)
            build(setting, folder=folder)
            _check_functional(model, setting)
        except UnknownNameError as error:
            problems.add(where, error.what if not error.value else f"{error.what} {error.value}", hint=error.fix)
            return
        except UserError as error:
            problems.add(f"{where}: {shown(value)}", "; ".join(filter(None, (error.what, error.rule))), hint=error.fix)
            return
        except Exception as error:  # noqa: BLE001 - a constructor may raise anything; it is told
            problems.add(f"{where}: {shown(value)}", f"cannot be made: {type(error).__name__}: {error}")
            return


def _condition(search: Search, domain: Domain) -> dict[str, object]:
    """Values under which a range is drawn from: the first that each of its conditions allows."""
    values: dict[str, object] = {}
    for name, allowed in domain.when:
        other = search.domain(name)
        values |= {} if other is None else _condition(search, other)
        values[name] = allowed[0]
    return values


def _check_functional(model: Recipe, setting: Recipe) -> None:
    """No setting estimates something else than the model is declared to.

    Raises:
        UserError: this one does.
    """
    found = estimated(setting.kind, dict(setting.params))
    if found and model.functional not in ("", found):
        raise UserError(f"{setting.kind} then forecasts the {found}", rule=f"the model the {model.functional}")


def _number(domain: Domain, value: float) -> float:
    return int(value) if domain.kind == "int" else float(value)


def _check_name(base: Recipe, name: str, value: object) -> None:
    """A parameter of the model table, or of one of its steps, that takes such a value.

    Raises:
        UnknownNameError: there is no such parameter.
        UserError: no such step, or a value of the wrong type.
    """
    first, _, rest = name.partition(".")
    if first == STEPS:
        place, _, param = rest.partition(".")
        if not place.isdecimal() or not 0 < int(place) <= len(base.steps):
            raise UserError(f"no step {place}", rule=f"the model has {len(base.steps)}, counted from 1")
        kind = base.steps[int(place) - 1].kind
        if kind in STEP_KINDS:
            check_parameter(kind, param, value)
        return
    params = dict(base.params)
    if rest:
        resolve_params(base.kind, {**params, first: params.get(first, ())})
        return
    resolve_params(base.kind, {**_required(base.kind, params), name: value})


def _required(kind: str, params: Mapping[str, object]) -> dict[str, object]:
    return {name: params.get(name, "") for name in entry_for(kind).required}


def _check_features(where: str, base: Recipe, domain: Domain, blocks: Sequence[str], problems: Problems) -> None:
    if not learns_from_rows(base.kind):
        problems.add(where, f"{base.kind} works on the series themselves and sees no features")
        return
    for name in _names(domain):
        if name not in blocks:
            problems.add(
                f'{where}: "{name}"', f"no such block, known are {', '.join(blocks)}", hint=meant(name, blocks)
            )
    if domain.kind != "choice" or not all(isinstance(one, tuple) and one for one in domain.choices):
        problems.add(where, 'lists of block names, like { choice = [["own"], ["own", "gdp"]] }')


def _names(domain: Domain) -> Iterator[str]:
    for one in domain.choices:
        yield from (str(name) for name in (one if isinstance(one, tuple) else (one,)))
