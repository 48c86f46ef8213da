"""Sealing: an archive without what was published from a cut on, and all of that, block by block, for a vault.

Deleted values stay in a database file and in its write-ahead log; so what is allowed is copied to a new file, which
then takes the place of the old one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from harness.core.errors import SealedError
from harness.core.identity import digest
from harness.core.series import Series, alike
from harness.core.time import micros
from harness.data.archive import Archive
from harness.data.archive.covered import (
    CAPPED,
    DECLARED,
    HASHED,
    MINE,
    OF_SEAL,
    SEALED,
    SERIES,
    chosen,
    columns_of,
    covered_rows,
    dated_declarations,
    sealed_where,
)
from harness.data.archive.questions import SEALS
from harness.data.archive.schema import LATER_TABLES, TABLES
from harness.data.archive.store import insert, offered, query, quoted
from harness.data.archive.sums import put_in_place
from harness.data.declaration import series_from_text
from harness.data.tags import Veil, veiled_tag
from harness.record.files import unused_name
from harness.record.seals import Seal

Sink = Callable[[str, bytes, Mapping[str, int | str]], object]
"""Takes a part of the vault: its kind, its content, counts that everyone may know."""
BLOCK = 1 << 20
"""Rows of one part at most."""
STATEMENTS = ("changes", "restatements", "publications")
"""Tables of which the vault also gets what stands before the cut: a batch that comes later may change it."""
HASHES = ("hash_before", "hash_after", "hash", "sha256")
CONTENT = "content"
"""The word under which the content hash of a batch is keyed."""


def no_hash(word: str, plain: str) -> str:  # noqa: ARG001 - a `Veil`
    """Leave no hash at all in the clear."""
    return ""


def split(archive: Archive, out: Path, seal: Seal, sink: Sink, veil: Veil = no_hash) -> dict[str, int]:
    """Write an archive without what a seal covers, and hand over what it lacks.

    Args:
        archive: in a file or in memory; it is left as it is.
        out: the new archive's file.
        seal: what is sealed, and from when.
        sink: takes the parts, each a table's rows as Parquet of at most `BLOCK` rows; memory stays bounded by them.
        veil: makes what stands in the clear for hashes of what is sealed.

    Returns:
        Sealed rows by table.

    Raises:
        SealedError: some of it is sealed already.
    """
    with archive.store.attached() as (connection, source):
        return _split(connection, source, out, seal, (sink, veil))


def seal_archive(
    archive: Archive, seal: Seal, sink: Sink, ready: Callable[[Mapping[str, int]], None], veil: Veil = no_hash
) -> None:
    """Put an archive without what a seal covers in the place of the archive.

    The lock of a writer is held throughout. Once `ready` has returned, everything sealed must be safe elsewhere.

    Args:
        archive: in a file.
        seal: what is sealed, and from when.
        sink: takes the parts.
        ready: called with the sealed rows by table, right before the new file takes the place of the old one.
        veil: as `split`.

    Raises:
        SealedError: some of it is sealed already.
    """
    path = archive.path
    out = unused_name(path.parent)
    try:
        with archive.store.rewriting() as (connection, source):
            counts = _split(connection, source, out, seal, (sink, veil))
            connection.execute(f"DETACH {source}")
            ready(counts)
            put_in_place(path, out)
    finally:
        for left in (out, out.with_name(f"{out.name}.wal")):
            left.unlink(missing_ok=True)


def _split(
    connection: duckdb.DuckDBPyConnection, source: str, out: Path, seal: Seal, hands: tuple[Sink, Veil]
) -> dict[str, int]:
    sink, veil = hands
    counts: dict[str, int] = {}
    with chosen(connection, source, seal) as codes:
        there = columns_of(connection, source)
        _refuse_twice(connection, source, there)
        connection.execute(f"ATTACH '{quoted(out)}' AS target")
        _make_tables(connection, "target")
        for table, columns in there.items():
            if table != SERIES:
                _copy(connection, source, table, columns, seal)
        counts[DECLARED] = _copy_declarations(connection, source, there[SERIES], seal, (sink, veil))
        for table in SEALED:
            if table in there:
                counts[table] = covered_rows(connection, source, table, seal)
                kept = MINE if table in STATEMENTS else sealed_where(table, seal)
                _hand_over(connection, f"{source}.{table} WHERE {kept}", table, sink)
        for table, mine in CAPPED.items():
            _hand_over(connection, f"{source}.{table} WHERE {mine}", table, sink)
        for table in HASHED:
            if table in there:
                _hand_over(connection, f"{source}.{table} WHERE batch IN (FROM {OF_SEAL})", table, sink)
        _cap(connection, seal)
        _veil_hashes(connection, veil)
        _veil_tags(connection, veil)
        _note_seal(connection, codes, seal)
        connection.execute("CHECKPOINT target")
        connection.execute("DETACH target")
    return counts


def _make_tables(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    connection.execute(f"USE {database}")
    connection.execute(TABLES)
    for name, columns in LATER_TABLES.items():
        connection.execute(f"CREATE TABLE {name} ({columns})")
    connection.execute("USE memory")


def _copy(connection: duckdb.DuckDBPyConnection, source: str, table: str, columns: list[str], seal: Seal) -> None:
    allowed = f"WHERE NOT coalesce({sealed_where(table, seal)}, false)" if table in SEALED else ""
    names = ", ".join(columns)
    connection.execute(f"INSERT INTO target.{table} ({names}) SELECT {names} FROM {source}.{table} {allowed}")  # noqa: S608


def _hand_over(connection: duckdb.DuckDBPyConnection, rows: str, kind: str, sink: Sink) -> None:
    """Give the sink the rows of a table in parts, streaming."""
    with connection.sql(f"SELECT * FROM {rows}").to_arrow_reader(BLOCK) as reader:  # noqa: S608 - tables of ours
        for block in reader:
            if block.num_rows:
                buffer = io.BytesIO()
                pq.write_table(pa.Table.from_batches([block]), buffer, compression="zstd")
                sink(kind, buffer.getvalue(), {"rows": block.num_rows})


def _copy_declarations(
    connection: duckdb.DuckDBPyConnection, source: str, columns: list[str], seal: Seal, hands: tuple[Sink, Veil]
) -> int:
    """Copy declarations without what the cut hides; whole they go to the vault. Returns how many of them."""
    sink, veil = hands
    whole, clear = dated_declarations(connection, source, seal)
    for start in range(0, whole.height, BLOCK):
        part = whole[start : start + BLOCK]
        sink(DECLARED, parquet_of(part), {"rows": part.height, DECLARED: declared_fact(part["spec"], veil)})
    names = ", ".join(columns)
    told = names.replace("spec", "coalesce(said, spec)")
    with offered(connection, "said_before", clear.rename({"id": "name", "spec": "said"})):
        connection.execute(
            f"INSERT INTO target.series ({names}) SELECT {told} FROM {source}.series LEFT JOIN said_before ON id = name"  # noqa: S608
            " ORDER BY code"
        )
    return whole.height


def restate(connection: duckdb.DuckDBPyConnection, declared: pl.DataFrame) -> None:
    """Put whole declarations (id, spec) in the place of those that an archive in memory has."""
    with offered(connection, "said_whole", declared.select(name="id", said="spec")):
        connection.execute("UPDATE series SET spec = said FROM said_whole WHERE id = name")


def declared_fact(texts: Iterable[str], veil: Veil) -> str:
    """What everyone may know of whole declarations: a keyed hash of each kind of them, in one text."""
    return " ".join(sorted({veil(DECLARED, declaration_hash(series_from_text(one))) for one in texts} - {""}))


def declaration_hash(series: Series) -> str:
    """Hash of what a declaration says beside its id."""
    return digest(alike(series, DECLARED))


def parquet_of(frame: pl.DataFrame) -> bytes:
    """A frame as a part of a vault."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _cap(connection: duckdb.DuckDBPyConnection, seal: Seal) -> None:
    """End what is known right before the cut, and leave of a cleaning summary what is in the clear elsewhere."""
    last = micros(seal.instant) - 1
    for table, mine in CAPPED.items():
        connection.execute(f"UPDATE target.{table} SET known_through = {last} WHERE {mine} AND known_through > {last}")  # noqa: S608
    batches = query(connection, f"SELECT batch, cleaning FROM target.batches WHERE batch IN (FROM {OF_SEAL})")  # noqa: S608
    aside = query(connection, "SELECT batch, reason, count(*) AS rows FROM target.set_aside GROUP BY ALL ORDER BY ALL")
    for batch, text in batches.rows():
        told = json.loads(text) if text else {}
        clear = {reason: rows for _, reason, rows in aside.filter(pl.col("batch") == batch).rows()}
        hidden = sum(told.get("set_aside", {}).values()) - sum(clear.values())
        told["set_aside"] = clear | ({"sealed": hidden} if hidden else {})
        connection.execute("UPDATE target.batches SET cleaning = ? WHERE batch = ?", [json.dumps(told), batch])


def _veil_hashes(connection: duckdb.DuckDBPyConnection, veil: Veil) -> None:
    """Put other hashes in the place of those of batches that say something of what is sealed."""
    there, mine = columns_of(connection, "target"), f"batch IN (FROM {OF_SEAL})"
    for table, word in {**HASHED, "batches": CONTENT}.items():
        for column in (one for one in HASHES if one in there[table]):
            text = f"SELECT DISTINCT {column} FROM target.{table} WHERE {mine} AND {column} <> ''"  # noqa: S608 - ours
            plain = [str(one) for (one,) in connection.execute(text).fetchall()]
            shown = pl.DataFrame(
                {"plain": plain, "shown": [veil(word, one) if word else "" for one in plain]},
                schema={"plain": pl.String, "shown": pl.String},
            )
            with offered(connection, "veiled_hashes", shown):
                connection.execute(
                    f"UPDATE target.{table} SET {column} = v.shown FROM veiled_hashes v"  # noqa: S608
                    f" WHERE {mine} AND {column} = v.plain"
                )


def _veil_tags(connection: duckdb.DuckDBPyConnection, veil: Veil) -> None:
    """Put others in the place of the hashes by which batches are called that say something of what is sealed."""
    mine = f"batch IN (FROM {OF_SEAL})"
    text = f"SELECT DISTINCT source FROM target.batches WHERE {mine} AND source IS NOT NULL"  # noqa: S608 - ours
    for (tag,) in connection.execute(text).fetchall():
        change = f"UPDATE target.batches SET source = ? WHERE {mine} AND source = ?"  # noqa: S608 - ours
        connection.execute(change, [veiled_tag(tag, veil), tag])


def _note_seal(connection: duckdb.DuckDBPyConnection, codes: list[int], seal: Seal) -> None:
    last = connection.execute("SELECT coalesce(max(batch), 0) FROM target.batches").fetchall()[0][0]
    rows = [(seal.id, micros(seal.instant), last, code) for code in codes]
    connection.execute("USE target")
    insert(connection, "seals", pl.DataFrame(rows, schema=SEALS, orient="row"))
    connection.execute("USE memory")


def _refuse_twice(connection: duckdb.DuckDBPyConnection, source: str, there: Mapping[str, object]) -> None:
    if "seals" not in there:
        return
    text = f"SELECT s.seal, e.spec FROM {source}.seals s JOIN {source}.series e USING (code) WHERE {MINE} LIMIT 1"  # noqa: S608
    twice = connection.execute(text).fetchall()
    if twice:
        raise SealedError(
            "this series is sealed already",
            value=f"{series_from_text(twice[0][1]).id}, by {twice[0][0]}",
            rule="a seal is not replaced by another, which could begin later",
            fix="harness holdout status tells from when; harness holdout roll releases a spent stretch",
        )
