"""The archive's file: opened for the length of a call, locked against other processes, its errors made readable."""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from harness.core.errors import ArchiveBusyError, DamagedError, FullDiskError, UserError
from harness.data.archive.engine import LARGE, connected
from harness.data.archive.sums import before_write, fulfil, promise, put_in_place, settle, sums_after, sums_file
from harness.record.home import Home
from harness.record.working import holders, working

FORMAT = 1
PACKED, RUNS = "USING COMPRESSION bitpacking", "USING COMPRESSION rle"
"""What the engine would choose for numbers and flags, or as small, after trying all there are on every row."""
STATED = f"""
    code INTEGER {PACKED}, period INTEGER {PACKED}, published BIGINT {PACKED}, value DOUBLE,
    availability TINYINT {RUNS}, vintage BIGINT {PACKED}, batch INTEGER {PACKED}"""
TABLES = f"""
CREATE TABLE meta (format INTEGER);
CREATE TABLE series (
    code INTEGER, id VARCHAR, frequency VARCHAR, zone VARCHAR, calendar VARCHAR, unit VARCHAR, decimals INTEGER,
    scale VARCHAR, licence VARCHAR, spec VARCHAR);
CREATE TABLE changes ({STATED});
CREATE TABLE restatements ({STATED});
CREATE TABLE publications (
    code INTEGER {PACKED}, published BIGINT {PACKED}, first INTEGER {PACKED}, last INTEGER {PACKED},
    complete BOOLEAN {RUNS}, captured BOOLEAN {RUNS}, countable BOOLEAN {RUNS}, availability TINYINT {RUNS},
    vintage BIGINT {PACKED}, batch INTEGER {PACKED});
CREATE TABLE forecasts_in (
    source VARCHAR, code INTEGER, issued BIGINT, cutoff BIGINT, period INTEGER, quantile DOUBLE, value DOUBLE,
    conditioning VARCHAR, backfilled BOOLEAN, batch INTEGER);
CREATE TABLE batches (
    batch INTEGER, kind VARCHAR, source VARCHAR, coverage VARCHAR, sha256 VARCHAR, rows_in BIGINT, kept BIGINT,
    duplicates BIGINT, set_aside BIGINT, known_through BIGINT, cleaning VARCHAR, ingested BIGINT);
CREATE TABLE set_aside (
    batch INTEGER, series_id VARCHAR, period VARCHAR, published VARCHAR, value DOUBLE, reason VARCHAR);
CREATE TABLE known (code INTEGER, known_through BIGINT);
"""
# made by the first write: archives that were begun without them stay readable
LATER_TABLES = {
    "events": "code INTEGER, kind VARCHAR, ex INTEGER, value DOUBLE, announced BIGINT, batch INTEGER",
    "members": "universe VARCHAR, code INTEGER, first INTEGER, last INTEGER, announced BIGINT, batch INTEGER",
    "cleaning": "batch INTEGER, place BIGINT, step VARCHAR, kind VARCHAR, parameters VARCHAR, rows_in BIGINT,"
    " rows_out BIGINT, touched BIGINT, hash_before VARCHAR, hash_after VARCHAR",
    "touched": "batch INTEGER, step VARCHAR, line BIGINT, series VARCHAR, period VARCHAR, published VARCHAR,"
    " before VARCHAR, after VARCHAR, reason VARCHAR, decided VARCHAR",
    "assertions": "batch INTEGER, place BIGINT, assertion VARCHAR, kind VARCHAR, parameters VARCHAR, severity VARCHAR,"
    " verdict VARCHAR, rows BIGINT, failed BIGINT, unknown BIGINT, hash VARCHAR",
    "failures": "batch INTEGER, assertion VARCHAR, severity VARCHAR, line BIGINT, series VARCHAR, period VARCHAR,"
    " published VARCHAR, before VARCHAR, after VARCHAR, reason VARCHAR, decided VARCHAR",
    "raw_files": "batch INTEGER, name VARCHAR, sha256 VARCHAR",
    # which series are sealed from when, and the last batch that was there when they were
    "seals": "seal VARCHAR, cut BIGINT, last INTEGER, code INTEGER",
    "originals": "batch INTEGER, name VARCHAR, sha256 VARCHAR",
    "refusals": "refusal INTEGER, dataset VARCHAR, source VARCHAR, sha256 VARCHAR, reason VARCHAR, refused BIGINT",
    "refused_assertions": "refusal INTEGER, place BIGINT, assertion VARCHAR, kind VARCHAR, parameters VARCHAR,"
    " severity VARCHAR, verdict VARCHAR, rows BIGINT, failed BIGINT, unknown BIGINT, hash VARCHAR",
    "refused_failures": "refusal INTEGER, assertion VARCHAR, severity VARCHAR, line BIGINT, series VARCHAR,"
    " period VARCHAR, published VARCHAR, before VARCHAR, after VARCHAR, reason VARCHAR, decided VARCHAR",
}
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
        with _locked(self.path, self.wait, shared=True), _connected(self.path, read_only=True) as connection:
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
        with working(Home(self.path.parent), wait=self.wait), _locked(self.path, self.wait, shared=False):
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
        with _locked(self.path, self.wait, shared=True):
            _attach(self.path, connection)
            try:
                yield ATTACHED
            finally:
                connection.execute(f"DETACH {ATTACHED}")

    @contextmanager
    def rewriting(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
        """As `attached`, but with the lock of a writer, and with nothing left in the write-ahead log."""
        with _locked(self.path, self.wait, shared=False):
            with _connected(self.path, read_only=False) as connection:
                connection.execute("CHECKPOINT")
            with _closing(memory_connection()) as connection:
                _attach(self.path, connection)
                yield connection, ATTACHED

    def settle(self) -> None:
        """Drop the checksums that a stopped write left of what was there before it."""
        with _locked(self.path, self.wait, shared=False):
            settle(self.path)

    def replace(self, out: Path) -> None:
        """Put another file in the place of the archive, checksums and all, with nothing left in the log beside it."""
        with _locked(self.path, self.wait, shared=False):
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
        with _locked(self.path, self.wait, shared=False), _connected(self.path, read_only=False) as connection:
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
        return _busy(path, holder.group(1))
    if any(mark in text for mark in NO_ROOM):
        return FullDiskError(path)
    fatal = isinstance(error, duckdb.FatalException | duckdb.InternalException)
    if fatal or any(mark in text for mark in DAMAGE):
        return _damaged(path, text.splitlines()[0])
    return error


def _busy(path: Path, holder: str) -> ArchiveBusyError:
    who = f"process {holder}" if holder else "another process"
    return ArchiveBusyError(
        "the archive is in use",
        value=f"{path} by {who}",
        rule="one process writes at a time",
        fix="wait for it to end, or open the archive with a longer wait",
    )


@contextmanager
def _locked(path: Path, wait: float, *, shared: bool) -> Iterator[None]:
    """Hold the lock file beside the archive, with the last writer's process id in it."""
    handle = _lock_file(path, shared=shared)
    if handle is None:
        yield
        return
    try:
        _acquire(handle, path, wait, shared=shared)
        if not shared:
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _lock_file(path: Path, *, shared: bool) -> int | None:
    place = path.with_name(path.name + ".lock")
    try:
        return os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        if not shared:
            raise
    try:
        return os.open(place, os.O_RDONLY)
    except OSError:
        # a folder in which no lock can be made has no writer to wait for
        return None


def _acquire(handle: int, path: Path, wait: float, *, shared: bool) -> None:
    deadline = time.monotonic() + wait
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        try:
            fcntl.flock(handle, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise _busy(path, _holder(handle)) from None
            time.sleep(0.02)
        else:
            return


def _holder(handle: int) -> str:
    """Process ids of those who hold the lock: from the system's table, or else the last writer's word."""
    return ", ".join(map(str, holders(handle))) or os.pread(handle, 32, 0).decode()
