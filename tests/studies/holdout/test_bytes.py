"""Nothing sealed is left in any byte of a home, nor behind any reader, also after a stop at any point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from harness.core.errors import SealedError
from harness.data.archive import Archive
from harness.data.changes import ChangeFile
from harness.data.vault.files import Vault
from harness.record.ledger import entries
from harness.record.ledger_check import verify_ledger
from harness.record.seals import unfinished
from tests.studies.holdout.marked import CUT, Marked, Marks, Stopped, StoppedAt, marks_in_bytes, marks_read_out


@pytest.fixture
def mine(whole: Marked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Marked:
    """A copy of the test's own, whose temporary folder is searched too."""
    copy = whole.copied(tmp_path / "mine")
    monkeypatch.setattr(tempfile, "tempdir", str(copy.folder / "tmp"))
    monkeypatch.setenv("TMPDIR", str(copy.folder / "tmp"))
    return copy


def every(marks: Marks) -> set[str]:
    return {repr(value) for value in marks.numbers} | set(marks.words)


def uncompressed(archive: Path, out: Path) -> Path:
    with duckdb.connect(str(out)) as connection:
        connection.execute("PRAGMA force_compression='uncompressed'")
        connection.execute(f"ATTACH '{archive}' AS source (READ_ONLY)")
        for name in ("changes", "forecasts_in"):
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM source.{name}")
        connection.execute("CHECKPOINT")
    return out


@pytest.mark.slow
def test_there_are_two_hundred_marks(whole: Marked) -> None:
    assert len(set(whole.marks.numbers)) >= 200
    assert len(whole.marks.words) >= 50


def test_the_search_finds_every_mark_where_nothing_is_sealed(whole: Marked, tmp_path: Path) -> None:
    marks = whole.marks
    numbers = {repr(value) for value in marks.numbers}
    assert set(marks_in_bytes([uncompressed(whole.home.archive, tmp_path / "plain.duckdb")], marks)) == every(marks)
    frame = pl.DataFrame(
        {"value": marks.numbers, "word": [*marks.words, *[""] * (len(marks.numbers) - len(marks.words))]}
    )
    frame.write_parquet(tmp_path / "plain.parquet", compression="uncompressed")
    assert set(marks_in_bytes([tmp_path / "plain.parquet"], marks)) == every(marks)
    assert numbers <= set(marks_in_bytes(whole.home.raw.iterdir(), marks))
    assert numbers <= set(marks_in_bytes(whole.home.changes.glob("*/*"), marks))
    assert set(marks_read_out(whole.searched(), marks)) == every(marks)


@pytest.mark.parametrize("form", ["<f8", ">f8", "<f4", ">f4", "<i8", ">i8", "csv", "json"])
def test_the_search_finds_every_encoding(whole: Marked, tmp_path: Path, form: str) -> None:
    path = tmp_path / "one"
    if form == "csv":
        pl.DataFrame({"v": whole.marks.numbers}).write_csv(path, float_precision=5)
    elif form == "json":
        pl.DataFrame({"v": whole.marks.numbers}).write_json(path)
    else:
        scale = 10**7 if "i" in form else 1
        parts = [np.array([*mine, mine[0]], dtype=np.float64) * scale for mine in whole.marks.values]
        path.write_bytes(b"x" + b"".join(np.round(one, 7 if scale == 1 else 0).astype(form).tobytes() for one in parts))
    assert set(marks_in_bytes([path], whole.marks)) == {repr(value) for value in whole.marks.numbers}


def nothing_is_found(one: Marked) -> None:
    files = one.searched()
    assert len(files) > 10
    assert marks_in_bytes(files, one.marks) == {}
    assert marks_read_out(files, one.marks) == {}
    plain = uncompressed(one.home.archive, one.folder / "plain.duckdb")
    assert marks_in_bytes([plain], one.marks) == {}
    plain.unlink()


@pytest.mark.slow
def test_after_the_seal_no_byte_and_no_reader_tells_of_it(mine: Marked) -> None:
    done = mine.seal()
    assert done.rows["changes"] == len(mine.marks.numbers)
    nothing_is_found(mine)
    vault = Vault.open(mine.home, done.seal.id)
    assert vault.check(str(entries(mine.home)[-1].facts["manifest"])) == ()
    assert verify_ledger(mine.home).reasons == ()


def told(one: Marked) -> list[tuple[str, bytes]]:
    """What of development was there before the seal: cells of origins before the cut."""
    return [(str(path.relative_to(one.folder)), path.read_bytes()) for path in sorted(one.home.cells.rglob("*.*"))]


def in_the_clear(one: Marked) -> tuple[object, ...]:
    changes = ChangeFile.open(Archive.open(one.home.archive).export(one.folder / "tmp" / "changes"))
    return changes.value.tobytes(), changes.published.tobytes(), changes.forecasts.rows(), changes.known_through


def points(one: Marked) -> list[int]:
    """Ten steps over the life of a sealing, around those at which the vault and then the archive take their places."""
    with pytest.MonkeyPatch.context() as patch:
        counted = StoppedAt(patch, 10**9)
        one.seal()
    steps = counted.steps
    vault = next(place for place, step in enumerate(steps, 1) if step[0] == "rename" and "making" in step[1])
    archive = next(
        place for place, step in enumerate(steps, 1) if step[0] == "replace" and step[2] == str(one.home.archive)
    )
    assert vault < archive < len(steps)
    rest = [archive + round((len(steps) - archive) * part / 4) for part in range(1, 5)]
    return [1, vault // 2, vault, vault + 1, archive, archive + 1, *rest]


@pytest.mark.slow
def test_a_seal_that_is_stopped_anywhere_is_finished_by_the_same_command(
    whole: Marked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = whole.copied(tmp_path / "reference")
    numbers, halfway = points(reference), 0
    assert len(numbers) == 10
    for number in numbers:
        one = whole.copied(tmp_path / f"stopped{number}")
        monkeypatch.setattr(tempfile, "tempdir", str(one.folder / "tmp"))
        with pytest.MonkeyPatch.context() as patch:
            StoppedAt(patch, number)
            with pytest.raises(Stopped):
                one.seal()
        if unfinished(one.home):
            halfway += 1
            assert not one.home.archive.with_name("archive.duckdb.wal").exists()
            with pytest.raises(SealedError, match="a sealing was interrupted"):
                one.run()
        elif entries(one.home)[-1].kind != "seal":  # nothing was taken away
            assert len(marks_read_out(one.searched(), one.marks)) == len(every(one.marks))
        one.seal()
        nothing_is_found(one)
        assert verify_ledger(one.home).reasons == ()
        assert told(one) == told(reference)
        assert in_the_clear(one) == in_the_clear(reference)
    assert halfway >= 5


def filling(one: Marked) -> bool:
    return any(one.home.vault.glob(".making-*/files/*.age"))


def in_place(one: Marked) -> bool:
    return any(one.home.vault.glob("[!.]*/seal.json"))


def leaving(one: Marked) -> bool:
    return in_place(one) and not any(one.home.runs.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("moment", [filling, in_place, leaving], ids=lambda one: one.__name__)
def test_a_seal_that_is_killed_is_finished_by_the_same_command(
    whole: Marked, tmp_path: Path, moment: Callable[[Marked], bool]
) -> None:
    one = whole.copied(tmp_path / "killed")
    asked = [
        "holdout",
        "seal",
        "--from",
        CUT,
        str(one.experiment),
        "--home",
        str(one.home.root),
        "--keys",
        str(one.keys),
    ]
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "TMPDIR": str(one.folder / "tmp")}
    child = subprocess.Popen([sys.executable, "-m", "harness", *asked], env=here, stdout=subprocess.DEVNULL)
    while child.poll() is None and not moment(one):
        time.sleep(0.001)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert [entry.kind for entry in entries(one.home)] == ["sealing"]
    one.seal()
    nothing_is_found(one)
    assert verify_ledger(one.home).reasons == ()
