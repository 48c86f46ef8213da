"""How a batch enters the archive: against what already stands there, inside one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from harness.core.time import period_ends
from harness.data.archive.cut import Cuts
from harness.data.archive.held_rows import HeldRows
from harness.data.archive.restamped import Otherwise, otherwise
from harness.data.archive.store import insert, offered, query
from harness.data.batch import Batch, contradiction
from harness.data.declaration import Catalogue
from harness.data.derive import (
    CELL,
    CHANGE,
    DROPPED,
    ORDER,
    RESTATEMENT,
    STATEMENT,
    assumed,
    covered,
    earliest,
    kinds,
    restored,
    said,
    with_decimals,
)
from harness.data.lags import release_micros

PUBLICATION_KEY = ("code", "published", "first", "last", "complete", "captured", "countable")
EARLIER = """
SELECT * FROM (SELECT * FROM changes WHERE availability <> 2 UNION ALL SELECT * FROM restatements)
SEMI JOIN cells USING (code, period)
"""
STANDING = f"{EARLIER} QUALIFY row_number() OVER (PARTITION BY code, period ORDER BY published DESC) = 1"
OPENING = """
SELECT c.* FROM changes c JOIN (
    SELECT o.code, min(o.published) AS vintage_at FROM changes o JOIN earliest e ON o.code = e.code
    WHERE o.availability <> 2 AND o.vintage IS NOT NULL
    GROUP BY o.code, e.published HAVING e.published <= min(o.published)
) v ON v.code = c.code
WHERE c.availability <> 2 AND c.published <= v.vintage_at
"""


@dataclass(frozen=True, slots=True, eq=False)
class Entered:
    """What a batch added.

    Attributes:
        statements: statements not seen before.
        publications: publications not seen before.
        changes: change rows of the batch itself.
        duplicates: statements the archive already had.
    """

    statements: int
    publications: int
    changes: int
    duplicates: int

    def __add__(self, other: Entered) -> Entered:
        """What two parts of a batch added."""
        return Entered(
            self.statements + other.statements,
            self.publications + other.publications,
            self.changes + other.changes,
            self.duplicates + other.duplicates,
        )

    @property
    def anything(self) -> bool:
        """Whether the archive now holds something it did not hold before."""
        return self.statements > 0 or self.publications > 0


def enter_blocks(
    connection: duckdb.DuckDBPyConnection,
    blocks: Iterable[Batch],
    cuts: Cuts,
    catalogue: Catalogue,
    *,
    source: str,
    number: int,
    held: HeldRows,
) -> tuple[Entered, Otherwise]:
    """Add a batch, given in parts of whole series; what it added, and what it states otherwise than before.

    Raises:
        DataError: a statement contradicts one of the same cell and instant.
        SealedError: a row is sealed.
        FullDiskError: there is no room for its rows.
    """
    entered, again, dated = Entered(0, 0, 0, 0), Otherwise(), list[pl.DataFrame]()
    for block in blocks:
        cuts.refuse(block.statements, "published")
        cuts.refuse(block.publications.select("code", "published"), "published")
        again += otherwise(connection, block.statements, source, catalogue)
        entered += enter(connection, block, catalogue, number, held)
        dated.append(_dated_by_rule(block.statements, catalogue))
    held.pour(connection)
    for one in dated:
        _enter_assumed(connection, one, catalogue)
    return entered, again


def enter(
    connection: duckdb.DuckDBPyConnection, batch: Batch, catalogue: Catalogue, number: int, held: HeldRows
) -> Entered:
    """Make a batch's statements and publications ready in `held`; the caller holds the transaction.

    Raises:
        DataError: a statement contradicts one of the same cell and instant.
    """
    statements = batch.statements.with_columns(batch=pl.lit(number, pl.Int32))
    publications = batch.publications.with_columns(batch=pl.lit(number, pl.Int32))
    late = _late_series(connection, statements)
    new_publications = _unseen_publications(connection, publications, late)
    given = int((~statements["implied"]).sum())
    is_late = pl.col("code").is_in(late)
    fresh, changes = (0, 0) if not late else _enter_late(connection, statements.filter(is_late), catalogue, held)
    newest = statements.filter(~is_late) if late else statements
    changes += _enter_newest(connection, newest, catalogue, held)
    fresh += int((~newest["implied"]).sum())
    held.add("publications", new_publications)
    return Entered(fresh, new_publications.height, changes, given - fresh)


def _late_series(connection: duckdb.DuckDBPyConnection, statements: pl.DataFrame) -> list[int]:
    """Series with a statement not later than their newest publication."""
    with offered(connection, "earliest", earliest(statements)):
        found = connection.execute(
            "SELECT e.code FROM earliest e JOIN publications p ON p.code = e.code"
            " GROUP BY e.code, e.published HAVING max(p.published) >= e.published"
        ).fetchall()
    return sorted(code for (code,) in found)


def _unseen_publications(
    connection: duckdb.DuckDBPyConnection, publications: pl.DataFrame, late: list[int]
) -> pl.DataFrame:
    if not late and publications["captured"].all():
        return publications
    codes = publications["code"].unique().to_list()
    old = _rows(connection, "publications", codes).select(PUBLICATION_KEY)
    return publications.join(old, on=list(PUBLICATION_KEY), how="anti")


def _rows(connection: duckdb.DuckDBPyConnection, table: str, codes: list[int]) -> pl.DataFrame:
    with offered(connection, "wanted", pl.DataFrame({"code": codes}, schema={"code": pl.Int32})):
        return query(connection, f"SELECT t.* FROM {table} t SEMI JOIN wanted USING (code)")  # noqa: S608 - our table


def _earlier_statements(connection: duckdb.DuckDBPyConnection, cells: pl.DataFrame, *, newest: bool) -> pl.DataFrame:
    """Statements of some cells that are still on record, sorted by `ORDER`; only the standing ones if `newest`."""
    with offered(connection, "cells", cells):
        found = query(connection, STANDING if newest else EARLIER)
    return found.select(STATEMENT.names()).sort(ORDER)


def _enter_newest(
    connection: duckdb.DuckDBPyConnection, statements: pl.DataFrame, catalogue: Catalogue, held: HeldRows
) -> int:
    """Statements later than everything known of their series: compare with what stands, and append."""
    if not statements.height:
        return 0
    with offered(connection, "stated", earliest(statements).select("code")):
        known = query(connection, "SELECT DISTINCT code FROM known SEMI JOIN stated USING (code)")
    again = statements.filter(pl.col("code").is_in(known["code"].implode())) if known.height else known
    marked = statements.with_columns(old=pl.lit(value=False))
    if again.height:
        prior = _earlier_statements(connection, again.select(CELL).unique(), newest=True)
        prior = prior.with_columns(implied=pl.lit(value=False), old=pl.lit(value=True))
        marked = pl.concat([prior.select(marked.columns), marked]).sort(ORDER)
    return len(_store(held, marked.drop("old"), ~marked["old"], catalogue))


def _enter_late(
    connection: duckdb.DuckDBPyConnection, statements: pl.DataFrame, catalogue: Catalogue, held: HeldRows
) -> tuple[int, int]:
    """Statements not later than what is known: derive their cells again. Returns new statements and their changes."""
    publications = _rows(connection, "publications", statements["code"].unique().to_list())
    old = _earlier_statements(connection, statements.select(CELL).unique(), newest=False)
    new = _not_stated_yet(statements, old, publications, catalogue)
    if not new.height:
        return 0, 0
    cells = new.select(CELL).unique()
    old = old.join(cells, on=list(CELL), how="semi").sort(ORDER)
    again = restored(new, old, publications)
    parts = [frame.with_columns(implied=pl.lit(value=False)).select(new.columns) for frame in (old, again)]
    with offered(connection, "cells", cells):
        for table in ("changes", "restatements"):
            connection.execute(
                f"DELETE FROM {table} t USING cells c"  # noqa: S608 - a table of ours
                " WHERE t.code = c.code AND t.period = c.period AND t.availability <> 2"
            )
    changes = _store(held, pl.concat([*parts, new]).sort(ORDER), None, catalogue)
    return int((~new["implied"]).sum()), int((changes == new["batch"][0]).sum())


def _not_stated_yet(
    statements: pl.DataFrame, old: pl.DataFrame, publications: pl.DataFrame, catalogue: Catalogue
) -> pl.DataFrame:
    """Statements that the archive does not have yet, neither as a row nor through a publication covering the cell.

    Raises:
        DataError: it has one, with another value.
    """
    key = list(ORDER)
    on_record = old.select(*ORDER, had="value")
    exact = statements.join(on_record, on=key)
    rest = statements.join(on_record, on=key, how="anti")
    cells = covered(rest, publications).group_by(key).agg(pl.col("complete").any())
    told = said(cells.join(rest, on=key, how="semi"), old, publications)
    implicit = rest.join(told.select(*ORDER, had="value"), on=key)
    both = pl.concat([exact, implicit]).filter(~pl.col("implied"))
    asked = with_decimals(both, catalogue.decimals())["rounded"]
    had = with_decimals(both.with_columns(value="had"), catalogue.decimals())["rounded"]
    wrong = both.filter(asked.ne_missing(had)).sort(ORDER)
    if wrong.height:
        row = wrong.row(0, named=True)
        raise contradiction(row, row["had"], row["value"], catalogue, wrong.height, archived=True)
    return rest.join(implicit, on=key, how="anti").sort(ORDER)


def _store(held: HeldRows, statements: pl.DataFrame, fresh: pl.Series | None, catalogue: Catalogue) -> pl.Series:
    """Classify statements and hold those (of `fresh`) that say something; returns the batch of each change."""
    kind, stated = kinds(statements, catalogue.decimals()), statements.select(STATEMENT.names())
    if fresh is not None:
        kind = kind.zip_with(fresh, pl.Series([DROPPED], dtype=pl.Int8))
    is_change = kind == CHANGE
    changes = stated if is_change.all() else stated.filter(is_change)
    held.add("changes", changes)
    if changes.height < stated.height:
        held.add("restatements", stated.filter(kind == RESTATEMENT))
    return changes["batch"]


def _dated_by_rule(statements: pl.DataFrame, catalogue: Catalogue) -> pl.DataFrame:
    """The earliest statement of each series with a lag rule."""
    ruled = catalogue.ruled()
    if not ruled.any():
        return earliest(statements.clear())
    return earliest(statements.filter(pl.Series(ruled[statements["code"].to_numpy()])))


def _enter_assumed(connection: duckdb.DuckDBPyConnection, dated: pl.DataFrame, catalogue: Catalogue) -> None:
    """Date the history before the first vintage anew, for series whose first vintage is in this batch or later."""
    if not dated.height:
        return
    with offered(connection, "earliest", dated):
        opening = query(connection, OPENING).select(STATEMENT.names())
    if not opening.height:
        return
    rows = assumed(opening.sort(ORDER), partial(_rule_dates, catalogue))
    with offered(connection, "opened", opening.select("code").unique()):
        connection.execute("DELETE FROM changes c USING opened o WHERE c.code = o.code AND c.availability = 2")
    insert(connection, "changes", rows)


def _rule_dates(catalogue: Catalogue, code: int, periods: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rule dates of some periods; those that an explicit release calendar does not list are never public by rule."""
    series = catalogue.series[code]
    out = np.full(len(periods), np.iinfo(np.int64).max)
    listed = np.ones(len(periods), dtype=bool)
    if series.lag is not None and series.lag.kind == "dates":
        days = [end for end, _ in (*series.lag.dates, *series.lag.exceptions)]
        listed = np.isin(period_ends(series.parsed, periods), np.array(days, dtype="datetime64[D]"))
    out[listed] = release_micros(series, periods[listed])
    return out
