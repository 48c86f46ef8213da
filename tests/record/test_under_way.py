"""What is said of a run that was begun: its process is at work, or gone, or nobody here can tell. By real processes."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.cli import main
from harness.core.errors import UserError
from harness.record import under_way
from harness.record.files import sealed_bytes
from harness.record.home import Home
from harness.record.runs import find_run, list_runs, read_table, start_run
from tests.record.test_runs import EXPERIMENT

AT_WORK = """
import sys
from pathlib import Path
from harness.record.home import Home
from harness.record.runs import start_run
from harness.record.under_way import under_way
from tests.record.test_runs import EXPERIMENT
home = Home(Path(sys.argv[1]))
with under_way(home.runs / "abc1") as locked:
    start_run(home, "abc1", EXPERIMENT, locked=locked)
    print("here", flush=True)
    sys.stdin.read()
"""


@contextmanager
def at_work(home: Home) -> Iterator[subprocess.Popen[str]]:
    """A process that has begun a run and is at work on it, until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", AT_WORK, str(home.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        try:
            yield child
        finally:
            killed(child)


def killed(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL


def told(home: Home) -> tuple[object, str]:
    (run,) = list_runs(home)
    return run["status"], str(run["told"])


def begun(home: Home, **changed: object) -> None:
    """A run that this process began and no longer holds, as a record that says otherwise in part."""
    with under_way.under_way(home.runs / "abc1") as locked:
        start_run(home, "abc1", EXPERIMENT, locked=locked)
    path = home.runs / "abc1" / "manifest.json"
    record = json.loads(path.read_text())
    record[under_way.BEGUN_BY] = record[under_way.BEGUN_BY] | changed if changed != {"version": "old"} else None
    path.write_bytes(sealed_bytes({name: value for name, value in record.items() if name != "digest"}))


def test_a_run_is_running_while_its_process_is_there_and_stopped_once_it_was_killed(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_work(home) as child:
        assert told(home) == ("running", f"process {child.pid} is at work on it; wait for it")
        with pytest.raises(UserError, match="not finished") as caught:
            read_table(find_run(home, "abc1"), "scores")
        assert caught.value.fix == "wait for it"
        killed(child)
        status, text = told(home)
    assert status == "stopped"
    assert text.startswith(f"process {child.pid} on ")
    assert text.endswith(" is no longer at work on it; resume it by the same command: harness backtest demo")
    assert main(["runs", "--home", str(home.root)]) == 0
    listed = capsys.readouterr().out
    assert "stopped" in listed
    for verb in ("trials", "spaces"):  # of which nobody knows yet whether there will be any
        assert main([verb, "abc1", "--home", str(home.root)]) == 2
    assert "the run is not finished" in capsys.readouterr().err
    assert f"abc1: {text}" in listed


def test_a_run_that_was_resumed_is_running_as_long_as_one_of_its_processes_is(home: Home) -> None:
    with at_work(home) as first:
        with at_work(home) as second:
            record = json.loads((home.runs / "abc1" / "manifest.json").read_text())
            assert record["begun_by"]["process"] == second.pid
        assert told(home) == ("running", f"process {first.pid} is at work on it; wait for it")
    assert told(home)[0] == "stopped"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"boot": "another"}, "another machine or an earlier start of this one"),
        ({"boot": ""}, "another machine or an earlier start of this one"),
        ({"locked": False}, "where folders cannot be locked"),
        ({"version": "old"}, "by a version that did not say by which process"),
    ],
)
def test_where_a_lock_would_not_be_seen_nobody_is_called_gone(
    home: Home, changed: dict[str, object], said: str
) -> None:
    begun(home, **changed)
    status, text = told(home)
    assert status == "begun"
    assert said in text
    assert text.endswith("resume it by the same command, unless it is still at work: harness backtest demo")


def test_where_no_folder_can_be_locked_nobody_is_called_gone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(home, host="elsewhere")
    assert told(home)[0] == "stopped"

    def unlockable(*_: object) -> None:
        raise OSError(9, "Bad file descriptor")  # as a network drive answers

    monkeypatch.setattr(fcntl, "flock", unlockable)
    with under_way.under_way(home.runs / "abc1") as locked:
        assert not locked
    status, text = told(home)
    assert status == "begun"
    assert "on elsewhere, where folders cannot be locked" in text


ENDING = """
import sys
from pathlib import Path
from harness.record.home import Home
from harness.record.runs import start_run
from tests.record.test_runs import EXPERIMENT

print("ready", flush=True)
start_run(Home(Path(sys.argv[1])), "abc1", EXPERIMENT)
print("begun", flush=True)
"""


def test_a_run_is_not_begun_again_while_another_process_ends_it(home: Home) -> None:
    files = start_run(home, "abc1", EXPERIMENT)
    command = [sys.executable, "-c", ENDING, str(home.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        with under_way.one_at_a_time(files.folder):
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.3)
            complete = {**json.loads((files.folder / "manifest.json").read_text()), "status": "complete"}
            (files.folder / "manifest.json").write_bytes(sealed_bytes(complete))
        assert child.wait(20.0) == 0
    assert list_runs(home)[0]["status"] == "complete"
