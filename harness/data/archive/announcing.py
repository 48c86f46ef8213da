"""How announcements (price events, memberships) enter the archive, and what they become in the change folder."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import numpy as np
import polars as pl

from harness.core.time import EPOCH, NEVER, end_of_day, micros, period_containing, period_end
from harness.data.announced import DELISTING, EVENT, EVENT_KINDS, MEMBER
from harness.data.archive.books import BatchReport, catalogue_of
from harness.data.archive.cut import cuts_of
from harness.data.archive.entry import Entry
from harness.data.archive.listed import KINDS, unseen
from harness.data.archive.store import Store, later_table
from harness.data.calendars import sessions_between
from harness.data.declaration import Catalogue
from harness.data.derive import OBSERVED
from harness.data.given import Given

NEXT_SESSION = timedelta(days=30)
"""How far after an ex-date that is no session the next one is looked for."""


def enter_announced(
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    given: Given,
    entry: Entry,
    *,
    kind: str,
) -> BatchReport:
    """Add announcements to their table as one batch; the caller holds the transaction.

    Args:
        store: the file of the archive.
        connection: open for writing.
        given: the announcements as read.
        entry: what comes with them.
        kind: `events` or `members`.

    Raises:
        DataError: one contradicts another.
        SealedError: one was announced after the cut of a seal of its series.
    """
    catalogue = catalogue_of(connection)
    cuts_of(connection, store.path, catalogue).refuse(given.rows, "announced")
    new = unseen(connection, kind, given.rows, catalogue)
    return entry.keep(store, connection, given, new, table=kind, kind=kind, order=KINDS[kind].schema.names())


def event_rows(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> pl.DataFrame:
    """Price events as the change folder has them: code, ex (ordinal), announced, kind (number), value (NaN = unknown).

    The ordinal is that of the first period whose level is after the event: the one the ex-date lies in (of sessions:
    the day itself, or the next session's where it is none).
    """
    rows = later_table(connection, "events", EVENT)
    places = [_ex_period(catalogue, code, day) for code, day in rows.select("code", "ex").rows()]
    return rows.select(
        "code",
        pl.Series("ex", places, dtype=pl.Int64),
        "announced",
        pl.col("kind").replace_strict(list(EVENT_KINDS), list(range(len(EVENT_KINDS))), return_dtype=pl.Int8),
        pl.col("value").fill_null(np.nan),
    )


def member_rows(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Memberships as the change folder has them: universe, code, first, last (epoch days; NEVER = open), announced."""
    rows = later_table(connection, "members", MEMBER)
    return rows.with_columns(pl.col("first").cast(pl.Int64), pl.col("last").cast(pl.Int64).fill_null(NEVER))


def final_values(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> pl.DataFrame:
    """Delistings with a value as statements of the level of their ex-date.

    Each is public when it was announced, but not before its day is over: a price agreed on earlier is not a price yet.

    Returns:
        code, period (ordinal), published (microseconds UTC), value, availability, vintage (= published).
    """
    ends = event_rows(connection, catalogue).filter(
        (pl.col("kind") == EVENT_KINDS.index(DELISTING)) & pl.col("value").is_not_nan()
    )
    published = [
        max(announced, micros(end_of_day(period_end(catalogue.series[code].parsed, ex), catalogue.series[code].zone)))
        for code, ex, announced in ends.select("code", "ex", "announced").rows()
    ]
    return ends.select(
        "code",
        pl.col("ex").alias("period"),
        pl.Series("published", published, dtype=pl.Int64),
        "value",
        pl.lit(OBSERVED, pl.Int8).alias("availability"),
        pl.Series("vintage", published, dtype=pl.Int64),
    )


def _ex_period(catalogue: Catalogue, code: int, day: int) -> int:
    series = catalogue.series[code]
    if series.parsed.kind != "B":
        return period_containing(series.parsed, EPOCH + timedelta(days=day))
    first = EPOCH + timedelta(days=day)
    traded = sessions_between(series, first, first + NEXT_SESSION)
    return int(traded[0]) if len(traded) else day
