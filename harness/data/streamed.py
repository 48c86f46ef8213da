"""A batch in a Parquet file larger than memory: read part by part, the same batch as if it were read at once.

Parts are dated and checked as they are read, and kept on the disk meanwhile as plain columns. Whatever needs several
rows (order, repeats, publications) is within one series: so the rows are put in the order of series, unless they are in
it already, and then read again a few series at a time. The content hash goes by column, and so do the files.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from harness.core.errors import DataError
from harness.core.time import NEVER
from harness.data.batch import (
    NOT_YET,
    SET_ASIDE,
    Batch,
    Coverage,
    block_of,
    check_coverage,
    hash_frame,
    plain,
    read_part,
)
from harness.data.columns import polars_frame
from harness.data.declaration import Catalogue
from harness.data.derive import ORDER, PUBLICATION, STATEMENT
from harness.data.laying import Laid
from harness.data.ordering import is_sorted
from harness.data.tables import beyond_memory, content_of, in_micros, is_parquet, not_parquet, read_content, too_large
from harness.record.files import room_for
from harness.record.memory import GIVEN, LIMIT, available_memory, limit_source
from harness.record.placed import read_at, write_at

ROW = 2_000
"""Bytes that reading and entering a row takes, generously."""
FEWEST, MOST = 1 << 14, 1 << 21
"""Rows of a part."""
NUMBER = "row"
STATED = {name: dtype for name, dtype in STATEMENT.items() if name != "batch"}
SPOOLED = {**STATED, NUMBER: pl.Int64()}
"""Columns kept on the disk: those of statements, and the number of the row in the file."""
GAPS: Mapping[str, float | int] = {"value": np.nan, "vintage": NEVER}
"""What stands on the disk for null."""
DATES = ("period", "published_at", "value_known_at")


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows that are larger than memory.

    Attributes:
        label: what messages call them.
        read: reads them, so many at a time, with the columns that `read_batch` takes.
        ordered: whether they come in the order in which rows set aside are kept.
        path: the file they are read from, where its size counts in messages.
    """

    label: str
    read: Callable[[int], Iterator[pl.DataFrame]]
    ordered: bool = True
    path: Path | None = None


def frame_or_parts(frame: Any) -> Any:
    """What `Archive.append` is given: a frame, or the path of a Parquet file; of one that fits into memory its frame.

    Raises:
        DataError: it is the path of something else, or cannot be read.
    """
    if isinstance(frame, Parts) or not isinstance(frame, str | Path):
        return frame
    path = Path(frame)
    if not is_parquet(path):
        raise DataError(
            "not a Parquet file",
            value=path.name,
            rule="a frame, or the path of a Parquet file (.parquet, .pq)",
            fix="`harness ingest DATASET` reads CSV files, too, as declared: `harness new NAME --data FILE` drafts it",
        )
    if beyond_memory(path):
        return Parts(path.name, partial(_parts, path))
    return read_content(path.name, content_of(path, fix="give the path of a file that is there")).frame


def whole_frame(frame: Any) -> Any:
    """The same where nothing is taken part by part.

    Raises:
        DataError: it is too large for the memory, too.
    """
    found = frame_or_parts(frame)
    if isinstance(found, Parts):
        raise whole_needed(found.label, "the home is under seal")
    return found


def refuse_listed(parts: Parts, publications: Any) -> None:
    """Refuse publications that are listed beside a file read part by part.

    Raises:
        DataError: there are any.
    """
    if publications is not None:
        raise whole_needed(parts.label, "its publications are listed")


def part_rows() -> int:
    """Rows that are handled together: as many as a quarter of the memory that may be used holds."""
    limit = available_memory()
    return MOST if limit is None else min(MOST, max(FEWEST, limit // 4 // ROW))


class ColumnFiles:
    """Columns of numbers in nameless files, which are gone when they are closed, or the process is."""

    def __init__(self, folder: Path, schema: Mapping[str, pl.DataType], files: ExitStack) -> None:
        """Make the files.

        Args:
            folder: on whose disk.
            schema: types of the columns.
            files: what closes them.
        """
        self.rows, self._folder = 0, folder
        flat = {name: pl.Int8() if dtype == pl.Boolean else dtype for name, dtype in schema.items()}
        self.types = {name: pl.Series(dtype=dtype).to_numpy().dtype for name, dtype in flat.items()}
        made = {name: tempfile.TemporaryFile(dir=folder) for name in schema}  # noqa: SIM115 - `files` closes them
        self._handles = {name: files.enter_context(stream).fileno() for name, stream in made.items()}

    def add(self, rows: pl.DataFrame) -> None:
        """Put rows behind those that are there."""
        for name in self.types:
            column = rows[name].fill_null(GAPS[name]) if name in GAPS else rows[name]
            self.put(name, self.rows, column.to_numpy())
        self.rows += rows.height

    def put(self, column: str, start: int, values: NDArray[Any]) -> None:
        """Put values at the places from `start` on.

        Raises:
            FullDiskError: there is no room for them.
        """
        dtype = self.types[column]
        with room_for(self._folder):
            write_at(self._handles[column], start * dtype.itemsize, values.astype(dtype, copy=False))

    def get(self, column: str, start: int, stop: int) -> NDArray[Any]:
        """The values at some places."""
        dtype = self.types[column]
        return read_at(self._handles[column], start * dtype.itemsize, dtype, stop - start)

    def slices(self, rows: int) -> Iterator[tuple[int, int]]:
        """Places of all rows, so many at a time."""
        yield from pairwise([*range(0, self.rows, rows), self.rows] if self.rows else [])

    def frame(self, start: int, stop: int, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
        """Some rows; columns that are not here are 0."""
        zeros = np.zeros(stop - start, dtype=np.int8)
        columns = {name: self.get(name, start, stop) if name in self.types else zeros for name in schema}
        return pl.DataFrame(columns).select(_column(name, dtype) for name, dtype in schema.items())


def _column(name: str, dtype: pl.DataType) -> pl.Expr:
    if name == "value":
        return pl.col(name).fill_nan(None)
    if name == "vintage":
        return pl.when(pl.col(name) != NEVER).then(pl.col(name)).alias(name)
    return pl.col(name).cast(dtype)


class Streamed:
    """The batch in a file.

    Attributes:
        set_aside: rows not taken, with the reason.
        rows_in: rows given.
        duplicates: rows given twice; like `newest` and `sha256` known when all blocks were read.
        newest: microseconds UTC of the newest captured publication; None when nothing was kept.
        sha256: content hash of what was given.
    """

    def __init__(
        self, parts: Parts, catalogue: Catalogue, *, coverage: Coverage, now: int, folder: Path, files: ExitStack
    ) -> None:
        """Read the file.

        Args:
            parts: its rows.
            catalogue: the defined series.
            coverage: what the rows cover.
            now: microseconds UTC; later stamps are set aside.
            folder: on whose disk its rows are kept meanwhile: about 80 bytes for each, 120 where they are in no order.
            files: what closes the files there.

        Raises:
            DataError: the file breaks a rule, or needs to be in memory as a whole.
            UnknownNameError: a series that is not defined.
            FullDiskError: there is no room for its rows.
        """
        check_coverage(coverage)
        self._catalogue, self._coverage, self._folder, self._files = catalogue, coverage, folder, files
        self._rows, self._ordered = part_rows(), True
        self._counts = np.zeros(max(catalogue.series, default=-1) + 1, dtype=np.int64)
        self.rows_in, self.duplicates, self.sha256 = 0, 0, ""
        self.newest: int | None = None
        self._read_rows = ColumnFiles(folder, SPOOLED, files)
        self.set_aside = pl.concat([pl.DataFrame(schema=SET_ASIDE), *self._read(parts, now)])
        self._statements = self._read_rows if self._ordered else self._in_order()

    @property
    def codes(self) -> list[int]:
        """The series that it states anything of."""
        found: list[int] = np.flatnonzero(self._counts).tolist()
        return found

    def _read(self, parts: Parts, now: int) -> Iterator[pl.DataFrame]:
        """Keep the rows of the file; yields those set aside."""
        last: tuple[int, ...] = ()
        later, first_later = 0, ""
        for part in parts.read(self._rows):
            read = read_part(part, self._catalogue, now)
            if read is None:
                raise whole_needed(parts.label, "sessions of a calendar are counted")
            kept, aside = read
            if aside.height and not parts.ordered:  # read on, to tell how many there are
                later, first_later = later + aside.height, first_later or _told(aside)
            if later:
                continue
            self.rows_in += part.height
            yield aside
            if kept.height:
                keys = [kept[name].to_numpy() for name in ORDER]
                self._ordered &= last <= tuple(int(key[0]) for key in keys) and is_sorted(keys)
                last = tuple(int(key[-1]) for key in keys)
                first = self._read_rows.rows
                self._read_rows.add(kept.with_columns(pl.int_range(first, first + kept.height).alias(NUMBER)))
                self._counts += np.bincount(keys[0], minlength=len(self._counts))
        if later:
            raise _aside_needed(parts, later, first_later)

    def _in_order(self) -> ColumnFiles:
        """The rows sorted by `ORDER`, those alike in it as they came."""
        given, out = self._read_rows, ColumnFiles(self._folder, SPOOLED, self._files)
        codes = np.flatnonzero(self._counts)

        def parts() -> Iterator[dict[str, NDArray[Any]]]:
            for start, stop in given.slices(self._rows):
                yield {name: given.get(name, start, stop) for name in given.types}

        Laid(given.rows, given.types, (*ORDER, NUMBER), codes, self._counts[codes], parts).lay(out)
        out.rows = given.rows
        return out

    def blocks(self) -> Iterator[Batch]:
        """The batch in parts of whole series, in the order of their codes; to be read once."""
        told = ColumnFiles(self._folder, PUBLICATION, self._files)
        once: ColumnFiles | None = None  # the rows without repeats, where there are any
        for start, stop in pairwise(self._cuts()):
            rows = self._statements.frame(start, stop, STATEMENT)
            block, kept = block_of(rows, self._catalogue, self._coverage)
            if block.duplicates and once is None:
                once = self._beginning(start)
            if once is not None:
                once.add(kept)
            told.add(block.publications)
            self.duplicates += block.duplicates
            self.newest = max((one for one in (self.newest, block.newest) if one is not None), default=None)
            yield block
        self.sha256 = self._hash(self._statements if once is None else once, told)

    def _beginning(self, rows: int) -> ColumnFiles:
        """A copy of the first rows."""
        out = ColumnFiles(self._folder, STATED, self._files)
        for start, stop in pairwise([*range(0, rows, self._rows), rows]):
            out.add(self._statements.frame(start, stop, STATED))
        return out

    def _cuts(self) -> list[int]:
        """Places between which the rows of whole series lie, about a part at a time."""
        ends = np.concatenate(([0], self._counts[np.flatnonzero(self._counts)].cumsum()))
        cuts = [0]
        while cuts[-1] < ends[-1]:
            fits = int(np.searchsorted(ends, cuts[-1] + self._rows, side="right")) - 1
            cuts.append(int(ends[fits]) if ends[fits] > cuts[-1] else int(ends[fits + 1]))
        return cuts

    def _hash(self, once: ColumnFiles, told: ColumnFiles) -> str:
        """As `content_hash` of coverage, rows, rows set aside and publications."""
        hasher = hashlib.sha256(self._coverage.encode())
        self._hash_columns(hasher, once, STATEMENT)
        hash_frame(hasher, self.set_aside)
        self._hash_columns(hasher, told, PUBLICATION)
        return hasher.hexdigest()

    def _hash_columns(self, hasher: Any, files: ColumnFiles, schema: Mapping[str, pl.DataType]) -> None:
        places = [*files.slices(self._rows // 8 * 8)]  # the bits of eight rows are a byte
        for name, dtype in schema.items():
            hasher.update(f"{name} {files.rows}".encode())
            for start, stop in places:
                gaps = files.frame(start, stop, {name: dtype})[name].is_null()
                hasher.update(np.packbits(gaps.to_numpy()).data)
            for start, stop in places:
                column = files.frame(start, stop, {name: dtype})[name]
                hasher.update(plain(column).data)


def _parts(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """The columns of the file that count, so many rows at a time.

    Raises:
        DataError: it cannot be read, lacks a column, or has dates as text.
    """
    needed, optional = ("series_id", "period", "value"), ("published_at", "availability", "value_known_at")
    for part in parquet_parts(path, (*needed, *optional), rows):
        if any(part[name].dtype == pl.String for name in DATES if name in part.columns):
            raise whole_needed(path.name, "of dates that are text it is the whole column that tells what they are")
        yield polars_frame(part, needed, optional)


def parquet_parts(path: Path, columns: Collection[str], rows: int) -> Iterator[pl.DataFrame]:
    """Some columns of a Parquet file, as far as it has them, so many rows at a time.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            there = [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(rows, columns=there):
                part = pl.from_arrow(batch)
                assert isinstance(part, pl.DataFrame)  # noqa: S101 - a batch never becomes a series
                yield in_micros(part, path.name)
    except (pa.ArrowException, OSError, UnicodeError, pl.exceptions.PanicException) as error:
        raise not_parquet(path.name, error) from error


def _told(aside: pl.DataFrame) -> str:
    """The first row set aside."""
    first = aside.row(0, named=True)
    return f"{first['series_id']}, period {first['period']}, published {first['published']}"


def _aside_needed(parts: Parts, count: int, first: str) -> DataError:
    """So many rows are published later than now, which are kept in the order of series."""
    why = f"{count} row(s) are {NOT_YET} and would be set aside in the order of series, the first: {first}"
    if parts.path is not None:
        return too_large(parts.path, f"{why}; without them it can")
    return whole_needed(parts.label, why)


def whole_needed(label: str, why: str) -> DataError:
    """What is larger than memory, and has to be read as a whole."""
    allowed = f"{(available_memory() or 0) / 1e9:.3g} GB may be used: {limit_source()}"
    more = "allow more GB" if limit_source() == GIVEN else f"say how many GB may be used: {LIMIT}=16"
    return DataError(
        "this file is too large for the memory",
        value=label,
        rule=f"{allowed}; it needs to be read as a whole: {why}",
        fix=f"split it into several, or {more}",
    )
