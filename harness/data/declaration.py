"""A series' declaration as text, and back; of many that differ in their ids alone, what they share is read once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from operator import attrgetter
from typing import Any, Self, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.declared import Declared
from harness.core.errors import FEW, UnknownNameError, UserError, listed
from harness.core.identity import encoded
from harness.core.names import Names
from harness.core.series import LagRule, Series, alike
from harness.core.time import end_of_day, micros

ISO_DAY = len("2012-10-28")
Key = TypeVar("Key")
MARK = '"id":"'
"""What stands before the id in the canonical text; inside a text of the user its quotes would be escaped."""
PLAIN = r"^[!#-\[\]-~]+$"
"""Ids that stand in JSON as they are: printable ASCII without quote and backslash."""


def series_to_text(series: Series) -> str:
    """Canonical JSON of a declaration.

    >>> series_from_text(series_to_text(Series("cpi", "M", decimals=1))) == Series("cpi", "M", decimals=1)
    True
    """
    before, after = _around(*_VALUES(series))
    return f"{before}{quoted(series.id)}{after}"


def texts_alike(like: Series, ids: Sequence[str]) -> list[str]:
    """Canonical JSON of declarations that are alike but for their ids."""
    before, after = _around(*_VALUES(like))
    return [f"{before}{quoted(series_id)}{after}" for series_id in ids]


_FIELDS = tuple(name for name, one in Series.__dataclass_fields__.items() if one.compare and name != "id")
_VALUES = attrgetter(*_FIELDS)


@lru_cache(maxsize=1 << 10, typed=True)
def _around(*values: object) -> tuple[str, str]:
    """The canonical text before and after the id."""
    fields = {"id": None, **dict(zip(_FIELDS, values, strict=True))}
    parts = [f'"{name}":{encoded(fields[name])}' for name in sorted(fields)]
    place = sorted(fields).index("id")
    before, after = ",".join([*parts[:place], ""]), ",".join(["", *parts[place + 1 :]])
    return f'{{{before}"id":', f"{after}}}"


@lru_cache(maxsize=1 << 16)
def series_from_text(text: str) -> Series:
    """The declaration behind its canonical JSON."""
    fields: dict[str, Any] = json.loads(text)
    lag = fields.pop("lag")
    fields["period_table"] = tuple(date.fromisoformat(day) for day in fields["period_table"])
    fields["closures"] = tuple((date.fromisoformat(day), known) for day, known in fields["closures"])
    return Series(**fields, lag=None if lag is None else _lag_from(lag))


def _lag_from(fields: Mapping[str, Any]) -> LagRule:
    values = dict(fields)
    values["at"] = None if values["at"] is None else time.fromisoformat(values["at"])
    for key in ("exceptions", "dates"):
        values[key] = tuple((date.fromisoformat(end), date.fromisoformat(day)) for end, day in values[key])
    return LagRule(**values)


def announced(series: Series, text: str) -> int:
    """Microseconds at which a closure was announced; a date alone is the end of that day in the series' zone."""
    if len(text) == ISO_DAY:
        return micros(end_of_day(date.fromisoformat(text), series.zone))
    return micros(datetime.fromisoformat(text))


def tells_days(series: Series) -> bool:
    """Whether a declaration names days of releases or closures, of which not all are known at every instant."""
    return bool(series.closures) or (series.lag is not None and bool(series.lag.exceptions or series.lag.dates))


def declared_by(series: Series, known_at: int) -> Series:
    """The declaration as it could have been written at an instant: without closures and releases of later days.

    Args:
        series: the full declaration.
        known_at: microseconds UTC.
    """
    if not tells_days(series):
        return series
    lag = series.lag
    closures = tuple(pair for pair in series.closures if announced(series, pair[1]) <= known_at)
    if lag is not None:
        zone = lag.zone or series.zone
        exceptions, dates = (
            tuple(pair for pair in pairs if micros(end_of_day(pair[1], zone)) <= known_at)
            for pairs in (lag.exceptions, lag.dates)
        )
        lag = replace(lag, exceptions=exceptions, dates=dates)
    return replace(series, closures=closures, lag=lag)


class Declarations(Mapping[Key, Series]):
    """Declarations by some key (stored id, or code), in the order of their keys."""

    def __init__(
        self, places: Mapping[Key, int], ids: Sequence[str], number: NDArray[np.int32], shapes: Sequence[Series]
    ) -> None:
        """Hold what they are made of.

        Args:
            places: key -> place.
            ids: [place] stored ids.
            number: [place] index into `shapes`.
            shapes: one declaration of each kind of them that differs in its id alone.
        """
        self._places, self._ids, self._number, self._shapes = places, ids, number, shapes

    @classmethod
    def of(cls, keys: Iterable[Key], ids: pl.Series, texts: pl.Series) -> Self:
        """Declarations from their canonical texts.

        Args:
            keys: [declaration] keys.
            ids: [declaration] stored ids.
            texts: [declaration] canonical JSON.
        """
        number, shapes = shapes_of(ids, texts)
        return cls({key: place for place, key in enumerate(keys)}, ids.to_list(), number, shapes)

    @classmethod
    def like(cls, like: Series, ids: Sequence[str]) -> Declarations[int]:
        """Declarations alike but for their ids, by place."""
        number, shapes = np.zeros(len(ids), dtype=np.int32), (like,)
        return Declarations(dict(enumerate(range(len(ids)))), ids, number, shapes)

    @property
    def number(self) -> NDArray[np.int32]:
        """[place] index into `shapes`."""
        return self._number

    @property
    def shapes(self) -> Sequence[Series]:
        """One declaration of each kind of them that differs in its id alone."""
        return self._shapes

    def __getitem__(self, key: Key) -> Series:
        place = self._places[key]
        return alike(self._shapes[self._number[place]], self._ids[place])

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def kinds(self, keys: Iterable[Key]) -> list[int]:
        """[key] a number that is the same for declarations alike but for their ids."""
        numbers: list[int] = self._number[[self._places[key] for key in keys]].tolist()
        return numbers

    def only(self, keys: Iterable[Key]) -> Self:
        """Some of them, in the order given."""
        return type(self)({key: self._places[key] for key in keys}, *self._parts())

    def by(self, keys: Mapping[str, Key]) -> Declarations[str]:
        """The same by other keys, each of which stands for one of the present ones."""
        return Declarations({name: self._places[key] for name, key in keys.items()}, *self._parts())

    def texts(self, keys: Iterable[Key]) -> list[str]:
        """Canonical JSON of some of them."""
        around = [_around(*_VALUES(one)) for one in self._shapes]
        out = []
        for key in keys:
            place = self._places[key]
            before, after = around[self._number[place]]
            out.append(f"{before}{quoted(self._ids[place])}{after}")
        return out

    def _parts(self) -> tuple[Sequence[str], NDArray[np.int32], Sequence[Series]]:
        return self._ids, self._number, self._shapes

    def shaped(self) -> Iterator[tuple[Series, list[Key]]]:
        """One declaration of each shape, and the keys of all of that shape."""
        keys = list(self._places)
        places = np.fromiter(self._places.values(), dtype=np.int64, count=len(keys))
        numbers = self._number[places]
        if keys and (numbers == numbers[0]).all():
            yield self[keys[0]], keys
            return
        order = np.argsort(numbers, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
            if len(group):
                yield self[keys[group[0]]], [keys[row] for row in group.tolist()]


class Followed:
    """Declarations of some series, as they could have been written at one instant after another."""

    def __init__(self, declared: Mapping[str, Series], ids: Names, codes: NDArray[np.int64]) -> None:
        """Take the declarations out of those of a change file: nothing leads from them to the others.

        Args:
            declared: by stored id, in order of their codes.
            ids: stored ids followed.
            codes: [series] their codes.
        """
        self._ids = ids
        if isinstance(declared, Declarations):
            used, number = np.unique(declared.number[codes], return_inverse=True)
            self._number = number.ravel().astype(np.int32)
            self._shapes = [declared.shapes[place] for place in used.tolist()]
        else:
            self._number = np.arange(len(ids), dtype=np.int32)
            self._shapes = [declared[name] for name in ids]

    def by(self, known_at: int) -> Declared:
        """Declarations by stored id, without closures and releases of later days than an instant."""
        shapes = tuple(declared_by(one, known_at) for one in self._shapes)
        return Declared(self._ids, self._number, shapes)


def texts_of(series: Mapping[Key, Series], keys: Iterable[Key]) -> list[str]:
    """Canonical JSON of some declarations."""
    if isinstance(series, Declarations):
        return series.texts(keys)
    return [series_to_text(series[key]) for key in keys]


def texts_by(series: Mapping[Key, Series], keys: Sequence[Key], instants: Sequence[int]) -> list[list[str]]:
    """[instant][declaration] canonical JSON of some declarations, as they could have been written at each instant.

    Args:
        series: the full declarations.
        keys: of those asked for.
        instants: microseconds UTC.
    """
    texts = texts_of(series, keys)
    every = series.shapes if isinstance(series, Declarations) else series.values()
    if not any(map(tells_days, every)):
        return [texts] * len(instants)
    places: dict[object, list[int]] = {}
    for place, kind in enumerate(kinds_of(series, keys)):
        places.setdefault(kind, []).append(place)
    kinds = [(series[keys[mine[0]]], mine) for mine in places.values()]
    dated = [(one, mine) for one, mine in kinds if tells_days(one)]
    found: dict[tuple[Series, ...], list[str]] = {}
    out = []
    for at in instants:
        now = tuple(declared_by(one, at) for one, _ in dated)
        if now not in found:
            found[now] = texts.copy()
            for one, (_, mine) in zip(now, dated, strict=True):
                for place, text in zip(
                    mine, texts_alike(one, [series[keys[at_place]].id for at_place in mine]), strict=True
                ):
                    found[now][place] = text
        out.append(found[now])
    return out


def shaped(series: Mapping[Key, Series]) -> Iterator[tuple[Series, list[Key]]]:
    """One declaration of each shape, and the keys of all of that shape; of a plain mapping each by itself."""
    if isinstance(series, Declarations):
        yield from series.shaped()
        return
    for key, one in series.items():
        yield one, [key]


def kinds_of(series: Mapping[Key, Series], keys: Sequence[Key]) -> Sequence[object]:
    """[key] something that is equal for declarations alike but for their ids."""
    if isinstance(series, Declarations):
        return series.kinds(keys)
    return [_around(*_VALUES(series[key])) for key in keys]


def per_key(series: Mapping[int, Series], fact: Callable[[Series], object], dtype: Any) -> NDArray[Any]:
    """A fact about each declaration in an array at its code; 0 where there is no such code.

    Args:
        series: declarations by code.
        fact: function of a declaration that does not depend on its id.
        dtype: of the array.
    """
    out = np.zeros(max(series, default=-1) + 1, dtype=dtype)
    for one, codes in shaped(series):
        out[codes] = fact(one)
    return out


def shapes_of(ids: pl.Series, texts: pl.Series) -> tuple[NDArray[np.int32], tuple[Series, ...]]:
    """What declarations are but for their ids.

    Args:
        ids: [declaration] stored ids.
        texts: [declaration] their canonical JSON.

    Returns:
        [declaration] index into the shapes, and one declaration of each shape, in order of appearance.
    """
    if not len(ids):
        return np.zeros(0, dtype=np.int32), ()
    at, text, name = pl.col("text").str.find(MARK, literal=True) + len(MARK), pl.col("text"), pl.col("id")
    cut = pl.struct(
        text.str.slice(0, at).alias("before"), text.str.slice(at + name.str.len_bytes().cast(pl.UInt32)).alias("after")
    )
    plain = name.str.contains(PLAIN)
    frame = pl.DataFrame({"id": ids, "text": texts}).select(
        "id",
        pl.when(plain).then(cut.struct.field("before")).otherwise(pl.lit("")).alias("before"),
        pl.when(plain).then(cut.struct.field("after")).otherwise(text).alias("after"),
    )
    found = frame.unique(["before", "after"], keep="first", maintain_order=True).with_row_index("number")
    number = frame.join(found.drop("id"), on=["before", "after"], how="left", maintain_order="left")["number"]
    wholes = [f"{before}{name}{after}" if before else after for name, before, after in found.drop("number").rows()]
    return number.to_numpy().astype(np.int32), tuple(map(series_from_text, wholes))


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """The series an archive knows.

    Attributes:
        codes: integer code of each stored id.
        series: declaration of each code.
    """

    codes: Mapping[str, int]
    series: Mapping[int, Series]

    def resolve(self, name: str) -> str:
        """The stored id behind a stored or a bare id.

        Raises:
            UnknownNameError: no series has this id.
            UserError: more than one dataset has it.
        """
        if name in self.codes:
            return name
        matches = _by_bare_id(self).get(name, [])
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UserError(
                "this series id is not unique",
                value=repr(name),
                rule="a bare id names one series",
                fix=f"write one of {listed(sorted(matches), FEW)}",
            )
        raise UnknownNameError("series", name, {*self.codes, *(stored.rpartition("/")[2] for stored in self.codes)})

    def by_id(self) -> Mapping[str, Series]:
        """Declarations by stored id."""
        return _by_id(self)

    def texts(self, codes: Iterable[int]) -> list[str]:
        """Canonical JSON of the declarations of some codes."""
        return texts_of(self.series, codes)

    def decimals(self) -> NDArray[np.int8]:
        """[code] places at which two values count as different; -1 = exactly."""
        return _decimals(self)

    def ruled(self) -> NDArray[np.bool_]:
        """[code] whether the series has a lag rule."""
        return _ruled(self)


@lru_cache(maxsize=4)
def _by_id(catalogue: Catalogue) -> Mapping[str, Series]:
    if isinstance(catalogue.series, Declarations):
        return catalogue.series.by(catalogue.codes)
    return {name: catalogue.series[code] for name, code in catalogue.codes.items()}


@lru_cache(maxsize=4)
def _decimals(catalogue: Catalogue) -> NDArray[np.int8]:
    return per_key(catalogue.series, lambda one: -1 if one.decimals is None else one.decimals, np.int8)


@lru_cache(maxsize=4)
def _ruled(catalogue: Catalogue) -> NDArray[np.bool_]:
    return per_key(catalogue.series, lambda one: one.lag is not None, bool)


@lru_cache(maxsize=4)
def _by_bare_id(catalogue: Catalogue) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for stored in catalogue.codes:
        found.setdefault(stored.rpartition("/")[2], []).append(stored)
    return found
