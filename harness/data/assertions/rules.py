"""The assertions a `dataset.toml` can declare: one frozen class per kind of check, and what to do when it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from types import MappingProxyType
from typing import Literal

Severity = Literal["refuse", "set aside", "warn"]
SEVERITIES: tuple[Severity, ...] = ("refuse", "set aside", "warn")
WHOLE = ("gap", "stale")
"""Kinds whose failure is something missing: there is no row to set aside."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Columns of the file that must be there, and hold what they are said to hold.

    Attributes:
        columns: (column, `number`, `date` or `text`); a number is finite.
        nullable: whether a field may be empty.
    """

    columns: tuple[tuple[str, str], ...]
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Declared:
    """Every series of the file is declared."""


@dataclass(frozen=True, slots=True)
class Range:
    """Values inside bounds, both included; None = open."""

    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Unique:
    """One row for each series, period and publication.

    Attributes:
        repeats: whether the very same value may be given again.
    """

    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """Publication stamps that can be true.

    Attributes:
        earliest: days after the period's end at the earliest; negative for series that come out before it; None = any.
        opens, closes: local time of day between which they lie, both included; None = any.
    """

    earliest: int | None = 0
    opens: time | None = None
    closes: time | None = None


@dataclass(frozen=True, slots=True)
class Sessions:
    """Periods that are days of a calendar ("" = Monday to Friday)."""

    calendar: str = ""


@dataclass(frozen=True, slots=True)
class Monotone:
    """No period comes out for the first time after a later one did."""


@dataclass(frozen=True, slots=True)
class Gap:
    """At most so many periods left out between the newest known and the next new one."""

    most: int = 0


@dataclass(frozen=True, slots=True)
class Stale:
    """First publications no more than so many days later than the lag rule expects, the one still to come included.

    Attributes:
        days: so many.
        today: whether the one still to come must not be overdue at the ingest either; else at the newest publication
            that is known of the source.
    """

    days: int = 0
    today: bool = False


@dataclass(frozen=True, slots=True)
class Stuck:
    """At most so many periods in a row with the very same first value."""

    most: int = 5


@dataclass(frozen=True, slots=True)
class Revision:
    """Revisions no larger than k times the root mean square of the series' earlier ones.

    Attributes:
        k: the multiple.
        minimum: earlier revisions needed; with fewer a revision cannot be judged.
        relative: as shares of the value revised (for rebased series).
    """

    k: float = 5.0
    minimum: int = 8
    relative: bool = False


@dataclass(frozen=True, slots=True)
class Jump:
    """No value a multiple of what stood before it: its own last release, or the period before.

    Attributes:
        factor: the smallest multiple (or its inverse) that is a jump of base or unit.
        signs: whether a change of sign is one, too.
    """

    factor: float = 5.0
    signs: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """One series is the sum of others, in every publication that has all of them.

    Attributes:
        total: bare id.
        parts: (bare id, +1 or -1).
        tolerance: largest difference, in the unit of the series.
    """

    total: str
    parts: tuple[tuple[str, int], ...]
    tolerance: float = 0.0


Check = (
    Schema
    | Declared
    | Range
    | Unique
    | Published
    | Sessions
    | Monotone
    | Gap
    | Stale
    | Stuck
    | Revision
    | Jump
    | Identity
)
CHECKS: Mapping[str, type[Check]] = MappingProxyType(
    {
        "schema": Schema,
        "declared": Declared,
        "range": Range,
        "unique": Unique,
        "published": Published,
        "sessions": Sessions,
        "monotone": Monotone,
        "gap": Gap,
        "stale": Stale,
        "stuck": Stuck,
        "revision": Revision,
        "jump": Jump,
        "identity": Identity,
    }
)
"""The word for each kind of check."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """One [[assert]] of a dataset.

    Attributes:
        name: what the record calls it.
        check: what must hold.
        series: bare ids it is asked of.
        severity: `refuse` the ingest, `set aside` the rows that fail, or `warn`.
        unknown: whether an assertion that cannot be evaluated refuses the ingest, too.
    """

    name: str
    check: Check
    series: tuple[str, ...]
    severity: Severity
    unknown: bool = False

    @property
    def kind(self) -> str:
        """The word for its kind."""
        return next(word for word, made in CHECKS.items() if made is type(self.check))
