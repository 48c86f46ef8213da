"""Carry values over the days that follow them while nobody works: holidays, weekends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import polars as pl

from harness.core.series import Series
from harness.core.time import end_of_day, micros, period_ordinals
from harness.data.calendars import business_calendar, sessions_between
from harness.data.cleaning.steps import Fill
from harness.data.lags import release_micros

INSTANT = pl.Datetime("us", "UTC")
LONGEST = 31
"""Days over which a value is carried at most."""


def filled(rows: pl.DataFrame, step: Fill, series: Mapping[str, Series], *, dated: bool) -> pl.DataFrame:
    """Rows to add: what each value says of the days right after it that are no business days.

    A carried value is public once the value is and the day is over (where a rule dates values: once the rule says so).
    A day's own value, given by the same instant, goes before; of several carried to one day at one instant, the one of
    the newest period.

    Args:
        rows: line, series_id, period, published (microseconds UTC), value, and what else is carried along.
        step: the calendar of business days.
        series: the series it is for, by stored id.
        dated: whether the file dates its values.

    Returns:
        Rows of the same columns, `line` null.
    """
    parts = [_filled(rows.filter(pl.col("series_id") == name), step, one, dated=dated) for name, one in series.items()]
    return pl.concat([part for part in parts if part.height] or [rows.clear()])


def _filled(mine: pl.DataFrame, step: Fill, series: Series, *, dated: bool) -> pl.DataFrame:
    if not mine.height:
        return mine
    after = {day: _idle_after(day, step, series) for day in mine["period"].unique().to_list()}
    source = [(place, day) for place, at in enumerate(mine["period"].to_list()) for day in after[at]]
    carried = mine[[place for place, _ in source]].with_columns(
        pl.Series("day", [day for _, day in source], dtype=pl.Date), line=pl.lit(None, pl.Int64)
    )
    if not carried.height:
        return mine.clear()
    carried = carried.with_columns(_over(carried, series, dated=dated))
    if not dated:
        carried = carried.filter(pl.col("published") <= pl.col("over"))
    known = carried.with_columns(
        published=pl.max_horizontal("published", "over"), held="published", source="period", period="day"
    )
    known = known.sort("published", "source", "held", maintain_order=True).unique(
        ["period", "published"], keep="last", maintain_order=True
    )
    newest = pl.col("source").cum_max().over("period")
    own = mine.group_by("period").agg(own=pl.col("published").min())
    free = known.filter(pl.col("source") == newest).join(own, on="period", how="left", maintain_order="left")
    free = free.filter(pl.col("own").is_null() | (pl.col("published") < pl.col("own")))
    if dated:
        free = free.with_columns(
            published_at=pl.col("published").cast(INSTANT),
            availability=pl.lit("rule"),
            value_known_at=pl.col("held").cast(INSTANT),
        )
    return free.sort("published", "period").select(mine.columns)


def _over(carried: pl.DataFrame, series: Series, *, dated: bool) -> pl.Series:
    """When each day carried to is over, or public by rule, in microseconds UTC."""
    days = carried["day"]
    if not dated:
        return pl.Series("over", release_micros(series, period_ordinals(series.parsed, days.to_numpy())))
    ends = {day: micros(end_of_day(day, series.zone)) for day in days.unique().to_list()}
    return days.replace_strict(list(ends), list(ends.values()), return_dtype=pl.Int64).alias("over")


def _idle_after(day: date, step: Fill, series: Series) -> list[date]:
    """Days of the series right after one, up to the next business day."""
    calendar = business_calendar(step.calendar)
    following = [day + timedelta(days=ahead) for ahead in range(1, LONGEST + 1)]
    if series.parsed.kind == "B":
        sessions = sessions_between(series, following[0], following[-1]).astype("datetime64[D]")
        following = [one for one in following if np.datetime64(one) in sessions]
    open_days = calendar.is_business_day(np.array(following, dtype="datetime64[D]"))
    first_open = int(np.argmax(open_days)) if open_days.any() else len(following)
    return following[:first_open]
