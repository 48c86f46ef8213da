"""A series' declaration as text, and back: the same declaration gives the same text everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any

import polars as pl

from harness.core.errors import UnknownNameError, UserError
from harness.core.identity import canonical
from harness.core.series import LagRule, Series
from harness.core.time import end_of_day, micros

ISO_DAY = len("2012-10-28")


def series_to_text(series: Series) -> str:
    """Canonical JSON of a declaration.

    >>> series_from_text(series_to_text(Series("cpi", "M", decimals=1))) == Series("cpi", "M", decimals=1)
    True
    """
    return json.dumps(canonical(series), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


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


def declared_by(series: Series, known_at: int) -> Series:
    """The declaration as it could have been written at an instant: without closures and releases of later days.

    Args:
        series: the full declaration.
        known_at: microseconds UTC.
    """
    lag = series.lag
    if not series.closures and (lag is None or not (lag.exceptions or lag.dates)):
        return series
    closures = tuple(pair for pair in series.closures if announced(series, pair[1]) <= known_at)
    if lag is not None:
        zone = lag.zone or series.zone
        exceptions, dates = (
            tuple(pair for pair in pairs if micros(end_of_day(pair[1], zone)) <= known_at)
            for pairs in (lag.exceptions, lag.dates)
        )
        lag = replace(lag, exceptions=exceptions, dates=dates)
    return replace(series, closures=closures, lag=lag)


@dataclass(frozen=True, slots=True)
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
        matches = [stored for stored in self.codes if stored.rpartition("/")[2] == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UserError(
                "this series id is not unique",
                value=repr(name),
                rule="a bare id names one series",
                fix=f"write one of {', '.join(sorted(matches))}",
            )
        raise UnknownNameError("series", name, {*self.codes, *(stored.rpartition("/")[2] for stored in self.codes)})

    def decimals(self) -> pl.DataFrame:
        """Columns code, decimals (null = exact)."""
        return pl.DataFrame(
            {"code": list(self.series), "decimals": [series.decimals for series in self.series.values()]},
            schema={"code": pl.Int32, "decimals": pl.Int8},
        )
