"""Back from the canonical JSON of a record to the frozen objects it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from harness.core.errors import DamagedError
from harness.core.identity import canonical
from harness.core.recipe import Recipe

T = TypeVar("T")
ISO = {date: date.fromisoformat, datetime: datetime.fromisoformat, time: time.fromisoformat}


def restored(kind: type[T], record: object) -> T:
    """The object whose canonical form a record is.

    Args:
        kind: a frozen dataclass such as `Experiment`.
        record: what `canonical` made of it; fields that are no part of the identity get their defaults.

    Raises:
        DamagedError: the record is no such object, or says something this version does not know.

    >>> from harness.core.recipe import Schedule
    >>> restored(Schedule, canonical(Schedule("sessions", n=5, at=time(17)))) == Schedule("sessions", n=5, at=time(17))
    True
    """
    try:
        value = _read(kind, record)
    except (TypeError, ValueError, KeyError) as error:
        raise _unreadable(kind, str(error)) from error
    if canonical(value) != record:
        raise _unreadable(kind, "it says something else once it is read")
    return value  # type: ignore[no-any-return]


def _unreadable(kind: type, why: str) -> DamagedError:
    return DamagedError(
        f"this record of {kind.__name__} cannot be read back",
        value=why,
        rule="a record is read by the version that wrote it, or one that knows all it says",
        fix="check out the recorded code version",
    )


def _read(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        if not isinstance(value, Mapping) or not set(value) <= set(hints):
            unknown = set(value) - set(hints) if isinstance(value, Mapping) else value
            message = f"{kind} from {unknown}"
            raise TypeError(message)
        return kind(**{name: _read(hints[name], part) for name, part in value.items()})
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _one_of(inner, value)
    if origin is tuple:
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_read(one, part) for one, part in zip(kinds, value, strict=True))
    return _scalar(kind, inner, value)


def _scalar(kind: Any, allowed: tuple[Any, ...], value: Any) -> Any:
    if kind is timedelta:
        return timedelta(seconds=value)
    if kind in ISO:
        return ISO[kind](value)
    if kind in (object, Any):
        return _plain(value)
    if (
        value in allowed
        if get_origin(kind) is Literal
        else isinstance(value, kind if kind is not float else (float, int))
    ):
        return value
    message = f"{value!r} is no {kind}"
    raise TypeError(message)


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    """The member of a union that a value is: the one that says the same again."""
    if value is None and NoneType in kinds:
        return None
    for kind in kinds:
        try:
            found = _read(kind, value)
        except (TypeError, ValueError, KeyError):
            continue
        if canonical(found) == value:
            return found
    message = f"{value!r} is none of {kinds}"
    raise TypeError(message)


def _plain(value: Any) -> Any:
    """A JSON value as parameters hold it: lists as tuples, so that it stays hashable."""
    return tuple(_plain(part) for part in value) if isinstance(value, list) else value


@lru_cache(maxsize=256)
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, localns={Recipe.__name__: Recipe})  # a search names recipes, which name searches
    return {field.name: hints[field.name] for field in fields(kind) if field.compare}
