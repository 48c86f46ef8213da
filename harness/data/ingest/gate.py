"""The one way into an archive under seal: what a cut allows enters, the rest goes into the vault as it was received."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import Any

import polars as pl

from harness.core.errors import SealedError, UserError
from harness.core.series import Series, alike
from harness.core.time import micros
from harness.data.announced import read_events, read_members
from harness.data.archive import Archive, BatchReport
from harness.data.archive import received as kinds
from harness.data.archive.books import known_by, refuse_other
from harness.data.archive.covered import DECLARED
from harness.data.archive.received import Received
from harness.data.archive.sealing import declaration_hash
from harness.data.batch import Batch, Coverage, read_batch
from harness.data.cleaning.notes import Treated
from harness.data.declaration import Catalogue
from harness.data.declared_before import declared_before
from harness.data.derive import RULE
from harness.data.external import read_forecasts
from harness.data.ingest.agreement import agreed_seals, told_seals
from harness.data.ingest.copies import FEWEST
from harness.data.ingest.parted import (
    LISTED,
    PUBLICATIONS,
    Parted,
    ahead_of,
    part_listed,
    part_treated,
    part_values,
)
from harness.data.ingest.recognised import refuse_copies, uncompared
from harness.data.ingest.vaults import Vaults
from harness.data.vault.files import Vault
from harness.record.home import Home
from harness.record.ledger import refusals
from harness.record.seals import Seal, sealed_from
from harness.record.uncompared import note_compared, uncompared_text

READERS: Mapping[str, Callable[..., Any]] = {
    kinds.FORECASTS: read_forecasts,
    kinds.EVENTS: read_events,
    kinds.MEMBERS: read_members,
}


class Gate:
    """An archive under seal, with the calls by which one is filled; arguments and errors as those of `Archive`.

    What is refused is entered in the home's ledger.

    Attributes:
        archive: where to.
        home: whose vault and ledger.
        seals: those in force.
        vaults: theirs.
        uncompared: series that came through it with too few values to be compared -> values in common.
        keeps: whether sealed rows go into the vault; an archive that is thrown away goes without them.
    """

    def __init__(self, archive: Archive, home: Home, seals: Sequence[Seal], *, keeps: bool = True) -> None:
        self.archive, self.home, self.seals, self.keeps = archive, home, tuple(seals), keeps
        self.vaults = Vaults(archive, home, self.seals, keeps=keeps)
        self.uncompared: dict[str, int] = {}
        self._cleared: set[str] = set()
        self._declared: set[tuple[int, Series]] = set()  # kinds of declarations that are those of the vault

    @classmethod
    def of(cls, archive: Archive, seals: Sequence[Seal] | None = None) -> Gate | None:
        """The gate of an archive; None = nothing is sealed there, it is filled as ever.

        Args:
            archive: where to; its folder is its home.
            seals: those to go by in an archive that is thrown away; None = those of its home, which a home under seal
                goes by whatever is given.

        Raises:
            SealedError: vault, ledger and archive do not tell the same.
        """
        home = Home(archive.path.absolute().parent)
        if seals is not None and not home.vault.is_dir():
            return cls(archive, home, seals, keeps=False) if seals else None
        with refusals(home, "ingest"):
            found = agreed_seals(home, archive)
        return cls(archive, home, found) if found else None

    @classmethod
    def beside(cls, archive: Archive) -> Gate | None:
        """The gate of an archive, to be asked what is recorded and what is sealed; nothing was compared for it."""
        home = Home(archive.path.absolute().parent)
        found = told_seals(home) if home.vault.is_dir() else ()
        return cls(archive, home, found) if found else None

    def define(self, *series: Series) -> None:
        """Declare series: of a sealed one the archive has what the cut allows, the vault all of it."""
        cuts = {name: micros(at) for name, at in self.cuts(series).items()}
        known = {one.id: one for one in self.archive.series()}
        clear = [declared_before(one, cuts[one.id]) if one.id in cuts else one for one in series]
        with refusals(self.home, "define"):
            for one in series:
                self.refuse_other(known.get(one.id, one), one)
            fresh = [one for one, told in zip(series, clear, strict=True) if one != told and one.id not in known]
            with self.archive.together():
                Archive.define(self.archive, *clear)
                if self.keeps and fresh:
                    self.archive.store.at_last(partial(self.vaults.keep_declared, fresh))

    def refuse_other(self, known: Series, series: Series) -> None:
        """Refuse a second, different declaration; what the vault alone has is compared where its signing key is here.

        Args:
            known: as the archive has it.
            series: as it is given.

        Raises:
            UserError: it is another one.
        """
        place = next((place for place, seal in enumerate(self.seals) if seal.covers(series.id)), -1)
        cut = None if place < 0 else self.seals[place].instant
        refuse_other(known, series, None if cut is None else micros(cut))
        kind = (place, alike(series, DECLARED))  # the series of a dataset share what they declare
        if cut is None or known == series or not self.keeps or kind in self._declared:
            return
        files = Vault.open(self.home, self.seals[place].id).files(DECLARED)
        told = {one for file in files for one in str(file.facts.get(DECLARED, "")).split()}
        mine = self.vaults.hashed(place, (DECLARED, declaration_hash(series)))
        if mine and told and mine not in told:
            raise UserError(
                "this series is already declared differently",
                value=f"{series.id}: releases or closures from {cut.isoformat()} on",
                rule="a declaration may not change under the values it describes; these days lie in the vault",
                fix="bring the declaration back, or use another id",
            )
        self._declared.add(kind)

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
        record_empty: bool = False,
    ) -> BatchReport:
        """Add published values."""
        catalogue, now = self.catalogue(), self.archive.now()
        into = partial(Archive.append, self.archive, source=source, coverage=coverage, known_through=known_through)
        with refusals(self.home, f"append {source}"):
            parted, statements = part_values(frame, catalogue, self.seals)
            self._refuse_later_vintages(parted, statements)
            if source not in self._cleared:
                refuse_copies(self.archive, catalogue, self.seals, statements)
                self._note_uncompared(catalogue, statements)
            told = None
            if publications is not None:
                told = part_listed(publications, PUBLICATIONS, "published_at", catalogue, self.seals)
            covered = {*parted.covered, *(told.covered if told else ())}
            places = sorted(covered)
            if not places:
                done = into(frame, publications=publications, treated=treated, raw=raw, record_empty=record_empty)
                return replace(done, uncompared=uncompared_text(self.uncompared))
            with self.vaults.hiding(source, places[0]):
                given = None if told is None else told.rows
                whole = read_batch(parted.rows, catalogue, coverage=coverage, publications=given, now=now)
            anew = record_empty and source not in self.archive.originals()
            told_of = known_through is None and treated is None and not anew
            if told_of and any(map(self._has, self.vaults.shown(whole.sha256))):
                return _known_before(source, whole.rows_in, whole.sha256)
            known, cuts = self._known(whole, known_through, catalogue, now), self._cuts(catalogue)
            plain = self.vaults.plain(source)
            arguments = {"source": plain, "coverage": coverage, "known_through": known_through, "treated": treated}
            files = {"raw": dict(raw or {}), "record_empty": record_empty}

            def received(place: int) -> Received:
                listed = None if told is None else told.received(place)
                mine = parted.received(place)
                return Received(kinds.VALUES, mine, now, publications=listed, **files, **arguments)  # type: ignore[arg-type]

            words = (whole.sha256, str(known_through), plain if treated is not None or record_empty else "")
            sealed = self.vaults.sealed(received, {place: parted.count(place) for place in places}, words, known)
            done = into(
                parted.open,
                publications=told.open if told is not None and told.open.height else None,
                treated=self._clear_part(treated, places[0], cuts, free=catalogue.codes.keys() - cuts.keys()),
                sealed=sealed,
            )
            ahead = ahead_of(parted, statements, catalogue, self.seals)
            return replace(done, ahead=ahead, uncompared=uncompared_text(self.uncompared))

    def append_forecasts(
        self,
        frame: Any,
        *,
        source: str | None = None,
        raw: Mapping[str, str] | None = None,
        label: str = "",
        treated: Treated | None = None,
    ) -> BatchReport:
        """Add external forecasts."""
        into = partial(Archive.append_forecasts, self.archive, label=label)
        return self._listed(kinds.FORECASTS, into, frame, source, raw, treated, label or source or "")

    def append_events(
        self, frame: Any, *, source: str, raw: Mapping[str, str] | None = None, treated: Treated | None = None
    ) -> BatchReport:
        """Add price events."""
        into = partial(Archive.append_events, self.archive)
        return self._listed(kinds.EVENTS, into, frame, source, raw, treated, source)

    def append_members(
        self, frame: Any, *, source: str, raw: Mapping[str, str] | None = None, treated: Treated | None = None
    ) -> BatchReport:
        """Add memberships."""
        into = partial(Archive.append_members, self.archive)
        return self._listed(kinds.MEMBERS, into, frame, source, raw, treated, source)

    def _listed(
        self,
        kind: str,
        into: Callable[..., BatchReport],
        frame: Any,
        source: str | None,
        raw: Mapping[str, str] | None,
        treated: Treated | None,
        label: str,
    ) -> BatchReport:
        catalogue, now = self.catalogue(), self.archive.now()
        form, stamp = LISTED[kind]
        with refusals(self.home, f"append {kind} {label}".rstrip()):
            parted = part_listed(frame, form, stamp, catalogue, self.seals, source=source)
            if not parted.covered:
                return into(frame, source=source, raw=raw, treated=treated)
            with self.vaults.hiding(label or kind, parted.covered[0]):
                more = {"source": source} if kind == kinds.FORECASTS else {}
                whole = READERS[kind](parted.rows, catalogue, now=now, **more)
            asserted = label if treated is not None else ""
            plain = self.vaults.plain(label)
            recorded = any(self.archive.has_batch(kind, one, asserted) for one in self.vaults.shown(whole.sha256))
            if recorded and not self._lacks_open(kind, parted, catalogue, now, source=source):
                return _known_before(label or kind, whole.rows_in, whole.sha256)

            def received(place: int) -> Received:
                mine = parted.received(place)
                named = plain if kind == kinds.FORECASTS and label != source else ""
                who = source if kind == kinds.FORECASTS else plain
                return Received(kind, mine, now, who, treated=treated, raw=dict(raw or {}), label=named)

            # a row of a record does not say of whom a forecast is: the earliest cut is that of all of them
            cut = min(micros(self.seals[place].instant) for place in parted.covered)
            return into(
                parted.open,
                source=source,
                treated=self._clear_part(treated, parted.covered[0], dict.fromkeys(catalogue.codes, cut)),
                sealed=self.vaults.sealed(
                    received,
                    {place: parted.count(place) for place in parted.covered},
                    (kind, whole.sha256, *([plain] if asserted else [])),
                ),
            )

    def clear(self, series: Sequence[Series], frames: Mapping[str, pl.DataFrame]) -> None:
        """Refuse copies among what will be appended, before anything of it is written.

        Args:
            series: declarations, of which some may be new.
            frames: source -> rows as `append` will get them.

        Raises:
            SealedError: a series repeats a sealed one.
        """
        known = self.archive.series()
        defined = {one.id for one in known}
        every = [*known, *(one for one in series if one.id not in defined)]
        catalogue = Catalogue({one.id: code for code, one in enumerate(every)}, dict(enumerate(every)))
        for source, frame in frames.items():
            stated = part_values(frame, catalogue, self.seals)[1]
            refuse_copies(self.archive, catalogue, self.seals, stated)
            self._note_uncompared(catalogue, stated)
            self._cleared.add(source)

    def _note_uncompared(self, catalogue: Catalogue, statements: pl.DataFrame) -> None:
        """Enter which series have too little in common with the sealed ones to be compared."""
        if self.keeps:
            shared = uncompared(self.archive, catalogue, self.seals, statements)
            self.uncompared |= note_compared(self.home, shared, FEWEST)

    def covering(self, series: Sequence[Series]) -> int:
        """Place of the first seal that covers any of some series; -1 = none does."""
        covers = (place for place, seal in enumerate(self.seals) if any(seal.covers(one.id) for one in series))
        return next(covers, -1)

    def cuts(self, series: Sequence[Series]) -> dict[str, datetime]:
        """The cut of every sealed series among some, by stored id."""
        found = {one.id: sealed_from(self.seals, one.id) for one in series}
        return {name: seal.instant for name, seal in found.items() if seal is not None}

    def recorded(self, kind: str, sha256: str, source: str = "") -> bool:
        """Whether the archive has a batch of forecasts, events or members of this content, by the keys that are here.

        `source`: what it is called where anything is asserted of it.
        """
        words = (kind, sha256, *([self.vaults.plain(source)] if source else []))
        keys = (self.vaults.hashed(place, words) for place in range(len(self.seals)))
        if any(key and self._has(key) for key in keys):
            return True
        return any(self.archive.has_batch(kind, one, source) for one in self.vaults.shown(sha256))

    def lacks_list(self, kind: str, rows: pl.DataFrame, sha256: str, source: str = "") -> bool:
        """Whether the archive lacks something of a list that seals touch; without their keys it does.

        Args:
            kind: `forecasts`, `events` or `members`.
            rows: as `Archive.append_...` takes them.
            sha256: hash of their content.
            source: as `recorded`.

        Raises:
            DataError: rows that may stand in the clear contradict what is there.
        """
        if not self.recorded(kind, sha256, source):
            return True
        catalogue = self.catalogue()
        parted = part_listed(rows, *LISTED[kind], catalogue, self.seals)
        return self._lacks_open(kind, parted, catalogue, self.archive.now())

    def _lacks_open(
        self, kind: str, parted: Parted, catalogue: Catalogue, now: int, *, source: str | None = None
    ) -> bool:
        """Whether the archive lacks rows of a list that may stand in the clear: some that came to lie in the past."""
        more = {"source": source} if kind == kinds.FORECASTS else {}
        return parted.open.height > 0 and self.archive.lacks_rows(
            kind, READERS[kind](parted.open, catalogue, now=now, **more)
        )

    def touched(self, rows: pl.DataFrame) -> list[int]:
        """Places of the seals that cover any of some forecasts, events or members: by series, source or universe."""
        said = {name: set(rows[name].to_list()) for name in ("series_id", "source", "universe") if name in rows.columns}
        return [
            place
            for place, seal in enumerate(self.seals)
            if any(map(seal.covers, said["series_id"]))
            or not said.get("source", set()).isdisjoint(seal.sources)
            or not said.get("universe", set()).isdisjoint(seal.universes)
        ]

    def _clear_part(
        self, treated: Treated | None, place: int, cuts: Mapping[str, int], free: Collection[str] = ()
    ) -> Treated | None:
        """What may stand in the clear of a cleaning record; `cuts` and `free` as `part_treated` takes them."""
        if treated is None:
            return None
        originals = {name: self.vaults.original(place, sha256) for name, sha256 in treated.originals.items()}
        return replace(part_treated(treated, cuts, free), originals=originals)

    def _cuts(self, catalogue: Catalogue) -> dict[str, int]:
        """The cut of every sealed series, in microseconds UTC."""
        return {name: micros(at) for name, at in self.cuts(list(catalogue.series.values())).items()}

    def _known(
        self, whole: Batch, known_through: datetime | date | None, catalogue: Catalogue, now: int
    ) -> dict[int, int]:
        """How far the archive knows the sealed series of a batch, by code."""
        codes = pl.concat([whole.statements["code"], whole.publications["code"]]).unique().sort().to_list()
        known = known_by(whole.newest, known_through, catalogue, codes, now)
        cuts = self._cuts(catalogue)
        names = {code: catalogue.series[code].id for code in known}
        return {code: min(at, cuts[names[code]] - 1) for code, at in known.items() if names[code] in cuts}

    def _refuse_later_vintages(self, parted: Parted, statements: pl.DataFrame) -> None:
        """Refuse rows dated by a rule before the cut whose number, as they state, was known only past it."""
        for place, seal in enumerate(self.seals):
            mine = (parted.seal == place) & ~parted.sealed & (statements["availability"] == RULE)
            later = int((mine & (statements["vintage"] >= micros(seal.instant)).fill_null(value=False)).sum())
            if later:
                raise SealedError(
                    "values dated before the seal were known only later",
                    value=f"{later} row(s) with a value_known_at past {seal.cut}",
                    rule=f"what was known only past the cut is sealed ({seal.told} {seal.id}), under whatever date",
                    fix="give them the published_at of their vintage: then they go into the vault",
                )

    def _has(self, sha256: str) -> bool:
        """Whether the archive recorded a batch of this content (keyed, unless it is from before the seal)."""
        return sha256 in self.archive.batches()["sha256"].to_list()

    def catalogue(self) -> Catalogue:
        """The series of the archive."""
        series = self.archive.series()
        return Catalogue({one.id: code for code, one in enumerate(series)}, dict(enumerate(series)))


def _known_before(source: str, rows: int, sha256: str) -> BatchReport:
    """The report of a batch that was recorded before anything was sealed."""
    return BatchReport(0, source, rows, 0, 0, rows, 0, None, sha256)
