"""The archive's file: opened for the length of a call, locked against other processes, its errors made readable."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from harness.core.errors import DamagedError, FullDiskError, UserError
from harness.data.archive.engine import LARGE, connected
from harness.data.archive.lock import busy, locked
from harness.data.archive.schema import FORMAT, LATER_TABLES, TABLES
from harness.data.archive.sums import before_write, fulfil, promise, put_in_place, settle, sums_after, sums_file
from harness.record.home import Home
from harness.record.working import working

HOLDER = re.compile(r"PID (\d+)")
DAMAGE = (
    "not a valid DuckDB database",
    "Could not read enough bytes",
    "Corrupt",
    "checksum",
    "Failed to load",
    "Failure while replaying WAL",
    "serialization",
    "Serialization",
)
NO_ROOM = ("No space left on device", "Disk quota exceeded", "File too large", "disk space")
ATTACHED = "source"
"""Name under which an archive is attached to a connection of its own."""
FIX_DAMAGE = "restore the file from a copy, or move it away and ingest again"


class Store:
    """One archive file and the lock beside it.

    Attributes:
        path: the database file.
        wait: seconds to wait for another process before giving up.
    """

    def __init__(self, path: Path, *, wait: float) -> None:
        self.path, self.wait = path, wait
        self._held: tuple[int, duckdb.DuckDBPyConnection] | None = None
        self._last: list[Callable[[], None]] = []

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection for the length of the block; inside `writing`, its own."""
        mine = self._mine()
        if mine is not None:
            yield mine
            return
        with locked(self.path, self.wait, shared=True), _connected(self.path, read_only=True) as connection:
            yield connection

    @contextmanager
    def another(self, connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection | None]:
        """One more connection to what is open for reading, for another thread; None = the file is not worth it.

        None, too, where it is open for writing: nobody else sees what is not committed yet.
        """
        if self._mine() is not None or not self.path.exists() or self.path.stat().st_size < LARGE:
            yield None
            return
        with connection.cursor() as other:
            other.execute("USE opened")
            yield other

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection inside one transaction: all that the block, and blocks within it, write is kept, or nothing."""
        mine = self._mine()
        if mine is not None:
            yield mine
            return
        _require(self.path)
        with working(Home(self.path.parent), wait=self.wait), locked(self.path, self.wait, shared=False):
            with _connected(self.path, read_only=False) as connection, self._transaction(connection):
                before = before_write(self.path, connection)
                for name, columns in LATER_TABLES.items():
                    connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
                yield connection
                after = promise(self.path, before, sums_after(connection, before.tables))
            # the write is in the archive: without room for this, the promise stays, which tells the same
            with suppress(FullDiskError):
                fulfil(self.path, after)

    def at_last(self, call: Callable[[], None]) -> None:
        """Have something done right before the open transaction commits, when nothing in it can be refused any more."""
        self._last.append(call)

    @contextmanager
    def _transaction(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        connection.begin()
        self._held, self._last = (threading.get_ident(), connection), []
        try:
            yield
            for call in self._last:
                call()
        except BaseException:
            connection.rollback()
            raise
        finally:
            self._held, self._last = None, []
        connection.commit()

    def _mine(self) -> duckdb.DuckDBPyConnection | None:
        """The connection of the `writing` block this thread is in; another thread waits for the lock as everyone."""
        held = self._held
        return held[1] if held is not None and held[0] == threading.get_ident() else None

    @contextmanager
    def attached(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
        """A connection to memory alone with the archive attached for reading, and the name it is attached under."""
        with _closing(memory_connection()) as connection, self.attached_to(connection) as name:
            yield connection, name

    @contextmanager
    def attached_to(self, connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
        """Attach the archive to a connection for reading; yields the name it is attached under."""
        with locked(self.path, self.wait, shared=True):
            _attach(self.path, connection)
            try:
                yield ATTACHED
            finally:
                connection.execute(f"DETACH {ATTACHED}")

    @contextmanager
    def rewriting(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
        """As `attached`, but with the lock of a writer, and with nothing left in the write-ahead log."""
        with locked(self.path, self.wait, shared=False):
            with _connected(self.path, read_only=False) as connection:
                connection.execute("CHECKPOINT")
            with _closing(memory_connection()) as connection:
                _attach(self.path, connection)
                yield connection, ATTACHED

    def settle(self) -> None:
        """Drop the checksums that a stopped write left of what was there before it."""
        with locked(self.path, self.wait, shared=False):
            settle(self.path)

    def replace(self, out: Path) -> None:
        """Put another file in the place of the archive, checksums and all, with nothing left in the log beside it."""
        with locked(self.path, self.wait, shared=False):
            if self.path.exists():
                with _connected(self.path, read_only=False) as connection:
                    connection.execute("CHECKPOINT")
            put_in_place(self.path, out)

    def prepare(self, *, read_only: bool) -> None:
        """Make a new archive's tables, unless it is only to be read; refuse a file that is no archive.

        Raises:
            UserError: it is only to be read, and there is no such file, or it cannot be created.
            DamagedError: it is damaged, or something else.
        """
        if self.path.is_dir():
            raise UserError("the archive is a file, this is a folder", value=self.path, fix="name a file in it")
        if not read_only and not self.path.exists():
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._create()
            except (OSError, duckdb.IOException) as error:
                raise _uncreatable(self.path, error) from error
        with self.reading() as connection:
            known = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
            formats = connection.execute("SELECT format FROM meta").fetchall() if "meta" in known else []
        if not known and not read_only:
            # whoever created the file was stopped before it wrote the tables
            self._create()
        elif formats != [(FORMAT,)]:
            raise DamagedError(
                "this file is not an archive of this version",
                value=self.path,
                rule=f"archive format {FORMAT}",
                fix=FIX_DAMAGE,
            )

    def _create(self) -> None:
        with locked(self.path, self.wait, shared=False), _connected(self.path, read_only=False) as connection:
            if connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]:
                sums_file(self.path).unlink(missing_ok=True)  # of an archive that was here before
                connection.begin()
                connection.execute(TABLES)
                connection.execute("INSERT INTO meta VALUES (?)", [FORMAT])
                connection.commit()


class MemoryStore(Store):
    """An archive that is held in memory alone: nothing of it touches the disk, not even a spill of a large sort."""

    def __init__(self) -> None:
        super().__init__(Path("memory:/archive"), wait=0.0)  # no place on the disk, so no home beside it
        self.connection = memory_connection()
        self.connection.execute(TABLES)
        self.connection.execute("INSERT INTO meta VALUES (?)", [FORMAT])
        for name, columns in LATER_TABLES.items():
            self.connection.execute(f"CREATE TABLE {name} ({columns})")

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection."""
        yield self.connection

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection inside one transaction, as that of a file."""
        if self._mine() is not None:
            yield self.connection
            return
        with self._transaction(self.connection):
            yield self.connection

    @contextmanager
    def attached(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
        """The connection, and the name of its database."""
        yield self.connection, "memory"

    def prepare(self, *, read_only: bool) -> None:
        """Nothing: the tables are there."""


def memory_connection() -> duckdb.DuckDBPyConnection:
    """A connection to a database in memory that writes no temporary files."""
    return duckdb.connect(":memory:", config={"temp_directory": ""})


def later_table(
    connection: duckdb.DuckDBPyConnection, name: str, schema: pl.Schema, *, order: str = ""
) -> pl.DataFrame:
    """The rows of one of `LATER_TABLES`; none where the archive does not have it yet.

    Args:
        connection: an open archive.
        name: the table.
        schema: the wanted columns.
        order: columns to sort by; "" = as they stand.
    """
    there = connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [name]).fetchall()
    if not there:
        return pl.DataFrame(schema=schema)
    sorted_by = f" ORDER BY {order}" if order else ""
    found = query(connection, f"SELECT * FROM {name}{sorted_by}")  # noqa: S608 - ours
    return found.select(schema.names()).cast(schema)


def query(connection: duckdb.DuckDBPyConnection, text: str, *parameters: object) -> pl.DataFrame:
    """The answer to a question as a frame."""
    answer = connection.sql(text, params=list(parameters)) if parameters else connection.sql(text)
    frame = pl.from_arrow(answer.to_arrow_table())
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - a table never becomes a series
    return frame


@contextmanager
def offered(
    connection: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame | pa.RecordBatchReader
) -> Iterator[str]:
    """A frame (or rows to be read once) under a name that queries can use, for the length of the block."""
    connection.register(name, frame.to_arrow() if isinstance(frame, pl.DataFrame) else frame)
    try:
        yield name
    finally:
        # after a failure only a rollback is allowed, and it comes; or a result that nobody reads on is still open
        with suppress(duckdb.TransactionException, duckdb.ResourceInUseException):
            connection.unregister(name)


def insert(connection: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame | pa.RecordBatchReader) -> None:
    """Append a frame's rows (or those that are read) to a table, matched by column name."""
    if not isinstance(frame, pl.DataFrame) or frame.height:
        with offered(connection, "incoming", frame):
            connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")  # noqa: S608 - a table of ours


@contextmanager
def _connected(path: Path, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    if read_only:
        _require(path)
    try:
        with connected(path, read_only=read_only) as connection:
            yield connection
    except duckdb.Error as error:
        raise _explained(error, path) from error


@contextmanager
def _closing(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        yield connection
    finally:
        connection.close()


def _attach(path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    _require(path)
    try:
        connection.execute(f"ATTACH '{quoted(path)}' AS {ATTACHED} (READ_ONLY)")
    except duckdb.Error as error:
        raise _explained(error, path) from error


def quoted(path: Path) -> str:
    """A path inside the single quotes of a statement."""
    return str(path).replace("'", "''")


def _require(path: Path) -> None:
    if not path.exists():
        raise UserError("no such archive", value=path, fix="check the path, or open it without read_only")


def _uncreatable(path: Path, error: OSError | duckdb.IOException) -> UserError:
    return UserError(
        "the archive cannot be created",
        value=path,
        rule=str(error.strerror) if isinstance(error, OSError) else str(error).splitlines()[0],
        fix="name a folder in which files can be written (in the command: --home DIR, or HARNESS_HOME=DIR)",
    )


def _damaged(path: Path, why: str) -> DamagedError:
    return DamagedError("the archive is damaged", value=path, rule=why, fix=FIX_DAMAGE)


def _explained(error: duckdb.Error, path: Path) -> Exception:
    """What a database error means to a user; errors of neither kind stay what they are."""
    text = str(error)
    holder = HOLDER.search(text)
    if "lock" in text and holder:
        return busy(path, holder.group(1))
    if any(mark in text for mark in NO_ROOM):
        return FullDiskError(path)
    fatal = isinstance(error, duckdb.FatalException | duckdb.InternalException)
    if fatal or any(mark in text for mark in DAMAGE):
        return _damaged(path, text.splitlines()[0])
    return error
