"""The archive's own checksums: rows of every table, counted and hashed, kept beside the archive in a sealed file.

Before a transaction commits, the sums it will leave are promised; afterwards they are what holds. A stop in between
leaves both, and either is right. What something else changed is noted, for good, by the write that comes upon it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from harness.core.errors import DamagedError
from harness.data.archive.engine import connected
from harness.record.files import json_bytes, read_json, seal_holds, sealed, sync_folder, write_file

Sum = tuple[int, str, str]
"""Rows, XOR and sum of the hashes of the rows."""
Sums = Mapping[str, Sum]
"""By table; those without rows are left out."""
COLUMNS = """
SELECT c.table_name, list(c.column_name ORDER BY c.column_name) FROM duckdb_columns() c
JOIN duckdb_tables() t USING (database_name, schema_name, table_name)
WHERE c.database_name = current_database() AND NOT c.internal GROUP BY ALL ORDER BY ALL
"""
GROWING = ("changes", "publications", "restatements", "series")
"""Tables to which a write adds rows, or takes some out and adds others; no row of them is ever altered in its place."""
UNCOMMITTED = 36028797018960000
"""The first number DuckDB gives to rows that the open transaction has added."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is on record of an archive's content.

    Attributes:
        tables: its sums.
        promised: those that a write was about to leave; None = none was stopped.
        file: size and time of change of the archive's file when the last write had ended; () = not known.
        altered: tables that something else had changed before a later write.
        engine: version of DuckDB, whose hashes may differ from version to version.
    """

    tables: Sums
    promised: Sums | None = None
    file: tuple[int, ...] = ()
    altered: tuple[str, ...] = ()
    engine: str = duckdb.__version__

    def differing(self, present: Sums) -> tuple[str, ...]:
        """Tables that are not as the harness left them; none where a stopped write explains it."""
        found = [
            tuple(name for name in sorted({*one, *present}) if one.get(name) != present.get(name))
            for one in (self.tables, self.promised)
            if one is not None
        ]
        return min(found, key=len)


def sums_file(archive: Path) -> Path:
    """Where the sums of an archive are kept: `archive.sums.json` beside `archive.duckdb`."""
    return archive.with_suffix(".sums.json")


def sums_of(connection: duckdb.DuckDBPyConnection) -> Sums:
    """Sums over all rows of every table of the open archive, whatever the order of the rows."""
    columns, rows = _tables_there(connection)
    return _read(connection, {name: columns[name] for name in rows})


def sums_after(connection: duckdb.DuckDBPyConnection, before: Sums) -> Sums:
    """The same inside a transaction, from the rows it has added; of tables that lost some all rows are read.

    Args:
        connection: the open archive, its transaction not yet committed.
        before: the sums when it began.
    """
    columns, rows = _tables_there(connection)
    grown = [table for table in GROWING if table in before and table in rows]
    added = _read(connection, {table: columns[table] for table in grown}, f"WHERE rowid >= {UNCOMMITTED}")
    joined = {table: _joined(before[table], added.get(table, (0, "0", "0"))) for table in grown}
    found = {table: both for table, both in joined.items() if both[0] == rows[table]}
    return {**_read(connection, {name: columns[name] for name in rows if name not in found}), **found}


def _tables_there(connection: duckdb.DuckDBPyConnection) -> tuple[Mapping[str, Sequence[str]], Mapping[str, int]]:
    """The columns of every table, and the rows of those that have any: most have none, and a hash is slow to plan."""
    columns = dict(connection.execute(COLUMNS).fetchall())
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM \"{name}\"" for name in columns)  # noqa: S608
    found = connection.execute(counts).fetchall() if columns else []
    return columns, {name: rows for name, rows in found if rows}


def _joined(one: Sum, other: Sum) -> Sum:
    return one[0] + other[0], str(int(one[1]) ^ int(other[1])), str(int(one[2]) + int(other[2]))


def _read(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, Sequence[str]], which: str = "") -> Sums:
    parts = []
    for table, columns in tables.items():
        row = ", ".join(f'"{name}"' for name in columns)
        hashes = f'SELECT hash({row}) AS h FROM "{table}" {which}'  # noqa: S608 - its own names
        parts.append(f"SELECT '{table}', count(*), bit_xor(h), sum(h::HUGEINT) FROM ({hashes})")  # noqa: S608
    found = connection.execute(" UNION ALL ".join(parts)).fetchall() if parts else []
    return {str(name): (int(rows), str(xor), str(total)) for name, rows, xor, total in sorted(found) if rows}


def kept_sums(archive: Path) -> Kept | None:
    """The sums on record; None = there are none.

    Raises:
        DamagedError: their file was changed.
    """
    path = sums_file(archive)
    if not path.exists():
        return None
    told = read_json(path)
    if seal_holds(told) is not True or path.read_bytes() != json_bytes(told):
        raise DamagedError(
            "the checksums of the archive were changed",
            value=path.name,
            rule="the file carries a digest of its own",
            fix="bring the archive and its checksums back from a copy",
        )
    promised = told.get("promised")
    return Kept(
        _tables(told["tables"]),
        None if promised is None else _tables(promised),
        tuple(_numbers(told["file"])),
        tuple(map(str, _listed(told["altered"]))),
        str(told["engine"]),
    )


def before_write(archive: Path, connection: duckdb.DuckDBPyConnection) -> Kept:
    """What is on record before a write; what something else changed since the last one is noted in it.

    The rows are read again only where the file itself is not as the last write left it.
    """
    try:
        kept = kept_sums(archive)
    except DamagedError:
        kept = Kept({}, altered=("*",))
    if kept is not None and kept.engine == duckdb.__version__ and kept.promised is None and kept.file == _stat(archive):
        return kept
    present = sums_of(connection)
    if kept is None:
        return Kept(present)
    other = kept.differing(present) if kept.engine == duckdb.__version__ and kept.altered != ("*",) else ()
    return Kept(present, altered=tuple(sorted({*kept.altered, *other})))


def promise(archive: Path, before: Kept, after: Sums) -> Kept:
    """Put on record what a write is about to leave; returns what holds once it has."""
    _write(archive, replace(before, promised=after))
    return replace(before, tables=after, promised=None)


def fulfil(archive: Path, after: Kept) -> None:
    """Put on record that the write has ended; the archive's file is closed."""
    _write(archive, replace(after, file=_stat(archive)))


def settle(archive: Path) -> None:
    """Drop what a stopped write left beside what holds; the caller holds the lock of a writer."""
    kept = kept_sums(archive)
    if kept is not None and kept.promised is not None:
        with connected(archive, read_only=True) as connection:
            present = before_write(archive, connection)
        fulfil(archive, present)


def put_in_place(archive: Path, out: Path) -> None:
    """Put another file in the place of an archive, with its checksums; the caller holds the lock of a writer."""
    before = Kept({})
    if archive.exists():
        with connected(archive, read_only=True) as connection:
            before = before_write(archive, connection)
    with connected(out, read_only=True) as connection:
        after = promise(archive, before, sums_of(connection))
    out.replace(archive)
    sync_folder(archive.parent)
    fulfil(archive, after)


def _write(archive: Path, kept: Kept) -> None:
    told = {
        "engine": duckdb.__version__,
        "tables": {name: list(one) for name, one in kept.tables.items()},
        "promised": None if kept.promised is None else {name: list(one) for name, one in kept.promised.items()},
        "file": list(kept.file),
        "altered": list(kept.altered),
    }
    write_file(sums_file(archive), json_bytes(sealed(told)))


def _stat(archive: Path) -> tuple[int, ...]:
    found = archive.stat()
    return (found.st_size, found.st_mtime_ns)


def _tables(told: object) -> Sums:
    mine = told if isinstance(told, dict) else {}
    return {str(name): (int(rows), str(xor), str(total)) for name, (rows, xor, total) in mine.items()}


def _listed(told: object) -> list[object]:
    return told if isinstance(told, list) else []


def _numbers(told: object) -> list[int]:
    return [int(str(one)) for one in _listed(told)]
