"""Ingest a dataset folder into the archive: read everything, check everything, then append."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl

from harness.core.errors import ArchiveBusyError, UserError
from harness.core.time import micros
from harness.data.archive import Archive
from harness.data.archive.books import refuse_other
from harness.data.archive.refusals import Refusal
from harness.data.assertions.asking import SEQUENCE
from harness.data.assertions.judged import Held
from harness.data.by_parts import InParts
from harness.data.cleaning.notes import Notes
from harness.data.dataset import load_dataset
from harness.data.declaration import Catalogue
from harness.data.declared import Dataset, Source
from harness.data.ingest.gate import Gate
from harness.data.ingest.reports import IngestReport, SourceReport, reported
from harness.data.ingest.rules import late_rules, uncaptured
from harness.data.ingest.unread import refused_unread, unchanged_without_key
from harness.data.inputs import GO_ON, Alteration, Input, keep_raw, raw_hashes, read_input, refuse_reread
from harness.data.issued import Issued, read_forecast_list
from harness.data.lags import RuleCheck
from harness.data.listings import Listing, Refused, read_listings
from harness.data.observations import Observations, observe, statements
from harness.data.streamed import whole_needed
from harness.data.tables import RawTable, sha256_of
from harness.data.tags import label_of
from harness.record.home import Home
from harness.record.ledger import refusals
from harness.record.seals import Seal
from harness.record.uncompared import uncompared_text
from harness.record.working import working

Tagged = TypeVar("Tagged", bound=Input | Listing | Issued)
__all__ = ["IngestReport", "ingest", "lacks", "untold"]


def ingest(
    folder: Path,
    archive: Archive,
    *,
    raw_dir: Path,
    alter: Alteration | None = None,
    seals: Sequence[Seal] | None = None,
) -> IngestReport:
    """Bring a dataset into the archive, all of it or nothing; the same input a second time changes nothing.

    Nothing is appended before every table of the dataset was read and checked. What was read and is refused is put on
    record (`Archive.refusals`), which changes neither values nor the archive's identity. In a home under seal rows from
    a cut on, the files they come in, and what a refusal says of them, go into the vault instead.

    Args:
        folder: a folder with a `dataset.toml`.
        archive: where to.
        raw_dir: where the files are kept as they were (with hashes in place of names that a step de-identifies), under
            their content hash.
        alter: changes the tables first, for an archive of an audit's own.
        seals: what is left out of an archive that is thrown away; None = go by the seals of the archive's home.

    Raises:
        ExperimentError: problems of the `dataset.toml`, all of them.
        DataError: data that cannot be taken, or a lag rule that is too early (S7).
        UnknownNameError: a column or a series that is not in the file.
        UserError: a series that the archive has under another declaration, or a file it has read in another way.
        SealedError: the dataset repeats a sealed one, it is under seal and the key that signs its vault is not here, or
            vault, ledger and archive do not tell the same.
    """
    with working(Home(archive.path.absolute().parent), wait=archive.store.wait):
        return _guarded(load_dataset(folder), archive, raw_dir, alter, seals)


def _guarded(
    dataset: Dataset, archive: Archive, raw_dir: Path, alter: Alteration | None, seals: Sequence[Seal] | None
) -> IngestReport:
    gate = Gate.of(archive, seals)
    found: list[Refusal] = []
    refused, unread = partial(_refused, found, dataset, gate), partial(_unread, found, dataset, gate)
    try:
        if gate is None:
            return _ingested(dataset, archive, raw_dir, alter, refused, unread, None)
        with refusals(gate.home, f"ingest {dataset.name}"):
            return _ingested(dataset, archive, raw_dir, alter, refused, unread, gate)
    except UserError:
        if alter is None:
            with suppress(ArchiveBusyError):  # what was refused matters more than its record
                for one in found:
                    archive.note_refusal(one)
        raise


@contextmanager
def _refused(
    found: list[Refusal], dataset: Dataset, gate: Gate | None, tag: str, table: RawTable, notes: Notes
) -> Iterator[None]:
    """Note what is refused inside the block, to be put on record when nothing of the dataset is open any more."""
    try:
        yield
    except UserError as error:
        tables = notes.done().tables
        kept = {name: tables[name] for name in ("assertions", "failures")}
        _keep_refusal(found, dataset, gate, Refusal(dataset.name, tag, sha256_of(table), str(error), kept), error)
        raise


@contextmanager
def _unread(found: list[Refusal], dataset: Dataset, gate: Gate | None, *sources: Source) -> Iterator[None]:
    """Note what is refused inside the block, before a value of any of some sources was read."""
    try:
        yield
    except UserError as error:
        one = refused_unread(dataset, sources, error)
        if one is not None:
            _keep_refusal(found, dataset, gate, one, error)
        raise


def _keep_refusal(found: list[Refusal], dataset: Dataset, gate: Gate | None, one: Refusal, error: UserError) -> None:
    place = -1 if gate is None else gate.covering(dataset.series)
    found.append(one if gate is None or place < 0 else gate.vaults.hidden(place, one, error))


def _ingested(
    dataset: Dataset,
    archive: Archive,
    raw_dir: Path,
    alter: Alteration | None,
    refused: Refused,
    unread: Callable[..., AbstractContextManager[None]],
    gate: Gate | None,
) -> IngestReport:
    with unread(*dataset.sources):
        _refuse_redeclared(dataset, archive, gate)
    if gate is not None:
        gate.vaults.need_key(gate.covering(dataset.series), dataset.name)
    with _hiding(dataset, gate):
        inputs = []
        for source in dataset.sources:
            with unread(source):
                inputs.append(_called(_readable(read_input(dataset, source, alter), gate), dataset, gate))
        given = read_listings(dataset, None if alter is None else alter.announcements, refused)
        listings = [_called(one, dataset, gate) for one in given]
        told = read_forecast_list(dataset, alter, refused)
        issued = None if told is None else _called(told, dataset, gate)
        recorded = archive.originals()
        with unread(*dataset.sources):
            refuse_reread(inputs, recorded, _keyed(dataset, gate))
        waiting = archive.waiting()
        fresh = [one for one in inputs if one.tag not in recorded or one.tag in waiting]
        observed, rules = _observed(dataset, archive, fresh, refused, alter, gate)
    lists: list[Listing | Issued] = [*listings, *([] if issued is None else [issued])]
    if gate is not None:
        for place in (place for one in lists for place in gate.touched(one.rows)):
            gate.vaults.need_key(place, dataset.name)
        _refuse_sealed_files(dataset, inputs, lists, gate)
        whole = {tag: one.rows for tag, one in observed.items() if isinstance(one, Observations)}
        gate.clear(dataset.series, whole)
    # before the archive names them: a file that it names is always there
    for one in (*inputs, *lists):
        _keep_raw(dataset, one, raw_dir, gate)
    into = gate or archive
    with archive.together():
        into.define(*dataset.series)
        # what was announced goes first, as it may contradict older announcements
        announced = [_announce(into, one, refused) for one in listings]
        reports = [_append(into, one, observed.get(one.tag), refused) for one in inputs]
        if issued is not None:
            reports.append(_issue(into, issued, refused))
    few = "" if gate is None else uncompared_text(gate.uncompared)
    ids = tuple(one.id for one in dataset.series)
    return IngestReport(dataset.name, ids, (*reports, *announced), tuple(rules), uncompared=few)


def _observed(
    dataset: Dataset,
    archive: Archive,
    inputs: Sequence[Input],
    refused: Refused,
    alter: Alteration | None,
    gate: Gate | None,
) -> tuple[dict[str, Observations | InParts], list[tuple[str, RuleCheck]]]:
    """What new inputs hold, cleaned and asserted, by their names; and how the lag rules fare."""
    observed: dict[str, Observations | InParts] = {}
    rules: list[tuple[str, RuleCheck]] = []
    cuts = {} if gate is None else gate.cuts(dataset.series)
    sealed = {name: micros(at) for name, at in cuts.items()}
    earlier: list[tuple[Input, Observations]] = []
    for one in inputs:
        if one.table.unread is not None:
            observed[one.tag] = InParts(dataset, one.source, one.table)
            continue
        held = Held(_held(dataset, archive, one.source, earlier), archive.now(), sealed)
        with refused(one.tag, one.kept, one.notes):
            found = observe(dataset, one.source, one.table, one.listed, one.notes, refusing=alter is None, held=held)
            rules += late_rules(dataset, one.source, found, cuts)
        observed[one.tag] = found
        earlier.append((one, found))
    return observed, rules


def _held(
    dataset: Dataset, archive: Archive, source: Source, earlier: Sequence[tuple[Input, Observations]]
) -> pl.DataFrame | None:
    """What the archive holds of a source's series, and what sources before it bring; None = nothing compares rows."""
    if not any(one.kind in SEQUENCE for one in source.treatment.assertions):
        return None
    names = [dataset.declared(bare).id for bare in source.series]
    mine = pl.col("series_id").is_in(names)
    told = [statements(dataset, one.source, found).filter(mine) for one, found in earlier]
    return pl.concat([archive.stated(names), *told]).unique(maintain_order=True)


@contextmanager
def _hiding(dataset: Dataset, gate: Gate | None, *, note: bool = True) -> Iterator[None]:
    """What is wrong with a dataset under seal is told without telling what is sealed."""
    place = -1 if gate is None else gate.covering(dataset.series)
    if gate is None or place < 0:
        yield
    else:
        with gate.vaults.hiding(dataset.name, place, note=note):
            yield


def _keyed(dataset: Dataset, gate: Gate | None) -> Callable[[str], str]:
    """What stands for the hash of a file with names in it, in batches of a dataset under seal."""
    place = -1 if gate is None else gate.covering(dataset.series)
    return str if gate is None or place < 0 else partial(gate.vaults.original, place)


def _called(one: Tagged, dataset: Dataset, gate: Gate | None) -> Tagged:
    """A table under what its batch is called in the clear: of what is under seal nobody can guess the content."""
    place = _place(one, dataset, gate)
    return one if gate is None or place < 0 else replace(one, tag=gate.vaults.called(place, one.tag))


def _place(one: Input | Listing | Issued, dataset: Dataset, gate: Gate | None) -> int:
    """Place of the seal that a table goes by: its dataset's, else the first that covers what it lists; -1 = none."""
    place = -1 if gate is None else gate.covering(dataset.series)
    if gate is None or place >= 0 or isinstance(one, Input):
        return place
    return next(iter(gate.touched(one.rows)), -1)


def _files(one: Input | Listing | Issued) -> list[RawTable]:
    """The tables of a source or list as they are kept."""
    if isinstance(one, Input):
        return [table for table in (one.kept, one.listed) if table is not None]
    return [one.table]


def _refuse_sealed_files(
    dataset: Dataset, inputs: Sequence[Input], lists: Sequence[Listing | Issued], gate: Gate
) -> None:
    """Refuse files of a sealed dataset under another one's name, with or without their names hashed."""
    if gate.covering(dataset.series) < 0:
        given = [(one.kept.label, one.given) for one in inputs if one.given]
        free = [one for one in (*inputs, *lists) if _place(one, dataset, gate) < 0]
        for label, sha256 in [*given, *((table.label, sha256_of(table)) for one in free for table in _files(one))]:
            gate.vaults.refuse_raw(sha256, f"{dataset.name}: {label}")


def _keep_raw(dataset: Dataset, one: Input | Listing | Issued, raw_dir: Path, gate: Gate | None) -> None:
    """Keep the files as they were, or their de-identified copies; those of what is under seal in the vault alone."""
    place = _place(one, dataset, gate)
    for table in _files(one):
        if gate is None or place < 0:
            keep_raw(table, raw_dir)
        else:
            gate.vaults.keep_raw(place, table.content, table.suffix)


def _refuse_redeclared(dataset: Dataset, archive: Archive, gate: Gate | None) -> None:
    """Ask about every changed declaration before anything is written."""
    known = {one.id: one for one in archive.series()}
    for series in dataset.series:
        try:
            (refuse_other if gate is None else gate.refuse_other)(known.get(series.id, series), series)
        except UserError as error:
            raise UserError(error.what, value=error.value, rule=error.rule, fix=GO_ON) from None


def lacks(archive: Archive, dataset: Dataset) -> bool:
    """Whether an archive lacks something of a dataset as its files are now; an interrupted ingest counts as lacking.

    Of a dataset under seal whose signing key is not here only its series are asked for (`untold`).

    Raises:
        UserError: it has a series under another declaration, or read a file in another way.
        DataError: a file of values that cannot be read.
    """
    gate = Gate.beside(archive)
    with _hiding(dataset, gate, note=False):
        return _lacks(archive, dataset, gate)


def untold(archive: Archive, dataset: Dataset) -> bool:
    """Whether it cannot be told if the files of a dataset changed: it (or what it lists) is under seal without its key.

    Nothing could be added without that key either.
    """
    gate = Gate.beside(archive)
    if gate is None:
        return False
    place = gate.covering(dataset.series)
    if place >= 0:
        return not gate.vaults.keyed(place)
    with suppress(UserError):  # what is wrong with its lists is told where they are taken in
        return any(_unkeyed(one, gate) for one in _announced(dataset))
    return False


def _unkeyed(one: Listing | Issued, gate: Gate) -> bool:
    return not all(map(gate.vaults.keyed, gate.touched(one.rows)))


def _announced(dataset: Dataset) -> list[Listing | Issued]:
    told = read_forecast_list(dataset)
    return [*read_listings(dataset), *([] if told is None else [told])]


def _lacks(archive: Archive, dataset: Dataset, gate: Gate | None) -> bool:
    _refuse_redeclared(dataset, archive, gate)
    defined = archive.series()
    known = {one.id for one in defined}
    recorded = archive.originals()
    labels = set(map(label_of, recorded))
    # a series of which no file holds a value is never ingested, however often the files are read
    read = all(f"{dataset.name}: {one.label}" in labels for one in dataset.sources)
    if not known.issuperset(dataset.by_id) or not (read or archive.ingested().issuperset(dataset.by_id)):
        return True
    if untold(archive, dataset):
        return False
    waiting = archive.waiting()
    if any(tag.startswith(f"{dataset.name}: ") for tag in recorded):  # else its values were appended by other means
        keyed = _keyed(dataset, gate)
        sources = [one for one in dataset.sources if not unchanged_without_key(archive, dataset, one, keyed)]
        inputs = [_called(read_input(dataset, source, rows=False), dataset, gate) for source in sources]
        refuse_reread(inputs, recorded, keyed)
        if any(one.tag not in recorded or one.tag in waiting for one in inputs):
            return True
    catalogue = Catalogue({one.id: code for code, one in enumerate(defined)}, dict(enumerate(defined)))
    try:
        lists = [_called(one, dataset, gate) for one in _announced(dataset)]
        if gate is not None:  # what nobody can tell is not asked for
            lists = [one for one in lists if not _unkeyed(one, gate)]
        return any(_lacks_list(archive, one, catalogue, gate) for one in lists)
    except UserError:
        return True  # ingest refuses it, and puts it on record


def _lacks_list(archive: Archive, one: Listing | Issued, catalogue: Catalogue, gate: Gate | None) -> bool:
    """Whether a list would become a batch; one that the archive has every row of does not, unless it is asserted."""
    given = one.given(catalogue, archive.now())
    if gate is not None and gate.touched(one.rows):
        return gate.lacks_list(one.section, one.rows, given.sha256, one.asserted)
    unasked = one.asserted != "" and one.asserted not in archive.originals()
    aside = given.set_aside.height > 0 and not archive.has_batch(one.section, given.sha256)
    return unasked or aside or archive.lacks_rows(one.section, given)


def _readable(one: Input, gate: Gate | None) -> Input:
    """An input, unless it has to be read part by part in a home under seal."""
    if gate is not None and one.table.unread is not None:
        raise whole_needed(one.label, "the home is under seal")
    return one


def _append_parts(into: Archive | Gate, one: Input, found: InParts, refused: Refused) -> SourceReport:
    """Append what a source holds that is read part by part meanwhile."""
    with refused(one.tag, one.kept, one.notes):
        report = into.append(
            found.rows, source=one.tag, coverage=one.source.coverage, raw=raw_hashes(one.kept), record_empty=True
        )
    return _with_found(reported(one.source.label, report, None), found)


def _append(into: Archive | Gate, one: Input, found: Observations | InParts | None, refused: Refused) -> SourceReport:
    """Append what a source holds; None = the archive has had this very input."""
    if found is None:
        return SourceReport(one.source.label, already=True)
    if isinstance(found, InParts):
        return _append_parts(into, one, found, refused)
    through = None
    if found.publications is not None:
        through = max(found.publications["published_at"].max(), found.rows["published_at"].max())  # type: ignore[type-var]
    with refused(one.tag, one.kept, one.notes):
        report = into.append(
            found.rows,
            source=one.tag,
            coverage=one.source.coverage,
            known_through=through,  # type: ignore[arg-type]
            publications=uncaptured(found) if found.publications is None else found.publications,
            treated=None if found.treated is None else replace(found.treated, originals=one.originals),
            raw=raw_hashes(one.kept, one.listed),
            record_empty=True,  # else nobody could tell that the file was read
        )
    return _with_found(reported(one.source.label, report, found.treated), found)


def _with_found(shown: SourceReport, found: Observations | InParts) -> SourceReport:
    return replace(shown, empty=found.empty, undeclared=found.undeclared, unclear=found.unclear)


def _announce(into: Archive | Gate, one: Listing, refused: Refused) -> SourceReport:
    add = into.append_events if one.section == "events" else into.append_members
    with refused(one.tag, one.table, Notes()):
        done = add(one.rows, source=one.tag, raw=raw_hashes(one.table), treated=one.treated)
    return reported(one.table.label, done, one.treated, unclear=one.unclear)


def _issue(into: Archive | Gate, one: Issued, refused: Refused) -> SourceReport:
    with refused(one.tag, one.table, Notes()):
        # unasserted ones are called by their issuers, as they always were
        done = into.append_forecasts(one.rows, raw=raw_hashes(one.table), label=one.asserted, treated=one.treated)
    return reported(one.table.label, done, one.treated, unclear=one.unclear)
