"""Reading one table of a TOML file: typed values, and every problem noted instead of the first one raised."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import TypeGuard


@dataclass(slots=True)
class Problems:
    """What is wrong with a file, one line per problem, in the order found."""

    lines: list[str] = field(default_factory=list)

    def add(self, where: str, what: str, *, hint: str = "") -> None:
        """Note one problem: the key (with its value), what is wrong or allowed, and how to mend it."""
        line = f"{where}: {what}" + (f"; {hint}" if hint else "")
        if line not in self.lines:
            self.lines.append(line)


def shown(value: object) -> str:
    """A value as it looks in a TOML file.

    >>> shown(["cpi", True, date(2010, 3, 31)])
    '["cpi", true, 2010-03-31]'
    """
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {shown(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False, default=str)


def meant(value: object, allowed: Iterable[str]) -> str:
    """A "did you mean" for a misspelt word, or "".

    >>> meant("quarter ends", ["quarter end", "month end"])
    'did you mean "quarter end"?'
    """
    close = difflib.get_close_matches(str(value).lower(), sorted(allowed), n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else ""


def one_of(allowed: Iterable[str]) -> str:
    """The allowed words of a key, as the message lists them."""
    return "one of " + ", ".join(f'"{word}"' for word in allowed)


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a file.

    A bad value is noted and replaced by the default given, so that reading goes on to the next problem; the file is
    refused at the end whatever the rest says.

    Attributes:
        path: dotted path of the table; "" = the top of the file.
        values: its keys and values as parsed.
        problems: where problems are noted.
    """

    path: str
    values: Mapping[str, object]
    problems: Problems

    def at(self, key: str) -> str:
        """Dotted path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def bad(self, key: str, what: str, *, hint: str = "") -> None:
        """Note a problem with the value of `key` (or with its absence)."""
        given = f" = {shown(self.values[key])}" if key in self.values else ""
        self.problems.add(self.at(key) + given, what, hint=hint)

    def only(self, known: Collection[str]) -> None:
        """Note every key that is not known."""
        for key in self.values:
            if key not in known:
                self.bad(key, f"unknown key, known are {', '.join(known)}", hint=meant(key, known))

    def required(self, key: str, example: str) -> bool:
        """Whether a key is there; its absence is noted with an example line."""
        if key not in self.values:
            self.problems.add(self.at(key), "missing", hint=f"add {example}")
        return key in self.values

    def text(self, key: str, default: str = "") -> str:
        """A string."""
        value = self.values.get(key, default)
        if isinstance(value, str) and "\0" not in value:
            return value
        self.bad(key, "text holds no \\u0000" if isinstance(value, str) else "not text, write it in quotes")
        return default

    def word(self, key: str, default: str, allowed: Collection[str]) -> str:
        """A string out of a fixed set."""
        value = self.values.get(key, default)
        if isinstance(value, str) and value in allowed:
            return value
        self.bad(key, one_of(allowed), hint=meant(value, allowed))
        return default

    def flag(self, key: str) -> bool:
        """A boolean, false unless given."""
        value = self.values.get(key, False)
        if isinstance(value, bool):
            return value
        self.bad(key, "true or false, without quotes")
        return False

    def integer(self, key: str, default: int, *, least: int) -> int:
        """A whole number not below `least`."""
        value = self.values.get(key, default)
        if is_integer(value) and value >= least:
            return value
        self.bad(key, f"a whole number, {least} or more")
        return default

    def number(self, key: str, default: float, *, least: float) -> float:
        """A finite number not below `least`."""
        value = self.values.get(key, default)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value < float("inf"):
            return float(value)
        self.bad(key, f"a number, {least:g} or more")
        return default

    def day(self, key: str) -> date | None:
        """A date without a time of day, or None."""
        value = self.values.get(key)
        if value is None or type(value) is date:
            return value
        self.bad(key, "a date without quotes and without a time of day, like 2010-03-31")
        return None

    def integers(self, key: str, *, least: int | None) -> tuple[int, ...]:
        """A list of distinct whole numbers (a single one may stand alone), in the order given."""
        value = self.values.get(key, [])
        items = value if isinstance(value, list) else [value]
        numbers = tuple(item for item in items if is_integer(item) and (least is None or item >= least))
        if len(numbers) != len(items):
            self.bad(key, "a list of whole numbers" + ("" if least is None else f", each {least} or more"))
        elif len(set(numbers)) != len(numbers):
            self.bad(key, "a number is listed twice")
        return numbers

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of distinct, non-empty strings (a single one may stand alone)."""
        value = self.values.get(key, [])
        items = value if isinstance(value, list) else [value]
        words = tuple(item for item in items if isinstance(item, str) and item)
        if len(words) != len(items):
            self.bad(key, 'a list of names in quotes, like ["cpi"]')
        elif len(set(words)) != len(words):
            self.bad(key, "a name is listed twice")
        return words

    def table(self, key: str) -> Table:
        """A sub-table; an empty one when absent or not a table."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            self.bad(key, f"a table, written [{self.at(key)}]")
            value = {}
        return Table(self.at(key), value, self.problems)

    def tables(self, key: str) -> tuple[tuple[str, Table], ...]:
        """The named sub-tables of a section ([models.NAME]), in the order of the file."""
        section = self.table(key)
        return tuple((name, section.table(name)) for name in section.values)


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number (true and false are not)."""
    return isinstance(value, int) and not isinstance(value, bool)
