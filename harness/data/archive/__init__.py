"""The archive: every value as it was published, append-only, in one DuckDB file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import date, datetime
from pathlib import Path
from typing import Any, Self

import duckdb
import polars as pl

from harness.core.errors import UserError
from harness.core.series import Series, distinct_ids
from harness.data.announced import EVENT, MEMBER, read_events, read_members
from harness.data.archive import questions
from harness.data.archive.announcing import enter_announced
from harness.data.archive.books import BatchReport, catalogue_of, refuse_other
from harness.data.archive.cut import cuts_of, refuse_told_ahead
from harness.data.archive.entering import enter_forecasts, enter_values
from harness.data.archive.entry import Entry
from harness.data.archive.reader import Reader
from harness.data.archive.refusals import Refusal, note_refusal
from harness.data.archive.store import Store, insert
from harness.data.batch import Coverage
from harness.data.cleaning.notes import Treated
from harness.data.declaration import Declarations, series_to_text, texts_alike
from harness.data.given import nothing_given
from harness.data.sealed import Sealed
from harness.record import clock

__all__ = ["Archive", "BatchReport"]

SERIES_TYPES = {"decimals": pl.Int32(), "spec": pl.String()} | dict.fromkeys(
    [name for name in questions.SERIES_COLUMNS if name != "decimals"], pl.String()
)


class Archive(Reader):
    """Values by series, period and the instant they became public; DuckDB is open only for the length of a call."""

    def __init__(self, store: Store, *, read_only: bool, at: int | None = None) -> None:
        super().__init__(store, at=at)
        self._read_only = read_only

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
        record_empty: bool = False,
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
            record_empty: record a source that no batch comes from yet, even if the archive has all that it brings.

        Raises:
            DataError: a rule of the frame is broken, or a value contradicts what the archive has; of a file read part
                by part the message counts the rows of that part alone.
            UnknownNameError: a series that is not defined.
            ArchiveBusyError: another process holds the archive.
        """
        return enter_values(
            self._store,
            self._writing,
            frame,
            Entry(self.now(), source, treated, raw or {}, sealed, record_empty),
            coverage=coverage,
            known_through=known_through,
            publications=publications,
        )

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
        return enter_forecasts(
            self._store,
            self._writing,
            frame,
            Entry(self.now(), "", treated, raw or {}, sealed),
            source=source,
            label=label,
        )

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
        entry = Entry(self.now(), source, treated, raw or {}, sealed)
        nothing = entry.is_all_sealed(frame)
        given = nothing_given(EVENT) if nothing else read_events(frame, self._catalogue(), now=entry.now)
        with self._writing() as connection:
            return enter_announced(self._store, connection, given, entry, kind="events")

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
        entry = Entry(self.now(), source, treated, raw or {}, sealed)
        nothing = entry.is_all_sealed(frame)
        given = nothing_given(MEMBER) if nothing else read_members(frame, self._catalogue(), now=entry.now)
        with self._writing() as connection:
            return enter_announced(self._store, connection, given, entry, kind="members")

    def note_refusal(self, refused: Refusal) -> None:
        """Write down an ingest that was refused; neither values nor the archive's identity change."""
        with self._writing() as connection:
            note_refusal(connection, refused, now=clock.now())

    def _writing(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        if self._read_only:
            raise UserError("this archive was opened read-only", value=self.path, fix="open it without read_only")
        return self._store.writing()
