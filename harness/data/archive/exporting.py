"""The change folder of an open archive: what its tables hold, sorted and coded as the change file wants it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from harness.core.ahead import ahead
from harness.core.time import NEVER
from harness.data.archive import questions
from harness.data.archive.announcing import event_rows, final_values, member_rows
from harness.data.archive.store import query
from harness.data.changes import FORMAT, MANIFEST, ChangeFile, manifest_hash
from harness.data.declaration import Catalogue
from harness.data.laying import PART, Laid
from harness.data.saving import OF_EACH, hold_changes, write_changes
from harness.record.arrow import numbers

CHANGES = f"""
SELECT code, period::BIGINT AS period, published, coalesce(value, 'nan'::DOUBLE) AS value, availability,
       coalesce(vintage, {NEVER}) AS vintage
FROM changes
"""  # noqa: S608 - a number of ours
PUBLICATIONS = """
SELECT code, published, first::BIGINT AS first, last::BIGINT AS last, complete::UTINYINT AS complete,
       captured::UTINYINT AS captured, countable::UTINYINT AS countable
FROM publications p
"""
# a publication once missed and captured later is no longer missing
STILL_MISSED = """
WHERE captured OR NOT EXISTS (
    SELECT 1 FROM publications q WHERE q.code = p.code AND q.published = p.published AND q.captured)
"""
# every publication stands where its change does, and says no more than that this was published
OTHERS = """
SELECT 1 FROM changes c POSITIONAL JOIN publications p
WHERE c.code IS DISTINCT FROM p.code OR c.published IS DISTINCT FROM p.published
    OR c.period IS DISTINCT FROM p.first OR c.period IS DISTINCT FROM p.last
    OR p.complete OR NOT p.captured OR NOT p.countable
LIMIT 1
"""
ORDER = ("published", "code", "first", "last", "complete", "countable", "captured")
FORECAST_ORDER = ("issued", "source", "code", "period", "quantile")
FORECASTS = "SELECT source, code, issued, cutoff, period, quantile, value, conditioning, backfilled FROM forecasts_in"

MEMORY = "1GB"
"""What the engine may keep of the file it reads; the rows are read once."""


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
    with _bounded(connection):
        return write_changes(folder, _tables(connection, catalogue), state=state)


def hold_changes_of(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> ChangeFile:
    """The change file of an open archive, held in memory alone."""
    return hold_changes(dict(_tables(connection, catalogue)), state=questions.state(connection))


@contextmanager
def _bounded(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let the engine keep little of what it reads; one that holds more already, in a transaction, goes on as it is."""
    with suppress(duckdb.OutOfMemoryException):
        connection.execute(f"SET memory_limit = '{MEMORY}'")
    try:
        yield
    finally:
        connection.execute("RESET memory_limit")


def _tables(
    connection: duckdb.DuckDBPyConnection, catalogue: Catalogue
) -> Iterator[tuple[str, Mapping[str, pl.Series] | Laid]]:
    """The tables of the change file, one after the other: the largest are made part by part."""
    # codes of the file follow the order of the stored ids, so that sorting by code is sorting by id
    ids = sorted(catalogue.codes)
    codes = np.fromiter((catalogue.codes[name] for name in ids), dtype=np.int64, count=len(ids))
    rank = np.zeros(max(catalogue.series, default=-1) + 1, dtype=np.int32)
    rank[codes] = np.arange(len(ids), dtype=np.int32)

    def coded(frame: pl.DataFrame, order: tuple[str, ...]) -> pl.DataFrame:
        return frame.with_columns(pl.Series("code", rank[frame["code"].to_numpy()])).sort(order)

    yield "series", _series(connection, catalogue, ids, codes)
    finals = final_values(connection, catalogue)
    yield "changes", _laid(connection, CHANGES, finals, rank, ("published", "code", "period"))
    if not finals.height and not connection.execute(OTHERS).fetchall():
        yield "publications", OF_EACH
    else:
        yield "publications", _publications(connection, finals, rank)
    yield "forecasts", coded(query(connection, FORECASTS), FORECAST_ORDER).to_dict()
    yield "events", coded(event_rows(connection, catalogue), ("announced", "code", "ex", "kind")).to_dict()
    yield "members", coded(member_rows(connection), ("announced", "universe", "code", "first")).to_dict()


def _publications(connection: duckdb.DuckDBPyConnection, finals: pl.DataFrame, rank: NDArray[np.int32]) -> Laid:
    """All publications, row by row."""
    stated = finals.select(
        "code", "published", pl.col("period").alias("first"), pl.col("period").alias("last"),
        complete=pl.lit(value=False), captured=pl.lit(value=True), countable=pl.lit(value=True),
    )  # fmt: skip
    missed = connection.execute("SELECT 1 FROM publications WHERE NOT captured LIMIT 1").fetchall()
    text = PUBLICATIONS + STILL_MISSED * bool(missed)
    return _laid(connection, text, stated, rank, ORDER)


def _laid(
    connection: duckdb.DuckDBPyConnection,
    text: str,
    more: pl.DataFrame,
    rank: NDArray[np.int32],
    order: tuple[str, ...],
) -> Laid:
    """The rows of a question, and some more, in the order of the change file.

    Args:
        connection: an open archive.
        text: the question; its columns are numbers without gaps, `code` among them.
        more: rows that are not in the archive's table.
        rank: [code of the archive] code of the file.
        order: columns they are sorted by, the instant first.
    """
    blank = query(connection, f"SELECT * FROM ({text}) LIMIT 0")  # noqa: S608 - questions of ours
    count = f"SELECT {order[0]}, count(*) AS rows FROM ({text}) GROUP BY ALL"  # noqa: S608
    further = more.select(blank.columns).cast(blank.schema)
    counts = query(connection, count), further.group_by(order[0]).agg(pl.len().cast(pl.Int64).alias("rows"))
    counted = pl.concat(counts).group_by(order[0]).agg(pl.col("rows").sum()).sort(order[0])

    rows = int(counted["rows"].sum())

    def parts() -> Iterator[dict[str, NDArray[Any]]]:
        found = _parts(connection, text, further)
        for columns in ahead(found) if rows > PART else found:
            yield columns | {"code": rank[columns["code"]]}

    return Laid(
        rows,
        {name: blank[name].to_numpy().dtype for name in blank.columns},
        order,
        counted[order[0]].to_numpy(),
        counted["rows"].to_numpy(),
        parts,
    )


def _parts(connection: duckdb.DuckDBPyConnection, text: str, more: pl.DataFrame) -> Iterator[dict[str, NDArray[Any]]]:
    """The rows of a question in the order they lie in the archive, and some more.

    The columns of a part are made anew two parts later, in the same place.
    """
    found, kept = list[pa.RecordBatch](), cycle([dict[str, NDArray[Any]](), {}])
    for batch in connection.sql(text).to_arrow_reader(PART):
        found.append(batch)
        if sum(one.num_rows for one in found) >= PART:
            yield _columns(found, next(kept))
            found.clear()
    if found:
        yield _columns(found, next(kept))
    if more.height:
        yield {name: more[name].to_numpy() for name in more.columns}


def _columns(batches: list[pa.RecordBatch], kept: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The columns of some batches, in arrays that are kept for the next ones."""
    rows = sum(one.num_rows for one in batches)
    for place, name in enumerate(batches[0].schema.names):
        pieces = [numbers(one.column(place)) for one in batches]
        if name not in kept or len(kept[name]) < rows:
            kept[name] = np.empty(rows, dtype=pieces[0].dtype)
        np.concatenate(pieces, out=kept[name][:rows])
    return {name: column[:rows] for name, column in kept.items()}


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
