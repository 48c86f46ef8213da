"""What comes with the rows of a batch, whatever it holds, and what is noted of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import polars as pl

from harness.data.archive import provenance
from harness.data.archive.books import BatchReport, is_noted, is_recorded, next_batch, record
from harness.data.archive.store import Store, insert
from harness.data.cleaning.notes import Treated
from harness.data.given import Given
from harness.data.sealed import Sealed


@dataclass(frozen=True, slots=True)
class Entry:
    """What comes with the rows of a batch.

    Attributes:
        now: microseconds UTC at which it is entered.
        source: where it comes from; what it is called.
        treated: its cleaning record, or what was asserted of it; kept with it.
        raw: content hash of the files it was read from, by name; noted for lineage.
        sealed: the other part of it, which lies in a vault.
        record_empty: whether values are recorded, once by their source, where the archive has all that they bring.
    """

    now: int
    source: str
    treated: Treated | None = None
    raw: Mapping[str, str] = field(default_factory=dict)
    sealed: Sealed | None = None
    record_empty: bool = False

    def is_all_sealed(self, frame: Any) -> bool:
        """Whether a frame is empty because all of the batch lies in a vault."""
        return self.sealed is not None and not len(frame)

    def key(self, sha256: str) -> str:
        """What the batch is recorded by: the hash of its content, or a keyed one where a part of it is sealed."""
        return sha256 if self.sealed is None else self.sealed.key

    @property
    def sealed_rows(self) -> int:
        """How many rows lie in a vault."""
        return 0 if self.sealed is None else self.sealed.rows

    def is_news(self, connection: duckdb.DuckDBPyConnection, sha256: str, set_aside: pl.DataFrame) -> bool:
        """Whether the archive lacks what its reader set aside of a content, its sealed part, or its cleaning record."""
        more = set_aside.height > 0 or self.sealed is not None
        unseen = more and not is_recorded(connection, self.key(sha256))
        return unseen or (self.treated is not None and not is_noted(connection, self.source))

    def aside(self, set_aside: pl.DataFrame) -> pl.DataFrame:
        """Rows set aside by the reader of the batch, and those its cleaning had set aside before."""
        return set_aside if self.treated is None else pl.concat([set_aside, self.treated.aside])

    def keep(
        self,
        store: Store,
        connection: duckdb.DuckDBPyConnection,
        given: Given,
        new: pl.DataFrame,
        *,
        table: str,
        kind: str,
        order: Sequence[str],
    ) -> BatchReport:
        """Add the rows of a list that the archive lacks as one batch; without news of any sort nothing is written.

        Args:
            store: the file of the archive.
            connection: open for writing.
            given: the list.
            new: rows of it that the archive lacks.
            table: where they go.
            kind: `forecasts`, `events` or `members`.
            order: columns by which they are sorted.
        """
        news = new.height or self.is_news(connection, given.sha256, given.set_aside)
        number = next_batch(connection) if news else 0
        aside = self.aside(given.set_aside)
        report = BatchReport(
            number,
            self.source,
            given.rows_in + aside.height - given.set_aside.height,
            new.height,
            0,
            given.rows_in - given.set_aside.height - new.height,
            aside.height,
            None,
            self.key(given.sha256),
            sealed=self.sealed_rows,
        )
        if number:
            insert(connection, table, new.with_columns(batch=pl.lit(number, pl.Int32)).sort(order))
        return self.note(store, connection, report, kind=kind, aside=aside)

    def note(
        self,
        store: Store,
        connection: duckdb.DuckDBPyConnection,
        report: BatchReport,
        *,
        kind: str,
        aside: pl.DataFrame,
        coverage: str = "",
    ) -> BatchReport:
        """Record the batch if it has a number, and have its sealed part kept when the transaction commits.

        Args:
            store: the file of the archive.
            connection: open for writing.
            report: what became of the batch.
            kind: `values`, `forecasts`, `events` or `members`.
            aside: rows set aside, as `aside` gives them.
            coverage: what its values cover.

        Returns:
            The report.
        """
        if report.batch:
            record(connection, report, kind=kind, coverage=coverage, aside=aside, now=self.now, treated=self.treated)
            provenance.note_raw(connection, report.batch, self.raw)
        if self.sealed is not None:
            store.at_last(self.sealed.keep)
        return report
