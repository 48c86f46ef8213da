"""The one way into an archive under seal: what a cut allows enters, the rest goes into the vault as it was received."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import date, datetime
from functools import partial
from typing import Any

import polars as pl

from harness.core.errors import DataError, SealedError, UserError
from harness.core.series import Series
from harness.core.time import micros
from harness.data.announced import read_events, read_members
from harness.data.archive import Archive, BatchReport
from harness.data.archive import received as kinds
from harness.data.archive.books import known_by, refuse_other
from harness.data.archive.received import BATCH, Received
from harness.data.archive.refusals import Refusal
from harness.data.archive.sealing import CONTENT, DECLARED, HASHED, declaration_hash, declared_fact, no_hash, parquet_of
from harness.data.batch import Batch, Coverage, read_batch
from harness.data.cleaning.notes import Treated
from harness.data.declaration import Catalogue, series_to_text
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
    without_rows,
)
from harness.data.ingest.recognised import refuse_copies, uncompared
from harness.data.sealed import Sealed
from harness.data.tags import veiled_tag
from harness.data.vault.files import Vault
from harness.data.vault.keys import KEYS, SIGNING, get_key, key_folder, keyed_hash, needed_key, veiled
from harness.record.home import Home
from harness.record.ledger import enter, refusals
from harness.record.seals import Seal, sealed_from
from harness.record.uncompared import note_compared, uncompared_text

RAW, REFUSED, ORIGINAL = HASHED["raw_files"], "refused", HASHED["originals"]
HIDDEN = "what it says of the data is not shown, since it may be sealed"
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
        uncompared: series that came through it with too few values to be compared -> values in common.
        keeps: whether sealed rows go into the vault; an archive that is thrown away goes without them.
    """

    def __init__(self, archive: Archive, home: Home, seals: Sequence[Seal], *, keeps: bool = True) -> None:
        self.archive, self.home, self.seals, self.keeps = archive, home, tuple(seals), keeps
        self.uncompared: dict[str, int] = {}
        self._cleared: set[str] = set()
        self._told: set[str] = set()  # messages that a vault has with more beside them
        self._plain: dict[str, str] = {}  # what a batch is called in the clear -> what the vault calls it

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
                    self.archive.store.at_last(partial(self._keep_declared, fresh))

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
        if cut is None or known == series or not self.keeps:
            return
        files = Vault.open(self.home, self.seals[place].id).files(DECLARED)
        told = {one for file in files for one in str(file.facts.get(DECLARED, "")).split()}
        mine = self._hash(place, (DECLARED, declaration_hash(series)))
        if mine and told and mine not in told:
            raise UserError(
                "this series is already declared differently",
                value=f"{series.id}: releases or closures from {cut.isoformat()} on",
                rule="a declaration may not change under the values it describes; these days lie in the vault",
                fix="bring the declaration back, or use another id",
            )

    def _keep_declared(self, series: Sequence[Series]) -> None:
        """Put whole declarations into the vaults of their seals."""
        for place, seal in enumerate(self.seals):
            mine = [one for one in series if sealed_from(self.seals, one.id) is seal]
            if mine:
                frame = pl.DataFrame({"id": [one.id for one in mine], "spec": list(map(series_to_text, mine))})
                fact = declared_fact(frame["spec"], veiled(self._signing(seal)))
                key = self._key(place, (DECLARED, *frame["spec"]))
                self._keep(place, DECLARED, partial(parquet_of, frame), key, {DECLARED: fact})

    def append(
        self,
        frame: Any,
        *,
        source: str,
        coverage: Coverage = "rows",
        known_through: datetime | date | None = None,
        publications: Any = None,
        treated: Treated | None = None,
        raw: Mapping[str, str] | None = None,
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
                done = into(frame, publications=publications, treated=treated, raw=raw)
                return replace(done, uncompared=uncompared_text(self.uncompared))
            with self.hiding(source, places[0]):
                given = None if told is None else told.rows
                whole = read_batch(parted.rows, catalogue, coverage=coverage, publications=given, now=now)
            if known_through is None and treated is None and any(map(self._has, self._shown(whole.sha256))):
                return _known_before(source, whole.rows_in, whole.sha256)
            known, cuts = self._known(whole, known_through, catalogue, now), self._cuts(catalogue)
            plain = self._plain.get(source, source)
            arguments = {"source": plain, "coverage": coverage, "known_through": known_through, "treated": treated}

            def received(place: int) -> Received:
                listed = None if told is None else told.received(place)
                mine = parted.received(place)
                return Received(kinds.VALUES, mine, now, publications=listed, raw=dict(raw or {}), **arguments)  # type: ignore[arg-type]

            words = (whole.sha256, str(known_through), plain if treated is not None else "")
            sealed = self._sealed(received, {place: parted.count(place) for place in places}, words, known)
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
            with self.hiding(label or kind, parted.covered[0]):
                more = {"source": source} if kind == kinds.FORECASTS else {}
                whole = READERS[kind](parted.rows, catalogue, now=now, **more)
            asserted = label if treated is not None else ""
            plain = self._plain.get(label, label)
            if any(self.archive.has_batch(kind, one, asserted) for one in self._shown(whole.sha256)):
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
                sealed=self._sealed(
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
        words = (kind, sha256, *([self._plain.get(source, source)] if source else []))
        keys = (self._hash(place, words) for place in range(len(self.seals)))
        if any(key and self._has(key) for key in keys):
            return True
        return any(self.archive.has_batch(kind, one, source) for one in self._shown(sha256))

    def original(self, place: int, sha256: str) -> str:
        """What stands in the clear for the hash of a file with names in it; "" without the key."""
        return self._hash(place, (ORIGINAL, sha256))

    def called(self, place: int, tag: str) -> str:
        """What stands in the clear for the tag of a batch; the vault has it as it is.

        Without the key its hashes are left out, so that it is the tag of no batch that is recorded.
        """
        signing = get_key(key_folder(self.home), f"{self.seals[place].id}.{SIGNING}")
        shown = veiled_tag(tag, no_hash if signing is None else veiled(signing))
        self._plain.setdefault(shown, tag)
        return shown

    def keyed(self, place: int) -> bool:
        """Whether the key is here without which no batch of a sealed dataset is recognised."""
        return get_key(key_folder(self.home), f"{self.seals[place].id}.{SIGNING}") is not None

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

    def need_key(self, place: int, dataset: str) -> None:
        """Refuse to go on with a dataset under seal without the key that signs its vault.

        Args:
            place: of the seal; -1 = none covers it.
            dataset: its name.

        Raises:
            SealedError: the key is not here; an archive that is thrown away needs none.
        """
        if self.keeps and place >= 0 and not self.keyed(place):
            seal, folder = self.seals[place], key_folder(self.home)
            raise SealedError(
                "the key that signs the vault of this dataset is not here",
                value=f"{dataset}, {folder / f'{seal.id}.{SIGNING}'}",
                rule=f"it is sealed from {seal.cut} on ({seal.told} {seal.id}); that key alone tells whether its files"
                " changed, since plain hashes would let what they hold be guessed, and takes in what is new",
                fix=f"name the folder that holds it ({KEYS}=DIR); plan, backtest and audit go on with what the archive"
                " has",
            )

    def keep_raw(self, place: int, content: bytes, suffix: str) -> None:
        """Put a raw file into the vault of a seal, once; an archive that is thrown away keeps none."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self.keeps:
            key = self._key(place, (RAW, sha256))
            if key not in self.seals[place].raw:
                self._keep(place, RAW, lambda: content, key, {"suffix": suffix})

    def refuse_raw(self, sha256: str, label: str) -> None:
        """Refuse a file that belongs to a sealed dataset, under another one.

        Args:
            sha256: hash of the file, as it was given or as it would be kept.
            label: what it is called.

        Raises:
            SealedError: it lies in a vault, or the de-identified copy of it does.
        """
        for place, seal in enumerate(self.seals):
            signing = get_key(key_folder(self.home), f"{seal.id}.{SIGNING}")
            keyed = None if signing is None else keyed_hash(signing, (RAW, sha256))
            kept = keyed in seal.raw or keyed in _keys(Vault.open(self.home, seal.id), RAW)
            if kept or not {sha256, self.original(place, sha256)}.isdisjoint(self._originals(seal)):
                raise SealedError(
                    "this file is a sealed one under another name",
                    value=label,
                    rule=f"it belongs to what is sealed from {seal.cut} on ({seal.told} {seal.id})",
                    fix="take the series from the sealed dataset; another home folder (--home DIR) has no seal",
                )

    @contextmanager
    def hiding(self, label: str, place: int, *, note: bool = True) -> Iterator[None]:
        """Tell what is wrong with data under seal without telling what they say; the vault has the whole message.

        Args:
            label: what is read.
            place: of the seal.
            note: put the message into the vault.

        Raises:
            DataError: as the block raises, with counts in the place of values.
        """
        try:
            yield
        except DataError as error:
            if note and str(error) not in self._told:
                self._tell(place, f"{label}\n{error}")
            raise _without_values(error) from None

    def hidden(self, place: int, refused: Refusal, error: UserError) -> Refusal:
        """What may stand in the clear of an ingest of data under seal that was refused; the vault has all of it.

        Counts of what was asserted stay. Rows, hashes, and what the reason says of values go.

        Args:
            place: of the seal.
            refused: what was refused, in full.
            error: why.
        """
        tables = {name: frame.to_dicts() for name, frame in refused.tables.items()}
        self._tell(place, json.dumps({**asdict(replace(refused, tables={})), "tables": tables}, sort_keys=True))
        self._told.add(refused.reason)
        return replace(
            refused,
            source=self.called(place, refused.source),
            sha256=self._hash(place, (RAW, refused.sha256)),
            reason=str(_without_values(error) if isinstance(error, DataError) else error),
            tables={name: without_rows(frame) for name, frame in refused.tables.items()},
        )

    def _tell(self, place: int, told: str) -> None:
        """Put into the vault why something was refused, once; without the key the refusal stands all the same."""
        if self.keeps:
            with suppress(SealedError):
                self._keep(place, REFUSED, told.encode, self._key(place, (REFUSED, told)), {})

    def _clear_part(
        self, treated: Treated | None, place: int, cuts: Mapping[str, int], free: Collection[str] = ()
    ) -> Treated | None:
        """What may stand in the clear of a cleaning record; `cuts` and `free` as `part_treated` takes them."""
        if treated is None:
            return None
        originals = {name: self.original(place, sha256) for name, sha256 in treated.originals.items()}
        return replace(part_treated(treated, cuts, free), originals=originals)

    def _originals(self, seal: Seal) -> set[str]:
        """What stands for the files with names in them that a seal's datasets were read from."""
        found = self.archive.originals().items()
        return {one for source, hashes in found if source.partition(": ")[0] in seal.datasets for one in hashes}

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

    def _sealed(
        self,
        received: Callable[[int], Received],
        counts: Mapping[int, int],
        words: Sequence[str],
        known: Mapping[int, int] | None = None,
    ) -> Sealed:
        """The sealed part of a batch.

        Args:
            received: what goes into the vault of a seal.
            counts: sealed rows by place of the seal.
            words: what makes the batch the one it is.
            known: as `Sealed.known`.
        """
        if not self.keeps:
            return Sealed(0, hashlib.sha256("\n".join(words).encode()).hexdigest(), lambda: None, known or {})

        key = self._key(min(counts), words)

        def keep() -> None:
            for place, rows in counts.items():
                packed = partial(lambda at: received(at).packed(), place)
                self._keep(place, BATCH, packed, key, {"rows": rows})

        return Sealed(sum(counts.values()), key, keep, known or {})

    def _keep(
        self, place: int, kind: str, content: Callable[[], bytes], key: str, facts: Mapping[str, int | str]
    ) -> None:
        """Put something into a vault and enter the new list of its files, unless it is there."""
        seal = self.seals[place]
        vault = Vault.open(self.home, seal.id, signing=self._signing(seal))
        if key not in _keys(vault, kind):
            manifest = vault.add(kind, content(), {**facts, "key": key})
            enter(self.home, "batch", {"seal": seal.id, "manifest": manifest, "rows": facts.get("rows", 0)})

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

    def _shown(self, sha256: str) -> list[str]:
        """What stands in the clear for a content: its hash, and what took its place when it was sealed."""
        keys = (self._hash(place, (CONTENT, sha256)) for place in range(len(self.seals)))
        return [sha256, *(key for key in keys if key)]

    def _has(self, sha256: str) -> bool:
        """Whether the archive recorded a batch of this content (keyed, unless it is from before the seal)."""
        return sha256 in self.archive.batches()["sha256"].to_list()

    def _key(self, place: int, words: Sequence[str]) -> str:
        return keyed_hash(self._signing(self.seals[place]), words)

    def _hash(self, place: int, words: Sequence[str]) -> str:
        """A keyed hash that may stand in the clear; "" without the key."""
        signing = get_key(key_folder(self.home), f"{self.seals[place].id}.{SIGNING}")
        return "" if signing is None else keyed_hash(signing, words)

    def _signing(self, seal: Seal) -> str:
        return needed_key(key_folder(self.home), f"{seal.id}.{SIGNING}")

    def catalogue(self) -> Catalogue:
        """The series of the archive."""
        series = self.archive.series()
        return Catalogue({one.id: code for code, one in enumerate(series)}, dict(enumerate(series)))


def _without_values(error: DataError) -> DataError:
    """An error with counts in the place of values."""
    if HIDDEN in error.rule:
        return error
    rule = "; ".join(part for part in (error.rule, HIDDEN) if part)
    return DataError(error.what, value=error.counts, rule=rule, fix=error.fix)


def _known_before(source: str, rows: int, sha256: str) -> BatchReport:
    """The report of a batch that was recorded before anything was sealed."""
    return BatchReport(0, source, rows, 0, 0, rows, 0, None, sha256)


def _keys(vault: Vault, kind: str) -> set[str]:
    return {str(one.facts.get("key", "")) for one in vault.files(kind)} - {""}
