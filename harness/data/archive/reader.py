"""What an archive answers: its series, and their values as they were published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

import polars as pl

from harness.core.ahead import beside
from harness.core.errors import UserError
from harness.core.series import Series
from harness.core.snapshot import Snapshot
from harness.core.time import instant, micros
from harness.data.archive import provenance, questions
from harness.data.archive.books import catalogue_of, refuse_beyond
from harness.data.archive.exporting import export_changes, hold_changes_of
from harness.data.archive.recorded import Recorded
from harness.data.archive.refused import refuse_sealed_instant
from harness.data.archive.store import Store
from harness.data.changes import ChangeFile
from harness.data.declaration import Catalogue
from harness.record import ledger
from harness.record.home import Home


class Reader(Recorded):
    """An archive that is asked; DuckDB is open only for the length of a call."""

    @property
    def store(self) -> Store:
        """The file behind it."""
        return self._store

    @property
    def path(self) -> Path:
        """The database file."""
        return self._store.path

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

    def _catalogue(self) -> Catalogue:
        with self._store.reading() as connection:
            return catalogue_of(connection)


def _listed(series: Iterable[str]) -> list[str]:
    return [series] if isinstance(series, str) else list(series)
