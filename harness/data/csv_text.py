"""A CSV file as text columns: blanks trimmed, empty and declared null texts as null; at once, or part by part."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import polars as pl

from harness.core.errors import DataError
from harness.data.csv_lines import row_lines
from harness.data.declared import TextForm

MARK = "\ufeff"
LEAST, MOST = 1 << 16, 1 << 24
"""Bytes of text that are read together."""
PER_ROW = 64
"""Bytes of text that a row is counted as."""


class Lined(NamedTuple):
    """Rows of a CSV file.

    Attributes:
        frame: the rows.
        lines: [row] on which line each begins; None = they follow each other from line 2 on.
    """

    frame: pl.DataFrame
    lines: pl.Series | None


def csv_table(label: str, content: bytes, text: TextForm, ragged: dict[int, DataError] | None = None) -> Lined:
    """The table in the bytes of a file.

    Args:
        label: what messages call it.
        content: the bytes.
        text: how it is written.
        ragged: takes in the rows with fewer or more fields than the first line has names (row, from 0 -> what is said
            of it), which a step may leave out; None = such a row is refused.

    Raises:
        DataError: empty, damaged, or written in another encoding than declared.
    """
    with _read(label, text):
        decoded = (gzip.decompress(content) if is_zipped(label) else content).decode(text.encoding)
    decoded = decoded.removeprefix(MARK)
    decoded = decoded.replace("\r", "\n") if _has_old_ends(decoded) else decoded
    if not decoded.strip():
        raise DataError("data file is empty", value=label)
    end = decoded.rfind("\n") + 1
    decoded = decoded if decoded[end:].strip() else decoded[:end]  # blanks at the end are no row
    frame = _table(label, decoded, text) if ragged is None else _ragged_table(label, decoded, text, ragged)
    return Lined(frame, row_lines(decoded, frame.height))


def csv_parts(path: Path, text: TextForm, rows: int, columns: Collection[str] | None = None) -> Iterator[Lined]:
    """The rows of `csv_table`, so many at a time; where it has none, one part without rows.

    Args:
        path: the file.
        text: how it is written.
        rows: of a part, at most.
        columns: those wanted, as far as it has them; None = all.

    Raises:
        DataError: as `csv_table`; or a quotation mark is not closed for long.
    """
    head, empty, skipped = "", True, 0
    for whole in _records(path, text, min(MOST, max(LEAST, rows * PER_ROW))):
        piece = whole if head else whole.lstrip("\r\n")
        skipped += 0 if head else (whole if not piece.strip() else whole[: len(whole) - len(piece)]).count("\n")
        if not head and not piece.strip():
            continue
        place = 0 if head else _first_end(piece)
        head, body = head or piece[:place], piece[place:]
        if not body and not empty:
            continue
        table = _table(path.name, head + body, text, columns, skipped)
        lines = _numbered(head + body, table.height) + skipped
        skipped += body.count("\n")
        empty = False
        for start in range(0, max(1, table.height), rows):
            yield Lined(table[start : start + rows], lines[start : start + rows])
    if empty:
        raise DataError("data file is empty", value=path.name)


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """The beginning of a CSV file.

    Attributes:
        rows: its rows.
        names: its first line.
        size: bytes that were looked at.
    """

    rows: Lined
    names: str
    size: int


def csv_head(path: Path, text: TextForm, size: int, ragged: dict[int, DataError]) -> Head:
    """The first rows of a file.

    Args:
        path: the file.
        text: how it is written.
        size: bytes of text to look at, about; whole records are taken.
        ragged: takes in the rows with fewer or more fields, as of `csv_table`.

    Raises:
        DataError: as `csv_table`; or a quotation mark is not closed for long.
    """
    found = ""
    for whole in _records(path, text, size):
        found += whole
        begun = found.lstrip("\r\n")
        if begun.strip() and len(begun) > _first_end(begun):
            break
    begun = found.lstrip("\r\n")
    if not begun.strip():
        raise DataError("data file is empty", value=path.name)
    frame = _ragged_table(path.name, found, text, ragged)
    if not frame.height:
        raise DataError("data file has no rows", value=path.name)
    return Head(Lined(frame, row_lines(found, frame.height)), begun[: _first_end(begun)], size)


def csv_tail(path: Path, text: TextForm, head: Head, size: int, ragged: dict[int, DataError]) -> Lined | None:
    """The last rows of a file; None where its end cannot be read by itself.

    Args:
        path: the file.
        text: how it is written.
        head: its beginning, of which nothing is taken.
        size: bytes of text to look at.
        ragged: as for `csv_head`; rows count from the first of these.

    Raises:
        DataError: the text is none of the encoding, or does not part into fields.
    """
    length = path.stat().st_size
    start = max(head.size, length - size)
    if is_zipped(path.name) or text.encoding.startswith("utf-16") or start >= length:
        return None
    with path.open("rb") as stream, _read(path.name, text):
        before = _lines_until(stream, start)
        body = stream.read().partition(b"\n")[2].decode(text.encoding)  # what is cut in two is left out
    end = body.rfind("\n") + 1
    body = body if body[end:].strip() else body[:end]
    if not body.strip():
        return None
    whole = head.names + body
    frame = _ragged_table(path.name, whole, text, ragged)
    return Lined(frame, _numbered(whole, frame.height) + (before + 1 - head.names.count("\n")))


def _numbered(whole: str, rows: int) -> pl.Series:
    """[row] the line of a text on which each of its rows begins, as far as that can be told."""
    lines = row_lines(whole, rows)
    return pl.int_range(2, 2 + rows, dtype=pl.Int64, eager=True) if lines is None else lines


def _lines_until(stream: BinaryIO, place: int) -> int:
    """How many lines end before a place in a file, which is then read from there."""
    lines = 0
    while left := place - stream.tell():
        lines += stream.read(min(MOST, left)).count(b"\n")
    return lines


def _ragged_table(label: str, decoded: str, text: TextForm, ragged: dict[int, DataError]) -> pl.DataFrame:
    """The table in a text; rows with too few or too many fields are noted, not refused, and what is too much is cut."""
    with suppress(csv.Error):
        records = csv.reader(_lines(decoded), delimiter=text.delimiter)
        header, before, rows = next(filter(None, records), []), records.line_num, 0
        for row, record in enumerate(records):
            if len(record) != len(header) and "".join(record).strip():
                ragged[row] = _not_as_many(label, before + 1, header, record, text.delimiter)
            before, rows = records.line_num, row + 1
        if ragged:
            source, mark = decoded.encode(), text.delimiter
            frame = pl.read_csv(source, infer_schema=False, separator=mark, truncate_ragged_lines=True)
            if frame.height == rows:
                return _worded(label, decoded, frame, text)
            ragged.clear()  # the two readers part the text otherwise, so that no row can be named
    return _table(label, decoded, text)


def _not_as_many(label: str, line: int, header: Sequence[str], record: Sequence[str], delimiter: str) -> DataError:
    """What is said of a line with fewer, or more, fields than the first line has names."""
    fewer = len(record) < len(header)
    if fewer:
        rule, fix = "a line may be cut; a field without a value still has its delimiter", "complete the line"
        fix += "" if is_note(record) else ", or take it out"
    else:
        rule = f"the first line names the columns, and fields are parted by {delimiter!r}"
        fix = "put quotes around a field that holds one, or declare another: delimiter on the [[source]]"
        fix = "take out lines above that of the names; or " * (len(header) == 1) + fix
    value = f"{len(record)}, not {len(header)}"
    if is_note(record):  # what it says is not told: it may be a name
        step = f'[[source.clean]] kind = "drop", column = {json.dumps(header[0].strip(), ensure_ascii=False)}'
        fix += "; or, as a note that is no row, leave it out, and that on record, by a step on the [[source]]: "
        fix += f'{step}, equals = ["..."], reason = "a note"'
    said = f"{label}, line {line}: {'fewer' if fewer else 'more'} fields than the first line has names"
    return DataError(said, value=value, rule=rule, fix=fix)


def is_note(fields: Sequence[str | None]) -> bool:
    """Whether a line beside those of a table looks like a note, as a torn one does not.

    >>> [is_note(line) for line in (["Source: ONS"], ["Revised figures"], ["2020-0"], ["cpi"], ["UK cpi", "2020-0"])]
    [True, True, False, False, False]
    """
    first, *others = fields
    return bool(first and re.match(r"[^\W\d].*:" if any(others) else r"[^\W\d].*[\s:]", first.strip()))


def _table(
    label: str, decoded: str, text: TextForm, columns: Collection[str] | None = None, skipped: int = 0
) -> pl.DataFrame:
    """Some columns of the table in a text; between its first line and the next, so many lines of it are left out."""
    try:
        frame = pl.read_csv(decoded.encode(), infer_schema=False, separator=text.delimiter)
    except pl.exceptions.PolarsError as error:
        raise _unreadable(label, decoded, text.delimiter, error, skipped) from error
    named = _worded(label, decoded, frame, text, columns)
    if frame.width > 1 and frame[:, -1].null_count():  # as the reader fills up a line that is too short
        _refuse_short(label, decoded, text.delimiter, frame.width, skipped)
    return named


def _worded(
    label: str, decoded: str, frame: pl.DataFrame, text: TextForm, columns: Collection[str] | None = None
) -> pl.DataFrame:
    """Some columns of a table as it was read: blanks trimmed, texts that stand for no value as null."""
    try:
        names = next(filter(None, csv.reader(_lines(decoded), delimiter=text.delimiter)), [])
    except csv.Error as error:
        raise DataError("not a readable CSV file", value=label, rule=f"the names of its columns: {error}") from error
    header = [name.strip() for name in names]
    if any("\x00" in name for name in header):
        raise DataError(
            f"{label} is not written in {text.encoding}",
            value="its first line has NUL characters",
            fix='declare its encoding on the [[source]], for example encoding = "utf-16-le", or save it in UTF-8',
        )
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(
            f"{label}: a column name occurs twice",
            value=", ".join(map(repr, twice)),
            rule="a column is found by its name",
            fix="rename one of them in the file's first line",
        )
    given = header if len(header) == frame.width else frame.columns  # the reader leaves doubled quotes in names
    names = [name.strip() or column for name, column in zip(given, frame.columns, strict=True)]
    named = frame.rename(dict(zip(frame.columns, names, strict=True)))
    nulls = ["", *text.null_values]
    trimmed = [pl.col(name).str.strip_chars() for name in named.columns if columns is None or name in columns]
    return named.select(trimmed).with_columns(pl.when(pl.all().is_in(nulls)).then(None).otherwise(pl.all()).name.keep())


def _unreadable(label: str, decoded: str, delimiter: str, error: Exception, skipped: int) -> DataError:
    """What is said of a CSV file that cannot be read: the first record with more fields than the header, if one has."""
    with suppress(csv.Error):
        records = csv.reader(_lines(decoded), delimiter=delimiter)
        header = next(filter(None, records), [])  # lines without anything may come before
        for record in records:
            if len(record) > len(header):
                return _not_as_many(label, records.line_num + skipped, header, record, delimiter)
    return DataError("not a readable CSV file", value=label, rule=str(error).splitlines()[0])


def _refuse_short(label: str, decoded: str, delimiter: str, width: int, skipped: int) -> None:
    """Refuse a line with fewer fields than the header, as one that was cut; one without anything is no row.

    Raises:
        DataError: there is one.
    """
    lines = decoded.count("\n") + (not decoded.endswith("\n"))
    if '"' not in decoded and decoded.count(delimiter) == lines * (width - 1):  # as none has more, none has fewer
        return
    with suppress(csv.Error):
        records = csv.reader(_lines(decoded), delimiter=delimiter)
        header, before = next(filter(None, records), []), records.line_num
        for record in records:
            if len(record) < width and "".join(record).strip():
                raise _not_as_many(label, before + 1 + skipped, header, record, delimiter)
            before = records.line_num


def _lines(text: str) -> Iterator[str]:
    """The lines of a text one by one, with their ends: a long text is not copied for its first line."""
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _records(path: Path, text: TextForm, size: int) -> Iterator[str]:
    """The text of a file in pieces that end where a line does, and not within quotation marks."""
    rest = ""
    for piece in _pieces(path, text, size):
        rest += piece
        cut = _end(rest, rest.rfind("\n") + 1)
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
        elif len(rest) > 4 * MOST:
            raise DataError(
                "not a readable CSV file",
                value=path.name,
                rule=f"a quotation mark is not closed within {len(rest) / 1e6:.0f} MB",
                fix="close it; as the content of a field it is doubled",
            )
    if rest.strip():
        yield rest


def _first_end(text: str) -> int:
    """The first end of a line that is not within quotation marks."""
    cut = text.find("\n") + 1
    while cut and text.count('"', 0, cut) % 2:
        cut = text.find("\n", cut) + 1
    return cut or len(text)


def _end(text: str, cut: int) -> int:
    """The last end of a line, at `cut` or before, that is not within quotation marks; 0 = there is none."""
    quotes = text.count('"', 0, cut)
    while cut and quotes % 2:
        before = text.rfind("\n", 0, cut - 1) + 1
        quotes -= text.count('"', before, cut)
        cut = before
    return cut


def _has_old_ends(text: str) -> bool:
    """Whether lines end in carriage returns alone, as old spreadsheets write them."""
    return "\n" not in text and "\r" in text


def _pieces(path: Path, text: TextForm, size: int) -> Iterator[str]:
    decoder, lines, raw = codecs.getincrementaldecoder(text.encoding)(), 0, b"-"
    old, waiting = False, ""
    with opened(path) as stream:
        while raw:
            with _read(path.name, text, lines):
                raw = stream.read(size)
                piece = waiting + decoder.decode(raw, final=not raw)
            if not lines:  # the first end of a line tells what the others are
                if raw and not ("\n" in piece or "\r" in piece[:-1]):
                    waiting = piece
                    continue
                old, waiting = _has_old_ends(piece), ""
            piece = piece.replace("\r", "\n") if old else piece
            yield piece if lines else piece.removeprefix(MARK)
            lines += piece.count("\n")


def is_zipped(name: str) -> bool:
    """Whether a file's name is that of a compressed one."""
    return name.lower().endswith(".gz")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file of text, to read what it is without compression."""
    with path.open("rb") as stream:
        if not is_zipped(path.name):
            yield stream
            return
        with gzip.open(stream) as plain:
            yield cast("BinaryIO", plain)


def _likely(content: bytes, lines: int) -> str:
    """Encodings that a file which is not written as declared may have."""
    marked = not lines and content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return '"utf-16"' if marked else '"cp1252" or "latin-1"'


@contextmanager
def _read(label: str, text: TextForm, lines: int = 0) -> Iterator[None]:
    """Say in one message what is wrong with the bytes that are read and decoded within the block."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise DataError("not a readable gzip file", value=label, rule=str(error)) from error
    except UnicodeDecodeError as error:
        line = lines + error.object[: error.start].count(b"\n") + 1
        raise DataError(
            f"{label} is not written in {text.encoding}",
            value=f"byte {error.object[error.start]:#04x} in line {line}",
            fix=f"declare its encoding on the [[source]], for example encoding = {_likely(error.object, lines)}",
        ) from error
