"""What somebody gave of a list (external forecasts, price events, memberships), as it was read."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from harness.data.batch import SET_ASIDE


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A list as read.

    Attributes:
        rows: columns of `FORECAST`, `EVENT` or `MEMBER`, without repeats.
        set_aside: rows issued or announced later than now.
        rows_in: rows given.
        sha256: content hash.
        issuers: of forecasts, ascending; of those set aside where there are no others.
    """

    rows: pl.DataFrame
    set_aside: pl.DataFrame
    rows_in: int
    sha256: str
    issuers: tuple[str, ...] = ()


def nothing_given(schema: pl.Schema) -> Given:
    """No row of some columns: all that was given lies in a vault."""
    return Given(pl.DataFrame(schema=schema), pl.DataFrame(schema=SET_ASIDE), 0, "")
