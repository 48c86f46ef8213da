"""Asking of lists (external forecasts, price events, members) what their dataset asserts of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from harness.core.errors import DataError
from harness.core.identity import digest
from harness.core.series import Series
from harness.data.assertions.asking import ask_lines, ask_list, enforce
from harness.data.assertions.rules import Assertion
from harness.data.cleaning.notes import Notes
from harness.data.declared import TextForm
from harness.data.tables import RawTable
from harness.data.tags import tag_of
from harness.record import clock

ROW = "row"
"""Column of a list: place of the row in its table."""
UNCLEAR = "unclear"
"""Column of a list: whether the clocks of its zone skip its stamp or have it twice."""
OPEN = 1e9
"""Day number of an end that is open: no row is missing there, and it is no day."""


@dataclass(frozen=True, slots=True)
class Form:
    """Which columns of a list mean what to an assertion.

    Attributes:
        day: the day a row is about.
        stamp: when it was issued or announced.
        value: its number; a day is one, too.
        group: columns that tell rows apart which neither follow nor repeat each other.
    """

    day: str
    stamp: str
    value: str
    group: tuple[str, ...]


FORMS: Mapping[str, Form] = {
    "forecasts": Form("period", "issued_at", "value", ("source", "series_id", "quantile")),
    "events": Form("ex_date", "announced_at", "value", ("series_id", "kind")),
    "members": Form("from", "announced_at", "to", ("universe", "series_id")),
}


def asked_lines(
    table: RawTable, assertions: Sequence[Assertion], text: TextForm, notes: Notes, *, refusing: bool
) -> RawTable:
    """A table without the lines that its schema sets aside; asked before a word of it is read.

    Raises:
        DataError: the schema refuses.
    """
    if not assertions:
        return table
    kept = ask_lines(table, assertions, text, notes)
    if refusing:
        enforce(table.label, [one for one in assertions if one.kind == "schema"], notes)
        _refuse_emptied(table, table.frame.height, kept.frame.height)
    return kept


def asked_rows(
    section: str,
    rows: pl.DataFrame,
    table: RawTable,
    assertions: Sequence[Assertion],
    series: Mapping[str, Series],
    notes: Notes,
    *,
    refusing: bool,
) -> pl.DataFrame:
    """Rows of a list without those that its assertions set aside.

    Args:
        section: `forecasts`, `events` or `members`.
        rows: as read from the table, with the column `row`.
        table: the table.
        assertions: those of the list.
        series: declarations by stored id.
        notes: where the record is kept.
        refusing: whether assertions may refuse; in an archive made of noise they only note.

    Raises:
        DataError: an assertion refuses.
    """
    if not assertions:
        return rows
    form, lines = FORMS[section], table.line_numbers()
    value = rows[form.value] if form.value in rows.columns else pl.Series([None] * rows.height, dtype=pl.Date)
    number = value.cast(pl.Date).cast(pl.Float64) if section == "members" else value.cast(pl.Float64)
    groups = [pl.col(name).cast(pl.String).fill_null("") for name in form.group if name in rows.columns]
    told = rows.select(
        "series_id",
        pl.concat_str(groups, separator="|").alias("group"),
        pl.Series("line", lines.gather(rows[ROW])),
        pl.col(form.day).cast(pl.Date).alias("period"),
        pl.col(form.stamp).dt.epoch("us").alias("published"),
        (number.fill_null(OPEN) if section == "members" else number).alias("value"),
        value.cast(pl.String).fill_null("").alias("shown"),
        pl.int_range(pl.len()).alias(ROW),
    )
    kept = ask_list(told, assertions, series, clock.now(), notes)
    if refusing:
        enforce(table.label, assertions, notes)
        _refuse_emptied(table, rows.height, kept.height)
    return rows if kept.height == rows.height else rows[kept[ROW].to_list()]


def _refuse_emptied(table: RawTable, given: int, left: int) -> None:
    """Refuse a list that had rows and has none any more."""
    if given and not left:
        error = DataError(
            f"{table.label}: its assertions set every row aside",
            value=f"{given} row(s)",
            rule="a list of which no row is left says nothing",
            fix="mend the file or the assertions, or take the list out of the dataset.toml; "
            "`harness data failures DATASET` lists every row",
        )
        error.counts = f"{given} row(s)"
        raise error


def list_tag(label: str, assertions: Sequence[Assertion], content: str) -> str:
    """What a batch of a list is called: by its content and by what was asserted of it, where anything was.

    Args:
        label: dataset and file.
        assertions: those of the list.
        content: hash of the file.
    """
    return tag_of(label, digest([(one.kind, one) for one in assertions], content)) if assertions else label
