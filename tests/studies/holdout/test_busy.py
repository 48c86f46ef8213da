"""A home is sealed and rolled on with nobody else at work in it: real processes, stopped at their worst moment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import harness as hs
from harness.cli import main
from harness.core.errors import ArchiveBusyError
from harness.data.archive import Archive
from harness.record import working as lock
from harness.record.ledger_check import verify_ledger
from harness.record.seals import seals_of
from harness.studies.holdout.open import opened_archive
from tests.backtest.made_runs import Ran
from tests.studies.holdout.conftest import copied
from tests.studies.holdout.made_holdouts import Made
from tests.studies.holdout.marked import Marked
from tests.studies.holdout.test_roll import TO, newer

WAITING = """
import sys
def wait(*_, **__):
    global wait
    wait = lambda *_, **__: None
    print("here", flush=True)
    sys.stdin.readline()
"""
ROLLING = (
    WAITING
    + """
from datetime import date
from pathlib import Path
from harness.experiment.holdouts import rolled
from harness.record.home import Home
from harness.studies.holdout import roll
split = roll.split
def waiting(*given, **more):
    rows = split(*given, **more)
    wait()
    return rows
roll.split = waiting
rolled(date.fromisoformat({to!r}), Home(Path({root!r})))
"""
)
RUNNING = (
    WAITING
    + """
from pathlib import Path
from harness.experiment.launch import launch
from harness.record.home import Home
launch(Path({file!r}), Home(Path({root!r})), workers=1, progress=lambda *_: wait())
"""
)


@contextmanager
def stopped_midway(text: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has come to its `wait`; a line to it lets it go on."""
    with subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "here\n"
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def let_go(process: subprocess.Popen[str]) -> None:
    process.communicate("\n")
    assert process.returncode == 0


@pytest.mark.slow
def test_what_is_appended_while_a_roll_rewrites_the_archive_is_not_lost(
    closed: tuple[Made, Ran], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = copied(closed[0], tmp_path_factory.mktemp("rolling"))
    monkeypatch.setenv("HARNESS_KEYS", str(made.keys))
    rows = newer()
    hs.Archive.open(made.home.archive).append(rows.head(8), source="newer")
    with stopped_midway(ROLLING.format(to=TO.isoformat(), root=str(made.home.root))) as process:
        # through either door
        for opened_by in (hs.Archive, Archive):
            archive = opened_by.open(made.home.archive, wait=0.1)
            with pytest.raises(ArchiveBusyError) as refused:
                archive.append(rows.tail(8), source="meanwhile")
            assert f"process {process.pid} (" in refused.value.value
        let_go(process)
    hs.Archive.open(made.home.archive).append(rows.tail(8), source="meanwhile")
    (seal,) = seals_of(made.home)
    identity = (made.keys / f"{seal.id}.identity").read_text().strip()
    whole = opened_archive(made.home, [seal], {seal.id: identity})
    assert "meanwhile" in whole.batches()["source"].to_list()
    assert not verify_ledger(made.home).broken


@pytest.mark.slow
def test_a_sealing_does_not_begin_under_the_feet_of_a_run(
    bare: Marked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lock, "WAIT", 0.1)
    root = str(bare.home.root)
    with stopped_midway(RUNNING.format(file=str(bare.experiment), root=root)) as process:
        command = ["holdout", "seal", "--from", "2012-01-01", str(bare.experiment), "--keys", str(bare.keys)]
        assert main([*command, "--home", root]) == 2
        assert f"process {process.pid} (" in capsys.readouterr().err
        assert not bare.home.vault.exists()
        assert not bare.home.ledger.exists()
        assert main([*command, "--dry-run", "--home", root]) == 0  # only looks
        let_go(process)
    assert bare.seal().done
