"""Cells and fits on their shelves: whole or absent under a key, never used when their checksum does not hold."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path

import polars as pl
import pyarrow as pa

from harness.core.errors import DamagedError
from harness.core.frames import UTC_INSTANT
from harness.record.files import json_bytes, parsed_json, room_for
from harness.record.folders import fill_folder, read_whole
from harness.record.panel_cells import PanelAnswers, from_arrow, tidy_panels, to_arrow
from harness.record.shelves import Shelf, get, put

CELL_SCHEMA = pl.Schema(
    {
        "series_id": pl.String(),
        "origin": UTC_INSTANT,
        "horizon": pl.Int32(),
        "period": pl.Date(),
        "quantile": pl.Float64(),
        "value": pl.Float64(),
        "status": pl.String(),
        "reason": pl.String(),
        "trained_at": UTC_INSTANT,
        "last_known_period": pl.Date(),
        "info_gap": pl.Int32(),
        "phase": pl.Int32(),
        "issue_age": pl.Float64(),
    }
)
MAPPED = 1 << 20
"""Bytes above which a cell is mapped instead of read."""
PAUSE = 0.1
"""Seconds after which a cell that was stored, and is not there, is looked for once more."""
FORECASTS, META = "forecasts.arrow", "cell.json"
FIT, FIT_META = "fit.json", "meta.json"


@dataclass(frozen=True, eq=False)
class Cell:
    """What one recipe answered at one origin.

    Attributes:
        given: point forecasts of a panel as matrices, or tidy rows of `CELL_SCHEMA`; of a very large panel what maps
            its stored matrices, each time anew, so that no more of it is in memory than is looked at.
        facts: fit key, seed, training rows, warnings (JSON values).
        checksum: SHA-256 of both as stored; "" for a cell that was not read from disk.
    """

    given: PanelAnswers | pl.DataFrame | Callable[[], PanelAnswers]
    facts: Mapping[str, object]
    checksum: str = ""

    @property
    def panel(self) -> PanelAnswers | None:
        """The answers as matrices; None where there is more to them than points."""
        if isinstance(self.given, pl.DataFrame):
            return None
        return self.given if isinstance(self.given, PanelAnswers) else self.given()

    @cached_property
    def frame(self) -> pl.DataFrame:
        """Tidy rows of `CELL_SCHEMA`."""
        panel = self.panel
        if panel is None:
            assert isinstance(self.given, pl.DataFrame)  # noqa: S101 - what has no matrices are rows
            return self.given
        return panel.frame()


def write_cell(shelf: Shelf, key: str, cell: Cell) -> None:
    """Store a cell atomically under its key.

    It is durable after `shelves.sync` only, which a run calls once for all: a run of many origins would wait for the
    disk longer than it computes. What a loss of power leaves of a cell before that has no valid checksum.
    """
    if cell.panel is None:
        buffer = io.BytesIO()
        cell.frame.select(CELL_SCHEMA.names()).cast(CELL_SCHEMA).write_ipc(buffer, compression="uncompressed")
        content = buffer.getvalue()
    else:
        table, sink = to_arrow(cell.panel), pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        content = sink.getvalue().to_pybytes()
    facts = dict(cell.facts)
    meta = {"key": key, "sha256": _checksum(content, facts), "facts": facts}
    put(shelf, key, {FORECASTS: content, META: json_bytes(meta)}, durable=False)


def write_large_cell(shelf: Path, key: str, panel: PanelAnswers, facts: Mapping[str, object]) -> None:
    """Store the cell of a very large panel as `write_cell` does, without holding its bytes: arrays may be mapped.

    Args:
        shelf: where cells stand in plain.
        key: of the cell.
        panel: its answers.
        facts: its facts.

    Raises:
        FullDiskError: there is no room for it.
    """

    def fill(path: Path) -> None:
        table = to_arrow(panel)
        with room_for(shelf / key), pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    _fill_large_cell(shelf, key, fill, facts)


def keep_large_cell(shelf: Path, key: str, file: Path, facts: Mapping[str, object]) -> None:
    """Store the cell of a very large panel as `write_large_cell` does, where its bytes stand in a file already.

    Args:
        shelf: where cells stand in plain.
        key: of the cell.
        file: what `to_arrow` makes of its answers, on the same disk; it is moved.
        facts: its facts.

    Raises:
        FullDiskError: there is no room for it.
    """
    _fill_large_cell(shelf, key, file.replace, facts)


def _fill_large_cell(shelf: Path, key: str, fill: Callable[[Path], object], facts: Mapping[str, object]) -> None:
    """Store a cell whose bytes are put under the name that `fill` is given."""

    def with_facts(folder: Path) -> None:
        path = folder / FORECASTS
        fill(path)
        content = _hashed(path)
        if len(_WRITTEN) >= REMEMBERED:
            _WRITTEN.clear()
        _WRITTEN[_seen(path)] = content
        meta = {"key": key, "sha256": _told(content, facts), "facts": dict(facts)}
        with room_for(shelf / key):
            (folder / META).write_bytes(json_bytes(meta))

    fill_folder(shelf / key, with_facts)


def tidy(cells: Sequence[Cell]) -> pl.DataFrame:
    """Tidy rows of several cells, one after the other."""
    parts: list[pl.DataFrame] = []
    for dense, some in groupby(cells, lambda cell: cell.panel is not None):
        if dense:
            parts.append(tidy_panels([cell.panel for cell in some if cell.panel is not None]))
        else:
            parts += [cell.frame for cell in some]
    return pl.concat(parts) if parts else pl.DataFrame(schema=CELL_SCHEMA)


def read_cell(shelf: Shelf, key: str) -> Cell | None:
    """The stored cell, or None when there is none or what is there is damaged (it is then computed again)."""
    try:
        return read_whole(shelf / key, partial(_cell, shelf, key))
    except (DamagedError, OSError, pa.ArrowException, pl.exceptions.PolarsError):
        return None


def read_written(shelf: Shelf, key: str) -> Cell | None:
    """A cell that was stored before: where it is met absent, as others put theirs there, it is looked for again."""
    found = read_cell(shelf, key)
    if found is None:
        time.sleep(PAUSE)
        found = read_cell(shelf, key)
    return found


def _cell(shelf: Shelf, key: str) -> Cell | None:
    """The stored cell; None where it has another form.

    Raises:
        OSError: there is none.
        DamagedError: it is not what was written.
    """
    if isinstance(shelf, Path) and _size(shelf / key / FORECASTS) > MAPPED:
        return _mapped(shelf / key, key)
    content, meta = _checked(shelf, FORECASTS, META, key)
    panel = from_arrow(pa.ipc.open_file(pa.BufferReader(content)).read_all())
    given = pl.read_ipc(io.BytesIO(content)) if panel is None else panel
    facts = meta.get("facts")
    if (isinstance(given, pl.DataFrame) and given.schema != CELL_SCHEMA) or not isinstance(facts, dict):
        return None
    return Cell(given, facts, str(meta["sha256"]))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _mapped(folder: Path, key: str) -> Cell | None:
    """A large cell, its checksum told from the file piece by piece and its matrices left where they are."""
    meta = parsed_json((folder / META).read_bytes(), META)
    content = _WRITTEN.pop(_seen(folder / FORECASTS), None) or _hashed(folder / FORECASTS)
    facts, found = meta.get("facts"), _told(content, meta.get("facts", {}))
    if meta.get("key") != key or meta.get("sha256") != found or not isinstance(facts, dict):
        raise DamagedError("checksum does not hold", value=f"{key}/{FORECASTS}", fix="delete it and rerun")
    panel = panel_at(folder / FORECASTS)
    given = pl.read_ipc(folder / FORECASTS) if panel is None else None
    if given is not None:
        return Cell(given, facts, str(meta["sha256"])) if given.schema == CELL_SCHEMA else None
    return Cell(partial(_panel_in, folder / FORECASTS), facts, str(meta["sha256"]))


def panel_at(path: Path) -> PanelAnswers | None:
    """The matrices in the file of a cell, mapped; None where it holds rows."""
    with pa.memory_map(str(path)) as source:
        return from_arrow(pa.ipc.open_file(source).read_all())


def _panel_in(path: Path) -> PanelAnswers:
    """The matrices of a large cell; where it is met absent, as others put theirs in its place, it is read once more.

    Raises:
        DamagedError: they are gone.
    """
    try:
        if not path.exists():
            time.sleep(PAUSE)
        panel = panel_at(path)
    except (OSError, pa.ArrowException) as error:
        raise DamagedError("a cell vanished", value=path.parent.name, fix="run the same command again") from error
    if panel is None:
        raise DamagedError("a cell vanished", value=path.parent.name, fix="run the same command again")
    return panel


def write_fit(shelf: Shelf, key: str, text: str) -> None:
    """Store the text of a fit atomically under its key."""
    content = text.encode()
    meta = {"key": key, "sha256": _checksum(content, {})}
    put(shelf, key, {FIT: content, FIT_META: json_bytes(meta)})


def read_fit(shelf: Shelf, key: str) -> str | None:
    """The stored fit, or None when there is none or it is damaged (it is then fitted again)."""
    try:
        content, _ = read_whole(shelf / key, partial(_checked, shelf, FIT, FIT_META, key))
        return content.decode()
    except (DamagedError, OSError, UnicodeDecodeError):
        return None


def stored_checksum(shelf: Shelf, key: str, *, fit: bool = False) -> str | None:
    """Checksum of a stored cell (or fit); None = there is none.

    Raises:
        DamagedError: what is there is not what was written.
    """
    if not (shelf / key).is_dir():
        return None
    names = (FIT, FIT_META) if fit else (FORECASTS, META)
    try:
        return str(read_whole(shelf / key, partial(_checked, shelf, *names, key))[1]["sha256"])
    except OSError as error:
        raise DamagedError("a file is missing", value=error.filename, fix="delete the folder and rerun") from error


def _checksum(content: bytes, facts: object) -> str:
    hasher = hashlib.sha256(content)
    hasher.update(json_bytes(facts))
    return hasher.hexdigest()


REMEMBERED = 1 << 12
_WRITTEN: dict[tuple[int, ...], hashlib._Hash] = {}
"""Hashes of large cells, at most so many, that this process has written and read for them: to be read with the cell."""


def _seen(path: Path) -> tuple[int, ...]:
    """What tells a file from one that was written since."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _hashed(path: Path) -> hashlib._Hash:
    """The hash of what stands in a file, read piece by piece."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256")


def _told(content: hashlib._Hash, facts: object) -> str:
    """The checksum of a cell whose content has a hash."""
    hasher = content.copy()
    hasher.update(json_bytes(facts))
    return hasher.hexdigest()


def _checked(shelf: Shelf, name: str, meta_name: str, key: str) -> tuple[bytes, dict[str, object]]:
    meta = parsed_json(get(shelf, key, meta_name), meta_name)
    content = get(shelf, key, name)
    if meta.get("key") != key or meta.get("sha256") != _checksum(content, meta.get("facts", {})):
        raise DamagedError("checksum does not hold", value=f"{key}/{name}", fix="delete it and rerun")
    return content, meta
