"""How announcements (price events, memberships) enter the archive, and what they become in the change folder."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import polars as pl

from harness.core.time import EPOCH, NEVER, end_of_day, micros, period_containing, period_end
from harness.data.announced import DELISTING, EVENT, EVENT_KINDS, MEMBER, Announced
from harness.data.archive.books import BatchReport, catalogue_of, is_recorded, next_batch, record
from harness.data.archive.store import insert, later_table
from harness.data.calendars import sessions_between
from harness.data.declaration import Catalogue
from harness.data.derive import OBSERVED
from harness.data.sealed import Sealed

NEXT_SESSION = timedelta(days=30)
"""How far after an ex-date that is no session the next one is looked for."""
Unseen = Callable[[pl.DataFrame, pl.DataFrame, Catalogue], pl.DataFrame]


def add_announced(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    schema: pl.Schema,
    unseen: Unseen,
    given: Announced,
    source: str,
    sealed: Sealed | None = None,
) -> BatchReport:
    """Add announcements to their table as one batch; the caller holds the transaction.

    Args:
        connection: an archive open for writing.
        table: `events` or `members`.
        schema: its columns, without the batch.
        unseen: picks the new rows, and refuses contradictions.
        given: the announcements as read.
        source: where they come from.
        sealed: those that lie in a vault instead.

    Raises:
        DataError: one contradicts another.
    """
    new = unseen(given.rows, later_table(connection, table, schema), catalogue_of(connection))
    unseen_part = sealed is not None and not is_recorded(connection, sealed.key)
    number = next_batch(connection) if new.height or unseen_part else 0
    duplicates = given.rows_in - given.set_aside.height - new.height
    sha256, rows = (given.sha256, 0) if sealed is None else (sealed.key, sealed.rows)
    report = BatchReport(
        number, source, given.rows_in, new.height, 0, duplicates, given.set_aside.height, None, sha256, sealed=rows
    )
    if number:
        insert(connection, table, new.with_columns(batch=pl.lit(number, pl.Int32)).sort(schema.names()))
        now = micros(datetime.now(UTC))
        record(connection, report, kind=table, coverage="", aside=given.set_aside, now=now)
    return report


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
