"""A log that a stopped process left belongs to the file it was written for, and to no other."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from harness.core.series import Series
from harness.data.archive import Archive

KILLED = """
import os, sys
import duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("SET checkpoint_threshold = '1GB'")
connection.execute("UPDATE batches SET source = 'logged'")
os._exit(9)
"""


def test_a_log_is_emptied_before_its_archive_is_replaced(tmp_path: Path) -> None:
    archive = Archive.open(tmp_path / "archive.duckdb")
    archive.define(Series("cpi", "Q", zone="UTC"))
    row = {
        "series_id": "cpi",
        "period": date(2010, 3, 31),
        "value": 7.5,
        "published_at": datetime(2010, 5, 1, tzinfo=UTC),
    }
    archive.append(pl.DataFrame([row]), source="first")
    log = archive.path.with_name("archive.duckdb.wal")
    done = subprocess.run([sys.executable, "-c", KILLED, str(archive.path)], check=False)
    assert (done.returncode, log.exists()) == (9, True)
    other = Archive.open(tmp_path / "other.duckdb")
    archive.store.replace(other.path)
    assert not log.exists()
    assert Archive.open(archive.path).batches().height == 0  # the other file, and readable
