"""On which line of a CSV file each of its rows begins: rows with line breaks in quotes take several."""

from __future__ import annotations

import numpy as np
import polars as pl

NEWLINE, QUOTE = b'\n"'


def row_lines(text: str, rows: int) -> pl.Series | None:
    r"""[row] number of the line on which each row begins.

    Args:
        text: a table, with the names of its columns.
        rows: how many it has below these, as they were read.

    Returns:
        None: they follow each other from line 2 on, or cannot be told from the text.

    >>> row_lines('a,b\n"1\n2",3\n4,5\n', 2).to_list()
    [2, 4]
    """
    blank = text[: len(text) - len(text.lstrip("\r\n"))].count("\n")
    lines = text.count("\n") + (not text.endswith("\n"))
    if lines == blank + 1 + rows:
        return pl.int_range(2 + blank, 2 + blank + rows, dtype=pl.Int64, eager=True) if blank else None
    raw = np.frombuffer(text.encode(), dtype=np.uint8)
    ends = np.flatnonzero(raw == NEWLINE)
    outside = np.searchsorted(np.flatnonzero(raw == QUOTE), ends) % 2 == 0
    begins = np.flatnonzero(np.concatenate(([True], outside)))[: None if ends[-1] + 1 < len(raw) else -1] + 1
    found = begins[blank + 1 :]
    return pl.Series(found, dtype=pl.Int64) if len(found) == rows else None
