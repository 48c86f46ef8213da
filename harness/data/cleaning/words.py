"""Steps on a source's table as it was read: its names first, then whole lines of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from harness.core.errors import UserError
from harness.data.cleaning.functions import call
from harness.data.cleaning.hashing import hashes_of
from harness.data.cleaning.notes import Notes
from harness.data.cleaning.steps import Deidentify, Drop, Function, Map, Rename, Step
from harness.data.tables import RawTable

WITHHELD = "(withheld)"


def named(table: RawTable, steps: Sequence[Step], notes: Notes) -> RawTable:
    """A table with the names that its source declares.

    Raises:
        UnknownNameError: no such column.
        UserError: the key of a keyed hash is not set.
    """
    secret = sum(isinstance(step, Deidentify) for step in steps)
    for step in steps:
        before, hidden = table, secret > 0
        if isinstance(step, Rename):
            table = _renamed(table, step)
            notes.words(step.name, [(None, old, new, "column") for old, new in step.columns])
            touched = len(step.columns)
        elif isinstance(step, Map):
            table, touched = _mapped(table, step.column, dict(step.values), step.name, notes)
        elif isinstance(step, Deidentify):
            table, touched = _hashed(table, step, notes)
            secret -= 1
        else:
            continue
        notes.step(step, before.frame, table.frame, touched, hide_before=hidden, hide_after=secret > 0)
    return table


def lined(table: RawTable, steps: Sequence[Step], folder: Path, notes: Notes) -> RawTable:
    """A table without the lines, and with the changes, that its source declares.

    Raises:
        UnknownNameError: no such column.
        DataError: a user function failed, or a row is left with fewer or more fields than the first line has names.
    """
    for step in steps:
        before = table
        if isinstance(step, Drop):
            taken = _meets(table, step)
            shown = table.frame[step.column].cast(pl.String).fill_null("").filter(taken)
            lines = table.line_numbers().filter(taken).to_list()
            notes.words(step.name, [(line, text, "", step.reason) for line, text in zip(lines, shown, strict=True)])
            notes.lines_aside([step.reason] * len(lines))
            table = table.kept(~taken)
            notes.step(step, before.frame, table.frame, len(lines))
        elif isinstance(step, Function):
            table, touched = _by_function(table, step, folder, notes)
            notes.step(step, before.frame, table.frame, touched)
    table.refuse_ragged()
    return table


def _renamed(table: RawTable, step: Rename) -> RawTable:
    for old, _ in step.columns:
        table.column(old)
    renamed = dict(step.columns)
    hashed = tuple((renamed.get(name, name), key) for name, key in table.hashed)
    names = [renamed.get(name, name) for name in table.frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{step.name}: two columns would have one name", value=", ".join(twice))
    return replace(table, frame=table.frame.rename(renamed), hashed=hashed)


def _mapped(
    table: RawTable, column: str, values: dict[str, str], name: str, notes: Notes, *, withheld: bool = False
) -> tuple[RawTable, int]:
    given = table.column(column).cast(pl.String)
    counts = dict(given.drop_nulls().value_counts().rows())
    hit = [(old, new, counts[old]) for old, new in values.items() if counts.get(old)]
    found = [
        (None, WITHHELD if withheld else old, new, f"{column}, {count} line(s)")
        for old, new, count in sorted(hit, key=lambda one: one[1])
    ]
    notes.words(name, found)
    out = given.replace(values) if values else given
    return replace(table, frame=table.frame.with_columns(out.alias(column))), sum(count for _, _, count in hit)


def _hashed(table: RawTable, step: Deidentify, notes: Notes) -> tuple[RawTable, int]:
    touched = 0
    for column in step.columns:
        hashes = hashes_of(table, column, step)
        table, some = _mapped(table, column, hashes, step.name, notes, withheld=True)
        touched += some
    return table, touched


def _meets(table: RawTable, step: Drop) -> pl.Series:
    """[row] whether a line meets the condition; an empty field meets only `empty`."""
    given = table.column(step.column)
    text = given.cast(pl.String)
    value = text.cast(pl.Float64, strict=False)
    if step.condition == "empty":
        return given.is_null()
    if step.condition == "not_a_number":
        return text.is_not_null() & (value.is_null() | ~value.is_finite().fill_null(value=False))
    found = {
        "equals": lambda: text.is_in(list(step.texts)),
        "matches": lambda: text.str.contains(step.texts[0]),
        "below": lambda: value < step.bound,
        "above": lambda: value > step.bound,
    }[step.condition]()
    return found.fill_null(value=False)


def _by_function(table: RawTable, step: Function, folder: Path, notes: Notes) -> tuple[RawTable, int]:
    given = table.frame.with_columns(row=pl.int_range(table.frame.height, dtype=pl.Int64))
    out = call(step.function, folder, given)
    notes.handed(step.function, given, out)
    known = out.filter(pl.col("row").is_not_null())
    gone = given.join(known, on="row", how="anti")
    lines = table.line_numbers()
    found = [(lines[row], _line(text), "", f"taken out by {step.function}") for *text, row in gone.rows()]
    changed: set[int] = set()
    both = known.select("row").join(given, on="row", how="left", maintain_order="left")
    for column in table.frame.columns:
        differs = known[column].ne_missing(both[column])
        rows, before, after = (one.filter(differs).to_list() for one in (known["row"], both[column], known[column]))
        said = f"{column}, by {step.function}"
        found += [(lines[row], _text(old), _text(new), said) for row, old, new in zip(rows, before, after, strict=True)]
        changed |= set(rows)
    added = out.filter(pl.col("row").is_null()).drop("row")
    found += [(None, "", _line(text), f"added by {step.function}") for text in added.rows()]
    notes.words(step.name, found)
    notes.lines_aside([f"taken out by {step.function}"] * gone.height)
    placed = out.with_columns(line=lines.gather(out["row"]))
    frame = placed.drop("row", "line")
    return replace(table, frame=frame, lines=placed["line"]), gone.height + len(changed) + added.height


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _line(values: Sequence[object]) -> str:
    return ",".join(map(_text, values))
