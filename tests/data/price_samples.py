"""Daily prices of made companies, their events, and memberships, for the tests of prices and universes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from harness.core.series import LagRule, Series
from harness.data.archive import Archive

START = date(2020, 1, 1)
CLOSE_SCHEMA = {
    "series_id": pl.String, "period": pl.Date, "published_at": pl.Datetime("us", "UTC"), "value": pl.Float64,
}  # fmt: skip
EVENT_SCHEMA = {
    "series_id": pl.String, "kind": pl.String, "ex_date": pl.Date, "value": pl.Float64,
    "announced_at": pl.Datetime("us", "UTC"),
}  # fmt: skip
MEMBER_SCHEMA = {
    "universe": pl.String, "series_id": pl.String, "from": pl.Date, "to": pl.Date,
    "announced_at": pl.Datetime("us", "UTC"),
}  # fmt: skip


def day(number: int) -> date:
    """The number-th day, from 0."""
    return START + timedelta(days=number)


def night(number: int) -> datetime:
    """The end of the number-th day."""
    return datetime.combine(day(number + 1), datetime.min.time(), UTC)


def stock(name: str) -> Series:
    """A price of every calendar day, known at the end of its day."""
    return Series(name, "D", lag=LagRule("calendar_days", n=0))


def closes(prices: Mapping[str, Sequence[float | None]], *, first: int = 0) -> pl.DataFrame:
    """Raw closes from a day on; None = no quote."""
    return pl.DataFrame(
        [
            (name, day(first + number), night(first + number), value)
            for name, mine in prices.items()
            for number, value in enumerate(mine)
            if value is not None
        ],
        schema=CLOSE_SCHEMA,
        orient="row",
    )  # fmt: skip


def events(*rows: tuple[str, str, int, float | None, int]) -> pl.DataFrame:
    """Events (series, kind, number of the ex-day, value, number of the day at whose end it is announced)."""
    return pl.DataFrame(
        [(name, kind, day(ex), value, night(announced)) for name, kind, ex, value, announced in rows],
        schema=EVENT_SCHEMA,
        orient="row",
    )


def members(*rows: tuple[str, int, int | None, int], universe: str = "big") -> pl.DataFrame:
    """Memberships (series, number of the first day, of the last day, of the day of announcement)."""
    return pl.DataFrame(
        [
            (universe, name, day(first), None if last is None else day(last), night(announced))
            for name, first, last, announced in rows
        ],
        schema=MEMBER_SCHEMA,
        orient="row",
    )


def market(
    folder: Path,
    prices: Mapping[str, Sequence[float | None]],
    *,
    known_through: int | None = None,
) -> Archive:
    """An archive of these closes."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = Archive.open(folder / "archive.duckdb")
    archive.define(*(stock(name) for name in prices))
    through = None if known_through is None else night(known_through)
    archive.append(closes(prices), source="exchange", known_through=through)
    return archive
