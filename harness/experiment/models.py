"""[models.NAME]: what is run beside the rivals that always run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

from harness.core.errors import FEW, UnknownNameError, UserError, listed
from harness.core.reading import Table, meant
from harness.core.recipe import Experiment, Functional, Params, Recipe, Step, Target
from harness.experiment.facts import Facts
from harness.experiment.features import NAME, NAME_RULE
from harness.experiment.keys import KEYS, LEAST
from harness.experiment.search import completed_search, read_searches
from harness.experiment.steps import completed_steps, read_steps
from harness.experiment.usercode import code_of
from harness.forecast.catalog import CATALOG, WORKS_ON, CatalogEntry, entry_for, estimated, resolve_params
from harness.forecast.user_class import is_user_class
from harness.score.spec import functional_of

EXTERNAL = "external"
FUNCTIONALS = ("mean", "median")
OBJECTIVES = {"mean": "regression", "median": "regression_l1"}
"""What trees are grown to minimise unless `params` says: squared errors give means, absolute errors medians."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a model table is read against.

    Attributes:
        folder: the experiment file's folder, where user classes are looked for.
        target: what is forecast, or None when the file does not say.
        blocks: names of the feature blocks, in the order of the file.
        functional: what the primary score asks for.
        facts: what the datasets declare.
        steps: what [training] says every model with feature rows takes them through.
        primary: the primary score, which searches minimise.
    """

    folder: Path
    target: Target | None
    blocks: tuple[str, ...]
    functional: Literal["mean", "median"]
    facts: Facts
    steps: tuple[Step, ...] = ()
    primary: str = "rmse"


def completed(experiment: Experiment) -> Experiment:
    """An experiment built in Python with every model's parameters, features and code hash filled in as from a file.

    Raises:
        UserError: a kind, a parameter or a user's class that is not there.
    """
    blocks = tuple(block.name for block in experiment.features)
    functional = functional_of(experiment.score_primary)
    filled = (
        replace(
            model,
            params=resolve_params(model.kind, _asking(model.kind, dict(model.params), model.functional or functional)),
        )
        for model in experiment.models
    )
    models = tuple(
        replace(
            model,
            functional=model.functional or _functional(model.kind, model.params, ""),
            features=model.features or (blocks if entry_for(model.kind).needs_rows else ()),
            code=code_of(model.kind, Path(experiment.folder)) if is_user_class(model.kind) else "",
            steps=completed_steps(model.steps, Path(experiment.folder)),
        )
        for model in filled
    )
    folder, primary = Path(experiment.folder), experiment.score_primary
    searched = tuple(replace(model, search=completed_search(model, folder, primary)) for model in models)
    return replace(experiment, models=searched)


def _asking(kind: str, params: dict[str, object], functional: str) -> dict[str, object]:
    """Parameters with the objective of trees added where none is given: the one that estimates the functional."""
    return {"objective": OBJECTIVES[functional], **params} if kind == "lightgbm" else params


def _functional(kind: str, params: Params, declared: str) -> Functional | Literal[""]:
    """What a model forecasts: as declared, else what it estimates; naive rules claim nothing, others are means."""
    entry = entry_for(kind)
    if declared:
        return "median" if declared == "median" else "mean"
    naive = not entry.fitted and not entry.functional and kind != EXTERNAL
    return "" if naive else estimated(kind, dict(params)) or "mean"


def read_models(top: Table, around: Surroundings) -> tuple[Recipe, ...]:
    """All models in the order of the file; one whose kind cannot be made out is noted and left out."""
    tables = top.tables("models")
    recipes = [_read_model(name, table, around) for name, table in tables]
    return read_searches(recipes, tables, around.folder, around.primary)


def _read_model(name: str, table: Table, around: Surroundings) -> Recipe | None:
    table.only(KEYS["models"])
    if NAME.fullmatch(name) is None:
        table.problems.add(f"models.{name}", NAME_RULE)
    kind = table.text("kind")
    entry = _entry(table, kind)
    functional = table.word("functional", "mean", FUNCTIONALS) if "functional" in table.values else ""
    refit_every = table.integer("refit_every", 1, least=LEAST["refit_every"]) if "refit_every" in table.values else None
    fallback = table.text("fallback")
    span = (table.day("from"), table.day("to"))
    steps = read_steps(table, around.folder)
    if entry is None:
        return None
    if kind == EXTERNAL:
        _check_external(table, span, around)
    else:
        for key in ("source", "from", "to", "knowledge"):
            if key in table.values:
                table.bad(key, f'belongs to kind = "{EXTERNAL}" only')
    source = table.text("source") if kind == EXTERNAL else ""
    features = _read_features(table, kind, entry, around.blocks)
    params = _read_params(table, kind, functional or around.functional)
    return Recipe(
        name,
        kind,
        params=params,
        features=features,
        functional=_functional(kind, params, functional),
        fallback=fallback,
        refit_every=refit_every,
        source=source,
        span=span if kind == EXTERNAL else (None, None),
        cutoff_known=_cutoff_known(table, source, around.facts),
        code=_read_code(table, kind, around.folder),
        steps=steps if "steps" in table.values else around.steps if features else (),
    )


def _entry(table: Table, kind: str) -> CatalogEntry | None:
    if not table.required("kind", 'kind = "autoregression"') or not kind:
        return None
    try:
        return entry_for(kind)
    except UnknownNameError:
        known = sorted(CATALOG)
        table.bad(
            "kind", f'unknown kind, known are {", ".join(known)} and your own "module:Name"', hint=meant(kind, known)
        )
        return None


def _read_params(table: Table, kind: str, functional: str) -> Params:
    """All parameters of the model, defaults filled in; each bad one is noted by itself."""
    inner = table.table("params")
    params = dict(inner.values)
    if "works_on" in table.values:
        if is_user_class(kind) or "works_on" not in CATALOG[kind].defaults:
            fitting = [name for name, entry in CATALOG.items() if "works_on" in entry.defaults]
            table.bad("works_on", f"belongs to the kinds {', '.join(fitting)} only")
        elif "works_on" in params:
            table.bad("works_on", "given twice, here and in params")
        else:
            params["works_on"] = table.word("works_on", "step", WORKS_ON)
    params = _asking(kind, params, functional)
    required = {} if is_user_class(kind) else {name: params.get(name, "") for name in CATALOG[kind].required}
    for name, value in params.items():
        try:
            resolve_params(kind, {**required, name: value})
        except UserError as error:
            _note_param(inner, name, error)
    try:
        return resolve_params(kind, params)
    except UserError as error:
        if all(name in params for name in required):
            return ()
        table.problems.add(table.at("params"), error.what, hint=error.fix)
        return ()


def _note_param(inner: Table, name: str, error: UserError) -> None:
    what = error.what if isinstance(error, UnknownNameError) else "; ".join(filter(None, (error.what, error.rule)))
    if name in inner.values:
        inner.bad(name, what, hint=error.fix)
    else:
        inner.problems.add(inner.at(name), what, hint=error.fix)


def _read_features(table: Table, kind: str, entry: CatalogEntry, blocks: tuple[str, ...]) -> tuple[str, ...]:
    """The blocks a model sees: those named, else all of them for a kind that learns from rows."""
    named = table.texts("features")
    if "features" in table.values:
        if not entry.needs_rows and not is_user_class(kind):
            table.bad("features", f"{kind} works on the series themselves and sees no features", hint="remove it")
        elif entry.needs_rows and not named:
            table.bad("features", f"{kind} learns from feature rows, it needs at least one block")
        return named
    if entry.needs_rows and not blocks:
        table.problems.add(
            table.at("features"),
            f"{kind} learns from feature rows, and the file has no [features.NAME]",
            hint="add [features.own] with latest = [1, 2]",
        )
    return blocks if entry.needs_rows else ()


def _read_code(table: Table, kind: str, folder: Path) -> str:
    if not is_user_class(kind):
        return ""
    try:
        return code_of(kind, folder)
    except UserError as error:
        table.bad("kind", "; ".join(filter(None, (error.what, error.value, error.rule))), hint=error.fix)
        return ""


def _check_external(table: Table, span: tuple[date | None, date | None], around: Surroundings) -> None:
    if span[0] is not None and span[1] is not None and span[1] < span[0]:
        table.bad("to", f"before from, {span[0]}")
    if not table.required("source", 'source = "mpr", who issued the forecasts'):
        return
    source, facts = table.text("source"), around.facts
    if source in facts.sources:
        forecast = facts.sources[source]
        missing = [name for name in (around.target.series if around.target else ()) if name not in forecast]
        if missing:
            table.bad(
                "source", f"issues no forecasts of {listed(missing, FEW)}, only of {listed(sorted(forecast), FEW)}"
            )
    elif not source or meant(source, facts.sources):
        # a name unlike every declared one is taken to have been appended by the user
        table.bad(
            "source", f"no such source, known are {', '.join(sorted(facts.sources))}", hint=meant(source, facts.sources)
        )


def _cutoff_known(table: Table, source: str, facts: Facts) -> bool:
    default = "unknown" if source in facts.undated else "known"
    return table.word("knowledge", default, ("known", "unknown")) == "known"
