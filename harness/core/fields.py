"""Whether a frozen object holds what its fields are declared to hold, which Python itself does not check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from numbers import Integral, Real
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np

from harness.core.reading import meant, one_of
from harness.core.recipe import Params, Recipe

WORDS = MappingProxyType(
    {
        int: "a whole number",
        float: "a number",
        str: "text",
        bool: "True or False",
        date: "a date",
        datetime: "a datetime",
        time: "a time",
        timedelta: "a timedelta",
        NoneType: "None",
    }
)
"""What a value of a kind is called; of others, the name of their class."""
TAKEN: Mapping[type, tuple[type, ...]] = MappingProxyType(
    {int: (Integral,), float: (Real,), bool: (bool, np.bool_), str: (str,)}
)
"""What is taken for one; of others, the kind itself."""

SHOWN = 60
"""Characters of a value that are shown at most."""


class Misfit(NamedTuple):
    """A field that holds something else.

    Attributes:
        where: the field and its value, like `horizons = 1`.
        what: what it would have to be.
        hint: how to mend it, "" where that is evident.
    """

    where: str
    what: str
    hint: str = ""


def misfits(value: object, kind: Any, where: str = "") -> Iterator[Misfit]:
    """Everything inside a value that is not of the kind declared; lists are taken for tuples.

    Args:
        value: an object built by a user.
        kind: its declared type.
        where: dotted path to it; "" = it is the whole.

    >>> from harness.core.recipe import Training
    >>> [tuple(one) for one in misfits(Training(minimum="12"), Training, "training")]
    [("training.minimum = '12'", 'not a whole number', '')]
    """
    built = is_dataclass(kind) and isinstance(value, kind)  # type: ignore[arg-type]
    if kind == Params:
        yield from () if isinstance(value, (tuple, list, Mapping)) else _said(value, kind, where)
    elif built:
        for name, declared in _hints(kind).items():
            yield from misfits(getattr(value, name), declared, f"{where}.{name}" if where else name)
    elif get_origin(kind) is tuple and isinstance(value, (tuple, list)):
        yield from _parts(value, get_args(kind), where)
    elif get_origin(kind) in (Union, UnionType):
        members = get_args(kind)
        alike = next((one for one in members if is_dataclass(one) and isinstance(value, one)), None)  # type: ignore[arg-type]
        if alike is not None:
            yield from misfits(value, alike, where)
        elif all(any(misfits(value, one, where)) for one in members):
            yield from _said(value, kind, where)
    elif not _fits(value, kind):
        yield from _said(value, kind, where)


def _parts(value: tuple[object, ...] | list[object], inner: tuple[Any, ...], where: str) -> Iterator[Misfit]:
    if inner[-1] is Ellipsis:
        if set(map(type, value)) == {inner[0]} and not is_dataclass(inner[0]):
            return  # the ids of a large panel, say: all of the very kind
        for place, part in enumerate(value):
            yield from misfits(part, inner[0], f"{where}[{place}]")
    elif len(value) != len(inner):
        yield Misfit(f"{where} = {_shown(value)}", f"not {len(inner)} values")
    else:
        for place, (part, one) in enumerate(zip(value, inner, strict=True)):
            yield from misfits(part, one, f"{where}[{place}]")


def _fits(value: object, kind: Any) -> bool:
    """Whether a value is of a kind that has no parts."""
    if kind in (object, Any):
        return True
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple or is_dataclass(kind):
        return False
    if isinstance(value, bool) and kind is not bool:
        return False
    return isinstance(value, TAKEN.get(kind, (kind,)))


def _said(value: object, kind: Any, where: str) -> Iterator[Misfit]:
    if get_origin(kind) is Literal:
        known = [str(one) for one in get_args(kind) if one]
        yield Misfit(f"{where} = {_shown(value)}", one_of(known), meant(value, known))
        return
    hint = f"build it: {_word(kind)}(...)" if is_dataclass(kind) else ""
    if get_origin(kind) is tuple and kind != Params and not any(misfits(value, get_args(kind)[0])):
        hint = f"write ({_shown(value)},)"
    yield Misfit(f"{where} = {_shown(value)}", f"not {_word(kind)}", hint)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN and not is_dataclass(value) else f"{type(value).__name__}(...)"


def _word(kind: Any) -> str:
    """What a value of a kind is called."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_word(one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        return "a tuple" if kind == Params else f"a tuple, each {_word(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return one_of(map(str, get_args(kind)))
    return WORDS.get(kind, f"hs.{kind.__name__}" if is_dataclass(kind) and isinstance(kind, type) else str(kind))


@lru_cache(maxsize=64)
def _hints(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind, localns={Recipe.__name__: Recipe})  # a search names recipes, which name searches
    return MappingProxyType({field.name: hints[field.name] for field in fields(kind)})
