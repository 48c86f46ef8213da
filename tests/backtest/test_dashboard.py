"""optuna-dashboard opens the journal of a search and lists its study."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.backtest.made_runs import exported, releases, run
from tests.backtest.test_tuning import TUNED, few, searches

# beside the interpreter: the path of a shell need not have the environment's folder
DASHBOARD = os.environ.get("OPTUNA_DASHBOARD") or Path(sys.executable).with_name("optuna-dashboard")


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def asked(url: str, child: subprocess.Popen[bytes]) -> object:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.loads(answer.read())
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the dashboard did not answer")


@pytest.mark.slow
def test_the_dashboard_lists_the_study_and_its_trials(tmp_path: Path) -> None:
    changes = exported(releases(), tmp_path / "archive")
    record = next(iter(searches(run(few((TUNED,), tmp_path), changes, tmp_path / "home")).values()))
    journal, port = tmp_path / "home" / "studies" / record.key / "journal.log", free_port()
    before = journal.read_bytes()
    command = [str(DASHBOARD), str(journal), "--host", "127.0.0.1", "--port", str(port)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/api/studies"
        listed = asked(url, child)
        assert isinstance(listed, dict)
        (study,) = listed["study_summaries"]
        assert study["study_name"] == record.key
        detail = asked(f"{url}/{study['study_id']}?after=0", child)
        assert isinstance(detail, dict)
        assert [trial["state"] for trial in detail["trials"]] == ["Complete"] * len(record.trials)
    finally:
        child.kill()
        child.wait()
    assert journal.read_bytes() == before
