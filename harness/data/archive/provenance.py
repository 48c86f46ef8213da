"""Where the archive's content came from: batches with their hashes, the raw files behind them, what was cleaned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import duckdb
import polars as pl

from harness.core.time import instant, micros
from harness.data.archive.store import insert, later_table, offered, query
from harness.data.batch import NOT_YET

RAW_FILES = pl.Schema({"batch": pl.Int32(), "name": pl.String(), "sha256": pl.String()})
WITH_CODES = ("changes", "restatements", "publications", "forecasts_in", "events", "members")
"""Tables whose rows name a series and a batch."""
CELL_BATCH = """
SELECT batch FROM (SELECT * FROM changes UNION ALL SELECT * FROM restatements)
WHERE code = ? AND period = ? AND published = ? ORDER BY batch LIMIT 1
"""
ISSUE_BATCH = """
SELECT DISTINCT batch FROM forecasts_in WHERE source = ? AND code = ? AND issued = ? ORDER BY batch
"""
WAITING = """
SELECT DISTINCT b.source, s.published FROM set_aside s JOIN batches b USING (batch)
WHERE contains(s.reason, ?) AND s.published <> ''
    AND b.batch = (SELECT max(o.batch) FROM batches o WHERE o.source = b.source)
"""
WITHDRAWN = """
SELECT batch, count(*) FROM (SELECT * FROM changes UNION ALL SELECT * FROM restatements)
WHERE value IS NULL AND availability <> 2 AND batch >= ? GROUP BY batch ORDER BY batch
"""
OF_BATCHES = ("cleaning", "touched", "assertions", "failures")
"""Tables of an ingest that records its cleaning steps."""


def note_raw(
    connection: duckdb.DuckDBPyConnection, batch: int, files: Mapping[str, str], *, table: str = "raw_files"
) -> None:
    """Record the files a batch was read from; the caller holds the transaction.

    Args:
        connection: an archive open for writing.
        batch: number of the batch.
        files: content hash by name, as kept in `raw/`.
        table: `originals` for files of which `raw/` keeps a de-identified copy only.
    """
    rows = [{"batch": batch, "name": name, "sha256": sha256} for name, sha256 in files.items()]
    insert(connection, table, pl.DataFrame(rows, schema=RAW_FILES))


def originals(connection: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    """What batches are called -> hashes of the files of which `raw/` keeps de-identified copies only."""
    kept = later_table(connection, "originals", RAW_FILES).select("batch", "sha256")
    named = query(connection, "SELECT batch, source FROM batches").join(kept, on="batch", how="left")
    found: dict[str, set[str]] = {}
    for source, sha256 in named.select("source", "sha256").rows():
        found.setdefault(source, set()).update([sha256] if sha256 else [])
    return found


def waiting(connection: duckdb.DuckDBPyConnection, now: int) -> set[str]:
    """What batches are called whose newest reading set rows aside for lying in the future.

    Only those are meant of which some no longer do.

    Args:
        connection: an open archive.
        now: microseconds UTC.
    """
    rows = query(connection, WAITING, NOT_YET)
    return {
        source for source, at in rows.select("source", "published").rows() if micros(datetime.fromisoformat(at)) <= now
    }


def withdrawn(connection: duckdb.DuckDBPyConnection, batch: int) -> int:
    """How many withdrawals a batch states: rows without a value, and cells a complete publication left out."""
    return withdrawals(connection, batch).get(batch, 0)


def withdrawals(connection: duckdb.DuckDBPyConnection, since: int = 1) -> dict[int, int]:
    """How many withdrawals each batch from one on states; batches without any are left out."""
    found = connection.execute(WITHDRAWN, [since]).fetchall()
    return {int(number): int(count) for number, count in found}


def batch_facts(connection: duckdb.DuckDBPyConnection, names: Mapping[int, str]) -> list[dict[str, object]]:
    """Every batch as JSON facts: number, kind, source, hash, rows, instants, series it says something of, raw files.

    Args:
        connection: an open archive.
        names: stored id by code.
    """
    there = table_names(connection)
    parts = [f"SELECT DISTINCT batch, code FROM {name}" for name in WITH_CODES if name in there]  # noqa: S608 - ours
    touched: dict[int, list[str]] = {}
    for batch, code in query(connection, f"{' UNION '.join(parts)} ORDER BY ALL").rows():
        touched.setdefault(int(batch), []).append(names[code])
    raw, originals = (later_table(connection, name, RAW_FILES) for name in ("raw_files", "originals"))
    facts = []
    for row in query(connection, "SELECT * FROM batches ORDER BY batch").iter_rows(named=True):
        files = raw.filter(pl.col("batch") == row["batch"]).select("name", "sha256").sort("name").to_dicts()
        given = dict(originals.filter(pl.col("batch") == row["batch"]).select("name", "sha256").rows())
        files = [one | ({"original": given[one["name"]]} if one["name"] in given else {}) for one in files]
        known = row.pop("known_through")
        facts.append(
            {
                **row,
                "known_through": None if known is None else instant(known).isoformat(),
                "ingested": instant(row["ingested"]).isoformat(),
                "series": sorted(touched.get(row["batch"], [])),
                "raw": files,
            }
        )
    return facts


def batches_of_cells(
    connection: duckdb.DuckDBPyConnection, cells: Iterable[tuple[int, int, int]]
) -> dict[tuple[int, int, int], int]:
    """The batch that stated each (code, period ordinal, published); cells the archive lacks are left out."""
    found = {}
    for cell in cells:
        rows = connection.execute(CELL_BATCH, list(cell)).fetchall()
        if rows:
            found[cell] = int(rows[0][0])
    return found


def batches_of_issue(connection: duckdb.DuckDBPyConnection, source: str, code: int, issued: int) -> list[int]:
    """The batches that brought an external forecast."""
    return [int(batch) for (batch,) in connection.execute(ISSUE_BATCH, [source, code, issued]).fetchall()]


def cleaning_of(connection: duckdb.DuckDBPyConnection, batches: Iterable[int]) -> dict[str, pl.DataFrame]:
    """What ingest recorded of its cleaning for some batches, by table; empty where the archive has no such record."""
    wanted = pl.DataFrame({"batch": sorted(set(batches))}, schema={"batch": pl.Int32})
    found, there = {}, table_names(connection)
    for name in OF_BATCHES:
        if name in there and "batch" in query(connection, f"SELECT * FROM {name} LIMIT 0").columns:  # noqa: S608
            with offered(connection, "wanted", wanted):
                found[name] = query(connection, f"SELECT t.* FROM {name} t SEMI JOIN wanted USING (batch)")  # noqa: S608
    return found


def table_names(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """The tables of an archive."""
    return {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
