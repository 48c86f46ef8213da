"""Every publication date of an archive view against its raw input, read by plain means; no model is run for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from harness.core.series import Series
from harness.core.time import NEVER, instant, period_end
from harness.data.changes import ChangeFile
from harness.data.declared import Dataset, Source
from harness.data.derive import ASSUMED
from harness.data.tables import RawTable, read_file, read_packaged
from harness.studies.plain_dates import UNKNOWN, released, stamped
from harness.studies.verdict import Finding

HOW, PLACE = "dates of the archive", "harness.data.ingest"
SHOWN = 5
"""Dates listed of one series."""


def dates_that_differ(datasets: Sequence[Dataset], changes: ChangeFile, check: str) -> Iterator[Finding]:
    """Values dated by a stamp that no raw row has, or by another day than their lag rule says.

    Sources that are cleaned first, and series with events of their own (a delisting makes a publication), are left to
    the scramble.

    Args:
        datasets: as their folders declare them.
        changes: the archive view ingested from them.
        check: name of the check.
    """
    eventful = {changes.ids[code] for code in changes.events.code.tolist()}
    for dataset in datasets:
        for source in dataset.sources:
            if source.treatment.steps:
                continue
            table = read_packaged(source.reader) if source.reader else _table(dataset, source)
            for bare in source.series:
                series = dataset.declared(bare)
                if series.id in changes.codes and series.id not in eventful:
                    found = (
                        _stamps(dataset, source, table, series, changes) if source.dated_by else _rules(series, changes)
                    )
                    for at, said in list(found)[:SHOWN]:
                        yield Finding(check, HOW, None, "archive", PLACE, "", series.id, said[0], "published", said[1],
                                      instant(at).isoformat())  # fmt: skip


def _table(dataset: Dataset, source: Source) -> RawTable:
    return read_file(dataset.folder / source.file, source.text)


def _rows(series: Series, changes: ChangeFile) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    mine = (changes.code == changes.code_of(series.id)) & (changes.availability != ASSUMED)
    return np.flatnonzero(mine)


def _stamps(
    dataset: Dataset, source: Source, table: RawTable, series: Series, changes: ChangeFile
) -> Iterator[tuple[int, tuple[str, str]]]:
    """Instants of the archive that no row of the series is stamped with."""
    own = stamped(table.frame[source.dated_by], series.zone, source.zone, source.text.date_format)
    column = source.in_table(table.frame.columns).column("series")
    if column and source.layout == "long":
        name = dict(dataset.in_file)[series.id.partition("/")[2]]
        own = own[(table.frame[column].cast(pl.String) == name).fill_null(value=False).to_numpy()]
    told = {one for one in own.tolist() if one != UNKNOWN}
    for at in np.unique(changes.published[_rows(series, changes)]).tolist():
        if at not in told:
            near = min(told, key=lambda one: abs(one - at), default=NEVER)
            yield at, ("", instant(near).isoformat() if near != NEVER else "no stamp")


def _rules(series: Series, changes: ChangeFile) -> Iterator[tuple[int, tuple[str, str]]]:
    """Dates of the archive that the lag rule does not give."""
    if series.lag is None:
        return
    rows = _rows(series, changes)
    for period, at in zip(changes.period[rows].tolist(), changes.published[rows].tolist(), strict=True):
        end = period_end(series.parsed, period)
        due = released(series.lag, end, series.zone)
        if due not in (at, UNKNOWN):
            yield at, (f"period {end.isoformat()}", instant(due).isoformat())
