"""A source in a Parquet file larger than memory, observed part by part: what every row says by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import polars as pl

from harness.data.assertions.asking import SEQUENCE
from harness.data.declared import Dataset, Source
from harness.data.observations import not_inside, observe
from harness.data.streamed import Parts, parquet_parts
from harness.data.tables import RawTable, beyond_memory, unread


@dataclass(slots=True)
class InParts:
    """What a source holds, ready for the archive, its rows still in the file.

    Attributes:
        dataset, source, table: whose, as declared, and the file.
        empty: fields without a value, of the rows read so far.
        strangers: rows of series that the dataset does not declare, by name, of those read so far.
    """

    dataset: Dataset
    source: Source
    table: RawTable
    empty: int = 0
    strangers: dict[str, int] = field(default_factory=dict)

    @property
    def undeclared(self) -> tuple[tuple[str, int], ...]:
        """The same as `Observations` has it."""
        return tuple(self.strangers.items())

    @property
    def rows(self) -> Parts:
        """The rows, to be read once."""
        return Parts(self.table.label, self._read, ordered=False)

    def _read(self, rows: int) -> Iterator[pl.DataFrame]:
        """Observed rows, part by part.

        Raises:
            DataError: rows that cannot be taken as they are; the first is named by its row.
            UnknownNameError: a declared series is not in the file.
        """
        assert self.table.unread is not None  # noqa: S101 - else it was read at once
        columns = [name for _, name in self.source.columns]
        bare = {name: one for one, name in self.dataset.in_file}
        for name in columns:
            self.table.column(name)
        wanted, met, start = set(self.source.series), set[str](), 0
        for part in parquet_parts(self.table.unread, columns, rows):
            table = replace(self.table, frame=part, lines=self.table.line_numbers_from(start, part.height))
            start += part.height
            named = table.column(self.source.column("series")).cast(pl.String).drop_nulls().unique(maintain_order=True)
            here = [bare[name] for name in named.to_list() if bare.get(name) in wanted]
            met.update(named.to_list())
            found = observe(self.dataset, replace(self.source, series=tuple(here)), table)
            self.empty += found.empty
            for name, count in found.undeclared:
                self.strangers[name] = self.strangers.get(name, 0) + count
            if found.rows.height:
                yield found.rows
        self._require_all(met)

    def _require_all(self, met: set[str]) -> None:
        names = dict(self.dataset.in_file)
        for one in self.source.series:
            if names[one] not in met:
                column, label = self.source.column("series"), self.source.label
                raise not_inside(f"series in column {column!r} of {label}", names[one], met)


def readable_in_parts(dataset: Dataset, source: Source) -> RawTable | None:
    """The file of a source that is larger than memory and can be read part by part; None = it is read at once.

    It can where every row stands by itself: a long Parquet file with dates and instants (not text), without steps,
    assertions, a list of publications or sessions to count; where no lag rule is held against its publications, and no
    assertion of another source compares rows with those before.
    """
    path = dataset.folder / source.file
    if not source.file or path.suffix != ".parquet" or not beyond_memory(path):
        return None
    declared = [dataset.declared(bare) for bare in source.series]
    compared = any(one.kind in SEQUENCE for other in dataset.sources for one in other.treatment.assertions)
    together = source.treatment or source.publications or source.layout != "long" or not source.column("series")
    ruled = source.dated_by and any(one.lag is not None for one in declared)
    if together or compared or ruled or any(one.parsed.kind == "B" for one in declared):
        return None
    table = unread(path)
    types = table.frame.schema
    period, stamp = types.get(source.column("period")), types.get(source.dated_by) if source.dated_by else pl.Date()
    instant = isinstance(stamp, pl.Datetime) and stamp.time_zone is not None
    return table if isinstance(period, pl.Date) and (isinstance(stamp, pl.Date) or instant) else None
