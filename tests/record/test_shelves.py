"""Cells, fits and searches on encrypting shelves: same functions, same content, nothing in clear on the disk."""

import json
import struct
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pyrage
import pytest

from harness.core.errors import DamagedError
from harness.record.cells import CELL_SCHEMA, Cell, read_cell, read_fit, stored_checksum, write_cell, write_fit
from harness.record.shelves import SealedShelf, sealed_shelves
from harness.record.studies import END, finished_study, read_study, study_log

MARK = 3.0517578125e-05 + 1234.5
WORD = "a word that stands nowhere else"
T = datetime(2019, 3, 31, 22, tzinfo=UTC)
ROW = ["cpi", T, 1, date(2019, 6, 30), None, MARK, "ok", WORD, T, date(2018, 12, 31), 2, 0, None]
CELL = Cell(pl.DataFrame([ROW], schema=CELL_SCHEMA, orient="row"), {"warnings": [WORD]})
HEAD = {"format": 1, "said": WORD}
TRIAL = {"number": 0, "value": MARK, "state": "complete", "reason": WORD}


@pytest.fixture
def identity() -> str:
    return str(pyrage.x25519.Identity.generate())


@pytest.fixture
def shelf(tmp_path: Path, identity: str) -> SealedShelf:
    return SealedShelf(tmp_path / "sealed", identity)


def fill(shelf: Path | SealedShelf) -> None:
    write_cell(shelf, "key1", CELL)
    write_fit(shelf, "key2", json.dumps({"mark": MARK, "word": WORD}))
    with study_log(shelf, "key3", HEAD) as log:
        log.append(TRIAL)
        log.append({END: WORD, "trials": 1, "best": 0})


def test_what_says_the_same_is_left_alone_and_what_is_damaged_is_replaced(shelf: SealedShelf) -> None:
    write_cell(shelf, "key1", CELL)
    first = (shelf / "key1").stat().st_ino
    write_cell(shelf, "key1", CELL)
    assert (shelf / "key1").stat().st_ino == first
    for path in (shelf / "key1").iterdir():
        path.write_bytes(b"damaged")
    assert read_cell(shelf, "key1") is None
    write_cell(shelf, "key1", CELL)
    assert read_cell(shelf, "key1") is not None


def in_clear(folder: Path) -> set[str]:
    """Which of the marks stand in some file, or in a name, as they are."""
    marks = {"word": WORD.encode(), "double": struct.pack("<d", MARK), "text": repr(MARK).encode(), "key": b"key1"}
    content = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    content += [str(path.relative_to(folder)).encode() for path in folder.rglob("*")]
    return {name for name, mark in marks.items() if any(mark in one for one in content)}


def test_what_is_read_from_an_encrypting_shelf_is_what_a_plain_one_gives(shelf: SealedShelf, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    fill(plain)
    fill(shelf)
    one, other = read_cell(plain, "key1"), read_cell(shelf, "key1")
    assert one is not None
    assert other is not None
    assert one.frame.equals(other.frame)
    assert (one.facts, one.checksum) == (other.facts, other.checksum)
    assert stored_checksum(shelf, "key1") == one.checksum
    assert read_fit(shelf, "key2") == read_fit(plain, "key2")
    assert read_study(shelf, "key3") == read_study(plain, "key3")
    assert finished_study(shelf, "key3") is not None


def test_nothing_stands_in_clear_on_an_encrypting_shelf(shelf: SealedShelf, tmp_path: Path) -> None:
    fill(tmp_path / "plain")
    fill(shelf)
    assert in_clear(tmp_path / "plain") == {"word", "double", "text", "key"}  # the search finds what is there
    assert in_clear(shelf.folder) == set()


def test_another_identity_finds_nothing(shelf: SealedShelf) -> None:
    fill(shelf)
    stranger = SealedShelf(shelf.folder, str(pyrage.x25519.Identity.generate()))
    assert read_cell(stranger, "key1") is None
    assert finished_study(stranger, "key3") is None
    for folder in shelf.folder.iterdir():  # nor when it is told where to look
        (stranger.folder / folder.name).rename(stranger / "key1") if (folder / "cell.json").exists() else None
    assert read_cell(stranger, "key1") is None


@pytest.mark.parametrize("how", ["cut", "flipped", "exchanged", "gone"])
def test_a_damaged_file_is_not_used(how: str, shelf: SealedShelf) -> None:
    write_cell(shelf, "key1", CELL)
    write_cell(shelf, "other", Cell(CELL.frame.with_columns(pl.lit(1.0).alias("value")), {}))
    path = shelf / "key1" / "forecasts.arrow"
    content = path.read_bytes()
    middle = len(content) // 2
    if how == "gone":
        path.unlink()
    else:
        changed = {
            "cut": content[:middle],
            "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "exchanged": (shelf / "other" / "forecasts.arrow").read_bytes(),
        }
        path.write_bytes(changed[how])
    assert read_cell(shelf, "key1") is None
    write_cell(shelf, "key1", CELL)
    assert read_cell(shelf, "key1") is not None


def begin(shelf: SealedShelf, head: dict[str, object]) -> None:
    """Begin a search that has no trials yet, and make one."""
    with study_log(shelf, "s", head) as log:
        assert log.record.trials == ()
        log.append(TRIAL)


def test_a_search_goes_on_after_a_torn_line_and_notices_a_changed_one(shelf: SealedShelf) -> None:
    with study_log(shelf, "s", HEAD) as log:
        log.append(TRIAL)
        log.append({**TRIAL, "number": 1})
    path = shelf / "s" / "trials.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with study_log(shelf, "s", HEAD) as log:
        assert [one["number"] for one in log.record.trials] == [0]
        log.append({**TRIAL, "number": 1})
    assert [one["number"] for one in read_study(shelf, "s").trials] == [0, 1]
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(second + first)
    with pytest.raises(DamagedError, match="damaged"):
        read_study(shelf, "s")
    path.write_bytes(first[:50] + b"AAAA" + first[54:] + second)
    with pytest.raises(DamagedError):
        read_study(shelf, "s")
    damaged = path.read_bytes()
    with pytest.warns(UserWarning, match=r"it is damaged: it is kept as .*aside-1"):
        begin(shelf, HEAD)
    assert path.with_name("trials.jsonl.aside-1").read_bytes() == damaged
    kept = path.read_bytes()
    with pytest.warns(UserWarning, match="of another search"):
        begin(shelf, {**HEAD, "seed": -1})
    assert path.with_name("trials.jsonl.aside-2").read_bytes() == kept


def test_searches_on_an_encrypting_shelf_are_not_exported_for_others(shelf: SealedShelf, tmp_path: Path) -> None:
    with study_log(shelf, "s", HEAD) as log:
        assert log.journal is None
    with study_log(tmp_path, "s", HEAD) as log:
        assert log.journal == tmp_path / "s" / "journal.log"


def test_the_three_shelves_of_an_opening_stand_side_by_side(tmp_path: Path, identity: str) -> None:
    shelves = sealed_shelves(tmp_path, identity)
    assert [one.folder.name for one in (shelves.cells, shelves.fits, shelves.studies)] == ["cells", "fits", "studies"]
