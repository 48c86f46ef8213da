"""Checks of the order in which periods come out: monotone, gaps, staleness, values that stick."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.errors import UserError
from harness.core.series import Series
from harness.core.time import MICROS_PER_DAY, instant, period_ends, period_ordinals
from harness.data.assertions.judged import Asked, Judged, flags, judged, nobody_can_tell
from harness.data.assertions.rules import Gap, Monotone, Stale, Stuck
from harness.data.calendars import sessions_between
from harness.data.lags import release_micros


def firsts(rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """First publications of one series' periods, in order: place, period, published, value."""
    mine = rows.with_row_index("place").filter((pl.col("series_id") == name) & pl.col("value").is_not_null())
    ordered = mine.sort("published", "period", "place").unique("period", keep="first", maintain_order=True)
    return ordered.select(pl.col("place").cast(pl.Int64), "period", "published", "value")


def monotone(check: Monotone, rows: pl.DataFrame, asked: pl.Series, about: Asked) -> Judged:
    """No period comes out for the first time after a later one did."""
    if not about.dated:
        return nobody_can_tell(rows.height, asked)
    failing: dict[int, str] = {}
    spoken: list[int] = []
    for name in about.series:
        mine = firsts(rows, name)
        newest = mine.group_by("published").agg(pl.col("period").max()).sort("published")
        before = newest.with_columns(pl.col("period").cum_max().shift(1).alias("before")).drop("period")
        late = mine.join(before, on="published", how="left").filter(pl.col("period") < pl.col("before"))
        spoken += mine["place"].to_list()
        for place, after in late.select("place", "before").rows():
            failing[place] = f"first published after the later period {after}"
    return judged(rows.height, asked & flags(rows.height, spoken), failing)


def gap(check: Gap, rows: pl.DataFrame, asked: pl.Series, about: Asked) -> Judged:
    """Periods left out between the newest one known and the next new one; of the very first nobody can tell."""
    failing: dict[int, str] = {}
    spoken: list[int] = []
    opening: list[int] = []
    for name, series in about.series.items():
        mine = _frontier(firsts(rows, name))
        if not mine.height:
            continue
        places = mine["place"].to_list()
        spoken += places
        opening.append(places[0])
        left_out = np.diff(_positions(mine["period"], series)) - 1
        for row in np.flatnonzero(left_out > check.most).tolist():
            failing[places[row + 1]] = f"{left_out[row]} period(s) left out before it, after {mine['period'][row]}"
    return judged(rows.height, asked & flags(rows.height, spoken), failing, flags(rows.height, opening))


def stale(check: Stale, rows: pl.DataFrame, asked: pl.Series, about: Asked) -> Judged:
    """First publications against the lag rule, and the one still to come against how far the source is known.

    What the first vintage holds was public before, nobody can tell when. The one still to come is judged at the newest
    publication of the source, of whichever series; at the ingest where the check says so; never past a seal's cut. Its
    failure is that of the series' newest row.
    """
    if not about.dated or not rows.height:
        return nobody_can_tell(rows.height, asked)
    failing: dict[int, str] = {}
    spoken: list[int] = []
    unclear: list[int] = []
    known = max(_newest(rows, about.now), about.now if check.today else 0)
    for name, series in about.series.items():
        mine = firsts(rows, name)
        spoken += mine["place"].to_list()
        opening = mine["published"] == mine["published"].min()
        unclear += mine["place"].filter(opening if series.lag is not None else opening | True).to_list()
        if series.lag is None or not mine.height:
            continue
        later = mine.filter(~opening)
        if later.height:
            days = later["period"].to_numpy().astype("datetime64[D]")
            expected = release_micros(series, period_ordinals(series.parsed, days))
            over = (later["published"].to_numpy() - expected) / MICROS_PER_DAY
            for row in np.flatnonzero(over > check.days).tolist():
                failing[int(later["place"][row])] = f"{over[row]:.1f} day(s) later than its lag rule expects"
        newest, said = _overdue(check, mine, series, min(known, about.cuts.get(name, known)))
        if said and about.taken:  # no row is set aside for what did not follow it
            place = newest if newest >= about.held else _last_place(rows, name)
            spoken.append(place)
            failing[place] = "; ".join(part for part in (failing.get(place, ""), said) if part)
    return judged(rows.height, asked & flags(rows.height, spoken), failing, flags(rows.height, unclear))


def _newest(rows: pl.DataFrame, now: int) -> int:
    """The newest publication that is not in the future, microseconds UTC."""
    there = rows["published"].filter(rows["published"] <= now)
    return int(there.max() or 0)  # type: ignore[arg-type]


def _overdue(check: Stale, mine: pl.DataFrame, series: Series, known: int) -> tuple[int, str]:
    """Place of a series' newest period, and what is wrong with none having followed it by an instant."""
    newest = mine.sort("period", maintain_order=True).row(-1, named=True)
    following = _following(series, newest["period"])
    if following is None:
        return int(newest["place"]), ""
    try:
        expected = int(release_micros(series, period_ordinals(series.parsed, following))[0])
    except UserError:  # a release calendar that ends before it
        return int(newest["place"]), ""
    over = (known - expected) / MICROS_PER_DAY
    said = f"nothing after it by {instant(known).date()}: {following[0]} is {over:.1f} day(s) overdue by its lag rule"
    return int(newest["place"]), said if over > check.days else ""


def _following(series: Series, newest: date) -> NDArray[np.datetime64] | None:
    """The last day of the period after one, as `datetime64[D]` of length one; None = nobody knows of one."""
    if series.parsed.kind == "B":
        sessions = sessions_between(series, newest + timedelta(days=1), newest + timedelta(days=31))
        return sessions[:1].astype("datetime64[D]") if len(sessions) else None
    after = period_ordinals(series.parsed, np.array([newest], dtype="datetime64[D]")) + 1
    if series.parsed.kind == "T" and after[0] >= len(series.parsed.table):
        return None
    return period_ends(series.parsed, after)


def _last_place(rows: pl.DataFrame, name: str) -> int:
    return int((rows["series_id"] == name).arg_true()[-1])


def stuck(check: Stuck, rows: pl.DataFrame, asked: pl.Series, about: Asked) -> Judged:
    """Runs of new periods with the very same first value."""
    failing: dict[int, str] = {}
    spoken: list[int] = []
    for name in about.series:
        run, last = 0, None
        for place, _, _, value in _frontier(firsts(rows, name)).rows():
            run, last = (run + 1 if value == last else 1), value
            spoken.append(place)
            if run > check.most:
                failing[place] = f"{value!r} for the {run}th period in a row"
    return judged(rows.height, asked & flags(rows.height, spoken), failing)


def _frontier(mine: pl.DataFrame) -> pl.DataFrame:
    """First publications of periods later than all published before."""
    return mine.filter(pl.col("period") > pl.col("period").cum_max().shift(1).fill_null(pl.date(1, 1, 1)))


def _positions(periods: pl.Series, series: Series) -> NDArray[np.int64]:
    """Places of periods in the series' own order: calendar units, or sessions."""
    days = periods.to_numpy().astype("datetime64[D]")
    if series.parsed.kind != "B":
        return period_ordinals(series.parsed, days).astype(np.int64)
    sessions = sessions_between(series, periods.min(), periods.max())  # type: ignore[arg-type]
    return np.searchsorted(sessions, days.astype(np.int64)).astype(np.int64)
