"""Read the [[assert]] tables of a `dataset.toml`; every problem is noted, none stops the reading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import time
from types import MappingProxyType
from typing import cast

from harness.core.reading import Table, is_integer, meant
from harness.data.assertions.rules import (
    CHECKS,
    SEVERITIES,
    WHOLE,
    Assertion,
    Check,
    Declared,
    Gap,
    Identity,
    Jump,
    Monotone,
    Published,
    Range,
    Revision,
    Schema,
    Sessions,
    Severity,
    Stale,
    Stuck,
    Unique,
)
from harness.data.cleaning.reading import bound, calendar, named_series, read_kind

TYPES = ("number", "date", "text")
LIST_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "forecasts": ("schema", "range", "unique", "published", "monotone"),
        "events": ("schema", "range", "unique", "published", "monotone", "sessions"),
        "members": ("schema", "unique", "published", "monotone", "sessions"),
    }
)
"""What can be asked of the rows of a list."""
ASSERT_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "assert": ("kind", "name", "severity", "unknown", "series"),
        "assert.schema": ("columns", "nullable"),
        "assert.range": ("least", "most"),
        "assert.unique": ("repeats",),
        "assert.published": ("earliest", "opens", "closes"),
        "assert.sessions": ("calendar",),
        "assert.gap": ("most",),
        "assert.stale": ("days", "today"),
        "assert.stuck": ("most",),
        "assert.revision": ("k", "minimum", "relative"),
        "assert.jump": ("factor", "signs"),
        "assert.identity": ("total", "parts", "tolerance"),
    }
)
"""Section -> keys, as in `dataset_keys.KEYS`."""


def read_assertions(tables: Sequence[Table], known: tuple[str, ...]) -> tuple[Assertion, ...]:
    """The assertions of one array of [[assert]] tables.

    Args:
        tables: the tables.
        known: bare ids of the series they may name.
    """
    found: list[Assertion] = []
    for number, table in enumerate(tables, start=1):
        kind = read_kind(table, CHECKS, "assert", ASSERT_KEYS)
        if not kind:
            continue
        table.required("severity", 'severity = "refuse", "set aside" or "warn"')
        severity = cast("Severity", table.word("severity", "refuse", SEVERITIES))
        if kind in WHOLE and severity == "set aside":
            table.bad("severity", f'"refuse" or "warn": what fails {kind} is a row that is not there')
        name = table.text("name", f"{kind} {number}")
        if any(name == other.name for other in found):
            table.bad("name", f"another assertion is called {name!r}", hint="give each one a name of its own")
        check = _READERS[kind](table)
        series = _members(table, check, known) if isinstance(check, Identity) else named_series(table, known)
        found.append(Assertion(name, check, series, severity, _refuses_unknown(table)))
    return tuple(found)


def read_list_assertions(tables: Sequence[Table], known: tuple[str, ...], section: str) -> tuple[Assertion, ...]:
    """The assertions of a list: `[[forecasts.assert]]`, `[[events.assert]]` or `[[members.assert]]`.

    Args:
        tables: the tables.
        known: bare ids of the series they may name.
        section: `forecasts`, `events` or `members`.
    """
    kinds = LIST_KINDS[section]
    for table in tables:
        kind = table.values.get("kind")
        if kind in CHECKS and kind not in kinds:
            table.bad("kind", f"of {section} these are asked: {', '.join(kinds)}")
        if section == "members" and table.values.get("severity") == "set aside":
            table.bad("severity", '"refuse" or "warn": to leave members out would be a choice of survivors')
    found = read_assertions(tables, known)
    given = {
        table.text("name", f"{table.values.get('kind')} {number}"): table for number, table in enumerate(tables, 1)
    }
    return tuple(
        replace(one, check=replace(one.check, earliest=None))
        if isinstance(one.check, Published) and "earliest" not in given[one.name].values
        else one
        for one in found
    )


def _refuses_unknown(table: Table) -> bool:
    return table.word("unknown", "note", ("note", "refuse")) == "refuse"


def _members(table: Table, check: Identity, known: tuple[str, ...]) -> tuple[str, ...]:
    """Total and parts, unknown ones noted."""
    for key, name in (("total", check.total), *(("parts", name) for name, _ in check.parts)):
        if name and name not in known:
            table.bad(key, f"{name!r} is none of the series of one source", hint=meant(name, known))
    return (check.total, *(name for name, _ in check.parts))


def _schema(table: Table) -> Check:
    table.required("columns", 'columns = { value = "number" }')
    columns = table.table("columns")
    pairs = tuple((name, columns.word(name, "text", TYPES)) for name in columns.values)
    return Schema(pairs, table.flag("nullable") if "nullable" in table.values else True)


def _range(table: Table) -> Check:
    least, most = bound(table, "least"), bound(table, "most")
    if least is None and most is None:
        table.problems.add(table.path, "has no bound", hint="add least = 0.0 or most = ...")
    elif least is not None and most is not None and least > most:
        table.bad("least", "above most")
    return Range(least, most)


def _unique(table: Table) -> Check:
    return Unique(table.flag("repeats"))


def _published(table: Table) -> Check:
    days = table.values.get("earliest", 0)
    if not is_integer(days):
        table.bad("earliest", "a whole number of days")
        days = 0
    return Published(days, _time(table, "opens"), _time(table, "closes"))


def _time(table: Table, key: str) -> time | None:
    value = table.values.get(key)
    if value is None or isinstance(value, time):
        return value
    table.bad(key, "a time of day without quotes, like 09:30:00")
    return None


def _sessions(table: Table) -> Check:
    return Sessions(calendar(table))


def _gap(table: Table) -> Check:
    return Gap(table.integer("most", 0, least=0))


def _stale(table: Table) -> Check:
    return Stale(table.integer("days", 0, least=0), table.flag("today"))


def _stuck(table: Table) -> Check:
    return Stuck(table.integer("most", 5, least=1))


def _revision(table: Table) -> Check:
    return Revision(table.number("k", 5.0, least=0.0), table.integer("minimum", 8, least=2), table.flag("relative"))


def _jump(table: Table) -> Check:
    factor = table.number("factor", 5.0, least=1.0)
    if factor == 1.0:
        table.bad("factor", "above 1")
    return Jump(factor, table.flag("signs"))


def _identity(table: Table) -> Check:
    table.required("total", 'total = "gdp"')
    table.required("parts", 'parts = ["consumption", "-imports"]')
    total, given = table.text("total"), table.texts("parts")
    parts = tuple((name.lstrip("-"), -1 if name.startswith("-") else 1) for name in given)
    return Identity(total, parts, table.number("tolerance", 0.0, least=0.0))


_READERS: Mapping[str, Callable[[Table], Check]] = MappingProxyType(
    {
        "schema": _schema,
        "declared": lambda _: Declared(),
        "range": _range,
        "unique": _unique,
        "published": _published,
        "sessions": _sessions,
        "monotone": lambda _: Monotone(),
        "gap": _gap,
        "stale": _stale,
        "stuck": _stuck,
        "revision": _revision,
        "jump": _jump,
        "identity": _identity,
    }
)
