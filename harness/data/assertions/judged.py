"""What a check says of each row: it holds, it fails and why, or nobody can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from harness.core.series import Series
from harness.record import clock

KEY = ("series_id", "period", "published")


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One check on one frame.

    Attributes:
        asked: [row] whether the check speaks of the row.
        failed: [row] whether it fails.
        unknown: [row] whether it cannot be evaluated.
        reasons: [row] why it fails, "" where it does not.
    """

    asked: pl.Series
    failed: pl.Series
    unknown: pl.Series
    reasons: pl.Series

    @property
    def verdict(self) -> str:
        """`failed`; `unknown` when it could be evaluated on no row at all; else `passed`."""
        if self.failed.any():
            return "failed"
        return "passed" if (self.asked & ~self.unknown).any() else "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What the rows of a source are held against, beside those of their own file.

    Attributes:
        rows: series_id, period, published and value of what the archive holds of the source's series before this
            batch: rows are compared with those published before them, none of which is judged again. None = nothing.
        now: microseconds UTC of the ingest.
        cuts: stored id of a sealed series -> microseconds UTC from which on it is sealed.
    """

    rows: pl.DataFrame | None = None
    now: int = field(default_factory=clock.now)
    cuts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What checks on dated values need to know.

    Attributes:
        series: declarations of the series a check is asked of, by stored id.
        dated: whether the file says when its values were published; else a rule does.
        taken: whether a row that fails is taken in all the same, and later ones are compared with it.
        now: microseconds UTC.
        held: how many of the first rows the archive holds already: later ones are compared with them in any case.
        cuts: stored id of a sealed series -> microseconds UTC from which on it is sealed.
    """

    series: Mapping[str, Series]
    dated: bool
    taken: bool
    now: int
    held: int = 0
    cuts: Mapping[str, int] = field(default_factory=dict)


def judged(height: int, asked: pl.Series, failing: Mapping[int, str], unknown: pl.Series | None = None) -> Judged:
    """A judgement from the rows that fail, by their place, with the reason of each."""
    reasons = pl.Series([failing.get(row, "") for row in range(height)], dtype=pl.String)
    nothing = pl.repeat(value=False, n=height, dtype=pl.Boolean, eager=True)
    doubtful = nothing if unknown is None else unknown & asked
    return Judged(asked, (reasons != "") & asked, doubtful, reasons)


def nobody_can_tell(height: int, asked: pl.Series) -> Judged:
    """A check that could be evaluated on no row."""
    return judged(height, asked, {}, asked)


def of_batch(found: Judged, held: int) -> Judged:
    """What is said of the rows of a batch alone, which follow those that the archive holds."""
    parts = (found.asked, found.failed, found.unknown, found.reasons)
    return Judged(*(part.slice(held) for part in parts)) if held else found


def flags(height: int, rows: list[int]) -> pl.Series:
    """[row] true for some places."""
    return pl.int_range(height, eager=True).is_in(rows)
