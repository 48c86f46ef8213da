"""Small archives and frames for the tests of the archive."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from harness.core.series import Series
from harness.data.archive import Archive
from harness.data.changes import ChangeFile

JAN, FEB, MAR, APR, MAY, JUN = (date(2020, month, day) for month, day in enumerate((31, 29, 31, 30, 31, 30), start=1))


def at(month: int, day: int, hour: int = 0, *, year: int = 2020) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def opened(folder: Path, *series: Series) -> Archive:
    archive = Archive.open(folder / "archive.duckdb")
    archive.define(*(series or (Series("cpi", "M"),)))
    return archive


def rows(*given: tuple[date, datetime | date, float | None], series: str = "cpi") -> pl.DataFrame:
    """Rows (period, published_at, value)."""
    return pl.DataFrame(
        {
            "series_id": [series] * len(given),
            "period": [row[0] for row in given],
            "published_at": [row[1] for row in given],
            "value": pl.Series([row[2] for row in given], dtype=pl.Float64),
        }
    )


def listing(*given: tuple[datetime, date, date, bool], series: str = "cpi") -> pl.DataFrame:
    """Publications (published_at, first, last, captured)."""
    return pl.DataFrame(
        {
            "series_id": [series] * len(given),
            "published_at": [row[0] for row in given],
            "first": [row[1] for row in given],
            "last": [row[2] for row in given],
            "captured": [row[3] for row in given],
        }
    )


def exported(archive: Archive) -> ChangeFile:
    return ChangeFile.open(archive.export(archive.path.parent / "changes"))


def values(archive: Archive, when: datetime, series: str = "cpi") -> dict[date, float]:
    """What is known of one series at an instant, by period."""
    frame = archive.as_of(when, [series]).frame()
    return dict(zip(frame["period"].to_list(), frame["value"].to_list(), strict=True))
