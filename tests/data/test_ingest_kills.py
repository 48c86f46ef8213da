"""An ingest that is stopped anywhere leaves the archive as it was or as it becomes, never half."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from random import Random

import pytest

from harness.data.archive import Archive
from harness.record.home import Home
from tests.data.made_ingests import content, taken_in, whole_files, write_dataset
from tests.data.stops import Stopped, watched

ROOT = Path(__file__).parents[2]
FSYNC = os.fsync
"""The real one, before other tests do without."""
EVERY_TABLE = {
    "series", "changes", "publications", "batches", "forecasts_in", "members", "events", "cleaning", "touched",
    "assertions", "failures", "raw_files", "originals", "set_aside", "known",
}  # fmt: skip
PLACES = (
    "before inputs.keep_raw",
    "after fsync",
    "after replace",
    "after inputs.keep_raw",
    "before store.writing",
    "after store.insert events",
    "after store.insert members",
    "before store.insert changes",
    "after store.insert changes",
    "after store.insert publications",
    "after store.insert known",
    "before store.insert batches",
    "after store.insert batches",
    "after store.insert set_aside",
    "after store.insert cleaning",
    "before store.insert touched",
    "after store.insert assertions",
    "after store.insert failures",
    "after store.insert originals",
    "after store.insert raw_files",
    "after store.insert forecasts_in",
    "after store.writing",
    "before reader.export",
    "before saving._write",
    "after saving._write",
    "before saving._moved",
    "before rename",
    "after rename",
)
"""Where an ingest and its export are stopped, each for the last time that the place is passed."""


class Grown:
    """A home with a dataset in it, the dataset grown since, and what the home holds before and after taking that in."""

    def __init__(self, root: Path, *, days: int = 0) -> None:
        self.folder, self.old, self.new = root / "mine", Home(root / "old"), Home(root / "new")
        taken_in(write_dataset(self.folder, 24, days=days // 2), self.old)
        shutil.copytree(self.old.root, self.new.root)
        self.passed: list[str] = []
        write_dataset(self.folder, 40, days=days)
        begun = time.monotonic()
        with watched(lambda _, place: self.passed.append(place)):
            taken_in(self.folder, self.new)
        self.seconds = time.monotonic() - begun
        self.before, self.after = content(self.old), content(self.new)

    def stopped_home(self, root: Path) -> Home:
        shutil.copytree(self.old.root, root)
        return Home(root)

    def is_whole(self, home: Home) -> bool:
        """That the home holds what it held before, or what it comes to hold; whether the latter.

        Its raw files and change files are whole, and no raw file that the archive names is missing.
        """
        held = content(home)
        assert held in (self.before, self.after)
        raw = {path.name for path in whole_files(home.raw)}
        assert {path.name for path in self.old.raw.iterdir()} <= raw <= {path.name for path in self.new.raw.iterdir()}
        if held == self.after:
            assert raw == {path.name for path in self.new.raw.iterdir()}
        change = Archive.open(home.archive).export(home.changes)
        assert change.name in {path.name for path in self.new.changes.iterdir()}
        return held == self.after

    def resumes(self, home: Home) -> None:
        """That taking the dataset in again makes the very archive that was never interrupted."""
        taken_in(self.folder, home)
        assert content(home) == self.after
        assert {path.name for path in whole_files(home.raw)} == {path.name for path in self.new.raw.iterdir()}
        newest = Archive.open(self.new.archive).export(self.new.changes).name
        assert Archive.open(home.archive).export(home.changes).name == newest


@pytest.fixture(scope="module", autouse=True)
def _waiting_for_the_disk() -> Iterator[None]:
    """Here a write that waits for the disk is a place at which a process is stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", FSYNC)
        yield


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    return Grown(tmp_path_factory.mktemp("grown"))


@pytest.mark.slow
def test_the_dataset_has_something_for_every_table(grown: Grown) -> None:
    for name in EVERY_TABLE:
        assert len(grown.before[name]) > 0, name  # type: ignore[arg-type]
        if name not in ("series", "known"):
            assert len(grown.after[name]) > len(grown.before[name]), name  # type: ignore[arg-type]


def as_killed(grown: Grown, root: Path) -> dict[str, Home]:
    """What a kill would leave, at every point at which the disk holds something else than at the point before."""
    home, found, last = grown.stopped_home(root / "live"), dict[str, Home](), ""

    def copied(number: int, place: str) -> None:
        nonlocal last
        files = [(path, path.stat()) for path in sorted(home.root.rglob("*")) if path.is_file()]
        now = str([(str(path), told.st_size, told.st_mtime_ns) for path, told in files])
        if now != last:
            last, copy = now, root / f"{number}"
            shutil.copytree(home.root, copy)
            found[f"{number} {place}"] = Home(copy)

    with watched(copied):
        taken_in(grown.folder, home)
    return found


@pytest.mark.slow
def test_whatever_a_kill_leaves_on_disk_is_the_archive_before_or_after(grown: Grown, tmp_path: Path) -> None:
    left = as_killed(grown, tmp_path)
    assert len(left) >= 20
    done = [grown.is_whole(home) for home in left.values()]
    assert done == sorted(done)  # before, then after, and at one point from the one to the other
    assert {True, False} == set(done)
    turn, homes = done.index(True), list(left.values())
    for home in {*homes[::3], *homes[turn - 2 : turn + 2]}:
        grown.resumes(home)


def interrupted(grown: Grown, home: Home, place: str) -> None:
    """Stop an ingest where it passes a place for the last time."""
    times = 0

    def stop(_: int, at: str) -> None:
        nonlocal times
        times += at == place
        if at == place and times == grown.passed.count(place):
            raise Stopped

    with pytest.raises(Stopped), watched(stop):
        taken_in(grown.folder, home)


@pytest.mark.slow
def test_an_interrupted_ingest_goes_on_to_the_same_archive(grown: Grown, tmp_path: Path) -> None:
    home = grown.stopped_home(tmp_path / "home")
    interrupted(grown, home, "after store.insert forecasts_in")
    assert not grown.is_whole(home)
    grown.resumes(home)


@pytest.mark.slow
def test_an_ingest_interrupted_at_every_step_of_its_life_goes_on_to_the_same_archive(
    grown: Grown, tmp_path: Path
) -> None:
    assert len(set(PLACES)) >= 20
    done = []
    for number, place in enumerate(PLACES):
        home = grown.stopped_home(tmp_path / f"{number}")
        interrupted(grown, home, place)
        done.append(grown.is_whole(home))
        grown.resumes(home)
    assert {True, False} == set(done)


@pytest.mark.slow
def test_an_archive_that_was_left_half_would_be_noticed(grown: Grown, tmp_path: Path) -> None:
    """The specimen: were each table of a dataset a transaction of its own, a stop between two would leave a half."""
    home = grown.stopped_home(tmp_path / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Archive, "together", lambda _: nullcontext())
        interrupted(grown, home, "after store.insert forecasts_in")
    with pytest.raises(AssertionError):
        grown.is_whole(home)


def test_a_raw_file_cut_short_would_be_noticed(grown: Grown, tmp_path: Path) -> None:
    home = grown.stopped_home(tmp_path / "home")
    path = next(home.raw.iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AssertionError):
        grown.is_whole(home)


CHILD = """
import sys
from pathlib import Path
from harness.record.home import Home
from tests.data.made_ingests import taken_in
print("begun", flush=True)
taken_in(Path(sys.argv[1]), Home(Path(sys.argv[2])))
"""


def killed(grown: Grown, home: Home, seconds: float, *, from_raw: bool) -> bool:
    """Kill a process that ingests, so many seconds after it began, or after its raw files were there; whether alive."""
    raw = len(list(grown.new.raw.iterdir()))
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(grown.folder), str(home.root)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        deadline = time.monotonic() + 120
        while from_raw and len([path for path in home.raw.iterdir() if path.name[0] != "."]) < raw:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        return child.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_process_killed_in_the_middle_of_an_ingest_leaves_an_archive_that_is_whole(tmp_path: Path) -> None:
    large = Grown(tmp_path / "large", days=20_000)
    random = Random(20261125)
    alive, done, raw_only = 0, [], 0
    for number in range(6):
        home = large.stopped_home(tmp_path / f"{number}")
        alive += killed(large, home, random.uniform(0.05, 0.6) * large.seconds, from_raw=number % 2 == 1)
        done.append(large.is_whole(home))
        raw_only += not done[-1] and len(list(whole_files(home.raw))) == len(list(large.new.raw.iterdir()))
        large.resumes(home)
    assert alive >= 3
    assert raw_only  # at least one was killed between its raw files and the end of its transaction
    assert False in done
