"""Cells and fits on their shelves: whole or absent under a key, never used when their checksum does not hold."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from harness.core.errors import DamagedError
from harness.core.frames import UTC_INSTANT
from harness.record.files import json_bytes, parsed_json
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
FORECASTS, META = "forecasts.arrow", "cell.json"
FIT, FIT_META = "fit.json", "meta.json"


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """What one recipe answered at one origin.

    Attributes:
        frame: rows of `CELL_SCHEMA`.
        facts: fit key, seed, training rows, warnings (JSON values).
        checksum: SHA-256 of both as stored; "" for a cell that was not read from disk.
    """

    frame: pl.DataFrame
    facts: Mapping[str, object]
    checksum: str = ""


def write_cell(shelf: Shelf, key: str, cell: Cell) -> None:
    """Store a cell atomically under its key."""
    buffer = io.BytesIO()
    cell.frame.select(CELL_SCHEMA.names()).cast(CELL_SCHEMA).write_ipc(buffer, compression="uncompressed")
    content = buffer.getvalue()
    facts = dict(cell.facts)
    meta = {"key": key, "sha256": _checksum(content, facts), "facts": facts}
    put(shelf, key, {FORECASTS: content, META: json_bytes(meta)})


def read_cell(shelf: Shelf, key: str) -> Cell | None:
    """The stored cell, or None when there is none or what is there is damaged (it is then computed again)."""
    try:
        content, meta = _checked(shelf, FORECASTS, META, key)
        frame = pl.read_ipc(io.BytesIO(content))
    except (DamagedError, OSError, pl.exceptions.PolarsError):
        return None
    facts = meta.get("facts")
    if frame.schema != CELL_SCHEMA or not isinstance(facts, dict):
        return None
    return Cell(frame, facts, str(meta["sha256"]))


def write_fit(shelf: Shelf, key: str, text: str) -> None:
    """Store the text of a fit atomically under its key."""
    content = text.encode()
    meta = {"key": key, "sha256": _checksum(content, {})}
    put(shelf, key, {FIT: content, FIT_META: json_bytes(meta)})


def read_fit(shelf: Shelf, key: str) -> str | None:
    """The stored fit, or None when there is none or it is damaged (it is then fitted again)."""
    try:
        content, _ = _checked(shelf, FIT, FIT_META, key)
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
    try:
        return str(_checked(shelf, *((FIT, FIT_META) if fit else (FORECASTS, META)), key)[1]["sha256"])
    except OSError as error:
        raise DamagedError("a file is missing", value=error.filename, fix="delete the folder and rerun") from error


def _checksum(content: bytes, facts: object) -> str:
    return hashlib.sha256(content + json_bytes(facts)).hexdigest()


def _checked(shelf: Shelf, name: str, meta_name: str, key: str) -> tuple[bytes, dict[str, object]]:
    meta = parsed_json(get(shelf, key, meta_name), meta_name)
    content = get(shelf, key, name)
    if meta.get("key") != key or meta.get("sha256") != _checksum(content, meta.get("facts", {})):
        raise DamagedError("checksum does not hold", value=f"{key}/{name}", fix="delete it and rerun")
    return content, meta
