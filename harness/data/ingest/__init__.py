"""Ingest a dataset folder into the archive: read everything, check everything, then append."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from harness.core.errors import UserError
from harness.core.identity import digest
from harness.core.series import Series
from harness.core.time import micros, period_ordinals
from harness.data.archive import Archive, BatchReport
from harness.data.archive.books import refuse_other
from harness.data.archive.received import FORECASTS
from harness.data.cleaning.notes import Notes
from harness.data.cleaning.steps import Deidentify
from harness.data.cleaning.words import key_print, named
from harness.data.dataset import load_dataset
from harness.data.declaration import Catalogue
from harness.data.declared import Announcements, Dataset, Source
from harness.data.external import read_forecasts
from harness.data.ingest.gate import Gate
from harness.data.ingest.parted import found_before
from harness.data.issued import read_issued
from harness.data.lags import RuleCheck, require_late_rule
from harness.data.listings import Listing, read_listings
from harness.data.observations import Observations, observe
from harness.data.tables import RawTable, read_file, read_packaged
from harness.record.files import write_file
from harness.record.ledger import refusals
from harness.record.seals import Seal

READING = 1
"""Moves when the same files would be read differently: what was ingested before is then read again."""
GO_ON = (
    "undo the change to keep what is ingested; to go on with it, rename the dataset (its folder and `name`), or begin "
    "another home folder (--home DIR, or HARNESS_HOME=DIR)"
)


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of one table of a dataset.

    Attributes:
        label: its file or reader.
        already: the archive had this very input; nothing was read again.
        rows_in, kept, duplicates, set_aside: rows given to the archive, new, known before, refused with a reason
            (`Archive.set_aside()` has them).
        sealed: rows of them that went into a vault.
        empty: fields without a value, where that means "nothing known".
        steps: (name of a cleaning step, rows it touched).
        assertions: (name, severity, verdict, rows that failed).
        undeclared: (name in the file, rows) of series the dataset does not declare; they stay in the raw input only.
    """

    label: str
    already: bool = False
    rows_in: int = 0
    kept: int = 0
    duplicates: int = 0
    set_aside: int = 0
    sealed: int = 0
    empty: int = 0
    undeclared: tuple[tuple[str, int], ...] = ()
    steps: tuple[tuple[str, int], ...] = ()
    assertions: tuple[tuple[str, str, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did.

    Attributes:
        dataset: its name.
        series: stored ids defined.
        sources: one report per table: values, forecasts, events, members.
        rules: stored id -> how its lag rule fares against the publications observed (only series with vintages).
    """

    dataset: str
    series: tuple[str, ...]
    sources: tuple[SourceReport, ...]
    rules: tuple[tuple[str, RuleCheck], ...] = ()

    @property
    def already(self) -> bool:
        """Whether the archive had everything."""
        return all(one.already for one in self.sources)

    @property
    def rows_in(self) -> int:
        """Rows given to the archive."""
        return sum(one.rows_in for one in self.sources)

    @property
    def kept(self) -> int:
        """Rows that were new."""
        return sum(one.kept for one in self.sources)

    @property
    def set_aside(self) -> int:
        """Rows refused, with a reason."""
        return sum(one.set_aside for one in self.sources)

    @property
    def sealed(self) -> int:
        """Rows that went into a vault."""
        return sum(one.sealed for one in self.sources)


@dataclass(frozen=True, slots=True, eq=False)
class _Input:
    """The tables of one source and the name under which the archive records them."""

    source: Source
    table: RawTable
    listed: RawTable | None
    label: str
    reading: str
    file: str
    content: str
    original: RawTable
    notes: Notes

    @property
    def tag(self) -> str:
        return f"{self.label} [{self.reading}-{self.file}-{self.content}]"


class Alteration(Protocol):
    """Changes tables after they were read, before anything is made of them: so an audit asks what came from where."""

    def observations(self, dataset: Dataset, source: Source, table: RawTable) -> RawTable:
        """A source's table of values."""
        ...

    def publications(self, dataset: Dataset, source: Source, table: RawTable) -> RawTable:
        """A source's list of publications."""
        ...

    def announcements(self, dataset: Dataset, declared: Announcements, table: RawTable) -> RawTable:
        """A table of price events or of members."""
        ...

    def forecasts(self, dataset: Dataset, table: RawTable) -> RawTable:
        """The table of external forecasts."""
        ...


def ingest(
    folder: Path,
    archive: Archive,
    *,
    raw_dir: Path,
    alter: Alteration | None = None,
    seals: Sequence[Seal] | None = None,
) -> IngestReport:
    """Bring a dataset into the archive; the same input a second time changes nothing.

    Nothing is appended before every table of the dataset was read and checked. In a home under seal rows from a cut
    on, and the files they come in, go into the vault instead.

    Args:
        folder: a folder with a `dataset.toml`.
        archive: where to.
        raw_dir: where the files are kept as they were, under their content hash.
        alter: changes the tables first, for an archive of an audit's own.
        seals: what is left out of an archive that is thrown away; None = go by the seals of the archive's home.

    Raises:
        ExperimentError: problems of the `dataset.toml`, all of them.
        DataError: data that cannot be taken, or a lag rule that is too early (S7).
        UnknownNameError: a column or a series that is not in the file.
        UserError: a series that the archive has under another declaration, or a file it has read in another way.
        SealedError: the dataset repeats a sealed one, or vault, ledger and archive do not tell the same.
    """
    dataset = load_dataset(folder)
    gate = Gate.of(archive, seals)
    if gate is None:
        return _ingest(dataset, archive, raw_dir, alter, None)
    with refusals(gate.home, f"ingest {dataset.name}"):
        return _ingest(dataset, archive, raw_dir, alter, gate)


def _ingest(
    dataset: Dataset, archive: Archive, raw_dir: Path, alter: Alteration | None, gate: Gate | None
) -> IngestReport:
    _refuse_redeclared(dataset, archive)
    recorded = _recorded(archive)
    with _hiding(dataset, gate):
        inputs = [_read(dataset, source, alter) for source in dataset.sources]
        issued = (
            None
            if dataset.forecasts is None
            else read_file(dataset.folder / dataset.forecasts.file, dataset.forecasts.text)
        )
        listings = read_listings(dataset, None if alter is None else alter.announcements)
        if alter is not None and issued is not None:
            issued = alter.forecasts(dataset, issued)
        _refuse_reread(inputs, recorded)
        fresh = [one for one in inputs if one.tag not in recorded]
        observed = {
            one.tag: observe(dataset, one.source, one.table, one.listed, one.notes, refusing=alter is None)
            for one in fresh
        }
        rules = tuple(pair for one in fresh for pair in _late_rules(dataset, one.source, observed[one.tag], gate))
        forecasts = None if issued is None else read_issued(dataset, issued)
    others = [issued, *(one.table for one in listings)]
    _refuse_sealed_files(dataset, inputs, others, gate)
    if gate is not None:
        gate.clear(dataset.series, {tag: found.rows for tag, found in observed.items()})
    _keep_all_raw(dataset, inputs, others, raw_dir, gate)
    archive.define(*dataset.series)
    into = gate or archive
    announced = [_announce(into, dataset, one) for one in listings]  # first, as they may contradict older ones
    reports = [
        _append(into, one, observed[one.tag]) if one.tag in observed else SourceReport(one.source.label, already=True)
        for one in inputs
    ]
    if issued is not None and forecasts is not None:
        reports.append(_reported(issued.label, into.append_forecasts(forecasts, raw=_raw(issued))))
    return IngestReport(dataset.name, tuple(one.id for one in dataset.series), (*reports, *announced), rules)


@contextmanager
def _hiding(dataset: Dataset, gate: Gate | None, *, note: bool = True) -> Iterator[None]:
    """What is wrong with a dataset under seal is told without telling what is sealed."""
    place = -1 if gate is None else gate.covering(dataset.series)
    if gate is None or place < 0:
        yield
    else:
        with gate.hiding(dataset.name, place, note=note):
            yield


def _files(inputs: Sequence[_Input], others: Sequence[RawTable | None]) -> list[RawTable]:
    tables = [table for one in inputs for table in (one.original, one.listed)]
    return [table for table in [*tables, *others] if table is not None]


def _refuse_sealed_files(
    dataset: Dataset, inputs: Sequence[_Input], others: Sequence[RawTable | None], gate: Gate | None
) -> None:
    """Refuse files of a sealed dataset under another one's name."""
    if gate is not None and gate.covering(dataset.series) < 0:
        for table in _files(inputs, others):
            gate.refuse_raw(table.content, f"{dataset.name}: {table.label}")


def _keep_all_raw(
    dataset: Dataset,
    inputs: Sequence[_Input],
    others: Sequence[RawTable | None],
    raw_dir: Path,
    gate: Gate | None,
) -> None:
    """Keep the files as they were; those of a dataset under seal in the vault alone."""
    place = -1 if gate is None else gate.covering(dataset.series)
    for table in _files(inputs, others):
        if gate is None or place < 0:
            _keep_raw(table, raw_dir)
        else:
            gate.keep_raw(place, table.content, table.suffix)


def _read(dataset: Dataset, source: Source, alter: Alteration | None = None) -> _Input:
    table = read_packaged(source.reader) if source.reader else read_file(dataset.folder / source.file, source.text)
    listed = read_file(dataset.folder / source.publications, source.text) if source.publications else None
    original, notes = table, Notes()
    table = named(table, source.treatment.stage("names"), notes)
    if alter is not None:
        table = alter.observations(dataset, source, table)
        listed = None if listed is None else alter.publications(dataset, source, listed)
    declared = [dataset.declared(bare) for bare in source.series]
    hashes = [hashlib.sha256(one.content).hexdigest() for one in (table, listed) if one is not None]
    treatment, keys = source.treatment, _keys(source)
    steps = [treatment.changing, keys] if treatment.changing else []
    asked = [treatment.changing, keys, [(one.kind, one) for one in treatment.assertions]] if treatment else []
    content = digest("ingest", READING, dataset.name, source, declared, dataset.in_file, hashes, *asked)
    reading = digest(source.layout, source.columns, source.stamp, source.coverage, source.zone, source.text, *steps)
    label = f"{dataset.name}: {source.label}"
    return _Input(source, table, listed, label, reading[:8], digest(hashes)[:8], content[:16], original, notes)


def _keys(source: Source) -> list[str]:
    """What tells the keys of keyed hashes from others: another key makes other names."""
    return [key_print(step.key_env) for step in source.treatment.steps if isinstance(step, Deidentify)]


def _raw(*tables: RawTable | None) -> dict[str, str]:
    """Content hash of the tables a batch is made of, by name."""
    return {one.label: hashlib.sha256(one.content).hexdigest() for one in tables if one is not None}


def _keep_raw(table: RawTable, raw_dir: Path) -> None:
    path = raw_dir / f"{hashlib.sha256(table.content).hexdigest()}{table.suffix}"
    if not path.exists():
        write_file(path, table.content)


def _refuse_redeclared(dataset: Dataset, archive: Archive) -> None:
    """Ask about every changed declaration before anything is written."""
    known = {one.id: one for one in archive.series()}
    for series in dataset.series:
        try:
            refuse_other(known.get(series.id, series), series)
        except UserError as error:
            raise UserError(error.what, value=error.value, rule=error.rule, fix=GO_ON) from None


def _refuse_reread(inputs: Sequence[_Input], recorded: set[str]) -> None:
    """Refuse to read the very same file in another way (columns, stamp, null texts): the old values would stay."""
    for one in inputs:
        readings = {other.reading for other in inputs if other.label == one.label}
        tags = [tag.removeprefix(f"{one.label} [").split("-") for tag in recorded if tag.startswith(f"{one.label} [")]
        if any(len(tag) == 3 and tag[1] == one.file and tag[0] not in readings for tag in tags):
            raise UserError(
                "this file was ingested under another description",
                value=one.label,
                rule="its layout, columns, stamp, coverage, zone, text form, cleaning steps and what is set aside may "
                "not change under the values read",
                fix=GO_ON,
            )


def _recorded(archive: Archive) -> set[str]:
    return {str(source) for source in archive.batches()["source"].to_list()}


def lacks(archive: Archive, dataset: Dataset) -> bool:
    """Whether an archive lacks something of a dataset as its files are now; an interrupted ingest counts as lacking.

    Raises:
        UserError: it has a series under another declaration, or read a file in another way.
        DataError: a file that cannot be read.
        SealedError: vault, ledger and archive of its home do not tell the same.
    """
    gate = Gate.of(archive)
    with _hiding(dataset, gate, note=False):
        return _lacks(archive, dataset, gate)


def _lacks(archive: Archive, dataset: Dataset, gate: Gate | None) -> bool:
    _refuse_redeclared(dataset, archive)
    has = partial(_has_batch, archive) if gate is None else gate.recorded
    defined = archive.series()
    known = {one.id for one in defined}
    recorded = _recorded(archive)
    if any(one.id not in known or archive.known_through(one.id) is None for one in dataset.series):
        return True
    if any(tag.startswith(f"{dataset.name}: ") for tag in recorded):  # else its values were appended by other means
        inputs = [_read(dataset, source) for source in dataset.sources]
        _refuse_reread(inputs, recorded)
        if any(one.tag not in recorded for one in inputs):
            return True
    catalogue = Catalogue({one.id: code for code, one in enumerate(defined)}, dict(enumerate(defined)))
    if any(not has(one.section, one.given(catalogue).sha256) for one in read_listings(dataset)):
        return True
    if dataset.forecasts is None:
        return False
    issued = read_issued(dataset, read_file(dataset.folder / dataset.forecasts.file, dataset.forecasts.text))
    given = read_forecasts(issued, catalogue, source=None, now=micros(datetime.now(UTC)))
    return not has(FORECASTS, given.sha256)


def _has_batch(archive: Archive, kind: str, sha256: str) -> bool:  # noqa: ARG001 - as `Gate.recorded`
    return sha256 in archive.batches()["sha256"].to_list()


def _append(archive: Archive | Gate, one: _Input, found: Observations) -> SourceReport:
    through = None
    if found.publications is not None:
        through = max(found.publications["published_at"].max(), found.rows["published_at"].max())  # type: ignore[type-var]
    report = archive.append(
        found.rows,
        source=one.tag,
        coverage=one.source.coverage,
        known_through=through,  # type: ignore[arg-type]
        publications=_uncaptured(found) if found.publications is None else found.publications,
        treated=found.treated,
        raw=_raw(one.original, one.listed),
    )
    return _reported(one.source.label, report, found)


def _uncaptured(found: Observations) -> pl.DataFrame | None:
    """Publications that happened and whose value was set aside: they count as releases, and have none to show."""
    if found.treated is None or not found.treated.uncaptured.height:
        return None
    return found.treated.uncaptured.select(
        "series_id",
        pl.col("published").cast(pl.Datetime("us", "UTC")).alias("published_at"),
        pl.col("period").alias("first"),
        pl.col("period").alias("last"),
        captured=pl.lit(value=False),
    )


def _announce(archive: Archive | Gate, dataset: Dataset, one: Listing) -> SourceReport:
    add = archive.append_events if one.section == "events" else archive.append_members
    done = add(one.rows, source=f"{dataset.name}: {one.table.label}", raw=_raw(one.table))
    return _reported(one.table.label, done)


def _reported(label: str, report: BatchReport, found: Observations | None = None) -> SourceReport:
    tables = {} if found is None or found.treated is None or report.batch == 0 else found.treated.tables
    steps = tables["cleaning"].select("step", "touched").rows() if tables else []
    verdicts = tables["assertions"].select("assertion", "severity", "verdict", "failed").rows() if tables else []
    return SourceReport(
        label,
        steps=tuple(steps),
        assertions=tuple(verdicts),
        already=report.batch == 0,
        rows_in=report.rows_in,
        kept=report.kept,
        duplicates=report.duplicates,
        set_aside=report.set_aside,
        sealed=report.sealed,
        empty=0 if found is None else found.empty,
        undeclared=() if found is None else found.undeclared,
    )


def _late_rules(
    dataset: Dataset, source: Source, found: Observations, gate: Gate | None
) -> list[tuple[str, RuleCheck]]:
    """The lag rule of every dated series against the first publications observed; of a sealed one, before its cut.

    Raises:
        DataError: a rule that holds for less than 99 % of them.
    """
    if not source.dated_by:
        return []
    if gate is not None:
        found = found_before(found, gate.cuts(dataset.series))
    checks = []
    for series in (dataset.declared(bare) for bare in source.series):
        if series.lag is not None:
            firsts = first_publications(series, found)
            if len(firsts):
                ordinals = period_ordinals(series.parsed, firsts["period"].to_numpy().astype("datetime64[D]"))
                instants = firsts["published_at"].dt.epoch("us").to_numpy().astype(np.int64)
                checks.append((series.id, require_late_rule(series, ordinals, instants)))
    return checks


def first_publications(series: Series, found: Observations) -> pl.DataFrame:
    """First publication (captured or not) of each period that came after the series' first vintage.

    What the first vintage holds was public before; estimated dates say nothing about a rule.

    Returns:
        period, published_at.
    """
    rows = found.rows.filter(pl.col("series_id") == series.id)
    if found.publications is None:
        events = rows.select("period", "published_at", "availability")
        lost = _uncaptured(found)
        if lost is not None:
            mine = lost.filter(pl.col("series_id") == series.id)
            columns = (pl.col("first").alias("period"), "published_at", pl.lit("observed").alias("availability"))
            events = pl.concat([events, mine.select(*columns)])
    else:
        spans = found.publications.filter(pl.col("series_id") == series.id)
        events = (
            rows.select("period")
            .unique()
            .join_where(spans, pl.col("period") >= pl.col("first"), pl.col("period") <= pl.col("last"))
            .select("period", "published_at", "availability")
        )
    firsts = events.sort("published_at").group_by("period", maintain_order=True).first()
    return (
        firsts.filter((pl.col("published_at") > firsts["published_at"].min()) & (pl.col("availability") == "observed"))
        .select("period", "published_at")
        .sort("period")
    )
