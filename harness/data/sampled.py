"""The first and the last rows of a file too large to be guessed at as a whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from harness.core.errors import DataError
from harness.data.csv_text import csv_head, csv_tail
from harness.data.declared import TextForm
from harness.data.tables import BROKEN, CELL, CORRECT, TIMES, RawTable, in_micros, is_parquet, not_parquet
from harness.record.memory import available_memory

FIRST, MOST, LAST = 1 << 20, 1 << 26, 1 << 20
"""Bytes of text looked at: at the beginning, there at most where so much tells too little, and at the end."""
TIMES_MORE = 4
"""What the beginning grows by until it tells enough."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some rows of a file.

    Attributes:
        first: its first rows, and those alone.
        last: its last ones, of the same columns; without rows where the end cannot be read by itself (compressed).
    """

    first: RawTable
    last: RawTable


def sample(path: Path, text: TextForm, enough: Callable[[RawTable], bool], *, fix: str = CORRECT) -> Sample:
    """The first rows of a large file, more of them until they tell enough or memory does not allow more; and the last.

    Args:
        path: a CSV or Parquet file.
        text: how a CSV file is written.
        enough: whether its first rows tell enough.
        fix: what to do where it cannot be read.

    Raises:
        DataError: empty, damaged, or written in another encoding than declared.
    """
    read = _of_parquet if is_parquet(path) else _of_text
    limit = available_memory()
    size, most = FIRST, MOST if limit is None else max(FIRST, min(MOST, limit // (2 * TIMES)))
    try:
        while True:
            found = read(path, text, min(size, most))
            if size >= most or enough(found.first):
                return found
            size *= TIMES_MORE
    except BROKEN as error:
        if not is_parquet(path):
            raise DataError("data file cannot be read", value=path.name, rule=str(error)[:200], fix=fix) from error
        raise not_parquet(path.name, error) from error
    except OSError as error:
        raise DataError("data file cannot be read", value=path.name, rule=str(error), fix=fix) from error


def _of_text(path: Path, text: TextForm, size: int) -> Sample:
    ragged = dict[int, DataError]()
    head = csv_head(path, text, size, ragged)
    first = RawTable(path.name, head.rows.frame, 2, b"", ".csv", head.rows.lines).noting(ragged)
    first.refuse_ragged()
    last = RawTable(path.name, first.frame.head(0), 2, b"", ".csv")
    below = dict[int, DataError]()
    with suppress(
        DataError, *BROKEN
    ):  # where a place within the file cannot be read by itself, its beginning has to do
        found = csv_tail(path, text, head, LAST, below)
        if found is not None and found.frame.columns == first.frame.columns:
            last = RawTable(path.name, found.frame, 2, b"", ".csv", found.lines).noting(below)
    return Sample(first, last)


def _of_parquet(path: Path, _text: TextForm, size: int) -> Sample:
    rows = pl.scan_parquet(path)
    count = max(1, size // (CELL * max(1, len(rows.collect_schema()))))
    total = int(rows.select(pl.len()).collect().item())
    last = max(0, min(count, LAST // CELL, total - count))
    ends = [in_micros(one.collect(), path.name) for one in (rows.head(count), rows.slice(total - last, last))]
    first, below = (
        RawTable(path.name, frame, 1, b"", ".parquet", 1 + pl.int_range(start, start + frame.height, eager=True))
        for start, frame in zip((0, total - last), ends, strict=True)
    )
    if not first.frame.height:
        raise DataError("data file has no rows", value=path.name)
    return Sample(first, below)
