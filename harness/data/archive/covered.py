"""What a seal covers of an archive: which rows of which tables, and what may be asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import duckdb
import polars as pl

from harness.core.time import micros
from harness.data.archive import Archive
from harness.data.archive.questions import SEALS
from harness.data.archive.store import later_table, offered, query
from harness.data.declaration import Declarations, texts_alike
from harness.data.declared_before import declared_before
from harness.data.tags import label_of
from harness.record.seals import Seal

# frames that a statement can name while an archive is split
CODES, SOURCES, UNIVERSES, OPEN, OF_SEAL, LISTS, REFUSED = (
    "sealed_codes", "sealed_sources", "sealed_universes", "open_series", "sealed_batches", "sealed_lists",
    "sealed_refusals",
)  # fmt: skip
MINE = f"code IN (FROM {CODES})"
ISSUED = f"(source IN (FROM {SOURCES}) OR {MINE})"
NAMED = f"(universe IN (FROM {UNIVERSES}) OR {MINE})"
LISTED = ("forecasts", "members")
"""Kinds of batches that name more than series."""
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00"
UNPROVEN = (
    f"batch IN (FROM {OF_SEAL}) AND (batch IN (FROM {LISTS}) OR coalesce(SERIES, '') NOT IN (FROM {OPEN})) AND NOT"
    f" (regexp_full_match(coalesce(published, ''), '{STAMP}') AND left(published, 19) < 'DAY')"
)
SEALED = {
    "changes": f"{MINE} AND (published >= CUT OR (availability = 2 AND coalesce(vintage >= CUT, false)))",
    "restatements": f"{MINE} AND published >= CUT",
    "publications": f"{MINE} AND published >= CUT",
    "forecasts_in": f"issued >= CUT AND {ISSUED}",
    "events": f"announced >= CUT AND {MINE}",
    "members": f"announced >= CUT AND {NAMED}",
    "set_aside": UNPROVEN.replace("SERIES", "series_id"),
    "touched": UNPROVEN.replace("SERIES", "series"),
    "failures": UNPROVEN.replace("SERIES", "series"),
    "refusals": f"refusal IN (FROM {REFUSED})",
    "refused_assertions": f"refusal IN (FROM {REFUSED})",
    "refused_failures": f"refusal IN (FROM {REFUSED})",
}
"""What of each table is sealed; of cleaning records, what was not provably published before the cut."""
STAMPS = {
    "changes": "published", "restatements": "published", "publications": "published", "forecasts_in": "issued",
    "events": "announced", "members": "announced",
}  # fmt: skip
"""When each statement of a table became known."""
CLEAR = ("meta", "series", "seals")
"""Tables that stay as they are, but for `DECLARED`. Every table is here, in `SEALED`, in `CAPPED` or in `HASHED`."""
DECLARED = "declarations"
"""Kind of a part with whole declarations (id, spec) of series of which releases or closures are sealed; in the clear
stands what `declared_before` leaves. Its facts have keyed hashes of them, by which another declaration is told."""
SERIES = "series"
DATED = """(spec NOT LIKE '%"closures":[]%' OR (spec LIKE '%"dates":%' AND
(spec NOT LIKE '%"dates":[]%' OR spec NOT LIKE '%"exceptions":[]%')))"""
HASHED = {"cleaning": "", "assertions": "", "raw_files": "raw", "originals": "original"}
"""Tables whose hashes could give short contents away, of what is sealed: the vault keeps them, and in the clear stand
hashes keyed under this word ("" = none, nothing is looked up by them)."""
CAPPED = {"batches": f"batch IN (FROM {OF_SEAL})", "known": MINE}
"""Tables whose `known_through` ends before the cut; the vault keeps what they said."""


def seals_within(archive: Archive) -> set[str]:
    """Ids of the seals that an archive was split by."""
    with archive.store.reading() as connection:  # which, inside a transaction, is its own
        return set(later_table(connection, "seals", SEALS)["seal"].to_list())


def sealed_rows(archive: Archive, seal: Seal) -> dict[str, int]:
    """How many rows of each table a seal would take out of an archive."""
    with archive.store.attached() as (connection, source), chosen(connection, source, seal):
        there = columns_of(connection, source)
        dated = dated_declarations(connection, source, seal)[0].height
        return {table: covered_rows(connection, source, table, seal) for table in SEALED if table in there} | {
            DECLARED: dated
        }


def newest_sealed(archive: Archive, seal: Seal) -> int:
    """When the newest of all that a seal covers was published, issued or announced, in an archive that has it in full.

    Returns:
        Microseconds UTC; the cut, when there is nothing.
    """
    newest = [micros(seal.instant)]
    with archive.store.attached() as (connection, source), chosen(connection, source, seal):
        there = columns_of(connection, source)
        for table, stamp in STAMPS.items():
            if table in there:
                text = f"SELECT max({stamp}) FROM {source}.{table} WHERE {sealed_where(table, seal)}"  # noqa: S608
                newest += [int(at) for (at,) in connection.execute(text).fetchall() if at is not None]
    return max(newest)


def reaches_back(archive: Archive, seal: Seal) -> bool:
    """Whether some of what is sealed is dated before the cut: history that a later vintage put there."""
    with archive.store.attached() as (connection, source), chosen(connection, source, seal):
        where = f"{sealed_where('changes', seal)} AND published < {micros(seal.instant)}"
        return bool(connection.execute(f"SELECT 1 FROM {source}.changes WHERE {where} LIMIT 1").fetchall())  # noqa: S608


def raw_of(archive: Archive, seal: Seal) -> tuple[set[str], set[str]]:
    """Hashes of the raw files of batches that say something of what is sealed, and of all other batches."""
    with archive.store.attached() as (connection, source), chosen(connection, source, seal):
        if "raw_files" not in columns_of(connection, source):
            return set(), set()
        text = f"SELECT sha256, batch IN (FROM {OF_SEAL}) FROM {source}.raw_files"  # noqa: S608
        rows = connection.execute(text).fetchall()
    return {str(one) for one, mine in rows if mine}, {str(one) for one, mine in rows if not mine}


def sealed_where(table: str, seal: Seal) -> str:
    """The condition of the rows of a table that a seal covers; valid within `chosen`."""
    return SEALED[table].replace("CUT", str(micros(seal.instant))).replace("DAY", seal.instant.isoformat()[:19])


@contextmanager
def chosen(connection: duckdb.DuckDBPyConnection, source: str, seal: Seal) -> Iterator[list[int]]:
    """What a seal covers, under the names that conditions use; yields the codes of its series."""
    rows = connection.execute(f"SELECT code, id FROM {source}.series ORDER BY code").fetchall()  # noqa: S608
    codes = [int(code) for code, name in rows if seal.covers(name)]
    frames = {
        CODES: pl.DataFrame({"code": codes}, schema={"code": pl.Int32}),
        OPEN: pl.DataFrame({"id": [name for code, name in rows if code not in set(codes)]}, schema={"id": pl.String}),
        SOURCES: pl.DataFrame({"source": list(seal.sources)}, schema={"source": pl.String}),
        UNIVERSES: pl.DataFrame({"universe": list(seal.universes)}, schema={"universe": pl.String}),
    }
    with ExitStack() as stack:
        for name, frame in frames.items():
            stack.enter_context(offered(connection, name, frame))
        mine = _batches(connection, source, seal)
        stack.enter_context(offered(connection, OF_SEAL, mine))
        # a record of these does not say of whom a forecast was, or of what universe a member: series tell nothing
        text = f"SELECT batch FROM {source}.batches WHERE kind IN {LISTED}"  # noqa: S608
        lists = {batch for (batch,) in connection.execute(text).fetchall()}
        stack.enter_context(offered(connection, LISTS, mine.filter(pl.col("batch").is_in(lists))))
        stack.enter_context(offered(connection, REFUSED, _refusals(connection, source, seal)))
        yield codes


def _batches(connection: duckdb.DuckDBPyConnection, source: str, seal: Seal) -> pl.DataFrame:
    """Batches that say something of what is sealed, also when every row of theirs was set aside or had come before.

    Those without rows are told by what they are called: the dataset; the issuers; a file of which another batch is one.
    """
    there = columns_of(connection, source)
    told = dict.fromkeys(("changes", "restatements", "publications", "events"), MINE)
    told |= {"forecasts_in": ISSUED, "members": NAMED}
    told |= {"set_aside": f"series_id IN (SELECT id FROM {source}.series WHERE {MINE})"}  # noqa: S608
    parts = [f"SELECT batch FROM {source}.{name} WHERE {test}" for name, test in told.items() if name in there]  # noqa: S608
    found = {int(batch) for (batch,) in connection.execute(" UNION ".join(parts)).fetchall()}
    tagged = connection.execute(f"SELECT batch, kind, source FROM {source}.batches").fetchall()  # noqa: S608
    files = {label_of(tag) for batch, kind, tag in tagged if batch in found and kind in LISTED} - {""}
    found |= {
        int(batch)
        for batch, kind, tag in tagged
        if tag.partition(": ")[0] in seal.datasets
        or (kind == "forecasts" and any(f", {one}, " in f", {tag}, " for one in seal.sources))
        or (kind in LISTED and label_of(tag) in files)
    }
    return pl.DataFrame({"batch": sorted(found)}, schema={"batch": pl.Int32})


def _refusals(connection: duckdb.DuckDBPyConnection, source: str, seal: Seal) -> pl.DataFrame:
    """Ingests of sealed datasets that were refused, with the reason, which may tell values."""
    there = "refusals" in columns_of(connection, source)
    rows = connection.execute(f"SELECT refusal, dataset FROM {source}.refusals").fetchall() if there else []  # noqa: S608
    return pl.DataFrame(
        {"refusal": [one for one, dataset in rows if dataset in seal.datasets]}, schema={"refusal": pl.Int32}
    )


def columns_of(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, list[str]]:
    """Columns of every table of a database, by table."""
    rows = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = ? AND NOT internal"
        " ORDER BY table_name, column_index",
        [database],
    ).fetchall()
    tables: dict[str, list[str]] = {}
    for table, column in rows:
        tables.setdefault(table, []).append(column)
    return tables


def covered_rows(connection: duckdb.DuckDBPyConnection, source: str, table: str, seal: Seal) -> int:
    """How many rows of a table a seal covers; within `chosen`."""
    where = sealed_where(table, seal)
    return int(connection.execute(f"SELECT count(*) FROM {source}.{table} WHERE {where}").fetchall()[0][0])  # noqa: S608


def dated_declarations(
    connection: duckdb.DuckDBPyConnection, database: str, seal: Seal
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Declarations (id, spec) that a cut changes: as they are, and as they stand in the clear; within `chosen`."""
    found = query(connection, f"SELECT id, spec FROM {database}.series WHERE {MINE} AND {DATED} ORDER BY code")  # noqa: S608
    keys = range(found.height)
    clear = found["spec"].to_list()
    for one, mine in Declarations.of(keys, found["id"], found["spec"]).shaped():
        left = declared_before(one, micros(seal.instant))
        for key, text in zip(mine, texts_alike(left, found["id"].gather(mine).to_list()), strict=True):
            clear[key] = text
    changed = found["spec"] != pl.Series("spec", clear, dtype=pl.String)
    return found.filter(changed), found.with_columns(spec=pl.Series(clear, dtype=pl.String)).filter(changed)
