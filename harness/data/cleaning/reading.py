"""Read the [[clean]] tables of a `dataset.toml`; every problem is noted, none stops the reading."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import polars as pl

from harness.core.errors import UserError
from harness.core.reading import Table, meant, shown
from harness.data.calendars import business_calendar
from harness.data.cleaning.functions import code_of
from harness.data.cleaning.steps import (
    KINDS,
    STAGES,
    Deduplicate,
    Deidentify,
    Drop,
    Fill,
    Function,
    Map,
    Outliers,
    Rename,
    Scale,
    Step,
    kind_of,
    stage_of,
)

NAME_LENGTH = 16
CONDITIONS = ("equals", "matches", "below", "above", "not_a_number", "empty")
CLEAN_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "clean": ("kind", "name"),
        "clean.rename": ("columns",),
        "clean.map": ("column", "values"),
        "clean.deidentify": ("columns", "key_env", "length"),
        "clean.drop": ("column", *CONDITIONS, "reason"),
        "clean.scale": ("series", "factor", "offset", "first", "last", "since", "until"),
        "clean.deduplicate": ("series", "keep"),
        "clean.fill": ("series", "calendar"),
        "clean.outliers": ("series", "least", "most", "k", "window", "minimum", "action"),
        "clean.function": ("function", "on"),
    }
)
"""Section -> keys, as in `dataset_keys.KEYS`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step stands.

    Attributes:
        known: bare ids of the series it may name.
        folder: the dataset's folder.
        name: its name unless it says another.
    """

    known: tuple[str, ...]
    folder: Path
    name: str


def read_steps(tables: Sequence[Table], known: tuple[str, ...], folder: Path) -> tuple[Step, ...]:
    """The steps of one array of [[clean]] tables, in its order.

    Args:
        tables: the tables.
        known: bare ids of the series they may name.
        folder: the dataset's folder, where user functions are.
    """
    steps: list[Step] = []
    for number, table in enumerate(tables, start=1):
        kind = read_kind(table, KINDS, "clean", CLEAN_KEYS)
        if not kind:
            continue
        step = _READERS[kind](table, Place(known, folder, table.text("name", f"{kind} {number}")))
        if any(step.name == other.name for other in steps):
            table.bad("name", f"another step is called {step.name!r}", hint="give each step a name of its own")
        if steps and STAGES.index(stage_of(step)) < STAGES.index(stage_of(steps[-1])):
            table.problems.add(
                table.path,
                f"{kind} works on the {_WORKS_ON[stage_of(step)]}, and stands after {kind_of(steps[-1])}, which works "
                f"on the {_WORKS_ON[stage_of(steps[-1])]}",
                hint="first rename, map and deidentify, then drop and functions on the table, then all others",
            )
        steps.append(step)
    return tuple(steps)


_WORKS_ON = {"names": "names in the file", "table": "lines of the file", "values": "dated values"}


def read_kind(table: Table, kinds: Mapping[str, object], section: str, keys: Mapping[str, tuple[str, ...]]) -> str:
    """The kind of a table, its keys checked; "" when it has none that is known (noted)."""
    kind = table.values.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        if table.required("kind", f'kind = "{next(iter(kinds))}"'):
            table.bad("kind", f"known kinds are {', '.join(kinds)}", hint=meant(kind, kinds))
        return ""
    table.only((*keys[section], *keys.get(f"{section}.{kind}", ())))
    return kind


def named_series(table: Table, known: tuple[str, ...]) -> tuple[str, ...]:
    """The series a table names (all it may, unless it says which), unknown ones noted."""
    names = table.texts("series")
    for unknown in [name for name in names if name not in known]:
        table.bad("series", f"{unknown!r} is none of the series here", hint=meant(unknown, known))
    return tuple(name for name in names if name in known) or known


def bound(table: Table, key: str) -> float | None:
    """A finite number, or None where there is none."""
    value = table.values.get(key)
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf"):
        return float(value)
    table.bad(key, "a finite number")
    return None


def calendar(table: Table) -> str:
    """The name of a business calendar that can be computed ("" = Monday to Friday)."""
    name = table.text("calendar")
    try:
        business_calendar(name)
    except UserError as error:
        table.bad("calendar", error.what, hint=error.fix)
        return ""
    return name


def _pairs(table: Table, key: str) -> tuple[tuple[str, str], ...]:
    table.required(key, f'{key} = {{ "old" = "new" }}')
    inner = table.table(key)
    return tuple((old, inner.text(old)) for old in inner.values)


def _rename(table: Table, place: Place) -> Step:
    return Rename(place.name, _pairs(table, "columns"))


def _map(table: Table, place: Place) -> Step:
    table.required("column", 'column = "series"')
    return Map(place.name, table.text("column"), _pairs(table, "values"))


def _deidentify(table: Table, place: Place) -> Step:
    table.required("columns", 'columns = ["client"]')
    table.required("key_env", 'key_env = "NAMES_KEY", the environment variable that holds the key')
    length = table.integer("length", NAME_LENGTH, least=8)
    return Deidentify(place.name, table.texts("columns"), table.text("key_env"), min(length, 64))


def _drop(table: Table, place: Place) -> Step:
    table.required("column", 'column = "status"')
    given = [key for key in CONDITIONS if key in table.values]
    if len(given) != 1:
        table.problems.add(table.path, f"needs exactly one of {', '.join(CONDITIONS)}", hint='add equals = ["x"]')
        return Drop(place.name, table.text("column"), "empty")
    condition = given[0]
    texts: tuple[str, ...] = ()
    limit = 0.0
    if condition == "equals":
        texts = table.texts("equals")
    elif condition == "matches":
        texts = (_pattern(table),)
    elif condition in ("below", "above"):
        limit = bound(table, condition) or 0.0
    elif not table.flag(condition):
        table.bad(condition, "true, or leave it out")
    said = f"{table.text('column')} {condition.replace('_', ' ')}"
    what = "" if condition in ("not_a_number", "empty") else f" {shown(table.values[condition])}"
    return Drop(place.name, table.text("column"), condition, texts, limit, table.text("reason", said + what))


def _pattern(table: Table) -> str:
    """The expression that lines are matched with, which polars has to know."""
    text = table.text("matches")
    try:
        pl.Series([""]).str.contains(text)
    except pl.exceptions.PolarsError as error:
        said = [*str(error).splitlines()[:1], *re.findall("^error: (.*)", str(error), re.MULTILINE)]
        table.bad("matches", f"not a regular expression that can be used: {said[-1]}")
    return text


def _scale(table: Table, place: Place) -> Step:
    if "factor" not in table.values and "offset" not in table.values:
        table.problems.add(table.path, "changes nothing", hint="add factor = 0.001, or offset = ...")
    factor, offset = bound(table, "factor"), bound(table, "offset")
    if factor == 0.0:
        table.bad("factor", "not 0, that would make all values equal")
    days = {key: table.day(key) for key in ("first", "last", "since", "until")}
    for early, late in (("first", "last"), ("since", "until")):
        begin, end = days[early], days[late]
        if begin is not None and end is not None and begin > end:
            table.bad(early, f"after {late}, so that it would touch no value")
    return Scale(
        place.name,
        named_series(table, place.known),
        1.0 if factor is None else factor,
        offset or 0.0,
        **days,
    )


def _deduplicate(table: Table, place: Place) -> Step:
    table.required("keep", 'keep = "last"')
    return Deduplicate(place.name, named_series(table, place.known), table.word("keep", "first", ("first", "last")))


def _fill(table: Table, place: Place) -> Step:
    return Fill(place.name, named_series(table, place.known), calendar(table))


def _outliers(table: Table, place: Place) -> Step:
    if not {"least", "most", "k"} & set(table.values):
        table.problems.add(table.path, "has no rule", hint="add least = ..., most = ..., or k = 8")
    return Outliers(
        place.name,
        named_series(table, place.known),
        bound(table, "least"),
        bound(table, "most"),
        table.number("k", 0.0, least=0.0),
        table.integer("window", 250, least=2),
        table.integer("minimum", 8, least=2),
        table.word("action", "set aside", ("set aside", "clip")),
    )


def _function(table: Table, place: Place) -> Step:
    table.required("function", 'function = "tidy:clean"')
    text = table.text("function")
    code = ""
    try:
        code = code_of(text, place.folder) if text else ""
    except UserError as error:
        table.bad("function", f"{error.what}: {error.value}", hint=error.fix)
    on = table.word("on", "values", ("values", "table"))
    return Function(place.name, text, "table" if on == "table" else "values", code)


_READERS: Mapping[str, Callable[[Table, Place], Step]] = MappingProxyType(
    {
        "rename": _rename,
        "map": _map,
        "deidentify": _deidentify,
        "drop": _drop,
        "scale": _scale,
        "deduplicate": _deduplicate,
        "fill": _fill,
        "outliers": _outliers,
        "function": _function,
    }
)
