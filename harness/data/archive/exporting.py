"""The change folder of an open archive: what its tables hold, sorted and coded as the change file wants it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.time import NEVER
from harness.data.archive import questions
from harness.data.archive.announcing import event_rows, final_values, member_rows
from harness.data.archive.store import query
from harness.data.changes import FORMAT, MANIFEST, ChangeFile, manifest_hash
from harness.data.declaration import Catalogue
from harness.data.derive import is_sorted
from harness.data.saving import hold_changes, write_changes

CHANGES = f"""
SELECT code, period::BIGINT AS period, published, coalesce(value, 'nan'::DOUBLE) AS value, availability,
       coalesce(vintage, {NEVER}) AS vintage
FROM changes
"""  # noqa: S608 - a number of ours
PUBLICATIONS = """
SELECT code, published, first::BIGINT AS first, last::BIGINT AS last, complete, captured, countable
FROM publications p
"""
# a publication once missed and captured later is no longer missing
STILL_MISSED = """
WHERE captured OR NOT EXISTS (
    SELECT 1 FROM publications q WHERE q.code = p.code AND q.published = p.published AND q.captured)
"""
FORECASTS = "SELECT source, code, issued, cutoff, period, quantile, value, conditioning, backfilled FROM forecasts_in"

INSTANTS = 1 << 16
"""Different instants up to which rows are put in order by counting, and the rows counted at a time."""


def export_changes(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, folder: Path) -> Path:
    """Write the change folder of an open archive, or find the one already written for its state."""
    state = questions.state(connection)
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        text = manifest.read_bytes()
        if manifest_hash(text) != manifest.parent.name:
            continue
        # a folder of an earlier form is left alone, and the state written once more in the present one
        if (json.loads(text)["format"], json.loads(text)["state"]) == (FORMAT, state):
            return manifest.parent
    return write_changes(folder, _tables(connection, catalogue), state=state)


def hold_changes_of(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> ChangeFile:
    """The change file of an open archive, held in memory alone."""
    return hold_changes(dict(_tables(connection, catalogue)), state=questions.state(connection))


def _tables(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue
) -> Iterator[tuple[str, Mapping[str, pl.Series]]]:
    """The tables of the change file, one after the other: the largest are not in memory together."""
    # codes of the file follow the order of the stored ids, so that sorting by code is sorting by id
    ids = sorted(catalogue.codes)
    codes = np.fromiter((catalogue.codes[name] for name in ids), dtype=np.int64, count=len(ids))
    rank = np.zeros(max(catalogue.series, default=-1) + 1, dtype=np.int32)
    rank[codes] = np.arange(len(ids), dtype=np.int32)

    def read(text: str, order: tuple[str, ...], more: pl.DataFrame | None = None) -> pl.DataFrame:
        return coded(joined(query(connection, text), more), order)

    def joined(frame: pl.DataFrame, more: pl.DataFrame | None) -> pl.DataFrame:
        if more is None or not more.height:
            return frame
        return pl.concat([frame, more.select(frame.columns).cast(frame.schema)])

    def coded(frame: pl.DataFrame, order: tuple[str, ...]) -> pl.DataFrame:
        recoded = [_recoded(frame, rank)]
        del frame
        return arranged(recoded.pop(), order)

    yield "series", _series(connection, catalogue, ids, codes)
    finals = final_values(connection, catalogue)
    yield "changes", read(CHANGES, ("published", "code", "period"), finals).to_dict()
    stated = finals.select(
        "code", "published", pl.col("period").alias("first"), pl.col("period").alias("last"),
        complete=pl.lit(value=False), captured=pl.lit(value=True), countable=pl.lit(value=True),
    )  # fmt: skip
    missed = connection.execute("SELECT 1 FROM publications WHERE NOT captured LIMIT 1").fetchall()
    publications = read(
        PUBLICATIONS + STILL_MISSED * bool(missed),
        ("published", "code", "first", "last", "complete", "countable", "captured"),
        stated,
    )
    yield "publications", once(publications).to_dict()
    del publications
    yield "forecasts", read(FORECASTS, ("issued", "source", "code", "period", "quantile")).to_dict()
    yield "events", coded(event_rows(connection, catalogue), ("announced", "code", "ex", "kind")).to_dict()
    yield "members", coded(member_rows(connection), ("announced", "universe", "code", "first")).to_dict()


def _series(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, ids: list[str], codes: NDArray[np.int64]
) -> dict[str, pl.Series]:
    known = np.full(max(catalogue.series, default=-1) + 1, NEVER)
    reached = query(connection, "SELECT code, known_through FROM known")
    known[reached["code"].to_numpy()] = reached["known_through"].to_numpy()
    return {
        "code": pl.Series(range(len(ids)), dtype=pl.Int32),
        "id": pl.Series(ids, dtype=pl.String),
        "spec": pl.Series(catalogue.texts(codes.tolist()), dtype=pl.String),
        "known_through": pl.Series(known[codes], dtype=pl.Int64),
    }


def _recoded(frame: pl.DataFrame, rank: NDArray[np.int32]) -> pl.DataFrame:
    return frame.with_columns(pl.Series("code", rank[frame["code"].to_numpy()]))


def once(rows: pl.DataFrame) -> pl.DataFrame:
    """Sorted rows, those that are alike in everything once."""
    if rows.height < 2:
        return rows
    again = np.ones(rows.height - 1, dtype=bool)
    for column in rows.get_columns():
        numbers = column.to_numpy()
        again &= numbers[1:] == numbers[:-1]
    return rows.filter(np.concatenate(([True], ~again))) if again.any() else rows


def arranged(frame: pl.DataFrame, order: tuple[str, ...]) -> pl.DataFrame:
    """Rows sorted by columns, of which the first holds instants in microseconds UTC.

    As `frame.sort(order)`, and faster where the rows are sorted by the others already, or by the second, the instant
    and the rest, as a batch enters them: then the instants are counted out into their places.
    """
    plain = all((one.dtype.is_numeric() or one.dtype == pl.Boolean) and not one.null_count() for one in frame)
    others = [frame[name] for name in order[1:]]
    if not plain or any(one.dtype.is_float() for one in others):
        return frame.sort(order)
    key, *rest = (one.to_numpy() for one in others)
    if not (is_sorted([key, *rest]) or is_sorted([key, frame[order[0]].to_numpy(), *rest])):
        return frame.sort(order)
    instants = frame[order[0]].unique().sort()
    if len(instants) > INSTANTS:
        return frame.sort(order)
    place = frame[order[0]].replace_strict(instants, pl.int_range(len(instants), dtype=pl.UInt16, eager=True))
    places = _places(place.to_numpy(), len(instants))
    columns = frame.get_columns()
    del frame, others, place  # what was read of a column goes before the next one is written
    for number, one in enumerate(columns):
        given = one.to_numpy()
        out = np.empty(len(given), dtype=given.dtype)
        for start in range(0, len(given), INSTANTS):
            out[places[start : start + INSTANTS]] = given[start : start + INSTANTS]
        columns[number] = pl.Series(one.name, out)
    return pl.DataFrame(columns)


def _places(numbers: NDArray[np.uint16], count: int) -> NDArray[np.int64]:
    """[row] its place in the order of small numbers; rows of one number stay in order.

    Args:
        numbers: [row] from 0 to below `count`.
        count: of different numbers.
    """
    free = np.bincount(numbers, minlength=count).cumsum() - np.bincount(numbers, minlength=count)
    places = np.empty(len(numbers), dtype=np.int64)
    for start in range(0, len(numbers), INSTANTS):
        mine = numbers[start : start + INSTANTS]
        order = np.argsort(mine, kind="stable")  # 16 bits are sorted by counting
        counts = np.bincount(mine, minlength=count)
        ascending = mine[order]
        places[start + order] = (free - (counts.cumsum() - counts))[ascending] + np.arange(len(mine))
        free += counts
    return places
