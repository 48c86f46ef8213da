"""What an archive recorded of its batches and of its cleaning."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from harness.data.archive import provenance, questions
from harness.data.archive.books import catalogue_of
from harness.data.archive.listed import unseen
from harness.data.archive.refusals import refusals
from harness.data.archive.store import Store, later_table, query
from harness.data.cleaning.notes import RECORDS
from harness.data.given import Given
from harness.record import clock


class Recorded:
    """The record beside the values: batches, cleaning steps, assertions, refusals."""

    def __init__(self, store: Store, *, at: int | None = None) -> None:
        self._store, self._at = store, at

    def now(self) -> int:
        """Microseconds UTC at which a batch would be entered."""
        return clock.now() if self._at is None else self._at

    def batches(self) -> pl.DataFrame:
        """One row per recorded batch: source, content hash, rows in, kept, duplicates and set aside, known through."""
        with self._store.reading() as connection:
            found = query(connection, "SELECT * FROM batches ORDER BY batch")
        stamps = [pl.col(name).cast(pl.Datetime("us", "UTC")) for name in ("known_through", "ingested")]
        return found.with_columns(stamps)

    def has_batch(self, kind: str, sha256: str, source: str = "") -> bool:
        """Whether a batch of a kind and content is recorded, and one that is called so ("" = whatever it is called)."""
        batches = self.batches()
        mine = batches.filter(pl.col("kind") == kind)["sha256"].to_list()
        return sha256 in mine and (not source or source in batches["source"].to_list())

    def lacks_rows(self, kind: str, given: Given) -> bool:
        """Whether it lacks a row of a list (`forecasts`, `events` or `members`).

        Raises:
            DataError: the list contradicts what is there.
        """
        with self._store.reading() as connection:
            return unseen(connection, kind, given.rows, catalogue_of(connection)).height > 0

    def originals(self) -> dict[str, set[str]]:
        """Batches by what they are called, each with the hashes its files had before their names were hashed."""
        with self._store.reading() as connection:
            return provenance.originals(connection)

    def withdrawals(self) -> dict[int, int]:
        """How many withdrawals each batch states; batches without any are left out."""
        with self._store.reading() as connection:
            return provenance.withdrawals(connection)

    def waiting(self) -> set[str]:
        """What batches are called of which rows were set aside for lying in the future, and are past now."""
        with self._store.reading() as connection:
            return provenance.waiting(connection, self.now())

    def set_aside(self) -> pl.DataFrame:
        """Rows that were not taken, with the reason: batch, series_id, period, published, value, reason."""
        with self._store.reading() as connection:
            return query(connection, "SELECT * FROM set_aside ORDER BY ALL")

    def cleaning(self) -> pl.DataFrame:
        """The cleaning steps of every batch, in order.

        Returns:
            batch, place, step, kind, parameters (JSON), rows_in, rows_out, touched, and the hash of the rows before
            ("" where it would tell a secret) and after.
        """
        return self._record("cleaning", "batch, place")

    def touched(self) -> pl.DataFrame:
        """Every row a cleaning step changed, added or took out.

        Returns:
            batch, step, line (of the file; null = added, or a word wherever it stood), series, period, published, value
            before and after ("" = none), reason, decided (when this could first have been known; "" = at any time).
        """
        return self._record("touched", "ALL")

    def assertions(self) -> pl.DataFrame:
        """What every assertion said of every batch.

        Returns:
            batch, place, assertion, kind, parameters (JSON), severity, verdict (passed, failed, unknown), rows (it was
            asked of), failed, unknown (rows on which it could not be evaluated), hash of the rows it was shown.
        """
        return self._record("assertions", "batch, place")

    def failures(self) -> pl.DataFrame:
        """Every row that failed an assertion, taken in (severity warn) or set aside.

        Returns:
            batch, assertion, severity, line, series, period, published, value before and after ("" = set aside),
            reason, decided (when this could first have been known).
        """
        return self._record("failures", "ALL")

    def refusals(self) -> pl.DataFrame:
        """Ingests that were refused.

        Returns:
            refusal (its number; the same refusal again has the same), dataset, source, sha256 of the file, reason,
            refused (when).
        """
        with self._store.reading() as connection:
            return refusals(connection)

    def refused_assertions(self) -> pl.DataFrame:
        """What assertions said of inputs that were refused: refusal, and the columns of `assertions`."""
        return self._record("assertions", "refusal, place", number="refusal")

    def refused_failures(self) -> pl.DataFrame:
        """Rows that failed an assertion in inputs that were refused: refusal, and the columns of `failures`."""
        return self._record("failures", "ALL", number="refusal")

    def state(self) -> str:
        """Identity of the archive's content: the declarations and the recorded batches in order."""
        with self._store.reading() as connection:
            return questions.state(connection)

    def provenance(self) -> tuple[str, list[dict[str, object]]]:
        """The archive's state, and every batch as JSON facts: source, hash, rows, instants, series, raw files."""
        with self._store.reading() as connection:
            names = {code: name for name, code in catalogue_of(connection).codes.items()}
            return questions.state(connection), provenance.batch_facts(connection, names)

    def batches_of_cells(self, cells: Iterable[tuple[str, int, int]]) -> dict[tuple[str, int, int], int]:
        """The batch that stated each value.

        Args:
            cells: stored id, period ordinal, microseconds UTC of the publication.

        Returns:
            Numbers of the batches; values the archive does not have as such are left out.
        """
        with self._store.reading() as connection:
            codes = catalogue_of(connection).codes
            asked = {(codes[name], period, at): (name, period, at) for name, period, at in cells if name in codes}
            found = provenance.batches_of_cells(connection, asked)
        return {asked[cell]: batch for cell, batch in found.items()}

    def batches_of_issue(self, source: str, series_id: str, issued: int) -> list[int]:
        """The batches that brought what a source issued of a series at an instant (microseconds UTC)."""
        with self._store.reading() as connection:
            code = catalogue_of(connection).codes.get(series_id, -1)
            return provenance.batches_of_issue(connection, source, code, issued)

    def cleaning_of(self, batches: Iterable[int]) -> dict[str, pl.DataFrame]:
        """What ingest recorded of its cleaning for some batches, by table; empty without such a record."""
        with self._store.reading() as connection:
            return provenance.cleaning_of(connection, batches)

    def _record(self, name: str, order: str, *, number: str = "batch") -> pl.DataFrame:
        schema = pl.Schema({number: pl.Int32(), **RECORDS[name]})
        table = name if number == "batch" else f"refused_{name}"
        with self._store.reading() as connection:
            return later_table(connection, table, schema, order=order)
