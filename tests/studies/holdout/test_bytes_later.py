"""Nothing sealed shows after an audit of a sealed home, nor after an opening that was stopped at any of its steps."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
import pytest

import harness as hs
from harness.data.archive import Archive
from harness.data.vault.keys import needed_key
from harness.experiment.launch import audited
from harness.record.ledger import entries
from harness.record.seals import seals_of
from harness.studies.audit import Asked
from harness.studies.holdout.open import opened_archive
from tests.studies.holdout.marked import CUT, Marked, Marks, Stopped, StoppedAt, marks_in_bytes, marks_read_out
from tests.studies.holdout.test_bytes import nothing_is_found

ROOT = Path(__file__).parents[3]
TEMPORARY = ("TMPDIR", "TEMP", "TMP", "JOBLIB_TEMP_FOLDER", "POLARS_TEMP_DIR")


def temporary_in(one: Marked, patch: pytest.MonkeyPatch) -> None:
    """Let everything that spills do it where the search looks, the working folder included."""
    patch.setattr(tempfile, "tempdir", str(one.folder / "tmp"))
    for name in TEMPORARY:
        patch.setenv(name, str(one.folder / "tmp"))
    patch.setenv("HARNESS_KEYS", str(one.keys))
    patch.chdir(one.folder / "tmp")


@pytest.fixture(scope="session")
def planned(whole: Marked, tmp_path_factory: pytest.TempPathFactory) -> tuple[Marked, str]:
    """A home that is sealed, developed and planned, and its plan."""
    one = whole.copied(tmp_path_factory.mktemp("planned") / "one")
    one.seal()
    with pytest.MonkeyPatch.context() as patch:
        temporary_in(one, patch)
        one.run()
        return one, hs.holdout.plan(one.experiment, home=one.home.root).id


@pytest.fixture
def mine(planned: tuple[Marked, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Marked:
    """A copy of the test's own."""
    copy = planned[0].copied(tmp_path / "mine")
    temporary_in(copy, monkeypatch)
    return copy


def walk(one: Marked, plan: str) -> hs.Run:
    return hs.holdout.open(plan, keys=one.keys, home=one.home.root)


def stopped(one: Marked, plan: str, number: int) -> None:
    """An opening that ends right before its n-th step on the disk and leaves everything as it lies there."""
    with pytest.MonkeyPatch.context() as patch:
        StoppedAt(patch, number)
        with pytest.raises(Stopped):
            walk(one, plan)


def steps(one: Marked, plan: str) -> list[tuple[object, ...]]:
    with pytest.MonkeyPatch.context() as patch:
        counted = StoppedAt(patch, 10**9)
        walk(one, plan)
    return counted.steps


def ten(taken: list[tuple[object, ...]], one: Marked) -> list[int]:
    """Ten steps over the life of an opening, none after the first clear result, two of them right before it."""
    clear = next(n for n, step in enumerate(taken, 1) if any(str(one.home.runs) in str(part) for part in step[1:]))
    return [1, 2, 3, *(round(clear * part / 8) for part in range(2, 7)), clear - 1, clear]


def written(one: Marked, frame: pl.DataFrame) -> None:
    """The sealed values as someone careless would leave them in a temporary folder: each encoding in one file."""
    folder = one.folder / "tmp"
    values = frame["value"].to_list()
    frame.write_parquet(folder / "spill.parquet", compression="uncompressed")
    frame.write_ipc(folder / "spill.arrow")
    frame.write_csv(folder / "spill.csv")
    (folder / "spill.json").write_text(json.dumps(values))
    (folder / "spill.big").write_bytes(struct.pack(f">{len(values)}d", *values))
    (folder / "spill.scaled").write_bytes(struct.pack(f"<{len(values)}q", *(round(one * 10**7) for one in values)))


def sealed_part(one: Marked) -> pl.DataFrame:
    """What only an opening sees, through an opening's own door."""
    (seal,) = seals_of(one.home)
    identity = needed_key(one.keys, f"{seal.id}.identity")
    whole = opened_archive(one.home, [seal], {seal.id: identity})
    values = set(one.marks.numbers)
    found = pl.DataFrame({"value": whole.changes().value})
    return found.filter(pl.col("value").is_in(values)).unique()


@pytest.mark.slow
def test_a_spill_in_a_temporary_folder_is_found_in_every_form(mine: Marked) -> None:
    nothing_is_found(mine)
    written(mine, sealed_part(mine))
    numbers = {repr(value) for value in mine.marks.numbers}
    spilt = sorted((mine.folder / "tmp").glob("spill.*"))
    assert len(spilt) == 6
    for path in spilt:
        assert set(marks_in_bytes([path], mine.marks)) == numbers, path.name
    readable = [path for path in spilt if path.suffix in (".parquet", ".arrow", ".csv", ".json")]
    for path in readable:
        assert set(marks_read_out([path], mine.marks)) == numbers, path.name


def test_a_file_that_a_kill_left_half_written_is_searched_too(tmp_path: Path) -> None:
    marks = Marks(((1234.5678901,),), ())
    whole, torn, named = tmp_path / "cell.json", tmp_path / ".tmp-1" / "cell.json", tmp_path / "torn.json"
    torn.parent.mkdir()
    whole.write_text('{"value": 1234.5678901}')
    for path in (torn, named):
        path.write_text('{"value": 1234.5678901, "oth')
    assert marks_read_out([whole, torn], marks) == {"1234.5678901": {str(whole), str(torn)}}
    with pytest.raises(json.JSONDecodeError):  # under its own name nothing may be half written
        marks_read_out([named], marks)


@pytest.mark.slow
def test_an_opening_stopped_midway_leaves_nothing_to_find(planned: tuple[Marked, str], mine: Marked) -> None:
    stopped(mine, planned[1], 60)
    assert entries(mine.home)[-1].kind == "opening"
    assert any(mine.home.vault.glob("*/openings/*/cells/*"))
    nothing_is_found(mine)


@pytest.mark.slow
def test_an_opening_stopped_at_ten_points_leaves_nothing_to_find(
    planned: tuple[Marked, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, plan = planned
    reference = one.copied(tmp_path / "reference")
    temporary_in(reference, monkeypatch)
    points = ten(steps(reference, plan), reference)
    assert len(set(points)) == 10
    for number in points:
        mine = one.copied(tmp_path / f"stopped{number}")
        temporary_in(mine, monkeypatch)
        stopped(mine, plan, number)
        nothing_is_found(mine)
    closed = marks_read_out(reference.home.runs.rglob("*.parquet"), reference.marks)
    assert len(closed) > 20  # what closes is in the clear, and the search sees it there


CHILD = """
import sys
import harness as hs
plan, home, keys = sys.argv[1:]
hs.holdout.open(plan, keys=keys, home=home)
"""


@pytest.mark.slow
@pytest.mark.parametrize("cells", [1, 30])
def test_an_opening_that_is_killed_leaves_nothing_to_find(
    planned: tuple[Marked, str], mine: Marked, cells: int
) -> None:
    asked = [sys.executable, "-c", CHILD, planned[1], str(mine.home.root), str(mine.keys)]
    child = subprocess.Popen(asked, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
    while child.poll() is None and len(list(mine.home.vault.glob("*/openings/*/cells/*"))) < cells:
        time.sleep(0.002)
    child.kill()
    assert child.wait() < 0
    assert entries(mine.home)[-1].kind == "opening"
    nothing_is_found(mine)


@pytest.mark.slow
def test_an_audit_of_a_sealed_home_leaves_nothing_to_find(mine: Marked) -> None:
    asked = Asked(2, placebo=True, premium=True, stress=10, workers=1)
    audited(mine.experiment, mine.home, asked=asked)
    assert any(mine.home.audits.iterdir())
    nothing_is_found(mine)
    assert Archive.open(mine.home.archive).known_through("marked/level").isoformat() < CUT  # type: ignore[union-attr]
