"""What the archive notes beside the values: declarations, batches, rows set aside, how far each series is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import polars as pl

from harness.core.errors import BeyondKnownError, DataError, UserError
from harness.core.series import Series
from harness.core.time import end_of_day, instant, micros
from harness.data.archive import questions
from harness.data.archive.provenance import note_raw
from harness.data.archive.store import insert, offered, query
from harness.data.batch import SET_ASIDE
from harness.data.cleaning.notes import RECORDS, Treated
from harness.data.declaration import Catalogue, Declarations
from harness.data.declared_before import declared_before


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of one batch.

    Attributes:
        batch: its number; 0 when the archive had all of it already and nothing was recorded.
        source: where it came from.
        rows_in: rows given.
        kept: statements (or forecasts) that were new.
        changes: change rows they made.
        duplicates: rows given twice, or known before.
        set_aside: rows not taken; `Archive.set_aside()` has them with the reason.
        known_through: instant up to which its series are known by it.
        sha256: content hash of what was given; of a batch with a sealed part a keyed one.
        restamped: rows whose value was there under a stamp that the file no longer has (`archive.restamped`).
        sealed: rows that went into a vault instead.
        ahead: rows published before the cut of a seal, of periods that end after it: they were public, and stay
            readable.
        uncompared: series of a home under seal that had too few values to be compared with sealed ones, in words.
        gone: rows that the archive has of the same file, and that are not in it any more (`archive.restamped`).
        withdrawn: withdrawals: rows without a value, and cells a complete publication left out.
    """

    batch: int
    source: str
    rows_in: int
    kept: int
    changes: int
    duplicates: int
    set_aside: int
    known_through: datetime | None
    sha256: str
    restamped: int = 0
    sealed: int = 0
    ahead: int = 0
    uncompared: str = ""
    gone: int = 0
    withdrawn: int = 0


def catalogue_of(connection: duckdb.DuckDBPyConnection) -> Catalogue:
    """The declared series; read again only where the table is not as it was when last read."""
    content = questions.series_content(connection)
    found = _CATALOGUES.pop(content, None) or _read_catalogue(connection)
    _CATALOGUES[content] = found
    while len(_CATALOGUES) > KEPT_CATALOGUES:
        _CATALOGUES.pop(next(iter(_CATALOGUES)), None)
    return found


KEPT_CATALOGUES = 4
_CATALOGUES: dict[tuple[object, ...], Catalogue] = {}
"""The catalogues read last, by the content of their tables."""


def _read_catalogue(connection: duckdb.DuckDBPyConnection) -> Catalogue:
    rows = query(connection, "SELECT code, id, spec FROM series ORDER BY code")
    codes = rows["code"].to_list()
    return Catalogue(
        dict(zip(rows["id"].to_list(), codes, strict=True)), Declarations.of(codes, rows["id"], rows["spec"])
    )


def refuse_other(known: Series, series: Series, cut: int | None = None) -> None:
    """Refuse a second, different declaration of a series; of a sealed one, by what stands in the clear.

    Args:
        known: as the archive has it.
        series: as it is given.
        cut: microseconds UTC from which on it is sealed; None = it is not.
    """
    if known == series or (cut is not None and known == declared_before(series, cut)):
        return
    fields = [name for name in Series.__dataclass_fields__ if getattr(known, name) != getattr(series, name)]
    differ = "; ".join(f"{name}: {getattr(known, name)!r}, now {getattr(series, name)!r}" for name in fields)
    raise UserError(
        "this series is already declared differently",
        value=f"{series.id}: {differ}",
        rule="a declaration may not change under the values it describes",
        fix="use another id, or start a new archive",
    )


def refuse_beyond(codes: list[int], known: Mapping[int, int], catalogue: Catalogue, at: int) -> None:
    """Refuse an instant later than what is known of any of some series."""
    for code in codes:
        name = catalogue.series[code].id
        if code not in known:
            raise BeyondKnownError("nothing was ingested of this series", value=name, fix="append its values first")
        if at > known[code]:
            raise BeyondKnownError(
                "an as-of question beyond what is known",
                value=f"{instant(at).isoformat()} for {name}, known through {instant(known[code]).isoformat()}",
                rule="what the archive has not ingested is refused, not guessed",
                fix="ask for an earlier instant, or append newer data (known_through= says how far a batch reaches)",
            )


def known_by(
    newest: int | None, given: datetime | date | None, catalogue: Catalogue, codes: list[int], now: int
) -> dict[int, int]:
    """Instant up to which each series of a batch is known by it.

    Args:
        newest: the batch's largest captured publication, microseconds UTC; None = it has none.
        given: what the caller says; a date is the end of that day in each series' zone.
        catalogue: the declared series.
        codes: the series of the batch.
        now: microseconds UTC.

    Raises:
        DataError: the caller's word is no date, lies in the future, or before the batch's own newest publication.
    """
    if given is None:
        return {} if newest is None else dict.fromkeys(codes, newest)
    if not isinstance(given, date):
        raise DataError("known_through is no date", value=repr(given), rule="a date, or an aware datetime")
    if isinstance(given, datetime):
        known = dict.fromkeys(codes, micros(given))
    else:
        known = {code: micros(end_of_day(given, catalogue.series[code].zone)) for code in codes}
    if max(known.values(), default=now) > now:
        raise DataError("known_through lies in the future", value=given, rule="nobody knows beyond now")
    if known and newest is not None and min(known.values()) < newest:
        raise DataError(
            "known_through lies before the batch's newest publication",
            value=f"{given}, newest {instant(newest).isoformat()}",
            rule="a batch is known at least as far as it reaches",
        )
    return known


def advance_known(connection: duckdb.DuckDBPyConnection, known: Mapping[int, int]) -> bool:
    """Move `known_through` forward; whether anything moved."""
    given = pl.DataFrame(
        {"code": list(known), "known_through": list(known.values())},
        schema={"code": pl.Int32, "known_through": pl.Int64},
    )
    before = query(connection, "SELECT code, known_through AS before FROM known").cast({"code": pl.Int32})
    late = pl.col("before").is_null() | (pl.col("known_through") > pl.col("before"))
    frame = given.join(before, on="code", how="left", maintain_order="left").filter(late).drop("before")
    if frame.height:
        with offered(connection, "moved", frame):
            connection.execute("DELETE FROM known k USING moved m WHERE k.code = m.code")
        insert(connection, "known", frame)
    return frame.height > 0


def record_treatment(connection: duckdb.DuckDBPyConnection, treated: Treated, batch: int) -> None:
    """Write a batch's cleaning record."""
    for name in RECORDS:
        insert(connection, name, treated.tables[name].with_columns(batch=pl.lit(batch, pl.Int32)))
    note_raw(connection, batch, treated.originals, table="originals")


def is_noted(connection: duckdb.DuckDBPyConnection, source: str) -> bool:
    """Whether a batch of this source was recorded."""
    return bool(connection.execute("SELECT 1 FROM batches WHERE source = ?", [source]).fetchall())


def is_recorded(connection: duckdb.DuckDBPyConnection, sha256: str) -> bool:
    """Whether a batch of this content was recorded."""
    return bool(connection.execute("SELECT 1 FROM batches WHERE sha256 = ?", [sha256]).fetchall())


def next_batch(connection: duckdb.DuckDBPyConnection) -> int:
    """The number of the next batch."""
    return int(connection.execute("SELECT coalesce(max(batch), 0) + 1 FROM batches").fetchall()[0][0])


def record(
    connection: duckdb.DuckDBPyConnection,
    report: BatchReport,
    *,
    kind: str,
    coverage: str,
    aside: pl.DataFrame,
    now: int,
    treated: Treated | None = None,
) -> None:
    """Write a batch's row, the rows it set aside, and its cleaning record."""
    reasons = {str(reason): int(count) for reason, count in aside.group_by("reason").len().sort("reason").rows()}
    row = {
        "batch": report.batch,
        "kind": kind,
        "source": report.source,
        "coverage": coverage,
        "sha256": report.sha256,
        "rows_in": report.rows_in,
        "kept": report.kept,
        "duplicates": report.duplicates,
        "set_aside": report.set_aside,
        "known_through": None if report.known_through is None else micros(report.known_through),
        "cleaning": json.dumps(
            {"duplicates": report.duplicates, "set_aside": reasons}
            | ({"restamped": report.restamped} if report.restamped else {})
            | ({"sealed": report.sealed} if report.sealed else {})
        ),
        "ingested": now,
    }
    insert(connection, "batches", pl.DataFrame([row]))
    rows = aside.select(SET_ASIDE.names()).with_columns(batch=pl.lit(report.batch, pl.Int32))
    insert(connection, "set_aside", rows)
    if treated is not None:
        record_treatment(connection, treated, report.batch)
