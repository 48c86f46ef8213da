"""Guess what a stranger's table holds: its columns' meanings, its frequency, how its periods are stamped."""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import polars as pl

from harness.core.errors import FEW, DataError, listed
from harness.data.csv_text import is_note, opened
from harness.data.declared import Layout, TextForm
from harness.data.sampled import sample
from harness.data.tables import RawTable, ending, is_large, is_parquet, numbers, read_file
from harness.data.timing import (
    MOSTLY,
    PERIOD,
    Timing,
    date_formats,
    guess_timing,
    plain_day,
    reaching,
    refuse_no_day,
)

PUBLISHED = ("published_at", "publication_date", "published", "release_date", "released_at", "release", "announced")
VINTAGE = ("vintage_date", "vintage", "realtime_start", "real_time_start", "as_of", "asof", "edition")
DATING = frozenset({*PUBLISHED, *VINTAGE})
SERIES = ("series", "series_id", "variable", "ticker", "symbol", "indicator", "unique_id", "code", "id", "name")
VALUE = ("value", "values", "obs_value", "val", "y")
DELIMITERS = (",", ";", "\t", "|")
EITHER = ("%d/%m/%Y", "%m/%d/%Y")
"""Forms that days up to the twelfth leave open: the first is taken."""
NO_VALUE = frozenset({"na", "n/a", "#n/a", "n.a.", "nan", "null", "none", ".", "-", ".."})
"""Texts taken for "no value" among numbers, in small letters."""
SAMPLE = 5000
"""Rows looked at to tell a column of dates; the frequency is checked on every period."""
ENOUGH = 30
"""Distinct periods that tell a frequency."""
THERE = "give the path of a file that is there"
TREND = 4 / 3
DATED = re.compile(r"(?<!\d)(19|20)\d{2}[-_./ ]?([01]\d|Q[1-4]|q[1-4]|[mM]\d{1,2})([-_./ ]?[0-3]\d)?(?!\d)")
"""A date, month or quarter inside a column's name."""
ZONE = re.compile(r"[A-Z][A-Za-z]+(/[A-Za-z_+-]+)+")
"""A zone with rules of its own, like Europe/London: UTC and bare offsets tell nothing of where days end."""
MATRIX = 3
"""So many columns named by dates are no series."""


@dataclass(frozen=True, slots=True)
class Levels:
    """How a series' values lie: all above zero; moved by more than a third between its first and last third."""

    positive: bool
    trending: bool


@dataclass(frozen=True, slots=True)
class Guess:
    """What a table seems to hold.

    Attributes:
        layout: `long` or `wide`.
        period: its period column.
        dated_by: (`published_at` or `vintage_date`, column name); ("", "") = it has none.
        series: its series column (long, several series), else "".
        value: its value column (long), else "".
        names: series names in the file, in order.
        timing: the period column, understood.
        text: how a CSV file is written.
        levels: series name -> how its values lie.
        published: first and last publication day; None without such a column.
        unused: other columns of dates: nobody knows of what.
        footer: notes below the table.
        first: its first column, which they are in.
        rows: how many of its first and of its last rows were looked at; () = all.
        zone: (zone of the instants in its column of dates, name of that column); ("", "") = they have none.
        either: whether its publication dates could be written with days or with months first.
    """

    layout: Layout
    period: str
    dated_by: tuple[str, str]
    series: str
    value: str
    names: tuple[str, ...]
    timing: Timing
    text: TextForm
    levels: Mapping[str, Levels]
    published: tuple[date, date] | None = None
    unused: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()
    first: str = ""
    rows: tuple[int, ...] = ()
    zone: tuple[str, str] = ("", "")
    either: bool = False


def guess(path: Path) -> Guess:
    """Look at a CSV or Parquet file.

    Raises:
        DataError: it cannot be read, has no column of dates or of numbers, or its dates follow no known frequency.
    """
    text = guess_text_form(path)
    begin, table, footer = _looked_at(path, text)
    found, dated_by, period = _date_columns(begin)
    dates = [name for name, formats in found.items() if formats]
    if not dated_by[1]:
        likely = [one for one in begin.frame.columns if one.lower() in DATING and one not in dates]
        refuse_no_day(begin, likely, likely=True)
    if not period:
        refuse_no_day(begin, [name for name in begin.frame.columns if name != dated_by[1]])
        raise _undated(path, table.frame.columns)
    _refuse_nameless(path, period, found[period])
    timing = guess_timing(begin, period, found[period])
    if begin is not table:
        timing = reaching(timing, table.frame[period].drop_nulls().unique().to_list())
    unused = tuple(name for name in dates if name not in (period, dated_by[1]))
    others = [name for name in table.frame.columns if name not in (period, dated_by[1], *unused)]
    numeric, nulls = _numeric(table, others, text.decimal_mark)
    if not numeric:
        _refuse_spoilt(table, others, text.decimal_mark)
        first = [f"{name} with {str(next(iter(table.frame[name].drop_nulls().to_list()), None))!r}" for name in others]
        raise DataError(
            "no column of numbers found",
            value=f"{path.name}: {listed(first, FEW) or 'no column beside that of dates'}",
            rule="the values of a series are numbers, in one column (long) or a column for each series (wide)",
            fix="take units, thousands separators and other texts out of them",
        )
    _refuse_matrix(path, numeric)
    series, value = _long_columns(table, [name for name in others if name not in numeric], numeric)
    inside = table.frame[series].drop_nulls().unique(maintain_order=True).cast(pl.String).to_list() if series else []
    names = tuple(inside) or ((value,) if value else tuple(numeric))
    stamped = _of_all_rows(table.frame[dated_by[1]], found[dated_by[1]]) if dated_by[1] else ()
    form = next((form for form in (timing.date_format, *stamped[:1]) if form), "")
    text = TextForm(text.encoding, text.delimiter, text.decimal_mark, form, nulls)
    levels = _levels(table, names, (series, value), text)
    layout: Layout = "long" if value else "wide"
    published = _span(table.frame[dated_by[1]], form) if dated_by[1] else None
    return Guess(
        layout,
        period,
        dated_by,
        series,
        value,
        names,
        timing,
        text,
        levels,
        published,
        unused,
        footer,
        table.frame.columns[0],
        () if begin is table else (begin.frame.height, table.frame.height - begin.frame.height),
        _zone(table, [name for name in (dated_by[1], period) if name]),
        form == EITHER[0] and set(EITHER) <= set(stamped),
    )


def _looked_at(path: Path, text: TextForm) -> tuple[RawTable, RawTable, tuple[str, ...]]:
    """The rows a frequency is guessed from, all that are looked at, and notes below them.

    Unless a file is large, both are its whole table.
    """
    if not is_large(path):
        table, footer = _without_notes(read_file(path, text, fix=THERE, ragged=True))
        return table, table, footer
    some = sample(path, text, _tells_enough, fix=THERE)
    try:
        below, footer = _without_notes(some.last)
    except DataError:  # a torn line: ingest refuses it by its number, which is not known here
        below, footer = some.last.regular, ()
    lines = pl.concat([some.first.line_numbers(), below.line_numbers()])
    return some.first, replace(some.first, frame=pl.concat([some.first.frame, below.frame]), lines=lines), footer


def _tells_enough(table: RawTable) -> bool:
    """Whether rows have periods enough to tell a frequency, or none at all."""
    _, _, period = _date_columns(table)
    return not period or table.frame[period].n_unique() >= ENOUGH


def _date_columns(table: RawTable) -> tuple[dict[str, tuple[str, ...]], tuple[str, str], str]:
    """The forms of dates in each column; that of publication dates, with its meaning; that of periods. "" = none."""
    found = {name: date_formats(table.frame[name].head(SAMPLE)) for name in table.frame.columns}
    dates = [name for name, formats in found.items() if formats]
    dated_by = _dated_by(dates)
    return found, dated_by, _pick(PERIOD, [name for name in dates if name != dated_by[1]])


def _of_all_rows(column: pl.Series, formats: tuple[str, ...]) -> tuple[str, ...]:
    """Those of several forms in which every entry of a column is a date, where its first rows leave it open."""
    if len(formats) < 2:
        return formats
    values = column.drop_nulls().unique().to_list()
    return tuple(form for form in formats if all(plain_day(value, form) is not None for value in values)) or formats


def _zone(table: RawTable, names: Sequence[str]) -> tuple[str, str]:
    """The first zone that columns of a Parquet file carry, and the name of the column."""
    for name in names:
        dtype = table.frame[name].dtype
        if isinstance(dtype, pl.Datetime) and dtype.time_zone and ZONE.fullmatch(dtype.time_zone):
            return dtype.time_zone, name
    return "", ""


def _refuse_nameless(path: Path, period: str, forms: Sequence[str]) -> None:
    """Refuse a table whose first row was taken for the names of its columns."""
    if any(plain_day(period, form) is not None for form in forms):
        raise DataError(
            "the first line names no columns",
            value=f"{path.name}: {period!r} stands above the dates",
            rule="the first line names the columns",
            fix="put a line of names above it, like date,value",
        )


def _undated(path: Path, names: Sequence[str]) -> DataError:
    """What is said of a table without a column of dates: that it lies on its side, where its columns look so."""
    fix = "add such a column, or name one of them period; or take out lines above the names of the columns (a title)"
    if sum(DATED.search(name) is not None for name in names) >= MATRIX:
        fix = "its columns are named by periods: turn it, one row for each period (in polars: frame.unpivot(index=...))"
    return DataError(
        "no column of dates found",
        value=f"{path.name}: {listed(names, FEW)}",
        rule="one column names the period of each row, as a date or like 2010Q1, 2010-03, 2010",
        fix=fix,
    )


def _without_notes(table: RawTable) -> tuple[RawTable, tuple[str, ...]]:
    """A table without the notes below it, and these.

    Raises:
        DataError: another line has fewer or more fields than the first line has names.
    """
    if not table.ragged:
        return table, ()
    first, below = table.frame.columns[0], list[int]()
    for number, row in zip(table.line_numbers().reverse(), reversed(table.frame.rows()), strict=True):
        if any(row) and not is_note(row):
            break
        below.append(number)
    begin = min((number for number in below if number in table.ragged), default=0)
    lines = table.line_numbers().is_in([number for number in below if begin and number >= begin])
    rest = table.kept(~lines)
    rest.refuse_ragged()
    return rest, tuple(table.frame.filter(lines)[first].drop_nulls())


def _refuse_matrix(path: Path, names: Sequence[str]) -> None:
    """Refuse a real-time matrix (a column per vintage): taken for series, later vintages would predict earlier ones."""
    vintages = [name for name in names if DATED.search(name)]
    if len(vintages) >= MATRIX:
        raise DataError(
            "columns look like vintages of one series",
            value=f"{path.name}: {', '.join(vintages[:3])}, ... ({len(vintages)} columns named by dates)",
            rule="a wide table has one column per series; a vintage taken for a series would leak later data",
            fix="reshape it to rows of period, vintage_date, value (in polars: frame.unpivot(index=the period column))",
        )


def guess_text_form(path: Path) -> TextForm:
    """Encoding, delimiter and decimal mark of a CSV file, from its first lines."""
    if is_parquet(path) or not ending(path.name):
        return TextForm()
    try:
        with opened(path) as stream:
            head = stream.read(65536)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError("not a readable gzip file", value=path.name, rule=str(error)) from error
    except OSError as error:
        raise DataError("data file cannot be read", value=path, rule=str(error.strerror), fix=THERE) from error
    try:
        encoding = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
        lines = head.decode(encoding, errors="strict" if encoding == "utf-8" else "replace").splitlines()
    except UnicodeDecodeError as error:
        cut_inside_a_character = error.start > len(head) - 4 and len(head) == 65536
        encoding = "utf-8" if cut_inside_a_character else "cp1252"
        lines = head.decode(encoding, errors="replace").splitlines()
    lines = [line for line in lines if line.strip("\ufeff \t")]
    header = lines[0] if lines else ""
    delimiter = max(DELIMITERS, key=header.count)
    fields = [field.strip().strip('"') for line in lines[1:200] for field in line.split(delimiter)]
    commas = delimiter != "," and any(re.fullmatch(r"-?\d+,\d+", field) for field in fields)
    return TextForm(encoding=encoding, delimiter=delimiter, decimal_mark="," if commas else ".")


def _pick(preferred: Sequence[str], names: Sequence[str]) -> str:
    """The first name in order of preference (case aside), else the first there is, else ""."""
    lowered = {name.lower(): name for name in reversed(names)}
    return next((lowered[name] for name in preferred if name in lowered), names[0] if names else "")


def _dated_by(dates: Sequence[str]) -> tuple[str, str]:
    lowered = {name.lower(): name for name in dates}
    for meaning, candidates in (("published_at", PUBLISHED), ("vintage_date", VINTAGE)):
        for name in candidates:
            if name in lowered:
                return meaning, lowered[name]
    return "", ""


def _span(column: pl.Series, date_format: str) -> tuple[date, date] | None:
    days = [plain_day(value, date_format) or plain_day(value, "") for value in column.drop_nulls().unique().to_list()]
    known = sorted(day for day in days if day is not None)
    return (known[0], known[-1]) if known else None


def _numeric(table: RawTable, names: Sequence[str], decimal_mark: str) -> tuple[list[str], tuple[str, ...]]:
    """Columns of numbers, and the texts that stand for "no value" in them."""
    numeric, nulls = [], set()
    for name in names:
        column = table.frame[name]
        if column.dtype.is_numeric():
            numeric.append(name)
        elif column.dtype == pl.String:
            plain = column.str.replace(",", ".", literal=True) if decimal_mark == "," else column
            texts = set(column.filter(plain.cast(pl.Float64, strict=False).is_null() & column.is_not_null()).to_list())
            texts |= set(column.filter(column.str.to_lowercase().is_in(["nan", "inf", "-inf"])).to_list())
            if {one.lower() for one in texts} <= NO_VALUE and column.null_count() + len(
                column.filter(column.is_in(list(texts)))
            ) < len(column):
                numeric.append(name)
                nulls |= texts
    return numeric, tuple(sorted(nulls))


def _refuse_spoilt(table: RawTable, names: Sequence[str], decimal_mark: str) -> None:
    """Refuse a table whose numbers have other texts among them, with the first of these."""
    for name in names:
        column = table.frame[name]
        if column.dtype != pl.String:
            continue
        plain = column.str.replace(",", ".", literal=True) if decimal_mark == "," else column
        finite = plain.cast(pl.Float64, strict=False).is_finite().fill_null(value=False)
        spoilt = ~(finite | column.str.to_lowercase().is_in(list(NO_VALUE))).fill_null(value=True)
        if 0 < spoilt.sum() < MOSTLY * (len(column) - column.null_count()):
            row = int(spoilt.arg_max() or 0)
            raise DataError(
                f"{table.place(row, name)}: not a number",
                value=f"{column[row]!r}; {int(spoilt.sum())} such of {len(column)} rows",
                rule="no column of numbers was found, and this one is nearest to it",
                fix="correct it; or, where it stands for no value, leave the field empty or write NA, and run "
                f"harness new again (in a dataset.toml of your own: null_values = [{json.dumps(str(column[row]))}])",
            )


def _long_columns(table: RawTable, texts: Sequence[str], numeric: Sequence[str]) -> tuple[str, str]:
    """The series and the value column of a long table; ("", "") = it is wide."""
    lowered = {name.lower(): name for name in numeric}
    value = next((lowered[name] for name in VALUE if name in lowered), "")
    labels = [name for name in texts if 0 < table.frame[name].drop_nulls().n_unique() < table.frame.height]
    if not value and labels and len(numeric) == 1:
        value = numeric[0]
    return (_pick(SERIES, labels) if value and labels else ""), value


def _levels(table: RawTable, names: Sequence[str], long: tuple[str, str], text: TextForm) -> dict[str, Levels]:
    """How the values of each series lie.

    Args:
        table: the table.
        names: of the series.
        long: series and value column of a long table; "" = there is none.
        text: how its numbers are written.
    """
    series, value = long
    if not series:
        return {name: _lying(_numbers(table, value or name, text)) for name in names}
    found = pl.DataFrame({"name": table.frame[series].cast(pl.String), "level": _numbers(table, value, text)})
    parts = found.partition_by("name", as_dict=True, maintain_order=True)
    return {name: _lying(parts[name,]["level"]) for name in names}


def _numbers(table: RawTable, column: str, text: TextForm) -> pl.Series:
    return numbers(_without(table, column, text.null_values), column, text.decimal_mark)


def _lying(column: pl.Series) -> Levels:
    """How the values of one series lie."""
    levels = column.drop_nulls().to_numpy()
    if not len(levels) or levels.min() <= 0:
        return Levels(positive=False, trending=False)
    third = max(1, len(levels) // 3)
    early, late = float(levels[:third].mean()), float(levels[-third:].mean())
    return Levels(positive=True, trending=not 1 / TREND <= late / early <= TREND)


def _without(table: RawTable, column: str, nulls: Sequence[str]) -> RawTable:
    if table.frame[column].dtype != pl.String:
        return table
    cleared = pl.when(pl.col(column).is_in(list(nulls))).then(None).otherwise(pl.col(column)).alias(column)
    return replace(table, frame=table.frame.with_columns(cleared))
