"""Columns of a user's frame as the archive's integers and floats, or one clear refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from harness.core.ahead import beside
from harness.core.errors import DataError
from harness.core.series import Series
from harness.core.time import end_of_day, micros, period_ends, period_ordinals
from harness.data.declaration import Catalogue, Declarations, per_key, shaped
from harness.record.platform import threads_for

ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
DENSE = 1 << 16
"""Span of integers for which a table of all of them is small."""
NO_PERIOD = int(np.iinfo(np.int32).min)
T = TypeVar("T", bound=np.generic)
DATE_RULE = "dates are ISO dates (2020-03-31), instants are aware datetimes of one zone"
ZONE_FIX = "declare the zone, for example pl.col(name).dt.replace_time_zone('Europe/London')"


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """The series of each row.

    Attributes:
        codes: [row] series codes.
        series: declaration of each code that occurs.
    """

    codes: NDArray[np.int32]
    series: Mapping[int, Series]

    def alike(self, key: Callable[[Series], object]) -> Iterator[tuple[Series, NDArray[np.bool_]]]:
        """Rows of series that are alike in something: one of the series, and a mask of the rows of all of them.

        Args:
            key: what they are alike in; never their ids.
        """
        groups: dict[object, list[int]] = {}
        for series, codes in shaped(self.series):
            groups.setdefault(key(series), []).extend(codes)
        if len(groups) == 1:
            yield self.series[next(iter(self.series))], np.ones(len(self.codes), dtype=bool)
            return
        for codes in groups.values():
            member = np.zeros(max(self.series) + 1, dtype=bool)
            member[codes] = True
            yield self.series[codes[0]], member[self.codes]


def polars_frame(frame: Any, needed: Iterable[str], optional: Iterable[str] = ()) -> pl.DataFrame:
    """The wanted columns of a polars or pandas frame; pandas NaN stays NaN (null is None or NA).

    Raises:
        DataError: it is no frame, it is empty, or a column is missing.
    """
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if not isinstance(frame, pl.DataFrame) and not type(frame).__module__.startswith("pandas"):
        raise DataError("not a frame", value=type(frame).__name__, rule="polars or pandas")
    wanted, names = tuple(needed), list(frame.columns)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError("missing columns", value=", ".join(missing), rule=f"needed: {', '.join(wanted)}")
    if len(frame) == 0:
        raise DataError("the frame is empty", rule="a batch states at least one value")
    kept = [name for name in (*wanted, *optional) if name in names]
    twice = [name for name in kept if names.count(name) > 1]
    if twice:
        raise DataError("columns that occur twice", value=", ".join(twice), rule="a column is found by its name")
    if isinstance(frame, pl.DataFrame):
        return frame.select(kept)
    return pl.DataFrame([_from_pandas(name, frame[name]) for name in kept])


def _from_pandas(name: str, column: Any) -> pl.Series:
    items = list(column) if column.dtype == object else []
    stamps = [item for item in items if isinstance(item, datetime)]
    if stamps:
        return _from_stamps(name, items, stamps)
    try:
        out = pl.from_pandas(column.reset_index(drop=True), nan_to_null=False)
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError) as error:
        kinds = sorted({type(item).__name__ for item in items})
        raise DataError(
            f"column {name} holds entries of several kinds",
            value=", ".join(kinds) or str(column.dtype),
            rule="one kind in each column",
            fix="convert it, for example by astype",
        ) from error
    return pl.Series(name, out)


def _from_stamps(name: str, items: Sequence[Any], stamps: Sequence[datetime]) -> pl.Series:
    zones = sorted({str(item.tzinfo) for item in stamps})
    if len(zones) > 1:
        raise _mixed(name, zones)
    if stamps[0].tzinfo is None:
        return pl.Series(name, items, dtype=pl.Datetime("us"))
    aware = [None if item is None else micros(item) for item in items]
    return pl.Series(name, aware, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))


def _mixed(name: str, zones: Sequence[str]) -> DataError:
    return DataError(
        f"mixed zones in column {name}",
        value=", ".join(zones[:4]),
        rule="all instants of a column share one zone",
        fix="convert them to UTC first",
    )


def code_rows(column: pl.Series, catalogue: Catalogue) -> Coded:
    """The series code of each row of a column of (stored or bare) ids.

    Raises:
        DataError: no text, or an empty entry.
        UnknownNameError: a series that is not defined.
    """
    if column.dtype != pl.String:
        if column.dtype not in (pl.Categorical, pl.Enum):
            raise DataError("column series_id holds no names", value=str(column.dtype), rule="text")
        column = column.cast(pl.String)
    if column.null_count():
        raise DataError("column series_id has an empty entry", rule="every row names its series")
    starts, lengths = _runs(column)
    names = starts.unique(maintain_order=True)
    codes = [catalogue.codes[name if name in catalogue.codes else catalogue.resolve(name)] for name in names.to_list()]
    per_name = pl.Series(codes, dtype=pl.Int32).to_numpy()
    per_start = per_name[starts.cast(pl.Enum(names)).to_physical().to_numpy()]
    found = list(dict.fromkeys(codes))
    series = catalogue.series
    some = series.only(found) if isinstance(series, Declarations) else {code: series[code] for code in found}
    return Coded(per_start if lengths is None else np.repeat(per_start, lengths), some)


def _runs(column: pl.Series) -> tuple[pl.Series, NDArray[np.uint32] | None]:
    """The name of each run of equal ones, and its length; the column itself where runs are short.

    The halves of a large column are gone through side by side; a run that both have a part of is then two.
    """
    if _short(column[:DENSE].rle(), min(len(column), DENSE)):
        return column, None
    half = len(column) // 2
    with beside(column[half:].rle, threads=threads_for(len(column))) as rest:
        found = pl.concat([column[:half].rle(), rest()])
    if _short(found, len(column)):
        return column, None
    return found.struct.field("value"), found.struct.field("len").to_numpy()


def _short(runs: pl.Series, rows: int) -> bool:
    return len(runs) * 2 > rows


def numbers(column: pl.Series) -> pl.Series:
    """A Float64 column without NaN or infinity; null stays null.

    Raises:
        DataError: text, booleans, or a number that is not finite.
    """
    if column.dtype == pl.Null:
        return column.cast(pl.Float64)
    if not column.dtype.is_numeric():
        raise DataError(f"column {column.name} holds no numbers", value=str(column.dtype), rule="floats or integers")
    floats = column.cast(pl.Float64)
    bad = floats.is_nan() | floats.is_infinite()
    if bad.any():
        row = int(bad.arg_max() or 0)
        raise DataError(
            f"column {column.name} holds a number that is not finite",
            value=f"{floats[row]} in row {row}, {int(bad.sum())} row(s) in all",
            rule="values are finite; null means withdrawn",
            fix="leave the row out, or write null (None, NA) if the value was withdrawn",
        )
    return floats


def days(column: pl.Series) -> pl.Series:
    """A Date column from dates, naive midnights or ISO text.

    Raises:
        DataError: nulls, times of day, zones, or text that is no date.
    """
    if column.dtype == pl.String:
        column = _parsed(column)
    _no_nulls(column)
    if isinstance(column.dtype, pl.Datetime):
        refuse_beyond_years(column)  # polars panics over some of them
        if column.dtype.time_zone is not None or not _midnights(column):
            raise DataError(f"column {column.name} holds instants", value=column[0], rule="periods are dates")
        column = column.cast(pl.Date)
    if column.dtype != pl.Date:
        raise DataError(f"column {column.name} holds no dates", value=str(column.dtype), rule=DATE_RULE)
    refuse_beyond_years(column)
    return column


def refuse_beyond_years(column: pl.Series, where: Callable[[int], str] | None = None) -> None:
    """Refuse dates and instants of years that no calendar here has, which Parquet files can hold; null passes.

    Args:
        column: Date or Datetime.
        where: what a message calls the place of an entry; None = by the column's name.

    Raises:
        DataError: there is one; the first is named.
    """
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone not in (None, "UTC"):
        refuse_beyond_years(column.dt.convert_time_zone("UTC"), where)  # a zone has no year for what is far off
    ends = column.to_physical()
    if not _beyond_years(pl.Series([ends.min(), ends.max()], dtype=ends.dtype).cast(column.dtype)).any():
        return
    beyond = _beyond_years(column).arg_true()
    first = int(beyond[0])
    year = column.dt.year()[first]
    raise DataError(
        f"{where(first) if where else f'column {column.name}, row {first}'}: a date of "
        + ("a year without a number" if year is None else f"the year {year}"),
        value=f"{len(beyond)} row(s) in all",
        rule=f"years {date.min.year} to {date.max.year}",
        fix="correct it, or leave the row out",
    )


def _beyond_years(column: pl.Series) -> pl.Series:
    inside = column.dt.year().is_between(date.min.year, date.max.year)
    return column.is_not_null() & ~inside.fill_null(value=False)  # years far off are null


def instants(column: pl.Series, rows: Coded) -> NDArray[np.int64]:
    """Microseconds UTC of each row; a date is the end of that day in the zone of the row's series.

    Raises:
        DataError: nulls, mixed zones, naive times of day, or text that is no date.
    """
    if column.dtype == pl.String:
        column = _parsed_instants(column)
    _no_nulls(column)
    if isinstance(column.dtype, pl.Datetime):
        refuse_beyond_years(column)
        if column.dtype.time_zone is not None:
            found = column.dt.convert_time_zone("UTC")
            return found.dt.cast_time_unit("us").to_physical().to_numpy().astype(np.int64, copy=False)
        if not _midnights(column):
            raise DataError(
                f"column {column.name} has times of day without a zone",
                value=column.filter(column.dt.time() != time(0))[0],
                rule="a naive column all at 00:00 holds dates; other stamps need a zone",
                fix=ZONE_FIX,
            )
        column = column.cast(pl.Date)
    if column.dtype != pl.Date:
        raise DataError(f"column {column.name} holds no dates", value=str(column.dtype), rule=DATE_RULE)
    refuse_beyond_years(column)
    return _day_ends(column, rows)


def _day_ends(column: pl.Series, rows: Coded) -> NDArray[np.int64]:
    numbers = column.cast(pl.Int32).to_numpy()
    zones = sorted({series.zone for series, _ in shaped(rows.series)})
    if len(zones) == 1:
        return by_distinct(numbers, lambda unique: _ends_of_days(unique, zones[0]))
    place = per_key(rows.series, lambda series: zones.index(series.zone), np.int64)[rows.codes]
    out = np.zeros(len(numbers), dtype=np.int64)
    for number, zone in enumerate(zones):
        mine = place == number
        out[mine] = by_distinct(numbers[mine], partial(_ends_of_days, zone=zone))
    return out


def _ends_of_days(numbers: NDArray[np.int32], zone: str) -> NDArray[np.int64]:
    days = pl.Series(numbers).cast(pl.Date).to_list()
    return np.array([micros(end_of_day(day, zone)) for day in days], dtype=np.int64)


def by_distinct(numbers: NDArray[Any], told: Callable[[NDArray[Any]], NDArray[T]]) -> NDArray[T]:
    """What is told of each integer, where the distinct ones, ascending, are asked once each.

    >>> by_distinct(np.array([7, 5, 7]), lambda unique: unique * 10)
    array([70, 50, 70])
    """
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, -1)
    if not 0 <= high - low < max(DENSE, len(numbers)):
        unique, inverse = np.unique(numbers, return_inverse=True)
        each: NDArray[T] = told(unique)[inverse]
        return each
    # days and periods lie close together: a table of all of them takes no sorting
    there = np.zeros(high - low + 1, dtype=bool)
    for part in _parts(len(numbers)):
        there[numbers[part] - low] = True
    unique = (np.flatnonzero(there) + low).astype(numbers.dtype)
    answers = told(unique)
    table = np.zeros(len(there), dtype=answers.dtype)
    table[there] = answers
    found = np.empty_like(table, shape=len(numbers))

    def look_up(part: slice) -> None:
        found[part] = table.take(numbers[part] - low)

    with ThreadPoolExecutor(threads_for(len(numbers))) as pool:
        list(pool.map(look_up, _parts(len(numbers))))
    return found


def _parts(rows: int) -> Iterator[slice]:
    """Rows looked at together, so that what is made of them stays in the processor's cache."""
    yield from (slice(start, start + DENSE) for start in range(0, rows, DENSE))


def ordinals(column: pl.Series, rows: Coded) -> NDArray[np.int32]:
    """Period ordinals of a column of period ends.

    Raises:
        DataError: a day that is not the last day of its period, or lies outside the declared table.
    """
    numbers = days(column).cast(pl.Int32).to_numpy()
    out = np.zeros(len(numbers), dtype=np.int32)
    for series, picked in rows.alike(lambda series: series.parsed):
        whole = bool(picked.all())
        mine = numbers if whole else numbers[picked]
        found = by_distinct(mine, partial(_ordinals, series=series))
        wrong = found == NO_PERIOD
        if wrong.any():
            first = int(wrong.argmax())
            raise _no_end(mine[first], rows.series[int(rows.codes[picked][first])], int(wrong.sum()))
        if whole:
            return found
        out[picked] = found
    return out


def _no_end(number: np.int32, series: Series, count: int) -> DataError:
    days = np.array([number]).astype("datetime64[D]")
    return DataError(
        "a period is named by its last day",
        value=f"{days[0]} ({series.id}, {series.frequency}), {count} row(s) in all",
        rule=f"the last day of that period is {period_ends(series.parsed, period_ordinals(series.parsed, days))[0]}",
        fix='write the last day, or declare stamp = "first" or "month" in the dataset',
    )


def _ordinals(numbers: NDArray[np.int32], series: Series) -> NDArray[np.int32]:
    """Ordinals of the periods that end on some days; `NO_PERIOD` where none does."""
    ends = numbers.astype("datetime64[D]")
    _inside_table(series, ends)
    found = period_ordinals(series.parsed, ends)
    return np.where(period_ends(series.parsed, found) == ends, found, NO_PERIOD).astype(np.int32)


def _inside_table(series: Series, ends: NDArray[np.datetime64]) -> None:
    if series.parsed.kind == "T" and len(ends):
        latest = ends.max()
        if latest > np.datetime64(series.period_table[-1]):
            raise DataError("a period outside the declared table", value=f"{latest} ({series.id})")


def _parsed(column: pl.Series) -> pl.Series:
    out = column.str.strptime(pl.Date, "%Y-%m-%d", strict=False)
    bad = out.is_null() & column.is_not_null()
    if bad.any():
        raise DataError(
            f"column {column.name} holds text that is no date",
            value=f"{column.filter(bad)[0]!r}, {int(bad.sum())} row(s) in all",
            rule=DATE_RULE,
        )
    return out


def _parsed_instants(column: pl.Series) -> pl.Series:
    texts = column.drop_nulls().unique().to_list()
    if all(ISO_DATE.fullmatch(text) for text in texts):
        return _parsed(column)
    read: dict[str, datetime] = {}
    for text in texts:
        try:
            read[text] = datetime.fromisoformat(text)
        except ValueError as error:
            raise DataError(
                f"column {column.name} holds text that is no date", value=repr(text), rule=DATE_RULE
            ) from error
    zones = sorted({str(stamp.tzinfo) for stamp in read.values()})
    if len(zones) > 1:
        raise _mixed(column.name, zones)
    aware = zones != ["None"]
    stamps = {text: stamp.astimezone(UTC) if aware else stamp for text, stamp in read.items()}
    dtype = pl.Datetime("us", "UTC" if aware else None)
    return pl.Series(column.name, [stamps.get(text) for text in column.to_list()], dtype=dtype)


def _midnights(column: pl.Series) -> bool:
    return bool((column.drop_nulls().dt.time() == time(0)).all())


def _no_nulls(column: pl.Series) -> None:
    if column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise DataError(f"column {column.name} has an empty entry", value=f"row {row}", rule="every row names it")


def day_of(ordinal: int, series: Series) -> date:
    """The last day of one period, for messages."""
    day: date = period_ends(series.parsed, np.array([ordinal], dtype=np.int64))[0].astype(object)
    return day
