"""Scratch folders of others are removed where nobody holds them, whatever their process numbers say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.record.scratch import drop_left, held, scratch_name

HOLDING = """
import sys
from pathlib import Path
from harness.record.scratch import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_somebody_holds_stays_and_one_of_a_killed_process_goes(tmp_path: Path) -> None:
    held_by_other, mine, old = (tmp_path / f".work-{name}" for name in ("1", scratch_name(), "999999999"))
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDING, held_by_other], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    old.mkdir()
    with held(mine):
        drop_left(tmp_path, ".work-*")
        assert sorted(tmp_path.iterdir()) == sorted([held_by_other, mine])
        other.kill()
        other.communicate()
        drop_left(tmp_path, ".work-*")
        assert list(tmp_path.iterdir()) == [mine]
    assert not list(tmp_path.iterdir())


def test_a_folder_is_removed_however_its_block_ends(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"), held(tmp_path / "mine"):
        (tmp_path / "mine" / "missing").read_text()
    assert not list(tmp_path.iterdir())
