"""Read one file of a dataset into a table of its own words: bytes, columns and rows, before any meaning is given."""

from __future__ import annotations

import hashlib
import importlib
import io
import math
import mmap
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import cast

import polars as pl

from harness.core.errors import DataError, UnknownNameError, UserError
from harness.data.columns import refuse_beyond_years
from harness.data.csv_text import csv_parts, csv_table, is_zipped
from harness.data.declared import TextForm
from harness.record.files import sha256_of as sha256_of_file
from harness.record.memory import FREE, GIVEN, LIMIT, available_memory, limit_source

READERS: Mapping[str, str] = MappingProxyType(
    {
        "arch:sp500": "arch.data.sp500",
        "arch:default": "arch.data.default",
        "arch:core_cpi": "arch.data.core_cpi",
    }
)
"""Tables shipped inside an installed package: reader -> module whose `load()` returns the table, dates as its index."""
TIMES = 12
"""Memory that taking in a table needs, in sizes of its text."""
LARGE = 1 << 26
"""Bytes of text above which a file is not looked at as a whole where its beginning will do."""
CELL = 8
"""Bytes of text that a field of a Parquet file is counted as."""
ENDINGS = {
    ".csv": ".csv", ".csv.gz": ".csv.gz", ".tsv": ".csv", ".txt": ".csv", ".parquet": ".parquet", ".pq": ".parquet",
}  # fmt: skip
"""Endings of files, in small letters, and of their kept copies."""
CORRECT = "correct `file`, or bring it back: of one that was ingested, raw/ in the home folder has a copy"
GZIP_TAIL = 4
"""Bytes at the end of a gzip file that tell its size without compression."""
GROUPED = r"^[+-]?\d{1,3}(\.\d{3})+$"
"""Digits with a point after every three from the end."""
BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What polars raises where a Parquet file is damaged; on some damage it panics."""


@dataclass(frozen=True, slots=True, eq=False)
class RawTable:
    """A table as it was found.

    Attributes:
        label: what messages call it.
        frame: text columns for CSV, native ones for Parquet and readers.
        offset: number of the first row as a person counts it: 2 for CSV (its header is line 1), else 1.
        content: the bytes it was read from.
        suffix: file ending of `content`.
        lines: number of each row as a person counts it (null: not of the file), where lines were taken out or added
            or a row takes several; None = rows follow each other from `offset` on.
        hashed: (column, print of the key) of columns that hold keyed hashes in place of names already.
        ragged: number of a row, as `line_numbers` has it, with fewer or more fields than the first line has names ->
            what is said of it unless a step leaves it out.
        unread: the file from which the rows are still to be read, part by part; None = they are in `frame`.
    """

    label: str
    frame: pl.DataFrame
    offset: int
    content: bytes
    suffix: str
    lines: pl.Series | None = None
    hashed: tuple[tuple[str, str], ...] = ()
    ragged: Mapping[int, DataError] = field(default_factory=dict)
    unread: Path | None = None

    def line_numbers(self) -> pl.Series:
        """[row] number of each row as a person counts it; null for rows that are not of the file."""
        if self.lines is not None:
            return self.lines
        return pl.int_range(self.offset, self.offset + self.frame.height, dtype=pl.Int64, eager=True)

    def noting(self, ragged: Mapping[int, DataError]) -> RawTable:
        """The table with what is said of rows (from 0) that have fewer or more fields than the first line has names."""
        numbers = self.line_numbers() if ragged else pl.Series(dtype=pl.Int64)
        return replace(self, ragged={numbers[row]: said for row, said in ragged.items()})

    def kept(self, rows: pl.Series) -> RawTable:
        """The table with some of its rows.

        Args:
            rows: [row] whether to keep it.
        """
        return replace(self, frame=self.frame.filter(rows), lines=self.line_numbers().filter(rows))

    @property
    def regular(self) -> RawTable:
        """The rows with as many fields as the first line has names."""
        return self.kept(~self.line_numbers().is_in(list(self.ragged))) if self.ragged else self

    def refuse_ragged(self) -> None:
        """Refuse the first row that is left with fewer or more fields than the first line has names.

        Raises:
            DataError: there is one.
        """
        left = set(self.line_numbers().to_list()) if self.ragged else set()
        for number, error in self.ragged.items():
            if number in left:
                raise error

    def place(self, row: int | None, column: str) -> str:
        """Where a row is, for messages; None = a cleaning step added it.

        >>> RawTable("a.csv", pl.DataFrame(), 2, b"", ".csv").place(0, "value")
        "a.csv, line 2, column 'value'"
        """
        number = row if row is None else row + self.offset if self.lines is None else self.lines[row]
        where = "a row that was added" if number is None else f"{'line' if self.offset > 1 else 'row'} {number}"
        return f"{self.label}, {where}, column {column!r}"

    def column(self, name: str) -> pl.Series:
        """A column by name.

        Raises:
            UnknownNameError: there is none, with the nearest one there is.
            DataError: its entries are lists, structures or bytes.
        """
        if name not in self.frame.columns:
            raise UnknownNameError(f"column of {self.label}", name, self.frame.columns)
        column = self.frame[name]
        if column.dtype.is_nested() or column.dtype == pl.Binary:
            raise DataError(
                f"{self.label}, column {name!r}: an entry is no single value",
                value=str(column.dtype),
                rule="texts, numbers, dates or instants",
                fix="write a plain value in each row",
            )
        return column


def sha256_of(table: RawTable) -> str:
    """Hash of the bytes a table is read from, or kept as."""
    if table.unread is None:
        return hashlib.sha256(table.content).hexdigest()
    status = table.unread.stat()
    return _file_hash(table.unread, (status.st_size, status.st_mtime_ns, status.st_ino))


@lru_cache(maxsize=16)
def _file_hash(path: Path, _status: tuple[int, ...]) -> str:
    """Of a file too large to be held; `_status` tells changed files."""
    return sha256_of_file(path)


def read_file(path: Path, text: TextForm | None = None, *, fix: str = CORRECT, ragged: bool = False) -> RawTable:
    """Read a CSV (also gzipped) or Parquet file.

    Args:
        path: the file.
        text: how a CSV file is written.
        fix: what to do where there is none.
        ragged: whether rows with fewer or more fields than the first line has names are taken in, and noted.

    Raises:
        DataError: missing, empty, damaged, too large for the memory, or written in another encoding than declared.
    """
    return read_content(path.name, content_of(path, refusing=True, fix=fix), text, ragged=ragged)


def unread(path: Path, text: TextForm | None = None) -> RawTable:
    """A file whose rows are to be read part by part; only its bytes are looked at, where they lie.

    Raises:
        DataError: it cannot be read.
    """
    table, parquet = unparsed(path), is_parquet(path)
    try:
        if parquet:
            frame = pl.scan_parquet(path).head(0).collect()
        else:
            frame = next(csv_parts(path, text or TextForm(), 1)).frame
    except BROKEN as error:
        raise not_parquet(path.name, error) from error
    except OSError as error:
        raise DataError("data file cannot be read", value=path.name, rule=str(error), fix=CORRECT) from error
    return replace(table, frame=frame.head(0), offset=1 if parquet else 2)


def unparsed(path: Path) -> RawTable:
    """A file of which nothing but its bytes is looked at, where they lie: without columns and rows.

    Raises:
        DataError: there is none, or it is empty.
    """
    try:
        with path.open("rb") as stream:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        raise DataError("data file is empty", value=path.name) from error
    except OSError as error:
        raise DataError("data file cannot be read", value=path.name, rule=str(error.strerror), fix=CORRECT) from error
    mapped = cast("bytes", content)  # it is copied as bytes are
    return RawTable(path.name, pl.DataFrame(), 1, mapped, ending(path.name), unread=path)


def is_parquet(path: Path) -> bool:
    """Whether a file's name is that of a Parquet file."""
    return ending(path.name) == ".parquet"


def ending(name: str) -> str:
    """What the name of a kept copy of a file ends in; "" = nobody knows the kind.

    >>> ending("a.csv.gz"), ending("B.TSV"), ending("c.pq"), ending("d.xlsx")
    ('.csv.gz', '.csv', '.parquet', '')
    """
    return next((kept for end, kept in ENDINGS.items() if name.lower().endswith(end)), "")


def content_of(path: Path, *, refusing: bool = False, fix: str = CORRECT) -> bytes:
    """The bytes of a file.

    Args:
        path: the file.
        refusing: whether one that would be read into more memory than there is is refused before.
        fix: what to do where there is none.

    Raises:
        DataError: there is none, or it needs too much.
    """
    try:
        if refusing:
            refuse_beyond_memory(path)
        return path.read_bytes()
    except OSError as error:
        raise DataError("data file cannot be read", value=path.name, rule=str(error.strerror), fix=fix) from error


def beyond_memory(path: Path) -> bool:
    """Whether taking in a file at once would need more memory than there is; false of one that cannot be read."""
    limit = available_memory()
    return limit is not None and path.is_file() and _needed(path) > limit


def is_large(path: Path) -> bool:
    """Whether a file is looked at in part where that will do; false of one that cannot be read, or of no known kind."""
    if not (path.is_file() and ending(path.name)):
        return False
    return _needed(path) > TIMES * LARGE or beyond_memory(path)


def refuse_beyond_memory(path: Path, why: str = "") -> None:
    """Refuse a file that would be read into more memory than there is.

    Args:
        path: the file.
        why: why it cannot be read part by part.

    Raises:
        DataError: it needs more.
    """
    limit = available_memory()
    if limit is not None and _needed(path) > limit:
        raise too_large(path, why)


def too_large(path: Path, why: str = "") -> DataError:
    """What is said of a file that would be read into more memory than there is.

    Args:
        path: the file.
        why: why it cannot be read part by part.
    """
    needed, limit, source = _needed(path), available_memory() or 0, limit_source()
    split = "split it into several files, each with a [[source]] of its own (as Parquet they "
    gigabytes = math.ceil(needed / 1e9)
    enough = f"{gigabytes} GB" if source == GIVEN else f"{LIMIT}={gigabytes}"
    size = path.stat().st_size
    return DataError(
        "this file is too large for the memory",
        value=f"{path.name}: {size / 1e9:.3g} GB, and taking it in needs about {needed / 1e9:.3g} GB",
        rule=f"{limit / 1e9:.3g} GB may be used: {source}{f'; it cannot be read part by part: {why}' * bool(why)}",
        fix=f"{split}also need less); where more memory may be used than is free now, say how many GB: {enough}"
        if source == FREE
        else f"allow more, for example {enough}; or {split}also need less)",
    )


def _needed(path: Path) -> int:
    """Bytes of memory that taking in a file needs, generously."""
    needed = TIMES * _plain_size(path, path.stat().st_size)
    if is_parquet(path):
        with suppress(*BROKEN):  # one that cannot be read is refused when it is
            table = pl.scan_parquet(path)
            needed = TIMES * CELL * len(table.collect_schema()) * int(table.select(pl.len()).collect().item())
    return needed


def _plain_size(path: Path, size: int) -> int:
    """Bytes of a file without compression, as far as it says so."""
    if not is_zipped(path.name) or size < GZIP_TAIL:
        return size
    with path.open("rb") as stream:
        stream.seek(-GZIP_TAIL, 2)
        return max(size, int.from_bytes(stream.read(), "little"))


def read_content(name: str, content: bytes, text: TextForm | None = None, *, ragged: bool = False) -> RawTable:
    """The table in the bytes of a file; `name` is the file's, and its ending tells what they are.

    Args:
        name: of the file.
        content: its bytes.
        text: how a CSV file is written.
        ragged: as for `read_file`.

    Raises:
        DataError: empty, damaged, or written in another encoding than declared.
    """
    if not content:
        raise DataError("data file is empty", value=name)
    suffix = ending(name)
    if suffix == ".parquet":
        table = RawTable(name, _parquet(name, content), 1, content, suffix)
    elif suffix:
        noted: dict[int, DataError] | None = {} if ragged else None
        frame, lines = csv_table(name, content, text or TextForm(), noted)
        table = RawTable(name, frame, 2, content, suffix, lines).noting(noted or {})
    else:
        rule = "CSV (.csv, .csv.gz, .tsv, .txt) or Parquet (.parquet, .pq)"
        raise DataError("unknown kind of data file", value=name, rule=rule, fix="save it as one of these")
    if not table.frame.height:
        raise DataError("data file has no rows", value=name)
    return table


def read_packaged(reader: str) -> RawTable:
    """Read a table that an installed package ships; its index becomes the column `date`.

    Raises:
        UserError: the package is not installed.
    """
    try:
        module = importlib.import_module(READERS[reader])
    except ImportError as error:
        package = reader.partition(":")[0]
        raise UserError("package not installed", value=package, fix=f"install {package}") from error
    loaded = module.load()
    frame = pl.from_pandas(loaded.rename_axis("date").reset_index())
    return RawTable(reader, frame, 1, frame.write_csv().encode(), ".csv")


def _parquet(label: str, content: bytes) -> pl.DataFrame:
    try:
        return in_micros(pl.read_parquet(io.BytesIO(content)), label)
    except (*BROKEN, OSError) as error:
        raise not_parquet(label, error) from error


def in_micros(frame: pl.DataFrame, label: str) -> pl.DataFrame:
    """A table of a Parquet file with its instants in microseconds, as all of ours are; pandas writes nanoseconds.

    Raises:
        DataError: a millisecond of a year that no calendar has: there may be no microsecond for it.
    """
    stamps = {name: dtype for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)}
    others = [name for name, dtype in stamps.items() if dtype.time_unit != "us"]
    for name in others:
        refuse_beyond_years(frame[name], partial(_in_column, label, name))
    return frame.with_columns(pl.col(others).dt.cast_time_unit("us")) if others else frame


def _in_column(label: str, name: str, _: int) -> str:
    return f"{label}: column {name}"  # of a file that is read in parts nobody knows the row


def not_parquet(label: str, error: BaseException) -> DataError:
    """What is said of a damaged Parquet file, by what reading it raised."""
    return DataError("not a readable Parquet file", value=label, rule=damage(error))


def damage(error: BaseException) -> str:
    """What is wrong with a Parquet file, in a line."""
    panic = isinstance(error, pl.exceptions.PanicException)
    return "its content is damaged" if panic else str(error).splitlines()[0]


def _refuse_grouped(table: RawTable, name: str) -> None:
    """Refuse a number like 1.234 where commas mark decimals: as likely a thousand as a fraction.

    Raises:
        DataError: there is one.
    """
    column = table.column(name)
    if column.dtype != pl.String:
        return
    grouped = column.str.contains(GROUPED).arg_true()
    if len(grouped):
        row = int(grouped[0])
        raise DataError(
            f"{table.place(row, name)}: thousands or a fraction",
            value=repr(column[row]),
            rule='with decimal_mark = "," a point parts no decimals, and thousands are not parted',
            fix="write numbers without separators of thousands, and all of them with the same decimal mark",
        )


def numbers(table: RawTable, name: str, decimal_mark: str = ".") -> pl.Series:
    """A column as finite Float64 numbers; null stays null.

    Raises:
        DataError: text that is no number, NaN or infinity, or may be two; the first such row is named.
    """
    column = table.column(name)
    if decimal_mark == ",":
        _refuse_grouped(table, name)
    if column.dtype.is_temporal():
        kind = str(column.dtype)
        raise DataError(f"{table.label}, column {name!r} holds no numbers", value=kind, rule="numbers, or text of them")
    found = column.str.replace(",", ".", literal=True) if column.dtype == pl.String and decimal_mark == "," else column
    values = found.cast(pl.Float64, strict=False)
    unreadable = (values.is_null() & column.is_not_null()).arg_true()
    if len(unreadable):
        row = int(unreadable[0])
        raise DataError(
            f"{table.place(row, name)}: not a number",
            value=repr(column[row]),
            fix='correct it, or declare null_values = ["..."] or decimal_mark = ","',
        )
    wild = (~values.is_finite()).fill_null(value=False).arg_true()
    if len(wild):
        row = int(wild[0])
        raise DataError(
            f"{table.place(row, name)}: not a finite number",
            value=column[row],
            rule="an absent value is empty, not NaN",
            fix="leave the field empty",
        )
    return values
