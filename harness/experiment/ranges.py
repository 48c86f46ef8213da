"""One typed range of a search space: `{ int = [4, 64], log = true }`, and what is wrong with it."""

from __future__ import annotations

from typing import TypeGuard

from harness.core.reading import Table
from harness.core.search import Domain, DomainKind, as_value
from harness.experiment.keys import KEYS

TYPES: tuple[DomainKind, ...] = ("int", "float", "choice")
EXAMPLE = "{ int = [4, 64] }, { float = [0.01, 0.3], log = true } or { choice = [1, 2] }"


def read_range(table: Table, name: str) -> Domain | None:
    """A domain without its default; None where it could not be made out, which is noted.

    Args:
        table: the range.
        name: its name in the space.
    """
    table.only(KEYS["range"])
    given = [kind for kind in TYPES if kind in table.values]
    if len(given) != 1:
        table.problems.add(table.path, f"one of int, float and choice, like {EXAMPLE}")
        return None
    noted = len(table.problems.lines)
    when = _read_when(table)
    domain = _choice(table, name) if given[0] == "choice" else _numbers(table, name, given[0])
    if domain is None or len(table.problems.lines) > noted:
        return None
    return Domain(name, domain.kind, domain.low, domain.high, domain.log, domain.step, domain.choices, None, when)


def _choice(table: Table, name: str) -> Domain | None:
    values = table.values["choice"]
    for key in ("log", "step"):
        if key in table.values:
            table.bad(key, "belongs to int and float only")
    if not isinstance(values, list) or not values:
        table.bad("choice", "a list of one value or more")
        return None
    choices = tuple(map(as_value, values))
    if not all(map(_is_choice, choices)):
        table.bad("choice", "values are words, numbers, flags or lists of them")
        return None
    if len({repr(one) for one in choices}) != len(choices):
        table.bad("choice", "a value is listed twice")
    return Domain(name, "choice", choices=choices)


def _is_choice(value: object) -> bool:
    """Whether a value can be recorded: TOML also has dates and times, and tables."""
    return all(map(_is_choice, value)) if isinstance(value, tuple) else isinstance(value, (str, int, float))


def _numbers(table: Table, name: str, kind: DomainKind) -> Domain | None:
    ends = table.values[kind]
    what = "two whole numbers" if kind == "int" else "two numbers"
    if not isinstance(ends, list) or len(ends) != 2 or not all(_is_number(one, kind) for one in ends):
        table.bad(kind, f"{what}, [lowest, highest]")
        return None
    low, high = ends
    log, step = table.flag("log"), None
    if low > high:
        table.bad(kind, "the lowest is above the highest")
    if log and low <= 0:
        table.bad(kind, "with log = true, above 0")
    if "step" in table.values:
        step = _step(table, kind, log=log, reach=high - low)
    return Domain(name, kind, low if kind == "int" else float(low), high if kind == "int" else float(high), log, step)


def _step(table: Table, kind: DomainKind, *, log: bool, reach: float) -> float | None:
    step = table.values["step"]
    if log:
        table.bad("step", "not with log = true")
    elif not _is_number(step, kind) or step <= 0:
        table.bad("step", "above 0" + (", a whole number" if kind == "int" else ""))
    elif abs(reach / step - round(reach / step)) > 1e-9:
        table.bad("step", "does not lead from the lowest to the highest")
    else:
        return step
    return None


def _read_when(table: Table) -> tuple[tuple[str, tuple[object, ...]], ...]:
    given = table.values.get("when", {})
    if not isinstance(given, dict):
        table.bad("when", 'a table, like { objective = ["huber"] }')
        return ()
    return tuple(
        (name, tuple(map(as_value, allowed)) if isinstance(allowed, list) else (allowed,))
        for name, allowed in given.items()
    )


def _is_number(value: object, kind: DomainKind) -> TypeGuard[int | float]:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) if kind == "int" else isinstance(value, (int, float)) and abs(value) < float("inf")
