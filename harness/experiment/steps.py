"""steps = [...] of a model or of [training]: what feature rows go through before they reach the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from harness.core.errors import UserError
from harness.core.reading import Problems, Table, meant
from harness.core.recipe import FeatureBlock, Recipe, Step
from harness.experiment.usercode import code_of
from harness.forecast.catalog import build, learns_from_rows
from harness.forecast.steps import STEPS, check_order, check_parameter, is_sklearn_name, resolve_step
from harness.forecast.steps.encode import SERIES
from harness.forecast.steps.resample import RESAMPLE
from harness.forecast.user_class import is_user_class

KEEPING = ("impute", "winsorise", "scale", "rank", RESAMPLE)
"""Steps after which every column still has its name."""


def read_steps(table: Table, folder: Path) -> tuple[Step, ...]:
    """The steps of a table in order; one that cannot be made out is noted and left out.

    Args:
        table: a model's, or [training].
        folder: the experiment file's folder, where user classes are looked for.
    """
    given = table.values.get("steps", [])
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        table.bad("steps", 'a list of tables, like [{ kind = "impute" }, { kind = "scale" }]')
        return ()
    inner = [Table(f"{table.at('steps')}[{place}]", item, table.problems) for place, item in enumerate(given)]
    read = (_read_step(one, folder) for one in inner)
    steps = tuple(step for step in read if step is not None)
    try:
        check_order(steps)
    except UserError as error:
        table.problems.add(table.at("steps"), f"{error.what}, {error.rule}", hint=error.fix)
    return steps


def completed_steps(steps: Sequence[Step], folder: Path) -> tuple[Step, ...]:
    """Steps built in Python with parameters and code hash filled in as from a file.

    Raises:
        UserError: a kind, a parameter or a user's class that is not there, or two resample steps.
    """
    check_order(steps)
    return tuple(
        replace(
            step,
            params=resolve_step(step.kind, dict(step.params)),
            code=code_of(step.kind, folder) if is_user_class(step.kind) else "",
        )
        for step in steps
    )


def check_steps(models: Sequence[Recipe], blocks: Sequence[FeatureBlock], problems: Problems) -> None:
    """Steps have feature rows to work on, columns they name are there, and no model splits resampled rows itself."""
    by_name = {block.name: block for block in blocks}
    for model in models:
        where = f"models.{model.name}.steps"
        if model.steps and not model.features:
            _note_without_rows(where, model, problems)
        elif model.steps and all(name in by_name for name in model.features):
            columns = [column for name in model.features for column in by_name[name].columns()]
            _check_columns(where, model.steps, columns, problems)
            _check_splits(where, model, problems)


def _read_step(table: Table, folder: Path) -> Step | None:
    kind = table.text("kind")
    if not table.required("kind", 'kind = "impute"') or not kind:
        return None
    params = {name: value for name, value in table.values.items() if name != "kind"}
    noted = len(table.problems.lines)
    if kind in STEPS:
        for name, value in params.items():
            try:
                check_parameter(kind, name, value)
            except UserError as error:
                _note(table, name, error)
    elif not is_user_class(kind) and not is_sklearn_name(kind):
        known = f'{", ".join(STEPS)}, "sklearn.MODULE.Name" and your own "module:Name"'
        table.bad("kind", f"unknown step, known are {known}", hint=meant(kind, STEPS))
    if len(table.problems.lines) > noted:
        return None
    try:
        return Step(kind, resolve_step(kind, params), code_of(kind, folder) if is_user_class(kind) else "")
    except UserError as error:
        _note(table, "kind", error)
        return None


def _note(table: Table, key: str, error: UserError) -> None:
    """A problem at a key; its value is shown with the key, another one is told with what happened."""
    told = error.what if key != "kind" or not error.value else f"{error.what}: {error.value}"
    table.bad(key, "; ".join(filter(None, (told, error.rule))), hint=error.fix)


def _note_without_rows(where: str, model: Recipe, problems: Problems) -> None:
    if not learns_from_rows(model.kind):
        problems.add(
            where, f"{model.kind} learns from no feature rows, so steps have nothing to work on", hint="remove it"
        )
    elif is_user_class(model.kind):
        problems.add(where, "the model names no features, so steps have nothing to work on", hint='features = ["own"]')


def _check_columns(where: str, steps: Sequence[Step], columns: Sequence[str], problems: Problems) -> None:
    """Names in the first encode or select step; behind it, columns have names that only the data tell."""
    step = next((step for step in steps if step.kind not in KEEPING), None)
    params = dict(step.params) if step is not None else {}
    named = params.get("columns", ()) if step is not None and step.kind == "encode" else ()
    patterns = params.get("names", ()) if step is not None and step.kind == "select" else ()
    for name in (*_texts(named), *_texts(patterns)):
        made = name.endswith(".missing") or name == SERIES
        if not made and not any(fnmatchcase(column, name) for column in columns):
            kind = "" if step is None else step.kind
            problems.add(
                f'{where} ({kind}): "{name}"',
                f"no such column, known are {', '.join(columns)}",
                hint=meant(name, columns),
            )


def _check_splits(where: str, model: Recipe, problems: Problems) -> None:
    """A model of the catalogue that splits its training rows itself may not have them resampled."""
    if is_user_class(model.kind) or not any(step.kind == RESAMPLE for step in model.steps):
        return
    try:
        build(replace(model, steps=tuple(step for step in model.steps if step.kind == RESAMPLE)))
    except UserError as error:
        problems.add(where, "; ".join(filter(None, (f"{error.what}: {error.value}", error.rule))), hint=error.fix)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, tuple) else ()
