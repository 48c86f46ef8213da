"""Keyed hashes in place of names, in the table and in the copy of its file that is kept: marked, and known again."""

from __future__ import annotations

import csv
import gzip
import hashlib
import hmac
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from harness.core.errors import DataError, UserError
from harness.data.cleaning.steps import Deidentify, Rename, Step
from harness.data.declared import TextForm
from harness.data.tables import RawTable, read_content

MARK = re.compile(r"(?P<name>.*) \[de-identified (?P<key>[0-9a-f]{8})\]", re.DOTALL)
"""Name of a column of a kept copy: what it was called, and which key its entries were hashed under."""


def key_of(variable: str) -> bytes:
    """The key of a keyed hash.

    Raises:
        UserError: the environment variable is not set.
    """
    key = os.environ.get(variable, "")
    if not key:
        raise UserError(
            "the key to de-identify names is not set",
            value=variable,
            rule="names are never taken in as they are where a step de-identifies them",
            fix=f"set the environment variable {variable}; keep it: another key makes other names",
        )
    return key.encode()


def key_is_set(variable: str) -> bool:
    """Whether there is a key."""
    return bool(os.environ.get(variable))


def key_print(variable: str) -> str:
    """What tells one key from another, and nothing else about it."""
    return hmac.new(key_of(variable), b"harness: which key", hashlib.sha256).hexdigest()[:8]


def hashes_of(table: RawTable, column: str, step: Deidentify) -> dict[str, str]:
    """The hash of every entry of a column; entries of a column that is marked are hashes already.

    Raises:
        UserError: the key is not set, or the column was hashed under another key or to another length.
        UnknownNameError: no such column.
    """
    entries = table.column(column).cast(pl.String).drop_nulls().unique().to_list()
    under = dict(table.hashed).get(column)
    if under is None:
        key = key_of(step.key_env)
        return {one: hmac.new(key, one.encode(), hashlib.sha256).hexdigest()[: step.length] for one in entries}
    form = re.compile(f"[0-9a-f]{{{step.length}}}")
    if under != key_print(step.key_env) or not all(form.fullmatch(one) for one in entries):
        raise UserError(
            f"{table.label}: the names in column {column!r} were hashed otherwise",
            value=f"under the key with the print {under}, to {len(entries[0]) if entries else 0} digits",
            rule=f"{step.name} has {step.length} digits and the key in {step.key_env}, print {key_print(step.key_env)}",
            fix="use the key and the length it was made with, or the file with the names",
        )
    return {one: one for one in entries}


def recognised(table: RawTable) -> RawTable:
    """A table whose marked columns have their plain names again, and are known to hold hashes."""
    there = table.frame.columns
    found = {name: match for name in there if (match := MARK.fullmatch(name)) and match["name"] not in there}
    if not found:
        return table
    names = {name: match["name"] for name, match in found.items()}
    return replace(
        table,
        frame=table.frame.rename(names),
        hashed=tuple((names[name], match["key"]) for name, match in found.items()),
    )


def kept_copy(table: RawTable, steps: Sequence[Step], text: TextForm) -> RawTable:
    """A table whose `content` holds hashes wherever its steps de-identify: what may be kept of the file.

    Args:
        table: as read, its marked columns recognised.
        steps: of its source, those on names.
        text: how a CSV file is written.

    Raises:
        UserError: the key is not set.
        DataError: its text cannot be rewritten field by field.
    """
    hashes: dict[str, dict[str, str]] = {}
    marks: dict[str, str] = {}
    for column, step in hashed_columns(steps):
        if column not in dict(table.hashed):
            hashes[column] = hashes_of(table, column, step)
            marks[column] = f"{column} [de-identified {key_print(step.key_env)}]"
    if not hashes:
        return table
    wanted = table.frame.with_columns(
        table.frame[column].cast(pl.String).replace(told).alias(column) for column, told in hashes.items()
    )
    if table.suffix == ".parquet":
        older = {name: f"{name} [de-identified {key}]" for name, key in table.hashed}
        content = _parquet(wanted.rename(marks | older))
    else:
        content = _csv(table, text, hashes, marks)
    copy = recognised(read_content(table.label, content, text, ragged=bool(table.ragged)))
    if not copy.frame.equals(wanted):
        raise DataError(
            f"{table.label}: the names cannot be replaced without changing other fields",
            rule="what is kept of a de-identified file must read like the file",
            fix="write the file as plain CSV (quotes around whole fields only) or as Parquet",
        )
    return replace(table, content=content)


def hashed_columns(steps: Sequence[Step]) -> list[tuple[str, Deidentify]]:
    """Columns that steps de-identify, under their names in the file."""
    in_file: dict[str, str] = {}
    found: list[tuple[str, Deidentify]] = []
    for step in steps:
        if isinstance(step, Rename):
            in_file = {**in_file, **{new: in_file.get(old, old) for old, new in step.columns}}
        elif isinstance(step, Deidentify):
            found += [(in_file.get(column, column), step) for column in step.columns]
    return found


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _csv(table: RawTable, text: TextForm, hashes: Mapping[str, Mapping[str, str]], marks: Mapping[str, str]) -> bytes:
    """The text of a file with other entries in some columns, and these columns marked."""
    zipped = table.suffix.endswith(".gz")
    decoded = (gzip.decompress(table.content) if zipped else table.content).decode(text.encoding)
    mark, body = ("\ufeff", decoded[1:]) if decoded.startswith("\ufeff") else ("", decoded)
    buffer = io.StringIO()
    buffer.write(mark)
    writer = csv.writer(
        buffer, delimiter=text.delimiter, lineterminator="\r\n" if "\r\n" in body else "\n", quoting=csv.QUOTE_MINIMAL
    )
    try:
        rows = list(csv.reader(io.StringIO(body, newline=""), delimiter=text.delimiter))
    except csv.Error as error:
        raise DataError(f"{table.label}: not a readable CSV file", rule=str(error)) from error
    above = next((place for place, row in enumerate(rows) if row), 0)  # lines without anything
    names, rows = rows[above], rows[above + 1 :]
    header = [name.strip() for name in names]
    longer = sum(len(row) > len(header) for row in rows)
    if longer:
        raise DataError(
            f"{table.label}: fields without a name beside columns that are de-identified",
            value=f"{longer} line(s) with more fields than the first line has names",
            rule="the copy that is kept holds no name; what stands in a field that no column names is not known",
            fix="take these lines out of the file, or give it to the harness without names",
        )
    places = {header.index(column): told for column, told in hashes.items() if column in header}
    writer.writerows([[]] * above)
    writer.writerow([marks.get(name.strip(), name) for name in names])
    for row in rows:
        # an entry that is none (empty, or a text that stands for no value) has no hash and stays
        writer.writerow(
            [places[at].get(entry.strip(), entry) if at in places else entry for at, entry in enumerate(row)]
        )
    encoded = buffer.getvalue().encode(text.encoding)
    return gzip.compress(encoded, mtime=0) if zipped else encoded
