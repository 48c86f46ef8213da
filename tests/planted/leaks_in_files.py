"""Leaks in the reading of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import polars as pl

import harness.data.observations as observations_room
import harness.data.stamps as stamps_room
from harness.core.time import end_of_day
from harness.data.lags import estimate_lag
from harness.data.observations import Observations
from harness.data.stamps import Read
from tests.planted.leaks import Patch, Plant, around, everywhere


def without_time_of_day(patch: Patch) -> None:
    def leak(honest: Any, *args: Any, **more: Any) -> Read:
        found: Read = honest(*args, **more)
        if found.stamps.dtype == pl.Date:
            return found
        days = found.stamps.dt.convert_time_zone("America/New_York").dt.truncate("1d")
        return found._replace(stamps=days.dt.convert_time_zone("UTC"))

    around(patch, observations_room, "read_stamps", leak)


def ends_in_utc(room: Any) -> Plant:
    return lambda patch: patch.setattr(room, "end_of_day", lambda day, _: end_of_day(day, "UTC"))


def observed(patch: Patch, leak: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    def around_it(honest: Any, dataset: Any, source: Any, *args: Any, **more: Any) -> Observations:
        found = honest(dataset, source, *args, **more)
        return replace(found, rows=leak(found.rows)) if source.dated_by else found

    honest = observations_room.observe
    everywhere(patch, honest, partial(around_it, honest))


def lag_of_all_rows(patch: Patch) -> None:
    """Values are dated by a late quantile of all lags of the file, those to come included."""

    def leak(rows: pl.DataFrame) -> pl.DataFrame:
        newest = rows.filter(pl.col("published_at") == pl.col("published_at").max().over("series_id", "period"))
        first = rows.group_by("series_id", "period").agg(pl.col("published_at").min())
        days = first.select((pl.col("published_at").dt.date() - pl.col("period")).dt.total_days())
        late = estimate_lag(days.to_series().to_numpy(), 0.9)
        at = pl.col("period").cast(pl.Datetime("us", "UTC")) + pl.duration(days=int(late) + 1)
        return newest.with_columns(published_at=at, value_known_at=at)

    observed(patch, leak)


def clipped_at_all_rows(patch: Patch) -> None:
    """Outliers are cut at quantiles of the whole file."""

    def leak(rows: pl.DataFrame) -> pl.DataFrame:
        low, high = rows["value"].quantile(0.1), rows["value"].quantile(0.9)
        return rows.with_columns(pl.col("value").clip(low, high))

    observed(patch, leak)


def period_before(patch: Patch) -> None:
    """A month is filed under the month before, which the lag rule then dates."""
    honest = stamps_room.period_of

    def leaky(value: object, frequency: Any, *args: Any, **more: Any) -> date:
        day = honest(value, frequency, *args, **more)
        return date(day.year, day.month, 1) - timedelta(days=1) if frequency.kind == "M" else day

    everywhere(patch, honest, leaky)


def issues_begin_with_their_day(patch: Patch) -> None:
    import harness.data.issued as issued_room

    def leak(honest: Any, stamps: pl.Series, zone: str) -> pl.Series:
        return honest(stamps, zone) - timedelta(days=1)

    around(patch, issued_room, "as_instants", leak)
