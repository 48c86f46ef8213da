"""What an ingest tells of itself."""

from __future__ import annotations

from dataclasses import dataclass

from harness.data.archive import BatchReport
from harness.data.cleaning.notes import Treated
from harness.data.lags import RuleCheck


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of one table of a dataset.

    Attributes:
        label: its file or reader.
        already: the archive had this very input; nothing was read again.
        rows_in, kept, duplicates, set_aside: rows given to the archive, new, known before, refused with a reason
            (`Archive.set_aside()` has them).
        sealed: rows of them that went into a vault.
        ahead: rows that were public before a seal's cut and tell of periods that end after it: they stay readable.
        empty: fields without a value, where that means "nothing known".
        steps: (name of a cleaning step, rows it touched).
        assertions: (name, severity, verdict, rows that failed).
        restamped: rows whose value was there under a publication stamp that the file no longer has: the old row stays.
        withdrawn: rows that withdraw a value: without one, or left out of a complete publication.
        gone: rows that the archive has of this very file, and that are not in it any more: they stay.
        unclear: publication stamps that the clocks of the declared zone skip or have twice; the later reading counts.
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
    ahead: int = 0
    withdrawn: int = 0
    gone: int = 0
    unclear: int = 0
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
        uncompared: series that had too few values to be compared with sealed ones, in words; "" = none.
    """

    dataset: str
    series: tuple[str, ...]
    sources: tuple[SourceReport, ...]
    rules: tuple[tuple[str, RuleCheck], ...] = ()
    uncompared: str = ""

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
    def withdrawn(self) -> int:
        """Withdrawals."""
        return sum(one.withdrawn for one in self.sources)

    @property
    def sealed(self) -> int:
        """Rows that went into a vault."""
        return sum(one.sealed for one in self.sources)


def reported(label: str, report: BatchReport, treated: Treated | None, *, unclear: int = 0) -> SourceReport:
    """What to tell of a batch and of its cleaning record."""
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
        restamped=report.restamped,
        sealed=report.sealed,
        ahead=report.ahead,
        withdrawn=report.withdrawn,
        gone=report.gone,
        unclear=unclear if report.batch else 0,
    )
