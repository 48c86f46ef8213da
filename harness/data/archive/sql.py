"""Questions in SQL over archive and runs: what a question names is copied into memory, then every door is locked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import polars as pl

from harness.core.errors import FEW, MissingTableError, UnknownNameError, UserError, listed
from harness.data.archive.refused import refuse_sealed_question, sealed_note
from harness.data.archive.store import Store, query
from harness.data.archive.views import archive_views
from harness.record.home import Home
from harness.record.ledger import refusals
from harness.record.tables import NAMES, UNSTORED, left_out, run_views

ROWS = 200
"""Rows of an answer by default."""
LOCKS = (
    "SET TimeZone = 'UTC'",
    "SET python_enable_replacements = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET temp_directory = ''",
    "SET disabled_filesystems = 'LocalFileSystem'",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
"""In this order: nothing outside can be read, written, attached or loaded afterwards, and nobody can undo it."""
Views = Mapping[str, Callable[[], pl.DataFrame]]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a question was answered with.

    Attributes:
        frame: the rows, at most as many as were asked for.
        cut: whether there are more.
        note: what is in no answer: sealed data but of runs that opened them, runs that do not store a table named;
            "" = nothing is left out.
    """

    frame: pl.DataFrame
    cut: bool
    note: str = ""


def ask(home: Home, text: str, *, rows: int | None = ROWS) -> Answer:
    """Answer a question in SQL over archive and runs; nothing can be written.

    Args:
        home: the home folder.
        text: one SELECT (also FROM, WITH, VALUES, SHOW, DESCRIBE, SUMMARIZE).
        rows: rows wanted at most; None = all.

    Raises:
        UserError: it is not one question, names no such view, or cannot be answered; the message is DuckDB's.
        SealedError: it names an instant past a seal of the home, its vault, or a file; the ledger tells of it.
        DamagedError: a table of a run that it names is not what was written.
    """
    with duckdb.connect(":memory:") as connection, _sources(home) as views:
        named = [name for name in views if _named(name, text)]
        with refusals(home, "sql"):
            refuse_sealed_question(home, text, named)
        try:
            _refuse_all_but_questions(text)
            for name in named:
                connection.register("incoming", views[name]().to_arrow())
                connection.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608 - a view of ours
                connection.unregister("incoming")
            lock(connection)
            limit = "" if rows is None else f" LIMIT {rows + 1}"
            found = query(connection, text) if rows is None else _limited(connection, text, limit)
        except duckdb.CatalogException as error:
            raise _unknown(error, views) from error
        except duckdb.Error as error:
            raise UserError("the question cannot be answered", value=str(error).strip()[:600]) from error
    cut = rows is not None and found.height > rows
    notes = [sealed_note(home), *_unstored(home, named)]
    return Answer(found.head(rows) if rows is not None else found, cut, "; ".join(note for note in notes if note))


def _unstored(home: Home, named: Iterable[str]) -> Iterator[str]:
    """Which runs are not in a view, as they do not store its table."""
    for view in named:
        without = left_out(home, NAMES[view]) if view in NAMES else []
        if without:
            yield f"{view} has no rows of {listed(without, FEW)}: {UNSTORED}"


def view_columns(home: Home) -> dict[str, list[str]]:
    """Every view with its columns."""
    with _sources(home) as views:
        return {name: _columns(read) for name, read in views.items()}


def _columns(read: Callable[[], pl.DataFrame]) -> list[str]:
    try:
        return read().columns
    except MissingTableError:
        return ["(no run stores it)"]


def lock(connection: duckdb.DuckDBPyConnection) -> None:
    """Shut an in-memory database off from files, network, extensions, Python and its own settings."""
    for statement in LOCKS:
        connection.execute(statement)


@contextmanager
def _sources(home: Home) -> Iterator[Views]:
    runs = run_views(home)
    if not home.archive.exists():
        yield runs
        return
    with Store(home.archive, wait=10.0).reading() as archive:
        yield {**archive_views(archive), **runs}


def _named(view: str, text: str) -> bool:
    return re.search(rf"(?<![\w]){view}(?![\w])", text, flags=re.IGNORECASE) is not None


def _refuse_all_but_questions(text: str) -> None:
    statements = duckdb.extract_statements(text)
    kinds = [statement.type for statement in statements]
    if kinds != [duckdb.StatementType.SELECT]:
        raise UserError(
            "this is not one question",
            value=", ".join(str(kind).rpartition(".")[2] for kind in kinds) or "nothing",
            rule="one SELECT (or FROM, WITH, VALUES, SHOW, DESCRIBE, SUMMARIZE); archive and runs cannot be changed",
        )


def _limited(connection: duckdb.DuckDBPyConnection, text: str, limit: str) -> pl.DataFrame:
    """The first rows of an answer; SHOW and the like cannot stand in brackets, and are short."""
    bare = text.strip().rstrip(";")
    try:
        return query(connection, f"SELECT * FROM (\n{bare}\n) AS asked{limit}")  # noqa: S608 - locked, and one SELECT
    except duckdb.ParserException:
        return query(connection, text)


def _unknown(error: duckdb.Error, views: Views) -> UserError:
    missing = re.search(r"Table with name (\S+) does not exist", str(error))
    if missing:
        return UnknownNameError("view", missing.group(1).strip("\"'!"), views)
    return UserError("the question cannot be answered", value=str(error).strip()[:600])
