"""The archive: every value as it was published, append-only, in one DuckDB file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import duckdb
import polars as pl

from harness.core.ahead import beside
from harness.core.errors import UserError
from harness.core.series import Series, distinct_ids
from harness.core.snapshot import Snapshot
from harness.core.time import instant, micros
from harness.data.announced import (
    EVENT,
    MEMBER,
    nothing_announced,
    read_events,
    read_members,
    unseen_events,
    unseen_members,
)
from harness.data.archive import provenance, questions
from harness.data.archive.announcing import add_announced
from harness.data.archive.appending import enter_blocks
from harness.data.archive.books import (
    BatchReport,
    advance_known,
    catalogue_of,
    is_recorded,
    known_by,
    next_batch,
    record,
    refuse_beyond,
    refuse_other,
    unseen_record,
    with_asserted,
)
from harness.data.archive.cut import cuts_of, refuse_told_ahead
from harness.data.archive.exporting import export_changes, hold_changes_of
from harness.data.archive.held_rows import HeldRows
from harness.data.archive.refusals import Refusal, note_refusal, refusals
from harness.data.archive.refused import refuse_sealed_instant
from harness.data.archive.store import Store, insert, later_table, query
from harness.data.batch import Batch, Coverage, no_rows, read_batch
from harness.data.changes import ChangeFile
from harness.data.cleaning.notes import RECORDS, Treated
from harness.data.declaration import Catalogue, Declarations, series_to_text, texts_alike
from harness.data.external import FORECAST, FORECAST_KEY, no_forecasts, read_forecasts
from harness.data.sealed import Sealed
from harness.data.streamed import Parts, Streamed, frame_or_parts, refuse_listed
from harness.record import ledger
from harness.record.home import Home

__all__ = ["Archive", "BatchReport"]

SERIES_TYPES = {"decimals": pl.Int32(), "spec": pl.String()} | dict.fromkeys(
    [name for name in questions.SERIES_COLUMNS if name != "decimals"], pl.String()
)


class Archive:
    """Values by series, period and the instant they became public; DuckDB is open only for the length of a call."""

    def __init__(self, store: Store, *, read_only: bool, at: int | None = None) -> None:
        self._store, self._read_only, self._at = store, read_only, at

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False, wait: float = 10.0) -> Self:
        """Open an archive; it is created when absent.

        Args:
            path: the database file.
            read_only: refuse to create or write.
            wait: seconds to wait for another process before giving up.

        Raises:
            UserError: `read_only` and there is no such file.
            ArchiveBusyError: another process holds it; its id is in the message.
            DamagedError: the file is damaged, or no archive.
        """
        store = Store(Path(path), wait=wait)
        store.prepare(read_only=read_only)
        return cls(store, read_only=read_only)

    def at(self, now: int) -> Self:
        """The same archive, to which batches are entered as of an instant (microseconds UTC) instead of now."""
        return type(self)(self._store, read_only=self._read_only, at=now)

    @property
    def store(self) -> Store:
        """The file behind it."""
        return self._store

    @property
    def path(self) -> Path:
        """The database file."""
        return self._store.path

    def together(self) -> AbstractContextManager[object]:
        """One transaction for all calls inside the block: everything they write is kept, or nothing."""
        return self._writing()

    def define(self, *series: Series) -> None:
        """Declare series; declaring one again is refused unless equal.

        Raises:
            UserError: it exists with another declaration.
        """
        self._define(
            [one.id for one in series],
            [series_to_text(one) for one in series],
            {name: [getattr(one, name) for one in series] for name in questions.SERIES_COLUMNS if name != "id"},
            dict(enumerate(series)),
        )

    def define_many(self, ids: Iterable[str], like: Series) -> None:
        """Declare many series that are alike but for their ids; declaring one again is refused unless equal.

        Args:
            ids: stored ids, `dataset/id`.
            like: what they all are; its own id does not count.

        Raises:
            UserError: ids are one text, an id is no text, is empty, holds blanks, is named twice, or exists with
                another declaration.
        """
        names = distinct_ids(ids)
        self._define(
            names,
            texts_alike(like, names),
            {name: [getattr(like, name)] * len(names) for name in questions.SERIES_COLUMNS if name != "id"},
            Declarations.like(like, names),
        )

    def _define(
        self, ids: list[str], texts: list[str], columns: Mapping[str, list[object]], series: Mapping[int, Series]
    ) -> None:
        with self._writing() as connection:
            catalogue = catalogue_of(connection)
            cuts, new = cuts_of(connection, self.path, catalogue).series, dict[str, int]()
            for place, name in enumerate(ids):
                if (code := catalogue.codes.get(name)) is not None:
                    refuse_other(catalogue.series[code], series[place], cuts.get(code))
                elif new.setdefault(name, place) != place:
                    refuse_other(series[new[name]], series[place])
            if new:
                refuse_told_ahead(self.path, (series[place] for place in new.values()))
                given = pl.DataFrame({"id": ids, "spec": texts, **columns}, schema_overrides=SERIES_TYPES)
                start = len(catalogue.codes)
                codes = pl.Series("code", range(start, start + len(new)), dtype=pl.Int32)
                insert(connection, "series", given[list(new.values())].with_columns(codes))

    def append(  # noqa: PLR0913 - all but the frame by keyword
        self,
        frame: Any,
        *,
        source: str,
        coverage: Coverage = "rows",
        known_through: datetime | date | None = None,
        publications: Any = None,
        treated: Treated | None = None,
        raw: Mapping[str, str] | None = None,
        sealed: Sealed | None = None,
    ) -> BatchReport:
        """Add published values; all of the batch or nothing.

        Args:
            frame: polars or pandas: series_id, period (last day), published_at (absent: by each series' lag rule),
                value (null = withdrawn); optionally availability (observed, rule), value_known_at. Or the path of a
                Parquet file of such columns: one that is larger than memory (`HARNESS_MEMORY`) is read part by part.
            source: where the batch comes from, kept with it.
            coverage: `rows`: exactly the rows given are covered; `complete`: first..last period of each publication is
                covered and absent cells are withdrawn; `changes`: rows are changes only, releases cannot be counted.
            known_through: instant up to which the batch tells all about its series; None = its largest published_at.
            publications: for `changes`: series_id, published_at, first, last, and optionally complete, captured. Each
                covers first..last, cells not listed are stated unchanged; captured = false marks one known to have
                happened whose values are not at hand.
            treated: the cleaning record of the batch, kept with it: all of both or nothing.
            raw: content hash of the files it was read from, by name; noted for lineage.
            sealed: the other part of the batch, which lies in a vault; `frame` may then be empty.

        Raises:
            DataError: a rule of the frame is broken, or a value contradicts what the archive has; of a file read part
                by part the message counts the rows of that part alone.
            UnknownNameError: a series that is not defined.
            ArchiveBusyError: another process holds the archive.
        """
        now = self.now()
        with ExitStack() as files:
            catalogue = self._catalogue()
            read = [frame_or_parts(frame)]
            if sealed is not None and not isinstance(read[0], Parts) and not len(read[0]):
                batch: Batch | Streamed = no_rows()
            elif isinstance(read[0], Parts):
                refuse_listed(read[0], publications)
                batch = Streamed(read[0], catalogue, coverage=coverage, now=now, folder=self.path.parent, files=files)
            else:  # handed on, so that it need not be held until the batch is in
                batch = read_batch(read.pop(), catalogue, coverage=coverage, publications=publications, now=now)
            connection = files.enter_context(self._writing())
            cuts = cuts_of(connection, self.path, catalogue)
            number = next_batch(connection)
            held = HeldRows(self.path.parent, files)
            entered, again = enter_blocks(
                connection, batch.blocks(), cuts, catalogue, source=source, number=number, held=held
            )
            known = cuts.capped(known_by(batch.newest, known_through, catalogue, batch.codes, now))
            known |= sealed.known if sealed else {}
            advanced = advance_known(connection, known)
            unseen_aside = batch.set_aside.height and not is_recorded(connection, batch.sha256)
            unseen_part = sealed is not None and not is_recorded(connection, sealed.key)
            unseen = unseen_aside or unseen_part or unseen_record(connection, treated, source)
            unseen = unseen or source in provenance.waiting(connection, now)
            if not (entered.anything or advanced or unseen):
                number = 0
            aside = with_asserted(batch.set_aside, treated)
            report = BatchReport(
                number,
                source,
                batch.rows_in + (aside.height - batch.set_aside.height),
                entered.statements,
                entered.changes,
                batch.duplicates + entered.duplicates,
                aside.height,
                instant(min(known.values())) if known else None,
                batch.sha256 if sealed is None else sealed.key,
                again,
                0 if sealed is None else sealed.rows,
            )
            if number:
                record(connection, report, kind="values", coverage=coverage, aside=aside, now=now, treated=treated)
                provenance.note_raw(connection, number, raw or {})
            if sealed is not None:
                self._store.at_last(sealed.keep)
        return report

    def append_forecasts(
        self,
        frame: Any,
        *,
        source: str | None = None,
        raw: Mapping[str, str] | None = None,
        label: str = "",
        treated: Treated | None = None,
        sealed: Sealed | None = None,
    ) -> BatchReport:
        """Add external forecasts, each known only from the instant it was issued.

        Args:
            frame: source (unless given here), series_id, issued_at, period, quantile (null or absent = point), value
                (a level); optionally data_cutoff, conditioning, backfilled.
            source: who issued all of them.
            raw: content hash of the files they were read from, by name; noted for lineage.
            label: what the batch is called; "" = by its sources.
            treated: what was asserted of them, kept with the batch.
            sealed: those that lie in a vault instead; `frame` may then be empty.

        Raises:
            DataError: a rule of the frame is broken, or a forecast contradicts one the archive has.
            UnknownNameError: a series that is not defined.
        """
        now = self.now()
        with self._store.reading() as connection:
            catalogue = catalogue_of(connection)
        empty = sealed is not None and not len(frame)
        given = no_forecasts() if empty else read_forecasts(frame, catalogue, source=source, now=now)
        with self._writing() as connection:
            cuts_of(connection, self.path, catalogue).refuse(given.rows, "issued")
            old = query(connection, "SELECT * FROM forecasts_in").select(FORECAST.names())
            new = given.unseen(old, catalogue)
            unseen_part = sealed is not None and not is_recorded(connection, sealed.key)
            names = label or ", ".join(given.rows["source"].unique().sort().to_list()) or str(source or "")
            unseen = new.height or unseen_part or unseen_record(connection, treated, names)
            number = next_batch(connection) if unseen else 0
            aside = with_asserted(given.set_aside, treated)
            report = BatchReport(
                number,
                names,
                given.rows_in + aside.height - given.set_aside.height,
                new.height,
                0,
                given.rows_in - given.set_aside.height - new.height,
                aside.height,
                None,
                given.sha256 if sealed is None else sealed.key,
                sealed=0 if sealed is None else sealed.rows,
            )
            if number:
                insert(connection, "forecasts_in", new.with_columns(batch=pl.lit(number, pl.Int32)).sort(FORECAST_KEY))
                record(connection, report, kind="forecasts", coverage="", aside=aside, now=now, treated=treated)
                provenance.note_raw(connection, number, raw or {})
            if sealed is not None:
                self._store.at_last(sealed.keep)
        return report

    def append_events(
        self,
        frame: Any,
        *,
        source: str,
        raw: Mapping[str, str] | None = None,
        treated: Treated | None = None,
        sealed: Sealed | None = None,
    ) -> BatchReport:
        """Add price events; each is known from its announcement and moves prices from its ex-date on.

        Args:
            frame: series_id, kind (split, dividend, delisting), ex_date (the first day after the event), value (new
                shares per old share; cash per old share; final value per share, null = unknown), announced_at.
            source: where they come from.
            raw: content hash of the files they were read from, by name; noted for lineage.
            treated: what was asserted of them, kept with the batch.
            sealed: those that lie in a vault instead; `frame` may then be empty.

        Raises:
            DataError: a rule of the frame is broken, or an event contradicts one the archive has.
            UnknownNameError: a series that is not defined.
        """
        empty = sealed is not None and not len(frame)
        given = nothing_announced(EVENT) if empty else read_events(frame, self._catalogue(), now=self.now())
        with self._writing() as connection:
            cuts_of(connection, self.path, catalogue_of(connection)).refuse(given.rows, "announced")
            report = add_announced(connection, "events", EVENT, unseen_events, given, source, treated, sealed)
            if report.batch:
                provenance.note_raw(connection, report.batch, raw or {})
            if sealed is not None:
                self._store.at_last(sealed.keep)
        return report

    def append_members(
        self,
        frame: Any,
        *,
        source: str,
        raw: Mapping[str, str] | None = None,
        treated: Treated | None = None,
        sealed: Sealed | None = None,
    ) -> BatchReport:
        """Add memberships of universes; each is known from its announcement.

        Args:
            frame: universe, series_id, from (first day), to (last day; null or absent = open), announced_at. A later
                announcement of the same universe, series and first day replaces the last day.
            source: where they come from.
            raw: content hash of the files they were read from, by name; noted for lineage.
            treated: what was asserted of them, kept with the batch.
            sealed: those that lie in a vault instead; `frame` may then be empty.

        Raises:
            DataError: a rule of the frame is broken, or a row contradicts one the archive has.
            UnknownNameError: a series that is not defined.
        """
        empty = sealed is not None and not len(frame)
        given = nothing_announced(MEMBER) if empty else read_members(frame, self._catalogue(), now=self.now())
        with self._writing() as connection:
            cuts_of(connection, self.path, catalogue_of(connection)).refuse(given.rows, "announced")
            report = add_announced(connection, "members", MEMBER, unseen_members, given, source, treated, sealed)
            if report.batch:
                provenance.note_raw(connection, report.batch, raw or {})
            if sealed is not None:
                self._store.at_last(sealed.keep)
        return report

    def universes(self) -> dict[str, tuple[str, ...]]:
        """Stored ids of every series that any membership names, by universe."""
        with self._store.reading() as connection:
            return questions.universes(connection, catalogue_of(connection))

    def series(self) -> list[Series]:
        """All declarations, in order of definition."""
        with self._store.reading() as connection:
            return list(catalogue_of(connection).series.values())

    def resolve(self, name: str) -> str:
        """The stored id behind a stored or bare id.

        Raises:
            UnknownNameError: no such series.
            UserError: a bare id of more than one dataset.
        """
        return self.resolver()(name)

    def resolver(self) -> Callable[[str], str]:
        """`resolve` for many ids: the declarations are read once, now."""
        return self._catalogue().resolve

    def declared(self) -> Mapping[str, Series]:
        """All declarations by stored id, in order of definition; each is made when it is asked for."""
        return self._catalogue().by_id()

    def known_through(self, series_id: str | None = None) -> datetime | None:
        """Instant up to which a series (None: every series with values) is known; None when nothing was ingested."""
        with self._store.reading() as connection:
            catalogue, known = catalogue_of(connection), questions.known(connection)
        if series_id is not None:
            known = {code: at for code, at in known.items() if code == catalogue.codes[catalogue.resolve(series_id)]}
        return instant(min(known.values())) if known else None

    def ingested(self) -> set[str]:
        """Stored ids of the series of which anything was ingested."""
        with self._store.reading() as connection:
            catalogue, known = catalogue_of(connection), questions.known(connection)
        return {catalogue.series[code].id for code in known}

    def as_of(self, origin: datetime, series: Iterable[str] | None = None) -> Snapshot:
        """Everything known at an instant: per series and period the newest value published by then.

        Values are as they were published: raw prices, not adjusted by price events (`Replay` does that).

        Args:
            origin: an aware instant.
            series: stored or bare ids; None = every series published by then.

        Raises:
            UserError: the instant has no zone.
            BeyondKnownError: it is later than what the archive knows of an asked series.
            SealedError: it lies past the seal of an asked series; the home's ledger tells of it.
        """
        if not isinstance(origin, datetime):
            raise UserError(
                "as_of takes instants", value=origin, rule="an aware datetime", fix="name the time and zone"
            )
        at = micros(origin)
        with self._store.reading() as connection:
            catalogue, known = catalogue_of(connection), questions.known(connection)
            asked = None if series is None else sorted({catalogue.resolve(name) for name in _listed(series)})
            codes = sorted(known) if asked is None else [catalogue.codes[name] for name in asked]
            if self.path.is_file():  # one that was opened for a claim is in memory, and has no home
                home = Home(self.path.parent)
                with ledger.refusals(home, "as_of"):
                    refuse_sealed_instant(home, (catalogue.series[code].id for code in codes), origin)
            refuse_beyond(codes, known, catalogue, at)
            return questions.as_of(connection, catalogue, codes, origin, whole=asked is not None)

    def revisions(self, series_id: str) -> pl.DataFrame:
        """Every stored change of a series, by period and publication.

        Returns:
            period, published_at, release (count of publications covering the period by then; null for assumed rows and
            where releases cannot be counted), value (null = withdrawn), previous, change (value - previous),
            availability, value_known_at (null = hindsight).
        """
        with self._store.reading() as connection:
            catalogue = catalogue_of(connection)
            code = catalogue.codes[catalogue.resolve(series_id)]
            return questions.revisions(connection, code, catalogue.series[code])

    def histories(self, before: Mapping[str, int]) -> dict[str, pl.DataFrame]:
        """What some series said of each period.

        Args:
            before: stored id -> microseconds UTC; only what was published before counts. Ids nobody defined are
                left out.

        Returns:
            By stored id: period (ordinal, ascending), first and latest value (withdrawals do not count).
        """
        with self._store.reading() as connection:
            return questions.histories(connection, catalogue_of(connection), before)

    def stated(self, series: Iterable[str]) -> pl.DataFrame:
        """Every value that was stated of some series, unchanged ones that a file spelt out included.

        Args:
            series: stored ids; those nobody defined are left out.

        Returns:
            series_id, period (last day), published (microseconds UTC), value (null = withdrawn), in no order.
        """
        with self._store.reading() as connection:
            return questions.stated(connection, catalogue_of(connection), series)

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

    def originals(self) -> dict[str, set[str]]:
        """Batches by what they are called, each with the hashes its files had before their names were hashed."""
        with self._store.reading() as connection:
            return provenance.originals(connection)

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

    def note_refusal(self, refused: Refusal) -> None:
        """Write down an ingest that was refused; neither values nor the archive's identity change."""
        with self._writing() as connection:
            note_refusal(connection, refused, now=micros(datetime.now(UTC)))

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

    def export(self, changes_dir: str | Path) -> Path:
        """Write the change folder of the present state under its content hash, or return the one that is there.

        Args:
            changes_dir: the folder of change folders.
        """
        with self._store.reading() as connection:
            return export_changes(connection, catalogue_of(connection), Path(changes_dir))

    def exported(self, changes_dir: str | Path) -> tuple[Path, list[dict[str, object]]]:
        """The change folder of the present state as `export` gives it, and the batches of it as `provenance` does.

        Args:
            changes_dir: the folder of change folders.
        """
        with self._store.reading() as connection, self._store.another(connection) as other:
            catalogue = catalogue_of(connection)
            names = {code: name for name, code in catalogue.codes.items()}
            told = partial(provenance.batch_facts, other or connection, names)
            with beside(told, threads=1 if other is None else 2) as batches:
                return export_changes(connection, catalogue, Path(changes_dir)), batches()

    def changes(self) -> ChangeFile:
        """The change file of the present state, held in memory: what `export` would write, and nothing on the disk."""
        with self._store.reading() as connection:
            return hold_changes_of(connection, catalogue_of(connection))

    def _record(self, name: str, order: str, *, number: str = "batch") -> pl.DataFrame:
        schema = pl.Schema({number: pl.Int32(), **RECORDS[name]})
        table = name if number == "batch" else f"refused_{name}"
        with self._store.reading() as connection:
            return later_table(connection, table, schema, order=order)

    def now(self) -> int:
        """Microseconds UTC at which a batch would be entered."""
        return micros(datetime.now(UTC)) if self._at is None else self._at

    def _catalogue(self) -> Catalogue:
        with self._store.reading() as connection:
            return catalogue_of(connection)

    def _writing(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        if self._read_only:
            raise UserError("this archive was opened read-only", value=self.path, fix="open it without read_only")
        return self._store.writing()


def _listed(series: Iterable[str]) -> list[str]:
    return [series] if isinstance(series, str) else list(series)
