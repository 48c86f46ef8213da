"""Who works in a home beside others, and who alone: told by real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core.errors import ArchiveBusyError
from harness.record import working as lock
from harness.record.home import Home
from harness.record.working import exclusively, working

HOLDING = """
import sys
from pathlib import Path
from harness.record.home import Home
from harness.record.working import exclusively, working
with {how}(Home(Path({root!r}))):
    print("here", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another(root: Path, how: str) -> Iterator[subprocess.Popen[str]]:
    """Another process in a home, until the block ends."""
    text = HOLDING.format(how=how, root=str(root))
    with subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        try:
            yield process
        finally:
            process.kill()


def test_many_work_beside_each_other_and_whoever_wants_to_be_alone_is_told_for_whom(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with another(tmp_path, "working") as process:
        with working(home, wait=0):
            pass
        with (
            pytest.raises(ArchiveBusyError, match="the home folder is in use") as refused,
            exclusively(home, wait=0.05),
        ):
            pass
        assert f"process {process.pid} (" in refused.value.value
        process.kill()
        process.wait()
        with exclusively(home, wait=5):  # however it ended
            pass


def test_whoever_waits_is_told_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.05)
    with another(tmp_path, "working") as process:
        with pytest.raises(ArchiveBusyError), exclusively(Home(tmp_path), wait=0.2):
            pass
        told = capsys.readouterr().err
        assert told.startswith(f"harness: waiting for process {process.pid} (")
        assert told.count("waiting") == 1
        with working(Home(tmp_path), wait=0.2):
            assert capsys.readouterr().err == ""


def test_nobody_works_beside_whoever_is_alone(tmp_path: Path) -> None:
    with another(tmp_path, "exclusively") as process:
        for how in (working, exclusively):
            with pytest.raises(ArchiveBusyError) as refused, how(Home(tmp_path), wait=0):
                pass
            assert f"process {process.pid} (" in refused.value.value


def test_blocks_within_blocks_go_by_the_outer_one(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with exclusively(home), working(home, wait=0), exclusively(home, wait=0):
        pass
    with working(home), working(home), pytest.raises(ArchiveBusyError), exclusively(home, wait=0):
        pass
    with exclusively(home, wait=0):
        pass


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with working(Home(tmp_path / "none")), exclusively(Home(tmp_path / "none")):
        assert not (tmp_path / "none").exists()
