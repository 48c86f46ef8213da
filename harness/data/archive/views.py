"""The archive's tables as a reader wants them: stored ids, days and instants instead of codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import duckdb
import polars as pl

from harness.core.frames import UTC_INSTANT
from harness.core.series import AVAILABILITIES
from harness.core.time import period_ends
from harness.data.archive.books import catalogue_of
from harness.data.archive.provenance import table_names
from harness.data.archive.store import query
from harness.data.declaration import Catalogue

INSTANTS = {
    "published": "published_at", "vintage": "value_known_at", "issued": "issued_at", "cutoff": "data_cutoff",
    "known_through": "known_through", "ingested": "ingested_at", "announced": "announced_at",
    "cut": "sealed_from",
}  # fmt: skip
"""Columns of microseconds UTC, and what they are called as instants."""
DAYS = {"ex": "ex_date"}
"""Columns of epoch days."""
HIDDEN = ("meta", "known", "series")
"""Tables that are no views of their own: `series` says how far each is known."""


def archive_views(connection: duckdb.DuckDBPyConnection) -> Mapping[str, Callable[[], pl.DataFrame]]:
    """Every table of an open archive by name, read when it is called."""
    catalogue = catalogue_of(connection)

    def reader(name: str) -> Callable[[], pl.DataFrame]:
        return lambda: readable(query(connection, f"SELECT * FROM {name}"), name, catalogue)  # noqa: S608 - its own name

    views = {name: reader(name) for name in sorted(table_names(connection) - set(HIDDEN))}
    return {"series": lambda: _series(connection, catalogue), **views}


def _series(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> pl.DataFrame:
    frame = query(connection, "SELECT s.*, k.known_through FROM series s LEFT JOIN known k USING (code) ORDER BY code")
    lags = [series.lag for series in catalogue.series.values()]
    told = [(one.source, one.description) for one in catalogue.series.values()]
    return frame.select(
        pl.col("id").alias("series_id"),
        pl.exclude("code", "id", "spec", "known_through"),
        pl.Series("lag", [None if lag is None else lag.kind for lag in lags], dtype=pl.String),
        pl.Series("source", [source for source, _ in told], dtype=pl.String),
        pl.Series("description", [text for _, text in told], dtype=pl.String),
        pl.col("known_through").cast(UTC_INSTANT),
    )


def readable(frame: pl.DataFrame, name: str, catalogue: Catalogue) -> pl.DataFrame:
    """A table with codes, ordinals and microseconds replaced by ids, days and instants.

    Args:
        frame: the table as stored.
        name: which table it is.
        catalogue: the declared series.
    """
    if "code" in frame.columns:
        frame = _with_days(frame, name, catalogue)
        ids = {code: one.id for code, one in catalogue.series.items()}
        stored = pl.col("code").replace_strict(ids, default=None, return_dtype=pl.String).alias("series_id")
        frame = frame.select(stored, pl.exclude("code"))
    if "availability" in frame.columns and frame["availability"].dtype.is_integer():
        kinds = dict(enumerate(AVAILABILITIES))
        frame = frame.with_columns(pl.col("availability").replace_strict(kinds, default=None, return_dtype=pl.String))
    named: dict[str, str] = {}
    for kind, names in ((UTC_INSTANT, INSTANTS), (pl.Date(), DAYS)):
        mine = {old: new for old, new in names.items() if old in frame.columns and frame[old].dtype.is_integer()}
        frame = frame.with_columns(pl.col(old).cast(kind) for old in mine)
        named |= mine
    return frame.rename(named)


def _with_days(frame: pl.DataFrame, name: str, catalogue: Catalogue) -> pl.DataFrame:
    """Ordinals as last days of their periods; memberships hold days already."""
    if name == "members":
        return frame.with_columns(pl.col("first", "last").cast(pl.Date))
    columns = [column for column in ("period", "first", "last") if column in frame.columns]
    columns = [column for column in columns if frame[column].dtype.is_integer()]
    if not columns:
        return frame
    parts = [
        part.with_columns(
            pl.Series(
                column,
                period_ends(catalogue.series[int(part["code"][0])].parsed, part[column].cast(pl.Int64).to_numpy()),
            ).cast(pl.Date)
            for column in columns
        )
        for part in frame.partition_by("code", maintain_order=True)
    ]
    return pl.concat(parts) if parts else frame.with_columns(pl.col(*columns).cast(pl.Date))
