"""Folders appear whole or not at all, and whoever reads one is not disturbed by others that write it again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.core.errors import DamagedError
from harness.record import folders
from harness.record.audits import read_audit, write_audit
from harness.record.cells import read_cell, read_fit
from harness.record.folders import read_whole, write_folder
from harness.record.home import Home

WRITER = """
import sys, time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
import polars as pl
from harness.record.audits import write_audit
from harness.record.cells import CELL_SCHEMA, Cell, write_cell, write_fit
from harness.record.home import Home
place = Path(sys.argv[1])
frame = pl.DataFrame(schema=CELL_SCHEMA)
for number in count():
    write_cell(place, "same", Cell(frame, {"seed": 7}))
    write_cell(place, "other", Cell(frame, {"seed": number}))
    write_fit(place, "fit", "x" * (number % 5))
    write_audit(Home(place), "audit", {"verdict": number}, {"a": pl.DataFrame({"n": [number]})})
    print(number, flush=True)
    time.sleep(0.001)
"""


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_reader_finds_whole_what_another_process_writes_again_and_again(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"0\n"
        first, missed, rounds = (tmp_path / "same").stat().st_ino, [], 0
        end = time.monotonic() + 30
        while rounds < 12 and time.monotonic() < end:
            same, other = (read_cell(tmp_path, key) for key in ("same", "other"))
            others = read_fit(tmp_path, "fit"), read_audit(Home(tmp_path), "audit")
            missed += [one for one in (same, other, *others) if one is None]
            rounds = rounds if other is None else int(str(other.facts["seed"]))
        writer.kill()
    assert rounds >= 12
    assert missed == []
    assert (tmp_path / "same").stat().st_ino == first  # what says the same is left alone
    assert read_cell(tmp_path, "other") is not None  # and a kill leaves the old or the new
    assert read_fit(tmp_path, "fit") is not None


@pytest.mark.parametrize("exchanging", [True, False])
def test_a_folder_that_says_the_same_stays_and_any_other_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanging: bool
) -> None:
    if not exchanging:  # as on NFS
        monkeypatch.setattr(folders, "_exchanged", lambda *_: False)
    folder = tmp_path / "cell"
    write_folder(folder, {"a": b"1", "b": b"2"})
    first = folder.stat().st_ino
    write_folder(folder, {"a": b"1", "b": b"2"})
    assert folder.stat().st_ino == first
    for other in ({"a": b"1", "b": b"3"}, {"a": b"1"}, {"a": b"1", "c": b"2"}):
        write_folder(folder, other)
        assert content(folder) == other
    assert [path.name for path in tmp_path.iterdir()] == ["cell"]


def test_a_folder_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    write_folder(tmp_path / "run", {"manifest.json": b"theirs"})
    write_folder(tmp_path / "run", {"manifest.json": b"ours"}, keeping=True)
    assert content(tmp_path / "run") == {"manifest.json": b"theirs"}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_stood_there_stays_where_the_new_cannot_be_put_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cell"
    write_folder(folder, {"a": b"old"})
    moves = iter([False])

    def failing(_temporary: Path, _folder: Path) -> bool:
        try:
            return next(moves)
        except StopIteration:
            raise OSError(5, "the disk does not answer") from None

    monkeypatch.setattr(folders, "_exchanged", lambda *_: False)
    monkeypatch.setattr(folders, "_moved", failing)
    with pytest.raises(OSError, match="does not answer"):
        write_folder(folder, {"a": b"new"})
    assert content(folder) == {"a": b"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["cell"]


def test_what_is_replaced_while_it_is_read_is_read_anew_and_what_is_damaged_is_not(tmp_path: Path) -> None:
    folder, reads = tmp_path / "cell", list[int]()
    write_folder(folder, {"a": b"old"})

    def replaced_meanwhile() -> bytes:
        reads.append(1)
        if len(reads) == 1:
            write_folder(folder, {"a": b"new"})
            raise DamagedError("one file of the old, one of the new", value="a")
        return (folder / "a").read_bytes()

    def damaged() -> bytes:
        reads.append(1)
        raise DamagedError("damaged", value="a")

    assert read_whole(folder, replaced_meanwhile) == b"new"
    assert len(reads) == 2
    with pytest.raises(DamagedError):
        read_whole(folder, damaged)
    assert len(reads) == 3
    with pytest.raises(FileNotFoundError):
        read_whole(tmp_path / "absent", (tmp_path / "absent" / "a").read_bytes)


def test_an_audit_is_replaced_by_a_later_one(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for verdict in ("clean", "leaking"):
        write_audit(home, "audit", {"verdict": verdict}, {})
        found = read_audit(home, "audit")
        assert found is not None
        assert found.facts["verdict"] == verdict
