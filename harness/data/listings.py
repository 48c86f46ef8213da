"""Read a dataset's tables of price events and of universe members."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import polars as pl

from harness.core.errors import DataError, UnknownNameError
from harness.data.announced import read_events, read_members, unseen_events, unseen_members
from harness.data.asserted import ROW, UNCLEAR, asked_lines, asked_rows, list_tag
from harness.data.cleaning.notes import Notes, Treated
from harness.data.declaration import Catalogue
from harness.data.declared import Announcements, Dataset
from harness.data.given import Given
from harness.data.stamps import as_instants, moments, read_stamps
from harness.data.tables import RawTable, numbers, read_file, sha256_of
from harness.record import clock

Alter = Callable[[Dataset, Announcements, RawTable], RawTable]
Refused = Callable[[str, RawTable, Notes], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """One table as read.

    Attributes:
        section: `events` or `members`.
        table: the file.
        rows: what the archive takes (`Archive.append_events`, `Archive.append_members`).
        tag: what the archive calls its batch.
        treated: what was asserted of it; None where nothing is.
        unclear: rows announced at a local time that the clocks of the declared zone skip or have twice.
    """

    section: str
    table: RawTable
    rows: pl.DataFrame
    tag: str
    treated: Treated | None
    unclear: int

    @property
    def asserted(self) -> str:
        """What its batch is called where anything is asserted of it, else ""."""
        return self.tag if self.treated is not None else ""

    def given(self, catalogue: Catalogue, now: int) -> Given:
        """The rows as an archive with some series would read them at an instant (microseconds UTC)."""
        read = read_events if self.section == "events" else read_members
        return read(self.rows, catalogue, now=now)


def read_listings(dataset: Dataset, alter: Alter | None = None, refused: Refused | None = None) -> list[Listing]:
    """Every table of events and members of a dataset, events first.

    Args:
        dataset: its declarations.
        alter: changes each table first (an audit's doing); a table that it leaves without rows is left out.
        refused: puts a table that is refused on record; None = nobody does.

    Raises:
        DataError: rows that cannot be taken; the first is named by its line.
        UnknownNameError: a column, or a series that the dataset does not declare.
    """
    listed = [("events", one) for one in dataset.events] + [("members", one) for one in dataset.members]
    found = []
    for section, one in listed:
        table = read_file(dataset.folder / one.file, one.text)
        if alter is not None:
            table = alter(dataset, one, table)
            if not table.frame.height:
                continue
        tag, notes = list_tag(f"{dataset.name}: {table.label}", one.assertions, sha256_of(table)), Notes()
        with nullcontext() if refused is None else refused(tag, table, notes):
            found.append(_asked(section, dataset, one, table, tag, notes, refusing=alter is None))
            _check(dataset, found[-1])
    return found


def _asked(
    section: str, dataset: Dataset, one: Announcements, table: RawTable, tag: str, notes: Notes, *, refusing: bool
) -> Listing:
    """A table without what its assertions set aside, and what they say of it."""
    left = asked_lines(table, one.assertions, one.text, notes, refusing=refusing)
    rows = _rows(dataset, one, left).with_row_index(ROW)
    series = {declared.id: declared for declared in dataset.series}
    kept = asked_rows(section, rows, left, one.assertions, series, notes, refusing=refusing).drop(ROW)
    treated, unclear = notes.done() if one.assertions else None, int(kept[UNCLEAR].sum())
    return Listing(section, table, kept.drop(UNCLEAR), tag, treated, unclear)


def _check(dataset: Dataset, listing: Listing) -> None:
    """Refuse what the archive would refuse, while nothing of the dataset has been appended."""
    catalogue = Catalogue({one.id: code for code, one in enumerate(dataset.series)}, dict(enumerate(dataset.series)))
    now = clock.now()
    if listing.section == "events":
        rows = read_events(listing.rows, catalogue, now=now).rows
        unseen_events(rows, rows.clear(), catalogue)
    else:
        rows = read_members(listing.rows, catalogue, now=now).rows
        unseen_members(rows, rows.clear(), catalogue)


def named_members(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Stored ids of every series that any membership of a dataset names, by universe; errors as `read_listings`."""
    named: dict[str, set[str]] = {}
    for one in dataset.members:
        rows = _rows(dataset, one, read_file(dataset.folder / one.file, one.text))
        for universe, series_id in rows.select("universe", "series_id").unique().rows():
            named.setdefault(universe, set()).add(series_id)
    return {universe: tuple(sorted(named[universe])) for universe in sorted(named)}


def _rows(dataset: Dataset, declared: Announcements, table: RawTable) -> pl.DataFrame:
    columns = dict(declared.columns)
    for meaning in ("series", "kind", "universe", "ex_date", "from", "announced_at"):
        if meaning in columns:
            empty = table.column(columns[meaning]).is_null().arg_true()
            if len(empty):
                raise no_entry(table, columns[meaning], int(empty[0]))
    if "universe" in columns and "to" in table.frame.columns:
        columns.setdefault("to", "to")  # leaving it unread would make members of those who left
    form = declared.text.date_format
    stored = _stored(dataset, table, columns["series"])
    zones = {one.id: one.zone for one in dataset.series}
    read = read_stamps(table, columns["announced_at"], zone=declared.zone, date_format=form)
    frame = pl.DataFrame(
        {"series_id": stored, "announced_at": _instants(read.stamps, stored, zones), UNCLEAR: read.unclear}
    )
    for meaning in ("ex_date", "from", "to"):
        if meaning in columns:
            frame = frame.with_columns(_days(table, columns[meaning], form).alias(meaning))
    for meaning in ("kind", "universe"):
        if meaning in columns:
            frame = frame.with_columns(table.column(columns[meaning]).cast(pl.String).alias(meaning))
    if "value" in columns:
        frame = frame.with_columns(numbers(table, columns["value"], declared.text.decimal_mark).alias("value"))
    return frame


def no_entry(table: RawTable, column: str, row: int) -> DataError:
    """What is said of a row of a list (from 0) that leaves empty what each has to say."""
    fix = "fill it in, or take the row out"
    return DataError(f"{table.place(row, column)}: an empty field", rule="every row names it", fix=fix)


def _stored(dataset: Dataset, table: RawTable, name: str) -> pl.Series:
    """Stored ids; a series that is not declared is refused: leaving out a member would be a choice of survivors."""
    names = {in_file: f"{dataset.name}/{bare}" for bare, in_file in dataset.in_file}
    names = {bare: f"{dataset.name}/{bare}" for bare, _ in dataset.in_file} | names
    column = table.column(name).cast(pl.String)
    for one in column.unique(maintain_order=True).to_list():
        if one not in names:
            row = int((column.is_null() if one is None else column == one).arg_max() or 0)
            raise UnknownNameError(f"series in {table.place(row, name)}", str(one), names)
    return column.replace_strict(names, return_dtype=pl.String)


def _instants(stamps: pl.Series, stored: pl.Series, zones: dict[str, str]) -> pl.Series:
    """Announcements as UTC instants, a date as the end of that day in its series' zone."""
    if stamps.dtype != pl.Date:
        return stamps
    parts = pl.DataFrame({"row": range(len(stamps)), "id": stored, "at": stamps}).partition_by("id")
    read = [part.select("row", as_instants(part["at"], zones[part["id"][0]]).alias("at")) for part in parts]
    return pl.concat(read).sort("row")["at"] if read else stamps


def _days(table: RawTable, name: str, date_format: str) -> pl.Series:
    found = moments(table, name, zone="UTC", date_format=date_format)
    if found.dtype != pl.Date:
        raise DataError(f"{table.label}, column {name!r}: instants", rule="this is a day, without a time of day")
    return found
