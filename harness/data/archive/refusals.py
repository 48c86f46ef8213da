"""Ingests that were refused: when, of which input, why, and the rows that failed; no part of the archive's identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import polars as pl

from harness.data.archive.store import insert, query

NEWEST = """
SELECT max(refusal) FROM refusals WHERE dataset = ? AND source = ? AND sha256 = ? AND reason = ?
"""


@dataclass(frozen=True, slots=True, eq=False)
class Refusal:
    """One input that was not taken in.

    Attributes:
        dataset: its name.
        source: the input, as batches are called.
        sha256: content hash of the file.
        reason: what the user was told.
        tables: `assertions` and `failures` as a cleaning record has them, as far as it came.
    """

    dataset: str
    source: str
    sha256: str
    reason: str
    tables: Mapping[str, pl.DataFrame]


def note_refusal(connection: duckdb.DuckDBPyConnection, refused: Refusal, *, now: int) -> int:
    """Write a refusal down; the same one again adds its instant, not its rows. Returns its number.

    Args:
        connection: an archive open for writing.
        refused: what was refused.
        now: microseconds UTC.
    """
    told = [refused.dataset, refused.source, refused.sha256, refused.reason]
    again = connection.execute(NEWEST, told).fetchall()[0][0]
    number = int(again or connection.execute("SELECT coalesce(max(refusal), 0) + 1 FROM refusals").fetchall()[0][0])
    row = dict(zip(("dataset", "source", "sha256", "reason"), told, strict=True))
    insert(connection, "refusals", pl.DataFrame([{"refusal": number, **row, "refused": now}]))
    for name, frame in refused.tables.items() if again is None else ():
        insert(connection, f"refused_{name}", frame.with_columns(refusal=pl.lit(number, pl.Int32)))
    return number


def refusals(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Every refusal, in order: refusal, dataset, source, sha256, reason, refused (UTC)."""
    there = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'refusals'").fetchall()
    if not there:
        return pl.DataFrame(schema=REFUSALS)
    found = query(connection, "SELECT * FROM refusals ORDER BY refused, refusal")
    return found.with_columns(pl.col("refused").cast(pl.Datetime("us", "UTC"))).select(REFUSALS.names()).cast(REFUSALS)


REFUSALS = pl.Schema(
    {
        "refusal": pl.Int32(),
        "dataset": pl.String(),
        "source": pl.String(),
        "sha256": pl.String(),
        "reason": pl.String(),
        "refused": pl.Datetime("us", "UTC"),
    }
)
