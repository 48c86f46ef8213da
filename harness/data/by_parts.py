"""A source in a file larger than memory, observed part by part: what every row says by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from harness.data.assertions.asking import SEQUENCE
from harness.data.csv_text import Lined, csv_parts
from harness.data.declared import Dataset, Source
from harness.data.observations import not_inside, observe
from harness.data.stamps import Forms
from harness.data.streamed import Parts, parquet_parts, whole_needed
from harness.data.tables import RawTable, beyond_memory, ending, is_parquet, refuse_beyond_memory, unread


@dataclass(slots=True)
class InParts:
    """What a source holds, ready for the archive, its rows still in the file.

    Attributes:
        dataset, source, table: whose, as declared, and the file.
        empty: fields without a value, of the rows read so far.
        unclear: stamps that a change of the clocks makes unclear, of the same rows.
        strangers: rows of series that the dataset does not declare, by name, of those read so far.
    """

    dataset: Dataset
    source: Source
    table: RawTable
    empty: int = 0
    unclear: int = 0
    strangers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source = self.source.in_table(self.table.frame.columns)

    @property
    def undeclared(self) -> tuple[tuple[str, int], ...]:
        """The same as `Observations` has it."""
        return tuple(self.strangers.items())

    @property
    def rows(self) -> Parts:
        """The rows, to be read once."""
        return Parts(self.table.label, self._read, ordered=False, path=self.table.unread)

    def _read(self, rows: int) -> Iterator[pl.DataFrame]:
        """Observed rows, part by part.

        Raises:
            DataError: rows that cannot be taken as they are; the first is named by its row.
            UnknownNameError: a declared series is not in the file.
        """
        assert self.table.unread is not None  # noqa: S101 - else it was read at once
        bare = {name: one for one, name in self.dataset.in_file}
        for _, name in self.source.columns:
            self.table.column(name)
        wanted, met, forms = set(self.source.series), set[str](), Forms()
        for part in _parts(self.table.unread, self.source, rows):
            table = replace(self.table, frame=part.frame, lines=part.lines)
            if self.source.dated_by:
                self._note_forms(table, forms)
            named = table.column(self.source.column("series")).cast(pl.String).drop_nulls().unique(maintain_order=True)
            here = [bare[name] for name in named.to_list() if bare.get(name) in wanted]
            met.update(named.to_list())
            found = observe(self.dataset, replace(self.source, series=tuple(here)), table, refusing=False)
            self.empty += found.empty
            self.unclear += found.unclear
            for name, count in found.undeclared:
                self.strangers[name] = self.strangers.get(name, 0) + count
            if found.rows.height:
                yield found.rows
        self._require_all(met)

    def _note_forms(self, table: RawTable, forms: Forms) -> None:
        """Refuse stamps of which the whole column tells what they are, as parts of it are of different kinds.

        Raises:
            DataError: they are.
        """
        source = self.source
        forms.note(table, source.dated_by, source.text.date_format)
        if forms.differ:
            raise whole_needed(self.table.label, f"some of column {source.dated_by!r} are days and some are instants")
        if not source.zone:
            forms.refuse_mixed(f"{self.table.label}, column {source.dated_by!r}")

    def _require_all(self, met: set[str]) -> None:
        names = dict(self.dataset.in_file)
        for one in self.source.series:
            if names[one] not in met:
                column, label = self.source.column("series"), self.source.label
                raise not_inside(f"series in column {column!r} of {label}", names[one], met)


def _parts(path: Path, source: Source, rows: int) -> Iterator[Lined]:
    """The columns of a file that a source speaks of, so many rows at a time, with their numbers."""
    columns = [name for _, name in source.columns]
    if not is_parquet(path):
        yield from csv_parts(path, source.text, rows, columns)
        return
    first = 1
    for part in parquet_parts(path, columns, rows):
        yield Lined(part, pl.int_range(first, first + part.height, dtype=pl.Int64, eager=True))
        first += part.height


def readable_in_parts(dataset: Dataset, source: Source) -> RawTable | None:
    """The file of a source that is larger than memory and can be read part by part; None = it is read at once.

    It can where every row stands by itself: a long table without steps, assertions, a list of publications or sessions
    to count; where no lag rule is held against its publications, and no assertion of another source compares rows with
    those before. In a Parquet file dates are dates, instants have a zone, or both are text as in a CSV file.

    Raises:
        DataError: it is larger than memory, and cannot.
    """
    path = dataset.folder / source.file
    if not source.file or not ending(path.name) or not beyond_memory(path):
        return None
    why = _together(dataset, source)
    table = None if why else unread(path, source.text)
    if table is not None and not source.in_table(table.frame.columns).column("series"):
        refuse_beyond_memory(path, "it has no column of series")
    if table is None or not _dated_by_themselves(table, source):
        refuse_beyond_memory(path, why or "its dates are no dates, or its instants have no zone")
    return table


def _together(dataset: Dataset, source: Source) -> str:
    """Why the rows of a source have to be seen together; "" = they do not."""
    declared = [dataset.declared(bare) for bare in source.series]
    compared = any(one.kind in SEQUENCE for other in dataset.sources for one in other.treatment.assertions)
    found = {
        "it has steps or assertions": bool(source.treatment),
        "its publications are listed": bool(source.publications),
        "it has a column per series": source.layout != "long",
        "assertions of this dataset compare rows with those before": compared,
        "a lag rule is held against all its publications": bool(source.dated_by)
        and any(one.lag is not None for one in declared),
        "sessions of a calendar are counted": any(one.parsed.kind == "B" for one in declared),
    }
    return next((why for why, there in found.items() if there), "")


def _dated_by_themselves(table: RawTable, source: Source) -> bool:
    """Whether the types of the columns tell what their dates are.

    Raises:
        UnknownNameError: it has no such columns.
    """
    for name in filter(None, (source.column("period"), source.dated_by)):
        table.column(name)
    types, told = table.frame.schema, (pl.Date(), pl.String())
    period, stamp = types.get(source.column("period")), types.get(source.dated_by) if source.dated_by else pl.Date()
    instant = isinstance(stamp, pl.Datetime) and stamp.time_zone is not None
    return period in told and (stamp in told or instant)
