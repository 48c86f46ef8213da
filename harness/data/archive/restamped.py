"""What a file says otherwise than it did before: stamps corrected after an ingest, and rows that are gone from it.

The archive is append-only: the old row stays, and a corrected one comes to stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import polars as pl

from harness.data.archive import questions
from harness.data.archive.store import offered, query
from harness.data.declaration import Catalogue
from harness.data.derive import ORDER, with_decimals

STATED = """
SELECT s.code, s.period, s.published, s.value, b.source = ? OR starts_with(b.source, ?) AS own
FROM (SELECT * FROM changes WHERE availability <> 2 UNION ALL SELECT * FROM restatements) s
JOIN batches b ON b.batch = s.batch AND starts_with(b.source, ?)
SEMI JOIN wanted w ON w.code = s.code
"""
VALUE = ("code", "period", "rounded")


@dataclass(frozen=True, slots=True)
class Otherwise:
    """How many rows of a file are not as they were.

    Attributes:
        restamped: rows whose value the same dataset stated before, for the same series and period, under a stamp now
            gone.
        gone: other rows that the same file had, under a stamp it reaches back to, and has no more.
    """

    restamped: int = 0
    gone: int = 0

    def __add__(self, other: Otherwise) -> Otherwise:
        """The counts of two parts of a batch."""
        return Otherwise(self.restamped + other.restamped, self.gone + other.gone)


def otherwise(
    connection: duckdb.DuckDBPyConnection, statements: pl.DataFrame, source: str, catalogue: Catalogue
) -> Otherwise:
    """Rows that the archive has of the same dataset, and that a batch states otherwise or not at all.

    A row counts as restamped when the file no longer has the stamp under which the archive has its value, and either
    this stamp is one the file reaches back to, or the new one is not later than what was known. A file that brings only
    later stamps brings new publications; one that has the old stamps, too, repeats a value: neither is a correction.

    Args:
        connection: an open archive, the batch not yet entered.
        statements: what the batch says, with `implied`.
        source: what the batch is called; up to the first ": " it names the dataset, up to the last " [" the file.
        catalogue: the declared series.
    """
    dataset, colon, _ = source.partition(": ")
    if not colon:
        return Otherwise()
    given = statements.filter(~pl.col("implied") & pl.col("value").is_not_null()).select(*ORDER, "value")
    if not given.height:
        return Otherwise()
    with offered(connection, "wanted", given.select("code").unique()):
        file = source.rpartition(" [")[0] or source
        old = query(connection, STATED, source, f"{file} [", f"{dataset}: ").drop_nulls("value")
    if not old.height:
        return Otherwise()
    new, lost = (
        with_decimals(one.join(other, on=list(ORDER), how="anti"), catalogue.decimals())
        for one, other in ((given, old), (old, given))
    )
    reach = statements.group_by("code").agg(reach=pl.col("published").min())
    known = pl.DataFrame(
        list(questions.known(connection).items()), schema={"code": pl.Int32, "known": pl.Int64}, orient="row"
    )
    unsaid = lost.filter("own").join(reach, on="code").filter(pl.col("published") >= pl.col("reach"))
    again = _corrected(new, lost, reach, known)
    # a correction of one value accounts for no other that is gone
    rest = unsaid.group_by(VALUE).len().join(again, on=list(VALUE), how="left")
    gone = rest.select((pl.col("len").cast(pl.Int64) - pl.col("least").fill_null(0)).clip(0).sum()).item()
    return Otherwise(int(again["least"].sum()), int(gone))


def _corrected(new: pl.DataFrame, lost: pl.DataFrame, reach: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """How many new rows, `least`, repeat a lost one under another stamp, by `VALUE`."""
    pairs = (
        new.join(lost.select(*VALUE, lost="published"), on=list(VALUE))
        .join(reach, on="code")
        .join(known, on="code")
        .filter((pl.col("lost") >= pl.col("reach")) | (pl.col("published") <= pl.col("known")))
    )
    # a stamp that is gone was corrected once, however often the value was repeated since
    least = pl.min_horizontal(pl.col("published", "lost").n_unique()).cast(pl.Int64)
    return pairs.group_by(VALUE).agg(least=least)
