"""What the archive survives: a killed writer, a second writer, a damaged file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from harness.core.errors import ArchiveBusyError, DamagedError, UserError
from harness.core.series import Series
from harness.data.archive import Archive
from tests.data.archive_samples import FEB, JAN, at, opened, rows, values
from tests.paced import paced

# a process that dies, without any clean-up, right after it has written to the named table
KILLED = """
import os, sys
from harness.data.archive import Archive, appending, books, held_rows
from tests.data.archive_samples import FEB, JAN, at, rows

path, deadly = sys.argv[1:]
real = appending.insert

def insert(connection, table, frame):
    real(connection, table, frame)
    if table == deadly:
        os._exit(9)

appending.insert = books.insert = held_rows.insert = insert
late = rows((JAN, at(3, 1), 7.0), (FEB, at(4, 20), 2.0))
Archive.open(path).append(late, source="killed")
"""
HOLDS = """
import sys, time
from pathlib import Path
from harness.data.archive.store import Store

store = Store(Path(sys.argv[1]), wait=0)
with store.writing() if sys.argv[2] == "writing" else store.reading():
    print("holding", flush=True)
    time.sleep(60)
"""
HOLDS_DIRECTLY = """
import sys, time, duckdb
connection = duckdb.connect(sys.argv[1])
print("holding", flush=True)
time.sleep(60)
"""


ROOT = Path(__file__).parents[2]


def command(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@contextmanager
def running(code: str, *arguments: object) -> Iterator[int]:
    """The id of a process that has said that it is holding the archive."""
    with subprocess.Popen(command(code, *arguments), env=environment(), stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "holding\n"
            yield other.pid
        finally:
            other.kill()


def ended(code: str, *arguments: object) -> int:
    return subprocess.run(command(code, *arguments), env=environment(), check=False, timeout=120).returncode


@pytest.fixture
def archive(tmp_path):
    archive = opened(tmp_path)
    archive.append(rows((JAN, at(2, 20), 1.0), (JAN, at(3, 20), 1.5)), source="first")
    return archive


@pytest.mark.parametrize("table", paced(["changes", "publications", "known", "batches"]))
def test_a_killed_append_leaves_the_archive_as_it_was(archive, table):
    before = (archive.state(), archive.revisions("cpi").rows(), archive.batches().rows(), archive.known_through())
    assert ended(KILLED, archive.path, table) == 9
    after = Archive.open(archive.path)
    assert (after.state(), after.revisions("cpi").rows(), after.batches().rows(), after.known_through()) == before
    assert after.append(rows((FEB, at(4, 20), 2.0)), source="again").batch == 2
    assert values(after, at(4, 20)) == {JAN: 1.5, FEB: 2.0}


def test_the_same_append_unkilled_does_change_it(archive):
    before = archive.state()
    assert ended(KILLED, archive.path, "no such table") == 0
    assert Archive.open(archive.path).state() != before


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["writing", "reading"])
def test_a_second_writer_waits_and_is_then_told_which_process_holds_the_archive(archive, mode):
    with running(HOLDS, archive.path, mode) as other:
        begun = time.monotonic()
        with pytest.raises(ArchiveBusyError, match=f"process {other}"):
            Archive.open(archive.path, wait=0.2).define(Series("rpi", "M"))
        assert time.monotonic() - begun >= 0.2
    # whoever dies lets go
    assert Archive.open(archive.path, wait=5).append(rows((FEB, at(4, 20), 2.0)), source="next").batch == 2


def test_readers_do_not_wait_for_each_other(archive):
    with running(HOLDS, archive.path, "reading"):
        assert values(Archive.open(archive.path, read_only=True, wait=0.2), at(3, 20)) == {JAN: 1.5}


def test_a_program_that_holds_the_database_directly_is_named_too(archive):
    with running(HOLDS_DIRECTLY, archive.path) as other, pytest.raises(ArchiveBusyError, match=f"process {other}"):
        archive.append(rows((FEB, at(4, 20), 2.0)), source="next")


def flipped(content: bytes) -> bytes:
    # every block, so that whichever is read first is a damaged one
    return bytes(byte ^ 0xFF if place % 4096 == 2000 else byte for place, byte in enumerate(content))


DAMAGE = {
    "cut short": lambda content: content[: len(content) // 2],
    "cut to nothing": lambda _: b"",
    "another file": lambda _: b"series_id,period,value\n" * 500,
    "flipped bytes": flipped,
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_damaged_archive_is_refused_with_one_message(archive, kind, read_only):
    archive.path.write_bytes(DAMAGE[kind](archive.path.read_bytes()))
    with pytest.raises(DamagedError, match=r"damaged.*restore"):
        values(Archive.open(archive.path, read_only=read_only), at(3, 1))
    with pytest.raises(DamagedError, match=r"damaged.*restore"):
        archive.append(rows((FEB, at(4, 20), 2.0)), source="test")


def test_an_archive_whose_creation_was_interrupted_is_created_again(tmp_path):
    duckdb.connect(str(tmp_path / "archive.duckdb")).close()
    assert Archive.open(tmp_path / "archive.duckdb").series() == []


def test_a_database_of_something_else_is_refused(tmp_path):
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
    with pytest.raises(DamagedError, match="not an archive"):
        Archive.open(tmp_path / "other.duckdb")


def test_read_only_neither_creates_nor_writes(tmp_path, archive):
    with pytest.raises(UserError, match="no such archive"):
        Archive.open(tmp_path / "none.duckdb", read_only=True)
    assert not (tmp_path / "none.duckdb").exists()
    with pytest.raises(UserError, match="read-only"):
        Archive.open(archive.path, read_only=True).append(rows((FEB, at(4, 20), 2.0)), source="test")


def test_an_archive_deleted_under_an_open_one_is_not_silently_begun_anew(archive):
    archive.path.unlink()
    with pytest.raises(UserError, match="no such archive"):
        archive.append(rows((FEB, at(4, 20), 2.0)), source="test")


def test_an_archive_where_nothing_can_be_created_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file" / "archive.duckdb", Path("/proc/nowhere/archive.duckdb")):
        with pytest.raises(UserError, match="cannot be created"):
            Archive.open(place)


def test_a_folder_in_the_place_of_the_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive.duckdb").mkdir()
    with pytest.raises(UserError, match="this is a folder"):
        Archive.open(tmp_path / "archive.duckdb")
