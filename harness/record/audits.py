"""Audits on disk: one folder per run id with a JSON record and its tables, beside the runs they judge."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from harness.core.errors import DamagedError
from harness.record.files import json_bytes, read_json, seal_holds, sealed
from harness.record.folders import read_whole, write_folder
from harness.record.home import Home

RECORD = "audit.json"
FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class AuditRecord:
    """What is kept of the audit of one run.

    Attributes:
        facts: the JSON record: verdict, checks with what they said, prices, when.
        tables: findings and figures by name.
    """

    facts: Mapping[str, object]
    tables: Mapping[str, pl.DataFrame]


def write_audit(home: Home, run_id: str, facts: Mapping[str, object], tables: Mapping[str, pl.DataFrame]) -> Path:
    """Store the audit of a run identity, replacing an earlier one.

    Returns:
        Its folder.
    """
    files: dict[str, bytes] = {}
    for name, frame in tables.items():
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        files[f"{name}.parquet"] = buffer.getvalue()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[RECORD] = json_bytes(sealed({**facts, "format": FORMAT, "run_id": run_id, "files": hashes}))
    write_folder(home.audits / run_id, files)
    return home.audits / run_id


def read_audit(home: Home, run_id: str) -> AuditRecord | None:
    """The audit of a run identity; None when there is none.

    Raises:
        DamagedError: a file is not what was written.
    """
    folder = home.audits / run_id
    return read_whole(folder, partial(_read, folder, run_id))


def _read(folder: Path, run_id: str) -> AuditRecord | None:
    if not (folder / RECORD).exists():
        return None
    facts = read_json(folder / RECORD)
    if seal_holds(facts) is False:
        raise DamagedError(
            "the record of an audit is damaged",
            value=f"{run_id}/{RECORD}",
            rule="its digest does not hold, so it is not used",
            fix="run harness audit again",
        )
    hashes = facts.get("files")
    tables = {}
    for name, promised in hashes.items() if isinstance(hashes, dict) else ():
        try:
            content = (folder / name).read_bytes()
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() != promised:
            raise DamagedError(
                "a table of an audit is damaged",
                value=f"{run_id}/{name}",
                rule="its checksum does not hold, so it is not used",
                fix="run harness audit again",
            )
        tables[name.removesuffix(".parquet")] = pl.read_parquet(io.BytesIO(content))
    return AuditRecord(facts, tables)
