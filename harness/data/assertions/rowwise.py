"""Checks of a row by itself, or of rows with one key: schema, bounds, uniqueness, stamps, sessions (by dataframely)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import dataframely as dy
import numpy as np
import polars as pl

from harness.data.assertions.judged import KEY, Asked, Judged, judged, nobody_can_tell
from harness.data.assertions.rules import Published, Range, Schema, Sessions, Unique
from harness.data.calendars import business_calendar
from harness.data.declared import TextForm
from harness.data.stamps import moment_of
from harness.data.tables import RawTable

PLACE = "_place"
DAMAGE = "\ufffd|Ã[\u0080-\u00bf]|Â[\u0080-\u00bf]|â€|[\u0000-\u0008]"
"""Text that was read in another encoding than it was written in."""


def broken(frame: pl.DataFrame, columns: Mapping[str, Any], rules: Mapping[str, pl.Expr]) -> dict[int, str]:
    """Places of the rows that break a rule, with all rules each breaks.

    Args:
        frame: has at least `columns`.
        columns: dataframely columns by name.
        rules: what must hold, by what is said where it does not; null = holds.
    """
    names = {f"rule{number}": said for number, said in enumerate(rules)}
    made = {name: dy.rule()(_always(rules[said])) for name, said in names.items()}
    schema: Any = type("Rows", (dy.Schema,), {PLACE: dy.Int64(), **columns, **made})
    numbered = frame.select(pl.int_range(pl.len(), dtype=pl.Int64).alias(PLACE), *columns)
    _, failure = schema.filter(numbered)
    found = failure.details()
    given = [name for name in found.columns if name not in numbered.columns]
    said = {name: names.get(name, name.replace("|", " breaks ")) for name in given}
    return {
        int(row[PLACE]): "; ".join(said[name] for name in given if row[name] == "invalid")
        for row in found.iter_rows(named=True)
    }


def _always(expression: pl.Expr) -> Callable[[Any], pl.Expr]:
    def rule(_: Any) -> pl.Expr:
        return expression

    return rule


def in_range(check: Range, rows: pl.DataFrame, asked: pl.Series, about: Asked) -> Judged:
    """Values inside bounds; a withdrawal has none to ask of."""
    asked = asked & rows["value"].is_not_null()
    found = broken(rows, {"value": dy.Float64(nullable=True, min=check.least, max=check.most)}, {})
    said = {
        row: why.replace("value breaks min", f"below {check.least}").replace("value breaks max", f"above {check.most}")
        for row, why in found.items()
    }
    return judged(rows.height, asked, said)


def unique(check: Unique, rows: pl.DataFrame, asked: pl.Series, about: Asked) -> Judged:
    """One row per key: of equal values the first one stands, of different ones none."""
    values = pl.col("value").n_unique().over(KEY)
    again = pl.int_range(pl.len()).over(KEY) > 0
    rules = {"another value is given for the same series, period and publication": values == 1}
    if not check.repeats:
        rules["the same row is given again"] = ~again | (values > 1)
    columns = {
        "series_id": dy.String(), "period": dy.Date(), "published": dy.Int64(), "value": dy.Float64(nullable=True),
    }  # fmt: skip
    return judged(rows.height, asked, broken(rows, columns, rules))


def published(check: Published, rows: pl.DataFrame, asked: pl.Series, about: Asked) -> Judged:
    """Stamps not before the period's end, not in the future, and at the time of day publications come."""
    if not about.dated:
        return nobody_can_tell(rows.height, asked)
    stamp = pl.col("published").cast(pl.Datetime("us", "UTC"))
    late = {"published later than now": pl.col("published") <= about.now}
    failing: dict[int, str] = {}
    for name, series in about.series.items():
        local = stamp.dt.convert_time_zone(series.zone)
        # the midnight that ends a day belongs to it
        day = (local - pl.duration(microseconds=1)).dt.date()
        rules = dict(late)
        if check.earliest is not None:
            said = f"published before the end of its period{_days(check.earliest)}"
            rules[said] = day >= pl.col("period") + pl.duration(days=check.earliest)
        if check.opens is not None:
            rules[f"published before {check.opens} in {series.zone}"] = local.dt.time() >= check.opens
        if check.closes is not None:
            rules[f"published after {check.closes} in {series.zone}"] = local.dt.time() <= check.closes
        places = (rows["series_id"] == name).arg_true()
        found = broken(rows[places], {"period": dy.Date(), "published": dy.Int64()}, rules)
        failing |= {int(places[row]): why for row, why in found.items()}
    return judged(rows.height, asked, failing)


def _days(earliest: int) -> str:
    return "" if not earliest else f" and {earliest} day(s)"


def sessions(check: Sessions, rows: pl.DataFrame, asked: pl.Series, about: Asked) -> Judged:
    """Periods on business days of a calendar."""
    days = rows["period"].to_numpy().astype("datetime64[D]")
    closed = np.flatnonzero(~business_calendar(check.calendar).is_business_day(days))
    said = f"no business day of {check.calendar or 'Monday to Friday'}"
    return judged(rows.height, asked, dict.fromkeys(closed.tolist(), said))


def schema(check: Schema, table: RawTable, text: TextForm) -> tuple[Judged, tuple[str, ...]]:
    """Columns of a file and what is in them; and the columns that are not there."""
    missing = tuple(name for name, _ in check.columns if name not in table.frame.columns)
    rules: dict[str, pl.Expr] = {}
    frame = table.frame.select(pl.col(name).cast(pl.String) for name, _ in check.columns if name not in missing)
    for name, kind in check.columns:
        if name in missing:
            continue
        if not check.nullable:
            rules[f"{name}: empty"] = pl.col(name).is_not_null()
        rules[f"{name}: {_NOT[kind]}"] = _typed(name, kind, frame[name], text)
    columns = {name: dy.String(nullable=True) for name in frame.columns}
    failing = broken(frame, columns, rules) if columns else {}
    asked = pl.repeat(value=bool(columns), n=table.frame.height, dtype=pl.Boolean, eager=True)
    return judged(table.frame.height, asked, failing), missing


_NOT = {"number": "not a finite number", "date": "not a date", "text": "text damaged by a wrong encoding"}


def _typed(name: str, kind: str, column: pl.Series, text: TextForm) -> pl.Expr:
    if kind == "text":
        return ~pl.col(name).str.contains(DAMAGE)
    if kind == "number":
        number = pl.col(name).str.replace(",", ".", literal=True) if text.decimal_mark == "," else pl.col(name)
        value = number.cast(pl.Float64, strict=False)
        return pl.col(name).is_null() | value.is_finite().fill_null(value=False)
    readable = [value for value in column.drop_nulls().unique().to_list() if _date(value, text.date_format)]
    return pl.col(name).is_null() | pl.col(name).is_in(readable)


def _date(value: str, date_format: str) -> date | datetime | None:
    try:
        return moment_of(value, date_format)
    except ValueError:
        return None
