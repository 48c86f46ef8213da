"""Checksums of the archive's rows: what anything but the harness changes in a table is noticed, stops are not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from harness.data.archive import Archive, sums
from harness.data.archive.schema import LATER_TABLES, TABLES
from harness.data.archive.store import Store
from harness.data.archive.verified import archive_file
from harness.data.ingest import ingest
from harness.record.home import Home

STATEMENTS = {
    "a value and the batch's hash": "UPDATE changes SET value = value + 1; UPDATE batches SET sha256 = 'f' || sha256",
    "batch of a change": "UPDATE changes SET batch = batch + 1",
    "counts of a batch": "UPDATE batches SET kept = kept + 1",
    "a unit": "UPDATE series SET unit = 'other'",
    "a series gone": "DELETE FROM series WHERE code = (SELECT max(code) FROM series)",
    "raw files gone": "DELETE FROM raw_files",
    "a table more": "CREATE TABLE mine AS SELECT 1 AS one",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("made"))
    ingest(Path(__file__).parents[2] / "datasets" / "uk_macro", Archive.open(home.archive), raw_dir=home.raw)
    with Store(home.archive, wait=1.0).writing() as connection:  # something in every table
        for name in tables():
            if not connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]:
                connection.execute(f"INSERT INTO {name} SELECT * FROM (SELECT max(COLUMNS(*)) FROM {name})")
    return home


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    shutil.copytree(made.root, tmp_path / "home")
    return Home(tmp_path / "home")


def tables() -> list[str]:
    named = [line.split()[2] for line in TABLES.splitlines() if line.startswith("CREATE TABLE")]
    return [name for name in (*named, *LATER_TABLES) if name != "meta"]


def problems(home: Home) -> list[str]:
    return [
        f"{one.place}: {one.problem}" for one in archive_file(home) if one.problem and "raw input" not in one.problem
    ]


def tamper(home: Home, text: str) -> None:
    with duckdb.connect(str(home.archive)) as connection:
        connection.execute(text)


def test_what_the_harness_wrote_is_as_it_was_written(home: Home) -> None:
    assert problems(home) == []


def changed(home: Home) -> list[str]:
    return [one.split()[4] for one in problems(home) if "rows of table" in one]


def test_a_row_taken_out_of_any_table_is_noticed(home: Home) -> None:
    for table in tables():
        tamper(home, f"DELETE FROM {table} WHERE rowid = (SELECT min(rowid) FROM {table})")
    assert changed(home) == sorted(tables())


def test_a_value_changed_in_any_table_is_noticed(home: Home) -> None:
    for table in tables():
        with duckdb.connect(str(home.archive)) as connection:
            (name, kind), *_ = connection.execute(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index DESC",
                [table],
            ).fetchall()
            value = "'other'" if kind == "VARCHAR" else f"coalesce({name}, 0) + 1"
            connection.execute(f"UPDATE {table} SET {name} = {value}")
    assert changed(home) == sorted(tables())


@pytest.mark.parametrize("kind", STATEMENTS)
def test_what_the_state_does_not_tell_is_noticed(home: Home, kind: str) -> None:
    tamper(home, STATEMENTS[kind])
    assert any("were changed" in one for one in problems(home))


def test_a_later_write_does_not_cover_up_what_was_changed_before(home: Home) -> None:
    tamper(home, "DELETE FROM failures; DELETE FROM touched")
    with Store(home.archive, wait=1.0).writing() as connection:
        connection.execute("DELETE FROM refusals")
    assert problems(home) == [
        "archive.duckdb: something other than the harness changed failures, touched before a later ingest"
    ]


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text(path.read_text().replace("1", "2"))])
def test_checksums_that_are_gone_or_were_changed_are_noticed(home: Home, change: Callable[[Path], object]) -> None:
    change(sums.sums_file(home.archive))
    assert [one.partition(":")[0] for one in problems(home)] == ["archive.sums.json"]


@pytest.mark.parametrize("committed", [False, True])
def test_a_stop_between_promise_and_commit_or_after_it_is_no_tampering(home: Home, *, committed: bool) -> None:
    record = sums.sums_file(home.archive)
    before, archive = record.read_bytes(), home.archive.read_bytes()
    with Store(home.archive, wait=1.0).writing() as connection:
        connection.execute("DELETE FROM refusals")
    after = sums.kept_sums(home.archive)
    assert after is not None
    record.write_bytes(before)
    kept = sums.kept_sums(home.archive)
    assert kept is not None
    sums.promise(home.archive, kept, after.tables)
    if not committed:
        home.archive.write_bytes(archive)
    assert problems(home) == []
    Store(home.archive, wait=1.0).settle()
    settled = sums.kept_sums(home.archive)
    assert settled is not None
    assert settled.promised is None
    assert settled.tables == (after if committed else kept).tables
    with Store(home.archive, wait=1.0).writing() as connection:
        connection.execute("DELETE FROM refused_failures")
    assert problems(home) == []


def test_sums_after_a_write_are_those_of_all_rows(home: Home) -> None:
    for write in (
        "INSERT INTO changes SELECT * REPLACE (code + 1000 AS code) FROM changes",
        "DELETE FROM changes WHERE code = 0; INSERT INTO changes SELECT * FROM changes WHERE code = 2",
        "DELETE FROM publications; DELETE FROM restatements",
        "INSERT INTO series SELECT * FROM series; DELETE FROM series WHERE code = 1; UPDATE batches SET kept = 9",
    ):
        with Store(home.archive, wait=1.0).writing() as connection:
            before = sums.sums_of(connection)
            connection.execute(write)
            assert sums.sums_after(connection, before) == sums.sums_of(connection) != before


def test_of_a_table_that_only_grew_the_added_rows_alone_are_read(home: Home) -> None:
    with Store(home.archive, wait=1.0).writing() as connection:
        before = {**sums.sums_of(connection)}
        rows, _, _ = before["changes"]
        before["changes"] = (rows, "1", "5")  # told by nothing but the record
        assert sums.sums_after(connection, before)["changes"] == (rows, "1", "5")
        connection.execute("INSERT INTO changes SELECT * FROM changes LIMIT 1")
        hash_of_one = sums.sums_after(connection, before)["changes"]
        assert (hash_of_one[0], int(hash_of_one[1]) ^ 1) == (rows + 1, int(hash_of_one[2]) - 5)
        connection.execute("DELETE FROM changes WHERE code = 0")
        assert sums.sums_after(connection, before)["changes"] == sums.sums_of(connection)["changes"]
