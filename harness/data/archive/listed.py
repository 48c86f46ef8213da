"""Lists (forecasts, events, members) beside the rows that an archive has of their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import duckdb
import polars as pl

from harness.data.announced import EVENT, MEMBER, unseen_events, unseen_members
from harness.data.archive.store import later_table
from harness.data.declaration import Catalogue
from harness.data.external import FORECAST, unseen_forecasts


@dataclass(frozen=True, slots=True)
class Kind:
    """Where the rows of a kind of list are, and which of others are not there.

    Attributes:
        table: of the archive.
        schema: its columns, without the batch.
        unseen: picks the rows that are not among others, and refuses contradictions.
    """

    table: str
    schema: pl.Schema
    unseen: Callable[[pl.DataFrame, pl.DataFrame, Catalogue], pl.DataFrame]


KINDS: Mapping[str, Kind] = {
    "forecasts": Kind("forecasts_in", FORECAST, unseen_forecasts),
    "events": Kind("events", EVENT, unseen_events),
    "members": Kind("members", MEMBER, unseen_members),
}


def unseen(connection: duckdb.DuckDBPyConnection, kind: str, rows: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """The rows of a list that an archive lacks.

    Args:
        connection: an open archive.
        kind: `forecasts`, `events` or `members`.
        rows: as read.
        catalogue: the declared series.

    Raises:
        DataError: one contradicts another.
    """
    mine = KINDS[kind]
    return mine.unseen(rows, later_table(connection, mine.table, mine.schema), catalogue)
