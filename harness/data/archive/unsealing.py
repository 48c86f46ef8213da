"""Opening: the archive as it would be had it never been sealed, in memory alone."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import duckdb
import polars as pl
import pyarrow.parquet as pq

from harness.core.errors import DamagedError
from harness.data.archive import Archive
from harness.data.archive.covered import (
    CAPPED,
    DECLARED,
    HASHED,
    ISSUED,
    MINE,
    NAMED,
    OF_SEAL,
    SEALED,
    chosen,
    columns_of,
    sealed_where,
)
from harness.data.archive.received import BATCH, Received
from harness.data.archive.sealing import STATEMENTS, restate
from harness.data.archive.store import MemoryStore, insert, offered
from harness.record.seals import Seal

Part = tuple[str, bytes]
"""Kind and content of a file of a vault, in the clear."""
RECORDS = ("batches", "cleaning", "touched", "assertions", "failures", "raw_files", "originals", "set_aside")
"""Tables of what a batch was, beside the values."""
REFUSALS = ("refusals", "refused_assertions", "refused_failures")
STATED = {"forecasts_in": ISSUED, "events": MINE, "members": NAMED}
"""Tables whose rows are kept as they are given, and what of them a seal covers."""


def opened(archive: Archive, sealed: Sequence[tuple[Seal, Iterable[Part]]]) -> Archive:
    """The archive as it would be had it never been sealed.

    What stood at the seal is put back as it was; batches that came later are taken out and entered again, in order and
    as received, since a batch that arrives late changes what is derived from others.

    Args:
        archive: the archive in the clear.
        sealed: seals, each with the files of its vault in the order they were added.

    Returns:
        An archive held in memory; nothing of it touches the disk.

    Raises:
        DamagedError: archive and vault do not belong together.
    """
    memory = MemoryStore()
    _load(archive, memory.connection)
    whole = Archive(memory, read_only=False)
    for seal, parts in sorted(sealed, key=lambda one: one[0].created_at, reverse=True):
        _open(whole, memory.connection, seal, parts)
    return whole


def _load(archive: Archive, connection: duckdb.DuckDBPyConnection) -> None:
    with archive.store.attached_to(connection) as source:
        for table, columns in columns_of(connection, source).items():
            if table != "meta":
                names = ", ".join(columns)
                connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM {source}.{table}")  # noqa: S608


def _open(archive: Archive, connection: duckdb.DuckDBPyConnection, seal: Seal, parts: Iterable[Part]) -> None:
    with chosen(connection, "memory", seal):
        clear = _print(connection, "TRUE")
        _take_out(connection, seal)
        for kind, content in parts:
            if kind == BATCH:
                Received.unpacked(content).enter(archive)
            elif kind == DECLARED:
                restate(connection, pl.read_parquet(io.BytesIO(content)))
            elif kind in SEALED or kind in CAPPED or kind in HASHED:
                _put_back(connection, kind, content)
        if _print(connection, f"NOT coalesce({sealed_where('changes', seal)}, false)") != clear:
            raise DamagedError(
                "archive and vault do not belong together",
                value=seal.id,
                rule="before the cut, the vault gives the very changes the archive has in the clear",
                fix="bring the home folder back from a copy",
            )
    connection.execute("DELETE FROM seals WHERE seal = ?", [seal.id])


def _print(connection: duckdb.DuckDBPyConnection, allowed: str) -> tuple[object, ...]:
    """What tells the changes of the sealed series, in whatever order, from others."""
    row = "hash(code, period, published, value, availability, vintage)"
    text = f"SELECT count(*), bit_xor({row}), sum({row}::HUGEINT) FROM changes WHERE {MINE} AND {allowed}"  # noqa: S608
    return connection.execute(text).fetchall()[0]


def _take_out(connection: duckdb.DuckDBPyConnection, seal: Seal) -> None:
    """Remove what the vault puts back, and batches that came after the seal; other series of such a batch stay."""
    found = connection.execute("SELECT max(last) FROM seals WHERE seal = ?", [seal.id]).fetchall()[0][0]
    if found is None:
        raise DamagedError(
            "this archive is not the one that was sealed",
            value=seal.id,
            rule="it lists the seals it was split by",
            fix="bring archive.duckdb back from a copy",
        )
    later = f"batch > {int(found)}"
    for table in (*STATEMENTS, "known"):
        connection.execute(f"DELETE FROM {table} WHERE {MINE}")  # noqa: S608
    for table, mine in STATED.items():
        connection.execute(f"DELETE FROM {table} WHERE {mine} AND {later}")  # noqa: S608
    left = [f"SELECT batch FROM {table} WHERE {later}" for table in (*STATEMENTS, *STATED)]  # noqa: S608
    others = pl.DataFrame(connection.execute(" UNION ".join(left)).fetchall(), schema={"batch": pl.Int32}, orient="row")
    with offered(connection, "others", others):
        for table in RECORDS:
            connection.execute(
                f"DELETE FROM {table} WHERE {later} AND batch IN (FROM {OF_SEAL}) AND batch NOT IN (FROM others)"  # noqa: S608
            )


def _put_back(connection: duckdb.DuckDBPyConnection, table: str, content: bytes) -> None:
    frame = pl.from_arrow(pq.read_table(io.BytesIO(content)))
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table never becomes a series
    if table == "refusals":
        _make_room(connection, frame["refusal"].unique())
    if table == "batches" or table in HASHED:
        with offered(connection, "put_back", frame.select("batch").unique()):
            connection.execute(f"DELETE FROM {table} WHERE batch IN (FROM put_back)")  # noqa: S608 - a table of ours
    insert(connection, table, frame)


def _make_room(connection: duckdb.DuckDBPyConnection, numbers: pl.Series) -> None:
    """Give refusals that came after the seal, under numbers it had taken away, new ones."""
    room = max(numbers.to_list(), default=0)
    with offered(connection, "taken", numbers.to_frame("refusal")):
        newest = connection.execute("SELECT coalesce(max(refusal), 0) FROM refusals").fetchall()[0][0]
        for table in REFUSALS:
            connection.execute(
                f"UPDATE {table} SET refusal = refusal + {max(room, int(newest))} WHERE refusal IN (FROM taken)"  # noqa: S608
            )
