"""Ingest a dataset folder into the archive: read everything, check everything, then append."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from harness.core.errors import ArchiveBusyError, UserError
from harness.core.series import Series
from harness.core.time import period_ordinals
from harness.data.archive import Archive, BatchReport
from harness.data.archive.books import refuse_other
from harness.data.archive.refusals import Refusal
from harness.data.cleaning.notes import Notes, Treated
from harness.data.dataset import load_dataset
from harness.data.declaration import Catalogue
from harness.data.declared import Dataset, Source
from harness.data.ingest.gate import Gate, hiding
from harness.data.ingest.parted import found_before
from harness.data.inputs import GO_ON, Alteration, Input, keep_raw, raw_hashes, read_input, refuse_reread
from harness.data.issued import Issued, read_forecast_list
from harness.data.lags import RuleCheck, require_late_rule
from harness.data.listings import Listing, Refused, read_listings
from harness.data.observations import Observations, observe
from harness.data.tables import RawTable, sha256_of
from harness.record.ledger import refusals
from harness.record.seals import Seal


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
        restamped: rows whose value was there under a publication stamp that the file no longer has: the old row stays.
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
    restamped: int = 0
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
    a cut on, the files they come in and what is wrong with them go into the vault instead.

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
        SealedError: the dataset repeats a sealed one, or vault, ledger and archive do not tell the same.
    """
    dataset = load_dataset(folder)
    gate = Gate.of(archive, seals)
    found: list[Refusal] = []
    with nullcontext() if gate is None else refusals(gate.home, f"ingest {dataset.name}"):
        try:
            return _ingested(dataset, archive, raw_dir, alter, partial(_refused, found, dataset), gate)
        except UserError as error:
            if alter is None:
                for one in found if gate is None else gate.hidden(dataset.series, found, error):
                    with suppress(ArchiveBusyError):  # what was refused matters more than its record
                        archive.note_refusal(one)
            raise


@contextmanager
def _refused(found: list[Refusal], dataset: Dataset, tag: str, table: RawTable, notes: Notes) -> Iterator[None]:
    """Note what is refused inside the block, to be put on record when nothing of the dataset is open any more."""
    try:
        yield
    except UserError as error:
        tables = notes.done().tables
        kept = {name: tables[name] for name in ("assertions", "failures")}
        found.append(Refusal(dataset.name, tag, sha256_of(table), str(error), kept))
        raise


def _ingested(
    dataset: Dataset, archive: Archive, raw_dir: Path, alter: Alteration | None, refused: Refused, gate: Gate | None
) -> IngestReport:
    _refuse_redeclared(dataset, archive)
    with _hiding(dataset, gate):
        inputs = [read_input(dataset, source, alter) for source in dataset.sources]
        listings = read_listings(dataset, None if alter is None else alter.announcements, refused)
        issued = read_forecast_list(dataset, alter, refused)
        recorded = archive.originals()
        refuse_reread(inputs, recorded)
        observed, rules = _observed(dataset, [one for one in inputs if one.tag not in recorded], refused, alter, gate)
    tables = [table for one in inputs for table in (one.kept, one.listed)] + [one.table for one in listings]
    files = [table for table in (*tables, None if issued is None else issued.table) if table is not None]
    _clear(dataset, files, {tag: found.rows for tag, found in observed.items()}, gate)
    for table in files:  # before the archive names them: a file that it names is always there
        _keep(dataset, table, raw_dir, gate)
    into = gate or archive
    with archive.together():
        archive.define(*dataset.series)
        # what was announced goes first, as it may contradict older announcements
        announced = [_announce(into, one, refused) for one in listings]
        reports = [_append(into, one, observed.get(one.tag), refused) for one in inputs]
        if issued is not None:
            reports.append(_issue(into, issued, refused))
    return IngestReport(dataset.name, tuple(one.id for one in dataset.series), (*reports, *announced), tuple(rules))


def _hiding(dataset: Dataset, gate: Gate | None) -> AbstractContextManager[None]:
    """What is wrong with a dataset under seal is told without telling what is sealed."""
    under = gate is not None and gate.covering(dataset.series) >= 0
    return hiding() if under else nullcontext()


def _clear(dataset: Dataset, files: Sequence[RawTable], rows: Mapping[str, pl.DataFrame], gate: Gate | None) -> None:
    """Refuse, before anything is written, files and series of a sealed dataset under another one's name."""
    if gate is not None:
        if gate.covering(dataset.series) < 0:
            for table in files:
                gate.refuse_raw(table.content, f"{dataset.name}: {table.label}")
        gate.clear(dataset.series, rows)


def _keep(dataset: Dataset, table: RawTable, raw_dir: Path, gate: Gate | None) -> None:
    """Keep a file; that of a dataset under seal in the vault alone."""
    place = -1 if gate is None else gate.covering(dataset.series)
    if gate is None or place < 0:
        keep_raw(table, raw_dir)
    else:
        gate.keep_raw(place, table.content, table.suffix)


def _observed(
    dataset: Dataset, inputs: Sequence[Input], refused: Refused, alter: Alteration | None, gate: Gate | None
) -> tuple[dict[str, Observations], list[tuple[str, RuleCheck]]]:
    """What new inputs hold, cleaned and asserted, by their names; and how the lag rules fare."""
    observed: dict[str, Observations] = {}
    rules: list[tuple[str, RuleCheck]] = []
    for one in inputs:
        with refused(one.tag, one.kept, one.notes):
            found = observe(dataset, one.source, one.table, one.listed, one.notes, refusing=alter is None)
            rules += _late_rules(dataset, one.source, found, gate)
        observed[one.tag] = found
    return observed, rules


def _refuse_redeclared(dataset: Dataset, archive: Archive) -> None:
    """Ask about every changed declaration before anything is written."""
    known = {one.id: one for one in archive.series()}
    for series in dataset.series:
        try:
            refuse_other(known.get(series.id, series), series)
        except UserError as error:
            raise UserError(error.what, value=error.value, rule=error.rule, fix=GO_ON) from None


def lacks(archive: Archive, dataset: Dataset) -> bool:
    """Whether an archive lacks something of a dataset as its files are now; an interrupted ingest counts as lacking.

    Raises:
        UserError: it has a series under another declaration, or read a file in another way.
        DataError: a file of values that cannot be read.
    """
    gate = Gate.beside(archive)
    with _hiding(dataset, gate):
        return _lacks(archive, dataset, gate)


def _lacks(archive: Archive, dataset: Dataset, gate: Gate | None) -> bool:
    _refuse_redeclared(dataset, archive)
    defined = archive.series()
    known = {one.id for one in defined}
    recorded = archive.originals()
    if any(one.id not in known or archive.known_through(one.id) is None for one in dataset.series):
        return True
    if any(tag.startswith(f"{dataset.name}: ") for tag in recorded):  # else its values were appended by other means
        inputs = [read_input(dataset, source) for source in dataset.sources]
        refuse_reread(inputs, recorded)
        if any(one.tag not in recorded for one in inputs):
            return True
    catalogue = Catalogue({one.id: code for code, one in enumerate(defined)}, dict(enumerate(defined)))
    try:
        lists = (*read_listings(dataset), read_forecast_list(dataset))
        return any(
            one is not None and one.unrecorded(archive, catalogue, None if gate is None else gate.recorded)
            for one in lists
        )
    except UserError:
        return True  # ingest refuses it, and puts it on record


def _append(archive: Archive | Gate, one: Input, found: Observations | None, refused: Refused) -> SourceReport:
    """Append what a source holds; None = the archive has had this very input."""
    if found is None:
        return SourceReport(one.source.label, already=True)
    through = None
    if found.publications is not None:
        through = max(found.publications["published_at"].max(), found.rows["published_at"].max())  # type: ignore[type-var]
    with refused(one.tag, one.kept, one.notes):
        report = archive.append(
            found.rows,
            source=one.tag,
            coverage=one.source.coverage,
            known_through=through,  # type: ignore[arg-type]
            publications=_uncaptured(found) if found.publications is None else found.publications,
            treated=None if found.treated is None else replace(found.treated, originals=one.originals),
            raw=raw_hashes(one.kept, one.listed),
        )
    shown = _reported(one.source.label, report, found.treated)
    return replace(shown, empty=found.empty, undeclared=found.undeclared)


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


def _announce(archive: Archive | Gate, one: Listing, refused: Refused) -> SourceReport:
    add = archive.append_events if one.section == "events" else archive.append_members
    with refused(one.tag, one.table, Notes()):
        done = add(one.rows, source=one.tag, raw=raw_hashes(one.table), treated=one.treated)
    return _reported(one.table.label, done, one.treated)


def _issue(archive: Archive | Gate, one: Issued, refused: Refused) -> SourceReport:
    with refused(one.tag, one.table, Notes()):
        # unasserted ones are called by their issuers, as they always were
        label = one.tag if one.treated is not None else ""
        done = archive.append_forecasts(one.rows, raw=raw_hashes(one.table), label=label, treated=one.treated)
    return _reported(one.table.label, done, one.treated)


def _reported(label: str, report: BatchReport, treated: Treated | None) -> SourceReport:
    tables = {} if treated is None or report.batch == 0 else treated.tables
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
        restamped=report.restamped,
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
