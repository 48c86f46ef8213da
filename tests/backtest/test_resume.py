"""A run that is stopped anywhere and started again ends with the bits of one that was never stopped."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.core.errors import FullDiskError
from harness.core.recipe import Experiment
from harness.record import cells, files, folders, runs
from harness.record.home import Home
from harness.record.runs import list_runs
from tests.backtest.made_runs import AR, MINE, RIDGE, TREES, Ran, exported, quarter, releases, run, small

TABLES = ("forecasts", "errors", "scores", "leaderboard")


class Stopped(BaseException):
    """The process is gone: nothing that follows runs, no tidying either."""


class StoppedAt:
    """Stops at the n-th time content is about to be made durable or a folder to appear; then nothing is cleaned up."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int) -> None:
        self.left, self.gone = number, False
        self.remove, self.unlink = shutil.rmtree, Path.unlink
        patch.setattr(files.os, "fsync", self.counted(os.fsync))
        patch.setattr(Path, "replace", self.counted(Path.replace, only=Path.is_dir))
        patch.setattr(folders.shutil, "rmtree", self.unless_gone(self.remove))
        patch.setattr(Path, "unlink", self.unless_gone(self.unlink))

    def counted(self, act: Callable[..., Any], *, only: Callable[..., bool] = lambda *_: True) -> Callable[..., Any]:
        def maybe(*given: Any) -> Any:
            self.left -= only(given[0])
            if self.left <= 0 or self.gone:
                self.gone = True
                raise Stopped
            return act(*given)

        return maybe

    def unless_gone(self, act: Callable[..., None]) -> Callable[..., None]:
        def maybe(*given: object, **more: object) -> None:
            if not self.gone:
                act(*given, **more)

        return maybe


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resume")


@pytest.fixture(scope="module")
def changes(place: Path) -> Path:
    return exported(releases(), place / "archive")


@pytest.fixture(scope="module")
def asked(place: Path) -> Experiment:
    few = small((AR, RIDGE, TREES, replace(MINE, name="storing", kind="own_models:Storing")), place)
    return replace(few, origins=replace(few.origins, first=quarter(22)))


@pytest.fixture(scope="module")
def whole(asked: Experiment, changes: Path, place: Path) -> Ran:
    return run(asked, changes, place / "whole")


def assert_same(one: Ran, other: Ran) -> None:
    """The same bits in every table and every cell."""
    assert one.keys == other.keys
    for name in TABLES:
        left, right = ((ran.files.folder / f"{name}.parquet").read_bytes() for ran in (one, other))
        assert left == right, name
    for left, right in zip(contents(one, "cells"), contents(other, "cells"), strict=True):
        assert left == right


def contents(ran: Ran, kind: str) -> Iterator[tuple[str, str, bytes]]:
    """What is stored of the cells of a run, or of the fits of its home."""
    folder = ran.files.folder.parents[1] / kind
    mine = {key for keys in ran.keys.values() for key in keys}
    for path in sorted(folder.glob("[!.]*/*")):
        if kind == "fits" or path.parent.name in mine:
            yield path.parent.name, path.name, path.read_bytes()


def litter(home: Path) -> list[Path]:
    return sorted(home.rglob(".tmp-*"))


def stopped_and_resumed(asked: Experiment, changes: Path, home: Path, number: int) -> tuple[bool, Ran]:
    stopped = False
    with pytest.MonkeyPatch.context() as patch:
        StoppedAt(patch, number)
        try:
            run(asked, changes, home)
        except Stopped:
            stopped = True
    assert stopped == ("complete" not in {made.get("status") for made in list_runs(Home(home))})
    return stopped, run(asked, changes, home)


def durable_moments(asked: Experiment, changes: Path, home: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        count = StoppedAt(patch, 10**9)
        run(asked, changes, home)
    return 10**9 - count.left


@pytest.mark.slow
def test_a_run_stopped_at_any_moment_of_its_life_resumes_to_the_same_bits(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path
) -> None:
    moments = durable_moments(asked, changes, tmp_path / "count")
    # the first write, in the cells, in the fits, between the last cell and the tables, the manifest
    tail = 2 * (len(list(whole.files.folder.glob("*.parquet"))) + 1)
    points = [1, moments // 3, 2 * moments // 3 + 1, moments - tail, moments - 1]
    left_behind = 0
    for number in points:
        home = tmp_path / f"stopped{number}"
        stopped, resumed = stopped_and_resumed(asked, changes, home, number)
        assert stopped
        assert_same(resumed, whole)
        left_behind += len(litter(home))
    assert left_behind  # the stop was hard: half-written folders did lie about, and were never used


def test_a_run_whose_record_finds_no_room_is_not_listed(
    asked: Experiment, changes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(path: Path, _: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        raise FullDiskError(path)

    monkeypatch.setattr(runs, "write_file", no_room)
    with pytest.raises(FullDiskError):
        run(asked, changes, tmp_path)
    assert list_runs(Home(tmp_path)) == []


@pytest.mark.slow
def test_stopping_again_and_again_still_ends_with_the_same_bits(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path
) -> None:
    home, times = tmp_path / "home", 0
    while times < 50:
        with pytest.MonkeyPatch.context() as patch:
            StoppedAt(patch, 12 + 8 * times)
            try:
                again = run(asked, changes, home)
                break
            except Stopped:
                times += 1
    assert times >= 3
    assert_same(again, whole)


def test_any_cell_or_fit_deleted_or_damaged_comes_back_with_the_same_bits(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path
) -> None:
    home, random = tmp_path / "home", Random(1)
    shutil.copytree(whole.files.folder.parents[1], home)
    for kind in ("cells", "fits"):
        folders = sorted(path for path in (home / kind).iterdir() if not path.name.startswith("."))
        for number, folder in enumerate(random.sample(folders, min(12, len(folders)))):
            damage(folder, number % 4)
    assert_same(run(asked, changes, home), whole)
    shutil.rmtree(home / "cells")  # what is left of the fits is used, what is damaged is made again
    again = run(asked, changes, home)
    assert_same(again, whole)
    assert list(contents(again, "fits")) == list(contents(whole, "fits"))


def damage(folder: Path, how: int) -> None:
    """Delete it, cut a file short, flip a bit, or put another folder's content under its name."""
    if how == 0:
        shutil.rmtree(folder)
        return
    path = sorted(folder.iterdir())[how % 2]
    content = path.read_bytes()
    if how == 1:
        path.write_bytes(content[: len(content) // 2])
    elif how == 2:
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        other = next(one for one in sorted(folder.parent.glob("[!.]*")) if one != folder and any(one.iterdir()))
        shutil.rmtree(folder)
        shutil.copytree(other, folder)


def test_a_damaged_cell_taken_at_its_word_would_be_noticed(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path
) -> None:
    """The specimen: were checksums not looked at, a changed forecast would get into the tables."""
    home = tmp_path / "home"
    shutil.copytree(whole.files.folder.parents[1], home)
    key = whole.keys["ar"][1]
    path = home / "cells" / key / "forecasts.arrow"
    value = whole.forecasts.filter(whole.forecasts["model"] == "ar")["value"][2]
    old = struct.pack("<d", value)
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, struct.pack("<d", value + 1.0)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            cells,
            "_checked",
            lambda shelf, name, meta, key: ((shelf / key / name).read_bytes(), files.read_json(shelf / key / meta)),
        )
        fooled = run(asked, changes, home)
    with pytest.raises(AssertionError, match="forecasts"):
        assert_same(fooled, whole)
    assert_same(run(asked, changes, home), whole)


@pytest.mark.parametrize("table", [*TABLES, "manifest"])
def test_a_damaged_or_missing_table_is_made_again(
    table: str, asked: Experiment, changes: Path, whole: Ran, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(whole.files.folder.parents[1], home)
    folder = home / "runs" / whole.files.run_id
    if table == "manifest":
        (folder / "manifest.json").unlink()
    else:
        path = folder / f"{table}.parquet"
        path.write_bytes(path.read_bytes()[:-9])
    assert_same(run(asked, changes, home), whole)


def test_a_finished_run_is_not_computed_again(
    asked: Experiment, changes: Path, whole: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: object) -> None:
        raise AssertionError("a cell was computed again")

    monkeypatch.setattr("harness.backtest.engine.run_task", never)
    assert_same(run(asked, changes, whole.files.folder.parents[1]), whole)


@pytest.mark.slow
def test_two_workers_end_with_the_bits_of_one(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.backtest.engines.available_cores", lambda: 2)
    assert_same(run(asked, changes, tmp_path / "home", workers=2), whole)


def test_cells_are_on_the_disk_before_a_manifest_counts_them(
    asked: Experiment, changes: Path, whole: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, seen = tmp_path / "home", list[tuple[int, bool]]()

    def synced(folder: Path) -> None:
        assert folder == home / "cells"
        seen.append((cells_of(home), "complete" in {made.get("status") for made in list_runs(Home(home))}))

    monkeypatch.setattr("harness.record.shelves.sync_filesystem", synced)
    run(asked, changes, home)
    assert seen == [(len({key for keys in whole.keys.values() for key in keys}), False)]


CHILD = """
import sys
from pathlib import Path
from tests.backtest.made_runs import run
from tests.backtest.test_resume import killable
place, changes, home, workers = sys.argv[1:]
run(killable(Path(place)), Path(changes), Path(home), workers=int(workers))
"""


def killable(place: Path) -> Experiment:
    """An experiment whose cells take a little while to come."""
    return small((AR, TREES, replace(MINE, name="slow", kind="own_models:Slow")), place)


def cells_of(home: Path) -> int:
    folder = home / "cells"
    return sum(not path.name.startswith(".") for path in folder.iterdir()) if folder.is_dir() else 0


def started(arguments: list[str], home: Path, cells: int, *, code: str = CHILD) -> subprocess.Popen[str]:
    """A process that runs the experiment, when so many cells are there."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], start_new_session=True, cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while cells_of(home) < cells and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    return child


def killed(arguments: list[str], home: Path, cells: int) -> None:
    """Start a process that runs the experiment and kill it, workers and all, when so many cells are there."""
    child = started(arguments, home, cells)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_a_process_killed_at_five_points_of_its_life_leaves_a_run_that_resumes(
    place: Path, changes: Path, tmp_path: Path
) -> None:
    uninterrupted = run(killable(place), changes, tmp_path / "whole")
    total = cells_of(tmp_path / "whole")
    home = tmp_path / "home"
    cores = len(os.sched_getaffinity(0))
    for number, wanted in enumerate((1, total // 4, total // 2, 3 * total // 4, total)):
        workers = min(1 + number % 2, cores)
        killed([str(place), str(changes), str(home), str(workers)], home, wanted)
        assert {made.get("status") for made in list_runs(Home(home))} <= {"stopped"}
    assert_same(run(killable(place), changes, home), uninterrupted)


TOLD = f"""
from harness.cli_ending import TERMINATED, Terminated, terminable
try:
    with terminable():{CHILD.replace(chr(10), chr(10) + " " * 8)}
except Terminated:
    sys.exit(TERMINATED)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_told_to_end_leaves_nothing_behind_and_resumes(
    place: Path, changes: Path, tmp_path: Path, workers: int
) -> None:
    home = tmp_path / "home"
    child = started([str(place), str(changes), str(home), str(workers)], home, 8, code=TOLD)
    child.terminate()
    _, said = child.communicate(timeout=60)
    assert (child.returncode, said) == (128 + signal.SIGTERM, "")
    deadline = time.monotonic() + 10  # workers are killed, and are gone a moment later
    while session(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not session(child.pid)
    assert [made.get("status") for made in list_runs(Home(home))] == ["stopped"]
    assert not list(home.glob("runs/*/.work-*"))
    assert_same(run(killable(place), changes, home), run(killable(place), changes, tmp_path / "whole"))


def session(number: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, mine = stat.read_text().rpartition(")")[2].split()[:4]
            found += [int(stat.parent.name)] if int(mine) == number and state != "Z" else []
    return found


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has no workers")
def test_workers_end_with_the_run_that_started_them(place: Path, changes: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(place), str(changes), str(home), "2"],
        start_new_session=True, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not cells_of(home) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(session(child.pid)) > 2  # itself and its workers
    child.kill()
    child.wait()
    deadline = time.monotonic() + 30
    while session(child.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert session(child.pid) == []
