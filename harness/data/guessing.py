"""Guess what a stranger's table holds: its columns' meanings, its frequency, how its periods are stamped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from harness.core.errors import DataError
from harness.core.series import Series
from harness.core.time import MONTHS, WEEKDAYS, parse_frequency
from harness.data.calendars import sessions_between
from harness.data.declared import Layout, Stamp, TextForm
from harness.data.stamps import moment_of, period_of
from harness.data.tables import RawTable, read_file

PUBLISHED = ("published_at", "publication_date", "published", "release_date", "released_at", "release", "announced")
VINTAGE = ("vintage_date", "vintage", "realtime_start", "real_time_start", "as_of", "asof", "edition")
PERIOD = (
    "period", "reference_period", "ref_period", "date", "observation_date", "ds", "time", "month", "quarter", "year",
    "week", "day", "timestamp",
)  # fmt: skip
SERIES = ("series", "series_id", "variable", "ticker", "symbol", "indicator", "unique_id", "code", "id", "name")
VALUE = ("value", "values", "obs_value", "val", "y")
DATE_FORMATS = ("", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d", "%b %Y", "%b-%y", "%m/%Y")
CALENDARS = ("XNYS", "XLON", "XETR", "XTKS")
DELIMITERS = (",", ";", "\t", "|")
SAMPLE = 5000
"""Rows looked at to tell a column's kind; the frequency is checked on every period."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a table seems to hold.

    Attributes:
        layout: `long` or `wide`.
        period: its period column.
        dated_by: (meaning, column): (`published_at` or `vintage_date`, name); ("", "") = no such column.
        series: its series column (long, several series), else "".
        value: its value column (long), else "".
        names: series names in the file, in order.
        frequency, calendar, stamp: of its periods.
        text: how a CSV file is written.
        periods: distinct period ends, ascending.
        trending: names whose values are positive and moved by more than a third between the ends of the sample.
        positive: names whose values are all positive.
    """

    layout: Layout
    period: str
    dated_by: tuple[str, str]
    series: str
    value: str
    names: tuple[str, ...]
    frequency: str
    calendar: str
    stamp: Stamp
    text: TextForm
    periods: tuple[date, ...]
    trending: frozenset[str]
    positive: frozenset[str]


def guess(path: Path) -> Guess:
    """Look at a CSV or Parquet file.

    Raises:
        DataError: it cannot be read, has no column of dates or of numbers, or its dates follow no known frequency.
    """
    text = guess_text_form(path)
    table = read_file(path, text)
    dates = {name: found for name in table.frame.columns if (found := _date_format(table.frame[name])) is not None}
    dated_by = _dated_by(list(dates))
    period = _pick(PERIOD, [name for name in dates if name != dated_by[1]])
    if not period:
        raise DataError(
            "no column of dates found",
            value=f"{path.name}: {', '.join(table.frame.columns)}",
            rule="one column names the period of each row, as a date or like 2010Q1, 2010-03, 2010",
            fix="add such a column",
        )
    others = [name for name in table.frame.columns if name not in (period, dated_by[1])]
    numeric = [name for name in others if _is_numeric(table.frame[name], text.decimal_mark)]
    texts = [name for name in others if name not in numeric and name not in dates]
    if not numeric:
        raise DataError("no column of numbers found", value=path.name, fix='declare the decimal mark or correct the file')
    series, value = _long_columns(table, texts, numeric)
    text = TextForm(text.encoding, text.delimiter, text.decimal_mark, dates[period])
    names = tuple(table.frame[series].drop_nulls().unique(maintain_order=True).cast(pl.String)) if series else ()
    layout: Layout = "long" if value else "wide"
    named = names or ((value,) if value else tuple(numeric))
    frequency, calendar, stamp, periods = _frequency(table, period, text.date_format)
    values = {name: _values(table, name, series, value, text.decimal_mark) for name in named}
    positive = frozenset(name for name, numbers in values.items() if len(numbers) and numbers.min() > 0)
    return Guess(
        layout, period, dated_by, series, value, named, frequency, calendar, stamp, text, periods,
        frozenset(name for name in positive if _trends(values[name])), positive,
    )  # fmt: skip
