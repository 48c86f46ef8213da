"""Writing a change folder, complete or not there at all, under the hash of its content; or holding it in memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from harness.core.ahead import beside
from harness.data.changes import (
    FILES,
    FORMAT,
    MANIFEST,
    PUBLISHED,
    ChangeFile,
    PublicationRows,
    columns_at,
    columns_in,
    manifest_hash,
    note_checked,
)
from harness.data.in_file import InFile
from harness.data.laying import Laid, Memory
from harness.record.arrow import buffered, numbers, text, with_nulls
from harness.record.files import room_for, sync_folder, unused_name

OF_EACH: Mapping[str, pl.Series] = {}
"""The publications of changes each of which is one by itself: most of what is published once need not be said twice."""
BOTH = ("changes", "publications")
CHANGED = ("code", "period", "published", "value", "vintage", "availability")


def save_changes(changes: ChangeFile, folder: Path) -> Path:
    """Write changes that were altered in memory as a change folder of their own.

    Args:
        changes: the changes, in order of (published, code, period); series, forecasts and whatever else they do not
            hold as arrays are taken over from the folder they were opened from.
        folder: where the change folder is put, under the hash of its content.

    Returns:
        The change folder, to be opened with `ChangeFile.open`.

    Raises:
        OSError: the folder the changes were opened from is gone, or nothing can be written.
    """
    tables = {
        "changes": {name: pl.Series(getattr(changes, name)) for name in CHANGED},
        "publications": {name: pl.Series(getattr(changes.publications, name)) for name in PUBLISHED},
    }
    kept = {name: changes.folder / file for name, file in FILES.items() if name not in tables}
    return write_changes(folder, tables.items(), state=f"altered {changes.hash}", kept=kept)


def write_changes(
    folder: Path,
    tables: Iterable[tuple[str, Mapping[str, pl.Series] | Laid]],
    *,
    state: str,
    kept: Mapping[str, Path] | None = None,
) -> Path:
    """Write a change folder, or find it already written.

    Args:
        folder: where it is put.
        tables: each table's name (`FILES`) and its columns by name; asked for one after the other.
        state: identity of what was written, kept in the manifest.
        kept: files of another change folder that are copied as they are, by table.

    Returns:
        The change folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = unused_name(folder)
    temporary.mkdir()
    try:
        with ThreadPoolExecutor(1) as pool:
            hashes = {}
            for name, table in tables:
                file = FILES[name]
                _write(temporary / file, table)
                if name == "publications" and _are_of_each(*(columns_at(temporary / FILES[one]) for one in BOTH)):
                    (temporary / file).unlink()  # a mapped file may not shrink
                    _write(temporary / file, OF_EACH)
                del table  # before the next one is made
                hashes[file] = pool.submit(_synced, temporary / file)
            for name, source in (kept or {}).items():
                shutil.copyfile(source, temporary / FILES[name])
                hashes[FILES[name]] = pool.submit(_synced, temporary / FILES[name])
            digests = {file: found.result() for file, found in hashes.items()}
        statuses = {file: (temporary / file).stat() for file in FILES.values()}
        text = _manifest({file: digests[file] for file in FILES.values()}, state)
        with (temporary / MANIFEST).open("wb") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        final = _moved(temporary, folder / manifest_hash(text))
        note_checked(final, statuses)
        return final
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def hold_changes(tables: Mapping[str, Mapping[str, pl.Series] | Laid], *, state: str) -> ChangeFile:
    """The change file that `write_changes` would write, held in memory; nothing touches the disk.

    Args:
        tables: columns by name, by table (all of `FILES`).
        state: identity of what it holds.
    """
    held, hashes = dict[str, pa.Buffer](), dict[str, str]()
    for name, file in FILES.items():
        stream = pa.BufferOutputStream()
        table = tables[name]
        _write_to(stream, _in_memory(table) if isinstance(table, Laid) else table)
        held[name] = stream.getvalue()
        if name == "publications" and _are_of_each(*(columns_in(pa.BufferReader(held[one])) for one in BOTH)):
            stream = pa.BufferOutputStream()
            _write_to(stream, OF_EACH)
            held[name] = stream.getvalue()
        hashes[file] = hashlib.sha256(held[name]).hexdigest()
    return ChangeFile.from_memory(held, _manifest(hashes, state))


def _are_of_each(changes: Mapping[str, Any], publications: Mapping[str, Any]) -> bool:
    """Whether publications, row by row, say no more than that each change is one by itself."""
    if not publications or len(changes["code"]) != len(publications["code"]):
        return False
    each = PublicationRows.of_each(*(numbers(changes[name]) for name in ("code", "published", "period")))
    return all(np.array_equal(numbers(column), getattr(each, name)) for name, column in publications.items())


def _manifest(hashes: Mapping[str, str], state: str) -> bytes:
    return json.dumps({"format": FORMAT, "state": state, "files": hashes}, sort_keys=True).encode()


def _synced(path: Path) -> str:
    """Wait until a file is on the disk; returns the hash of its content."""
    with room_for(path.parent.parent), path.open("rb") as stream, beside(partial(os.fsync, stream.fileno())) as synced:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        synced()
    return found


def _write(path: Path, table: Mapping[str, pl.Series] | Laid) -> None:
    with room_for(path.parent.parent), path.open("w+b") as stream:
        if not isinstance(table, Laid):
            _write_to(stream, table)
            return
        room = InFile(stream, table)
        table.lay(room)
        if table.repeated(room):
            columns = {name: pl.Series(room.get(name, 0, table.rows)) for name in table.types}
            stream.seek(0)
            stream.truncate()
            _write_to(stream, _once(columns))


def _in_memory(table: Laid) -> Mapping[str, pl.Series]:
    room = Memory(table.rows, table.types)
    table.lay(room)
    columns = {name: pl.Series(values) for name, values in room.columns.items()}
    return _once(columns) if table.repeated(room) else columns


def _once(columns: Mapping[str, pl.Series]) -> Mapping[str, pl.Series]:
    """Sorted rows, those that are alike in everything once."""
    return pl.DataFrame(columns).unique(keep="first", maintain_order=True).to_dict()


def _write_to(stream: Any, columns: Mapping[str, pl.Series]) -> None:
    table = pa.table({name: _plain(column) for name, column in columns.items()})
    with pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table)


def _plain(column: pl.Series) -> pa.Array:
    """One buffer of the values alone: bitmaps carry padding, and equal content must be equal bytes."""
    if column.dtype == pl.Boolean:
        return buffered(column.cast(pl.UInt8).rechunk().to_numpy())
    if not (column.dtype == pl.String or column.dtype.is_numeric()):
        return pa.array(column.to_list(), type=column.to_arrow().type)
    if column.null_count():
        return with_nulls(column)
    return text(column) if column.dtype == pl.String else buffered(column.rechunk().to_numpy())


def _moved(temporary: Path, final: Path) -> Path:
    if not final.exists():
        try:
            temporary.rename(final)
        except OSError:
            # another process wrote the same content first
            if not final.exists():
                raise
        else:
            sync_folder(final.parent)
    return final
