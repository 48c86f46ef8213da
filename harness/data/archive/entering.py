"""How a batch of values or of external forecasts is taken into the archive, from what is given to its report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import duckdb

from harness.core.time import instant
from harness.data.archive import provenance
from harness.data.archive.appending import enter_blocks
from harness.data.archive.books import BatchReport, advance_known, catalogue_of, is_noted, known_by, next_batch
from harness.data.archive.cut import cuts_of
from harness.data.archive.entry import Entry
from harness.data.archive.held_rows import HeldRows
from harness.data.archive.listed import unseen
from harness.data.archive.store import Store
from harness.data.batch import Batch, Coverage, no_rows, read_batch
from harness.data.declaration import Catalogue
from harness.data.external import FORECAST, FORECAST_KEY, read_forecasts
from harness.data.given import nothing_given
from harness.data.streamed import Parts, Streamed, frame_or_parts, refuse_listed

Writing = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
"""Opens the archive for one transaction; refuses where it may not be written."""


def enter_values(
    store: Store,
    writing: Writing,
    frame: Any,
    entry: Entry,
    *,
    coverage: Coverage,
    known_through: datetime | date | None,
    publications: Any,
) -> BatchReport:
    """Take in a batch of values, whole or not at all; arguments and errors are those of `Archive.append`."""
    with store.reading() as connection:
        catalogue = catalogue_of(connection)
    with ExitStack() as files:
        batch = _batch(
            [frame_or_parts(frame)], store, catalogue, entry, files, coverage=coverage, publications=publications
        )
        connection = files.enter_context(writing())
        cuts = cuts_of(connection, store.path, catalogue)
        number = next_batch(connection)
        held = HeldRows(store.path.parent, files)
        entered, again = enter_blocks(
            connection, batch.blocks(), cuts, catalogue, source=entry.source, number=number, held=held
        )
        known = cuts.capped(known_by(batch.newest, known_through, catalogue, batch.codes, entry.now))
        known |= entry.sealed.known if entry.sealed else {}
        advanced = advance_known(connection, known)
        news = entered.anything or advanced or entry.is_news(connection, batch.sha256, batch.set_aside)
        news = news or (entry.record_empty and not is_noted(connection, entry.source))
        if not (news or entry.source in provenance.waiting(connection, entry.now)):
            number = 0
        aside = entry.aside(batch.set_aside)
        report = BatchReport(
            number,
            entry.source,
            batch.rows_in + aside.height - batch.set_aside.height,
            entered.statements,
            entered.changes,
            batch.duplicates + entered.duplicates,
            aside.height,
            instant(min(known.values())) if known else None,
            entry.key(batch.sha256),
            again.restamped,
            entry.sealed_rows,
            gone=again.gone,
            withdrawn=provenance.withdrawn(connection, number) if number else 0,
        )
        return entry.note(store, connection, report, kind="values", coverage=coverage, aside=aside)


def enter_forecasts(
    store: Store, writing: Writing, frame: Any, entry: Entry, *, source: str | None, label: str
) -> BatchReport:
    """Take in a batch of external forecasts; arguments and errors are those of `Archive.append_forecasts`."""
    with store.reading() as connection:
        catalogue = catalogue_of(connection)
    given = (
        nothing_given(FORECAST)
        if entry.is_all_sealed(frame)
        else read_forecasts(frame, catalogue, source=source, now=entry.now)
    )
    with writing() as connection:
        cuts_of(connection, store.path, catalogue).refuse(given.rows, "issued")
        new = unseen(connection, "forecasts", given.rows, catalogue)
        names = label or ", ".join(given.issuers) or str(source or "")
        named = replace(entry, source=names)
        return named.keep(store, connection, given, new, table="forecasts_in", kind="forecasts", order=FORECAST_KEY)


def _batch(
    given: list[Any],
    store: Store,
    catalogue: Catalogue,
    entry: Entry,
    files: ExitStack,
    *,
    coverage: Coverage,
    publications: Any,
) -> Batch | Streamed:
    """The batch behind the one thing given, which a frame is taken out of: nobody holds it while it is read."""
    if isinstance(given[0], Parts):
        refuse_listed(given[0], publications)
        return Streamed(given[0], catalogue, coverage=coverage, now=entry.now, folder=store.path.parent, files=files)
    if entry.is_all_sealed(given[0]):
        return no_rows()
    return read_batch(given.pop(), catalogue, coverage=coverage, publications=publications, now=entry.now)
