"""A dataset with something in every table of the archive, as it was and as it has grown, and what a home holds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb

from harness.data.archive import Archive
from harness.data.ingest import IngestReport, ingest
from harness.record.home import Home
from tests.data.dirt import MONTHS, clean, month_end, stamp, text

DECLARED = """
schema = 1
name = "mine"
origin = "made"
licence = "none needed"

[defaults]
frequency = "M"
zone = "Europe/London"
lag = { kind = "calendar_days", n = 60 }

[series.a]
[series.b]
[series.c]
[series.p]
frequency = "D"
zone = "America/New_York"
lag = { kind = "calendar_days", n = 1 }

[[source]]
file = "values.csv"
series = ["a", "b", "c"]
zone = "Europe/London"
columns = { published_at = "released" }
[[source.clean]]
kind = "deidentify"
columns = ["note"]
key_env = "MADE_NAMES_KEY"
[[source.clean]]
kind = "scale"
series = ["b"]
factor = 2.0
[[source.clean]]
kind = "outliers"
series = ["c"]
k = 2.0
[[source.assert]]
kind = "revision"
k = 1.1
severity = "set aside"
[[source.assert]]
kind = "range"
most = 100.0
severity = "warn"

[[source]]
file = "prices.csv"
series = ["p"]

[forecasts]
file = "forecasts.csv"
[forecasts.issuers.bank]
series = ["a"]
[[forecasts.assert]]
kind = "range"
most = 104.5
severity = "set aside"

[[events]]
file = "events.csv"
[[events.assert]]
kind = "unique"
severity = "refuse"

[[members]]
file = "members.csv"
[[members.assert]]
kind = "monotone"
severity = "warn"
"""


def write_dataset(folder: Path, months: int = MONTHS, *, days: int = 0) -> Path:
    """The dataset with values of so many months, and prices of so many days (0 = twice as many)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.toml").write_text(DECLARED)
    rows = [row for row in clean() if row.released <= stamp(months - 1)]
    (folder / "values.csv").write_text(text(rows))
    prices = [f"{date(1920, 1, 1) + timedelta(days=day)},{100 + day % 7}\n" for day in range(days or 2 * months)]
    (folder / "prices.csv").write_text("period,value\n" + "".join(prices))
    issued = "".join(
        f"bank,a,{month_end(month)},{month_end(month + 2)},{100 + month % 6}\n" for month in range(months - 2)
    )
    (folder / "forecasts.csv").write_text("source,series,issued_at,period,value\n" + issued)
    splits = "".join(f"p,dividend,{2000 + month}-03-01,0.5,{2000 + month}-02-01\n" for month in range(months // 10))
    (folder / "events.csv").write_text("series,kind,ex_date,value,announced_at\n" + splits)
    members = "".join(
        f"all,p,{2000 + month}-03-01,{2000 + month}-12-31,{2000 + month}-02-01\n" for month in range(months // 10)
    )
    (folder / "members.csv").write_text("universe,series,from,to,announced_at\n" + members)
    return folder


def taken_in(folder: Path, home: Home) -> IngestReport:
    """Ingest and export, as a backtest of a new home does."""
    os.environ["MADE_NAMES_KEY"] = "a key for names that are made"
    archive = Archive.open(home.archive)
    report = ingest(folder, archive, raw_dir=home.raw)
    archive.export(home.changes)
    return report


def content(home: Home) -> dict[str, object]:
    """All an archive holds, table by table, but for the clock time of its batches."""
    if not home.archive.exists():
        return {}
    archive = Archive.open(home.archive)
    if not archive.series():
        return {}
    with duckdb.connect(str(home.archive), read_only=True) as connection:
        names = sorted(name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall())
        columns = {name: "* EXCLUDE (ingested)" if name == "batches" else "*" for name in names}
        held: dict[str, object] = {
            name: connection.execute(f"SELECT {columns[name]} FROM {name} ORDER BY ALL").fetchall() for name in names
        }
    return {**held, "state": archive.state()}


def whole_files(folder: Path) -> Iterator[Path]:
    """Files of a folder of content by hash, each of which is what its name promises."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not path.name.startswith(".tmp-"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name.partition(".")[0]
            yield path
