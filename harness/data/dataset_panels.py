"""One declaration for every id that is found in a file: what `[series."*"]` of a `dataset.toml` stands for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import polars as pl

from harness.core.errors import UnknownNameError, UserError
from harness.core.reading import Table
from harness.core.series import check_id
from harness.data.csv_text import csv_parts
from harness.data.declared import Source, TextForm
from harness.data.tables import BROKEN, CORRECT, beyond_memory, damage, ending, is_parquet, read_file

ANY = "*"
WHERE = f'series."{ANY}"'
ROWS = 1 << 18
"""Rows of a file larger than memory that are looked through together."""


def expanded(
    sources: tuple[Source, ...], declared: Mapping[str, str], folder: Path, top: Table
) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Sources with the ids that are in their files in place of `*`; what is wrong is noted.

    Args:
        sources: as declared.
        declared: name in the file -> bare id, of the series that have a declaration of their own.
        folder: of the dataset.
        top: where problems are noted.

    Returns:
        The sources, and all ids that have no declaration of their own, ascending.
    """
    out, others = [], set[str]()
    if not any(ANY in source.series for source in sources):
        top.problems.add(WHERE, "no [[source]] has it", hint=f'leave out `series`, or add "{ANY}" to it')
    for source in sources:
        if ANY not in source.series:
            out.append(source)
            continue
        names = _inside(source, folder, top)
        found = [name for name in names if name not in declared]
        _note_unfit(found, source, top)
        others.update(found)
        out.append(replace(source, series=(*(declared[name] for name in names if name in declared), *found)))
    return tuple(out), tuple(sorted(others))


def note_renamed(sources: Collection[Source], renamed: Collection[str], top: Table) -> None:
    """Note steps on names in sources whose ids are taken from the file: it has the names before those steps.

    Args:
        sources: with their treatment.
        renamed: labels of the sources that had `*`.
        top: where problems are noted.
    """
    for source in sources:
        if source.label in renamed and source.treatment.stage("names"):
            top.problems.add(
                WHERE,
                f"goes with no step on the names of {source.label}: the ids are those of the file as it is",
                hint="declare the series one by one, or leave the step out",
            )


def _inside(source: Source, folder: Path, top: Table) -> tuple[str, ...]:
    column = source.column("series") if source.layout == "long" else ""
    if not source.file or (source.layout == "long" and not column):
        top.problems.add(WHERE, f"{source.label} has no column of ids", hint='name it: columns.series = "..."')
        return ()
    path, used = folder / source.file, tuple(name for _, name in source.columns)
    try:
        status = path.stat()
        names = _names(path, (status.st_size, status.st_mtime_ns, status.st_ino), source.text, column, used)
    except BROKEN as error:
        top.problems.add(WHERE, f"{source.label} is not a readable Parquet file ({damage(error)})")
    except OSError as error:
        top.problems.add(WHERE, f"{source.label} cannot be read ({error.strerror})", hint=CORRECT)
    except UserError as error:
        told = [": ".join(filter(None, (error.what, error.value))), error.rule]
        top.problems.add(WHERE, "; ".join(filter(None, told)), hint=error.fix)
    else:
        if not names:
            where = f"in column {column!r}" if column else "among the columns"
            top.problems.add(WHERE, f"no id {where} of {source.label}")
        return names
    return ()


@lru_cache(maxsize=16)
def _names(path: Path, _status: tuple[int, ...], text: TextForm, column: str, used: tuple[str, ...]) -> tuple[str, ...]:
    """Ids in a column (or columns that are ids, where none holds them), ascending; `_status` tells changed files."""
    if is_parquet(path):
        columns = pl.scan_parquet(path).collect_schema().names()
        if not column:
            return tuple(sorted(set(columns) - set(used)))
        if column in columns:
            told = pl.scan_parquet(path).select(pl.col(column).cast(pl.String).drop_nulls().unique())
            return tuple(sorted(filter(None, told.collect(engine="streaming").to_series().to_list())))
    if ending(path.name).startswith(".csv") and beyond_memory(path):
        return _names_in_parts(path, text, column, used)
    table = read_file(path, text, ragged=True).regular  # a step leaves the others out, or they are refused
    if not column:
        return tuple(sorted(set(table.frame.columns) - set(used)))
    return tuple(sorted(_distinct(table.column(column))))


def _distinct(column: pl.Series) -> list[str]:
    return column.cast(pl.String).drop_nulls().unique().to_list()


def _names_in_parts(path: Path, text: TextForm, column: str, used: tuple[str, ...]) -> tuple[str, ...]:
    """The same of a CSV file that is too large to be held."""
    columns = next(csv_parts(path, text, 1)).frame.columns
    if not column:
        return tuple(sorted(set(columns) - set(used)))
    if column not in columns:
        raise UnknownNameError(f"column of {path.name}", column, columns)
    return tuple(
        sorted({name for part in csv_parts(path, text, ROWS, (column,)) for name in _distinct(part.frame[column])})
    )


def _note_unfit(names: Collection[str], source: Source, top: Table) -> None:
    unfit = [name for name in names if not fits(name)]
    if unfit:
        top.problems.add(
            WHERE,
            f"{unfit[0]!r} in {source.label} cannot be an id ({len(unfit)} such)",
            hint='an id has no blanks and no "/"; declare such a series by itself, with in_file',
        )


def fits(name: str) -> bool:
    """Whether a name in a file can be an id as it stands."""
    try:
        check_id(name)
    except UserError:
        return False
    return "/" not in name and name != ANY
