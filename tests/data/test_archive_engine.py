"""One engine per process opens one file after another, and lets go of each."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest

from harness.data.archive import engine
from harness.data.archive.engine import connected


def held(folder: Path) -> set[str]:
    """Files of a folder that this process has open."""
    links = Path("/proc/self/fd")
    targets = [link.readlink() for link in links.iterdir() if link.is_symlink()]
    return {target.name for target in targets if target.is_relative_to(folder)}


def idle() -> duckdb.DuckDBPyConnection | None:
    return engine._IDLE.get(os.getpid())


def filled(path: Path, *values: int) -> Path:
    with connected(path, read_only=False) as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
        connection.executemany("INSERT INTO mine VALUES (?)", [[value] for value in values])
    return path


def values(path: Path) -> list[tuple[int]]:
    with connected(path, read_only=True) as connection:
        return connection.execute("SELECT x FROM mine ORDER BY x").fetchall()


def interrupted(path: Path) -> None:
    with connected(path, read_only=False) as connection:
        connection.begin()
        connection.execute("INSERT INTO mine VALUES (2)")
        raise KeyboardInterrupt


def test_a_file_is_open_in_the_block_and_neither_file_nor_log_is_left_after_it(tmp_path: Path) -> None:
    path = filled(tmp_path / "it's.duckdb", 1, 2)
    with connected(path, read_only=True):
        assert held(tmp_path) == {path.name}
    assert held(tmp_path) == set()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    with duckdb.connect(str(path)) as alone:  # as any other program opens it
        assert alone.execute("SELECT count(*) FROM mine").fetchall() == [(2,)]


def test_the_engine_is_started_once_and_sees_one_file_at_a_time(tmp_path: Path) -> None:
    one, two = filled(tmp_path / "one.duckdb", 1), filled(tmp_path / "two.duckdb", 2)
    first = idle()
    assert first is not None
    assert (values(one), values(two)) == ([(1,)], [(2,)])
    with connected(two, read_only=True) as connection:
        assert connection.execute("SELECT database_name, table_name FROM duckdb_tables()").fetchall() == [
            ("opened", "mine")
        ]
    assert idle() is first


def test_an_engine_that_had_a_large_file_open_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = filled(tmp_path / "one.duckdb", 1)
    assert idle() is not None
    monkeypatch.setattr(engine, "LARGE", path.stat().st_size)
    assert values(path) == [(1,)]
    assert idle() is None
    assert held(tmp_path) == set()


def test_an_engine_lets_go_of_a_file_that_is_not_small_when_nothing_more_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(tmp_path / "one.duckdb", 1)
    engine.let_go(path)
    assert idle() is not None
    monkeypatch.setattr(engine, "SMALL", path.stat().st_size - 1)
    engine.let_go(path)
    assert idle() is None
    engine.let_go(path)  # there is none
    assert values(path) == [(1,)]


def test_a_block_within_the_block_has_an_engine_of_its_own(tmp_path: Path) -> None:
    path = filled(tmp_path / "one.duckdb", 1)
    with connected(path, read_only=True) as outer:
        assert values(path) == [(1,)]
        assert outer.execute("SELECT x FROM mine").fetchall() == [(1,)]
    assert held(tmp_path) == set()


def test_an_engine_that_met_an_error_is_not_used_again(tmp_path: Path) -> None:
    path = filled(tmp_path / "one.duckdb", 1)
    before = idle()
    with pytest.raises(duckdb.Error, match="read-only"), connected(path, read_only=True) as connection:
        connection.execute("INSERT INTO mine VALUES (2)")
    assert held(tmp_path) == set()
    assert values(path) == [(1,)]
    assert idle() is not before


def test_what_is_not_committed_is_rolled_back_whatever_ends_the_block(tmp_path: Path) -> None:
    path = filled(tmp_path / "one.duckdb", 1)
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert held(tmp_path) == set()
    assert values(path) == [(1,)]


def test_a_child_that_was_forked_does_not_take_its_parents_engine(tmp_path: Path, monkeypatch) -> None:
    path = filled(tmp_path / "one.duckdb", 1)
    parents = idle()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert values(path) == [(1,)]
    assert idle() is not parents


@pytest.mark.slow
def test_an_engine_that_spilled_leaves_nothing_and_the_next_file_opens(tmp_path: Path) -> None:
    with connected(tmp_path / "one.duckdb", read_only=False) as connection:
        connection.execute("SET memory_limit='60MB'; SET threads=1")
        connection.execute("CREATE TABLE t AS SELECT md5(i::VARCHAR) AS s FROM range(1500000) r(i)")
        connection.execute("SELECT sum(x) FROM (SELECT row_number() OVER (ORDER BY s) AS x FROM t)").fetchall()
        assert list(tmp_path.glob("one.duckdb.tmp/*")), "the specimen must spill"
    assert not list(tmp_path.glob("*.tmp"))
    assert values(filled(tmp_path / "two.duckdb", 1)) == [(1,)]
