"""The DuckDB engine of a process: started once, for starting it costs ten times what opening a file in it does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

LARGE = 1 << 26
"""Bytes of a file from which on an engine is not kept: it would keep the memory it read the file into."""
SMALL = 1 << 22
"""Bytes of a file up to which an engine holds little of it."""
_IDLE: dict[int, duckdb.DuckDBPyConnection] = {}
"""The engine that waits for the next file, by process id: a forked child must not use its parent's."""


@contextmanager
def connected(path: Path, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to one database file, which is open for the length of the block and no longer.

    An engine has one file open at a time: who comes meanwhile (another thread, a block within the block) starts one of
    its own. An engine that met an error of DuckDB is closed, as it may refuse everything
    from then on; so is one that wrote to its temporary folder, which it would keep, and refuse to use another, and one
    that had a large file open.

    Args:
        path: the file; created when absent, unless it is only to be read.
        read_only: refuse to write.

    Raises:
        duckdb.Error: the file is damaged, or another process has it open.
    """
    engine = _IDLE.pop(os.getpid(), None) or duckdb.connect(":memory:")
    broken = False
    try:
        with engine.cursor() as connection:
            _attach(connection, path, read_only=read_only)
            yield connection
    except duckdb.Error:
        broken = True
        raise
    finally:
        if broken or _spill(path).exists() or not _kept(engine, path):
            engine.close()


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, *, read_only: bool) -> None:
    """Open the file as what unqualified names mean; what does not fit into memory goes beside it."""
    place, spill = (str(one).replace("'", "''") for one in (path, _spill(path)))
    connection.execute(f"SET temp_directory = '{spill}'")
    connection.execute(f"ATTACH '{place}' AS opened (TYPE duckdb{', READ_ONLY' * read_only})")
    connection.execute("USE opened")


def _spill(path: Path) -> Path:
    return path.with_name(f"{path.name}.tmp")


def _kept(engine: duckdb.DuckDBPyConnection, path: Path) -> bool:
    """Close the file; whether the engine now waits for the next one."""
    try:
        engine.execute("DETACH opened")
    except duckdb.Error:
        return False  # what was committed is in the log beside the file, as after a power cut
    if path.exists() and path.stat().st_size >= LARGE:
        return False
    return _IDLE.setdefault(os.getpid(), engine) is engine


def let_go(path: Path) -> None:
    """Close the engine that waits for the next file, unless the last one is small; whoever comes next starts another.

    Args:
        path: the file that nothing more is asked of for long.
    """
    if path.exists() and path.stat().st_size > SMALL and (engine := _IDLE.pop(os.getpid(), None)) is not None:
        engine.close()
