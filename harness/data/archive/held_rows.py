"""Rows of a batch on their way into tables: those of many blocks wait on the disk, and enter in one statement each.

Within a transaction the engine remembers 25 bytes for every row that a second statement adds to a table, and nothing of
those that the first one adds.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import duckdb
import polars as pl
import pyarrow as pa

from harness.data.archive.store import insert
from harness.record.files import room_for

LARGE = 1 << 26
"""Bytes of a table's rows from which on they wait on the disk."""


class HeldRows:
    """Rows to be appended, by table."""

    def __init__(self, folder: Path, files: ExitStack) -> None:
        """Hold nothing yet.

        Args:
            folder: on whose disk many rows wait, in nameless files; where there is none, among the temporary ones.
            files: what closes these.
        """
        self._folder, self._files = folder, files
        self._held: dict[str, list[pl.DataFrame]] = {}
        self._waiting: dict[str, tuple[IO[bytes], pa.ipc.RecordBatchStreamWriter]] = {}

    def add(self, table: str, rows: pl.DataFrame) -> None:
        """Put rows behind those that are there.

        Raises:
            FullDiskError: there is no room for them.
        """
        if not rows.height:
            return
        held = self._held.setdefault(table, [])
        held.append(rows)
        if sum(one.estimated_size() for one in held) > LARGE and (len(held) > 1 or table in self._waiting):
            self._put_away(table)

    def pour(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Append all of them to their tables."""
        for table, held in self._held.items():
            if table not in self._waiting:
                insert(connection, table, pl.concat(held))
                continue
            self._put_away(table)
            stream, writer = self._waiting[table]
            with room_for(self._folder):
                writer.close()
                stream.flush()
            stream.seek(0)
            with pa.ipc.open_stream(stream) as reader:
                insert(connection, table, reader)

    def _put_away(self, table: str) -> None:
        """Put on the disk what is held of a table."""
        with room_for(self._folder):
            for rows in self._held[table]:
                content = rows.to_arrow()
                if table not in self._waiting:
                    self._waiting[table] = self._begun(content.schema)
                self._waiting[table][1].write_table(content)
        self._held[table] = []

    def _begun(self, schema: pa.Schema) -> tuple[IO[bytes], pa.ipc.RecordBatchStreamWriter]:
        stream = tempfile.TemporaryFile(dir=self._folder if self._folder.is_dir() else None)  # noqa: SIM115 - see `files`
        self._files.enter_context(stream)
        return stream, pa.ipc.new_stream(stream, schema)
